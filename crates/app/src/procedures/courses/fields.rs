//! What an author may ask for, on the wire.

use domain::course::{CourseInputs, CourseRequest, WishedStrategy};
use domain::language::Language;
use domain::limits;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::procedures::Call;
use crate::procedures::error::ApiError;
use crate::procedures::input::WRITTEN_OUTCOME;

/// The least budget, in dollars: the smallest amount that is counted.
pub(in crate::procedures) const BUDGET_MIN_USD: f64 = 0.000_001;
/// The most that a course may cost, in dollars: far above any real one.
pub(in crate::procedures) const BUDGET_MAX_USD: f64 = 1_000_000.0;

/// Everything that an author may ask for beside the title.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::procedures) struct CourseFields {
    /// The language as an ISO 639-1 code; default: detected from the title.
    pub(in crate::procedures) language: Option<Language>,
    /// The style of all texts; default `conversational`; an unknown one becomes that, with a warning.
    #[schemars(length(max = 100))]
    pub(in crate::procedures) style: Option<String>,
    /// For whom it is.
    #[schemars(length(max = limits::INPUT_AUDIENCE_MAX))]
    pub(in crate::procedures) target_audience: Option<String>,
    /// How many lessons there should be, as guidance.
    #[schemars(range(min = limits::DESIRED_LESSONS.min, max = limits::DESIRED_LESSONS.max))]
    pub(in crate::procedures) desired_lessons_count: Option<i64>,
    /// How many sections there should be, as guidance.
    #[schemars(range(min = limits::DESIRED_SECTIONS.min, max = limits::DESIRED_SECTIONS.max))]
    pub(in crate::procedures) desired_modules_count: Option<i64>,
    /// Minutes of a lesson.
    #[schemars(range(min = limits::LESSON_MINUTES.min, max = limits::LESSON_MINUTES.max))]
    pub(in crate::procedures) lesson_duration_minutes: Option<i64>,
    /// What learners must be able to do afterwards.
    #[schemars(
        length(max = limits::INPUT_OUTCOMES_MAX),
        inner(length(min = limits::INPUT_OUTCOME.min, max = limits::INPUT_OUTCOME.max), regex(pattern = WRITTEN_OUTCOME))
    )]
    pub(in crate::procedures) learning_outcomes: Option<Vec<String>>,
    /// What is done with what the author brings; default `auto`: the analysis decides.
    pub(in crate::procedures) content_strategy: Option<WishedStrategy>,
    /// Whether the generation pauses after the structure, for the author to look at it.
    pub(in crate::procedures) review: Option<bool>,
    /// The most that a generation may cost, in dollars.
    #[schemars(range(min = BUDGET_MIN_USD, max = BUDGET_MAX_USD))]
    pub(in crate::procedures) budget_usd: Option<f64>,
}

impl CourseFields {
    /// The request of the domain.
    pub(in crate::procedures) fn request(self, title: String, budget_usd: Option<f64>) -> CourseRequest {
        CourseRequest {
            title,
            language: self.language.map(|language| language.code().to_owned()),
            style: self.style,
            target_audience: self.target_audience,
            desired_lessons_count: self.desired_lessons_count,
            desired_modules_count: self.desired_modules_count,
            lesson_duration_minutes: self.lesson_duration_minutes,
            learning_outcomes: self.learning_outcomes.unwrap_or_default(),
            content_strategy: self.content_strategy.unwrap_or_default(),
            review: self.review.unwrap_or(false),
            budget_usd: self.budget_usd.or(budget_usd),
        }
    }
}

/// The checked inputs, and what the author should know of them.
///
/// # Errors
/// [`ApiError::invalid`] with every field that breaks a limit.
pub(in crate::procedures) fn checked(
    call: &Call,
    title: String,
    fields: CourseFields,
) -> Result<(CourseInputs, Vec<String>), ApiError> {
    let settings = &call.service.config.settings;
    let request = fields.request(title, settings.budget_usd);
    // Titles that do not tell their language are read as that of the messages that the author wants.
    let language = if call.speech.is_english() {
        Language::English
    } else {
        call.service.config.user_language
    };
    let (inputs, warnings) = request.check(language)?;
    Ok((inputs, warnings.iter().map(ToString::to_string).collect()))
}
