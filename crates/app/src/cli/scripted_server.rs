//! `scripted-server`: a provider with scripted answers, for demonstrations and tests without a network.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use domain::language::Language;
use domain::usage::MicroUsd;
use llm::pricing::Price;
use llm::provider::scripted::Script;
use llm::provider::scripted::answers::{file_answers, schema_answers};
use llm::provider::scripted::misbehaving::{Fault, Faults, misbehaving};
use llm::provider::scripted::server::{Behaviour, ScriptedServer as Server};
use llm::provider::scripted::strict::{DIALECTS, Dialect};
use llm::request::Request;

use super::output::print;
use super::run::Signals;
use crate::failure::{Exit, Failure};

/// The arguments of `scripted-server`.
#[derive(Args, Debug)]
pub(super) struct ScriptedServer {
    /// The port; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Share of calls that go wrong in the common ways, 0 to 1; nothing hangs
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    misbehave: f64,
    /// Share of calls in which anything that real servers do happens, 0 to 1
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.0,
        conflicts_with = "misbehave"
    )]
    faults: f64,
    /// The same seed gives the same answers and faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The server whose refusals are played
    #[arg(long, value_name = "NAME", default_value = "permissive", value_parser = dialect_names())]
    dialect: String,
    /// The language of the answers
    #[arg(long, value_name = "CODE", default_value = "en")]
    language: String,
    /// A folder with answers by question: scope.txt, section-2.txt, lesson-03.txt ...; may be given again, a later
    /// folder wins
    #[arg(long, value_name = "FOLDER")]
    answers: Vec<PathBuf>,
    /// What a call costs, in USD
    #[arg(long, visible_alias = "cost-per-call", value_name = "USD")]
    price: Option<f64>,
    /// What a million tokens of prompts cost, in USD
    #[arg(long, value_name = "USD", default_value_t = 0.0, conflicts_with = "price")]
    price_input: f64,
    /// What a million tokens of answers cost, in USD
    #[arg(long, value_name = "USD", default_value_t = 0.0, conflicts_with = "price")]
    price_output: f64,
    /// How long an answer takes, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,
}

fn dialect_names() -> PossibleValuesParser {
    PossibleValuesParser::new(DIALECTS.iter().map(|dialect| dialect.name))
}

impl ScriptedServer {
    /// Serves until a signal comes. Prints the base URL first. What was billed stands at `/__ledger`.
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        let language: Language = self.language.parse().map_err(|error| Failure::inputs(&[error]))?;
        for (name, share) in [("misbehave", self.misbehave), ("faults", self.faults)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Failure::setup(format!(
                    "--{name} must be from 0 to 1, not {share}"
                )));
            }
        }
        let script = self.script(language)?;
        let behaviour = Behaviour {
            dialect: Dialect::named(&self.dialect).unwrap_or_else(Dialect::permissive),
            price: Price {
                input: self.price_input,
                output: self.price_output,
                cached: None,
            },
            ..Behaviour::default()
        };
        let signals = Signals::listen()?;
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let server = Server::start_on(address, script, behaviour)
            .await
            .map_err(|cause| Failure::setup(format!("port {} cannot be opened: {cause}", self.port)))?;
        print(server.base_url().as_str())?;
        signals.token().cancelled().await;
        Ok(Exit::Success)
    }

    fn script(&self, language: Language) -> Result<Script, Failure> {
        let mut answers = schema_answers(self.seed, language);
        if !self.answers.is_empty() {
            answers = file_answers(&self.answers, answers)
                .map_err(|cause| Failure::setup(format!("the answers cannot be read: {cause}")))?;
        }
        let latency = Duration::from_millis(self.latency_ms);
        // With prices of tokens the server reckons what an answer costs.
        let is_priced_by_token = self.price_input > 0.0 || self.price_output > 0.0;
        let price = (!is_priced_by_token).then(|| MicroUsd::from_usd(self.price.unwrap_or_default()));
        let priced: Script = Arc::new(move |request: &Request, call: usize| {
            let reply = answers(request, call).after(latency);
            match price {
                Some(price) => reply.costing(price),
                None => reply,
            }
        });
        let faults = if self.faults > 0.0 {
            Faults::everything(self.faults)
        } else if self.misbehave > 0.0 {
            // Nothing hangs: a demonstration should not wait.
            Faults::rough_day().without(Fault::Silence).scaled(self.misbehave)
        } else {
            Faults::NONE
        };
        Ok(misbehaving(priced, self.seed, faults))
    }
}
