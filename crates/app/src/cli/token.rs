//! `token`: access tokens for scripts and tests.

use std::sync::Arc;

use chrono::TimeDelta;
use clap::{Args, Subcommand};
use domain::clock::SystemClock;
use domain::error::ErrorKind;
use store::cluster::Unobserved;

use super::output::print;
use super::run::Database;
use super::user;
use crate::auth::Authenticator;
use crate::config::Config;
use crate::failure::{Exit, Failure};

/// The longest life of a token in hours: a year. Longer ones are what API keys are for, which can be revoked.
const MOST_HOURS: i64 = 24 * 366;

/// The arguments of `token`.
#[derive(Args, Debug)]
pub(super) struct Tokens {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Sign an access token for a person and print it
    Create {
        /// Their e-mail address or id
        user: String,
        /// For how many hours it is accepted
        #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(i64).range(1..=MOST_HOURS))]
        hours: i64,
    },
}

impl Tokens {
    /// Runs the command.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        let Action::Create { user, hours } = self.action;
        let database = Database::open(config, &Unobserved).await?;
        let actor = user::find(&database.store, &user).await;
        let auth = Authenticator::start(config, Arc::clone(&database.store), Arc::new(SystemClock)).await;
        let signed = match (actor, auth) {
            (Ok(actor), Ok(auth)) => auth
                .sign(&actor, TimeDelta::hours(hours))
                .map_err(|error| Failure::of(ErrorKind::Internal, &error)),
            (Err(failure), _) | (_, Err(failure)) => Err(failure),
        };
        database.close().await;
        let signed = signed?;
        eprintln!(
            "Accepted until {} UTC.",
            signed.expires_at.format("%Y-%m-%d %H:%M")
        );
        print(&signed.token)?;
        Ok(Exit::Success)
    }
}
