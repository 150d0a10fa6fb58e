//! The settings of `coursewright.toml`. An unknown one is an error that names it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use llm::route::Route;
use serde::Deserialize;

use super::service::{
    AlertSettings, AuthSettings, LimitSettings, ServerSettings, StorageSettings, WebhookSettings,
    WorkerSettings,
};

/// All settings; every one may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
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

/// One endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProviderSettings {
    /// Up to and including the version, for example `http://localhost:11434/v1`.
    pub(crate) base_url: Option<String>,
    /// The variable that holds the key. The key itself never stands in the file.
    pub(crate) api_key_env: Option<String>,
    /// Calls at once.
    pub(crate) max_parallel: Option<usize>,
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
    pub(crate) base_url: Option<String>,
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
    pub(crate) qdrant_url: Option<String>,
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
