//! `apikey`: keys of integrators.

use chrono::TimeDelta;
use clap::{Args, Subcommand};
use domain::clock::{Clock, SystemClock};
use domain::id::ApiKeyId;
use domain::user::Actor;
use store::Store;
use store::api_key::{ApiKey, Scope, list_api_keys, revoke_api_key};
use store::cluster::Unobserved;

use super::output::print;
use super::run::Database;
use super::table::{row, table};
use super::{organization, user};
use crate::auth::api_key::{KeyWish, create};
use crate::config::Config;
use crate::failure::{Exit, Failure};

/// The longest life of a key in days: ten years.
const MOST_DAYS: i64 = 3660;

/// The arguments of `apikey`.
#[derive(Args, Debug)]
pub(super) struct ApiKeys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key that acts as a person, and print it; it is not shown again
    Create {
        /// Their e-mail address or id
        user: String,
        /// What it is for
        #[arg(long)]
        name: String,
        /// What it may be used for: read, generate, admin
        #[arg(long, value_name = "SCOPE", value_delimiter = ',', default_value = "read,generate", value_parser = scope)]
        scope: Vec<Scope>,
        /// After how many days it ends [default: when it is revoked]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=MOST_DAYS))]
        days: Option<i64>,
    },
    /// List the keys of an organization
    List {
        /// The organization: its id, the beginning of it, or its name
        #[arg(long, value_name = "ORG", default_value = "Local")]
        org: String,
    },
    /// End a key at once
    Revoke {
        /// The id of the key
        id: ApiKeyId,
    },
}

impl ApiKeys {
    /// Runs the command.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        let database = Database::open(config, &Unobserved).await?;
        let ended = self.act(&database.store, database.actor).await;
        database.close().await;
        ended
    }

    async fn act(self, store: &Store, owner: Actor) -> Result<Exit, Failure> {
        let now = SystemClock.now();
        match self.action {
            Action::Create {
                user,
                name,
                scope,
                days,
            } => {
                let actor = user::find(store, &user).await?;
                let wish = KeyWish {
                    name,
                    scopes: scope,
                    expires_at: days.map(|days| now + TimeDelta::days(days)),
                };
                let (key, made) = create(store, &actor, &wish, now).await?;
                eprintln!("The key {} acts as {user}. It is not shown again.", made.id);
                print(key.expose())?;
            }
            Action::List { org } => {
                let organization_id = organization::find(store, &org).await?.id;
                // The operator of the machine sees the keys of every organization.
                let operator = Actor {
                    organization_id,
                    ..owner
                };
                let keys = store
                    .with_tenant(&operator, async |tx| list_api_keys(tx).await)
                    .await?;
                print(&picture(&keys))?;
            }
            Action::Revoke { id } => {
                let key = store
                    .with_tenant(&owner, async |tx| revoke_api_key(tx, id).await)
                    .await?;
                print(&format!("{} ({}...) is ended", key.name, key.prefix))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn picture(keys: &[ApiKey]) -> String {
    let date = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M").to_string();
    let mut rows = vec![row(["ID", "NAME", "KEY", "SCOPES", "STATE", "LAST USED (UTC)"])];
    rows.extend(keys.iter().map(|key| {
        let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("ended {}", date(at)),
            (None, Some(at)) => format!("until {}", date(at)),
            (None, None) => "active".to_owned(),
        };
        vec![
            key.id.to_string(),
            key.name.clone(),
            format!("{}...", key.prefix),
            scopes.join(","),
            state,
            key.last_used_at.map_or_else(|| "never".to_owned(), date),
        ]
    }));
    table(&rows)
}

/// A scope of the command line.
///
/// # Errors
/// A sentence with the known ones.
fn scope(word: &str) -> Result<Scope, String> {
    let known = Scope::ALL.map(Scope::as_str).join(", ");
    Scope::ALL
        .into_iter()
        .find(|scope| scope.as_str() == word)
        .ok_or_else(|| format!("known scopes are {known}"))
}
