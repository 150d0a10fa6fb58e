//! Starting: `generation.initiate` and making a part anew (service 4.2). One transaction; what is done after a failure
//! is only to write down that it failed.

use domain::course::CourseInputs;
use domain::generation::GenerationScope;
use domain::id::{CourseId, GenerationId, JobId};
use domain::usage::MicroUsd;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use store::course::{get_course, insert_course};
use store::error::StoreError;
use store::generation::idempotency::find_by_idempotency;
use store::generation::lifecycle::NewGeneration;
use store::generation::start::start_within_tier;
use store::lesson::list_lessons;

use super::events::write_down;
use super::limits;
use crate::procedures::Call;
use crate::procedures::courses::check_owner;
use crate::procedures::courses::fields::{CourseFields, checked};
use crate::procedures::error::{ApiError, ErrorCode};
use crate::procedures::input::WRITTEN;
use crate::procedures::words::Text;
use crate::webhook::{WEB_ADDRESS, check_target};

/// The header that may carry the idempotency key.
const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// The longest idempotency key, in characters.
const KEY_MAX: usize = 200;
/// The largest number of a section or a lesson that is looked for.
const PART_MAX: u32 = 10_000;

/// A course to generate: one that exists, or the fields of a new one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend(
    "additionalProperties" = false,
    "anyOf" = [
        { "required": ["courseId"], "properties": { "courseId": { "type": "string" } } },
        { "required": ["title"], "properties": { "title": { "type": "string" } } },
    ],
    "not" = {
        "required": ["courseId", "title"],
        "properties": { "courseId": { "type": "string" }, "title": { "type": "string" } },
    },
))]
pub(super) struct InitiateInput {
    /// The course; without it, one is made of the other fields.
    course_id: Option<CourseId>,
    /// An https address that hears of the end.
    #[schemars(length(min = 1, max = 2000), regex(pattern = WEB_ADDRESS))]
    webhook_url: Option<String>,
    /// A second start with the same key gives the first one's answer; another request with it is refused. The same as the header `Idempotency-Key`.
    #[schemars(length(min = 1, max = KEY_MAX))]
    idempotency_key: Option<String>,
    /// The title of a new course.
    #[schemars(length(min = 1, max = 1000), regex(pattern = WRITTEN))]
    title: Option<String>,
    /// Everything else of a new course.
    #[serde(flatten)]
    fields: CourseFields,
}

/// A section to make anew.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SectionInput {
    /// The course.
    course_id: CourseId,
    /// The number of the section in the course, from 1.
    #[schemars(range(min = 1, max = PART_MAX))]
    section_number: u32,
    /// What is to be otherwise.
    #[schemars(length(min = 1, max = 2000))]
    instruction: Option<String>,
    /// An https address that hears of the end.
    #[schemars(length(min = 1, max = 2000), regex(pattern = WEB_ADDRESS))]
    webhook_url: Option<String>,
    /// A second start with the same key gives the first one's answer; another request with it is refused.
    #[schemars(length(min = 1, max = KEY_MAX))]
    idempotency_key: Option<String>,
}

/// A lesson to write anew.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LessonInput {
    /// The course.
    course_id: CourseId,
    /// The number of the lesson in the course, from 1.
    #[schemars(range(min = 1, max = PART_MAX))]
    lesson_number: u32,
    /// What is to be otherwise.
    #[schemars(length(min = 1, max = 2000))]
    instruction: Option<String>,
    /// An https address that hears of the end.
    #[schemars(length(min = 1, max = 2000), regex(pattern = WEB_ADDRESS))]
    webhook_url: Option<String>,
    /// A second start with the same key gives the first one's answer; another request with it is refused.
    #[schemars(length(min = 1, max = KEY_MAX))]
    idempotency_key: Option<String>,
}

/// A generation that was started, or goes on.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartedGeneration")]
pub(super) struct Started {
    /// The job that waits now.
    job_id: JobId,
    /// The course.
    course_id: CourseId,
    /// The generation.
    generation_id: GenerationId,
    /// Always `queued`.
    status: &'static str,
    /// A sentence for people.
    message: String,
    /// What the author should know of the fields of a new course.
    warnings: Vec<String>,
}

impl Started {
    /// The answer.
    pub(super) fn new(call: &Call, course_id: CourseId, generation_id: GenerationId, job_id: JobId) -> Self {
        let span = tracing::Span::current();
        span.record("course_id", tracing::field::display(course_id));
        span.record("generation_id", tracing::field::display(generation_id));
        span.record("job_id", tracing::field::display(job_id));
        let text = Text::new(
            "The generation of the course has started",
            "Генерация курса инициализирована",
        );
        Self {
            job_id,
            course_id,
            generation_id,
            status: "queued",
            message: text.fixed().spoken(call.speech).to_owned(),
            warnings: Vec::new(),
        }
    }
}

/// Which course a start is about.
enum Subject {
    Known(CourseId),
    New(Box<CourseInputs>),
}

/// What every start says.
struct Wish {
    subject: Subject,
    scope: GenerationScope,
    webhook_url: Option<String>,
    idempotency_key: Option<String>,
}

/// Starts a generation of a course, or makes a course and starts.
pub(super) async fn initiate(call: Call, input: InitiateInput) -> Result<Started, ApiError> {
    let (subject, warnings) = match (input.course_id, input.title) {
        (Some(id), None) => (Subject::Known(id), Vec::new()),
        (None, Some(title)) => {
            let (inputs, warnings) = checked(&call, title, input.fields)?;
            (Subject::New(Box::new(inputs)), warnings)
        }
        (Some(_), Some(_)) => {
            return Err(ApiError::field(
                "title",
                "is for a new course: leave out courseId or title",
            ));
        }
        (None, None) => {
            return Err(ApiError::field(
                "courseId",
                "is required, or the title of a new course",
            ));
        }
    };
    let wish = Wish {
        subject,
        scope: GenerationScope::Whole,
        webhook_url: input.webhook_url,
        idempotency_key: input.idempotency_key,
    };
    let mut started = start(&call, wish).await?;
    started.warnings = warnings;
    Ok(started)
}

/// Makes one section anew.
pub(super) async fn regenerate_section(call: Call, input: SectionInput) -> Result<Started, ApiError> {
    let wish = Wish {
        subject: Subject::Known(input.course_id),
        scope: GenerationScope::Section {
            number: input.section_number,
            instruction: input.instruction,
        },
        webhook_url: input.webhook_url,
        idempotency_key: input.idempotency_key,
    };
    start(&call, wish).await
}

/// Writes the text of one lesson anew.
pub(super) async fn regenerate_lesson(call: Call, input: LessonInput) -> Result<Started, ApiError> {
    let wish = Wish {
        subject: Subject::Known(input.course_id),
        scope: GenerationScope::Lesson {
            number: input.lesson_number,
            also: Vec::new(),
            instruction: input.instruction,
        },
        webhook_url: input.webhook_url,
        idempotency_key: input.idempotency_key,
    };
    start(&call, wish).await
}

/// Lessons whose documents have changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StaleInput {
    /// The course.
    course_id: CourseId,
    /// What is to be otherwise.
    #[schemars(length(min = 1, max = 2000))]
    instruction: Option<String>,
    /// An https address that hears of the end.
    #[schemars(length(min = 1, max = 2000), regex(pattern = WEB_ADDRESS))]
    webhook_url: Option<String>,
    /// A second start with the same key gives the first one's answer; another request with it is refused.
    #[schemars(length(min = 1, max = KEY_MAX))]
    idempotency_key: Option<String>,
}

/// Writes the lessons anew that rest on documents which have changed.
pub(super) async fn regenerate_stale(call: Call, input: StaleInput) -> Result<Started, ApiError> {
    let (actor, id) = (call.actor()?, input.course_id);
    let lessons = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            let course = get_course(tx, id).await?;
            check_owner(&actor, &course)?;
            list_lessons(tx, id).await
        })
        .await?;
    let mut stale = lessons
        .iter()
        .filter(|lesson| lesson.stale.is_some())
        .map(|lesson| lesson.lesson_number);
    let Some(number) = stale.next() else {
        return Err(ApiError::new(ErrorCode::Conflict).says(Text::new(
            "No lesson of the course rests on a document that has changed.",
            "Ни один урок курса не опирается на изменившийся документ.",
        )));
    };
    let wish = Wish {
        subject: Subject::Known(id),
        scope: GenerationScope::Lesson {
            number,
            also: stale.collect(),
            instruction: input.instruction,
        },
        webhook_url: input.webhook_url,
        idempotency_key: input.idempotency_key,
    };
    start(&call, wish).await
}

async fn start(call: &Call, wish: Wish) -> Result<Started, ApiError> {
    let actor = call.actor()?;
    let service = &call.service;
    if let Some(url) = &wish.webhook_url {
        check_target(url, service.config.settings.webhooks.allow_private_targets)
            .map_err(|refusal| ApiError::field("webhookUrl", refusal.to_string()))?;
    }
    let hash = request_hash(&wish);
    let key = idempotency_key(call, wish.idempotency_key)?;
    let known = match &wish.subject {
        Subject::Known(id) => Some(*id),
        Subject::New(_) => None,
    };
    let (seed, now) = (rand::random(), service.clock.now());
    let options = json!({ "request_id": call.request_id, "request_hash": &hash });
    let outcome = async {
        let global_limit = limits::global(service).await?;
        let (subject, scope, webhook_url) = (wish.subject, wish.scope, wish.webhook_url);
        service
            .store
            .with_tenant(&actor, async move |tx| {
                if let Some(key) = &key
                    && let Some(earlier) = find_by_idempotency(tx, key, Some(&hash)).await?
                {
                    return Ok(earlier);
                }
                let course_id = match &subject {
                    Subject::Known(id) => *id,
                    Subject::New(inputs) => insert_course(tx, inputs).await?.id,
                };
                let new = NewGeneration {
                    course_id,
                    // What the course and the tier allow.
                    budget: MicroUsd(i64::MAX),
                    seed,
                    options: options.clone(),
                    scope: scope.clone(),
                    user_limit: None,
                    global_limit: Some(global_limit),
                    idempotency_key: key.clone(),
                    webhook_url: webhook_url.clone(),
                };
                Ok((course_id, start_within_tier(tx, &new, now).await?))
            })
            .await
    };
    match outcome.await {
        Ok((course_id, started)) => Ok(Started::new(
            call,
            course_id,
            started.generation_id,
            started.job_id,
        )),
        Err(failed) => {
            write_down(call, &actor, known, &failed).await;
            Err(refusal(failed))
        }
    }
}

/// What the request asks for, as a fingerprint: an idempotency key holds for this alone.
fn request_hash(wish: &Wish) -> String {
    let subject = match &wish.subject {
        Subject::Known(id) => json!(id),
        Subject::New(inputs) => json!(inputs),
    };
    let asked = json!([subject, wish.scope, wish.webhook_url]);
    hex::encode(Sha256::digest(asked.to_string()))
}

/// The key of the input or of the header.
fn idempotency_key(call: &Call, given: Option<String>) -> Result<Option<String>, ApiError> {
    let key = given.or_else(|| call.header(IDEMPOTENCY_HEADER).map(str::to_owned));
    if let Some(key) = &key
        && !(1..=KEY_MAX).contains(&key.chars().count())
    {
        return Err(ApiError::field(
            "Idempotency-Key",
            format!("must have 1 to {KEY_MAX} characters, not {}", key.chars().count()),
        ));
    }
    Ok(key)
}

/// What the caller hears.
fn refusal(failed: StoreError) -> ApiError {
    if matches!(failed, StoreError::Conflict(_)) {
        return ApiError::new(if failed.is_generation_active() {
            ErrorCode::GenerationActive
        } else {
            ErrorCode::Conflict
        });
    }
    let error = ApiError::from(failed);
    if error.is_fault() {
        // Also where the database did not answer: the whole transaction was tried four times (service 4.2).
        return ApiError {
            retry_after_secs: error.retry_after_secs,
            ..ApiError::new(ErrorCode::GenerationNotStarted)
        };
    }
    error
}
