//! The course structure: sections, lesson specifications, exercises (data model 2.1).

mod near_miss;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits;
pub use near_miss::ReadExerciseType;

/// How much the learner must bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifficultyLevel {
    /// Nothing is assumed.
    Beginner,
    /// The basics are assumed.
    Intermediate,
    /// Working practice is assumed.
    Advanced,
}

impl DifficultyLevel {
    /// Every level, from the easiest.
    pub const ALL: [Self; 3] = [Self::Beginner, Self::Intermediate, Self::Advanced];

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Beginner => "beginner",
            Self::Intermediate => "intermediate",
            Self::Advanced => "advanced",
        }
    }
}

/// How learners are assessed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssessmentStrategy {
    /// Every section ends with a quiz.
    pub quiz_per_section: bool,
    /// The course ends with an exam.
    pub final_exam: bool,
    /// Number of practical projects.
    #[schemars(range(min = 0, max = limits::PRACTICAL_PROJECTS_MAX))]
    pub practical_projects: u8,
    /// What is assessed and how.
    #[schemars(length(min = limits::ASSESSMENT_DESCRIPTION.min, max = limits::ASSESSMENT_DESCRIPTION.max))]
    pub assessment_description: String,
}

/// A whole course, ready for its lesson texts to be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CourseStructure {
    /// The title.
    #[schemars(length(min = limits::COURSE_TITLE.min, max = limits::COURSE_TITLE.max))]
    pub course_title: String,
    /// An elevator pitch.
    #[schemars(length(min = limits::COURSE_DESCRIPTION.min, max = limits::COURSE_DESCRIPTION.max))]
    pub course_description: String,
    /// What the course is about, in full.
    #[schemars(length(min = limits::COURSE_OVERVIEW.min, max = limits::COURSE_OVERVIEW.max))]
    pub course_overview: String,
    /// For whom it is.
    #[schemars(length(min = limits::TARGET_AUDIENCE.min, max = limits::TARGET_AUDIENCE.max))]
    pub target_audience: String,
    /// Sum of all lesson minutes / 60. Computed, never asked of a model.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub estimated_duration_hours: f64,
    /// How much the learner must bring.
    pub difficulty_level: DifficultyLevel,
    /// What the learner must already have.
    #[schemars(length(max = limits::PREREQUISITES.max), inner(length(min = limits::OUTCOME_SHORT.min, max = limits::OUTCOME_SHORT.max)))]
    pub prerequisites: Vec<String>,
    /// What the learner can do at the end.
    #[schemars(length(min = limits::LEARNING_OUTCOMES.min, max = limits::LEARNING_OUTCOMES.max), inner(length(min = limits::LEARNING_OUTCOME.min, max = limits::LEARNING_OUTCOME.max)))]
    pub learning_outcomes: Vec<String>,
    /// How learners are assessed.
    pub assessment_strategy: AssessmentStrategy,
    /// Distinct tags.
    #[schemars(length(min = limits::COURSE_TAGS.min, max = limits::COURSE_TAGS.max), inner(length(min = limits::COURSE_TAG.min, max = limits::COURSE_TAG.max)), extend("uniqueItems" = true))]
    pub course_tags: Vec<String>,
    /// The sections, with at least ten lessons in all.
    #[schemars(length(min = 1))]
    pub sections: Vec<Section>,
}

/// A part of a course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// 1, 2, 3 ...
    #[schemars(range(min = 1))]
    pub section_number: u32,
    /// The title.
    #[schemars(length(min = limits::SECTION_TITLE.min, max = limits::SECTION_TITLE.max))]
    pub section_title: String,
    /// What it covers.
    #[schemars(length(min = limits::SECTION_DESCRIPTION.min, max = limits::SECTION_DESCRIPTION.max))]
    pub section_description: String,
    /// What the learner can do after it.
    #[schemars(length(min = limits::OBJECTIVES.min, max = limits::OBJECTIVES.max), inner(length(min = limits::SECTION_OBJECTIVE.min, max = limits::SECTION_OBJECTIVE.max)))]
    pub learning_objectives: Vec<String>,
    /// Sum of its lessons' minutes. Computed.
    pub estimated_duration_minutes: u32,
    /// Its lessons.
    #[schemars(length(min = 1))]
    pub lessons: Vec<Lesson>,
}

/// A lesson specification: the brief from which the lesson's text is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// Runs through the whole course: 1 .. N over all sections.
    #[schemars(range(min = 1))]
    pub lesson_number: u32,
    /// The title.
    #[schemars(length(min = limits::LESSON_TITLE.min, max = limits::LESSON_TITLE.max))]
    pub lesson_title: String,
    /// What the learner can do after it; each begins with a verb that a test can measure.
    #[schemars(length(min = limits::OBJECTIVES.min, max = limits::OBJECTIVES.max), inner(length(min = limits::LESSON_OBJECTIVE.min, max = limits::LESSON_OBJECTIVE.max)))]
    pub lesson_objectives: Vec<String>,
    /// What it is about.
    #[schemars(length(min = limits::KEY_TOPICS.min, max = limits::KEY_TOPICS.max), inner(length(min = limits::KEY_TOPIC.min, max = limits::KEY_TOPIC.max)))]
    pub key_topics: Vec<String>,
    /// Reading and working time. Injected from the inputs or the analysis, never generated.
    #[schemars(range(min = limits::LESSON_MINUTES.min, max = limits::LESSON_MINUTES.max))]
    pub estimated_duration_minutes: u32,
    /// What the learner does.
    #[schemars(length(min = limits::EXERCISES.min, max = limits::EXERCISES.max))]
    pub practical_exercises: Vec<Exercise>,
}

/// The kinds of exercises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExerciseType {
    /// The learner checks their own answers.
    SelfAssessment,
    /// A situation is analysed.
    CaseStudy,
    /// Something is made or done.
    HandsOn,
    /// A question is argued with others.
    Discussion,
    /// Questions with answers.
    Quiz,
    /// A situation is played through.
    Simulation,
    /// The learner writes down what they learnt.
    Reflection,
}

impl ExerciseType {
    /// Every type, as the data model lists them.
    pub const ALL: [Self; 7] = [
        Self::SelfAssessment,
        Self::CaseStudy,
        Self::HandsOn,
        Self::Discussion,
        Self::Quiz,
        Self::Simulation,
        Self::Reflection,
    ];

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SelfAssessment => "self_assessment",
            Self::CaseStudy => "case_study",
            Self::HandsOn => "hands_on",
            Self::Discussion => "discussion",
            Self::Quiz => "quiz",
            Self::Simulation => "simulation",
            Self::Reflection => "reflection",
        }
    }
}

/// Something that the learner does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exercise {
    /// The kind.
    pub exercise_type: ExerciseType,
    /// The title.
    #[schemars(length(min = limits::EXERCISE_TITLE.min, max = limits::EXERCISE_TITLE.max))]
    pub exercise_title: String,
    /// What to do.
    #[schemars(length(min = limits::EXERCISE_DESCRIPTION.min, max = limits::EXERCISE_DESCRIPTION.max))]
    pub exercise_description: String,
}

impl CourseStructure {
    /// Lessons over all sections.
    pub fn lesson_count(&self) -> usize {
        self.sections.iter().map(|section| section.lessons.len()).sum()
    }

    /// All lessons with their sections, in order.
    pub fn lessons(&self) -> impl Iterator<Item = (&Section, &Lesson)> {
        self.sections
            .iter()
            .flat_map(|section| section.lessons.iter().map(move |lesson| (section, lesson)))
    }

    /// Numbers sections 1, 2, 3 ... and lessons 1 .. N through the whole course, and computes all durations.
    /// Called after every edit, so that numbers never depend on who wrote the parts.
    pub fn renumber(&mut self) {
        let mut lesson_number = 0;
        let mut total_minutes = 0;
        for (section, section_number) in self.sections.iter_mut().zip(1..) {
            section.section_number = section_number;
            for lesson in &mut section.lessons {
                lesson_number += 1;
                lesson.lesson_number = lesson_number;
            }
            section.estimated_duration_minutes = section
                .lessons
                .iter()
                .map(|lesson| lesson.estimated_duration_minutes)
                .sum();
            total_minutes += section.estimated_duration_minutes;
        }
        self.estimated_duration_hours = hours(total_minutes);
    }
}

/// Minutes as hours, rounded to hundredths.
pub fn hours(minutes: u32) -> f64 {
    (f64::from(minutes) / 60.0 * 100.0).round() / 100.0
}

/// The words that fit a lesson of this many minutes: 120 to 180 a minute (data model 2.5).
pub const fn lesson_words(minutes: u32) -> limits::Limit {
    limits::Limit::new(
        limits::WORDS_A_MINUTE.min * minutes as usize,
        limits::WORDS_A_MINUTE.max * minutes as usize,
    )
}

#[cfg(test)]
mod tests;
