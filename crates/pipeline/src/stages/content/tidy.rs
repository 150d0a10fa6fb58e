//! Small models repeat sentences; a learner must not read one twice.

use std::collections::HashSet;

use crate::wording::folded;
use domain::lesson::LessonContent;

/// Sentences shorter than this may recur: "Check the result." is no fault.
const REPEAT_FROM_WORDS: usize = 6;

/// Sentences that were read before.
#[derive(Debug, Default)]
struct Read {
    seen: HashSet<String>,
    /// Hints are opened by those who are stuck: what only a hint has said is still new in a text.
    hints: HashSet<String>,
}

impl Read {
    /// The text without the sentences that were read before; all of its sentences count as read from now on.
    /// A text that would become empty stays as it is.
    fn without_repeats(&mut self, text: &str) -> String {
        let paragraphs: Vec<String> = text
            .split("\n\n")
            .map(|paragraph| {
                let lines = paragraph.lines().map(|line| self.line_without_repeats(line));
                lines
                    .filter(|line| !line.is_empty())
                    .collect::<Vec<_>>()
                    .join("\n")
            })
            .filter(|paragraph| !paragraph.is_empty())
            .collect();
        let kept = paragraphs.join("\n\n");
        if kept.trim().is_empty() {
            text.to_owned()
        } else {
            kept
        }
    }

    /// Whether a hint says anything that was not read before; it counts as a hint from now on.
    fn is_new_hint(&mut self, hint: &str) -> bool {
        let new = sentences(hint)
            .into_iter()
            .filter(|sentence| !self.seen.contains(&folded(sentence)))
            .filter(|sentence| self.hints.insert(folded(sentence)));
        new.count() > 0
    }

    fn line_without_repeats(&mut self, line: &str) -> String {
        let (marker, rest) = marker(line);
        let kept: Vec<&str> = sentences(rest)
            .into_iter()
            .filter(|sentence| {
                sentence.split_whitespace().count() < REPEAT_FROM_WORDS || self.seen.insert(folded(sentence))
            })
            .collect();
        if kept.is_empty() {
            String::new()
        } else {
            format!("{marker}{}", kept.join(" "))
        }
    }
}

/// The list marker at the start of a line and what follows it.
fn marker(line: &str) -> (&str, &str) {
    let digits = line.chars().take_while(char::is_ascii_digit).count();
    let end = if digits > 0 && line[digits..].starts_with(". ") {
        digits + 2
    } else if line.starts_with("- ") {
        2
    } else {
        0
    };
    line.split_at(end)
}

/// The sentences of a line, with their ends.
pub(crate) fn sentences(line: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let bytes = line.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(byte, b'.' | b'!' | b'?') && bytes.get(index + 1).is_none_or(|next| *next == b' ') {
            sentences.push(line[start..=index].trim());
            start = index + 1;
        }
    }
    sentences.push(line[start..].trim());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

/// Removes repeated sentences from what a learner reads of a lesson.
pub(crate) fn tidy(content: &mut LessonContent) {
    let mut read = Read::default();
    tidy_texts(content, &mut read);
    tidy_hints(content, &mut read);
}

/// Removes from the lessons that are `new`, in their order, what others say already: `old` lessons stay as they are. Hints
/// give way to all texts, also to those of later lessons.
pub(crate) fn tidy_across<'a>(
    old: impl IntoIterator<Item = &'a LessonContent>,
    new: &mut [&mut LessonContent],
) {
    let mut read = Read::default();
    for content in old {
        let mut content = content.clone();
        tidy_texts(&mut content, &mut read);
        tidy_hints(&mut content, &mut read);
    }
    for content in new.iter_mut() {
        tidy_texts(content, &mut read);
    }
    for content in new {
        tidy_hints(content, &mut read);
    }
}

/// Removes sentences from the texts of a lesson that `read` holds.
fn tidy_texts(content: &mut LessonContent, read: &mut Read) {
    content.introduction = read.without_repeats(&content.introduction);
    for block in &mut content.blocks {
        block.body = read.without_repeats(&block.body);
    }
    for example in &mut content.examples {
        example.body = read.without_repeats(&example.body);
    }
    content.summary = read.without_repeats(&content.summary);
}

/// Removes the hints of a lesson that say only what the texts and other hints in `read` say.
fn tidy_hints(content: &mut LessonContent, read: &mut Read) {
    for exercise in &mut content.exercises {
        exercise.hints.retain(|hint| read.is_new_hint(hint));
    }
}

#[cfg(test)]
mod tests {
    use domain::lesson::{LessonQuality, LessonStatus, WorkedExercise};
    use domain::structure::ExerciseType;

    use super::*;

    #[test]
    fn repeated_sentences_are_dropped() {
        let check = |text: &str, expected: &str| assert_eq!(Read::default().without_repeats(text), expected);
        let once = "Bees need clean water in every season of the year.";
        check(&format!("{once} {once}"), once);
        check(
            &format!("{once}\n\n1. {once}\n2. Fill the dish."),
            &format!("{once}\n\n2. Fill the dish."),
        );
        check("Check it. Check it.", "Check it. Check it.");
        check(
            "Version 3.5 of it is here for all of us.",
            "Version 3.5 of it is here for all of us.",
        );
    }

    #[test]
    fn hint_that_says_nothing_new_is_dropped() {
        let once = "Bees need clean water in every season of the year.";
        let mut read = Read::default();
        read.without_repeats(once);
        assert!(!read.is_new_hint(once));
        let hint = "Look for a brook that never dries up near the hive.";
        assert!(read.is_new_hint(&format!("{once} {hint}")));
        assert!(!read.is_new_hint(hint));
        assert_eq!(read.without_repeats(hint), hint, "a hint is no part of the text");
    }

    #[test]
    fn hints_give_way_to_texts_of_later_lessons() {
        let lesson = |introduction: &str, hint: &str| LessonContent {
            introduction: introduction.to_owned(),
            blocks: Vec::new(),
            examples: Vec::new(),
            exercises: vec![WorkedExercise {
                exercise_type: ExerciseType::HandsOn,
                title: String::new(),
                instructions: String::new(),
                hints: vec![hint.to_owned()],
                solution: String::new(),
            }],
            quiz: Vec::new(),
            summary: String::new(),
            further_reading: Vec::new(),
            word_count: 0,
            quality: LessonQuality::default(),
            status: LessonStatus::Completed,
        };
        let water = "Bees need clean water in every season of the year.";
        let shade = "A hive in the shade wakes up later than others do.";
        let (own, frame) = ("Look for a brook near the hive.", "Lift one frame at a time.");
        let old = lesson(shade, own);
        let mut first = lesson("A first text about the life of bees.", water);
        let mut second = lesson(&format!("{water} {shade}"), own);
        let mut third = lesson("A third text about the life of bees.", frame);
        tidy_across([&old], &mut [&mut first, &mut second, &mut third]);
        assert!(first.exercises[0].hints.is_empty());
        assert_eq!(second.introduction, water);
        assert!(second.exercises[0].hints.is_empty());
        assert_eq!(third.exercises[0].hints, [frame]);
    }

    #[test]
    fn text_never_becomes_empty() {
        let once = "Bees need clean water in every season of the year.";
        let mut read = Read::default();
        read.without_repeats(once);
        assert_eq!(read.without_repeats(once), once);
    }
}
