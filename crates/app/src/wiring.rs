//! From the configuration to what runs: models, their files, the database.

mod files;
mod local;
mod plan;
mod search;

use std::sync::Arc;

use domain::clock::{Clock, SystemClock};
use llm::capability::CapabilityBook;
use llm::gateway::Models;
use llm::provider::openai_compatible::embeddings::{EmbeddingModel, KindMarks, OpenAiEmbedder};
use llm::provider::openai_compatible::{Endpoint, OpenAiCompatible};
use llm::provider::{Embedder, Provider};
use llm::retry::RetryPolicy;
use secrecy::ExposeSecret;
use store::Store;
use store::StoreConfig;
use store::cluster::{ClusterConfig, StartObserver};

use crate::config::{Config, ProviderConfig};
use crate::failure::Failure;
pub(crate) use files::{Fetcher, Files, PullDisplay};
pub(crate) use local::{LocalChoice, LocalWish, local_wish, window_note};
pub(crate) use plan::{
    BETTER_MODEL, DEFAULT_EMBEDDED, EMBEDDED, EMBEDDING_FILE, EmbeddingChoice, Plan, all_cards, embedded_file,
};
pub(crate) use search::vector_index;

/// How OpenRouter shows who calls.
const OPENROUTER_HEADERS: [(&str, &str); 1] = [("X-Title", "Coursewright")];

/// Opens the database; `observer` hears of what takes long.
///
/// # Errors
/// [`Failure`] that says what the machine lacks.
pub(crate) async fn open_store(config: &Config, observer: &dyn StartObserver) -> Result<Store, Failure> {
    Ok(Store::open(&store_config(config), observer).await?)
}

/// Which database, and where its programs are.
pub(crate) fn store_config(config: &Config) -> StoreConfig {
    let mut cluster = ClusterConfig::new(config.postgres_folder());
    cluster.bin_dir.clone_from(&config.settings.postgres.bin_dir);
    cluster.search_path.clone_from(&config.search_path);
    cluster.may_fetch = config.settings.postgres.may_fetch;
    cluster.sudo_uid = config.sudo_uid;
    let database_url = config
        .database_url
        .as_ref()
        .map(|url| url.expose_secret().to_owned());
    StoreConfig {
        database_url,
        cluster,
    }
}

/// The endpoint of a configured provider.
pub(crate) fn endpoint(provider: &ProviderConfig) -> Endpoint {
    let mut endpoint = Endpoint::new(
        &provider.name,
        provider.base_url.clone(),
        provider.api_key.clone(),
    );
    if let Some(max_parallel) = provider.max_parallel {
        endpoint.max_parallel = max_parallel;
    }
    let patience = provider.is_of_this_machine().then_some(local::PATIENCE);
    endpoint.idle_timeout = provider.idle_timeout.or(patience);
    endpoint.content_timeout = provider.content_timeout.or(patience);
    endpoint.extra_body.clone_from(&provider.extra);
    endpoint.extra_headers.clone_from(&provider.headers);
    if provider.name == crate::config::OPENROUTER {
        let own = OPENROUTER_HEADERS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        endpoint.extra_headers.extend(own);
    }
    endpoint
}

/// How failures are answered: pauses are never longer than a stage may wait in all.
fn retry_policy(config: &Config) -> RetryPolicy {
    let policy = RetryPolicy::default();
    RetryPolicy {
        longest_wait: policy.longest_wait.min(config.wait_limit),
        wait_limit: config.wait_limit,
        ..policy
    }
}

/// Builds the door to all models of `plan`; the embedded ones' files are there already, and are read at the first
/// call.
///
/// # Errors
/// [`Failure`] if a provider or a route is set up wrongly.
pub(crate) fn models(
    config: &Config,
    plan: &Plan,
    files: &files::Files,
    seed: u64,
) -> Result<Models, Failure> {
    models_behind(config, plan, files, seed, |provider| provider)
}

/// Like [`models`], with every provider passed through `wrap`, which may watch its calls.
///
/// # Errors
/// As [`models`].
pub(crate) fn models_behind(
    config: &Config,
    plan: &Plan,
    files: &files::Files,
    seed: u64,
    wrap: impl Fn(Arc<dyn Provider>) -> Arc<dyn Provider>,
) -> Result<Models, Failure> {
    let embedder = embedder(config, plan, files)?;
    models_beside(config, plan, files, embedder, seed, wrap)
}

/// Like [`models_behind`], with an embedding model that is there already: none is held in memory twice.
///
/// # Errors
/// As [`models`].
pub(crate) fn models_beside(
    config: &Config,
    plan: &Plan,
    files: &files::Files,
    embedder: Arc<dyn Embedder>,
    seed: u64,
    wrap: impl Fn(Arc<dyn Provider>) -> Arc<dyn Provider>,
) -> Result<Models, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let book = Arc::new(CapabilityBook::default());
    let mut builder = Models::builder(plan.cards.clone(), plan.routes.clone(), embedder)
        .seed(seed)
        .retry(retry_policy(config))
        .learning_in(Arc::clone(&book));
    // A server of this machine that was chosen does all the work.
    let chosen = plan.local.as_ref().map(LocalChoice::provider);
    for provider in chosen
        .iter()
        .chain(config.providers.iter().filter(|_| chosen.is_none()))
    {
        let client = OpenAiCompatible::new(endpoint(provider), &plan.cards, Arc::clone(&clock))?
            .learning_in(Arc::clone(&book));
        builder = builder.provider(wrap(Arc::new(client)));
    }
    if let (Some(embedded), Some(path)) = (&plan.embedded, &files.model) {
        builder = embedded::install(builder, &embedded.card, path, wrap);
    }
    Ok(builder.build(clock)?)
}

fn embedder(config: &Config, plan: &Plan, files: &files::Files) -> Result<Arc<dyn Embedder>, Failure> {
    match &plan.embedding {
        EmbeddingChoice::Remote(remote) => {
            let settings = &config.settings.embeddings;
            let mut endpoint = Endpoint::new("embeddings", remote.base_url.clone(), remote.api_key.clone());
            endpoint.extra_headers.clone_from(&remote.headers);
            let mut model = EmbeddingModel::jina_v3();
            if let Some(id) = settings.model.as_ref().filter(|id| **id != model.model) {
                let marks = |prefix: &str| KindMarks {
                    prefix: prefix.to_owned(),
                    task: None,
                };
                id.clone_into(&mut model.model);
                model.query = marks(&settings.query_prefix);
                model.passage = marks(&settings.passage_prefix);
            }
            model.dimensions = settings.dimensions.unwrap_or(model.dimensions);
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            Ok(Arc::new(OpenAiEmbedder::new(endpoint, model, clock)?))
        }
        EmbeddingChoice::Embedded(file) => embedded::embedder(&file.name, files.embedding.as_deref()),
    }
}

#[cfg(feature = "embedded")]
mod embedded {
    use std::path::Path;
    use std::sync::Arc;

    use llm::budget::TokenCounter;
    use llm::card::ModelCard;
    use llm::embedded::{EmbeddedEmbedder, EmbeddedOptions, EmbeddedProvider};
    use llm::gateway::ModelsBuilder;
    use llm::provider::{Embedder, Provider};

    use crate::failure::Failure;

    /// Counts with the embedded model's own vocabulary.
    #[derive(Debug)]
    struct OwnVocabulary(Arc<EmbeddedProvider>);

    impl TokenCounter for OwnVocabulary {
        fn count(&self, text: &str) -> u32 {
            u32::try_from(self.0.count_tokens(text)).unwrap_or(u32::MAX)
        }
    }

    pub(super) fn install(
        builder: ModelsBuilder,
        card: &ModelCard,
        path: &Path,
        wrap: impl Fn(Arc<dyn Provider>) -> Arc<dyn Provider>,
    ) -> ModelsBuilder {
        let mut options = EmbeddedOptions::new(path, &card.id);
        options.context_tokens = card.context_window as usize;
        let provider = Arc::new(EmbeddedProvider::new(options));
        let wrapped = wrap(Arc::clone(&provider) as _);
        builder.counting_provider(wrapped, Arc::new(OwnVocabulary(provider)))
    }

    pub(super) fn embedder(model: &str, path: Option<&Path>) -> Result<Arc<dyn Embedder>, Failure> {
        let path = path.ok_or_else(|| Failure::setup("the embedding model is not there"))?;
        Ok(Arc::new(EmbeddedEmbedder::new(path, model)))
    }
}

/// A build without the embedded models; plans that need them are refused before.
#[cfg(not(feature = "embedded"))]
mod embedded {
    use std::path::Path;
    use std::sync::Arc;

    use llm::card::ModelCard;
    use llm::gateway::ModelsBuilder;
    use llm::provider::{Embedder, Provider};

    use crate::failure::Failure;

    pub(super) fn install(
        builder: ModelsBuilder,
        _card: &ModelCard,
        _path: &Path,
        _wrap: impl Fn(Arc<dyn Provider>) -> Arc<dyn Provider>,
    ) -> ModelsBuilder {
        builder
    }

    pub(super) fn embedder(_model: &str, _path: Option<&Path>) -> Result<Arc<dyn Embedder>, Failure> {
        Err(Failure::setup("this build has no embedding model"))
    }
}
