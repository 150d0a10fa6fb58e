//! Packages for platforms and reading programs. Their schemas and consumers are asked by `scripts/check-exports`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read as _};

use quick_xml::Reader;
use quick_xml::events::Event;

use super::*;

/// What is packed, with its files to compare with golden ones: all others are made in the same way.
const PACKAGES: [(Format, &[&str]); 7] = [
    (
        Format::Epub,
        &[
            "META-INF/container.xml",
            "EPUB/package.opf",
            "EPUB/nav.xhtml",
            "EPUB/about.xhtml",
            "EPUB/section-1.xhtml",
            "EPUB/lesson-1.xhtml",
            "EPUB/answers.xhtml",
        ],
    ),
    (Format::Scorm12, &["imsmanifest.xml", "lesson-1.html"]),
    (Format::Scorm2004, &["imsmanifest.xml"]),
    (Format::Cmi5, &["cmi5.xml"]),
    (
        Format::CommonCartridge,
        &["imsmanifest.xml", "lessons/lesson-1.html", "quizzes/lesson-1.xml"],
    ),
    (
        Format::Qti21,
        &["imsmanifest.xml", "test.xml", "items/lesson-1-question-1.xml"],
    ),
    (
        Format::Qti3,
        &["imsmanifest.xml", "test.xml", "items/lesson-1-question-1.xml"],
    ),
];
/// The files of the OLX archive to compare with golden ones.
const OLX_FILES: [&str; 8] = [
    "course/course.xml",
    "course/course/course.xml",
    "course/chapter/section-1.xml",
    "course/sequential/lesson-1.xml",
    "course/vertical/lesson-1-quiz.xml",
    "course/html/lesson-1-page.html",
    "course/problem/lesson-1-question-1.xml",
    "course/policies/course/policy.json",
];
/// The formats that are nothing but questions.
const QUESTIONS: [Format; 4] = [Format::Qti21, Format::Qti3, Format::MoodleXml, Format::Gift];

/// The files of a package in the order of the archive.
fn files(format: Format, view: &CourseView<'_>) -> Vec<(String, String)> {
    let bytes = export(format, view).unwrap().bytes;
    let mut files = Vec::new();
    if format == Format::Olx {
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            files.push((path, text));
        }
        return files;
    }
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).unwrap();
        let mut text = String::new();
        // Reading to the end compares the checksum too.
        file.read_to_string(&mut text).unwrap();
        files.push((file.name().unwrap().into_owned(), text));
    }
    files
}

fn all_packages(view: &CourseView<'_>) -> Vec<(Format, Vec<(String, String)>)> {
    PACKAGES
        .iter()
        .map(|(format, _)| *format)
        .chain([Format::Olx])
        .map(|format| (format, files(format, view)))
        .collect()
}

fn arabic() -> Sample {
    let mut sample = Sample::english();
    sample.inputs.language = Language::Arabic;
    sample
}

/// The elements of an XML file with their attributes.
fn elements(path: &str, xml: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut reader = Reader::from_str(xml);
    let mut elements = Vec::new();
    let mut depth = 0;
    loop {
        let event = reader
            .read_event()
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        match &event {
            Event::Start(start) | Event::Empty(start) => {
                let attributes = start
                    .attributes()
                    .map(|attribute| {
                        let attribute = attribute.unwrap_or_else(|error| panic!("{path}: {error}"));
                        let value = String::from_utf8(attribute.value.to_vec()).unwrap();
                        quick_xml::escape::unescape(&value).unwrap();
                        (String::from_utf8(attribute.key.as_ref().to_vec()).unwrap(), value)
                    })
                    .collect();
                elements.push((
                    String::from_utf8(start.name().as_ref().to_vec()).unwrap(),
                    attributes,
                ));
            }
            _ => {}
        }
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "{path}: not everything is closed");
    assert!(
        xml.chars().all(crate::export::characters::is_writable),
        "{path}: a character that XML cannot hold"
    );
    elements
}

#[test]
fn packages_have_golden_files() {
    for (sample, name) in samples().iter().zip(["english", "russian"]) {
        let view = sample.view();
        let wanted = PACKAGES
            .iter()
            .map(|&(format, paths)| (format, paths))
            .chain([(Format::Olx, OLX_FILES.as_slice())]);
        for (format, paths) in wanted {
            let files = files(format, &view);
            let paths_packed: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
            let mut golden = vec![paths_packed.join("\n")];
            for wanted in paths {
                let (_, text) = files
                    .iter()
                    .find(|(path, _)| path == wanted)
                    .unwrap_or_else(|| panic!("{format:?} has no {wanted}"));
                golden.push(format!("==== {wanted}\n{text}"));
            }
            insta::assert_snapshot!(format!("{name}.{}", format.as_str()), golden.join("\n\n"));
        }
        for format in [Format::MoodleXml, Format::Gift] {
            insta::assert_snapshot!(format!("{name}.{}", format.as_str()), text(format, &view));
        }
    }
}

#[test]
fn every_file_of_markup_is_well_formed() {
    for sample in samples().into_iter().chain([Sample::hostile(), arabic()]) {
        let view = sample.view();
        for (format, files) in all_packages(&view) {
            for (path, text) in files {
                let extension = path.rsplit('.').next().unwrap_or_default();
                if ["xml", "opf", "xhtml", "html"].contains(&extension) && !path.contains("/html/") {
                    // The overview of an OLX course is a piece of a page.
                    let whole = if path.ends_with("overview.html") {
                        format!("<div>{text}</div>")
                    } else {
                        text
                    };
                    elements(&format!("{format:?} {path}"), &whole);
                }
            }
        }
        elements("moodle", &text(Format::MoodleXml, &view));
    }
}

#[test]
fn whatever_a_package_names_is_in_it() {
    for sample in samples() {
        for (format, files) in all_packages(&sample.view()) {
            let paths: BTreeSet<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
            let mut named = 0;
            for (path, text) in &files {
                if !path.ends_with("xml") && !path.ends_with("html") && !path.ends_with("opf") {
                    continue;
                }
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                for (_, attributes) in elements(path, &format!("<all>{}</all>", without_declaration(text))) {
                    for (_, target) in attributes
                        .iter()
                        .filter(|(name, _)| ["href", "src"].contains(&name.as_str()))
                    {
                        if target.contains(':') || target.starts_with('#') {
                            continue;
                        }
                        let target = match target.strip_prefix("../") {
                            Some(above) => above.to_owned(),
                            None if folder.is_empty() => target.clone(),
                            None => format!("{folder}/{target}"),
                        };
                        named += 1;
                        assert!(
                            paths.contains(target.as_str()),
                            "{format:?}: {path} names {target}"
                        );
                    }
                }
            }
            // OLX names by `url_name`; `scripts/check-exports` follows those.
            assert!(named > 2 || format == Format::Olx, "{format:?}: {named}");
        }
    }
}

fn is_of_kind(path: &str, extension: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, kind)| kind == extension)
}

fn without_declaration(text: &str) -> &str {
    let text = text
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>")
        .unwrap_or(text);
    text.strip_prefix("<!DOCTYPE html>").unwrap_or(text)
}

#[test]
fn hostile_texts_are_inert_in_pages_of_packages() {
    let sample = Sample::hostile();
    let view = sample.view();
    for (format, files) in all_packages(&view) {
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with("html")) {
            for tag in tags(text) {
                let context = format!("{format:?} {path} {}", tag.name);
                assert!(
                    !["img", "iframe", "object", "embed", "base", "form", "style", "svg"].contains(&tag.name),
                    "{context}"
                );
                for (name, value) in &tag.attributes {
                    assert!(
                        !name.starts_with("on") && !["style", "srcset", "action"].contains(name),
                        "{context} {name}"
                    );
                    if *name == "src" {
                        assert!(
                            tag.name == "script" && ["scorm.js", "cmi5.js", "lesson.js"].contains(value),
                            "{context}"
                        );
                    }
                    if *name == "href" && tag.name == "a" {
                        assert!(
                            ["https://", "http://", "mailto:"]
                                .iter()
                                .any(|start| value.starts_with(start))
                                || (format == Format::Epub && is_of_kind(value, "xhtml")),
                            "{context} {value}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn pages_that_run_scripts_allow_no_others() {
    let sample = Sample::english();
    for (format, files) in all_packages(&sample.view()) {
        for (path, text) in files
            .iter()
            .filter(|(path, text)| is_of_kind(path, "html") && text.contains("<script"))
        {
            let policy = between(text, "Policy\" content=\"", "\"");
            assert!(
                policy.starts_with("default-src &#39;none&#39;;"),
                "{format:?} {path}"
            );
            assert!(policy.contains("script-src &#39;self&#39;;"), "{format:?} {path}");
        }
    }
}

#[test]
fn hostile_questions_stay_single_questions_in_gift() {
    let sample = Sample::hostile();
    let view = sample.view();
    // A category is its line, whatever stands in it.
    let gift: String = text(Format::Gift, &view)
        .lines()
        .filter(|line| !line.starts_with("$CATEGORY: "))
        .fold(String::new(), |gift, line| gift + line + "\n");
    let expected: usize = sample.lessons.values().map(|content| content.quiz.len()).sum();
    let unescaped = |mark: char| {
        gift.char_indices()
            .filter(|&(index, letter)| {
                let slashes = gift[..index]
                    .chars()
                    .rev()
                    .take_while(|&before| before == '\\')
                    .count();
                letter == mark && slashes % 2 == 0
            })
            .count()
    };
    assert_eq!(unescaped('{'), expected);
    assert_eq!(unescaped('}'), expected);
    assert_eq!(gift.matches("\n::").count(), expected);
}

#[test]
fn the_quizzes_are_whole_in_every_format() {
    let sample = Sample::english();
    let view = sample.view();
    let questions: usize = sample.lessons.values().map(|content| content.quiz.len()).sum();
    let options: usize = sample
        .lessons
        .values()
        .flat_map(|content| &content.quiz)
        .map(|question| question.options.len())
        .sum();
    let count = |format: Format, element: &str| -> usize {
        let files = match format {
            Format::MoodleXml => vec![("quiz.xml".to_owned(), text(format, &view))],
            _ => files(format, &view),
        };
        files
            .iter()
            .filter(|(path, _)| path.ends_with("xml") || path.ends_with("html"))
            .flat_map(|(path, text)| elements(path, &format!("<all>{}</all>", without_declaration(text))))
            .filter(|(name, _)| name == element)
            .count()
    };
    assert_eq!(count(Format::Qti21, "assessmentItemRef"), questions);
    assert_eq!(count(Format::Qti21, "simpleChoice"), options);
    assert_eq!(count(Format::Qti3, "qti-assessment-item-ref"), questions);
    assert_eq!(count(Format::Qti3, "qti-simple-choice"), options);
    assert_eq!(count(Format::CommonCartridge, "response_label"), options);
    assert_eq!(count(Format::Olx, "choice"), options);
    assert_eq!(count(Format::MoodleXml, "answer"), options);
    assert_eq!(count(Format::Scorm12, "fieldset"), questions);
}

#[test]
fn titles_are_cut_where_the_schema_of_scorm_12_has_an_end() {
    let mut sample = Sample::russian();
    sample.structure.course_title = "Щ".repeat(200);
    for section in &mut sample.structure.sections {
        section.section_title = "Щ".repeat(200);
    }
    let titles = |format: Format| -> Vec<String> {
        let (_, manifest) = &files(format, &sample.view())[0];
        let titles = manifest.split("<title>").skip(1);
        titles
            .map(|rest| rest.split_once("</title>").unwrap().0.to_owned())
            .collect()
    };
    let (cut, whole) = (titles(Format::Scorm12), titles(Format::Scorm2004));
    assert!(cut.iter().all(|title| title.chars().count() <= 200), "{cut:?}");
    assert_eq!(cut[0], whole[0]);
    assert!(
        cut[1].starts_with("Раздел 1. Щ") && cut[1].ends_with("Щ…"),
        "{}",
        cut[1]
    );
    assert!(whole[1].ends_with("ЩЩ"), "{}", whole[1]);
}

#[test]
fn only_written_lessons_are_packed() {
    let sample = Sample::english();
    let written = sample.lessons.len();
    assert!(written < sample.structure.lesson_count());
    let view = sample.view();
    let pages = |format: Format, folder: &str| {
        files(format, &view)
            .iter()
            .filter(|(path, _)| path.starts_with(folder) && path.ends_with("html"))
            .count()
    };
    assert_eq!(pages(Format::Scorm12, "lesson-"), written);
    assert_eq!(pages(Format::Cmi5, "lesson-"), written);
    assert_eq!(pages(Format::CommonCartridge, "lessons/"), written);
    assert_eq!(pages(Format::Epub, "EPUB/lesson-"), written);
    assert_eq!(pages(Format::Olx, "course/html/"), written);
}

#[test]
fn nothing_is_packed_of_a_course_without_texts() {
    let mut sample = Sample::english();
    sample.lessons.clear();
    for &format in Format::ALL {
        let exported = export(format, &sample.view());
        if Format::DEFAULT.contains(&format) {
            exported.unwrap();
        } else {
            assert!(matches!(exported, Err(ExportError::NothingWritten)), "{format:?}");
        }
    }
}

#[test]
fn lessons_without_quizzes_are_packed_and_make_no_question_files() {
    let mut sample = Sample::russian();
    for content in sample.lessons.values_mut() {
        content.quiz.clear();
    }
    let view = sample.view();
    for &format in Format::ALL {
        let exported = export(format, &view);
        if QUESTIONS.contains(&format) {
            assert!(matches!(exported, Err(ExportError::NoQuestions)), "{format:?}");
        } else {
            exported.unwrap();
        }
    }
    let manifest = &files(Format::Scorm12, &view)[0];
    assert!(!manifest.1.contains("masteryscore"));
    let units = files(Format::Cmi5, &view);
    assert!(
        units
            .iter()
            .any(|(path, text)| path == "cmi5.xml" && text.contains("moveOn=\"Completed\""))
    );
}

#[test]
fn arabic_packages_are_written_from_right_to_left() {
    let sample = arabic();
    let view = sample.view();
    for format in [
        Format::Epub,
        Format::Scorm12,
        Format::Scorm2004,
        Format::Cmi5,
        Format::CommonCartridge,
    ] {
        for (path, text) in files(format, &view)
            .iter()
            .filter(|(path, _)| path.ends_with("html"))
        {
            assert!(
                text.contains("dir=\"rtl\"") && text.contains("lang=\"ar\""),
                "{path}"
            );
        }
    }
    let book = files(Format::Epub, &view);
    assert!(
        book.iter()
            .any(|(_, text)| text.contains("page-progression-direction=\"rtl\""))
    );
}

#[test]
fn all_formats_can_be_written_into_one_folder() {
    let sample = Sample::english();
    let names: BTreeSet<String> = Format::ALL
        .iter()
        .map(|&format| export(format, &sample.view()).unwrap().file_name)
        .collect();
    assert_eq!(names.len(), Format::ALL.len(), "{names:?}");
    assert!(names.contains("practical-git-for-everyday-teamwork-scorm12.zip"));
    assert!(names.contains("practical-git-for-everyday-teamwork.imscc"));
}

#[test]
fn identifiers_of_two_courses_differ() {
    let first = Sample::english();
    let mut second = Sample::english();
    second.id = Sample::russian().id;
    for format in [Format::CommonCartridge, Format::Cmi5, Format::Qti3] {
        let identifiers = |sample: &Sample| -> BTreeSet<String> {
            files(format, &sample.view())
                .iter()
                .filter(|(path, _)| path.ends_with("xml"))
                .flat_map(|(path, text)| elements(path, text))
                .flat_map(|(_, attributes)| attributes)
                .filter(|(_, value)| value.starts_with("cw-") || value.starts_with("urn:uuid:"))
                .map(|(_, value)| value)
                .collect()
        };
        let (first, second) = (identifiers(&first), identifiers(&second));
        assert!(!first.is_empty(), "{format:?}");
        assert!(first.is_disjoint(&second), "{format:?}");
    }
}
