//! Open edX OLX: a chapter a section, a subsection a lesson, with a unit to read and a unit with the quiz.

use serde_json::json;

use super::archive::Archive;
use super::file_name;
use super::markup::{self, Markup};
use super::reading::{self, Medium};
use super::words::Words;
use super::written::{self, Question, WrittenLesson, WrittenSection};
use super::xml::Element;
use super::{CourseView, ExportError, prose};

/// The name of the run, which the platform replaces by that of the course that it imports into.
const RUN: &str = "course";
/// The kind of assignment that lessons with a quiz are.
const ASSIGNMENT: &str = "Quiz";
/// [`super::package::MASTERY`] as a number.
const GRADE_TO_PASS: f64 = 0.7;

/// Writes the archive.
///
/// # Errors
/// [`ExportError::NothingWritten`].
pub(super) fn render(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    let sections = written::sections(course)?;
    let words = Words::of(course.inputs.language);
    let mut archive = Archive::default();
    let mut add = |path: String, element: &Element| -> Result<(), ExportError> {
        archive.add(format!("course/{path}"), element.document()?);
        Ok(())
    };
    add("course.xml".to_owned(), &root(course))?;
    add(format!("course/{RUN}.xml"), &outline(course, &sections))?;
    for section in &sections {
        let name = format!("section-{}", section.number);
        add(
            format!("chapter/{name}.xml"),
            &parent(
                "chapter",
                &section.section.section_title,
                "sequential",
                section.lessons.iter().map(WrittenLesson::name),
            ),
        )?;
        for lesson in &section.lessons {
            add_lesson(&mut add, lesson, words)?;
        }
    }
    for lesson in sections.iter().flat_map(|section| &section.lessons) {
        let text = reading::lesson(course, lesson, Medium::Text)?;
        archive.add(
            format!("course/html/{}.html", page_name(lesson)),
            text.to_string(),
        );
    }
    archive.add("course/about/overview.html", about(course, words).to_string());
    for (name, policy) in policies() {
        archive.add(
            format!("course/policies/{RUN}/{name}.json"),
            serde_json::to_vec_pretty(&policy).map_err(ExportError::Json)?,
        );
    }
    archive.tar_gz()
}

fn root(course: &CourseView<'_>) -> Element {
    Element::new("course")
        .with("url_name", RUN)
        .with("org", "Coursewright")
        .with("course", file_name::stem(&course.structure.course_title))
}

fn outline(course: &CourseView<'_>, sections: &[WrittenSection<'_>]) -> Element {
    parent(
        "course",
        &course.structure.course_title,
        "chapter",
        sections
            .iter()
            .map(|section| format!("section-{}", section.number)),
    )
    .with("language", course.inputs.language.code())
    // Without a beginning the platform keeps a course closed until 2030.
    .with("start", start(course))
}

fn start(course: &CourseView<'_>) -> String {
    course
        .generated_at
        .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// A block with references to its children.
fn parent(
    name: &'static str,
    title: &str,
    child: &'static str,
    children: impl IntoIterator<Item = String>,
) -> Element {
    Element::new(name).with("display_name", title).children(
        children
            .into_iter()
            .map(|url_name| Element::new(child).with("url_name", url_name)),
    )
}

/// The name of the page of a lesson.
fn page_name(lesson: &WrittenLesson<'_>) -> String {
    format!("{}-page", lesson.name())
}

fn add_lesson(
    add: &mut dyn FnMut(String, &Element) -> Result<(), ExportError>,
    lesson: &WrittenLesson<'_>,
    words: &Words,
) -> Result<(), ExportError> {
    // No two blocks of a course may have one name, not even of different kinds.
    let name = lesson.name();
    let (unit, page, quiz) = (format!("{name}-unit"), page_name(lesson), format!("{name}-quiz"));
    let title = &lesson.lesson.lesson_title;
    let has_quiz = !lesson.questions.is_empty();
    let units = std::iter::once(unit.clone()).chain(has_quiz.then(|| quiz.clone()));
    let mut subsection = parent("sequential", title, "vertical", units);
    if has_quiz {
        subsection = subsection.with("format", ASSIGNMENT).with("graded", "true");
    }
    add(format!("sequential/{name}.xml"), &subsection)?;
    add(
        format!("vertical/{unit}.xml"),
        &parent("vertical", title, "html", [page.clone()]),
    )?;
    add(
        format!("html/{page}.xml"),
        &Element::new("html")
            .with("display_name", title)
            .with("filename", &page),
    )?;
    if has_quiz {
        let problems = lesson.questions.iter().map(|question| question.name(lesson));
        add(
            format!("vertical/{quiz}.xml"),
            &parent("vertical", words.quiz, "problem", problems),
        )?;
    }
    for question in &lesson.questions {
        add(
            format!("problem/{}.xml", question.name(lesson)),
            &problem(question, words),
        )?;
    }
    Ok(())
}

fn problem(question: &Question<'_>, words: &Words) -> Element {
    let (response, group, kind) = if question.is_single {
        ("multiplechoiceresponse", "choicegroup", Some("MultipleChoice"))
    } else {
        ("choiceresponse", "checkboxgroup", None)
    };
    let choices = question.options.iter().map(|option| {
        Element::new("choice")
            .with("correct", if option.is_right { "true" } else { "false" })
            .markup(markup::line(option.text))
    });
    let mut group = Element::new(group);
    if let Some(kind) = kind {
        group = group.with("type", kind);
    }
    let rule = if question.is_single {
        words.choose_one
    } else {
        words.choose_all
    };
    let solution = Element::new("solution").child(
        Element::new("div")
            .with("class", "detailed-solution")
            .child(Element::new("p").text(words.answer))
            .child(Element::new("div").markup(explanation(question))),
    );
    Element::new("problem")
        .with("display_name", format!("{} {}", words.quiz, question.number))
        .with("showanswer", "attempted")
        .child(
            Element::new(response)
                .child(Element::new("label").markup(markup::line(&question.asked.question)))
                .child(Element::new("description").text(rule))
                .child(group.children(choices))
                .child(solution),
        )
}

fn explanation(question: &Question<'_>) -> Markup {
    let place = prose::Place {
        top_heading: prose::NO_HEADINGS,
        title: "",
    };
    markup::body(&question.asked.explanation, place)
}

fn about(course: &CourseView<'_>, words: &Words) -> Markup {
    let place = prose::Place {
        top_heading: 3,
        title: "",
    };
    let mut parts = vec![
        format!("<h2>{}</h2>", words.overview),
        format!("<p>{}</p>", markup::line(&course.structure.course_description)),
    ];
    if let Some(notice) = course.notice {
        parts.push(format!("<p>{}</p>", markup::line(notice)));
    }
    parts.push(markup::body(&course.structure.course_overview, place).to_string());
    Markup::vouched(parts.join("\n"))
}

/// Both files have to be there: settings that the course itself does not have, of which there are none, and how the course
/// is graded: by its quizzes, which all weigh the same, and as in the other packages.
fn policies() -> [(&'static str, serde_json::Value); 2] {
    let settings = json!({ format!("course/{RUN}"): {} });
    let grader = json!({ "type": ASSIGNMENT, "short_label": ASSIGNMENT, "min_count": 1, "drop_count": 0, "weight": 1.0 });
    let grading = json!({ "GRADER": [grader], "GRADE_CUTOFFS": { "Pass": GRADE_TO_PASS } });
    [("policy", settings), ("grading_policy", grading)]
}
