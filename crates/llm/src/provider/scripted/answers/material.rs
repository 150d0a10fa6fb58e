//! Answers that follow the documents in a question, as every usable model's do: plans from headings, texts that quote the
//! sources and cite them, summaries that begin as their documents do.

mod question;

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use self::question::{Material, Source};
use crate::request::Request;

/// Sentences that a text takes over from a source.
const QUOTED_SENTENCES: usize = 2;
/// Letters of a summary, at most.
const SUMMARY_LETTERS: usize = 4000;
/// Lessons of a whole course, at least (data model 2.1).
const FEWEST_LESSONS: usize = 10;
/// Key topics of a planned section, at least (data model 2.4).
const FEWEST_TOPICS: usize = 3;

/// What one script took from documents: a heading is a title only once in a course.
#[derive(Debug, Default)]
pub(super) struct Followed {
    areas: Mutex<BTreeSet<String>>,
    lessons: Mutex<BTreeSet<String>>,
}

/// Makes an answer follow the documents in its question; one without documents stays as it is.
pub(super) fn follow(value: &mut Value, request: &Request, followed: &Followed) {
    let material = Material::of(request);
    if value["sections"].is_array() {
        follow_areas(value, &material, followed);
    }
    if material.is_empty() {
        return;
    }
    if let Some(summary) = summary(value, &material) {
        value["summary"] = json!(summary);
    }
    if value["sections_breakdown"].is_array() {
        follow_outline(value, request, &material, followed);
    }
    if value["section_title"].is_string() && value["lessons"].is_array() {
        follow_headings(value, &material, followed);
    }
    if value["blocks"].is_array() {
        quote_in_blocks(value, request, &material);
    }
    if value["explanation"].is_string() && value["how_it_works"].is_string() {
        quote_in_piece(value, request, &material);
    }
    follow_verdicts(value, &material);
}

/// The beginning of every part of the document, where the answer is a summary and nothing else.
fn summary(value: &Value, material: &Material) -> Option<String> {
    let is_summary =
        value.as_object().is_some_and(|fields| fields.len() == 1) && value["summary"].is_string();
    let text = material.text.as_ref().filter(|_| is_summary)?;
    let mut summary = String::new();
    let mut heading = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            heading = Some(line.trim_start_matches(['#', ' ']));
        } else if let Some(first) = sentences(line).first() {
            let named = heading
                .take()
                .map_or_else(String::new, |heading| format!("{heading}: "));
            let part = format!("{named}{first}\n\n");
            if summary.chars().count() + part.chars().count() > SUMMARY_LETTERS {
                break;
            }
            summary.push_str(&part);
        }
    }
    (!summary.is_empty()).then(|| summary.trim_end().to_owned())
}

/// Sections named after the highest headings, as many as the shape allows, each with the headings below as topics.
fn follow_outline(value: &mut Value, request: &Request, material: &Material, followed: &Followed) {
    let parts = material.parts();
    let Some(planned) = value["sections_breakdown"]
        .as_array_mut()
        .filter(|planned| !planned.is_empty())
    else {
        return;
    };
    if parts.is_empty() {
        return;
    }
    let limit = |keyword: &str| {
        let schema = request.schema.as_ref().map(|schema| &schema.schema);
        let stated = schema.and_then(|schema| schema["properties"]["sections_breakdown"][keyword].as_u64());
        stated.and_then(|limit| usize::try_from(limit).ok())
    };
    let count = parts.len().clamp(
        limit("minItems").unwrap_or(1),
        limit("maxItems").unwrap_or(usize::MAX),
    );
    let pattern = planned.clone();
    *planned = (0..count)
        .map(|place| pattern[place % pattern.len()].clone())
        .collect();
    let mut areas = followed.areas.lock().unwrap_or_else(PoisonError::into_inner);
    for ((place, section), (title, below)) in planned.iter_mut().enumerate().zip(&parts) {
        section["section_id"] = json!((place + 1).to_string());
        section["area"] = json!(title);
        section["prerequisites"] = json!([]);
        section["estimated_lessons"] = json!(below.len().max(FEWEST_LESSONS.div_ceil(count)));
        let own = section["key_topics"].as_array().cloned().unwrap_or_default();
        let topics = below.iter().map(|topic| json!(topic)).chain(own);
        section["key_topics"] = topics.take(below.len().max(FEWEST_TOPICS)).collect();
        areas.insert(title.clone());
    }
}

/// Titles of sections that were planned from documents stay as planned.
fn follow_areas(value: &mut Value, material: &Material, followed: &Followed) {
    let areas = followed.areas.lock().unwrap_or_else(PoisonError::into_inner);
    let planned = material.planned.iter().map(|area| areas.get(area));
    for (section, area) in value["sections"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .zip(planned)
    {
        if let Some(area) = area.filter(|_| section["section_title"].is_string()) {
            section["section_title"] = json!(area);
        }
        if section["search_queries"].is_array() {
            // The titles and topics that come from headings find the documents by themselves.
            section["search_queries"] = json!([]);
        }
    }
}

/// Lessons named after the headings of their sources.
fn follow_headings(value: &mut Value, material: &Material, followed: &Followed) {
    if let Some(planned) = &material.section {
        let areas = followed.areas.lock().unwrap_or_else(PoisonError::into_inner);
        if areas.contains(planned) {
            value["section_title"] = json!(planned);
        }
    }
    let mut taken = followed.lessons.lock().unwrap_or_else(PoisonError::into_inner);
    let mut headings = material
        .sources
        .iter()
        .flat_map(|source| source.headings.iter().cloned())
        .filter(|heading| !material.taken.contains(heading.as_str()) && heading.chars().count() >= 5);
    for lesson in value["lessons"].as_array_mut().into_iter().flatten() {
        if let Some(heading) = headings.find(|heading| taken.insert(heading.clone())) {
            lesson["lesson_title"] = json!(heading);
        }
    }
}

/// Every block begins with what a source of its own says, and cites it.
fn quote_in_blocks(value: &mut Value, request: &Request, material: &Material) {
    let schema = request.schema.as_ref().map(|schema| &schema.schema);
    let block = schema.map(|schema| &schema["properties"]["blocks"]["items"]["properties"]);
    let may_cite = block.is_some_and(|properties| properties["citations"].is_object());
    if !may_cite || material.sources.is_empty() {
        return;
    }
    // Sources repeat themselves and each other; a lesson must not.
    let mut said = HashSet::new();
    for (place, block) in value["blocks"].as_array_mut().into_iter().flatten().enumerate() {
        let Source { label, text, .. } = &material.sources[place % material.sources.len()];
        block["citations"] = json!([label]);
        // What was quoted once is not said again.
        if place < material.sources.len() {
            let quoted: Vec<&str> = prose(text)
                .filter(|sentence| said.insert(sentence.trim_end_matches('.')))
                .take(QUOTED_SENTENCES)
                .collect();
            let own = block["body"].as_str().unwrap_or_default();
            block["body"] = json!(format!("{}\n\n{own}", quoted.join(" ")).trim());
        }
    }
}

/// A small answer says what its source says, as far as its pattern allows.
fn quote_in_piece(value: &mut Value, request: &Request, material: &Material) {
    let Some(source) = material.sources.first() else {
        return;
    };
    let schema = request.schema.as_ref().map(|schema| &schema.schema);
    let pattern = schema.and_then(|schema| schema["properties"]["explanation"]["pattern"].as_str());
    let Some(regex) = pattern.and_then(|pattern| regex::Regex::new(pattern).ok()) else {
        return;
    };
    let said: Vec<&str> = prose(&source.text).collect();
    let quoted = said.windows(QUOTED_SENTENCES).map(|two| two.join(" "));
    if let Some(quoted) = quoted.into_iter().find(|quoted| regex.is_match(quoted)) {
        value["explanation"] = json!(quoted);
    }
}

/// What stands in the sources word for word is borne out, nothing else is.
fn follow_verdicts(value: &mut Value, material: &Material) {
    let verdicts = value.get_mut("verdicts").and_then(Value::as_array_mut);
    let verdicts = verdicts.into_iter().flatten();
    for (verdict, sentence) in verdicts.zip(&material.sentences) {
        let is_said = material
            .sources
            .iter()
            .any(|source| source.text.contains(sentence.as_str()));
        verdict["verdict"] = json!(if is_said { "supported" } else { "not_in_sources" });
    }
}

/// The sentences of a source, without headings, tables and list marks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with(['#', '|', '-', '*']))
        .flat_map(sentences)
        .filter(|sentence| sentence.split_whitespace().count() > 5)
}

fn sentences(line: &str) -> Vec<&str> {
    let pieces = line.split_inclusive(". ").map(str::trim);
    pieces.filter(|sentence| !sentence.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::request::{Message, OutputSchema, Sampling};
    use crate::retry::DEFAULT_WAIT_LIMIT;

    fn request(question: &str, schema: Value) -> Request {
        Request {
            model: "scripted".to_owned(),
            messages: vec![Message::user(question)],
            schema: Some(OutputSchema {
                name: "answer".to_owned(),
                schema,
            }),
            max_output_tokens: 1,
            sampling: Sampling::default(),
            idle_timeout: Duration::from_secs(1),
            wait_limit: DEFAULT_WAIT_LIMIT,
        }
    }

    const OUTLINE: &str = "<documents>\n<document name=\"Supply\">\nHeadings:\n- Supply\n  - Price floors\n  - Price ceilings\n\
        What it says:\nIt says.\n</document>\n<document name=\"Labor\">\nHeadings:\n- Labor\n  - Wages\n</document>\n</documents>";

    #[test]
    fn plan_follows_the_outline_and_its_titles_stay() {
        let mut plan = json!({ "sections_breakdown": [{ "area": "x", "key_topics": ["a", "b", "c"] }] });
        let followed = Followed::default();
        follow(&mut plan, &request(OUTLINE, json!({})), &followed);
        let sections = plan["sections_breakdown"].as_array().unwrap();
        assert_eq!(sections.len(), 2);
        assert_eq!(sections[0]["area"], "Supply");
        assert_eq!(
            sections[0]["key_topics"],
            json!(["Price floors", "Price ceilings", "a"])
        );
        assert_eq!(sections[1]["estimated_lessons"], 5);
        let mut metadata = json!({ "sections": [{ "section_title": "x" }, { "section_title": "y" }] });
        let question = "<analysis>\nSections: 1. Supply; 2. Other; \n</analysis>";
        follow(&mut metadata, &request(question, json!({})), &followed);
        assert_eq!(metadata["sections"][0]["section_title"], "Supply");
        assert_eq!(metadata["sections"][1]["section_title"], "y");
    }

    const SOURCES: &str = "<sources>\n<source label=\"S1\" document=\"Supply\" place=\"Supply › Price floors\">\n\
        A price floor keeps a price from falling. It causes a surplus of the good in question. The end.\n</source>\n\
        <source label=\"S2\" document=\"Labor\" place=\"Labor › Wages\">\nWages are prices of labor in a market for it.\n\
        </source>\n</sources>";

    #[test]
    fn blocks_quote_their_sources_and_cite_them() {
        let schema =
            json!({ "properties": { "blocks": { "items": { "properties": { "citations": {} } } } } });
        let mut lesson =
            json!({ "blocks": [{ "body": "Own." }, { "body": "Own too." }, { "body": "More." }] });
        follow(&mut lesson, &request(SOURCES, schema), &Followed::default());
        assert_eq!(lesson["blocks"][0]["citations"], json!(["S1"]));
        let body = lesson["blocks"][0]["body"].as_str().unwrap();
        assert!(
            body.starts_with("A price floor keeps a price from falling. It causes"),
            "{body}"
        );
        assert_eq!(
            lesson["blocks"][2],
            json!({ "body": "More.", "citations": ["S1"] })
        );
        let mut without = json!({ "blocks": [{ "body": "Own." }] });
        follow(&mut without, &request(SOURCES, json!({})), &Followed::default());
        assert_eq!(without, json!({ "blocks": [{ "body": "Own." }] }));
    }

    #[test]
    fn sentences_that_sources_repeat_are_quoted_once() {
        let schema =
            json!({ "properties": { "blocks": { "items": { "properties": { "citations": {} } } } } });
        let mut lesson = json!({ "blocks": [{ "body": "Own." }, { "body": "Own too." }] });
        let sentence = "A hive gives twenty kilograms of honey in summer";
        let sources = format!(
            "<sources>\n<source label=\"S1\" document=\"Bees\" place=\"Bees\">\n{sentence}. {sentence}.\n</source>\n\
             <source label=\"S2\" document=\"Bees\" place=\"Bees\">\n{sentence}.\n</source>\n</sources>"
        );
        follow(&mut lesson, &request(&sources, schema), &Followed::default());
        let text = lesson["blocks"].to_string();
        assert_eq!(text.matches(sentence).count(), 1, "{text}");
    }

    #[test]
    fn lessons_have_the_headings_of_their_sources_once() {
        let followed = Followed::default();
        let section =
            || json!({ "section_title": "x", "lessons": [{ "lesson_title": "a" }, { "lesson_title": "b" }] });
        let mut first = section();
        follow(&mut first, &request(SOURCES, json!({})), &followed);
        assert_eq!(
            first["lessons"],
            json!([{ "lesson_title": "Price floors" }, { "lesson_title": "Wages" }])
        );
        let mut second = section();
        follow(&mut second, &request(SOURCES, json!({})), &followed);
        assert_eq!(second, section());
    }

    #[test]
    fn summary_begins_as_the_document_does() {
        let question = "<document name=\"Supply\">\n# Supply\n\nIt rises. It falls.\n\n## Floors\n\nThey hold. Yes.\n</document>";
        let mut answer = json!({ "summary": "x" });
        follow(&mut answer, &request(question, json!({})), &Followed::default());
        assert_eq!(answer["summary"], "Supply: It rises.\n\nFloors: They hold.");
    }

    #[test]
    fn sentences_are_judged_by_what_the_sources_say() {
        let question = format!(
            "{SOURCES}\n<sentences>\n<sentence number=\"1\">A price floor keeps a price from falling.</sentence>\n\
             <sentence number=\"2\">Cats sleep.</sentence>\n</sentences>"
        );
        let mut answer = json!({ "verdicts": [{ "verdict": "x" }, { "verdict": "x" }] });
        follow(&mut answer, &request(&question, json!({})), &Followed::default());
        assert_eq!(
            answer["verdicts"],
            json!([{ "verdict": "supported" }, { "verdict": "not_in_sources" }])
        );
    }
}
