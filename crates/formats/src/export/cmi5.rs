//! cmi5 (Quartz, 1st edition): a block a section, an assignable unit a lesson.

use super::archive::Archive;
use super::package::{self, Runtime};
use super::written::{self, WrittenLesson, WrittenSection};
use super::xml::Element;
use super::{CourseView, ExportError, identity};

/// The namespace of course structures, which is also where their schema is.
const NAMESPACE: &str = "https://w3id.org/xapi/profiles/cmi5/v1/CourseStructure.xsd";
const SCRIPT: &str = include_str!("../../templates/cmi5.js");

/// Writes the package.
///
/// # Errors
/// [`ExportError::NothingWritten`].
pub(super) fn render(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    let sections = written::sections(course)?;
    let runtime = Runtime {
        name: "cmi5",
        script_path: "cmi5.js",
        script: SCRIPT,
        // The record store stands wherever the platform says.
        connects_to: "http: https:",
    };
    let mut archive = Archive::default();
    package::add_pages(&mut archive, course, &sections, &runtime)?;
    archive.add("cmi5.xml", structure(course, &sections).document()?);
    archive.zip()
}

fn structure(course: &CourseView<'_>, sections: &[WrittenSection<'_>]) -> Element {
    let about = described(
        Element::new("course").with("id", identity::urn(course, "course")),
        course,
        &course.structure.course_title,
        &course.structure.course_description,
    );
    Element::new("courseStructure")
        .with("xmlns", NAMESPACE)
        .child(about)
        .children(sections.iter().map(|section| block(course, section)))
}

fn block(course: &CourseView<'_>, section: &WrittenSection<'_>) -> Element {
    described(
        Element::new("block").with(
            "id",
            identity::urn(course, &format!("section-{}", section.number)),
        ),
        course,
        &section.section.section_title,
        &section.section.section_description,
    )
    .children(section.lessons.iter().map(|lesson| unit(course, lesson)))
}

fn unit(course: &CourseView<'_>, lesson: &WrittenLesson<'_>) -> Element {
    let unit = Element::new("au").with("id", identity::urn(course, &lesson.name()));
    let unit = if lesson.questions.is_empty() {
        unit.with("moveOn", "Completed")
    } else {
        unit.with("moveOn", "Passed")
            .with("masteryScore", package::MASTERY)
    };
    described(
        unit.with("launchMethod", "AnyWindow"),
        course,
        &lesson.lesson.lesson_title,
        &lesson.lesson.lesson_objectives.join("; "),
    )
    .child(Element::new("url").text(package::page_path(lesson)))
}

fn described(element: Element, course: &CourseView<'_>, title: &str, description: &str) -> Element {
    let language = course.inputs.language.code();
    let text = |name: &'static str, text: &str| {
        Element::new(name).child(Element::new("langstring").with("lang", language).text(text))
    };
    element
        .child(text("title", title))
        .child(text("description", description))
}
