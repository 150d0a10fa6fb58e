mod packages;

use std::collections::BTreeSet;

use comrak::nodes::NodeValue;
use comrak::{Arena, Options, parse_document};
use domain::course_document::CourseDocument;
use domain::generation::QualityScores;
use domain::language::Language;
use domain::validation::{ValidationContext, has_errors, validate_structure};

use super::sample::Sample;
use super::*;

fn text(format: Format, view: &CourseView<'_>) -> String {
    String::from_utf8(export(format, view).unwrap().bytes).unwrap()
}

fn samples() -> [Sample; 2] {
    [Sample::english(), Sample::russian()]
}

/// A start tag of a page: its name and attributes. Texts hold no literal `<`, attributes no literal `>`.
struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
}

/// The tags of a page; the contents of its own style and script are stepped over.
fn tags(html: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once('<') {
        let (inner, after) = after.split_once('>').unwrap();
        let (name, mut attributes_text) = inner.split_once(' ').unwrap_or((inner, ""));
        let mut attributes = Vec::new();
        while !attributes_text.trim().is_empty() {
            let trimmed = attributes_text.trim_start();
            let end = trimmed.find(['=', ' ']).unwrap_or(trimmed.len());
            let (name, after_name) = trimmed.split_at(end);
            if let Some(quoted) = after_name.strip_prefix("=\"") {
                let (value, after_value) = quoted.split_once('"').unwrap();
                attributes.push((name, value));
                attributes_text = after_value;
            } else {
                attributes.push((name, ""));
                attributes_text = after_name;
            }
        }
        rest = match name {
            "style" | "script" => after.split_once(&format!("</{name}>")).unwrap().1,
            _ => after,
        };
        if !name.starts_with(['/', '!']) {
            tags.push(Tag { name, attributes });
        }
    }
    tags
}

fn attribute_values<'a>(tags: &[Tag<'a>], wanted: &str) -> Vec<&'a str> {
    tags.iter()
        .flat_map(|tag| &tag.attributes)
        .filter(|(name, _)| *name == wanted)
        .map(|&(_, value)| value)
        .collect()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    text.split_once(start).unwrap().1.split_once(end).unwrap().0
}

fn check_headings(levels: &[u8]) {
    assert_eq!(levels.first(), Some(&1));
    assert!(!levels[1..].contains(&1), "one title");
    for pair in levels.windows(2) {
        assert!(pair[1] <= pair[0] + 1, "a level is skipped: {levels:?}");
    }
}

#[test]
fn every_format_has_a_golden_file() {
    for (sample, name) in samples().iter().zip(["english", "russian"]) {
        for &format in Format::DEFAULT {
            let mut text = text(format, &sample.view());
            if format == Format::Html {
                // Style and script are files of their own; their hashes are checked below.
                text = text.replace(between(&text, "<style>", "</style>"), "STYLE");
                text = text.replace(between(&text, "<script>", "</script>"), "SCRIPT");
                text = text.replace(between(&text, "Policy\" content=\"", "\">"), "POLICY");
            }
            insta::assert_snapshot!(format!("{name}.{}", format.short_name()), text);
        }
    }
}

#[test]
fn the_same_course_gives_the_same_bytes() {
    let sample = Sample::english();
    for &format in Format::ALL {
        assert_eq!(
            export(format, &sample.view()).unwrap(),
            export(format, &sample.view()).unwrap()
        );
    }
}

#[test]
fn formats_are_found_by_name_and_extension() {
    for &format in Format::ALL {
        assert_eq!(Format::from_name(format.as_str()), Some(format));
        assert_eq!(Format::from_name(format.short_name()), Some(format));
    }
    assert_eq!(Format::from_name(" HTML "), Some(Format::Html));
    assert_eq!(Format::from_name("pdf"), None);
}

#[test]
fn files_are_named_after_the_course() {
    let russian = Sample::russian();
    let file = export(Format::Markdown, &russian.view()).unwrap();
    assert_eq!(file.file_name, "osnovy-lichnykh-finansov-spokoinyi-biudzhet.md");
    assert_eq!(file.media_type, "text/markdown; charset=utf-8");
}

#[test]
fn page_ids_are_distinct_and_links_lead_to_them() {
    for sample in samples() {
        let html = text(Format::Html, &sample.view());
        let tags = tags(&html);
        let ids = attribute_values(&tags, "id");
        let distinct: BTreeSet<_> = ids.iter().copied().collect();
        assert_eq!(ids.len(), distinct.len(), "{ids:?}");
        let links = attribute_values(&tags, "href");
        let inner: Vec<_> = links.iter().filter_map(|link| link.strip_prefix('#')).collect();
        assert!(inner.len() > 2 * sample.structure.lesson_count(), "{inner:?}");
        for id in inner
            .into_iter()
            .chain(attribute_values(&tags, "aria-labelledby"))
        {
            assert!(distinct.contains(id), "nothing has the id {id}");
        }
        for (_, lesson) in sample.structure.lessons() {
            assert!(distinct.contains(format!("lesson-{}", lesson.lesson_number).as_str()));
        }
    }
}

#[test]
fn page_outline_skips_no_level() {
    for sample in samples().into_iter().chain([Sample::hostile()]) {
        let html = text(Format::Html, &sample.view());
        let levels: Vec<u8> = tags(&html)
            .iter()
            .filter_map(|tag| tag.name.strip_prefix('h')?.parse().ok())
            .collect();
        check_headings(&levels);
    }
}

#[test]
fn page_policy_allows_its_own_style_and_script_and_nothing_else() {
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};

    let html = text(Format::Html, &Sample::english().view());
    let hash = |text: &str| base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text));
    let expected = format!(
        "default-src &#39;none&#39;; style-src &#39;sha256-{}&#39;; script-src &#39;sha256-{}&#39;; img-src data:; \
         base-uri &#39;none&#39;; form-action &#39;none&#39;",
        hash(between(&html, "<style>", "</style>")),
        hash(between(&html, "<script>", "</script>")),
    );
    let policy = between(&html, "Policy\" content=\"", "\">")
        .replace("&#43;", "+")
        .replace("&#47;", "/");
    assert_eq!(policy, expected);
    assert!(
        html.find("Content-Security-Policy") < html.find("<style>"),
        "the policy comes first"
    );
}

#[test]
fn hostile_texts_are_inert_in_the_page() {
    let html = text(Format::Html, &Sample::hostile().view());
    let tags = tags(&html);
    for name in ["script", "style", "title"] {
        assert_eq!(tags.iter().filter(|tag| tag.name == name).count(), 1, "{name}");
        assert_eq!(html.matches(&format!("</{name}>")).count(), 1, "{name}");
    }
    for tag in &tags {
        assert!(
            !["img", "iframe", "object", "embed", "link", "base", "form"].contains(&tag.name),
            "{}",
            tag.name
        );
        for (name, value) in &tag.attributes {
            assert!(
                !name.starts_with("on") && !["style", "src", "srcset", "action"].contains(name),
                "{name}={value}"
            );
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_alphabetic() || byte == b'-'),
                "{name}"
            );
            if *name == "href" {
                assert!(
                    ["#", "https://", "http://", "mailto:"]
                        .iter()
                        .any(|start| value.starts_with(start)),
                    "{value}"
                );
            }
        }
    }
}

#[test]
fn hostile_texts_are_inert_in_markdown() {
    let markdown = text(Format::Markdown, &Sample::hostile().view());
    let (front_matter, body) = markdown
        .strip_prefix("---\n")
        .unwrap()
        .split_once("\n---\n")
        .unwrap();
    for line in front_matter.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        assert!(
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{name}"
        );
        serde_json::from_str::<serde_json::Value>(value).unwrap();
    }
    let mut options = Options::default();
    options.extension.table = true;
    let arena = Arena::new();
    for node in parse_document(&arena, body, &options).descendants() {
        match &node.data.borrow().value {
            NodeValue::HtmlBlock(block) => assert!(
                block.literal.starts_with("<!-- end list -->"),
                "{}",
                block.literal
            ),
            NodeValue::HtmlInline(tag) => panic!("{tag}"),
            NodeValue::Image(image) => panic!("{}", image.url),
            NodeValue::Link(link) => {
                assert!(
                    link.url.starts_with('#') || link.url == "https://example.com/p.gif",
                    "{}",
                    link.url
                );
            }
            _ => {}
        }
    }
}

#[test]
fn markdown_outline_and_contents_fit_together() {
    for sample in samples().into_iter().chain([Sample::hostile()]) {
        let markdown = text(Format::Markdown, &sample.view());
        let mut options = Options::default();
        options.extension.table = true;
        options.extension.front_matter_delimiter = Some("---".to_owned());
        let arena = Arena::new();
        let root = parse_document(&arena, &markdown, &options);
        let mut levels = Vec::new();
        let mut links = Vec::new();
        for node in root.descendants() {
            match &node.data.borrow().value {
                NodeValue::Heading(heading) => levels.push(heading.level),
                NodeValue::Link(link) => links.extend(link.url.strip_prefix('#').map(str::to_owned)),
                _ => {}
            }
        }
        check_headings(&levels);
        assert!(links.len() > sample.structure.lesson_count());
        options.extension.header_id_prefix = Some(String::new());
        let html = comrak::markdown_to_html(&markdown, &options);
        for link in links {
            assert!(
                html.contains(&format!("id=\"{link}\"")),
                "no heading has the anchor {link}"
            );
        }
    }
}

#[test]
fn answers_are_not_shown_next_to_their_questions_in_markdown() {
    let sample = Sample::english();
    let markdown = text(Format::Markdown, &sample.view());
    let answers = markdown.find("## Answers and solutions\n").unwrap();
    for content in sample.lessons.values() {
        for question in &content.quiz {
            let place = prose::Place {
                top_heading: prose::NO_HEADINGS,
                title: "",
            };
            let explanation = prose::markdown(&question.explanation, place);
            assert!(markdown.find(&explanation).unwrap() > answers, "{explanation}");
        }
    }
}

#[test]
fn lessons_without_text_are_shown_as_their_plan() {
    let sample = Sample::english();
    for format in [Format::Html, Format::Markdown] {
        let text = text(format, &sample.view());
        assert_eq!(
            text.matches("is not written yet").count(),
            sample.structure.lesson_count() - sample.lessons.len()
        );
        assert!(text.contains("Bisecting to find a regression"));
    }
}

#[test]
fn a_course_without_any_text_is_exported_as_its_plan() {
    let mut sample = Sample::russian();
    sample.lessons.clear();
    for &format in Format::DEFAULT {
        assert!(!text(format, &sample.view()).contains("Ответы и решения"));
    }
}

#[test]
fn the_notice_is_shown_once() {
    let sample = Sample::english();
    let notice = sample.notice.as_deref().unwrap();
    for &format in Format::DEFAULT {
        assert_eq!(
            text(format, &sample.view()).matches(notice).count(),
            1,
            "{format:?}"
        );
    }
}

#[test]
fn the_page_speaks_the_language_of_the_course() {
    let check = |language: Language, start: &str, words: &str| {
        let mut sample = Sample::english();
        sample.inputs.language = language;
        let html = text(Format::Html, &sample.view());
        assert!(html.contains(start), "{language:?}");
        assert!(html.contains(words), "{language:?}");
    };
    check(
        Language::English,
        "<html lang=\"en\" dir=\"ltr\"",
        "Check yourself",
    );
    check(
        Language::Russian,
        "<html lang=\"ru\" dir=\"ltr\"",
        "Проверьте себя",
    );
    check(
        Language::Arabic,
        "<html lang=\"ar\" dir=\"rtl\"",
        "Check yourself",
    );
    check(
        Language::Japanese,
        "<html lang=\"ja\" dir=\"ltr\"",
        "Check yourself",
    );
}

#[test]
fn quality_is_shown_where_it_is_known() {
    let sample = Sample::english();
    let report = report();
    let mut view = sample.view();
    assert!(!text(Format::Html, &view).contains("Quality score"));
    view.quality = Some(&report);
    assert!(text(Format::Html, &view).contains("<dt>Quality score</dt><dd>0.78</dd>"));
}

#[test]
fn every_citation_leads_to_its_source_and_back() {
    let sample = Sample::english();
    let html = text(Format::Html, &sample.view());
    assert_eq!(html.matches("<section class=\"sources\"").count(), 2);
    assert!(html.contains(
        r##"<a id="lesson-1-block-3-cites-3" href="#lesson-1-source-3" aria-label="Source 3">3</a>"##
    ));
    assert!(html.contains(r##"href="#lesson-1-block-1-cites-1" aria-label="Back to the text""##));
    let markdown = text(Format::Markdown, &sample.view());
    assert!(markdown.contains("*Sources:* \\[1\\] \\[3\\]"));
    assert!(markdown.contains("1. Team handbook.pdf, pp. 4–5, Version control › Where a change lives"));
    let mut view = sample.view();
    view.sources = &[];
    assert!(!text(Format::Html, &view).contains("class=\"sources\""));
    assert!(!text(Format::Markdown, &view).contains("*Sources:*"));
}

#[test]
fn unused_documents_are_said_at_the_top() {
    let sample = Sample::english();
    for format in [Format::Html, Format::Markdown] {
        let text = text(format, &sample.view());
        let (unused, overview) = (
            text.find("Old slides.pptx").unwrap(),
            text.find("About this course").unwrap(),
        );
        assert!(unused < overview, "{format:?}");
    }
}

#[test]
fn json_follows_the_published_schema_and_comes_back_whole() {
    let (_, schema) = domain::schema::published_schemas()
        .into_iter()
        .find(|(name, _)| *name == "course-export")
        .unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let report = report();
    for sample in samples() {
        let mut view = sample.view();
        view.quality = Some(&report);
        let json = text(Format::Json, &view);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let errors: Vec<_> = schema
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:?}");
        let document: CourseDocument = serde_json::from_str(&json).unwrap();
        assert_eq!(document.inputs, sample.inputs);
        assert_eq!(document.structure, sample.structure);
        assert_eq!(document.notice, sample.notice);
        assert_eq!(document.quality.as_ref(), Some(&report));
        let lessons: BTreeMap<_, _> = document
            .lessons
            .into_iter()
            .map(|lesson| (lesson.lesson_number, lesson.content))
            .collect();
        assert_eq!(lessons, sample.lessons);
    }
}

#[test]
fn samples_keep_the_rules_of_a_structure() {
    for sample in samples() {
        let context = ValidationContext::new(sample.inputs.language);
        let findings = validate_structure(&sample.structure, &context);
        assert!(!has_errors(&findings), "{findings:#?}");
    }
}

fn report() -> QualityReport {
    QualityReport {
        scores: Some(QualityScores::of(0.9, vec![0.8, 0.6])),
        ..QualityReport::default()
    }
}

#[test]
fn two_lessons_with_one_number_keep_distinct_anchors() {
    let mut sample = Sample::english();
    for section in &mut sample.structure.sections {
        for lesson in &mut section.lessons {
            lesson.lesson_number = 1;
        }
    }
    let html = text(Format::Html, &sample.view());
    assert_eq!(html.matches("id=\"lesson-1\"").count(), 1);
}
