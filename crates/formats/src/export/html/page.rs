//! What the template of the page shows, prepared: every Markdown text is already safe HTML.

use askama::Template;
use domain::language::Language;
use domain::lesson::{LessonContent, LessonStatus, QuestionType, QuizQuestion, WorkedExercise};
use domain::structure::{CourseStructure, Lesson};

use super::cited::{Citations, SourcePart};
use super::grounding::GroundingPart;
use crate::export::inline::{self, SafeHtml};
use crate::export::prose::{self, NO_HEADINGS, Place};
use crate::export::sources::Sources;
use crate::export::words::{self, Words};
use crate::export::{CourseView, file_name};

/// Level of headings inside a lesson's blocks: course 1, section 2, lesson 3, block 4.
const BODY_HEADING: u8 = 5;
/// Level of headings inside exercises, whose own titles are on level 5.
const EXERCISE_HEADING: u8 = 6;

/// The whole page.
#[derive(Debug, Template)]
#[template(path = "course.html")]
pub(super) struct CoursePage<'a> {
    words: &'static Words,
    language: Language,
    policy: &'a str,
    style: SafeHtml,
    script: SafeHtml,
    /// Under which the browser remembers what was read.
    storage_key: String,
    notice: Option<&'a str>,
    structure: &'a CourseStructure,
    overview: SafeHtml,
    duration: String,
    outcomes: Vec<SafeHtml>,
    prerequisites: Vec<SafeHtml>,
    assessment: Vec<String>,
    sections: Vec<SectionPart<'a>>,
    has_answers: bool,
    made_on: String,
    word_count: String,
    written: usize,
    lessons_total: usize,
    quality: Option<String>,
    grounding: Option<GroundingPart>,
}

/// A section of the page.
#[derive(Debug)]
struct SectionPart<'a> {
    number: usize,
    title: SafeHtml,
    description: SafeHtml,
    duration: String,
    objectives: Vec<SafeHtml>,
    lessons: Vec<LessonPart<'a>>,
}

/// A lesson of the page.
#[derive(Debug)]
struct LessonPart<'a> {
    number: usize,
    title: SafeHtml,
    duration: String,
    objectives: Vec<SafeHtml>,
    previous: Option<Neighbour>,
    next: Option<Neighbour>,
    body: Body<'a>,
}

/// The lesson before or after.
#[derive(Debug)]
struct Neighbour {
    number: usize,
    title: SafeHtml,
}

/// What there is to read.
#[derive(Debug)]
enum Body<'a> {
    Written(Box<WrittenBody<'a>>),
    Planned {
        topics: Vec<SafeHtml>,
        exercises: Vec<PlannedExercise>,
    },
}

#[derive(Debug)]
struct WrittenBody<'a> {
    introduction: SafeHtml,
    blocks: Vec<Titled>,
    examples: Vec<Titled>,
    exercises: Vec<ExercisePart>,
    quiz: Vec<QuestionPart>,
    summary: SafeHtml,
    further_reading: Vec<SafeHtml>,
    sources: Vec<SourcePart>,
    /// What a reviewer should look at; `None` where nothing waits for a review.
    review: Option<Vec<&'a str>>,
}

#[derive(Debug)]
struct Titled {
    title: SafeHtml,
    body: SafeHtml,
}

#[derive(Debug)]
struct PlannedExercise {
    kind: &'static str,
    title: SafeHtml,
    description: SafeHtml,
}

#[derive(Debug)]
struct ExercisePart {
    kind: &'static str,
    title: SafeHtml,
    instructions: SafeHtml,
    hints: Vec<SafeHtml>,
    solution: SafeHtml,
}

#[derive(Debug)]
struct QuestionPart {
    question: SafeHtml,
    is_single: bool,
    options: Vec<OptionPart>,
    explanation: SafeHtml,
}

#[derive(Debug)]
struct OptionPart {
    letter: char,
    text: SafeHtml,
    correct: bool,
}

impl<'a> CoursePage<'a> {
    pub(super) fn new(
        course: &CourseView<'a>,
        policy: &'a str,
        style: &'static str,
        script: &'static str,
    ) -> Self {
        let structure = course.structure;
        let words = Words::of(course.inputs.language);
        let strategy = &structure.assessment_strategy;
        let sections = sections(course, words);
        let written: Vec<&LessonContent> = structure
            .lessons()
            .filter_map(|(_, lesson)| course.lessons.get(&lesson.lesson_number))
            .collect();
        let minutes = structure
            .lessons()
            .map(|(_, lesson)| lesson.estimated_duration_minutes)
            .sum();
        Self {
            words,
            language: course.inputs.language,
            policy,
            style: SafeHtml::vouched(style.to_owned()),
            script: SafeHtml::vouched(script.to_owned()),
            storage_key: format!("coursewright:{}", file_name::stem(&structure.course_title)),
            notice: course.notice,
            structure,
            overview: body(&structure.course_overview, 3, ""),
            duration: words.minutes(minutes),
            outcomes: inline::html_all(&structure.learning_outcomes),
            prerequisites: inline::html_all(&structure.prerequisites),
            assessment: words.assessment_parts(
                strategy.quiz_per_section,
                strategy.final_exam,
                strategy.practical_projects,
            ),
            sections,
            has_answers: written
                .iter()
                .any(|content| !content.quiz.is_empty() || !content.exercises.is_empty()),
            made_on: words.date(course.generated_at),
            word_count: words.number(written.iter().map(|content| u64::from(content.word_count)).sum()),
            written: written.len(),
            lessons_total: structure.lesson_count(),
            quality: course
                .quality
                .and_then(|report| report.scores.as_ref())
                .or(course.metadata.map(|metadata| &metadata.quality_scores))
                .map(|scores| format!("{:.2}", scores.overall)),
            grounding: GroundingPart::of(course),
        }
    }

    fn direction(&self) -> &'static str {
        match self.language {
            Language::Arabic => "rtl",
            _ => "ltr",
        }
    }
}

impl LessonPart<'_> {
    const fn is_written(&self) -> bool {
        matches!(self.body, Body::Written(_))
    }
}

fn sections<'a>(course: &CourseView<'a>, words: &'static Words) -> Vec<SectionPart<'a>> {
    let all: Vec<&'a Lesson> = course.structure.lessons().map(|(_, lesson)| lesson).collect();
    let neighbour = |index: Option<usize>| {
        let index = index?;
        all.get(index).map(|lesson| Neighbour {
            number: index + 1,
            title: inline::html(&lesson.lesson_title),
        })
    };
    let sources = Sources::of(course.sources);
    let mut index = 0;
    let mut parts = Vec::with_capacity(course.structure.sections.len());
    for (section, number) in course.structure.sections.iter().zip(1..) {
        let mut lessons = Vec::with_capacity(section.lessons.len());
        for lesson in &section.lessons {
            // Counted here: anchors stay distinct even if the numbers of an edited structure are not.
            let number = index + 1;
            let body = match course.lessons.get(&lesson.lesson_number) {
                Some(content) => {
                    let citations = Citations::of(content, &sources, number, words);
                    written_body(lesson, content, &citations, words)
                }
                None => planned_body(lesson, words),
            };
            lessons.push(LessonPart {
                number,
                title: inline::html(&lesson.lesson_title),
                duration: words.minutes(lesson.estimated_duration_minutes),
                objectives: inline::html_all(&lesson.lesson_objectives),
                previous: neighbour(index.checked_sub(1)),
                next: neighbour(Some(index + 1)),
                body,
            });
            index += 1;
        }
        let minutes = section
            .lessons
            .iter()
            .map(|lesson| lesson.estimated_duration_minutes)
            .sum();
        parts.push(SectionPart {
            number,
            title: inline::html(&section.section_title),
            description: inline::html(&section.section_description),
            duration: words.minutes(minutes),
            objectives: inline::html_all(&section.learning_objectives),
            lessons,
        });
    }
    parts
}

fn planned_body<'a>(lesson: &'a Lesson, words: &'static Words) -> Body<'a> {
    Body::Planned {
        topics: inline::html_all(&lesson.key_topics),
        exercises: lesson
            .practical_exercises
            .iter()
            .map(|exercise| PlannedExercise {
                kind: words.exercise_name(exercise.exercise_type),
                title: inline::html(&exercise.exercise_title),
                description: inline::html(&exercise.exercise_description),
            })
            .collect(),
    }
}

fn written_body<'a>(
    lesson: &'a Lesson,
    content: &'a LessonContent,
    citations: &Citations<'_>,
    words: &'static Words,
) -> Body<'a> {
    let waits = matches!(content.status, LessonStatus::NeedsReview);
    Body::Written(Box::new(WrittenBody {
        introduction: body(&content.introduction, BODY_HEADING - 1, &lesson.lesson_title),
        blocks: content
            .blocks
            .iter()
            .zip(1..)
            .map(|(block, number)| Titled {
                title: inline::html(&block.title),
                body: citations.marked(&body(&block.body, BODY_HEADING, &block.title), block, number),
            })
            .collect(),
        examples: content
            .examples
            .iter()
            .map(|example| Titled {
                title: inline::html(&example.title),
                body: body(&example.body, BODY_HEADING, &example.title),
            })
            .collect(),
        exercises: content
            .exercises
            .iter()
            .map(|exercise| exercise_part(exercise, words))
            .collect(),
        quiz: content.quiz.iter().map(question_part).collect(),
        summary: body(&content.summary, BODY_HEADING, words.summary),
        further_reading: content
            .further_reading
            .iter()
            .map(|text| body(text, NO_HEADINGS, ""))
            .collect(),
        sources: citations.list(content),
        review: waits.then(|| words::failed_checks(&content.quality.checks).collect()),
    }))
}

fn exercise_part(exercise: &WorkedExercise, words: &'static Words) -> ExercisePart {
    ExercisePart {
        kind: words.exercise_name(exercise.exercise_type),
        title: inline::html(&exercise.title),
        instructions: body(&exercise.instructions, EXERCISE_HEADING, &exercise.title),
        hints: exercise
            .hints
            .iter()
            .map(|hint| body(hint, NO_HEADINGS, ""))
            .collect(),
        solution: body(&exercise.solution, NO_HEADINGS, words.solution),
    }
}

fn question_part(question: &QuizQuestion) -> QuestionPart {
    QuestionPart {
        question: inline::html(&question.question),
        is_single: matches!(question.question_type, QuestionType::SingleChoice),
        options: question
            .options
            .iter()
            .zip('A'..)
            .zip(0_u32..)
            .map(|((text, letter), index)| OptionPart {
                letter,
                text: inline::html(text),
                correct: question.correct_answers.contains(&index),
            })
            .collect(),
        explanation: body(&question.explanation, NO_HEADINGS, ""),
    }
}

fn body(markdown: &str, top_heading: u8, title: &str) -> SafeHtml {
    prose::html(markdown, Place { top_heading, title })
}
