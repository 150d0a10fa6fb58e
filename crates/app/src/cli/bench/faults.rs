//! Whole courses with a provider that does, over real HTTP, all that goes wrong with real ones.
//!
//! Every course is checked: it is complete, its texts are word for word what the model said in a good answer, what it
//! cost is what the provider billed, and nothing that was answered was asked for again.

mod texts;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use domain::clock::SystemClock;
use domain::course::CourseRequest;
use domain::generation::GenerationStatus;
use domain::id::{CourseId, GenerationId};
use domain::language::Language;
use domain::usage::MicroUsd;
use domain::user::Actor;
use futures::{FutureExt, StreamExt, stream};
use llm::card::{Cards, ModelCard};
use llm::gateway::Models;
use llm::pricing::Price;
use llm::provider::openai_compatible::{Endpoint, OpenAiCompatible};
use llm::provider::scripted::answers::{file_answers, schema_answers};
use llm::provider::scripted::ledger::Balance;
use llm::provider::scripted::misbehaving::{Faults, misbehaving};
use llm::provider::scripted::server::{Behaviour, ScriptedServer};
use llm::provider::scripted::strict::{DIALECTS, Dialect};
use llm::provider::scripted::{Script, WordEmbedder};
use llm::request::Request;
use llm::retry::RetryPolicy;
use llm::route::Routes;
use pipeline::Services;
use pipeline::event::Unwatched;
use serde_json::json;
use store::course::{get_course, insert_course};
use store::generation::get_spending;
use store::generation::lifecycle::{NewGeneration, start_generation};
use store::lesson::list_lessons;
use store::{Store, organization};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::texts::{Said, faults_of};
use super::super::table::{row, table};
use super::in_own_database;
use crate::config::Config;
use crate::failure::Failure;
use crate::worker::{WorkEnd, Worker};

/// How it is measured.
#[derive(Args, Debug)]
pub(super) struct Setting {
    /// Courses that `faults` makes
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    courses: u32,
    /// Courses at once
    #[arg(long, value_name = "NUMBER", default_value_t = 4)]
    at_once: usize,
    /// Share of calls in which something happens, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.3)]
    share: f64,
    /// The server whose refusals are played
    #[arg(long, value_name = "NAME", default_value = "strict", value_parser = dialect_names())]
    dialect: String,
    /// A folder with answers by question; made-up ones without it
    #[arg(long, value_name = "FOLDER")]
    answers: Option<PathBuf>,
    /// The same seed gives the same answers, and the same faults for the same order of calls
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn dialect_names() -> PossibleValuesParser {
    PossibleValuesParser::new(DIALECTS.iter().map(|dialect| dialect.name))
}

/// The longest wait between two tries: what waits longer in service would only take longer here.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long an answer takes.
const LATENCY: Duration = Duration::from_millis(20);
/// What the provider asks for its tokens, in USD a million: of the usual order.
const PRICE: Price = Price {
    input: 0.4,
    output: 1.6,
    cached: None,
};
/// Lessons and sections of a course: the fewest lessons that one has.
const LESSONS: i64 = 10;
const SECTIONS: i64 = 3;
/// Stands in every question before the number of the course.
const NUMBERED: &str = "University Students, Group ";

/// What came of one course.
struct Made {
    number: u32,
    end: Result<(), String>,
    lessons: usize,
    for_review: usize,
    wrong_texts: Vec<String>,
    shown: MicroUsd,
}

/// Makes the courses in a database of its own, which is removed afterwards.
pub(super) async fn measure(config: &Config, setting: &Setting) -> Result<String, Failure> {
    in_own_database(config, async |store| courses(store, setting).await).await
}

async fn courses(store: &Arc<Store>, setting: &Setting) -> Result<String, Failure> {
    let said = Arc::new(Said::default());
    let faults = Faults::everything(setting.share);
    let script = misbehaving(answers(setting, &said)?, setting.seed, faults);
    let behaviour = Behaviour {
        dialect: Dialect::named(&setting.dialect).unwrap_or_else(Dialect::strict),
        price: PRICE,
        payer: |request| course_number(request).map(|number| number.to_string()),
    };
    let server = ScriptedServer::start_on(([127, 0, 0, 1], 0).into(), script, behaviour)
        .await
        .map_err(|cause| Failure::setup(format!("no port can be opened: {cause}")))?;
    let models = models(&server)?;
    let actor = store
        .with_system(async |tx| organization::ensure_local_owner(tx).await)
        .await?;
    let begun = Instant::now();
    let mut made: Vec<Made> = stream::iter(1..=setting.courses)
        .map(|number| Box::pin(one_course(store, &actor, models.clone(), number, &said)))
        .buffer_unordered(setting.at_once.max(1))
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<_, Failure>>()?;
    made.sort_by_key(|course| course.number);
    let balance = server.balance();
    Ok(report(setting, &made, &balance, begun.elapsed()))
}

/// Good answers, each course from a script of its own, and every text of theirs remembered.
fn answers(setting: &Setting, said: &Arc<Said>) -> Result<Script, Failure> {
    let of_course = |number: u32| -> Result<Script, Failure> {
        let invented = schema_answers(setting.seed + u64::from(number), Language::English);
        let Some(folder) = &setting.answers else {
            return Ok(invented);
        };
        file_answers(std::slice::from_ref(folder), invented)
            .map_err(|cause| Failure::setup(format!("the answers cannot be read: {cause}")))
    };
    let scripts: Vec<Script> = (0..=setting.courses).map(of_course).collect::<Result<_, _>>()?;
    let said = Arc::clone(said);
    Ok(Arc::new(move |request: &Request, call: usize| {
        let number = course_number(request).and_then(|number| usize::try_from(number).ok());
        let script = number
            .and_then(|number| scripts.get(number))
            .unwrap_or(&scripts[0]);
        let reply = script(request, call).after(LATENCY);
        if let Ok(answer) = &reply.outcome {
            said.remember(&answer.text);
        }
        reply
    }))
}

/// The course that a question is about.
fn course_number(request: &Request) -> Option<u32> {
    let mut texts = request.messages.iter().map(|message| message.content.as_str());
    let (_, after) = texts.find_map(|text| text.split_once(NUMBERED))?;
    let digits = after.find(|letter: char| !letter.is_ascii_digit());
    after[..digits.unwrap_or(after.len())].parse().ok()
}

fn models(server: &ScriptedServer) -> Result<Models, Failure> {
    let mut cards = Cards::default();
    cards.insert(ModelCard {
        context_window: 131_072,
        max_output: 16_384,
        // For servers that do not say what a call costs.
        price: Some(PRICE),
        ..ModelCard::assumed("scripted", "scripted")
    });
    let endpoint = Endpoint::new("scripted", server.base_url(), None);
    let provider = OpenAiCompatible::new(endpoint, &cards, Arc::new(SystemClock))?;
    let embedder = Arc::new(WordEmbedder::new(256).lenient());
    let models = Models::builder(cards, Routes::single("scripted"), embedder)
        .provider(Arc::new(provider))
        .retry(RetryPolicy {
            longest_wait: LONGEST_WAIT,
            ..RetryPolicy::default()
        })
        .build(Arc::new(SystemClock))?;
    Ok(models)
}

async fn one_course(
    store: &Arc<Store>,
    actor: &Actor,
    models: Models,
    number: u32,
    said: &Said,
) -> Result<Made, Failure> {
    let (course_id, generation_id) = start(store, actor, number).await?;
    let services = Services {
        store: Arc::clone(store),
        models,
        clock: Arc::new(SystemClock),
        observer: Arc::new(Unwatched),
        documents: Arc::new(pipeline::ingest::NoDocuments),
        vector_index: None,
    };
    let (worker, shutdown) = (Worker::new(services)?, CancellationToken::new());
    // What an answer must never do; the other courses go on.
    let end = AssertUnwindSafe(worker.run_generation(generation_id, &shutdown))
        .catch_unwind()
        .await;
    let (course, lessons, spending) = store
        .with_tenant(actor, async |tx| {
            let course = get_course(tx, course_id).await?;
            let lessons = list_lessons(tx, course_id).await?;
            Ok((course, lessons, get_spending(tx, generation_id).await?))
        })
        .await?;
    let is_complete = course.generation_status == Some(GenerationStatus::Completed);
    let end = match end {
        Ok(Ok(WorkEnd::Done)) if is_complete => Ok(()),
        Ok(Ok(WorkEnd::Failed(error))) => Err(causes(&error)),
        Ok(Ok(other)) => Err(format!("{other:?} as {:?}", course.generation_status)),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => Err("the program panicked".to_owned()),
    };
    let written = || lessons.iter().filter_map(|lesson| lesson.content.as_ref());
    Ok(Made {
        number,
        end,
        lessons: written().count(),
        for_review: lessons
            .iter()
            .filter(|lesson| lesson.status == domain::lesson::LessonStatus::NeedsReview)
            .count(),
        wrong_texts: written().flat_map(|content| faults_of(content, said)).collect(),
        shown: spending.spent,
    })
}

async fn start(store: &Store, actor: &Actor, number: u32) -> Result<(CourseId, GenerationId), Failure> {
    let request = CourseRequest {
        title: format!("Evidence-Based Study Skills for {NUMBERED}{number}"),
        language: Some("en".to_owned()),
        desired_modules_count: Some(SECTIONS),
        desired_lessons_count: Some(LESSONS),
        ..CourseRequest::default()
    };
    let (inputs, _) = request
        .check(Language::English)
        .map_err(|errors| Failure::inputs(&errors))?;
    let started = store
        .with_tenant(actor, async |tx| {
            let course = insert_course(tx, &inputs).await?;
            let new = NewGeneration {
                course_id: course.id,
                budget: inputs.budget,
                seed: u64::from(number),
                options: json!({}),
                scope: domain::generation::GenerationScope::Whole,
                user_limit: None,
                global_limit: None,
                webhook_url: None,
                idempotency_key: None,
            };
            Ok((course.id, start_generation(tx, &new).await?.generation_id))
        })
        .await?;
    Ok(started)
}

/// An error and what caused it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        line = format!("{line}: {inner}");
        cause = inner.source();
    }
    line
}

fn report(setting: &Setting, made: &[Made], balance: &Balance, wall: Duration) -> String {
    let billed = |course: &Made| {
        let billed = balance.billed_to.get(&course.number.to_string());
        MicroUsd(billed.copied().unwrap_or_default())
    };
    let is_right = |course: &&Made| {
        course.end.is_ok()
            && i64::try_from(course.lessons).is_ok_and(|lessons| lessons >= LESSONS)
            && course.wrong_texts.is_empty()
            && course.shown == billed(course)
    };
    let mut rows = vec![row([
        "course",
        "end",
        "lessons",
        "review",
        "wrong texts",
        "shown",
        "billed",
    ])];
    for course in made {
        rows.push(row([
            &course.number.to_string(),
            if course.end.is_ok() { "completed" } else { "FAILED" },
            &course.lessons.to_string(),
            &course.for_review.to_string(),
            &course.wrong_texts.len().to_string(),
            &format!("{:.6}", course.shown.as_usd()),
            &format!("{:.6}", billed(course).as_usd()),
        ]));
    }
    let failures = made.iter().filter_map(|course| {
        let error = course.end.as_ref().err()?;
        Some(format!("course {}: {error}\n", course.number))
    });
    let texts = made.iter().filter_map(|course| {
        let first = course.wrong_texts.first()?;
        Some(format!("course {}: {first}\n", course.number))
    });
    let twice: Vec<&str> = balance
        .requests
        .iter()
        .filter(|request| request.count > 1)
        .map(|request| request.name.as_str())
        .collect();
    let right = made.iter().filter(is_right).count();
    format!(
        "{}\n{}{}faults: {right} of {} courses are right ({} completed) at a share of {} with the dialect {}; {} calls ({} refused), {} requests answered, {} of them more than once ({}); {} courses and at most {} calls at once, longest wait {} s, wall {:.1} s",
        table(&rows),
        failures.collect::<String>(),
        texts.collect::<String>(),
        made.len(),
        made.iter().filter(|course| course.end.is_ok()).count(),
        setting.share,
        setting.dialect,
        balance.calls,
        balance.refused,
        balance.requests.len(),
        twice.len(),
        twice.join(", "),
        setting.at_once,
        balance.most_at_once,
        LONGEST_WAIT.as_secs(),
        wall.as_secs_f64(),
    )
}
