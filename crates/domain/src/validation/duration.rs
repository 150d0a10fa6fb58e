//! Whether a lesson's minutes fit its topics and objectives (data model 2.3).

use super::Rule;
use super::text::Checker;
use crate::structure::{DifficultyLevel, Lesson};

/// Minutes a key topic and an objective need at least (data model 2.3).
const MIN_A_TOPIC: f64 = 1.0;
const MIN_AN_OBJECTIVE: f64 = 3.0;
/// Minutes a key topic and an objective take at most for beginners (data model 2.3).
const MAX_A_TOPIC: f64 = 5.0;
const MAX_AN_OBJECTIVE: f64 = 15.0;

pub(super) fn check(checker: &mut Checker<'_>, lesson: &Lesson) {
    let topics = lesson.key_topics.len() as f64;
    let objectives = lesson.lesson_objectives.len() as f64;
    let minutes = f64::from(lesson.estimated_duration_minutes);
    let least = MIN_A_TOPIC * topics + MIN_AN_OBJECTIVE * objectives;
    let most = (MAX_A_TOPIC * topics + MAX_AN_OBJECTIVE * objectives) * factor(checker.ctx.difficulty);
    if minutes < least {
        let message = format!(
            "{minutes} minutes are too few for {topics} key topics and {objectives} objectives, which need at least \
             {least}: leave out topics or objectives, or give more time"
        );
        checker.warning(Rule::LessonTime, "estimated_duration_minutes", message);
    } else if minutes > most {
        let message = format!(
            "{minutes} minutes are too many for {topics} key topics and {objectives} objectives, which take at most \
             {most}: add topics, or give less time"
        );
        checker.warning(Rule::LessonTime, "estimated_duration_minutes", message);
    }
}

/// How much longer the same takes at this difficulty (data model 2.3).
const fn factor(difficulty: DifficultyLevel) -> f64 {
    match difficulty {
        DifficultyLevel::Beginner => 1.0,
        DifficultyLevel::Intermediate => 1.5,
        DifficultyLevel::Advanced => 2.0,
    }
}
