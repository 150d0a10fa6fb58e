//! EPUB 3: a book with a chapter a lesson, and solutions and answers at its end.

use chrono::SecondsFormat;
use domain::language::Language;

use super::archive::Archive;
use super::markup::{self, Markup};
use super::prose::Place;
use super::reading::{self, Medium};
use super::words::Words;
use super::written::{self, WrittenSection};
use super::xml::Element;
use super::{CourseView, ExportError, identity};

const MEDIA_TYPE: &str = "application/epub+zip";
const XHTML: &str = "http://www.w3.org/1999/xhtml";
const STYLE: &str = include_str!("../../templates/book.css");
/// What a reader who cannot see or hear should know (EPUB Accessibility 1.1): the book is text only.
const ACCESSIBILITY: [(&str, &str); 8] = [
    ("schema:accessMode", "textual"),
    ("schema:accessModeSufficient", "textual"),
    ("schema:accessibilityFeature", "structuralNavigation"),
    ("schema:accessibilityFeature", "tableOfContents"),
    ("schema:accessibilityFeature", "readingOrder"),
    ("schema:accessibilityFeature", "displayTransformability"),
    ("schema:accessibilityHazard", "none"),
    (
        "schema:accessibilitySummary",
        "Text with headings; no images, sound or motion.",
    ),
];

/// A document of the book.
#[derive(Debug)]
struct Chapter {
    /// Its name inside the package; the file is `<name>.xhtml`.
    name: String,
    title: String,
    body: Markup,
    /// The part that it belongs to, from 1; `None`: it stands beside the parts.
    section: Option<usize>,
    /// Begins its part.
    is_opening: bool,
}

/// Writes the book.
///
/// # Errors
/// [`ExportError::NothingWritten`].
pub(super) fn render(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    let sections = written::sections(course)?;
    let chapters = chapters(course, &sections)?;
    let mut archive = Archive::beginning_with("mimetype", MEDIA_TYPE);
    archive.add("META-INF/container.xml", container().document()?);
    archive.add("EPUB/package.opf", package(course, &chapters).document()?);
    archive.add("EPUB/nav.xhtml", contents(course, &chapters).document()?);
    archive.add("EPUB/style.css", STYLE);
    for chapter in &chapters {
        let heading = Element::new("h1").markup(markup::line(&chapter.title));
        let body = Element::new("body").child(heading).markup(chapter.body.clone());
        archive.add(
            format!("EPUB/{}.xhtml", chapter.name),
            page(course, &chapter.title, body).document()?,
        );
    }
    archive.zip()
}

fn container() -> Element {
    let root_file = Element::new("rootfile")
        .with("full-path", "EPUB/package.opf")
        .with("media-type", "application/oebps-package+xml");
    Element::new("container")
        .with("version", "1.0")
        .with("xmlns", "urn:oasis:names:tc:opendocument:xmlns:container")
        .child(Element::new("rootfiles").child(root_file))
}

fn chapters(course: &CourseView<'_>, sections: &[WrittenSection<'_>]) -> Result<Vec<Chapter>, ExportError> {
    let words = Words::of(course.inputs.language);
    let mut chapters = vec![Chapter {
        name: "about".to_owned(),
        title: course.structure.course_title.clone(),
        body: about(course, words),
        section: None,
        is_opening: false,
    }];
    let mut answers = String::new();
    for section in sections {
        chapters.push(Chapter {
            name: format!("section-{}", section.number),
            title: format!(
                "{} {}. {}",
                words.section, section.number, section.section.section_title
            ),
            body: section_opening(section, words),
            section: Some(section.number),
            is_opening: true,
        });
        for lesson in &section.lessons {
            chapters.push(Chapter {
                name: lesson.name(),
                title: reading::title(course, lesson),
                body: reading::lesson(course, lesson, Medium::Book)?,
                section: Some(section.number),
                is_opening: false,
            });
            if let Some(lesson_answers) = reading::answers(course, lesson)? {
                answers.push_str(lesson_answers.as_str());
                answers.push('\n');
            }
        }
    }
    if !answers.is_empty() {
        chapters.push(Chapter {
            name: "answers".to_owned(),
            title: words.answers.to_owned(),
            body: Markup::vouched(answers),
            section: None,
            is_opening: false,
        });
    }
    Ok(chapters)
}

fn about(course: &CourseView<'_>, words: &Words) -> Markup {
    let structure = course.structure;
    let mut parts = vec![format!("<p>{}</p>", markup::line(&structure.course_description))];
    if let Some(notice) = course.notice {
        parts.push(format!(
            "<p class=\"notice\" role=\"note\" dir=\"auto\">{}</p>",
            markup::line(notice)
        ));
    }
    let overview = Place {
        top_heading: 3,
        title: "",
    };
    parts.push(format!("<h2>{}</h2>", words.overview));
    parts.push(markup::body(&structure.course_overview, overview).to_string());
    for (heading, items) in [
        (words.outcomes, &structure.learning_outcomes),
        (words.prerequisites, &structure.prerequisites),
    ] {
        if !items.is_empty() {
            parts.push(format!("<h2>{heading}</h2>"));
            parts.push(list(items));
        }
    }
    parts.push(format!(
        "<p class=\"kicker\">{} {} · Coursewright</p>",
        words.made_on,
        words.date(course.generated_at)
    ));
    Markup::vouched(parts.join("\n"))
}

fn section_opening(section: &WrittenSection<'_>, words: &Words) -> Markup {
    Markup::vouched(format!(
        "<p>{}</p>\n<p class=\"label\">{}</p>\n{}",
        markup::line(&section.section.section_description),
        words.section_objectives,
        list(&section.section.learning_objectives)
    ))
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = markup::lines(items)
        .iter()
        .map(|item| format!("<li>{item}</li>"))
        .collect();
    format!("<ul>\n{}\n</ul>", items.join("\n"))
}

fn page(course: &CourseView<'_>, title: &str, body: Element) -> Element {
    let language = course.inputs.language;
    let style = Element::new("link")
        .with("rel", "stylesheet")
        .with("type", "text/css")
        .with("href", "style.css");
    Element::new("html")
        .with("xmlns", XHTML)
        .with("xmlns:epub", "http://www.idpf.org/2007/ops")
        .with("xml:lang", language.code())
        .with("lang", language.code())
        .with("dir", reading::direction(language))
        .child(
            Element::new("head")
                .child(Element::new("title").text(title))
                .child(style),
        )
        .child(body)
}

/// The table of contents, parts with their lessons below them.
fn contents(course: &CourseView<'_>, chapters: &[Chapter]) -> Element {
    let words = Words::of(course.inputs.language);
    let mut entries = Vec::new();
    for chapter in chapters {
        if chapter.section.is_some() && !chapter.is_opening {
            continue;
        }
        let mut entry = Element::new("li").child(link(chapter));
        if chapter.is_opening {
            let lessons = chapters
                .iter()
                .filter(|lesson| lesson.section == chapter.section && !lesson.is_opening)
                .map(|lesson| Element::new("li").child(link(lesson)));
            entry = entry.child(Element::new("ol").children(lessons));
        }
        entries.push(entry);
    }
    let nav = Element::new("nav")
        .with("epub:type", "toc")
        .with("role", "doc-toc")
        .with("id", "toc")
        .child(Element::new("h1").text(words.contents))
        .child(Element::new("ol").children(entries));
    page(course, words.contents, Element::new("body").child(nav))
}

fn link(chapter: &Chapter) -> Element {
    Element::new("a")
        .with("href", format!("{}.xhtml", chapter.name))
        .text(&chapter.title)
}

fn package(course: &CourseView<'_>, chapters: &[Chapter]) -> Element {
    let item = |id: &str, href: &str, media_type: &str| {
        Element::new("item")
            .with("id", id)
            .with("href", href)
            .with("media-type", media_type)
    };
    let manifest = Element::new("manifest")
        .child(item("nav", "nav.xhtml", "application/xhtml+xml").with("properties", "nav"))
        .child(item("style", "style.css", "text/css"))
        .children(chapters.iter().map(|chapter| {
            let href = format!("{}.xhtml", chapter.name);
            item(&chapter.name, &href, "application/xhtml+xml")
        }));
    let mut spine = Element::new("spine");
    if course.inputs.language == Language::Arabic {
        spine = spine.with("page-progression-direction", "rtl");
    }
    let spine = spine.children(
        chapters
            .iter()
            .map(|chapter| Element::new("itemref").with("idref", &chapter.name)),
    );
    Element::new("package")
        .with("xmlns", "http://www.idpf.org/2007/opf")
        .with("version", "3.0")
        .with("unique-identifier", "identifier")
        .with("xml:lang", course.inputs.language.code())
        .child(metadata(course))
        .child(manifest)
        .child(spine)
}

fn metadata(course: &CourseView<'_>) -> Element {
    let structure = course.structure;
    let modified = course.generated_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let property = |name: &str, value: &str| Element::new("meta").with("property", name).text(value);
    Element::new("metadata")
        .with("xmlns:dc", "http://purl.org/dc/elements/1.1/")
        .child(
            Element::new("dc:identifier")
                .with("id", "identifier")
                .text(identity::urn(course, "book")),
        )
        .child(Element::new("dc:title").text(&structure.course_title))
        .child(Element::new("dc:language").text(course.inputs.language.code()))
        .child(Element::new("dc:creator").text("Coursewright"))
        .child(Element::new("dc:description").text(&structure.course_description))
        .children(
            structure
                .course_tags
                .iter()
                .map(|tag| Element::new("dc:subject").text(tag)),
        )
        .child(property("dcterms:modified", &modified))
        .children(ACCESSIBILITY.map(|(name, value)| property(name, value)))
}
