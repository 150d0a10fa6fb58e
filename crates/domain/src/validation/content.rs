//! Lesson texts: everything that the specification asks for is there, and nothing twice (data model 2.5).

use std::collections::HashSet;

use super::prose::{Voice, foreign, is_about_a_language, placeholder};
use super::repeats::repeated;
use super::text::Checker;
use super::{Finding, Rule, Severity, ValidationContext};
use crate::lesson::{LessonContent, QuestionType, QuizQuestion};
use crate::limits::{self, Limit};
use crate::structure::{Lesson, lesson_words};
use crate::wording::{normalize, stems};

/// A lesson under this many words is no lesson (a minute of reading, data model 2.5).
const WORDS_MIN: u32 = 120;
/// The share of a key topic's words that one block must contain to cover it.
const TOPIC_SHARE: f64 = 0.6;
/// Options of a question.
const OPTIONS: Limit = Limit::new(2, 8);

/// Every rule on a lesson's text, given its specification.
pub fn validate_lesson_content(
    content: &LessonContent,
    lesson: &Lesson,
    ctx: &ValidationContext<'_>,
) -> Vec<Finding> {
    let mut checker = Checker::new(*ctx);
    check_texts(&mut checker, content, lesson);
    check_topics(&mut checker, content, lesson);
    check_exercises(&mut checker, content, lesson);
    checker.count("quiz", content.quiz.len(), limits::QUIZ_QUESTIONS);
    for (question, index) in content.quiz.iter().zip(0..) {
        checker.at(&format!("quiz[{index}]"), |checker| {
            check_question(checker, question, lesson);
        });
    }
    check_length(&mut checker, content, lesson);
    check_sentences(&mut checker, content);
    checker.into_findings()
}

/// No text is empty, a placeholder or in another language.
fn check_texts(checker: &mut Checker<'_>, content: &LessonContent, lesson: &Lesson) {
    let speaks_languages = is_about_a_language(lesson, checker.ctx.language);
    let mut check = |part: &str, text: &str, voice: Voice| {
        check_text(checker, part, text, voice);
        if let Some((found, is_throughout)) = foreign(text, checker.ctx.language) {
            // Material may be in any language; a lesson about languages speaks them.
            let is_wrong = is_throughout && voice != Voice::Material && !speaks_languages;
            let wanted = checker.ctx.language.english_name();
            let message = format!("is written in {found}, the course is in {wanted}: write it in {wanted}");
            checker.push(Rule::Language, error_if(is_wrong), part, message);
        }
    };
    check("introduction", &content.introduction, Voice::Own);
    for (block, index) in content.blocks.iter().zip(0..) {
        check(&format!("blocks[{index}].title"), &block.title, Voice::Explaining);
        check(&format!("blocks[{index}].body"), &block.body, Voice::Explaining);
    }
    for (example, index) in content.examples.iter().zip(0..) {
        check(
            &format!("examples[{index}].title"),
            &example.title,
            Voice::Material,
        );
        check(&format!("examples[{index}].body"), &example.body, Voice::Material);
    }
    for (exercise, index) in content.exercises.iter().zip(0..) {
        let path = format!("exercises[{index}]");
        check(&format!("{path}.title"), &exercise.title, Voice::Material);
        check(
            &format!("{path}.instructions"),
            &exercise.instructions,
            Voice::Material,
        );
        check(&format!("{path}.solution"), &exercise.solution, Voice::Material);
        for (hint, hint_index) in exercise.hints.iter().zip(0..) {
            check(&format!("{path}.hints[{hint_index}]"), hint, Voice::Material);
        }
    }
    for (question, index) in content.quiz.iter().zip(0..) {
        let path = format!("quiz[{index}]");
        check(&format!("{path}.question"), &question.question, Voice::Material);
        check(
            &format!("{path}.explanation"),
            &question.explanation,
            Voice::Material,
        );
    }
    check("summary", &content.summary, Voice::Own);
    checker.count("blocks", content.blocks.len(), Limit::new(1, usize::MAX));
}

/// A text is there and is no placeholder.
fn check_text(checker: &mut Checker<'_>, part: &str, text: &str, voice: Voice) {
    if text.trim().is_empty() {
        checker.error(Rule::Placeholder, part, "is empty: write it");
    } else if let Some((found, is_left_over)) = placeholder(text, voice, checker.ctx.language) {
        let message = format!("contains the placeholder '{found}': write the real text instead");
        checker.push(Rule::Placeholder, error_if(is_left_over), part, message);
    }
}

/// Only what is surely wrong is refused.
const fn error_if(is_surely_wrong: bool) -> Severity {
    if is_surely_wrong {
        Severity::Error
    } else {
        Severity::Warning
    }
}

/// Every key topic is covered by one block.
fn check_topics(checker: &mut Checker<'_>, content: &LessonContent, lesson: &Lesson) {
    let language = checker.ctx.language;
    let blocks: Vec<_> = content
        .blocks
        .iter()
        .map(|block| stems(&format!("{} {}", block.title, block.body), language))
        .collect();
    for (topic, index) in lesson.key_topics.iter().zip(0..) {
        let wanted = stems(topic, language);
        let share = |block: &std::collections::HashSet<String>| {
            wanted.intersection(block).count() as f64 / wanted.len().max(1) as f64
        };
        if !wanted.is_empty() && !blocks.iter().any(|block| share(block) >= TOPIC_SHARE) {
            let message = format!(
                "no block covers the key topic '{topic}' (key_topics[{index}]): explain it in a block"
            );
            // It may well be explained in other words.
            checker.warning(Rule::TopicUncovered, "blocks", message);
        }
    }
}

/// The exercises are the specification's, in its order.
fn check_exercises(checker: &mut Checker<'_>, content: &LessonContent, lesson: &Lesson) {
    let specified = &lesson.practical_exercises;
    if content.exercises.len() != specified.len() {
        let message = format!(
            "has {} exercises, the specification has {}: work out exactly those",
            content.exercises.len(),
            specified.len()
        );
        checker.error(Rule::ExerciseMismatch, "exercises", message);
    }
    for ((exercise, wanted), index) in content.exercises.iter().zip(specified).zip(0..) {
        if exercise.exercise_type != wanted.exercise_type {
            let message = format!(
                "is '{}', the specification says '{}'",
                exercise.exercise_type.as_str(),
                wanted.exercise_type.as_str()
            );
            checker.warning(
                Rule::ExerciseMismatch,
                &format!("exercises[{index}].exercise_type"),
                message,
            );
        }
        if normalize(&exercise.title) != normalize(&wanted.exercise_title) {
            let message = format!(
                "is '{}', the specification says '{}'",
                exercise.title, wanted.exercise_title
            );
            checker.warning(
                Rule::ExerciseMismatch,
                &format!("exercises[{index}].title"),
                message,
            );
        }
    }
}

fn check_question(checker: &mut Checker<'_>, question: &QuizQuestion, lesson: &Lesson) {
    checker.count("options", question.options.len(), OPTIONS);
    for (option, index) in question.options.iter().zip(0..) {
        check_text(checker, &format!("options[{index}]"), option, Voice::Material);
        // Case and signs can be what a question is about (`x = 1` or `x == 1`), so only equal texts are equal.
        if let Some(first) = question.options[..index]
            .iter()
            .position(|other| other.trim() == option.trim())
        {
            let message = format!(
                "'{}' repeats options[{first}]: every option must differ",
                option.trim()
            );
            checker.error(Rule::Distinct, &format!("options[{index}]"), message);
        }
    }
    for (answer, index) in question.correct_answers.iter().zip(0..) {
        let part = format!("correct_answers[{index}]");
        if *answer as usize >= question.options.len() {
            let last = question.options.len().saturating_sub(1);
            let message = format!("is {answer}, but the options have the indexes 0 to {last}");
            checker.error(Rule::QuizAnswers, &part, message);
        }
        if question.correct_answers[..index].contains(answer) {
            checker.error(Rule::QuizAnswers, &part, format!("repeats {answer}"));
        }
    }
    match (question.question_type, question.correct_answers.len()) {
        (_, 0) => checker.error(
            Rule::QuizAnswers,
            "correct_answers",
            "is empty: name the right option",
        ),
        (QuestionType::SingleChoice, count) if count > 1 => {
            let message = format!("has {count} right answers, a single choice has exactly one");
            checker.error(Rule::QuizAnswers, "correct_answers", message);
        }
        _ => {}
    }
    let objectives = lesson.lesson_objectives.len();
    if question.objective as usize >= objectives {
        let last = objectives.saturating_sub(1);
        let message = format!(
            "is {}, but the objectives have the indexes 0 to {last}",
            question.objective
        );
        checker.error(Rule::QuizObjective, "objective", message);
    }
}

/// About 120 to 180 words a minute.
fn check_length(checker: &mut Checker<'_>, content: &LessonContent, lesson: &Lesson) {
    let words = content.count_words();
    let wanted = lesson_words(lesson.estimated_duration_minutes);
    if words < WORDS_MIN {
        let message =
            format!("the lesson has {words} words, at least {WORDS_MIN} are needed: explain every key topic");
        checker.error(Rule::LessonLength, "blocks", message);
    } else if !wanted.allows(words as usize) {
        let what = if (words as usize) < wanted.min {
            "explain more"
        } else {
            "shorten it"
        };
        let message = format!(
            "the lesson has {words} words, {} to {} fit its {} minutes: {what}",
            wanted.min, wanted.max, lesson.estimated_duration_minutes
        );
        checker.warning(Rule::LessonLength, "blocks", message);
    }
    if content.word_count != words {
        let message = format!("is {}, but the text has {words} words", content.word_count);
        checker.error(Rule::Totals, "word_count", message);
    }
}

/// No sentence comes twice in what the learner reads.
fn check_sentences(checker: &mut Checker<'_>, content: &LessonContent) {
    let mut seen = HashSet::new();
    let blocks = content.blocks.iter().map(|block| &block.body).zip(0..);
    let examples = content.examples.iter().map(|example| &example.body).zip(0..);
    let parts = std::iter::once(("introduction".to_owned(), &content.introduction))
        .chain(blocks.map(|(body, index): (_, usize)| (format!("blocks[{index}].body"), body)))
        .chain(examples.map(|(body, index): (_, usize)| (format!("examples[{index}].body"), body)))
        .chain(std::iter::once(("summary".to_owned(), &content.summary)));
    for (place, text) in parts {
        for sentence in repeated(text, &mut seen) {
            let message = format!(
                "repeats the sentence '{}' of the lesson: say it once",
                &text[sentence]
            );
            checker.warning(Rule::SentenceRepeated, &place, message);
        }
    }
}

#[cfg(test)]
mod tests;
