//! The settings of `coursewright.toml`. An unknown one is an error that names it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use llm::route::Route;
use serde::Deserialize;

use super::endpoint::Address;
use super::service::{
    AlertSettings, AuthSettings, LimitSettings, ServerSettings, StorageSettings, WebhookSettings,
    WorkerSettings,
};

/// All settings; every one may be left out.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where database, models and logs are kept; default `~/.local/share/coursewright`.
    pub(crate) data_dir: Option<PathBuf>,
    /// The model for all work: a card's id, `embedded`, or the path of a GGUF file.
    pub(crate) model: Option<String>,
    /// The most that a generation may spend, where the author does not say.
    pub(crate) budget_usd: Option<f64>,
    /// Files with further model cards.
    pub(crate) card_files: Vec<PathBuf>,
    /// OpenAI-compatible endpoints by name.
    pub(crate) providers: BTreeMap<String, ProviderSettings>,
    /// Routes by kind of work, over the default ones.
    pub(crate) routes: BTreeMap<String, Route>,
    /// How long a stage waits for a provider that is busy or away, in seconds, 1 to 86 400; default 600 (generation
    /// 3.4).
    pub(crate) wait_limit_secs: u64,
    /// Where servers of models are looked for on this machine: `usual` ports, `none`, or `ollama=11434,vllm=8000`.
    pub(crate) local_ports: String,
    /// The embedding model, if not the embedded one.
    pub(crate) embeddings: EmbeddingSettings,
    /// Where vectors are searched, if not in the database.
    pub(crate) search: SearchSettings,
    /// The private database.
    pub(crate) postgres: PostgresSettings,
    /// Where the API listens.
    pub(crate) server: ServerSettings,
    /// How a process works on the queue.
    pub(crate) worker: WorkerSettings,
    /// Who may come in.
    pub(crate) auth: AuthSettings,
    /// Where uploaded files are kept.
    pub(crate) storage: StorageSettings,
    /// What is sent when generations end.
    pub(crate) webhooks: WebhookSettings,
    /// Limits of the whole installation.
    pub(crate) limits: LimitSettings,
    /// When the operator is told.
    pub(crate) alerts: AlertSettings,
    /// Where model files may be taken from before the sources on their cards: folders or base URLs.
    pub(crate) weight_sources: Vec<String>,
    /// For tests: the disk has no room for a model.
    pub(crate) pretend_disk_is_full: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: None,
            model: None,
            budget_usd: None,
            card_files: Vec::new(),
            providers: BTreeMap::new(),
            routes: BTreeMap::new(),
            wait_limit_secs: 600,
            local_ports: "usual".to_owned(),
            embeddings: EmbeddingSettings::default(),
            search: SearchSettings::default(),
            postgres: PostgresSettings::default(),
            server: ServerSettings::default(),
            worker: WorkerSettings::default(),
            auth: AuthSettings::default(),
            storage: StorageSettings::default(),
            webhooks: WebhookSettings::default(),
            limits: LimitSettings::default(),
            alerts: AlertSettings::default(),
            weight_sources: Vec::new(),
            pretend_disk_is_full: false,
        }
    }
}

/// One endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProviderSettings {
    /// Up to and including the version, for example `http://localhost:11434/v1`.
    pub(crate) base_url: Option<Address>,
    /// The variable that holds the key. The key itself never stands in the file.
    pub(crate) api_key_env: Option<String>,
    /// Calls at once.
    pub(crate) max_parallel: Option<usize>,
    /// How long it may send no byte, in seconds, 1 to 86 400; default 120.
    pub(crate) idle_timeout_secs: Option<u64>,
    /// How long it may send no content, though bytes such as signs of life come, in seconds, 1 to 86 400; default 180.
    pub(crate) content_timeout_secs: Option<u64>,
    /// Fields added to every request's body.
    pub(crate) extra: serde_json::Map<String, serde_json::Value>,
    /// Headers added to every request.
    pub(crate) headers: BTreeMap<String, String>,
}

/// A remote embedding model. Without `base_url` the embedded one is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EmbeddingSettings {
    /// Up to and including the version.
    pub(crate) base_url: Option<Address>,
    /// The variable that holds the key.
    pub(crate) api_key_env: Option<String>,
    /// The model's id; default `jina-embeddings-v3`.
    pub(crate) model: Option<String>,
    /// Length of its vectors.
    pub(crate) dimensions: Option<usize>,
    /// Put before questions.
    pub(crate) query_prefix: String,
    /// Put before passages.
    pub(crate) passage_prefix: String,
}

/// A second index of vectors. Without `qdrant_url` the database alone searches.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SearchSettings {
    /// A Qdrant server's HTTP interface, for example `http://localhost:6333`.
    pub(crate) qdrant_url: Option<Address>,
    /// The variable that holds its key.
    pub(crate) qdrant_api_key_env: Option<String>,
}

/// The private database.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PostgresSettings {
    /// The only folder in which its programs are looked for.
    pub(crate) bin_dir: Option<PathBuf>,
    /// Whether its programs may be downloaded when there are none.
    pub(crate) may_fetch: bool,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            bin_dir: None,
            may_fetch: true,
        }
    }
}
