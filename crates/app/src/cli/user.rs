//! `user`: people and their passwords.

use std::io::BufRead;

use clap::{Args, Subcommand};
use domain::id::UserId;
use domain::user::{Actor, Role};
use secrecy::SecretString;
use store::Store;
use store::cluster::Unobserved;
use store::user::{NewUser, find_actor, find_credentials, insert_user, list_users, set_role};

use super::organization;
use super::output::print;
use super::run::Database;
use super::table::{row, table};
use crate::auth::secret_token::SecretToken;
use crate::auth::session::{check_email, set_password};
use crate::config::Config;
use crate::failure::{Exit, Failure};

/// People that are listed at most.
const MOST_LISTED: u32 = 10_000;

/// The arguments of `user`.
#[derive(Args, Debug)]
pub(super) struct Users {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a person; prints their id
    Create {
        /// Their e-mail address
        email: String,
        /// Their organization: its id, the beginning of it, or its name
        #[arg(long, value_name = "ORG", default_value = "Local")]
        org: String,
        /// Their role: student, instructor, admin or superadmin
        #[arg(long, default_value = "instructor", value_parser = role)]
        role: Role,
        /// What they are called
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// List people
    List {
        /// Only those of this organization
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
    },
    /// Change what a person may do
    SetRole {
        /// Their e-mail address or id
        user: String,
        /// The role: student, instructor, admin or superadmin
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Set the password of a person and end their sessions
    SetPassword {
        /// Their e-mail address or id
        user: String,
        #[command(flatten)]
        password: PasswordSource,
    },
}

/// Where a password comes from: never from the arguments, which everybody on the machine can read.
#[derive(Args, Clone, Copy, Debug)]
#[group(multiple = false)]
struct PasswordSource {
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// Make a password and print it
    #[arg(long)]
    generate_password: bool,
}

impl Users {
    /// Runs the command.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        let database = Database::open(config, &Unobserved).await?;
        let ended = self.act(&database.store).await;
        database.close().await;
        ended
    }

    async fn act(self, store: &Store) -> Result<Exit, Failure> {
        match self.action {
            Action::Create {
                email,
                org,
                role,
                name,
                password,
            } => {
                let email = check_email(&email).map_err(|error| Failure::inputs(&[error]))?;
                let password = password.read()?;
                let new = NewUser {
                    organization_id: organization::find(store, &org).await?.id,
                    email,
                    name,
                    role,
                    password_hash: None,
                };
                let actor = store.with_system(async |tx| insert_user(tx, &new).await).await?;
                if let Some(password) = &password {
                    set_password(store, &actor, &password.text).await?;
                }
                eprintln!("{} is added as {}.", new.email, role.as_str());
                print(&actor.user_id.to_string())?;
                show(password)?;
            }
            Action::List { org } => {
                let organization = match &org {
                    Some(key) => Some(organization::find(store, key).await?.id),
                    None => None,
                };
                let users = store
                    .with_system(async |tx| list_users(tx, organization, None, MOST_LISTED).await)
                    .await?;
                let mut rows = vec![row(["ID", "E-MAIL", "ROLE", "NAME", "ORGANIZATION"])];
                rows.extend(users.into_iter().map(|user| {
                    vec![
                        user.id.to_string(),
                        user.email,
                        user.role.as_str().to_owned(),
                        user.name.unwrap_or_else(|| "-".to_owned()),
                        user.organization_id.to_string(),
                    ]
                }));
                print(&table(&rows))?;
            }
            Action::SetRole { user, role } => {
                let id = find(store, &user).await?.user_id;
                let changed = store.with_system(async |tx| set_role(tx, id, role).await).await?;
                print(&format!("{}: {}", changed.email, changed.role.as_str()))?;
            }
            Action::SetPassword { user, password } => {
                let actor = find(store, &user).await?;
                let Some(password) = password.read()? else {
                    return Err(Failure::setup("no password is given").advice(
                        "pipe it in with --password-stdin, or let one be made with --generate-password",
                    ));
                };
                set_password(store, &actor, &password.text).await?;
                eprintln!("The password is set; sessions of {user} are ended.");
                show(Some(password))?;
            }
        }
        Ok(Exit::Success)
    }
}

/// The person that a user of the command line means: by address or id.
///
/// # Errors
/// [`Failure`] if there is none.
pub(super) async fn find(store: &Store, key: &str) -> Result<Actor, Failure> {
    let found = if let Ok(id) = key.parse::<UserId>() {
        store.with_system(async |tx| find_actor(tx, id).await).await?
    } else {
        let credentials = store.with_system(async |tx| find_credentials(tx, key).await);
        credentials.await?.map(|credentials| credentials.actor)
    };
    found.ok_or_else(|| {
        Failure::setup(format!("there is no user '{key}'")).advice("`coursewright user list` shows all")
    })
}

/// A new password, and whether it was made here and must be shown.
struct NewPassword {
    text: SecretString,
    made: Option<SecretToken>,
}

impl PasswordSource {
    fn read(self) -> Result<Option<NewPassword>, Failure> {
        if self.generate_password {
            let made = SecretToken::generate("")?;
            return Ok(Some(NewPassword {
                text: made.expose().into(),
                made: Some(made),
            }));
        }
        if !self.password_stdin {
            return Ok(None);
        }
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| Failure::setup(format!("standard input cannot be read: {error}")))?;
        Ok(Some(NewPassword {
            text: line.trim_end_matches(['\r', '\n']).into(),
            made: None,
        }))
    }
}

fn show(password: Option<NewPassword>) -> Result<(), Failure> {
    match password.and_then(|password| password.made) {
        Some(made) => print(made.expose()),
        None => Ok(()),
    }
}

/// A role of the command line.
///
/// # Errors
/// A sentence with the known ones.
fn role(word: &str) -> Result<Role, String> {
    let known = Role::ALL.map(Role::as_str).join(", ");
    Role::ALL
        .into_iter()
        .find(|role| role.as_str() == word)
        .ok_or_else(|| format!("known roles are {known}"))
}
