//! Courses on the wire. What belongs to the contract of course JSON keeps the names of the data model.

use axum::http::{HeaderValue, header};
use chrono::{DateTime, Utc};
use domain::analysis::AnalysisResult;
use domain::course::WishedStrategy;
use domain::document::CitedSource;
use domain::generation::{GenerationMetadata, GenerationProgress, GenerationStatus};
use domain::id::{CourseId, GenerationId, OrganizationId, UserId};
use domain::language::Language;
use domain::lesson::{LessonContent, LessonStatus};
use domain::quality::QualityReport;
use domain::structure::CourseStructure;
use domain::style::Style;
use domain::user::Actor;
use schemars::JsonSchema;
use serde::Serialize;
use store::course::{Course, CourseSummary, Publication};
use store::lesson::{StaleReason, StoredLesson};
use store::version::Version;

use super::is_insider;
use crate::procedures::Call;

/// A course.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Course")]
pub(in crate::procedures) struct CourseOutput {
    /// Its id.
    id: CourseId,
    /// Its organization.
    organization_id: OrganizationId,
    /// Whose it is.
    owner_id: UserId,
    /// Its name in addresses.
    slug: String,
    /// The title that was asked for.
    title: String,
    /// Its language.
    language: Language,
    /// The style of its texts.
    style: Style,
    /// For whom it is.
    target_audience: Option<String>,
    /// How many lessons were asked for.
    desired_lessons_count: Option<u32>,
    /// How many sections were asked for.
    desired_modules_count: Option<u32>,
    /// Minutes of a lesson.
    lesson_duration_minutes: Option<u32>,
    /// What learners must be able to do afterwards.
    learning_outcomes: Vec<String>,
    /// What is done with what the author brings.
    content_strategy: WishedStrategy,
    /// Whether generations pause after the structure.
    review: bool,
    /// The most that a generation may cost, in dollars; null for those who only read it.
    budget_usd: Option<f64>,
    /// Where it stands with its readers.
    status: Publication,
    /// Where its latest generation stands; null: it was never generated.
    generation_status: Option<GenerationStatus>,
    /// The latest generation.
    current_generation_id: Option<GenerationId>,
    /// The progress of the latest generation.
    generation_progress: GenerationProgress,
    /// What the analysis found out; null for those who only read it.
    analysis_result: Option<AnalysisResult>,
    /// Sections, lessons, exercises.
    course_structure: Option<CourseStructure>,
    /// What the latest finished generation took; null for those who only read it.
    generation_metadata: Option<GenerationMetadata>,
    /// How good it is; null for those who only read it.
    quality_report: Option<QualityReport>,
    /// The texts of its lessons, where they were asked for.
    lessons: Option<Vec<LessonOutput>>,
    /// The pieces of documents that its lessons cite, where the lessons were asked for.
    sources: Option<Vec<CitedSource>>,
    /// Number of saved structures.
    version: u32,
    /// Rises with every change; what `expectedRevision` is compared with.
    revision: u32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When anything of it last changed.
    updated_at: DateTime<Utc>,
}

/// The text of a lesson.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LessonText")]
pub(in crate::procedures) struct LessonOutput {
    /// Its number in the course.
    lesson_number: u32,
    /// Where it stands.
    status: LessonStatus,
    /// The text, once written.
    content: Option<LessonContent>,
    /// Why it could not be written; null: it was not tried, or it is written.
    failure: Option<String>,
    /// Words that the learner reads.
    word_count: u32,
    /// Since when a document on which it rests has changed; null: it is up to date.
    stale_since: Option<DateTime<Utc>>,
    /// What has changed; null: nothing.
    stale_reason: Option<StaleReason>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<StoredLesson> for LessonOutput {
    fn from(lesson: StoredLesson) -> Self {
        Self {
            lesson_number: lesson.lesson_number,
            status: lesson.status,
            content: lesson.content,
            failure: lesson.failure,
            word_count: lesson.word_count,
            stale_since: lesson.stale.map(|stale| stale.since),
            stale_reason: lesson.stale.map(|stale| stale.reason),
            updated_at: lesson.updated_at,
        }
    }
}

impl CourseOutput {
    /// What the actor may see of a course. The answer says its revision in `ETag`.
    pub(in crate::procedures) fn new(
        course: Course,
        lessons: Option<Vec<StoredLesson>>,
        actor: &Actor,
        call: &Call,
    ) -> Self {
        let is_insider = is_insider(actor, course.owner_id, course.organization_id);
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", course.revision)) {
            call.reply.set(header::ETAG, tag);
        }
        let inputs = course.inputs;
        Self {
            id: course.id,
            organization_id: course.organization_id,
            owner_id: course.owner_id,
            slug: course.slug,
            title: inputs.title,
            language: inputs.language,
            style: inputs.style,
            target_audience: inputs.target_audience,
            desired_lessons_count: inputs.desired_lessons_count,
            desired_modules_count: inputs.desired_modules_count,
            lesson_duration_minutes: inputs.lesson_duration_minutes,
            learning_outcomes: inputs.learning_outcomes,
            content_strategy: inputs.content_strategy,
            review: inputs.review,
            budget_usd: is_insider.then(|| inputs.budget.as_usd()),
            status: course.publication,
            generation_status: course.generation_status,
            current_generation_id: course.current_generation_id,
            generation_progress: course.progress,
            analysis_result: course.analysis.filter(|_| is_insider),
            course_structure: course.structure,
            generation_metadata: course.metadata.filter(|_| is_insider),
            quality_report: course.quality.filter(|_| is_insider),
            lessons: lessons.map(|lessons| lessons.into_iter().map(Into::into).collect()),
            sources: None,
            version: course.version,
            revision: course.revision,
            created_at: course.created_at,
            updated_at: course.updated_at,
        }
    }
}

impl CourseOutput {
    /// With what its lessons cite.
    #[must_use]
    pub(in crate::procedures) fn with_sources(mut self, sources: Option<Vec<CitedSource>>) -> Self {
        self.sources = sources;
        self
    }
}

/// A course that was made.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::procedures) struct CreatedCourse {
    /// Its id.
    id: CourseId,
    /// Its name in addresses.
    slug: String,
    /// The language that was found or given.
    language: Language,
    /// The style that is used.
    style: Style,
    /// What `expectedRevision` is compared with.
    revision: u32,
    /// What the author should know of the inputs.
    warnings: Vec<String>,
}

impl CreatedCourse {
    /// A course that was made.
    pub(in crate::procedures) fn new(course: Course, warnings: Vec<String>) -> Self {
        Self {
            id: course.id,
            slug: course.slug,
            language: course.inputs.language,
            style: course.inputs.style,
            revision: course.revision,
            warnings,
        }
    }
}

/// A course in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CourseSummary")]
pub(in crate::procedures) struct CourseSummaryOutput {
    /// Its id.
    id: CourseId,
    /// Its organization.
    organization_id: OrganizationId,
    /// Whose it is.
    owner_id: UserId,
    /// Its name in addresses.
    slug: String,
    /// The title that was asked for.
    title: String,
    /// Its language.
    language: Language,
    /// Where it stands with its readers.
    status: Publication,
    /// Where its latest generation stands; null: it was never generated.
    generation_status: Option<GenerationStatus>,
    /// The latest generation.
    current_generation_id: Option<GenerationId>,
    /// 0 to 100.
    progress: u8,
    /// Lesson texts that are written.
    lessons_completed: u32,
    /// Lesson texts in all.
    lessons_total: u32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When anything of it last changed.
    updated_at: DateTime<Utc>,
}

impl From<CourseSummary> for CourseSummaryOutput {
    fn from(course: CourseSummary) -> Self {
        Self {
            id: course.id,
            organization_id: course.organization_id,
            owner_id: course.owner_id,
            slug: course.slug,
            title: course.title,
            language: course.language,
            status: course.publication,
            generation_status: course.generation_status,
            current_generation_id: course.current_generation_id,
            progress: course.percentage,
            lessons_completed: course.lessons_completed,
            lessons_total: course.lessons_total,
            created_at: course.created_at,
            updated_at: course.updated_at,
        }
    }
}

/// A saved structure in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CourseVersion")]
pub(in crate::procedures) struct VersionOutput {
    /// 1, 2, 3 ... in its course.
    version: u32,
    /// Why it was saved, for people.
    cause: String,
    /// Who saved it; null: the program.
    author_id: Option<UserId>,
    /// The generation that made it.
    generation_id: Option<GenerationId>,
    /// When.
    created_at: DateTime<Utc>,
}

impl From<Version> for VersionOutput {
    fn from(version: Version) -> Self {
        Self {
            version: version.version,
            cause: version.cause,
            author_id: version.author_id,
            generation_id: version.generation_id,
            created_at: version.created_at,
        }
    }
}
