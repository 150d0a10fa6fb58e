//! `providers`: whether the configured model providers answer.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use domain::clock::SystemClock;
use llm::card::Cards;
use llm::error::ProviderError;
use llm::provider::openai_compatible::OpenAiCompatible;
use llm::provider::{Provider, Unobserved};
use llm::request::{Message, Request, Sampling};
use tokio_util::sync::CancellationToken;

use super::output::print;
use crate::config::{Config, ProviderConfig};
use crate::failure::{Exit, Failure};
use crate::wiring::{Plan, all_cards, endpoint};

/// How long a provider may stay silent.
const PATIENCE: Duration = Duration::from_secs(20);
/// Room for a short answer, and for models that think first.
const ANSWER_TOKENS: u32 = 64;

/// The arguments of `providers`.
#[derive(Args, Debug)]
pub(super) struct Providers {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Call every configured provider once, with a tiny question
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
                Ok(took) => print(&format!(
                    "{}: ok, {asked} answered in {:.1} s ({})",
                    provider.name,
                    took.as_secs_f64(),
                    provider.shown_url()
                ))?,
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
        Ok(exit)
    }
}

fn any_model_of(cards: &Cards, provider: &str) -> Option<String> {
    let mut own: Vec<_> = cards.iter().filter(|card| card.provider == provider).collect();
    own.sort_by(|a, b| a.price.output.total_cmp(&b.price.output));
    own.first().map(|card| card.id.clone())
}

/// Asks the smallest question.
///
/// # Errors
/// What the provider said.
pub(super) async fn probe(
    provider: &ProviderConfig,
    cards: &Cards,
    model: &str,
) -> Result<Duration, ProviderError> {
    let client = OpenAiCompatible::new(endpoint(provider), cards, Arc::new(SystemClock))?;
    let request = Request {
        model: model.to_owned(),
        messages: vec![Message::user("Reply with the single word: ok")],
        schema: None,
        max_output_tokens: ANSWER_TOKENS,
        sampling: Sampling::default(),
        idle_timeout: PATIENCE,
    };
    match client
        .generate(&request, &Unobserved, &CancellationToken::new())
        .await
    {
        Ok(response) => Ok(response.latency),
        // A model that thinks may use all its tokens up without a word: it answers all the same.
        Err(ProviderError::Empty) => Ok(Duration::ZERO),
        Err(error) => Err(error),
    }
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
        ProviderError::Server { .. }
        | ProviderError::Empty
        | ProviderError::BrokenStream { .. }
        | ProviderError::Rejected { .. }
        | ProviderError::Filtered { .. }
        | ProviderError::BreakerOpen { .. }
        | ProviderError::Cancelled
        | ProviderError::Setup(_) => error.to_string(),
    }
}
