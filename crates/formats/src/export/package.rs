//! Lessons as pages of a package: what SCORM, cmi5 and Common Cartridge have in common.

use askama::Template;
use domain::language::Language;

use super::archive::Archive;
use super::markup::{self, Markup};
use super::reading::{self, Medium};
use super::words::Words;
use super::written::{WrittenLesson, WrittenSection};
use super::{CourseView, ExportError, characters};

/// The share of right answers with which a quiz is passed. Our own figure: of three questions two are not enough, of
/// four three are.
pub(super) const MASTERY: &str = "0.7";
/// [`MASTERY`] in per cent, as SCORM 1.2 has it.
pub(super) const MASTERY_PERCENT: &str = "70";
/// The style sheet of all pages of a package.
pub(super) const STYLE_PATH: &str = "style.css";
const STYLE: &str = include_str!("../../templates/package.css");
/// The script that asks quizzes.
const LESSON_SCRIPT: &str = include_str!("../../templates/lesson.js");

/// What a page tells its platform, and how.
#[derive(Debug)]
pub(super) struct Runtime {
    /// As the script knows it.
    pub name: &'static str,
    /// The script's file name.
    pub script_path: &'static str,
    pub script: &'static str,
    /// Where the pages may send requests to, as a source list of a content security policy.
    pub connects_to: &'static str,
}

/// The files that the pages of a package share.
pub(super) fn shared_paths(runtime: &Runtime) -> [&'static str; 3] {
    [STYLE_PATH, runtime.script_path, "lesson.js"]
}

/// A page of a package.
#[derive(Debug, Template)]
#[template(path = "lesson.html")]
struct LessonPage<'a> {
    words: &'static Words,
    language: Language,
    direction: &'static str,
    policy: &'a str,
    title: &'a str,
    heading: Markup,
    notice: Option<&'a str>,
    reading: Markup,
    /// From the page to the package's folder: empty or `../`.
    base: &'a str,
    scripts: &'a [&'static str],
    runtime: Option<&'static str>,
    mastery: &'static str,
    has_quiz: bool,
}

/// The path of a lesson's page.
pub(super) fn page_path(lesson: &WrittenLesson<'_>) -> String {
    format!("{}.html", lesson.name())
}

/// Adds a page that asks and reports for every lesson, and what they share.
///
/// # Errors
/// If a template cannot be filled.
pub(super) fn add_pages(
    archive: &mut Archive,
    course: &CourseView<'_>,
    sections: &[WrittenSection<'_>],
    runtime: &Runtime,
) -> Result<(), ExportError> {
    archive.add(STYLE_PATH, STYLE);
    archive.add(runtime.script_path, runtime.script);
    archive.add("lesson.js", LESSON_SCRIPT);
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src {}; base-uri 'none'; form-action 'none'",
        runtime.connects_to
    );
    let scripts = [runtime.script_path, "lesson.js"];
    for lesson in sections.iter().flat_map(|section| &section.lessons) {
        let page = LessonPage {
            base: "",
            policy: &policy,
            scripts: &scripts,
            runtime: Some(runtime.name),
            ..LessonPage::quiet(
                course,
                lesson,
                reading::lesson(course, lesson, Medium::Interactive)?,
            )
        };
        archive.add(page_path(lesson), page.text()?);
    }
    Ok(())
}

/// Adds a page that only shows for every lesson, with the style sheet beside the folder `folder`.
///
/// # Errors
/// If a template cannot be filled.
pub(super) fn add_texts(
    archive: &mut Archive,
    course: &CourseView<'_>,
    sections: &[WrittenSection<'_>],
    folder: &str,
) -> Result<(), ExportError> {
    archive.add(STYLE_PATH, STYLE);
    for lesson in sections.iter().flat_map(|section| &section.lessons) {
        let page = LessonPage::quiet(course, lesson, reading::lesson(course, lesson, Medium::Text)?);
        archive.add(format!("{folder}/{}", page_path(lesson)), page.text()?);
    }
    Ok(())
}

impl<'a> LessonPage<'a> {
    /// The file.
    fn text(&self) -> Result<String, ExportError> {
        self.render().map(characters::writable).map_err(ExportError::Html)
    }

    /// A page without scripts, one folder below the package's.
    fn quiet(course: &CourseView<'a>, lesson: &'a WrittenLesson<'a>, reading: Markup) -> Self {
        let language = course.inputs.language;
        Self {
            words: Words::of(language),
            language,
            direction: reading::direction(language),
            policy: "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'",
            title: &lesson.lesson.lesson_title,
            heading: markup::line(&lesson.lesson.lesson_title),
            // Once, where the course begins.
            notice: course.notice.filter(|_| lesson.number == 1),
            reading,
            base: "../",
            scripts: &[],
            runtime: None,
            mastery: MASTERY,
            has_quiz: !lesson.questions.is_empty(),
        }
    }
}
