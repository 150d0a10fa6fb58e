//! SCORM 1.2 and SCORM 2004 4th edition: one SCO a lesson, which asks its own quiz.
//!
//! The schemas of the standards are named and not packed: platforms bring their own, and none has been met that reads
//! those of a package.

use super::archive::Archive;
use super::package::{self, Runtime};
use super::words::Words;
use super::written::{self, WrittenLesson, WrittenSection};
use super::xml::{Element, XSI};
use super::{CourseView, ExportError, identity};

const SCRIPT: &str = include_str!("../../templates/scorm.js");
/// The longest title of SCORM 1.2, in characters (`imscp_rootv1p1p2.xsd`).
const TITLE_MAX: usize = 200;
/// The resource of the files that all lessons use.
const SHARED: &str = "shared";

/// An edition of the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edition {
    Scorm12,
    Scorm2004,
}

/// Writes a SCORM 1.2 package.
///
/// # Errors
/// [`ExportError::NothingWritten`].
pub(super) fn render_12(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    render(course, Edition::Scorm12)
}

/// Writes a SCORM 2004 4th edition package.
///
/// # Errors
/// [`ExportError::NothingWritten`].
pub(super) fn render_2004(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    render(course, Edition::Scorm2004)
}

fn render(course: &CourseView<'_>, edition: Edition) -> Result<Vec<u8>, ExportError> {
    let sections = written::sections(course)?;
    let runtime = Runtime {
        name: match edition {
            Edition::Scorm12 => "scorm12",
            Edition::Scorm2004 => "scorm2004",
        },
        script_path: "scorm.js",
        script: SCRIPT,
        connects_to: "'none'",
    };
    let mut archive = Archive::default();
    package::add_pages(&mut archive, course, &sections, &runtime)?;
    archive.add(
        "imsmanifest.xml",
        manifest(course, &sections, edition, &runtime).document()?,
    );
    archive.zip()
}

fn manifest(
    course: &CourseView<'_>,
    sections: &[WrittenSection<'_>],
    edition: Edition,
    runtime: &Runtime,
) -> Element {
    let version = match edition {
        Edition::Scorm12 => "1.2",
        Edition::Scorm2004 => "2004 4th Edition",
    };
    root(edition)
        .with("identifier", identity::name(course, "manifest"))
        .with("version", "1.0")
        .child(
            Element::new("metadata")
                .child(Element::new("schema").text("ADL SCORM"))
                .child(Element::new("schemaversion").text(version)),
        )
        .child(
            Element::new("organizations")
                .with("default", "course")
                .child(organization(course, sections, edition)),
        )
        .child(
            Element::new("resources")
                .children(
                    sections
                        .iter()
                        .flat_map(|section| &section.lessons)
                        .map(|lesson| lesson_resource(lesson, edition)),
                )
                .child(shared_resource(edition, runtime)),
        )
}

/// The manifest's element with the namespaces and schemas of its edition.
fn root(edition: Edition) -> Element {
    match edition {
        Edition::Scorm12 => Element::new("manifest")
            .with("xmlns", "http://www.imsproject.org/xsd/imscp_rootv1p1p2")
            .with("xmlns:adlcp", "http://www.adlnet.org/xsd/adlcp_rootv1p2")
            .with("xmlns:xsi", XSI)
            .with(
                "xsi:schemaLocation",
                "http://www.imsproject.org/xsd/imscp_rootv1p1p2 imscp_rootv1p1p2.xsd \
                 http://www.adlnet.org/xsd/adlcp_rootv1p2 adlcp_rootv1p2.xsd",
            ),
        Edition::Scorm2004 => Element::new("manifest")
            .with("xmlns", "http://www.imsglobal.org/xsd/imscp_v1p1")
            .with("xmlns:adlcp", "http://www.adlnet.org/xsd/adlcp_v1p3")
            .with("xmlns:adlseq", "http://www.adlnet.org/xsd/adlseq_v1p3")
            .with("xmlns:adlnav", "http://www.adlnet.org/xsd/adlnav_v1p3")
            .with("xmlns:imsss", "http://www.imsglobal.org/xsd/imsss")
            .with("xmlns:xsi", XSI)
            .with(
                "xsi:schemaLocation",
                "http://www.imsglobal.org/xsd/imscp_v1p1 imscp_v1p1.xsd \
                 http://www.adlnet.org/xsd/adlcp_v1p3 adlcp_v1p3.xsd \
                 http://www.adlnet.org/xsd/adlseq_v1p3 adlseq_v1p3.xsd \
                 http://www.adlnet.org/xsd/adlnav_v1p3 adlnav_v1p3.xsd \
                 http://www.imsglobal.org/xsd/imsss imsss_v1p0.xsd",
            ),
    }
}

fn organization(course: &CourseView<'_>, sections: &[WrittenSection<'_>], edition: Edition) -> Element {
    let words = Words::of(course.inputs.language);
    let sections = sections.iter().map(|section| {
        let called = format!(
            "{} {}. {}",
            words.section, section.number, section.section.section_title
        );
        let item = Element::new("item")
            .with("identifier", format!("section-{}", section.number))
            .child(title(&called, edition))
            .children(section.lessons.iter().map(|lesson| lesson_item(lesson, edition)));
        match edition {
            Edition::Scorm12 => item,
            Edition::Scorm2004 => item.child(Element::new("imsss:sequencing").child(free_choice())),
        }
    });
    let organization = Element::new("organization")
        .with("identifier", "course")
        .child(title(&course.structure.course_title, edition))
        .children(sections);
    match edition {
        Edition::Scorm12 => organization,
        Edition::Scorm2004 => organization.child(Element::new("imsss:sequencing").child(free_choice())),
    }
}

fn title(text: &str, edition: Edition) -> Element {
    let title = Element::new("title");
    match edition {
        Edition::Scorm12 if text.chars().count() > TITLE_MAX => {
            let kept: String = text.chars().take(TITLE_MAX - 1).collect();
            title.text(format!("{}…", kept.trim_end()))
        }
        Edition::Scorm12 | Edition::Scorm2004 => title.text(text),
    }
}

/// Learners take lessons in any order, or one after the other.
fn free_choice() -> Element {
    Element::new("imsss:controlMode")
        .with("choice", "true")
        .with("flow", "true")
}

fn lesson_item(lesson: &WrittenLesson<'_>, edition: Edition) -> Element {
    let item = Element::new("item")
        .with("identifier", format!("item-{}", lesson.name()))
        .with("identifierref", lesson.name())
        .with("isvisible", "true")
        .child(title(&lesson.lesson.lesson_title, edition));
    let has_quiz = !lesson.questions.is_empty();
    match edition {
        Edition::Scorm12 if has_quiz => {
            item.child(Element::new("adlcp:masteryscore").text(package::MASTERY_PERCENT))
        }
        Edition::Scorm12 => item,
        Edition::Scorm2004 => item.child(sequencing(has_quiz)),
    }
}

/// The lesson itself says whether it is completed, and its quiz's score whether it is passed.
fn sequencing(has_quiz: bool) -> Element {
    let objective = Element::new("imsss:primaryObjective").with("objectiveID", "quiz");
    let objective = if has_quiz {
        objective
            .with("satisfiedByMeasure", "true")
            .child(Element::new("imsss:minNormalizedMeasure").text(package::MASTERY))
    } else {
        objective
    };
    Element::new("imsss:sequencing")
        .child(Element::new("imsss:objectives").child(objective))
        .child(
            Element::new("imsss:deliveryControls")
                .with("completionSetByContent", "true")
                .with("objectiveSetByContent", if has_quiz { "true" } else { "false" }),
        )
}

fn lesson_resource(lesson: &WrittenLesson<'_>, edition: Edition) -> Element {
    let path = package::page_path(lesson);
    resource(&lesson.name(), "sco", edition)
        .with("href", &path)
        .child(file(&path))
        .child(Element::new("dependency").with("identifierref", SHARED))
}

fn shared_resource(edition: Edition, runtime: &Runtime) -> Element {
    resource(SHARED, "asset", edition).children(package::shared_paths(runtime).map(file))
}

fn resource(identifier: &str, kind: &str, edition: Edition) -> Element {
    let kind_attribute = match edition {
        Edition::Scorm12 => "adlcp:scormtype",
        Edition::Scorm2004 => "adlcp:scormType",
    };
    Element::new("resource")
        .with("identifier", identifier)
        .with("type", "webcontent")
        .with(kind_attribute, kind)
}

fn file(path: &str) -> Element {
    Element::new("file").with("href", path)
}
