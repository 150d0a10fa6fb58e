//! Every limit of the data model (2.0, 2.1, 2.4, 2.5), once. Texts are measured in Unicode scalar values after
//! trimming; both ends are inclusive.

/// The allowed range of a length, a count or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The least allowed.
    pub min: usize,
    /// The most allowed.
    pub max: usize,
}

impl Limit {
    /// From `min` to `max`, both allowed.
    pub const fn new(min: usize, max: usize) -> Self {
        Self { min, max }
    }

    /// Whether `value` is allowed.
    pub const fn allows(self, value: usize) -> bool {
        self.min <= value && value <= self.max
    }
}

/// The length of a text as limits measure it: without blanks around it, and without NULs, which no database keeps.
pub fn text_length(text: &str) -> usize {
    let kept = text.trim().chars().filter(|&letter| letter != '\0');
    if kept.clone().all(char::is_whitespace) {
        return 0;
    }
    kept.count()
}

/// `title` as the user gives it (2.0).
pub const INPUT_TITLE: Limit = Limit::new(1, 1000);
/// `target_audience` as the user gives it (2.0).
pub const INPUT_AUDIENCE_MAX: usize = 1500;
/// `desired_lessons_count` (2.0).
pub const DESIRED_LESSONS: Limit = Limit::new(10, 1000);
/// `desired_modules_count` (2.0).
pub const DESIRED_SECTIONS: Limit = Limit::new(1, 200);
/// Minutes of one lesson (2.0, 2.1).
pub const LESSON_MINUTES: Limit = Limit::new(3, 45);
/// Minutes of one lesson when nobody says (2.0).
pub const LESSON_MINUTES_DEFAULT: u32 = 15;
/// Number of `learning_outcomes` that the user may give (2.0).
pub const INPUT_OUTCOMES_MAX: usize = 15;
/// One of them (2.0).
pub const INPUT_OUTCOME: Limit = Limit::new(10, 600);
/// The budget of a generation in USD when nobody says (2.0).
pub const BUDGET_USD_DEFAULT: f64 = 1.0;

/// `course_title` (2.1).
pub const COURSE_TITLE: Limit = Limit::new(10, 1000);
/// `course_description` (2.1).
pub const COURSE_DESCRIPTION: Limit = Limit::new(50, 3000);
/// `course_overview` (2.1).
pub const COURSE_OVERVIEW: Limit = Limit::new(100, 10_000);
/// `target_audience` of a structure (2.1).
pub const TARGET_AUDIENCE: Limit = Limit::new(20, 1500);
/// Number of `prerequisites` (2.1).
pub const PREREQUISITES: Limit = Limit::new(0, 10);
/// One prerequisite (2.1).
pub const OUTCOME_SHORT: Limit = Limit::new(10, 600);
/// Number of `learning_outcomes` (2.1).
pub const LEARNING_OUTCOMES: Limit = Limit::new(3, 15);
/// One learning outcome (2.1).
pub const LEARNING_OUTCOME: Limit = Limit::new(30, 600);
/// `assessment_description` (2.1).
pub const ASSESSMENT_DESCRIPTION: Limit = Limit::new(50, 1500);
/// The most practical projects (2.1).
pub const PRACTICAL_PROJECTS_MAX: u8 = 10;
/// Number of `course_tags` (2.1).
pub const COURSE_TAGS: Limit = Limit::new(5, 20);
/// One tag (2.1).
pub const COURSE_TAG: Limit = Limit::new(3, 150);
/// Lessons of a whole course, at least (2.1).
pub const COURSE_LESSONS_MIN: usize = 10;

/// `section_title` (2.1).
pub const SECTION_TITLE: Limit = Limit::new(10, 600);
/// `section_description` (2.1).
pub const SECTION_DESCRIPTION: Limit = Limit::new(20, 2000);
/// Number of objectives of a section or a lesson (2.1).
pub const OBJECTIVES: Limit = Limit::new(1, 5);
/// One objective of a section (2.1).
pub const SECTION_OBJECTIVE: Limit = Limit::new(20, 600);
/// `lesson_title` (2.1).
pub const LESSON_TITLE: Limit = Limit::new(5, 500);
/// One objective of a lesson (2.1).
pub const LESSON_OBJECTIVE: Limit = Limit::new(15, 600);
/// Number of `key_topics` of a lesson (2.1).
pub const KEY_TOPICS: Limit = Limit::new(2, 10);
/// One key topic (2.1).
pub const KEY_TOPIC: Limit = Limit::new(5, 300);
/// Number of `practical_exercises` of a lesson (2.1).
pub const EXERCISES: Limit = Limit::new(3, 5);
/// `exercise_title` (2.1).
pub const EXERCISE_TITLE: Limit = Limit::new(5, 300);
/// `exercise_description` (2.1).
pub const EXERCISE_DESCRIPTION: Limit = Limit::new(10, 1500);
/// Sections of a course, softly (2.1).
pub const SECTIONS_SOFT_MAX: usize = 50;
/// Lessons of a section, softly (2.1).
pub const SECTION_LESSONS_SOFT_MAX: usize = 25;

/// Questions of a lesson's quiz (2.5).
pub const QUIZ_QUESTIONS: Limit = Limit::new(3, 5);
/// Words a minute of reading time, at least and at most (2.5).
pub const WORDS_A_MINUTE: Limit = Limit::new(120, 180);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_database_keeps_has_no_length() {
        let check = |text: &str, expected: usize| assert_eq!(text_length(text), expected, "{text:?}");
        check(" Bees ", 4);
        check("\0", 0);
        check("\0 \0", 0);
        check("Be\0es", 4);
    }
}
