//! A written lesson as markup, for books and for pages inside a learning platform.

use askama::Template;
use domain::language::Language;
use domain::lesson::{LessonContent, LessonStatus, WorkedExercise};

use super::markup::{self, Markup};
use super::prose::{NO_HEADINGS, Place};
use super::sources::{self, LessonSources, Sources};
use super::words::{self, Words};
use super::written::{Question, WrittenLesson};
use super::{CourseView, ExportError};

/// Level of headings inside a lesson's blocks: lesson 1, block 2.
const BODY_HEADING: u8 = 3;
/// Level of headings inside exercises, whose own titles are on level 3.
const EXERCISE_HEADING: u8 = 4;

/// For whom a lesson is written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    /// A page that asks the quiz itself.
    Interactive,
    /// A page beside which the platform asks the quiz.
    Text,
    /// A book: the questions stand in it, the answers at its end.
    Book,
}

/// The lesson below its title.
#[derive(Debug, Template)]
#[template(path = "reading.html")]
struct Reading {
    words: &'static Words,
    medium: Medium,
    number: usize,
    duration: String,
    /// What a reviewer should look at; `None` where nothing waits for a review.
    review: Option<Vec<Markup>>,
    objectives: Vec<Markup>,
    introduction: Markup,
    blocks: Vec<Block>,
    examples: Vec<Titled>,
    exercises: Vec<Exercise>,
    questions: Vec<QuestionPart>,
    summary: Markup,
    read_on: Vec<Markup>,
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Titled {
    title: Markup,
    body: Markup,
}

#[derive(Debug)]
struct Block {
    title: Markup,
    body: Markup,
    /// The numbers of its sources: `[1] [3]`.
    citations: String,
}

#[derive(Debug)]
struct Exercise {
    kind: &'static str,
    title: Markup,
    instructions: Markup,
    hints: Vec<Markup>,
    solution: Markup,
}

#[derive(Debug)]
struct QuestionPart {
    number: usize,
    question: Markup,
    is_single: bool,
    options: Vec<OptionPart>,
    explanation: Markup,
}

#[derive(Debug)]
struct OptionPart {
    letter: char,
    text: Markup,
    is_right: bool,
}

#[derive(Debug)]
struct Source {
    document: Markup,
    place: Markup,
    excerpt: Markup,
}

/// The lesson below its title, for `medium`.
///
/// # Errors
/// If the template cannot be filled.
pub(super) fn lesson(
    course: &CourseView<'_>,
    lesson: &WrittenLesson<'_>,
    medium: Medium,
) -> Result<Markup, ExportError> {
    let reading = Reading::new(course, lesson, medium);
    reading.render().map(Markup::vouched).map_err(ExportError::Html)
}

/// Solutions and right answers of a lesson, for the end of a book; `None` where there are none.
///
/// # Errors
/// If the template cannot be filled.
pub(super) fn answers(
    course: &CourseView<'_>,
    lesson: &WrittenLesson<'_>,
) -> Result<Option<Markup>, ExportError> {
    let reading = Reading::new(course, lesson, Medium::Book);
    if reading.exercises.is_empty() && reading.questions.is_empty() {
        return Ok(None);
    }
    let answers = Answers {
        words: reading.words,
        title: markup::line(&title(course, lesson)),
        exercises: reading.exercises,
        questions: reading.questions,
    };
    answers
        .render()
        .map(|answers| Some(Markup::vouched(answers)))
        .map_err(ExportError::Html)
}

#[derive(Debug, Template)]
#[template(path = "answers.html")]
struct Answers {
    words: &'static Words,
    title: Markup,
    exercises: Vec<Exercise>,
    questions: Vec<QuestionPart>,
}

/// `Lesson 3. Looking back`.
pub(super) fn title(course: &CourseView<'_>, lesson: &WrittenLesson<'_>) -> String {
    let words = Words::of(course.inputs.language);
    format!(
        "{} {}. {}",
        words.lesson, lesson.number, lesson.lesson.lesson_title
    )
}

/// The direction in which the course's language is written, as the attribute `dir` names it.
pub(super) const fn direction(language: Language) -> &'static str {
    match language {
        Language::Arabic => "rtl",
        _ => "ltr",
    }
}

impl Reading {
    fn new(course: &CourseView<'_>, lesson: &WrittenLesson<'_>, medium: Medium) -> Self {
        let words = Words::of(course.inputs.language);
        let content = lesson.content;
        let cited = Sources::of(course.sources).of_lesson(content);
        let waits = matches!(content.status, LessonStatus::NeedsReview);
        Self {
            words,
            medium,
            number: lesson.number,
            duration: words.minutes(lesson.lesson.estimated_duration_minutes),
            review: waits.then(|| {
                words::failed_checks(&content.quality.checks)
                    .map(markup::line)
                    .collect()
            }),
            objectives: markup::lines(&lesson.lesson.lesson_objectives),
            introduction: body(
                &content.introduction,
                BODY_HEADING - 1,
                &lesson.lesson.lesson_title,
            ),
            blocks: blocks(content, &cited),
            examples: content
                .examples
                .iter()
                .map(|example| Titled {
                    title: markup::line(&example.title),
                    body: body(&example.body, BODY_HEADING, &example.title),
                })
                .collect(),
            exercises: content
                .exercises
                .iter()
                .map(|exercise| self::exercise(exercise, words))
                .collect(),
            questions: lesson.questions.iter().map(question).collect(),
            summary: body(&content.summary, BODY_HEADING, words.summary),
            read_on: content
                .further_reading
                .iter()
                .map(|text| body(text, NO_HEADINGS, ""))
                .collect(),
            sources: cited
                .list()
                .iter()
                .map(|source| Source {
                    document: markup::line(&source.document),
                    place: markup::line(&sources::place(source, words)),
                    excerpt: markup::line(&source.excerpt),
                })
                .collect(),
        }
    }
}

fn blocks(content: &LessonContent, cited: &LessonSources<'_>) -> Vec<Block> {
    content
        .blocks
        .iter()
        .map(|block| Block {
            title: markup::line(&block.title),
            body: body(&block.body, BODY_HEADING, &block.title),
            citations: cited
                .numbers(block)
                .iter()
                .map(|number| format!("[{number}]"))
                .collect::<Vec<_>>()
                .join(" "),
        })
        .collect()
}

fn exercise(exercise: &WorkedExercise, words: &'static Words) -> Exercise {
    Exercise {
        kind: words.exercise_name(exercise.exercise_type),
        title: markup::line(&exercise.title),
        instructions: body(&exercise.instructions, EXERCISE_HEADING, &exercise.title),
        hints: exercise
            .hints
            .iter()
            .map(|hint| body(hint, NO_HEADINGS, ""))
            .collect(),
        solution: body(&exercise.solution, NO_HEADINGS, words.solution),
    }
}

fn question(question: &Question<'_>) -> QuestionPart {
    QuestionPart {
        number: question.number,
        question: markup::line(&question.asked.question),
        is_single: question.is_single,
        options: question
            .options
            .iter()
            .map(|option| OptionPart {
                letter: option.letter,
                text: markup::line(option.text),
                is_right: option.is_right,
            })
            .collect(),
        explanation: body(&question.asked.explanation, NO_HEADINGS, ""),
    }
}

fn body(markdown: &str, top_heading: u8, title: &str) -> Markup {
    markup::body(markdown, Place { top_heading, title })
}
