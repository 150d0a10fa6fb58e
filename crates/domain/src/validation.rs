//! The rules of data model 2.3, and what 2.1, 2.4 and 2.5 demand beyond the types.
//!
//! Every function gives all findings, never only the first: they go back to the model as feedback and to the author
//! as explanation. A part can be checked before the whole exists; its paths then begin at the part.

pub mod analysis;
pub mod content;
pub mod coverage;
mod duration;
mod language;
mod numbering;
mod objectives;
mod placeholders;
mod prose;
mod repeats;
mod text;
mod topics;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use analysis::validate_analysis;
pub use content::validate_lesson_content;
pub use coverage::{near_duplicate_findings, outcome_coverage_findings};
pub use language::{is_in_language, mismatched_language};
pub use placeholders::find_placeholder;
pub use repeats::drop_repeated_sentences;
pub use topics::TitleIndex;

use crate::language::Language;
use crate::limits;
use crate::structure::{CourseStructure, DifficultyLevel, Lesson, Section};
use crate::taxonomy;
use text::Checker;

/// How bad a finding is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Must be mended: retry with the message as feedback.
    Error,
    /// Recorded and shown.
    Warning,
    /// Good to know.
    Info,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)+) => {
        /// A rule with a stable name; programs and translations refer to it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Rule {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

rules! {
    /// A text is shorter or longer than its limit.
    Length = "length";
    /// A list has fewer or more entries than its limit, or the course fewer than ten lessons.
    Count = "count";
    /// A number is outside its limits.
    Range = "range";
    /// A section or a lesson does not carry its number.
    Numbering = "numbering";
    /// A computed duration or total differs from the sum of its parts.
    Totals = "totals";
    /// A list whose entries must differ repeats one.
    Distinct = "distinct";
    /// More sections or lessons than is advisable.
    Size = "size";
    /// Placeholder text.
    Placeholder = "placeholder";
    /// An objective that no test can measure.
    ObjectiveUnmeasurable = "objective_unmeasurable";
    /// An objective that does not begin with a verb of Bloom's taxonomy.
    ObjectiveVerb = "objective_verb";
    /// An objective under four words.
    ObjectiveShort = "objective_short";
    /// A single generic word as a key topic.
    TopicGeneric = "topic_generic";
    /// Lesson titles that are equal.
    TitleRepeated = "title_repeated";
    /// Key topics that are equal.
    TopicRepeated = "topic_repeated";
    /// Titles or topics that mean nearly the same.
    NearDuplicate = "near_duplicate";
    /// Too few or too many minutes for a lesson's topics and objectives.
    LessonTime = "lesson_time";
    /// Bloom levels never rise over the course.
    BloomFlat = "bloom_flat";
    /// A section asks for one Bloom level only.
    BloomSingleLevel = "bloom_single_level";
    /// A text in another language than the course's.
    Language = "language";
    /// A learning outcome that no lesson serves.
    OutcomeUnserved = "outcome_unserved";
    /// A learning outcome of the user's that the course does not have.
    UserOutcomeMissing = "user_outcome_missing";
    /// A key topic that no block of the lesson's text covers.
    TopicUncovered = "topic_uncovered";
    /// A quiz question whose answers do not fit its kind or its options.
    QuizAnswers = "quiz_answers";
    /// A quiz question that belongs to no objective of the lesson.
    QuizObjective = "quiz_objective";
    /// Exercises that differ from the lesson specification's.
    ExerciseMismatch = "exercise_mismatch";
    /// A lesson text too short or too long for its minutes.
    LessonLength = "lesson_length";
    /// A sentence that a lesson text repeats.
    SentenceRepeated = "sentence_repeated";
    /// Prerequisites of sections that do not exist or go in a circle.
    SectionPrerequisites = "section_prerequisites";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One breach of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// Where: `sections[2].lessons[0].lesson_objectives[1]`, indexes from 0; empty for the whole.
    pub path: String,
    /// The limit, the value and what to write instead, as sentences for a model and for a person.
    pub message: String,
}

impl Finding {
    /// A finding; the path is empty for the whole.
    pub fn new(rule: Rule, severity: Severity, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity,
            path: path.into(),
            message: message.into(),
        }
    }

    /// Whether it must be mended.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Whether any finding must be mended.
pub fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(Finding::is_error)
}

/// The errors and warnings as lines for a model, the errors first; at most `max_lines`.
pub fn feedback(findings: &[Finding], max_lines: usize) -> String {
    let mut relevant: Vec<_> = findings
        .iter()
        .filter(|finding| finding.severity != Severity::Info)
        .collect();
    relevant.sort_by_key(|finding| finding.severity);
    let lines: Vec<_> = relevant
        .iter()
        .take(max_lines)
        .map(|finding| format!("- {finding}"))
        .collect();
    lines.join("\n")
}

/// What a check needs to know about the course.
#[derive(Clone, Copy, Debug)]
pub struct ValidationContext<'a> {
    /// The language of all its texts.
    pub language: Language,
    /// How hard it is; decides how much time a lesson may take. [`validate_structure`] takes the structure's own.
    pub difficulty: DifficultyLevel,
    /// The user's own learning outcomes, which are constraints; empty where there are none.
    pub user_outcomes: &'a [String],
}

impl ValidationContext<'_> {
    /// A beginner's course in `language` without outcomes of the user's.
    pub const fn new(language: Language) -> Self {
        Self {
            language,
            difficulty: DifficultyLevel::Beginner,
            user_outcomes: &[],
        }
    }
}

/// Every rule on a whole structure that needs no embeddings; for those see [`coverage`].
pub fn validate_structure(structure: &CourseStructure, ctx: &ValidationContext<'_>) -> Vec<Finding> {
    let ctx = ValidationContext {
        difficulty: structure.difficulty_level,
        ..*ctx
    };
    let mut checker = Checker::new(ctx);
    check_metadata(&mut checker, structure);
    for (section, index) in structure.sections.iter().zip(0..) {
        check_section(&mut checker, &format!("sections[{index}]"), section);
    }
    numbering::check(&mut checker, structure);
    topics::check_repeats(&mut checker, &structure.sections);
    objectives::check_profile(&mut checker, &taxonomy::bloom_profile(structure, ctx.language));
    checker.into_findings()
}

/// Everything of a structure but its sections, which may still be empty. Computed durations are not looked at.
pub fn validate_metadata(structure: &CourseStructure, ctx: &ValidationContext<'_>) -> Vec<Finding> {
    let mut checker = Checker::new(*ctx);
    check_metadata(&mut checker, structure);
    checker.into_findings()
}

/// One section with its lessons. Its numbers and computed duration are not looked at: renumbering sets them.
/// Titles and topics that `elsewhere` holds count as repeated.
pub fn validate_section(
    section: &Section,
    ctx: &ValidationContext<'_>,
    elsewhere: &TitleIndex,
) -> Vec<Finding> {
    let mut checker = Checker::new(*ctx);
    check_section(&mut checker, "", section);
    topics::check_section_repeats(&mut checker, section, elsewhere);
    checker.into_findings()
}

/// One lesson specification. Its number is not looked at. Titles and topics that `elsewhere` holds count as repeated.
pub fn validate_lesson(lesson: &Lesson, ctx: &ValidationContext<'_>, elsewhere: &TitleIndex) -> Vec<Finding> {
    let mut checker = Checker::new(*ctx);
    check_lesson(&mut checker, "", lesson);
    topics::check_lesson_repeats(&mut checker, lesson, elsewhere);
    checker.into_findings()
}

fn check_metadata(checker: &mut Checker<'_>, course: &CourseStructure) {
    checker.text("course_title", &course.course_title, limits::COURSE_TITLE);
    checker.text(
        "course_description",
        &course.course_description,
        limits::COURSE_DESCRIPTION,
    );
    checker.text(
        "course_overview",
        &course.course_overview,
        limits::COURSE_OVERVIEW,
    );
    checker.text(
        "target_audience",
        &course.target_audience,
        limits::TARGET_AUDIENCE,
    );
    checker.texts(
        "prerequisites",
        &course.prerequisites,
        limits::PREREQUISITES,
        limits::OUTCOME_SHORT,
    );
    checker.texts(
        "learning_outcomes",
        &course.learning_outcomes,
        limits::LEARNING_OUTCOMES,
        limits::LEARNING_OUTCOME,
    );
    objectives::check_outcomes(checker, &course.learning_outcomes);
    coverage::check_user_outcomes(checker, &course.learning_outcomes);
    let projects = course.assessment_strategy.practical_projects;
    checker.number(
        "assessment_strategy.practical_projects",
        usize::from(projects),
        limits::Limit::new(0, usize::from(limits::PRACTICAL_PROJECTS_MAX)),
    );
    checker.text(
        "assessment_strategy.assessment_description",
        &course.assessment_strategy.assessment_description,
        limits::ASSESSMENT_DESCRIPTION,
    );
    checker.texts(
        "course_tags",
        &course.course_tags,
        limits::COURSE_TAGS,
        limits::COURSE_TAG,
    );
    topics::check_distinct(checker, "course_tags", &course.course_tags);
}

fn check_section(checker: &mut Checker<'_>, path: &str, section: &Section) {
    checker.at(path, |checker| {
        checker.text("section_title", &section.section_title, limits::SECTION_TITLE);
        checker.text(
            "section_description",
            &section.section_description,
            limits::SECTION_DESCRIPTION,
        );
        checker.texts(
            "learning_objectives",
            &section.learning_objectives,
            limits::OBJECTIVES,
            limits::SECTION_OBJECTIVE,
        );
        objectives::check_section(checker, &section.learning_objectives);
        if section.lessons.is_empty() {
            checker.error(Rule::Count, "lessons", "has no lesson; write 1 or more");
        } else if section.lessons.len() > limits::SECTION_LESSONS_SOFT_MAX {
            let message = format!(
                "has {} lessons; up to {} are advisable: split the section",
                section.lessons.len(),
                limits::SECTION_LESSONS_SOFT_MAX
            );
            checker.warning(Rule::Size, "lessons", message);
        }
        for (lesson, index) in section.lessons.iter().zip(0..) {
            check_lesson(checker, &format!("lessons[{index}]"), lesson);
        }
    });
}

fn check_lesson(checker: &mut Checker<'_>, path: &str, lesson: &Lesson) {
    checker.at(path, |checker| {
        checker.text("lesson_title", &lesson.lesson_title, limits::LESSON_TITLE);
        checker.texts(
            "lesson_objectives",
            &lesson.lesson_objectives,
            limits::OBJECTIVES,
            limits::LESSON_OBJECTIVE,
        );
        objectives::check_lesson(checker, &lesson.lesson_objectives);
        checker.texts(
            "key_topics",
            &lesson.key_topics,
            limits::KEY_TOPICS,
            limits::KEY_TOPIC,
        );
        topics::check_generic(checker, &lesson.key_topics);
        checker.number(
            "estimated_duration_minutes",
            lesson.estimated_duration_minutes as usize,
            limits::LESSON_MINUTES,
        );
        duration::check(checker, lesson);
        checker.count(
            "practical_exercises",
            lesson.practical_exercises.len(),
            limits::EXERCISES,
        );
        for (exercise, index) in lesson.practical_exercises.iter().zip(0..) {
            let path = format!("practical_exercises[{index}]");
            checker.at(&path, |checker| {
                checker.text("exercise_title", &exercise.exercise_title, limits::EXERCISE_TITLE);
                checker.text(
                    "exercise_description",
                    &exercise.exercise_description,
                    limits::EXERCISE_DESCRIPTION,
                );
            });
        }
    });
}

#[cfg(test)]
mod tests;
