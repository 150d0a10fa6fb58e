//! Courses: make, read, change, copy, put away, export.

mod change;
pub(crate) mod export;
pub(super) mod fields;
pub(super) mod output;

use domain::generation::GenerationStatus;
use domain::id::{CourseId, OrganizationId, UserId};
use domain::structure::CourseStructure;
use domain::user::{Actor, Role};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use store::citation::list_sources;
use store::course::{self, Course, CourseFilter, Publication, Tenants};
use store::error::StoreError;
use store::lesson::list_lessons;
use store::tier::check_tier_lasts;
use store::tx::TenantTx;
use store::version;

use super::error::{ApiError, ErrorCode};
use super::input::WRITTEN;
use super::page::{self, Done, Page};
use super::{Access, Call, Procedure, mutation, query};
use fields::{CourseFields, checked};
use output::{CourseOutput, CourseSummaryOutput, CreatedCourse, VersionOutput};

/// An id for examples.
pub(super) const EXAMPLE_ID: &str = "0198a000-0000-7000-8000-000000000001";

/// The rows of this file.
pub(super) fn procedures() -> Vec<Procedure> {
    let of_course = || json!({ "courseId": EXAMPLE_ID });
    vec![
        mutation(
            "courses.create",
            Access::Author,
            "Make a course; nothing is generated yet",
            create,
        )
        .fails(&[ErrorCode::TrialEnded])
        .example(json!({
            "title": "Practical SQL for analysts",
            "language": "en",
            "targetAudience": "Analysts who know spreadsheets",
            "desiredLessonsCount": 20,
            "learningOutcomes": ["Join tables and aggregate the result"],
        })),
        query(
            "courses.list",
            Access::User,
            "List the courses that one may see, the newest first",
            list,
        )
        .example(json!({ "search": "sql", "limit": 20 })),
        query("courses.get", Access::User, "Read a course", get)
            .fails(&[ErrorCode::NotFound])
            .example(of_course()),
        mutation(
            "courses.update",
            Access::Author,
            "Change a course: its inputs, its place with its readers, its structure",
            change::update,
        )
        .fails(&[ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::StaleRevision])
        .example(json!({ "courseId": EXAMPLE_ID, "expectedRevision": 3, "status": "published" })),
        mutation(
            "courses.delete",
            Access::Author,
            "Remove a course with everything that belongs to it",
            delete,
        )
        .fails(&[ErrorCode::NotFound])
        .example(of_course()),
        mutation(
            "courses.duplicate",
            Access::Author,
            "Copy a course into a draft of one's own",
            duplicate,
        )
        .fails(&[ErrorCode::TrialEnded, ErrorCode::NotFound])
        .example(of_course()),
        query(
            "courses.versions",
            Access::Author,
            "List the saved structures of a course",
            versions,
        )
        .fails(&[ErrorCode::NotFound])
        .example(of_course()),
        query(
            "courses.version",
            Access::Author,
            "Read a saved structure",
            version,
        )
        .fails(&[ErrorCode::NotFound])
        .example(json!({ "courseId": EXAMPLE_ID, "version": 1 })),
        mutation(
            "courses.restore",
            Access::Author,
            "Make a saved structure the present one",
            restore,
        )
        .fails(&[ErrorCode::NotFound, ErrorCode::Conflict])
        .example(json!({ "courseId": EXAMPLE_ID, "version": 1 })),
        query(
            "courses.export",
            Access::Author,
            "Write a course as a file",
            export::export_course,
        )
        .fails(&[
            ErrorCode::NotFound,
            ErrorCode::Conflict,
            ErrorCode::GenerationNotCompleted,
        ])
        .example(json!({ "courseId": EXAMPLE_ID, "format": "markdown" })),
    ]
}

/// A course.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OfCourse {
    /// The course.
    pub(super) course_id: CourseId,
}

/// What an author asks for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("additionalProperties" = false))]
struct CreateInput {
    /// The title.
    #[schemars(length(min = 1, max = 1000), regex(pattern = WRITTEN))]
    title: String,
    /// Everything else.
    #[serde(flatten)]
    fields: CourseFields,
}

async fn create(call: Call, input: CreateInput) -> Result<CreatedCourse, ApiError> {
    let (inputs, warnings) = checked(&call, input.title, input.fields)?;
    let actor = call.actor()?;
    let now = call.service.clock.now();
    let course = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            check_tier_lasts(tx, now).await?;
            course::insert_course(tx, &inputs).await
        })
        .await?;
    Ok(CreatedCourse::new(course, warnings))
}

/// Which courses are listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListInput {
    /// Words of the title or of the name in addresses.
    #[schemars(length(min = 1, max = 200))]
    search: Option<String>,
    /// Where they stand with their readers.
    status: Option<Publication>,
    /// Where their latest generation stands.
    generation_status: Option<GenerationStatus>,
    /// Whose they are.
    owner_id: Option<UserId>,
    /// The `nextCursor` of the page before.
    cursor: Option<CourseId>,
    /// Items of a page.
    #[schemars(range(min = 1, max = page::MOST))]
    limit: Option<u32>,
}

async fn list(call: Call, input: ListInput) -> Result<Page<CourseSummaryOutput>, ApiError> {
    let filter = CourseFilter {
        tenants: Tenants::Own,
        search: input.search,
        publication: input.status,
        generation_status: input.generation_status.map(Some),
        owner: input.owner_id,
    };
    list_filtered(&call, filter, input.cursor, input.limit).await
}

/// The courses of a filter.
pub(super) async fn list_filtered(
    call: &Call,
    filter: CourseFilter,
    cursor: Option<CourseId>,
    limit: Option<u32>,
) -> Result<Page<CourseSummaryOutput>, ApiError> {
    let actor = call.actor()?;
    let rows = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            course::list_courses(tx, &filter, cursor, page::rows_for(limit)).await
        })
        .await?;
    Ok(Page::of(rows, limit, |row| row.id.to_string()))
}

/// Which course is read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GetInput {
    /// The course.
    course_id: CourseId,
    /// Whether the texts of the lessons come with it.
    include_lessons: Option<bool>,
}

async fn get(call: Call, input: GetInput) -> Result<CourseOutput, ApiError> {
    let actor = call.actor()?;
    let id = input.course_id;
    let with_lessons = input.include_lessons.unwrap_or(false);
    let (course, lessons, sources) = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            let course = course::get_course(tx, id).await?;
            if !with_lessons {
                return Ok((course, None, None));
            }
            let lessons = list_lessons(tx, id).await?;
            Ok((course, Some(lessons), Some(list_sources(tx, id).await?)))
        })
        .await?;
    Ok(CourseOutput::new(course, lessons, &actor, &call).with_sources(sources))
}

async fn delete(call: Call, input: OfCourse) -> Result<Done, ApiError> {
    let actor = call.actor()?;
    let id = input.course_id;
    call.service
        .store
        .with_tenant(&actor, async move |tx| {
            // Whoever sees it hears that it is not theirs; the row itself would only be absent.
            let course = course::get_course(tx, id).await?;
            check_owner(&actor, &course)?;
            course::delete_course(tx, id).await
        })
        .await?;
    Ok(Done::DONE)
}

async fn duplicate(call: Call, input: OfCourse) -> Result<CourseOutput, ApiError> {
    let actor = call.actor()?;
    let (id, now) = (input.course_id, call.service.clock.now());
    let copy = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            check_tier_lasts(tx, now).await?;
            course::copy::duplicate_course(tx, id).await
        })
        .await?;
    Ok(CourseOutput::new(copy, None, &actor, &call))
}

async fn versions(call: Call, input: OfCourse) -> Result<Page<VersionOutput>, ApiError> {
    let actor = call.actor()?;
    let id = input.course_id;
    let rows = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            get_as_insider(tx, &actor, id).await?;
            version::list_versions(tx, id).await
        })
        .await?;
    Ok(Page::whole(rows))
}

/// A saved structure of a course.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfVersion {
    /// The course.
    course_id: CourseId,
    /// Its number: 1, 2, 3 ...
    #[schemars(range(min = 1, max = 1_000_000))]
    version: u32,
}

async fn version(call: Call, input: OfVersion) -> Result<CourseStructure, ApiError> {
    let actor = call.actor()?;
    let OfVersion { course_id, version } = input;
    let structure = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            get_as_insider(tx, &actor, course_id).await?;
            version::get_version(tx, course_id, version).await
        })
        .await?;
    Ok(structure)
}

async fn restore(call: Call, input: OfVersion) -> Result<CourseOutput, ApiError> {
    let actor = call.actor()?;
    let OfVersion { course_id, version } = input;
    let course = call
        .service
        .store
        .with_tenant(&actor, async move |tx| {
            course::change::restore_version(tx, course_id, version).await
        })
        .await?;
    Ok(CourseOutput::new(course, None, &actor, &call))
}

/// Whether somebody may look behind a course: its owner, admins of its organization, superadmins (service 4.6).
pub(super) fn is_insider(actor: &Actor, owner: UserId, organization: OrganizationId) -> bool {
    match actor.role {
        Role::Superadmin => true,
        Role::Admin => organization == actor.organization_id,
        Role::Instructor => owner == actor.user_id,
        Role::Student => false,
    }
}

/// The course, if the actor may look behind it.
///
/// # Errors
/// [`StoreError::NotFound`] if it is invisible, [`StoreError::Forbidden`] if it is somebody else's.
pub(super) async fn get_as_insider(
    tx: &mut TenantTx,
    actor: &Actor,
    id: CourseId,
) -> Result<Course, StoreError> {
    let course = course::get_course(tx, id).await?;
    if is_insider(actor, course.owner_id, course.organization_id) {
        Ok(course)
    } else {
        Err(StoreError::Forbidden("this course is somebody else's".to_owned()))
    }
}

/// Whether it is the actor's own.
///
/// # Errors
/// [`StoreError::Forbidden`] if it is not.
pub(super) fn check_owner(actor: &Actor, course: &Course) -> Result<(), StoreError> {
    if course.owner_id == actor.user_id && actor.role.may_author() {
        Ok(())
    } else {
        Err(StoreError::Forbidden(
            "only its owner may do this with a course".to_owned(),
        ))
    }
}

/// The id of the course with this id or name in addresses, for addresses that name it so.
///
/// # Errors
/// [`ErrorCode::NotFound`] if there is none that the caller may see.
pub(crate) async fn id_of(call: &Call, key: String) -> Result<CourseId, ApiError> {
    let actor = call.actor()?;
    // The beginning of an id is a convenience of the command line: a name that was cut must not cancel another course.
    let course = call
        .service
        .store
        .with_tenant(&actor, async move |tx| course::find_named_course(tx, &key).await)
        .await?;
    tracing::Span::current().record("course_id", tracing::field::display(course.id));
    Ok(course.id)
}
