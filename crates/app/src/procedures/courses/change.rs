//! `courses.update`.

use axum::http::header;
use domain::course::{CourseRequest, WishedStrategy};
use domain::id::CourseId;
use domain::language::Language;
use domain::limits;
use domain::structure::CourseStructure;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use store::course::change::{CourseChanges, update_course, update_structure};
use store::course::{Course, Publication, get_course};

use super::output::CourseOutput;
use super::{check_owner, fields};
use crate::procedures::Call;
use crate::procedures::error::ApiError;
use crate::procedures::input::{WRITTEN, WRITTEN_OUTCOME};

/// What is to be changed; fields that are left out stay, fields that may be empty are emptied by null.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct UpdateInput {
    /// The course.
    course_id: CourseId,
    /// Nothing is changed if somebody changed the course since it had this revision. The same as `If-Match`.
    expected_revision: Option<u32>,
    /// The name in addresses.
    #[schemars(length(min = 1, max = 200), regex(pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"))]
    slug: Option<String>,
    /// The title.
    #[schemars(length(min = 1, max = 1000), regex(pattern = WRITTEN))]
    title: Option<String>,
    /// The language as an ISO 639-1 code.
    language: Option<Language>,
    /// The style of texts that are yet to be made.
    #[schemars(length(max = 100))]
    style: Option<String>,
    /// For whom it is.
    #[serde(default)]
    #[schemars(length(max = limits::INPUT_AUDIENCE_MAX), with = "Option<String>")]
    target_audience: Emptiable<String>,
    /// How many lessons there should be, as guidance.
    #[serde(default)]
    #[schemars(range(min = limits::DESIRED_LESSONS.min, max = limits::DESIRED_LESSONS.max), with = "Option<i64>")]
    desired_lessons_count: Emptiable<i64>,
    /// How many sections there should be, as guidance.
    #[serde(default)]
    #[schemars(range(min = limits::DESIRED_SECTIONS.min, max = limits::DESIRED_SECTIONS.max), with = "Option<i64>")]
    desired_modules_count: Emptiable<i64>,
    /// Minutes of a lesson.
    #[serde(default)]
    #[schemars(range(min = limits::LESSON_MINUTES.min, max = limits::LESSON_MINUTES.max), with = "Option<i64>")]
    lesson_duration_minutes: Emptiable<i64>,
    /// What learners must be able to do afterwards.
    #[schemars(
        length(max = limits::INPUT_OUTCOMES_MAX),
        inner(length(min = limits::INPUT_OUTCOME.min, max = limits::INPUT_OUTCOME.max), regex(pattern = WRITTEN_OUTCOME))
    )]
    learning_outcomes: Option<Vec<String>>,
    /// What is done with what the author brings.
    content_strategy: Option<WishedStrategy>,
    /// Whether generations pause after the structure.
    review: Option<bool>,
    /// The most that a generation may cost, in dollars.
    #[schemars(range(min = fields::BUDGET_MIN_USD, max = fields::BUDGET_MAX_USD))]
    budget_usd: Option<f64>,
    /// Where it stands with its readers.
    status: Option<Publication>,
    /// A new structure; numbers and durations are computed. Lessons that stay as they are keep their texts.
    course_structure: Option<CourseStructure>,
}

/// A field that can be emptied.
#[derive(Clone, Debug, Default)]
enum Emptiable<T> {
    /// It was left out: it stays.
    #[default]
    Stays,
    /// It becomes this; `None`: it was null and becomes empty.
    Becomes(Option<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Emptiable<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Option::deserialize(from).map(Self::Becomes)
    }
}

impl<T: Clone> Emptiable<T> {
    /// What it becomes, if that is something.
    fn value(&self) -> Option<T> {
        match self {
            Self::Stays => None,
            Self::Becomes(value) => value.clone(),
        }
    }

    /// What was checked in its place, if it was given.
    fn given<C>(&self, checked: C) -> Option<C> {
        match self {
            Self::Stays => None,
            Self::Becomes(_) => Some(checked),
        }
    }
}

/// Changes a course of the caller.
pub(super) async fn update(call: Call, input: UpdateInput) -> Result<CourseOutput, ApiError> {
    let actor = call.actor()?;
    let id = input.course_id;
    let expected = match input.expected_revision {
        Some(revision) => Some(revision),
        None => if_match(&call)?,
    };
    let store = &call.service.store;
    let present = store
        .with_tenant(&actor, async move |tx| {
            let course = get_course(tx, id).await?;
            check_owner(&actor, &course)?;
            Ok(course)
        })
        .await?;
    let changes = changes(&input, &present)?;
    let structure = input.course_structure.map(|mut structure| {
        structure.renumber();
        structure
    });
    let course = store
        .with_tenant(&actor, async move |tx| {
            let mut course = update_course(tx, id, expected, &changes).await?;
            if let Some(structure) = &structure {
                let revision = Some(course.revision);
                course = update_structure(tx, id, revision, structure, "edited by its author").await?;
            }
            Ok(course)
        })
        .await?;
    Ok(CourseOutput::new(course, None, &actor, &call))
}

/// The revision of `If-Match: "3"`.
fn if_match(call: &Call) -> Result<Option<u32>, ApiError> {
    let Some(tag) = call.header(header::IF_MATCH.as_str()) else {
        return Ok(None);
    };
    let revision = tag.trim().trim_start_matches("W/").trim_matches('"');
    revision.parse().map(Some).map_err(|_| {
        ApiError::field(
            "If-Match",
            "must be the revision of the course in quotes, such as \"3\"",
        )
    })
}

/// The changes, each within the limits of course inputs.
fn changes(input: &UpdateInput, present: &Course) -> Result<CourseChanges, ApiError> {
    let given_fields = fields::CourseFields {
        language: Some(input.language.unwrap_or(present.inputs.language)),
        style: input.style.clone(),
        target_audience: input.target_audience.value(),
        desired_lessons_count: input.desired_lessons_count.value(),
        desired_modules_count: input.desired_modules_count.value(),
        lesson_duration_minutes: input.lesson_duration_minutes.value(),
        learning_outcomes: input.learning_outcomes.clone(),
        content_strategy: input.content_strategy,
        review: input.review,
        budget_usd: input.budget_usd,
    };
    let title = input
        .title
        .clone()
        .unwrap_or_else(|| present.inputs.title.clone());
    let request: CourseRequest = given_fields.request(title, None);
    let (checked, _) = request.check(present.inputs.language)?;
    Ok(CourseChanges {
        slug: input.slug.clone(),
        title: input.title.as_ref().map(|_| checked.title),
        language: input.language,
        style: input.style.as_ref().map(|_| checked.style),
        target_audience: input.target_audience.given(checked.target_audience),
        desired_lessons_count: input.desired_lessons_count.given(checked.desired_lessons_count),
        desired_modules_count: input.desired_modules_count.given(checked.desired_modules_count),
        lesson_duration_minutes: input
            .lesson_duration_minutes
            .given(checked.lesson_duration_minutes),
        learning_outcomes: input
            .learning_outcomes
            .as_ref()
            .map(|_| checked.learning_outcomes),
        content_strategy: input.content_strategy,
        review: input.review,
        budget: input.budget_usd.map(|_| checked.budget),
        publication: input.status,
    })
}
