//! IMS Common Cartridge 1.3: a page a lesson, and its quiz as a QTI 1.2 assessment beside it.

mod assessment;

use super::archive::Archive;
use super::package;
use super::words::Words;
use super::written::{self, WrittenLesson, WrittenSection};
use super::xml::{Element, XSI};
use super::{CourseView, ExportError, identity};

/// The folder of the lessons' pages.
const PAGES: &str = "lessons";
/// The folder of the quizzes.
const QUIZZES: &str = "quizzes";

/// Writes the cartridge.
///
/// # Errors
/// [`ExportError::NothingWritten`].
pub(super) fn render(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    let sections = written::sections(course)?;
    let mut archive = Archive::default();
    package::add_texts(&mut archive, course, &sections, PAGES)?;
    for lesson in sections.iter().flat_map(|section| &section.lessons) {
        if !lesson.questions.is_empty() {
            archive.add(
                quiz_path(lesson),
                assessment::of_lesson(course, lesson).document()?,
            );
        }
    }
    archive.add("imsmanifest.xml", manifest(course, &sections).document()?);
    archive.zip()
}

fn quiz_path(lesson: &WrittenLesson<'_>) -> String {
    format!("{QUIZZES}/{}.xml", lesson.name())
}

/// What a lesson's quiz is called.
fn quiz_title(course: &CourseView<'_>, lesson: &WrittenLesson<'_>) -> String {
    let words = Words::of(course.inputs.language);
    format!("{}: {}", lesson.lesson.lesson_title, words.quiz)
}

fn manifest(course: &CourseView<'_>, sections: &[WrittenSection<'_>]) -> Element {
    let lessons = sections.iter().flat_map(|section| &section.lessons);
    Element::new("manifest")
        .with("identifier", identity::name(course, "cartridge"))
        .with("xmlns", "http://www.imsglobal.org/xsd/imsccv1p3/imscp_v1p1")
        .with("xmlns:lom", "http://ltsc.ieee.org/xsd/imsccv1p3/LOM/resource")
        .with(
            "xmlns:lomimscc",
            "http://ltsc.ieee.org/xsd/imsccv1p3/LOM/manifest",
        )
        .with("xmlns:xsi", XSI)
        .with(
            "xsi:schemaLocation",
            "http://www.imsglobal.org/xsd/imsccv1p3/imscp_v1p1 \
             http://www.imsglobal.org/profile/cc/ccv1p3/ccv1p3_imscp_v1p2_v1p0.xsd \
             http://ltsc.ieee.org/xsd/imsccv1p3/LOM/manifest \
             http://www.imsglobal.org/profile/cc/ccv1p3/LOM/ccv1p3_lommanifest_v1p0.xsd",
        )
        .child(metadata(course))
        .child(Element::new("organizations").child(organization(course, sections)))
        .child(
            Element::new("resources")
                .child(web_content(&identity::name(course, "style"), package::STYLE_PATH))
                .children(lessons.flat_map(|lesson| resources(course, lesson))),
        )
}

fn metadata(course: &CourseView<'_>) -> Element {
    let language = course.inputs.language.code();
    let text = |name: &'static str, text: &str| {
        Element::new(name).child(
            Element::new("lomimscc:string")
                .with("language", language)
                .text(text),
        )
    };
    let general = Element::new("lomimscc:general")
        .child(text("lomimscc:title", &course.structure.course_title))
        .child(Element::new("lomimscc:language").text(language))
        .child(text("lomimscc:description", &course.structure.course_description))
        .children(
            course
                .structure
                .course_tags
                .iter()
                .map(|tag| text("lomimscc:keyword", tag)),
        );
    Element::new("metadata")
        .child(Element::new("schema").text("IMS Common Cartridge"))
        .child(Element::new("schemaversion").text("1.3.0"))
        .child(Element::new("lomimscc:lom").child(general))
}

fn organization(course: &CourseView<'_>, sections: &[WrittenSection<'_>]) -> Element {
    let sections = sections.iter().map(|section| {
        item(course, &format!("section-{}", section.number))
            .child(Element::new("title").text(&section.section.section_title))
            .children(
                section
                    .lessons
                    .iter()
                    .flat_map(|lesson| lesson_items(course, lesson)),
            )
    });
    // The profile wants one item without a title around all others.
    Element::new("organization")
        .with("identifier", identity::name(course, "organization"))
        .with("structure", "rooted-hierarchy")
        .child(item(course, "root").children(sections))
}

fn item(course: &CourseView<'_>, part: &str) -> Element {
    Element::new("item").with("identifier", identity::name(course, &format!("item-{part}")))
}

/// The lesson's page, and its quiz if there is one.
fn lesson_items(course: &CourseView<'_>, lesson: &WrittenLesson<'_>) -> Vec<Element> {
    let name = lesson.name();
    let page = item(course, &name)
        .with("identifierref", identity::name(course, &name))
        .child(Element::new("title").text(&lesson.lesson.lesson_title));
    let mut items = vec![page];
    if !lesson.questions.is_empty() {
        let quiz = format!("{name}-quiz");
        items.push(
            item(course, &quiz)
                .with("identifierref", identity::name(course, &quiz))
                .child(Element::new("title").text(quiz_title(course, lesson))),
        );
    }
    items
}

fn resources(course: &CourseView<'_>, lesson: &WrittenLesson<'_>) -> Vec<Element> {
    let name = lesson.name();
    let page = format!("{PAGES}/{}", package::page_path(lesson));
    let mut resources = vec![
        web_content(&identity::name(course, &name), &page)
            .child(Element::new("dependency").with("identifierref", identity::name(course, "style"))),
    ];
    if !lesson.questions.is_empty() {
        resources.push(
            Element::new("resource")
                .with("identifier", identity::name(course, &format!("{name}-quiz")))
                .with("type", "imsqti_xmlv1p2/imscc_xmlv1p3/assessment")
                .child(Element::new("file").with("href", quiz_path(lesson))),
        );
    }
    resources
}

fn web_content(identifier: &str, path: &str) -> Element {
    Element::new("resource")
        .with("identifier", identifier)
        .with("type", "webcontent")
        .with("href", path)
        .child(Element::new("file").with("href", path))
}
