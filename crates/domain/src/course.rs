//! The inputs of a course (data model 2.0).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::ContentStrategy;
use crate::error::InvalidInput;
use crate::language::Language;
use crate::limits::{self, Limit, text_length};
use crate::style::Style;
use crate::usage::MicroUsd;

/// What the author does with the author's material, or `auto`: the analysis decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WishedStrategy {
    /// The analysis decides.
    #[default]
    Auto,
    /// From the title and the model's knowledge.
    CreateFromScratch,
    /// The author's material, widened.
    ExpandAndEnhance,
    /// The author's material, better taught.
    OptimizeExisting,
}

impl WishedStrategy {
    /// Every value, as the data model lists them.
    pub const ALL: [Self; 4] = [
        Self::Auto,
        Self::CreateFromScratch,
        Self::ExpandAndEnhance,
        Self::OptimizeExisting,
    ];

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::CreateFromScratch => "create_from_scratch",
            Self::ExpandAndEnhance => "expand_and_enhance",
            Self::OptimizeExisting => "optimize_existing",
        }
    }

    /// The decided strategy, if the author decided.
    pub const fn decided(self) -> Option<ContentStrategy> {
        match self {
            Self::Auto => None,
            Self::CreateFromScratch => Some(ContentStrategy::CreateFromScratch),
            Self::ExpandAndEnhance => Some(ContentStrategy::ExpandAndEnhance),
            Self::OptimizeExisting => Some(ContentStrategy::OptimizeExisting),
        }
    }
}

/// What the author asks for, as it came: nothing is checked yet. Only the title is required.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["title"]))]
pub struct CourseRequest {
    /// The title.
    #[schemars(length(min = limits::INPUT_TITLE.min, max = limits::INPUT_TITLE.max))]
    pub title: String,
    /// ISO 639-1 code or name; default: detected from the title.
    pub language: Option<String>,
    /// Name of a style; default `conversational`; an unknown one becomes that with a warning.
    pub style: Option<String>,
    /// For whom it is.
    #[schemars(length(max = limits::INPUT_AUDIENCE_MAX))]
    pub target_audience: Option<String>,
    /// Guidance.
    #[schemars(range(min = limits::DESIRED_LESSONS.min, max = limits::DESIRED_LESSONS.max))]
    pub desired_lessons_count: Option<i64>,
    /// Guidance.
    #[schemars(range(min = limits::DESIRED_SECTIONS.min, max = limits::DESIRED_SECTIONS.max))]
    pub desired_modules_count: Option<i64>,
    /// Minutes of a lesson.
    #[schemars(range(min = limits::LESSON_MINUTES.min, max = limits::LESSON_MINUTES.max))]
    pub lesson_duration_minutes: Option<i64>,
    /// Constraints.
    #[schemars(length(max = limits::INPUT_OUTCOMES_MAX), inner(length(min = limits::INPUT_OUTCOME.min, max = limits::INPUT_OUTCOME.max)))]
    pub learning_outcomes: Vec<String>,
    /// What is done with what the author brings.
    pub content_strategy: WishedStrategy,
    /// Pause after the structure.
    pub review: bool,
    /// The most that may be spent.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub budget_usd: Option<f64>,
}

/// The checked inputs of a course: every limit of data model 2.0 holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CourseInputs {
    /// The title, trimmed.
    pub title: String,
    /// The language of the course.
    pub language: Language,
    /// The style of all texts.
    pub style: Style,
    /// For whom it is.
    pub target_audience: Option<String>,
    /// Guidance.
    pub desired_lessons_count: Option<u32>,
    /// Guidance.
    pub desired_modules_count: Option<u32>,
    /// Minutes of a lesson, where the author decided.
    pub lesson_duration_minutes: Option<u32>,
    /// Constraints.
    pub learning_outcomes: Vec<String>,
    /// What is done with what the author brings.
    pub content_strategy: WishedStrategy,
    /// Pause after the structure.
    pub review: bool,
    /// The most that may be spent.
    pub budget: MicroUsd,
}

/// Something about the inputs that the author should know; work goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputWarning {
    /// The field.
    pub field: &'static str,
    /// What was done instead.
    pub message: String,
}

impl fmt::Display for InputWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl CourseRequest {
    /// Checks every limit of data model 2.0. `user_language` is used where the title does not tell its language.
    ///
    /// # Errors
    /// All fields that break a limit, each with the limit and the value; never only the first.
    pub fn check(
        &self,
        user_language: Language,
    ) -> Result<(CourseInputs, Vec<InputWarning>), Vec<InvalidInput>> {
        let mut errors = Vec::new();
        let mut warnings = Vec::new();
        check_text(&mut errors, "title", &self.title, limits::INPUT_TITLE);
        let language = match &self.language {
            Some(name) => name.parse().unwrap_or_else(|error| {
                errors.push(error);
                user_language
            }),
            None => Language::detect(&self.title).unwrap_or(user_language),
        };
        let style = self.style.as_deref().map_or(Style::default(), |name| {
            Style::from_name(name).unwrap_or_else(|| {
                let message = format!(
                    "'{name}' is not a known style; using '{}'",
                    Style::default().as_str()
                );
                warnings.push(InputWarning {
                    field: "style",
                    message,
                });
                Style::default()
            })
        });
        let target_audience = self
            .target_audience
            .as_ref()
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty());
        if let Some(audience) = &target_audience {
            check_text(
                &mut errors,
                "target_audience",
                audience,
                Limit::new(1, limits::INPUT_AUDIENCE_MAX),
            );
        }
        let desired_lessons_count = self.desired_lessons_count.and_then(|value| {
            let why = "a course has at least 10 lessons so that it can rise from basics to practice";
            check_number(
                &mut errors,
                "desired_lessons_count",
                value,
                limits::DESIRED_LESSONS,
                Some(why),
            )
        });
        let desired_modules_count = self.desired_modules_count.and_then(|value| {
            check_number(
                &mut errors,
                "desired_modules_count",
                value,
                limits::DESIRED_SECTIONS,
                None,
            )
        });
        let lesson_duration_minutes = self.lesson_duration_minutes.and_then(|value| {
            check_number(
                &mut errors,
                "lesson_duration_minutes",
                value,
                limits::LESSON_MINUTES,
                None,
            )
        });
        let learning_outcomes = self.check_outcomes(&mut errors);
        let budget_usd = self.budget_usd.unwrap_or(limits::BUDGET_USD_DEFAULT);
        if !(budget_usd.is_finite() && budget_usd > 0.0) {
            errors.push(InvalidInput::new(
                "budget_usd",
                format!("must be more than 0, not {budget_usd}"),
            ));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let inputs = CourseInputs {
            title: self.title.trim().to_owned(),
            language,
            style,
            target_audience,
            desired_lessons_count,
            desired_modules_count,
            lesson_duration_minutes,
            learning_outcomes,
            content_strategy: self.content_strategy,
            review: self.review,
            budget: MicroUsd::from_usd(budget_usd),
        };
        Ok((inputs, warnings))
    }

    fn check_outcomes(&self, errors: &mut Vec<InvalidInput>) -> Vec<String> {
        if self.learning_outcomes.len() > limits::INPUT_OUTCOMES_MAX {
            let message = format!(
                "at most {} allowed, not {}",
                limits::INPUT_OUTCOMES_MAX,
                self.learning_outcomes.len()
            );
            errors.push(InvalidInput::new("learning_outcomes", message));
        }
        for (outcome, index) in self.learning_outcomes.iter().zip(1..) {
            check_text(
                errors,
                &format!("learning_outcomes[{index}]"),
                outcome,
                limits::INPUT_OUTCOME,
            );
        }
        self.learning_outcomes
            .iter()
            .map(|outcome| outcome.trim().to_owned())
            .collect()
    }
}

fn check_text(errors: &mut Vec<InvalidInput>, field: &str, text: &str, limit: Limit) {
    let length = text_length(text);
    if length == 0 && limit.min > 0 {
        errors.push(InvalidInput::new(
            field,
            format!("must not be empty (1 to {} characters)", limit.max),
        ));
    } else if !limit.allows(length) {
        let message = format!(
            "must have {} to {} characters, not {length}",
            limit.min, limit.max
        );
        errors.push(InvalidInput::new(field, message));
    }
}

fn check_number(
    errors: &mut Vec<InvalidInput>,
    field: &str,
    value: i64,
    limit: Limit,
    why: Option<&str>,
) -> Option<u32> {
    let checked = u32::try_from(value)
        .ok()
        .filter(|&number| limit.allows(number as usize));
    if checked.is_none() {
        let reason = why.map(|text| format!(": {text}")).unwrap_or_default();
        let message = format!("must be from {} to {}, not {value}{reason}", limit.min, limit.max);
        errors.push(InvalidInput::new(field, message));
    }
    checked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(title: &str) -> CourseRequest {
        CourseRequest {
            title: title.to_owned(),
            ..CourseRequest::default()
        }
    }

    /// The names of the fields that are refused.
    fn check(change: impl FnOnce(&mut CourseRequest), refused: &[&str]) {
        let mut request = request("Practical SQL for Analysts");
        change(&mut request);
        let fields: Vec<_> = match request.check(Language::English) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.into_iter().map(|error| error.field).collect(),
        };
        assert_eq!(fields, refused);
    }

    #[test]
    fn only_the_title_is_required_and_the_rest_has_defaults() {
        let (inputs, warnings) = request("  Основы SQL  ")
            .check(Language::English)
            .expect("a title is enough");
        assert_eq!(inputs.title, "Основы SQL");
        assert_eq!(inputs.language, Language::Russian);
        assert_eq!(inputs.style, Style::Conversational);
        assert_eq!(inputs.budget, MicroUsd::from_usd(1.0));
        assert!(warnings.is_empty());
        let (inputs, _) = request("Kubernetes")
            .check(Language::French)
            .expect("a title is enough");
        assert_eq!(inputs.language, Language::French);
    }

    #[test]
    fn limits_hold_at_both_ends() {
        check(|request| request.title = " ".to_owned(), &["title"]);
        check(|request| request.title = "ж".repeat(1000), &[]);
        check(|request| request.title = "ж".repeat(1001), &["title"]);
        check(
            |request| request.target_audience = Some("x".repeat(1501)),
            &["target_audience"],
        );
        check(
            |request| request.desired_lessons_count = Some(9),
            &["desired_lessons_count"],
        );
        check(|request| request.desired_lessons_count = Some(10), &[]);
        check(
            |request| request.desired_lessons_count = Some(1001),
            &["desired_lessons_count"],
        );
        check(
            |request| request.desired_lessons_count = Some(-5),
            &["desired_lessons_count"],
        );
        check(
            |request| request.desired_modules_count = Some(0),
            &["desired_modules_count"],
        );
        check(|request| request.desired_modules_count = Some(200), &[]);
        check(
            |request| request.lesson_duration_minutes = Some(46),
            &["lesson_duration_minutes"],
        );
        check(
            |request| request.learning_outcomes = vec!["Sort tables".to_owned(); 16],
            &["learning_outcomes"],
        );
        check(
            |request| request.learning_outcomes = vec!["short".to_owned()],
            &["learning_outcomes[1]"],
        );
        check(|request| request.budget_usd = Some(0.0), &["budget_usd"]);
        check(|request| request.budget_usd = Some(f64::NAN), &["budget_usd"]);
        check(|request| request.language = Some("xx".to_owned()), &["language"]);
    }

    #[test]
    fn all_faults_are_told_at_once_and_too_few_lessons_say_why() {
        let request = CourseRequest {
            desired_lessons_count: Some(5),
            ..request("")
        };
        let errors = request.check(Language::English).expect_err("two faults");
        assert_eq!(errors.len(), 2);
        assert!(
            errors[1].message.contains("at least 10 lessons so that"),
            "{}",
            errors[1]
        );
    }

    #[test]
    fn an_unknown_style_is_a_warning() {
        let request = CourseRequest {
            style: Some("baroque".to_owned()),
            ..request("SQL")
        };
        let (inputs, warnings) = request.check(Language::English).expect("a warning only");
        assert_eq!(inputs.style, Style::Conversational);
        assert_eq!(
            warnings[0].to_string(),
            "style: 'baroque' is not a known style; using 'conversational'"
        );
    }
}
