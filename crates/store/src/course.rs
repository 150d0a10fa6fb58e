//! Courses.

pub mod change;
pub mod copy;
mod slug;

use chrono::{DateTime, Utc};
use domain::analysis::AnalysisResult;
use domain::course::CourseInputs;
use domain::generation::{GenerationMetadata, GenerationProgress, GenerationStatus};
use domain::id::{CourseId, GenerationId, OrganizationId, UserId};
use domain::language::Language;
use domain::quality::QualityReport;
use domain::structure::CourseStructure;
use domain::usage::MicroUsd;
use serde_json::Value;
use uuid::Uuid;

use crate::error::StoreError;
use crate::json::{from_json, from_word, to_json, to_text};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, TenantTx, Tx};

statements! {
    INSERT_COURSE = "insert into courses (id, organization_id, owner_id, slug, title, language, style, target_audience,
            desired_lessons_count, desired_modules_count, lesson_duration_minutes, learning_outcomes,
            content_strategy, review, budget_usd_micros)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        on conflict do nothing";
    IS_OWN = "select exists (select from courses where id = $1 and owner_id = $2)";
    ELEVATE_OWNER = "select owner_id, case when owner_id = $2 and $3
            then set_config('role', 'service_role', true) end
        from courses where id = $1";
    GET_COURSE = "select * from courses where id = $1";
    FIND_BY_SLUG = "select id from courses where slug = $1 order by (organization_id = $2) desc limit 2";
    FIND_BY_PREFIX = "select id from courses where id::text like $1 || '%' limit 2";
    LIST_COURSES = "select id, organization_id, owner_id, slug, title, language, status, generation_status,
            current_generation_id, revision,
            coalesce((generation_progress ->> 'percentage')::int, 0) as percentage,
            coalesce((generation_progress ->> 'lessons_completed')::int, 0) as lessons_completed,
            coalesce((generation_progress ->> 'lessons_total')::int, 0) as lessons_total,
            created_at, updated_at
        from courses
        where ($1::uuid is null or organization_id = $1) and ($2::uuid is null or id < $2)
            and ($4::text is null or title ilike $4 or slug ilike $4)
            and ($5::text is null or status = $5)
            and ($6::text is null or generation_status = $6 or $6 = 'none' and generation_status is null)
            and ($7::uuid is null or owner_id = $7)
        order by id desc limit $3";
    DELETE_COURSE = "delete from courses where id = $1";
    UPDATE_ANALYSIS = "update courses set analysis_result = $2 where id = $1";
    UPDATE_COMPLETION = "update courses set generation_metadata = $2, quality_report = $3 where id = $1";
    GET_PROGRESS = "select generation_progress from courses where id = $1";
    GET_SUMMARY = "select get_generation_summary($1)";
}

/// The least characters of an id by which a course may be named.
const PREFIX_MIN: usize = 4;

/// A course with everything that belongs to it but the lesson contents.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// Its id.
    pub id: CourseId,
    /// Its tenant.
    pub organization_id: OrganizationId,
    /// Whose it is.
    pub owner_id: UserId,
    /// Its name in addresses, unique in the organization.
    pub slug: String,
    /// What was asked for.
    pub inputs: CourseInputs,
    /// `draft`, `published` or `archived`.
    pub publication: Publication,
    /// Where its latest generation stands; `None`: never generated.
    pub generation_status: Option<GenerationStatus>,
    /// The progress that front ends show.
    pub progress: GenerationProgress,
    /// The analysis, once made.
    pub analysis: Option<AnalysisResult>,
    /// The structure, once made.
    pub structure: Option<CourseStructure>,
    /// What the latest finished generation took.
    pub metadata: Option<GenerationMetadata>,
    /// How good the latest finished generation is.
    pub quality: Option<QualityReport>,
    /// The latest generation.
    pub current_generation_id: Option<GenerationId>,
    /// Number of saved structures.
    pub version: u32,
    /// Rises with every change of what people edit and of the structure: what editing is checked against.
    pub revision: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When anything of it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Where a course stands with its readers, apart from its generation.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Publication {
    /// Only its makers see it.
    Draft,
    /// The organization reads it.
    Published,
    /// Put away.
    Archived,
}

impl Publication {
    /// The name in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Archived => "archived",
        }
    }
}

/// A course in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CourseSummary {
    /// Its id.
    pub id: CourseId,
    /// Its tenant.
    pub organization_id: OrganizationId,
    /// Whose it is.
    pub owner_id: UserId,
    /// Its name in addresses.
    pub slug: String,
    /// The title that was asked for.
    pub title: String,
    /// Its language.
    pub language: Language,
    /// Where it stands with its readers.
    pub publication: Publication,
    /// Where its latest generation stands.
    pub generation_status: Option<GenerationStatus>,
    /// The latest generation.
    pub current_generation_id: Option<GenerationId>,
    /// 0 to 100.
    pub percentage: u8,
    /// Lesson texts that are written.
    pub lessons_completed: u32,
    /// Lesson texts in all.
    pub lessons_total: u32,
    /// Rises with every change of what people edit and of the structure.
    pub revision: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When anything of it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Whose courses are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tenants {
    /// Those of the actor's organization.
    #[default]
    Own,
    /// Those of one organization.
    One(OrganizationId),
    /// All that the actor may see.
    All,
}

/// Which courses are listed; all fields together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CourseFilter {
    /// Whose.
    pub tenants: Tenants,
    /// Words that follow each other somewhere in the title or the name for addresses, without regard to case.
    pub search: Option<String>,
    /// Where they stand with their readers.
    pub publication: Option<Publication>,
    /// Where their latest generation stands; `Some(None)`: never generated.
    pub generation_status: Option<Option<GenerationStatus>>,
    /// Whose they are.
    pub owner: Option<UserId>,
}

/// Adds a course of the actor.
///
/// # Errors
/// [`StoreError::Forbidden`] if the actor's role may not make courses.
pub async fn insert_course(tx: &mut TenantTx, inputs: &CourseInputs) -> Result<Course, StoreError> {
    // The same at every try of the transaction: a course whose commit was done but not heard of is known again.
    let id = CourseId::from_uuid(tx.stable_id());
    let slug = slug::from_title(&inputs.title);
    if !try_insert(tx, id, &slug, inputs).await? {
        let digits = id.as_uuid().simple().to_string();
        // The random end of a UUIDv7; its beginning is the time.
        let distinct = format!("{slug}-{}", &digits[digits.len() - 8..]);
        if !is_own(tx, id).await? && !try_insert(tx, id, &distinct, inputs).await? {
            return Err(StoreError::Conflict(format!(
                "a course named '{distinct}' exists already"
            )));
        }
    }
    get_course(tx, id).await
}

async fn is_own(tx: &mut TenantTx, id: CourseId) -> Result<bool, StoreError> {
    let user = tx.actor().user_id.as_uuid();
    Ok(sqlx::query_scalar(IS_OWN)
        .bind(id.as_uuid())
        .bind(user)
        .fetch_one(tx.connection())
        .await?)
}

/// Makes sure that the actor may author this course, and goes on as the program, all in one round trip.
pub(crate) async fn check_own_and_elevate(
    tx: &mut TenantTx,
    id: CourseId,
    refusal: &str,
) -> Result<(), StoreError> {
    let actor = *tx.actor();
    let found: Option<(Uuid, Option<String>)> = sqlx::query_as(ELEVATE_OWNER)
        .bind(id.as_uuid())
        .bind(actor.user_id.as_uuid())
        .bind(actor.role.may_author())
        .fetch_optional(tx.connection())
        .await?;
    match found {
        None => Err(not_found(&id.to_string())),
        Some((_, None)) => Err(StoreError::Forbidden(refusal.to_owned())),
        Some((_, Some(_))) => Ok(()),
    }
}

async fn try_insert(
    tx: &mut TenantTx,
    id: CourseId,
    slug: &str,
    inputs: &CourseInputs,
) -> Result<bool, StoreError> {
    let actor = *tx.actor();
    let outcomes: Vec<String> = inputs
        .learning_outcomes
        .iter()
        .map(|text| to_text(text))
        .collect();
    let inserted = sqlx::query(INSERT_COURSE)
        .bind(id.as_uuid())
        .bind(actor.organization_id.as_uuid())
        .bind(actor.user_id.as_uuid())
        .bind(slug)
        .bind(to_text(&inputs.title))
        .bind(inputs.language.code())
        .bind(inputs.style.as_str())
        .bind(inputs.target_audience.as_deref().map(to_text))
        .bind(inputs.desired_lessons_count.map(u32::cast_signed))
        .bind(inputs.desired_modules_count.map(u32::cast_signed))
        .bind(inputs.lesson_duration_minutes.map(u32::cast_signed))
        .bind(outcomes)
        .bind(inputs.content_strategy.as_str())
        .bind(inputs.review)
        .bind(inputs.budget.0)
        .execute(tx.connection())
        .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The course.
///
/// # Errors
/// [`StoreError::NotFound`] if it does not exist or is invisible.
pub async fn get_course(tx: &mut impl Tx, id: CourseId) -> Result<Course, StoreError> {
    let row: Option<CourseRow> = sqlx::query_as(GET_COURSE)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.ok_or_else(|| not_found(&id.to_string()))?.into_course()
}

/// The course with this id or slug; of several with this slug, the one of the actor's organization.
///
/// # Errors
/// [`StoreError::NotFound`] if there is none.
pub async fn find_named_course(tx: &mut TenantTx, key: &str) -> Result<Course, StoreError> {
    if let Ok(id) = key.parse::<CourseId>() {
        return get_course(tx, id).await;
    }
    let organization = tx.actor().organization_id.as_uuid();
    let named: Vec<Uuid> = sqlx::query_scalar(FIND_BY_SLUG)
        .bind(key)
        .bind(organization)
        .fetch_all(tx.connection())
        .await?;
    match named.first() {
        Some(id) => get_course(tx, CourseId::from_uuid(*id)).await,
        None => Err(not_found(key)),
    }
}

/// The course with this id, slug, or beginning of an id of at least four characters.
///
/// # Errors
/// [`StoreError::NotFound`] if there is none, [`StoreError::Ambiguous`] if several ids begin like that.
pub async fn find_course(tx: &mut TenantTx, key: &str) -> Result<Course, StoreError> {
    let key = key.trim();
    match find_named_course(tx, key).await {
        Err(StoreError::NotFound { .. }) => {}
        found => return found,
    }
    let prefix = key.to_ascii_lowercase();
    if prefix.len() < PREFIX_MIN
        || !prefix
            .chars()
            .all(|digit| digit.is_ascii_hexdigit() || digit == '-')
    {
        return Err(not_found(key));
    }
    let found: Vec<Uuid> = sqlx::query_scalar(FIND_BY_PREFIX)
        .bind(&prefix)
        .fetch_all(tx.connection())
        .await?;
    match found.as_slice() {
        [] => Err(not_found(key)),
        [id] => get_course(tx, CourseId::from_uuid(*id)).await,
        _ => Err(StoreError::Ambiguous {
            what: "course",
            key: key.to_owned(),
        }),
    }
}

/// The courses that the actor may see and that the filter lets pass, the newest first. `before` is the last id of the
/// page before.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_courses(
    tx: &mut TenantTx,
    filter: &CourseFilter,
    before: Option<CourseId>,
    limit: u32,
) -> Result<Vec<CourseSummary>, StoreError> {
    let organization = match filter.tenants {
        Tenants::Own => Some(tx.actor().organization_id),
        Tenants::One(organization) => Some(organization),
        Tenants::All => None,
    };
    let status = filter
        .generation_status
        .map(|status| status.map_or("none", GenerationStatus::as_str));
    let rows: Vec<SummaryRow> = sqlx::query_as(LIST_COURSES)
        .bind(organization.map(OrganizationId::as_uuid))
        .bind(before.map(CourseId::as_uuid))
        .bind(i64::from(limit))
        .bind(filter.search.as_deref().map(pattern))
        .bind(filter.publication.map(Publication::as_str))
        .bind(status)
        .bind(filter.owner.map(UserId::as_uuid))
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(SummaryRow::into_summary).collect()
}

/// The text anywhere, for `ilike`.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in to_text(text.trim()).chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// Removes a course of the actor with everything that belongs to it; its work stops, as its jobs are gone.
///
/// # Errors
/// [`StoreError::NotFound`] if it does not exist or is not the actor's.
pub async fn delete_course(tx: &mut TenantTx, id: CourseId) -> Result<(), StoreError> {
    let deleted = sqlx::query(DELETE_COURSE)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    if deleted.rows_affected() == 0 {
        Err(not_found(&id.to_string()))
    } else {
        Ok(())
    }
}

/// The progress alone: what a watcher polls.
///
/// # Errors
/// [`StoreError::NotFound`] if the course does not exist or is invisible.
pub async fn get_progress(tx: &mut impl Tx, id: CourseId) -> Result<GenerationProgress, StoreError> {
    let progress: Option<Value> = sqlx::query_scalar(GET_PROGRESS)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    from_json(progress.ok_or_else(|| not_found(&id.to_string()))?, "progress")
}

/// The summary for operators (data model 2.8).
///
/// # Errors
/// [`StoreError::NotFound`] if the course does not exist or is invisible.
pub async fn get_generation_summary(tx: &mut impl Tx, id: CourseId) -> Result<Value, StoreError> {
    let summary: Option<Option<Value>> = sqlx::query_scalar(GET_SUMMARY)
        .bind(id.as_uuid())
        .fetch_optional(tx.connection())
        .await?;
    summary.flatten().ok_or_else(|| not_found(&id.to_string()))
}

/// Saves the analysis.
///
/// # Errors
/// [`StoreError::NotFound`] if the course was deleted meanwhile.
pub async fn save_analysis(
    tx: &mut impl Tx,
    id: CourseId,
    analysis: &AnalysisResult,
) -> Result<(), StoreError> {
    let json = to_json(analysis, "analysis")?;
    let saved = sqlx::query(UPDATE_ANALYSIS)
        .bind(id.as_uuid())
        .bind(json)
        .execute(tx.connection())
        .await?;
    if saved.rows_affected() == 0 {
        Err(not_found(&id.to_string()))
    } else {
        Ok(())
    }
}

/// Saves what the generation took and how good the course is.
///
/// # Errors
/// [`StoreError::NotFound`] if the course was deleted meanwhile.
pub async fn save_completion(
    tx: &mut SystemTx,
    id: CourseId,
    metadata: &GenerationMetadata,
    report: &QualityReport,
) -> Result<(), StoreError> {
    let saved = sqlx::query(UPDATE_COMPLETION)
        .bind(id.as_uuid())
        .bind(to_json(metadata, "generation metadata")?)
        .bind(to_json(report, "quality report")?)
        .execute(tx.connection())
        .await?;
    if saved.rows_affected() == 0 {
        Err(not_found(&id.to_string()))
    } else {
        Ok(())
    }
}

pub(crate) fn not_found(key: &str) -> StoreError {
    StoreError::NotFound {
        what: "course",
        key: key.to_owned(),
    }
}

#[derive(sqlx::FromRow)]
struct CourseRow {
    id: Uuid,
    organization_id: Uuid,
    owner_id: Uuid,
    slug: String,
    title: String,
    language: String,
    style: String,
    target_audience: Option<String>,
    desired_lessons_count: Option<i32>,
    desired_modules_count: Option<i32>,
    lesson_duration_minutes: Option<i32>,
    learning_outcomes: Vec<String>,
    content_strategy: String,
    review: bool,
    budget_usd_micros: i64,
    analysis_result: Option<Value>,
    course_structure: Option<Value>,
    generation_metadata: Option<Value>,
    quality_report: Option<Value>,
    generation_progress: Value,
    generation_status: Option<String>,
    current_generation_id: Option<Uuid>,
    status: String,
    version: i32,
    revision: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl CourseRow {
    fn into_course(self) -> Result<Course, StoreError> {
        let inputs = CourseInputs {
            title: self.title,
            language: from_word(self.language, "language")?,
            style: from_word(self.style, "style")?,
            target_audience: self.target_audience,
            desired_lessons_count: self.desired_lessons_count.map(i32::cast_unsigned),
            desired_modules_count: self.desired_modules_count.map(i32::cast_unsigned),
            lesson_duration_minutes: self.lesson_duration_minutes.map(i32::cast_unsigned),
            learning_outcomes: self.learning_outcomes,
            content_strategy: from_word(self.content_strategy, "content strategy")?,
            review: self.review,
            budget: MicroUsd(self.budget_usd_micros),
        };
        Ok(Course {
            id: CourseId::from_uuid(self.id),
            organization_id: OrganizationId::from_uuid(self.organization_id),
            owner_id: UserId::from_uuid(self.owner_id),
            slug: self.slug,
            inputs,
            publication: from_word(self.status, "publication status")?,
            generation_status: self
                .generation_status
                .map(|status| from_word(status, "generation status"))
                .transpose()?,
            progress: from_json(self.generation_progress, "progress")?,
            analysis: self
                .analysis_result
                .map(|json| from_json(json, "analysis"))
                .transpose()?,
            structure: self
                .course_structure
                .map(|json| from_json(json, "structure"))
                .transpose()?,
            metadata: self
                .generation_metadata
                .map(|json| from_json(json, "generation metadata"))
                .transpose()?,
            quality: self
                .quality_report
                .map(|json| from_json(json, "quality report"))
                .transpose()?,
            current_generation_id: self.current_generation_id.map(GenerationId::from_uuid),
            version: self.version.cast_unsigned(),
            revision: self.revision.cast_unsigned(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

#[derive(sqlx::FromRow)]
struct SummaryRow {
    id: Uuid,
    organization_id: Uuid,
    owner_id: Uuid,
    slug: String,
    title: String,
    language: String,
    status: String,
    generation_status: Option<String>,
    current_generation_id: Option<Uuid>,
    percentage: i32,
    lessons_completed: i32,
    lessons_total: i32,
    revision: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl SummaryRow {
    fn into_summary(self) -> Result<CourseSummary, StoreError> {
        Ok(CourseSummary {
            id: CourseId::from_uuid(self.id),
            organization_id: OrganizationId::from_uuid(self.organization_id),
            owner_id: UserId::from_uuid(self.owner_id),
            slug: self.slug,
            title: self.title,
            language: from_word(self.language, "language")?,
            publication: from_word(self.status, "publication status")?,
            generation_status: self
                .generation_status
                .map(|status| from_word(status, "generation status"))
                .transpose()?,
            current_generation_id: self.current_generation_id.map(GenerationId::from_uuid),
            percentage: u8::try_from(self.percentage).unwrap_or(100),
            lessons_completed: self.lessons_completed.cast_unsigned(),
            lessons_total: self.lessons_total.cast_unsigned(),
            revision: self.revision.cast_unsigned(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
