//! One `CommonMark` file with YAML front matter: to read anywhere and to edit elsewhere.

use comrak::nodes::NodeValue;
use comrak::{Anchorizer, Arena, Options, parse_document};
use domain::lesson::{LessonContent, LessonStatus, QuizQuestion, WorkedExercise};
use domain::structure::{Lesson, Section};
use serde_json::json;

use super::characters::writable;
use super::prose::{self, NO_HEADINGS, Place};
use super::sources::{self, LessonSources, Sources};
use super::words::{self, Words};
use super::{CourseView, ExportError, inline};

/// Level of headings inside a lesson's blocks: course 1, section 2, lesson 3, block 4.
const BODY_HEADING: u8 = 5;
/// Level of headings inside exercises, whose own titles are on level 5.
const EXERCISE_HEADING: u8 = 6;
/// The deepest headings in the table of contents: lessons.
const CONTENTS_LEVEL_MAX: u8 = 3;

/// Writes the file.
///
/// # Errors
/// None at present; the signature is that of every format.
#[expect(clippy::unnecessary_wraps, reason = "the signature of every format")]
pub(super) fn render(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    let words = Words::of(course.inputs.language);
    let opening = opening(course);
    let body = body(course, words);
    let contents = contents(&opening, &body, words);
    let front_matter = front_matter(course);
    let file = format!(
        "{front_matter}\n{}\n\n{contents}\n\n{}\n",
        opening.text(),
        body.text()
    );
    Ok(writable(file).into_bytes())
}

/// Blocks of a file, an empty line between them.
#[derive(Debug, Default)]
struct Blocks(Vec<String>);

impl Blocks {
    fn text(&self) -> String {
        self.0.join("\n\n")
    }

    /// A heading of plain text.
    fn heading(&mut self, level: usize, text: &str) {
        self.0
            .push(format!("{} {}", "#".repeat(level), inline::markdown(text)));
    }

    /// A paragraph of plain text.
    fn paragraph(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.0.push(inline::markdown(text));
        }
    }

    /// A line that introduces what follows.
    fn label(&mut self, text: &str) {
        self.0.push(format!("**{}**", inline::markdown(text)));
    }

    /// A remark to the reader.
    fn remark(&mut self, text: &str) {
        self.0.push(format!("> {}", inline::markdown(text)));
    }

    /// A list of plain texts.
    fn list<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) {
        let items: Vec<_> = texts
            .into_iter()
            .map(|text| format!("- {}", inline::markdown(text)))
            .collect();
        self.raw(items.join("\n"));
    }

    /// Markdown of a lesson.
    fn body(&mut self, markdown: &str, top_heading: u8, title: &str) {
        self.raw(prose::markdown(markdown, Place { top_heading, title }));
    }

    /// Finished Markdown.
    fn raw(&mut self, markdown: String) {
        if !markdown.is_empty() {
            self.0.push(markdown);
        }
    }
}

fn front_matter(course: &CourseView<'_>) -> String {
    let structure = course.structure;
    let tags: Vec<_> = structure.course_tags.iter().map(writable).collect();
    // Every JSON value is a YAML value, so no text can leave its line, but where YAML 1.1 sees lines that JSON does not.
    let fields = [
        ("title", json!(writable(&structure.course_title))),
        ("description", json!(writable(&structure.course_description))),
        ("language", json!(course.inputs.language.code())),
        ("level", json!(structure.difficulty_level.as_str())),
        ("lessons", json!(structure.lesson_count())),
        ("duration_hours", json!(structure.estimated_duration_hours)),
        ("tags", json!(tags)),
        ("generated_at", json!(course.generated_at.to_rfc3339())),
        ("generator", json!("Coursewright")),
    ];
    let lines: Vec<_> = fields
        .iter()
        .map(|(name, value)| {
            let value = value.to_string();
            let value = value
                .replace('\u{2028}', "\\u2028")
                .replace('\u{2029}', "\\u2029");
            format!("{name}: {value}")
        })
        .collect();
    format!("---\n{}\n---\n", lines.join("\n"))
}

fn opening(course: &CourseView<'_>) -> Blocks {
    let structure = course.structure;
    let mut blocks = Blocks::default();
    blocks.heading(1, &structure.course_title);
    blocks.paragraph(&structure.course_description);
    if let Some(notice) = course.notice {
        blocks.remark(notice);
    }
    unused_documents(&mut blocks, course);
    blocks
}

/// Documents that no lesson uses are said before all else.
fn unused_documents(blocks: &mut Blocks, course: &CourseView<'_>) {
    let report = course.quality.and_then(|quality| quality.grounding.as_ref());
    let Some(report) = report.filter(|report| !report.unused_documents.is_empty()) else {
        return;
    };
    blocks.remark(Words::of(course.inputs.language).unused_documents);
    let lines = report
        .unused_documents
        .iter()
        .map(|unused| format!("{}: {}", unused.name, unused.reason));
    blocks.list(lines.collect::<Vec<_>>().iter().map(String::as_str));
}

/// The table of contents. The anchors are those that GitHub and most renderers give to headings; they depend on every
/// heading before them, so they are taken from the file itself.
fn contents(opening: &Blocks, body: &Blocks, words: &Words) -> String {
    let arena = Arena::new();
    let text = format!("{}\n\n## {}\n\n{}", opening.text(), words.contents, body.text());
    let root = parse_document(&arena, &text, &Options::default());
    let mut anchorizer = Anchorizer::new();
    let mut lines = Vec::new();
    for node in root.descendants() {
        let NodeValue::Heading(heading) = node.data.borrow().value else {
            continue;
        };
        let title = prose::text_of(node);
        let anchor = anchorizer.anchorize(&title);
        match heading.level {
            2 if title == words.contents => {}
            2 => lines.push(format!("- [{}](#{anchor})", inline::markdown(&title))),
            CONTENTS_LEVEL_MAX => lines.push(format!("  - [{}](#{anchor})", inline::markdown(&title))),
            _ => {}
        }
    }
    format!("## {}\n\n{}", words.contents, lines.join("\n"))
}

fn body(course: &CourseView<'_>, words: &Words) -> Blocks {
    let mut blocks = Blocks::default();
    overview(&mut blocks, course, words);
    let sources = Sources::of(course.sources);
    for section in &course.structure.sections {
        section_head(&mut blocks, section, words);
        for lesson in &section.lessons {
            lesson_head(&mut blocks, lesson, words);
            match course.lessons.get(&lesson.lesson_number) {
                Some(content) => {
                    lesson_text(&mut blocks, lesson, content, &sources.of_lesson(content), words);
                }
                None => lesson_plan(&mut blocks, lesson, words),
            }
        }
    }
    answers(&mut blocks, course, words);
    blocks
}

fn overview(blocks: &mut Blocks, course: &CourseView<'_>, words: &Words) {
    let structure = course.structure;
    blocks.heading(2, words.overview);
    blocks.body(&structure.course_overview, 3, "");
    let facts = [
        (
            words.level,
            words.level_name(structure.difficulty_level).to_owned(),
        ),
        (words.lessons, structure.lesson_count().to_string()),
        (words.audience, structure.target_audience.clone()),
        (words.made_on, words.date(course.generated_at)),
    ];
    let lines: Vec<_> = facts
        .iter()
        .map(|(name, value)| format!("- **{name}:** {}", inline::markdown(value)))
        .collect();
    blocks.raw(lines.join("\n"));
    blocks.label(words.outcomes);
    blocks.list(structure.learning_outcomes.iter().map(String::as_str));
    blocks.label(words.prerequisites);
    if structure.prerequisites.is_empty() {
        blocks.paragraph(words.no_prerequisites);
    } else {
        blocks.list(structure.prerequisites.iter().map(String::as_str));
    }
    blocks.label(words.assessment);
    let strategy = &structure.assessment_strategy;
    blocks.paragraph(&strategy.assessment_description);
    let parts = words.assessment_parts(
        strategy.quiz_per_section,
        strategy.final_exam,
        strategy.practical_projects,
    );
    blocks.list(parts.iter().map(String::as_str));
}

fn section_head(blocks: &mut Blocks, section: &Section, words: &Words) {
    let title = format!(
        "{} {}. {}",
        words.section, section.section_number, section.section_title
    );
    blocks.heading(2, &title);
    blocks.paragraph(&section.section_description);
    blocks.label(words.section_objectives);
    blocks.list(section.learning_objectives.iter().map(String::as_str));
}

fn lesson_title(lesson: &Lesson, words: &Words) -> String {
    format!(
        "{} {}. {}",
        words.lesson, lesson.lesson_number, lesson.lesson_title
    )
}

fn lesson_head(blocks: &mut Blocks, lesson: &Lesson, words: &Words) {
    blocks.heading(3, &lesson_title(lesson, words));
    blocks.raw(format!("*{}*", words.minutes(lesson.estimated_duration_minutes)));
    blocks.label(words.objectives);
    blocks.list(lesson.lesson_objectives.iter().map(String::as_str));
}

fn lesson_plan(blocks: &mut Blocks, lesson: &Lesson, words: &Words) {
    blocks.remark(words.unwritten);
    blocks.heading(4, words.topics);
    blocks.list(lesson.key_topics.iter().map(String::as_str));
    blocks.heading(4, words.exercises);
    for exercise in &lesson.practical_exercises {
        blocks.heading(5, &exercise.exercise_title);
        blocks.raw(format!("*{}*", words.exercise_name(exercise.exercise_type)));
        blocks.paragraph(&exercise.exercise_description);
    }
}

fn lesson_text(
    blocks: &mut Blocks,
    lesson: &Lesson,
    content: &LessonContent,
    cited: &LessonSources<'_>,
    words: &Words,
) {
    if matches!(content.status, LessonStatus::NeedsReview) {
        blocks.remark(words.needs_review);
        blocks.list(words::failed_checks(&content.quality.checks));
    }
    blocks.body(&content.introduction, BODY_HEADING - 1, &lesson.lesson_title);
    for block in &content.blocks {
        blocks.heading(4, &block.title);
        blocks.body(&block.body, BODY_HEADING, &block.title);
        let numbers = cited.numbers(block);
        if !numbers.is_empty() {
            let numbers: Vec<_> = numbers.iter().map(|number| format!("\\[{number}\\]")).collect();
            blocks.raw(format!("*{}:* {}", words.sources, numbers.join(" ")));
        }
    }
    for example in &content.examples {
        blocks.heading(4, &format!("{}: {}", words.example, example.title));
        blocks.body(&example.body, BODY_HEADING, &example.title);
    }
    if !content.exercises.is_empty() {
        blocks.heading(4, words.exercises);
    }
    for exercise in &content.exercises {
        exercise_text(blocks, exercise, words);
    }
    if !content.quiz.is_empty() {
        blocks.heading(4, words.quiz);
        let questions: Vec<_> = content.quiz.iter().zip(1..).map(question_text).collect();
        blocks.raw(questions.join("\n\n"));
    }
    blocks.heading(4, words.summary);
    blocks.body(&content.summary, BODY_HEADING, words.summary);
    if !content.further_reading.is_empty() {
        blocks.heading(4, words.further_reading);
        blocks.raw(list_of_bodies(&content.further_reading));
    }
    source_list(blocks, cited, words);
}

/// The sources of a lesson under the numbers that its blocks have named.
fn source_list(blocks: &mut Blocks, cited: &LessonSources<'_>, words: &Words) {
    if cited.list().is_empty() {
        return;
    }
    blocks.heading(4, words.sources);
    let items = cited.list().iter().zip(1..).map(|(source, number)| {
        let place = sources::place(source, words);
        let name = if place.is_empty() {
            source.document.clone()
        } else {
            format!("{}, {place}", source.document)
        };
        let item = format!(
            "{}\n\n> {}",
            inline::markdown(&name),
            inline::markdown(&source.excerpt)
        );
        list_item(&format!("{number}. "), &item)
    });
    blocks.raw(items.collect::<Vec<_>>().join("\n\n"));
}

fn exercise_text(blocks: &mut Blocks, exercise: &WorkedExercise, words: &Words) {
    blocks.heading(5, &exercise.title);
    blocks.raw(format!("*{}*", words.exercise_name(exercise.exercise_type)));
    blocks.body(&exercise.instructions, EXERCISE_HEADING, &exercise.title);
    if !exercise.hints.is_empty() {
        blocks.label(words.hints);
        blocks.raw(list_of_bodies(&exercise.hints));
    }
}

fn question_text((question, number): (&QuizQuestion, usize)) -> String {
    let options: Vec<_> = question
        .options
        .iter()
        .zip('A'..)
        .map(|(option, letter)| format!("- {letter}: {}", inline::markdown(option)))
        .collect();
    let item = format!(
        "{}\n\n{}",
        inline::markdown(&question.question),
        options.join("\n")
    );
    list_item(&format!("{number}. "), &item)
}

/// Everything that a reader should not see while working on a lesson.
fn answers(blocks: &mut Blocks, course: &CourseView<'_>, words: &Words) {
    let written: Vec<_> = course
        .structure
        .lessons()
        .filter_map(|(_, lesson)| Some((lesson, course.lessons.get(&lesson.lesson_number)?)))
        .filter(|(_, content)| !content.quiz.is_empty() || !content.exercises.is_empty())
        .collect();
    if written.is_empty() {
        return;
    }
    blocks.heading(2, words.answers);
    for (lesson, content) in written {
        blocks.heading(3, &lesson_title(lesson, words));
        for exercise in &content.exercises {
            blocks.heading(4, &exercise.title);
            blocks.body(&exercise.solution, BODY_HEADING, words.solution);
        }
        if !content.quiz.is_empty() {
            blocks.heading(4, words.quiz);
            let answers: Vec<_> = content.quiz.iter().zip(1..).map(answer_text).collect();
            blocks.raw(answers.join("\n\n"));
        }
    }
}

fn answer_text((question, number): (&QuizQuestion, usize)) -> String {
    let right: Vec<_> = question
        .options
        .iter()
        .zip('A'..)
        .zip(0_u32..)
        .filter(|(_, index)| question.correct_answers.contains(index))
        .map(|((option, letter), _)| format!("**{letter}**: {}", inline::markdown(option)))
        .collect();
    let explanation = prose::markdown(
        &question.explanation,
        Place {
            top_heading: NO_HEADINGS,
            title: "",
        },
    );
    list_item(
        &format!("{number}. "),
        &format!("{}\n\n{explanation}", right.join("; ")),
    )
}

fn list_of_bodies(texts: &[String]) -> String {
    let items: Vec<_> = texts
        .iter()
        .map(|text| {
            let place = Place {
                top_heading: NO_HEADINGS,
                title: "",
            };
            list_item("- ", &prose::markdown(text, place))
        })
        .collect();
    items.join("\n")
}

/// `text` as one item: its further lines stand under its first letter.
fn list_item(marker: &str, text: &str) -> String {
    let indent = " ".repeat(marker.len());
    let mut item = String::from(marker);
    for (index, line) in text.lines().enumerate() {
        if index > 0 {
            item.push('\n');
        }
        if index > 0 && !line.is_empty() {
            item.push_str(&indent);
        }
        item.push_str(line);
    }
    item
}
