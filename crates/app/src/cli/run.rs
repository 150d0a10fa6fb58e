//! What `create` and `resume` share: signals, the database, the models, the work itself and how it ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::clock::{Clock, SystemClock};
use domain::error::ErrorKind;
use domain::generation::GenerationStatus;
use domain::id::{CourseId, GenerationId};
use domain::usage::MicroUsd;
use domain::user::Actor;
use indicatif::MultiProgress;
use llm::gateway::Models;
use pipeline::Services;
use pipeline::event::Observer;
use serde::{Deserialize, Serialize};
use store::Store;
use store::cluster::{StartObserver, StartStep};
use store::{course, generation, organization};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::export::{Target, write_files};
use super::output::print;
use super::summary;
use crate::config::Config;
use crate::extraction::document_reader;
use crate::failure::{Exit, Failure};
use crate::progress::{Display, ShownCost, Words};
use crate::upload::open_blobs;
use crate::wiring::{Fetcher, Files, LocalChoice, Plan, PullDisplay, models, open_store, vector_index};
use crate::worker::{WorkEnd, Worker};

/// How often the picture is redrawn while nothing happens.
const REDRAW: Duration = Duration::from_millis(250);
/// How long leaving the database may take at the end; its watcher does the rest.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// SIGINT and SIGTERM: the first asks everything to stop, the second ends the process at once.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    token: CancellationToken,
}

impl Signals {
    /// Begins to listen.
    pub(super) fn listen() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::of(ErrorKind::Internal, &error);
        let mut interrupts = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminations = signal(SignalKind::terminate()).map_err(failed)?;
        let token = CancellationToken::new();
        let cancelled = token.clone();
        let listening = async move {
            let mut first = true;
            loop {
                tokio::select! {
                    Some(()) = interrupts.recv() => {}
                    Some(()) = terminations.recv() => {}
                    else => return,
                }
                if !first {
                    std::process::exit(i32::from(Exit::Interrupted.code()));
                }
                first = false;
                cancelled.cancel();
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it listens for as long as the process lives; nothing awaits it"
        )]
        tokio::spawn(listening);
        Ok(Self { token })
    }

    /// Cancelled at the first signal.
    pub(super) const fn token(&self) -> &CancellationToken {
        &self.token
    }
}

/// What a generation remembers of the command that started it, so that `resume` goes on in the same way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RunOptions {
    /// Rest after the structure.
    pub(super) structure_only: bool,
    /// `--model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    /// The server of this machine that was found and chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) local: Option<LocalChoice>,
    /// `--out`, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) out: Option<PathBuf>,
    /// `--format`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) formats: Vec<String>,
}

/// One run of the program that works on a generation.
pub(super) struct Session<'a> {
    config: &'a Config,
    bars: MultiProgress,
    clock: Arc<dyn Clock>,
    signals: Signals,
    started_at: DateTime<Utc>,
}

/// The database, and on whose behalf it is used.
pub(super) struct Database {
    pub(super) store: Arc<Store>,
    pub(super) actor: Actor,
}

impl Database {
    /// Opens the database as the local owner, quietly.
    pub(super) async fn open(config: &Config, observer: &dyn StartObserver) -> Result<Self, Failure> {
        let store = open_store(config, observer).await?;
        let actor = store
            .with_system(async |tx| organization::ensure_local_owner(tx).await)
            .await?;
        Ok(Self {
            store: Arc::new(store),
            actor,
        })
    }

    /// Leaves the database.
    pub(super) async fn close(self) {
        // Somebody who still holds it leaves it with the process; the watcher stops the server then.
        if let Some(store) = Arc::into_inner(self.store) {
            match tokio::time::timeout(CLOSE_PATIENCE, store.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the database was not left in order"),
                Err(_) => tracing::warn!("the database was not left in time"),
            }
        }
    }
}

/// A course and its generation that is to be worked on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) course_id: CourseId,
    pub(super) generation_id: GenerationId,
}

impl<'a> Session<'a> {
    /// Begins: listens for signals and logs.
    pub(super) fn begin(config: &'a Config) -> Result<Self, Failure> {
        let bars = MultiProgress::new();
        crate::telemetry::init(config, &bars);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let started_at = clock.now();
        Ok(Self {
            config,
            bars,
            clock,
            signals: Signals::listen()?,
            started_at,
        })
    }

    /// The clock of the run.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The same clock for what keeps it.
    pub(super) const fn shared_clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Waits for a signal to stop.
    pub(super) async fn interrupted(&self) {
        self.signals.token.cancelled().await;
    }

    /// Says a sentence on standard error.
    pub(super) fn say(&self, sentence: &str) {
        self.bars.suspend(|| eprintln!("{sentence}"));
    }

    /// Opens the database.
    ///
    /// # Errors
    /// [`Failure`]; interrupted at a signal.
    pub(super) async fn database(&self) -> Result<Database, Failure> {
        let observer = StartDisplay {
            bars: self.bars.clone(),
        };
        tokio::select! {
            opened = Database::open(self.config, &observer) => opened,
            () = self.signals.token.cancelled() => Err(interrupted()),
        }
    }

    /// Fetches what is missing of the embedded models and opens the door to all models.
    ///
    /// # Errors
    /// [`Failure`] if a file cannot be had or a provider is set up wrongly.
    pub(super) async fn models(&self, plan: &Plan, seed: u64) -> Result<Models, Failure> {
        let files = self.files(plan).await?;
        models(self.config, plan, &files, seed)
    }

    /// Models for reading and searching documents: no language model is fetched for them.
    ///
    /// # Errors
    /// As [`Session::models`].
    pub(super) async fn models_for_search(&self, plan: &Plan, seed: u64) -> Result<Models, Failure> {
        let display = PullDisplay::new(&self.bars);
        let files = Fetcher::new(self.config)?
            .pull_for_search(plan, &display, &self.signals.token)
            .await?;
        models(self.config, plan, &files, seed)
    }

    /// What the pipeline works with in this run.
    ///
    /// # Errors
    /// [`Failure`] if the files of documents cannot be reached.
    pub(super) fn services(
        &self,
        database: &Database,
        models: Models,
        observer: Arc<dyn Observer>,
    ) -> Result<Services, Failure> {
        Ok(Services {
            store: Arc::clone(&database.store),
            models,
            clock: Arc::clone(&self.clock),
            observer,
            documents: document_reader(self.config, open_blobs(self.config)?),
            vector_index: vector_index(self.config)?,
        })
    }

    /// Cancelled at the first signal.
    pub(super) const fn token(&self) -> &CancellationToken {
        self.signals.token()
    }

    async fn files(&self, plan: &Plan) -> Result<Files, Failure> {
        let fetcher = Fetcher::new(self.config)?;
        fetcher
            .pull_all(plan, &PullDisplay::new(&self.bars), &self.signals.token)
            .await
    }

    /// Works on a generation until it ends or rests, exports what it made, and says how it went.
    ///
    /// # Errors
    /// [`Failure`] with the exit code for how it ended.
    pub(super) async fn work(
        &self,
        database: Database,
        models: Models,
        subject: Subject,
        notice: Option<&str>,
        target: &Target,
    ) -> Result<Exit, Failure> {
        let language = self.config.user_language;
        let display = Display::new(Arc::clone(&self.clock), self.started_at, language, &self.bars);
        let services = self.services(&database, models, Arc::clone(&display) as _)?;
        let worker = Worker::new(services)?;
        let end = {
            let work = worker.run_generation(subject.generation_id, &self.signals.token);
            tokio::pin!(work);
            let mut redraws = interval(REDRAW);
            loop {
                tokio::select! {
                    end = &mut work => break end,
                    _ = redraws.tick() => display.tick(),
                }
            }
        };
        display.finish();
        drop(worker);
        let outcome = self
            .report(&database, &display, subject, end?, notice, target)
            .await;
        database.close().await;
        outcome
    }

    async fn report(
        &self,
        database: &Database,
        display: &Display,
        subject: Subject,
        end: WorkEnd,
        notice: Option<&str>,
        target: &Target,
    ) -> Result<Exit, Failure> {
        let id = subject.course_id;
        match end {
            WorkEnd::Done => {}
            WorkEnd::Failed(error) => {
                let failure = Failure::from(error);
                let budget = if failure.exit == Exit::Budget {
                    " --budget USD"
                } else {
                    ""
                };
                return Err(failure.advice(format!(
                    "what is done is kept; go on with `coursewright resume {id}{budget}`"
                )));
            }
            WorkEnd::Cancelled => {
                return Err(
                    Failure::new(Exit::Failure, "the generation was cancelled").advice(format!(
                        "what is done is kept; go on with `coursewright resume {id}`"
                    )),
                );
            }
            WorkEnd::Interrupted => {
                return Err(interrupted().advice(format!("go on with `coursewright resume {id}`")));
            }
            WorkEnd::TakenOver => {
                return Err(
                    Failure::new(Exit::Failure, "another process works on this course now").advice(format!(
                        "watch it with `coursewright list`, or go on with `coursewright resume {id}`"
                    )),
                );
            }
        }
        let actor = database.actor;
        let course = database
            .store
            .with_tenant(&actor, async |tx| course::get_course(tx, id).await)
            .await?;
        let words = Words::of(self.config.user_language);
        match course.generation_status {
            Some(GenerationStatus::Completed) => {
                let files = write_files(&database.store, &actor, &course, notice, target).await?;
                let lessons = database
                    .store
                    .with_tenant(&actor, async |tx| store::lesson::list_lessons(tx, id).await)
                    .await?;
                let spent = self.spent(database, subject).await?;
                let now = self.clock.now();
                print(&summary::finished(
                    &course,
                    &lessons,
                    spent,
                    &display.board(),
                    now,
                    words,
                ))?;
                print(&summary::files(&files, words))?;
                Ok(Exit::Success)
            }
            Some(GenerationStatus::AwaitingReview) => {
                let files = write_files(&database.store, &actor, &course, notice, target).await?;
                print(&summary::structure(&course))?;
                print(&summary::files(&files, words))?;
                self.say(&format!(
                    "The structure is ready. Write the lessons with `coursewright resume {id}`"
                ));
                Ok(Exit::Success)
            }
            _ => Err(Failure::new(
                Exit::Failure,
                "another process works on this course now, or it was stopped",
            )
            .advice(format!(
                "see `coursewright list`, or go on with `coursewright resume {id}`"
            ))),
        }
    }

    async fn spent(&self, database: &Database, subject: Subject) -> Result<ShownCost, Failure> {
        let id = subject.generation_id;
        let spending = database
            .store
            .with_tenant(&database.actor, async |tx| generation::get_spending(tx, id).await)
            .await?;
        Ok(ShownCost {
            known: spending.spent,
            has_unpriced: spending.assumed > MicroUsd::ZERO,
        })
    }
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted; what is done is kept")
}

/// Says which slow part of opening the database has begun.
struct StartDisplay {
    bars: MultiProgress,
}

impl StartObserver for StartDisplay {
    fn on_step(&self, step: StartStep) {
        let sentence = match step {
            StartStep::Waiting(Some(process)) => {
                format!("Another process ({process}) is setting the database up; waiting ...")
            }
            StartStep::Waiting(None) => "Another process is setting the database up; waiting ...".to_owned(),
            StartStep::Fetching => "No PostgreSQL is installed; fetching one (14 MB) ...".to_owned(),
            StartStep::Unpacking => "Unpacking it ...".to_owned(),
            StartStep::Initialising => "Making a private database (once) ...".to_owned(),
            StartStep::Recovering => "The database recovers after a crash ...".to_owned(),
            StartStep::Starting | StartStep::Migrating => return,
        };
        self.bars.suspend(|| eprintln!("{sentence}"));
    }
}
