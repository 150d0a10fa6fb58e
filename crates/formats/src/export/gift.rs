//! GIFT, Moodle's plain-text format of questions.

use std::fmt::Write as _;

use super::characters::is_writable;
use super::markup;
use super::prose::{NO_HEADINGS, Place};
use super::words::Words;
use super::written::{self, Question, WrittenLesson};
use super::{CourseView, ExportError, moodle};

/// Characters that mean something inside a question.
const SPECIAL: [char; 7] = ['\\', '~', '=', '#', '{', '}', ':'];

/// Writes the file.
///
/// # Errors
/// [`ExportError::NothingWritten`], [`ExportError::NoQuestions`].
pub(super) fn render(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    let sections = written::sections_with_questions(course)?;
    let words = Words::of(course.inputs.language);
    let mut parts = Vec::new();
    for section in &sections {
        for lesson in &section.lessons {
            let category = moodle::category_path(course, section, lesson);
            parts.push(format!("$CATEGORY: {}", plain(&category)));
            parts.extend(
                lesson
                    .questions
                    .iter()
                    .map(|question| question_text(lesson, question, words)),
            );
        }
    }
    // An empty line ends a question.
    let mut file = parts.join("\n\n");
    file.push('\n');
    Ok(file.into_bytes())
}

fn question_text(lesson: &WrittenLesson<'_>, question: &Question<'_>, words: &Words) -> String {
    let place = Place {
        top_heading: NO_HEADINGS,
        title: "",
    };
    let explanation = markup::body(&question.asked.explanation, place);
    let mut text = format!(
        "::{}::[html]{} {{\n",
        escaped(&moodle::name(lesson, question)),
        escaped(&format!("<p>{}</p>", markup::line(&question.asked.question)))
    );
    for option in &question.options {
        let mark = match (question.is_single, option.is_right) {
            (true, true) => "=".to_owned(),
            (true, false) => "~".to_owned(),
            (false, is_right) => format!("~%{}%", moodle::fraction(question, is_right)),
        };
        let verdict = if option.is_right { words.right } else { words.wrong };
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "\t{mark}{}#{}",
            escaped(markup::line(option.text).as_str()),
            escaped(verdict)
        );
    }
    let _ = write!(text, "\t####{}\n}}", escaped(explanation.as_str()));
    text
}

/// The text on one line, nothing in it being a mark of the format.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in plain(text).chars() {
        if letter == '\n' {
            escaped.push_str("\\n");
            continue;
        }
        if SPECIAL.contains(&letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// Without control characters but line ends.
fn plain(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .map(|letter| {
            if matches!(letter, '\r' | '\t') {
                ' '
            } else {
                letter
            }
        })
        .filter(|&letter| is_writable(letter))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_the_format_become_text() {
        assert_eq!(
            escaped("a = {b} ~c #d e:f \\n\r\n\u{0}end"),
            "a \\= \\{b\\} \\~c \\#d e\\:f \\\\n\\nend"
        );
    }
}
