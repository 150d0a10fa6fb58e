//! `documents`: the documents of a course: list, add or replace, remove.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use domain::clock::{Clock, SystemClock};
use indicatif::HumanBytes;
use pipeline::event::Unwatched;
use store::cluster::Unobserved;
use store::course::{self, Course};
use store::document::{Document, DocumentStatus, list_documents};
use store::lesson::list_lessons;

use super::local_files;
use super::output::print;
use super::run::{Database, Session};
use super::table::{row, table};
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::wiring::Plan;

/// The arguments of `documents`.
#[derive(Args, Debug)]
pub(super) struct Documents {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Show the documents of a course and how far their reading is
    List {
        /// The course: its id, the beginning of it, or its name
        course: String,
    },
    /// Add documents to a course and read them; one of the same name is replaced
    Add {
        /// The course: its id, the beginning of it, or its name
        course: String,
        /// Files, folders or patterns
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Remove a document from a course
    Remove {
        /// The course: its id, the beginning of it, or its name
        course: String,
        /// The document, as `list` names it
        name: String,
    },
}

impl Documents {
    /// Does what is asked and says how the documents stand.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        match self.act {
            Act::List { course } => {
                let database = Database::open(config, &Unobserved).await?;
                let listed = show(&database, &find(&database, &course).await?).await;
                database.close().await;
                listed.map(|_| Exit::Success)
            }
            Act::Add { course, files } => Box::pin(add(config, &course, &files)).await,
            Act::Remove { course, name } => {
                let database = Database::open(config, &Unobserved).await?;
                let removed = remove(config, &database, &course, &name).await;
                database.close().await;
                removed.map(|()| Exit::Success)
            }
        }
    }
}

async fn find(database: &Database, key: &str) -> Result<Course, Failure> {
    let key = key.to_owned();
    let found = database
        .store
        .with_tenant(&database.actor, async |tx| course::find_course(tx, &key).await);
    Ok(found.await?)
}

async fn documents_of(database: &Database, course: &Course) -> Result<Vec<Document>, Failure> {
    let id = course.id;
    let listed = database
        .store
        .with_tenant(&database.actor, async |tx| list_documents(tx, id).await);
    Ok(listed.await?)
}

/// Prints the table, and which lessons rest on what has changed; whether every document could be read.
async fn show(database: &Database, course: &Course) -> Result<bool, Failure> {
    let documents = documents_of(database, course).await?;
    let id = course.id;
    if documents.is_empty() {
        eprintln!("There are no documents yet: `coursewright documents add {id} FILE...`");
        return Ok(true);
    }
    let mut rows = vec![row(["DOCUMENT", "SIZE", "STATUS", "REMARK"])];
    rows.extend(documents.iter().map(|document| {
        let remark = document
            .failure
            .as_ref()
            .map_or_else(String::new, |failure| failure.message.clone());
        vec![
            document.filename.clone(),
            HumanBytes(document.size_bytes).to_string(),
            document.status.as_str().to_owned(),
            remark,
        ]
    }));
    print(&table(&rows))?;
    let lessons = database
        .store
        .with_tenant(&database.actor, async |tx| list_lessons(tx, id).await)
        .await?;
    let stale: Vec<String> = lessons
        .iter()
        .filter(|lesson| lesson.stale.is_some())
        .map(|lesson| lesson.lesson_number.to_string())
        .collect();
    if !stale.is_empty() {
        eprintln!(
            "Documents have changed on which these lessons rest: {}. Write them anew: `coursewright regenerate {id} --stale`",
            stale.join(", ")
        );
    }
    Ok(documents
        .iter()
        .all(|document| document.status != DocumentStatus::Failed))
}

async fn add(config: &Config, key: &str, named: &[PathBuf]) -> Result<Exit, Failure> {
    let session = Session::begin(config)?;
    let files = local_files::find_files(named)?;
    let plan = Plan::of(config, None)?;
    let database = session.database().await?;
    let course = find(&database, key).await?;
    local_files::check_tier(config, &database, &files).await?;
    let seed = session.clock().now().timestamp_micros().unsigned_abs();
    let models = session.models_for_search(&plan, seed).await?;
    let taken = local_files::take_in(config, &database, session.shared_clock(), course.id, &files);
    tokio::select! {
        taken = taken => { taken?; }
        () = session.interrupted() => {
            return Err(Failure::new(Exit::Interrupted, "interrupted; what was taken in is kept"));
        }
    }
    let services = session.services(&database, models, Arc::new(Unwatched))?;
    local_files::read_all(&session, &services, course.id).await?;
    drop(services);
    let is_read = show(&database, &course).await;
    database.close().await;
    if is_read? {
        Ok(Exit::Success)
    } else {
        Err(Failure::new(Exit::Failure, "not every document could be read")
            .advice("the remarks say what to do; then add the file again under the same name"))
    }
}

async fn remove(config: &Config, database: &Database, key: &str, name: &str) -> Result<(), Failure> {
    let course = find(database, key).await?;
    let documents = documents_of(database, &course).await?;
    let Some(document) = documents.iter().find(|document| document.filename == name) else {
        return Err(
            Failure::setup(format!("\"{}\" has no document '{name}'", course.inputs.title)).advice(format!(
                "see their names: `coursewright documents list {}`",
                course.id
            )),
        );
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let uploads = local_files::uploads(config, database, &clock)?;
    uploads.delete(database.actor, document.id).await?;
    show(database, &course).await.map(|_| ())
}
