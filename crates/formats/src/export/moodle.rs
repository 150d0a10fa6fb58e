//! Moodle question XML: the quizzes for a question bank, a category a lesson.

use super::markup;
use super::prose::{NO_HEADINGS, Place};
use super::words::Words;
use super::written::{self, Question, WrittenLesson, WrittenSection};
use super::xml::Element;
use super::{CourseView, ExportError};

/// Characters of a question's name: the column of Moodle's database takes 255.
const NAME_MAX: usize = 250;
/// The part of the mark that another try costs, as Moodle proposes it.
const PENALTY: &str = "0.3333333";

/// Writes the file.
///
/// # Errors
/// [`ExportError::NothingWritten`], [`ExportError::NoQuestions`].
pub(super) fn render(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    let sections = written::sections_with_questions(course)?;
    let words = Words::of(course.inputs.language);
    let mut quiz = Element::new("quiz");
    for section in &sections {
        for lesson in &section.lessons {
            quiz = quiz
                .child(category(&category_path(course, section, lesson)))
                .children(
                    lesson
                        .questions
                        .iter()
                        .map(|question| multiple_choice(lesson, question, words)),
                );
        }
    }
    quiz.document()
}

/// Where Moodle keeps the questions of a lesson: below the course's top category, levels between slashes.
pub(super) fn category_path(
    course: &CourseView<'_>,
    section: &WrittenSection<'_>,
    lesson: &WrittenLesson<'_>,
) -> String {
    let levels = [
        course.structure.course_title.clone(),
        format!("{}. {}", section.number, section.section.section_title),
        format!("{}. {}", lesson.number, lesson.lesson.lesson_title),
    ];
    let mut path = String::from("$course$/top");
    for level in levels {
        path.push('/');
        // Within a level a slash is written twice.
        path.push_str(&one_line(&level).replace('/', "//"));
    }
    path
}

/// The share of the mark that an option brings, in per cent with five decimals: all right ones together bring
/// everything, and all wrong ones together take everything, so that ticking all boxes brings nothing. Moodle takes only the
/// fractions of its own list, which holds 1/n for every number of options that a question can have.
pub(super) fn fraction(question: &Question<'_>, is_right: bool) -> String {
    let right = question.right_count();
    let (sign, count) = match (is_right, question.is_single) {
        (true, _) => ("", right),
        (false, true) => return "0".to_owned(),
        (false, false) => ("-", question.options.len() - right),
    };
    let share = format!("{:.5}", 100.0 / count as f64);
    format!("{sign}{}", share.trim_end_matches('0').trim_end_matches('.'))
}

/// The name of a question in the bank.
pub(super) fn name(lesson: &WrittenLesson<'_>, question: &Question<'_>) -> String {
    let name = format!(
        "{}.{} {}",
        lesson.number,
        question.number,
        one_line(&question.asked.question)
    );
    name.chars().take(NAME_MAX).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn category(path: &str) -> Element {
    Element::new("question")
        .with("type", "category")
        .child(Element::new("category").child(text(path)))
}

fn multiple_choice(lesson: &WrittenLesson<'_>, question: &Question<'_>, words: &Words) -> Element {
    let explanation = markup::body(
        &question.asked.explanation,
        Place {
            top_heading: NO_HEADINGS,
            title: "",
        },
    );
    let answers = question.options.iter().map(|option| {
        let verdict = if option.is_right { words.right } else { words.wrong };
        html(
            Element::new("answer").with("fraction", fraction(question, option.is_right)),
            markup::line(option.text).as_str(),
        )
        .child(html(Element::new("feedback"), verdict))
    });
    Element::new("question")
        .with("type", "multichoice")
        .child(Element::new("name").child(text(&name(lesson, question))))
        .child(html(
            Element::new("questiontext"),
            &format!("<p>{}</p>", markup::line(&question.asked.question)),
        ))
        .child(html(Element::new("generalfeedback"), explanation.as_str()))
        .child(Element::new("defaultgrade").text("1"))
        .child(Element::new("penalty").text(PENALTY))
        .child(Element::new("hidden").text("0"))
        .child(Element::new("single").text(if question.is_single { "true" } else { "false" }))
        .child(Element::new("shuffleanswers").text("true"))
        .child(Element::new("answernumbering").text("ABCD"))
        .children(answers)
}

/// HTML in an element of Moodle's: as text.
fn html(element: Element, html: &str) -> Element {
    element.with("format", "html").child(text(html))
}

fn text(text: &str) -> Element {
    Element::new("text").text(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample::Sample;

    #[test]
    fn fractions_are_those_of_moodles_list() {
        let mut content = Sample::english().lessons.remove(&1).unwrap();
        content.quiz.truncate(1);
        let mut check = |options: u32, right: u32, expected: (&str, &str)| {
            content.quiz[0].question_type = domain::lesson::QuestionType::MultipleChoice;
            content.quiz[0].options = (0..options).map(|option| option.to_string()).collect();
            content.quiz[0].correct_answers = (0..right).collect();
            let question = &written::questions(&content)[0];
            assert_eq!(
                (
                    fraction(question, true).as_str(),
                    fraction(question, false).as_str()
                ),
                expected
            );
        };
        check(4, 1, ("100", "-33.33333"));
        check(5, 3, ("33.33333", "-50"));
        check(8, 2, ("50", "-16.66667"));
        check(8, 1, ("100", "-14.28571"));
    }

    #[test]
    fn slashes_in_titles_open_no_category() {
        let mut sample = Sample::english();
        sample.structure.course_title = "Input/Output\n$course$".to_owned();
        let view = sample.view();
        let sections = written::sections(&view).unwrap();
        let path = category_path(&view, &sections[0], &sections[0].lessons[0]);
        assert!(
            path.starts_with("$course$/top/Input//Output $course$/1. "),
            "{path}"
        );
        assert_eq!(path.replace("//", "").matches('/').count(), 4, "{path}");
    }
}
