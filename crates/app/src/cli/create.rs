//! `create`: from a title to a course.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use domain::course::{CourseInputs, CourseRequest, WishedStrategy};
use domain::generation::GenerationScope;
use domain::id::CourseId;
use indicatif::HumanBytes;
use store::course;
use store::generation::lifecycle::{NewGeneration, start_generation};

use super::export::{FormatArg, Target};
use super::local_files;
use super::local_server::{self, Consent};
use super::question::{is_agreed, is_at_a_terminal};
use super::run::{Database, RunOptions, Session, Subject};
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::upload::LocalFile;
use crate::wiring::{BETTER_MODEL, EmbeddingChoice, Fetcher, Plan};

/// Fetching more than this is asked for when somebody sits at the terminal: e.g. the embedding model alone is not.
const ASK_ABOVE_BYTES: u64 = 100_000_000;

/// The arguments of `create`.
#[derive(Args, Debug)]
pub(super) struct Create {
    /// The title of the course, in any language (1-1000 characters) [default with --document: the first document's]
    #[arg(required_unless_present = "documents")]
    title: Option<String>,
    /// A file that the course is made from: PDF, DOCX, PPTX, HTML, EPUB, Markdown, text, or an image; a folder or a
    /// pattern stands for all such files in it; repeatable
    #[arg(long = "document", short = 'd', value_name = "FILE", num_args = 1..)]
    documents: Vec<PathBuf>,
    /// Language of the course: ru en zh es fr de ja ko ar pt it tr vi th id ms hi bn pl [default: the title's]
    #[arg(long, short, value_name = "CODE")]
    language: Option<String>,
    /// Style of all texts, for example conversational, academic, practical, storytelling [default: conversational]
    #[arg(long, short, value_name = "NAME")]
    style: Option<String>,
    /// For whom the course is
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
    /// Wished number of lessons, 10-1000
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    lessons: Option<i64>,
    /// Wished number of sections, 1-200
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    sections: Option<i64>,
    /// Minutes of a lesson, 3-45 [default: decided by the analysis, usually 15]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    minutes: Option<i64>,
    /// A learning outcome that the course must have; repeatable, up to 15
    #[arg(long = "outcome", value_name = "TEXT")]
    outcomes: Vec<String>,
    /// What is done with the material
    #[arg(long, value_enum, default_value_t = Strategy::Auto)]
    strategy: Strategy,
    /// Stop after the structure; `resume` writes the lessons
    #[arg(long)]
    structure_only: bool,
    /// Pause after the structure for a review; `resume` goes on
    #[arg(long)]
    review: bool,
    /// The most that may be spent, in USD [default: 1.00]
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    budget: Option<f64>,
    /// Where the files are written [default: a folder named after the course]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// File formats: html, md, json, epub, scorm12, scorm2004, cmi5, imscc, olx, qti21, qti3, moodle-xml, gift
    #[arg(
        long,
        value_name = "FORMAT",
        value_delimiter = ',',
        default_value = "html,md,json"
    )]
    format: Vec<FormatArg>,
    /// The model for all work: an id of `models list`, `embedded`, a model of the endpoint or of a server on this
    /// machine, or the path of a GGUF file
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// Makes random choices repeatable
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Do not ask: use a model server that is found on this machine, fetch model files
    #[arg(long, short)]
    yes: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Strategy {
    Auto,
    #[value(name = "create_from_scratch")]
    CreateFromScratch,
    #[value(name = "expand_and_enhance")]
    ExpandAndEnhance,
    #[value(name = "optimize_existing")]
    OptimizeExisting,
}

impl From<Strategy> for WishedStrategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Auto => Self::Auto,
            Strategy::CreateFromScratch => Self::CreateFromScratch,
            Strategy::ExpandAndEnhance => Self::ExpandAndEnhance,
            Strategy::OptimizeExisting => Self::OptimizeExisting,
        }
    }
}

impl Create {
    /// Makes the course. Everything that can be refused is refused before any work: inputs, model, language,
    /// database, files.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        let session = Session::begin(config)?;
        let files = local_files::find_files(&self.documents)?;
        let title = match (&self.title, files.first()) {
            (Some(title), _) => title.clone(),
            (None, Some(first)) => local_files::title_of(config, first).await,
            (None, None) => String::new(),
        };
        let inputs = self.checked_inputs(config, &session, title)?;
        let consent = if self.yes { Consent::Given } else { Consent::Needed };
        let plan = local_server::plan(&session, config, self.model.as_deref(), consent).await?;
        plan.check_language(inputs.language)?;
        let out = self.output_folder()?;
        announce(&session, &plan, &inputs, &files);
        let database = session.database().await?;
        local_files::check_tier(config, &database, &files).await?;
        self.confirm_fetching(config, &session, &plan).await?;
        let seed = self
            .seed
            .unwrap_or_else(|| session.clock().now().timestamp_micros().unsigned_abs());
        let models = session.models(&plan, seed).await?;

        let options = RunOptions {
            structure_only: self.structure_only,
            model: self.model.clone(),
            local: plan.local.clone(),
            out: out.clone(),
            formats: self
                .format
                .iter()
                .map(|format| format.0.as_str().to_owned())
                .collect(),
        };
        let options = serde_json::to_value(options)
            .map_err(|error| Failure::of(domain::error::ErrorKind::Internal, &error))?;
        let new = NewGeneration {
            course_id: CourseId::generate(),
            budget: inputs.budget,
            seed,
            options,
            scope: GenerationScope::Whole,
            user_limit: None,
            global_limit: None,
            webhook_url: None,
            idempotency_key: None,
        };
        let subject = if files.is_empty() {
            start(&database, &inputs, new).await?
        } else {
            start_with_documents(config, &session, &database, &inputs, new, &files).await?
        };
        tracing::info!(course_id = %subject.course_id, generation_id = %subject.generation_id, "generation started");
        let target = Target {
            out,
            formats: self.format.iter().map(|format| format.0).collect(),
        };
        let notice = plan.main_card().and_then(|card| card.notice.clone());
        session
            .work(database, models, subject, notice.as_deref(), &target)
            .await
    }

    fn checked_inputs(
        &self,
        config: &Config,
        session: &Session<'_>,
        title: String,
    ) -> Result<CourseInputs, Failure> {
        let request = CourseRequest {
            title,
            language: self.language.clone(),
            style: self.style.clone(),
            target_audience: self.audience.clone(),
            desired_lessons_count: self.lessons,
            desired_modules_count: self.sections,
            lesson_duration_minutes: self.minutes,
            learning_outcomes: self.outcomes.clone(),
            content_strategy: self.strategy.into(),
            review: self.review,
            budget_usd: self.budget.or(config.settings.budget_usd),
        };
        let (inputs, warnings) = request
            .check(config.user_language)
            .map_err(|errors| Failure::inputs(&errors))?;
        for warning in warnings {
            session.say(&format!("warning: {warning}"));
        }
        Ok(inputs)
    }

    /// Makes the folder now: what cannot be written there should be known before money is spent.
    fn output_folder(&self) -> Result<Option<PathBuf>, Failure> {
        let Some(out) = &self.out else { return Ok(None) };
        let absolute = std::path::absolute(out).unwrap_or_else(|_| out.clone());
        std::fs::create_dir_all(&absolute).map_err(|error| {
            Failure::setup(format!(
                "the folder {} cannot be made: {error}",
                absolute.display()
            ))
            .advice("name another folder with --out")
        })?;
        Ok(Some(absolute))
    }

    async fn confirm_fetching(
        &self,
        config: &Config,
        session: &Session<'_>,
        plan: &Plan,
    ) -> Result<(), Failure> {
        let fetcher = Fetcher::new(config)?;
        let embedding = match &plan.embedding {
            EmbeddingChoice::Remote(_) => None,
            EmbeddingChoice::Embedded(file) => Some(file),
        };
        let needed = plan
            .embedded
            .iter()
            .map(|embedded| &embedded.file)
            .chain(embedding);
        let missing: Vec<_> = needed.filter(|file| fetcher.find(file).is_none()).collect();
        let bytes: u64 = missing.iter().map(|file| file.bytes).sum();
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = missing
            .iter()
            .map(|file| format!("{} ({}, {})", file.name, HumanBytes(file.bytes), file.licence))
            .collect();
        session.say(&format!("To be fetched once: {}", names.join(", ")));
        if self.yes || bytes < ASK_ABOVE_BYTES || !is_at_a_terminal() {
            return Ok(());
        }
        if is_agreed(session, &format!("Fetch {} now?", HumanBytes(bytes))).await? {
            return Ok(());
        }
        Err(Failure::setup("the model was not fetched").advice(BETTER_MODEL))
    }
}

/// Course and generation in one transaction.
async fn start(database: &Database, inputs: &CourseInputs, new: NewGeneration) -> Result<Subject, Failure> {
    let subject = database
        .store
        .with_tenant(&database.actor, async |tx| {
            let course_id = course::insert_course(tx, inputs).await?.id;
            let new = NewGeneration {
                course_id,
                ..new.clone()
            };
            let started = start_generation(tx, &new).await?;
            Ok(Subject {
                course_id,
                generation_id: started.generation_id,
            })
        })
        .await?;
    Ok(subject)
}

/// Takes the files in before anything is started: the generation's first stage reads them.
async fn start_with_documents(
    config: &Config,
    session: &Session<'_>,
    database: &Database,
    inputs: &CourseInputs,
    new: NewGeneration,
    files: &[LocalFile],
) -> Result<Subject, Failure> {
    let course_id = database
        .store
        .with_tenant(&database.actor, async |tx| {
            Ok(course::insert_course(tx, inputs).await?.id)
        })
        .await?;
    let taking = local_files::take_in(config, database, session.shared_clock(), course_id, files);
    let taken = tokio::select! {
        taken = taking => taken,
        () = session.interrupted() => Err(Failure::new(Exit::Interrupted, "interrupted; nothing was made")),
    };
    let started = match taken {
        Ok(_) => {
            let new = NewGeneration { course_id, ..new };
            database
                .store
                .with_tenant(&database.actor, async |tx| start_generation(tx, &new).await)
                .await
                .map_err(Failure::from)
        }
        Err(failure) => Err(failure),
    };
    match started {
        Ok(started) => Ok(Subject {
            course_id,
            generation_id: started.generation_id,
        }),
        Err(failure) => {
            // Nobody knows of this course yet: it goes, with the documents that came.
            let removed = database
                .store
                .with_tenant(&database.actor, async |tx| {
                    course::delete_course(tx, course_id).await
                })
                .await;
            if let Err(error) = removed {
                tracing::warn!(%error, %course_id, "a course without documents stays behind");
            }
            Err(failure)
        }
    }
}

fn announce(session: &Session<'_>, plan: &Plan, inputs: &CourseInputs, files: &[LocalFile]) {
    let models = plan.first_choices().join(", ");
    session.say(&format!(
        "Making \"{}\" in {}, style {}, with {models}; budget {}",
        inputs.title,
        inputs.language.english_name(),
        inputs.style.as_str(),
        inputs.budget
    ));
    if !files.is_empty() {
        let names: Vec<&str> = files.iter().map(|file| file.filename.as_str()).collect();
        session.say(&format!("From {}", names.join(", ")));
    }
    if let Some(note) = plan.price_note() {
        session.say(&note);
    }
    let weak = plan.main_card().filter(|card| !card.good_for_courses);
    if let Some(notice) = weak.and_then(|card| card.notice.as_deref()) {
        session.say(&format!("{notice}\nTo {BETTER_MODEL}."));
    }
}
