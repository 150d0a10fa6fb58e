//! `org`: tenants.

use clap::{Args, Subcommand};
use domain::organization::Tier;
use store::Store;
use store::cluster::Unobserved;
use store::organization::{Organization, insert_organization, list_organizations, update_tier};

use super::output::print;
use super::run::Database;
use super::table::{row, table};
use crate::config::Config;
use crate::failure::{Exit, Failure};

/// Organizations that are listed or looked through for a name, at most.
const MOST_LISTED: u32 = 10_000;
/// The longest name, in characters, as the database has it.
const NAME_CHARS: usize = 200;

/// The arguments of `org`.
#[derive(Args, Debug)]
pub(super) struct Organizations {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add an organization; prints its id
    Create {
        /// Its name
        name: String,
        /// Its tier: trial, free, basic, standard or premium
        #[arg(long, value_name = "TIER", default_value = "free", value_parser = tier)]
        tier: Tier,
    },
    /// List the organizations
    List,
    /// Change the tier of an organization
    SetTier {
        /// The organization: its id, the beginning of it, or its name
        organization: String,
        /// The tier: trial, free, basic, standard or premium
        #[arg(value_parser = tier)]
        tier: Tier,
    },
}

impl Organizations {
    /// Runs the command.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        let database = Database::open(config, &Unobserved).await?;
        let ended = self.act(&database.store).await;
        database.close().await;
        ended
    }

    async fn act(self, store: &Store) -> Result<Exit, Failure> {
        match self.action {
            Action::Create { name, tier } => {
                let name = checked_name(&name)?;
                let id = store
                    .with_system(async |tx| insert_organization(tx, name, tier).await)
                    .await?;
                eprintln!("\"{name}\" is added with the tier {}.", tier.as_str());
                print(&id.to_string())?;
            }
            Action::List => print(&picture(&all(store).await?))?,
            Action::SetTier { organization, tier } => {
                let found = find(store, &organization).await?;
                let id = found.id;
                store
                    .with_system(async |tx| update_tier(tx, id, tier).await)
                    .await?;
                print(&format!("{}: {}", found.name, tier.as_str()))?;
            }
        }
        Ok(Exit::Success)
    }
}

/// The organization that a user of the command line means: by id, the beginning of it, or name.
///
/// # Errors
/// [`Failure`] if there is none or more than one.
pub(super) async fn find(store: &Store, key: &str) -> Result<Organization, Failure> {
    let mut found: Vec<_> = all(store)
        .await?
        .into_iter()
        .filter(|organization| means(organization, key))
        .collect();
    let list = "`coursewright org list` shows all";
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err(Failure::setup(format!("there is no organization '{key}'")).advice(list)),
        (Some(_), more) => {
            let count = more + 1;
            Err(Failure::setup(format!(
                "'{key}' means {count} organizations: give more of the id"
            ))
            .advice(list))
        }
    }
}

async fn all(store: &Store) -> Result<Vec<Organization>, Failure> {
    Ok(store
        .with_system(async |tx| list_organizations(tx, None, MOST_LISTED).await)
        .await?)
}

fn means(organization: &Organization, key: &str) -> bool {
    // A few digits would mean too many: ids made in the same second begin alike.
    organization.name == key || key.len() >= 8 && organization.id.to_string().starts_with(key)
}

fn checked_name(name: &str) -> Result<&str, Failure> {
    let name = name.trim();
    let chars = name.chars().count();
    if (1..=NAME_CHARS).contains(&chars) {
        return Ok(name);
    }
    Err(Failure::setup(format!(
        "the name must have 1 to {NAME_CHARS} characters, not {chars}"
    )))
}

/// A tier of the command line.
///
/// # Errors
/// A sentence with the known ones.
fn tier(word: &str) -> Result<Tier, String> {
    let known = Tier::ALL.map(Tier::as_str).join(", ");
    Tier::ALL
        .into_iter()
        .find(|tier| tier.as_str() == word)
        .ok_or_else(|| format!("known tiers are {known}"))
}

fn picture(organizations: &[Organization]) -> String {
    let mut rows = vec![row(["ID", "NAME", "TIER", "STORED (BYTES)", "CREATED (UTC)"])];
    rows.extend(organizations.iter().map(|organization| {
        vec![
            organization.id.to_string(),
            organization.name.clone(),
            organization.tier.as_str().to_owned(),
            organization.storage_used_bytes.to_string(),
            organization.created_at.format("%Y-%m-%d %H:%M").to_string(),
        ]
    }));
    table(&rows)
}
