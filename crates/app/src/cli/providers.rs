//! `providers`: whether the configured model providers answer, and how they want to be asked.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use domain::clock::SystemClock;
use llm::capability::{Capabilities, CapabilityBook, Learnt};
use llm::card::{Cards, ModelCard};
use llm::error::ProviderError;
use llm::provider::openai_compatible::OpenAiCompatible;
use llm::provider::{Provider, Unobserved};
use llm::repair;
use llm::request::{Message, OutputSchema, Request, Sampling};
use llm::retry::DEFAULT_WAIT_LIMIT;
use serde_json::json;
use store::Store;
use store::cluster::Unobserved as UnobservedStart;
use store::model_capability::list_capabilities;
use tokio_util::sync::CancellationToken;

use super::output::print;
use crate::config::{Config, ProviderConfig};
use crate::failure::{Exit, Failure};
use crate::wiring::{Plan, all_cards, endpoint, open_store};

/// How long a provider may stay silent: a server that reads a model from disk first takes about a minute.
const PATIENCE: Duration = Duration::from_mins(1);
/// Room for a short answer, and for models that think first.
const ANSWER_TOKENS: u32 = 1024;

/// The arguments of `providers`.
#[derive(Args, Debug)]
pub(super) struct Providers {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Ask every configured provider what a course asks, in small, and show how it wants to be asked
    Test {
        /// The model to ask for
        #[arg(long, value_name = "ID")]
        model: Option<String>,
    },
}

impl Providers {
    /// Runs the command.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        let Action::Test { model } = self.action;
        if config.providers.is_empty() {
            print("no remote provider is configured: the embedded model does all work")?;
            return Ok(Exit::Success);
        }
        let plan = Plan::of(config, model.as_deref());
        let cards = match &plan {
            Ok(plan) => plan.cards.clone(),
            Err(_) => all_cards(config)?,
        };
        let mut exit = Exit::Success;
        let mut news = Vec::new();
        for provider in &config.providers {
            let asked = model
                .clone()
                .or_else(|| plan.as_ref().ok().and_then(|plan| plan.model_of(&provider.name)));
            let asked = asked.or_else(|| any_model_of(&cards, &provider.name));
            let Some(asked) = asked else {
                exit = Exit::Setup;
                print(&format!(
                    "{}: no model of it is named; try --model ID",
                    provider.name
                ))?;
                continue;
            };
            match probe(provider, &cards, &asked).await {
                Ok(probed) => {
                    print(&format!(
                        "{}: ok, {asked} answered in {:.1} s ({})\n  asked with: {}",
                        provider.name,
                        probed.took.as_secs_f64(),
                        provider.shown_url(),
                        probed.capabilities
                    ))?;
                    for sentence in probed.remarks {
                        print(&format!("  {sentence}"))?;
                    }
                    news.extend(probed.news);
                }
                Err(error) => {
                    exit = Exit::Setup;
                    print(&format!(
                        "{}: {}",
                        provider.name,
                        diagnosis(provider, &asked, &error)
                    ))?;
                }
            }
        }
        remember(config, &news).await;
        Ok(exit)
    }
}

fn any_model_of(cards: &Cards, provider: &str) -> Option<String> {
    let mut own: Vec<_> = cards.iter().filter(|card| card.provider == provider).collect();
    let output = |card: &ModelCard| card.price.map_or(f64::INFINITY, |price| price.output);
    own.sort_by(|a, b| output(a).total_cmp(&output(b)));
    own.first().map(|card| card.id.clone())
}

/// What a provider's test brought.
#[derive(Debug)]
pub(super) struct Probed {
    /// From the question to the end of the answer.
    pub(super) took: Duration,
    /// How the model was asked in the end.
    capabilities: Capabilities,
    /// What a person should know of the answer.
    remarks: Vec<String>,
    news: Vec<Learnt>,
}

/// Asks what a course asks, in small: with a system role, two turns, a schema, a seed, as a stream. What was learnt before
/// is not used, so that a server that can do more by now is asked for more.
///
/// # Errors
/// What the provider said.
pub(super) async fn probe(
    provider: &ProviderConfig,
    cards: &Cards,
    model: &str,
) -> Result<Probed, ProviderError> {
    let book = Arc::new(CapabilityBook::default());
    let client = OpenAiCompatible::new(endpoint(provider), cards, Arc::new(SystemClock))?
        .learning_in(Arc::clone(&book));
    let schema = json!({
        "type": "object",
        "properties": { "capital": { "type": "string", "minLength": 2, "maxLength": 40 } },
        "required": ["capital"],
        "additionalProperties": false,
    });
    let request = Request {
        model: model.to_owned(),
        messages: vec![
            Message::system("You answer with JSON."),
            Message::user("What is the capital of France?"),
            Message::assistant(json!({ "capital": "Paris" }).to_string()),
            Message::user("And of Italy?"),
        ],
        schema: Some(OutputSchema {
            name: "capital".to_owned(),
            schema: schema.clone(),
        }),
        max_output_tokens: ANSWER_TOKENS,
        sampling: Sampling {
            seed: Some(7),
            ..Sampling::default()
        },
        idle_timeout: PATIENCE,
        wait_limit: DEFAULT_WAIT_LIMIT,
    };
    let cancel = CancellationToken::new();
    let answered = client.generate(&request, &Unobserved, &cancel).await;
    let mut remarks = Vec::new();
    let took = match answered {
        Ok(response) => {
            let is_right = repair::repair(&response.text, &schema).is_ok_and(|found| {
                repair::failing_fields(&schema, &found.value).is_ok_and(|failures| failures.is_empty())
            });
            if !is_right {
                remarks.push(format!(
                    "the answer does not have the shape that was asked for: {}",
                    response.text.chars().take(80).collect::<String>()
                ));
            }
            response.latency
        }
        // A model that thinks may use all its tokens up without a word: it answers all the same.
        Err(failed) if matches!(failed.error, ProviderError::NoRoom { .. }) => {
            remarks.push(format!("{}; courses give it more room", failed.error));
            Duration::ZERO
        }
        Err(failed) => return Err(failed.error),
    };
    Ok(Probed {
        took,
        capabilities: client.capabilities(model),
        remarks,
        news: book.take_news(),
    })
}

/// What was learnt before, where there is a database already; nothing where it cannot be opened.
pub(super) async fn stored_capabilities(config: &Config) -> Vec<Learnt> {
    let Some(store) = existing_store(config).await else {
        return Vec::new();
    };
    let stored = store.with_system(async |tx| list_capabilities(tx).await).await;
    pipeline::capabilities::learnt(stored.unwrap_or_default())
}

/// Keeps what was learnt for courses, where there is a database already. Without one they learn it themselves.
async fn remember(config: &Config, news: &[Learnt]) {
    if news.is_empty() {
        return;
    }
    if let Some(store) = existing_store(config).await
        && let Err(error) = pipeline::capabilities::save(&store, news).await
    {
        tracing::warn!(%error, "what was learnt could not be saved");
    }
}

/// The database, if it was made before: a look at models does not make one.
async fn existing_store(config: &Config) -> Option<Store> {
    let exists = config.database_url.is_some() || config.postgres_folder().exists();
    if !exists {
        return None;
    }
    open_store(config, &UnobservedStart).await.ok()
}

/// What is wrong and what to do, in one sentence.
pub(super) fn diagnosis(provider: &ProviderConfig, model: &str, error: &ProviderError) -> String {
    let key = provider.key_source.as_deref().unwrap_or("api_key_env");
    match error {
        ProviderError::Connect { .. } | ProviderError::Timeout { .. } => {
            format!(
                "unreachable: {error}. Check the address {} and that the server is running",
                provider.shown_url()
            )
        }
        ProviderError::Unauthorized { .. } if provider.api_key.is_none() => {
            format!("a key is needed: {error}. Set one ({key})")
        }
        ProviderError::Unauthorized { .. } => format!("wrong key: {error}. Check {key}"),
        ProviderError::NoCredit { .. } => format!("no credit: {error}. Add credit to the account"),
        ProviderError::UnknownModel { .. } => {
            format!("unknown model: {error}. Check the id '{model}' with the provider's list of models")
        }
        ProviderError::RateLimited { .. } => format!("reachable, the key is good, but it is busy: {error}"),
        ProviderError::Foreign { .. } => {
            format!("{error}. Check the base URL: it ends with the version, as in http://localhost:11434/v1")
        }
        ProviderError::Server { .. }
        | ProviderError::Empty
        | ProviderError::BrokenStream { .. }
        | ProviderError::Rejected { .. }
        | ProviderError::Filtered { .. }
        | ProviderError::TooLong { .. }
        | ProviderError::NoRoom { .. }
        | ProviderError::BreakerOpen { .. }
        | ProviderError::Cancelled
        | ProviderError::Setup(_) => error.to_string(),
    }
}
