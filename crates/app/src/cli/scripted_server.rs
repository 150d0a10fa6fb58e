//! `scripted-server`: a provider with scripted answers, for demonstrations and tests without a network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use domain::language::Language;
use domain::usage::MicroUsd;
use llm::provider::scripted::Script;
use llm::provider::scripted::answers::schema_answers;
use llm::provider::scripted::misbehaving::{Faults, misbehaving};
use llm::provider::scripted::server::ScriptedServer as Server;
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
    /// Share of calls that go wrong, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    misbehave: f64,
    /// The same seed gives the same answers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The language of the answers
    #[arg(long, value_name = "CODE", default_value = "en")]
    language: String,
    /// What a call costs, in USD
    #[arg(long, value_name = "USD", default_value_t = 0.0)]
    price: f64,
    /// How long an answer takes, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,
}

impl ScriptedServer {
    /// Serves until a signal comes. Prints the base URL first.
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        let language: Language = self.language.parse().map_err(|error| Failure::inputs(&[error]))?;
        if !(0.0..=1.0).contains(&self.misbehave) {
            return Err(Failure::setup(format!(
                "--misbehave must be from 0 to 1, not {}",
                self.misbehave
            )));
        }
        let (price, latency) = (
            MicroUsd::from_usd(self.price),
            Duration::from_millis(self.latency_ms),
        );
        let answers = schema_answers(self.seed, language);
        let priced: Script = Arc::new(move |request: &Request, call: usize| {
            answers(request, call).after(latency).costing(price)
        });
        let script = misbehaving(priced, self.seed, faults(self.misbehave));
        let signals = Signals::listen()?;
        let server = Server::start_on(SocketAddr::from(([127, 0, 0, 1], self.port)), script)
            .await
            .map_err(|cause| Failure::setup(format!("port {} cannot be opened: {cause}", self.port)))?;
        print(server.base_url().as_str())?;
        signals.token().cancelled().await;
        Ok(Exit::Success)
    }
}

/// A rough day, scaled to this share. Nothing hangs: a demonstration should not wait.
fn faults(share: f64) -> Faults {
    let rough = Faults {
        timeout: 0.0,
        ..Faults::ROUGH_DAY
    };
    let sum = rough.rate_limited
        + rough.server_error
        + rough.empty
        + rough.broken_stream
        + rough.truncated
        + rough.fenced
        + rough.wrong_shape;
    let scaled = |part: f64| part * share / sum;
    Faults {
        rate_limited: scaled(rough.rate_limited),
        server_error: scaled(rough.server_error),
        timeout: 0.0,
        empty: scaled(rough.empty),
        broken_stream: scaled(rough.broken_stream),
        truncated: scaled(rough.truncated),
        fenced: scaled(rough.fenced),
        wrong_shape: scaled(rough.wrong_shape),
    }
}
