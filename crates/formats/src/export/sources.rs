//! What lessons rest on: the pieces of documents that their blocks cite, numbered from 1 in each lesson.

use std::collections::HashMap;

use domain::document::CitedSource;
use domain::lesson::{ContentBlock, LessonContent};

use super::words::Words;

/// Between the headings that a source stands under.
const HEADING_SEPARATOR: &str = " › ";

/// All sources of a course by the ids that blocks cite.
#[derive(Debug)]
pub(super) struct Sources<'a>(HashMap<&'a str, &'a CitedSource>);

impl<'a> Sources<'a> {
    /// The sources of a course.
    pub(super) fn of(sources: &'a [CitedSource]) -> Self {
        Self(
            sources
                .iter()
                .map(|source| (source.chunk_id.as_str(), source))
                .collect(),
        )
    }

    /// Those of one lesson.
    pub(super) fn of_lesson(&self, content: &LessonContent) -> LessonSources<'a> {
        let mut cited = LessonSources::default();
        for id in content.blocks.iter().flat_map(|block| &block.citations) {
            // What is no longer there cannot be shown; the grounding report counts it.
            let Some(source) = self.0.get(id.as_str()) else {
                continue;
            };
            if !cited.numbers.contains_key(source.chunk_id.as_str()) {
                cited.list.push(source);
                cited.numbers.insert(&source.chunk_id, cited.list.len());
            }
        }
        cited
    }
}

/// The sources of one lesson in the order in which it first cites them.
#[derive(Debug, Default)]
pub(super) struct LessonSources<'a> {
    list: Vec<&'a CitedSource>,
    numbers: HashMap<&'a str, usize>,
}

impl<'a> LessonSources<'a> {
    /// Each once; the first has number 1.
    pub(super) fn list(&self) -> &[&'a CitedSource] {
        &self.list
    }

    /// The numbers of those that a block cites, ascending.
    pub(super) fn numbers(&self, block: &ContentBlock) -> Vec<usize> {
        let mut numbers: Vec<usize> = block
            .citations
            .iter()
            .filter_map(|id| self.numbers.get(id.as_str()).copied())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

/// Where in its document a source stands: `pp. 3-5, Demand › Elasticity`; empty where nothing is known.
pub(super) fn place(source: &CitedSource, words: &Words) -> String {
    let mut parts = Vec::new();
    match (source.page_first, source.page_last) {
        (Some(first), Some(last)) if last > first => {
            parts.push(format!("{}\u{a0}{first}–{last}", words.pages));
        }
        (Some(page), _) => parts.push(format!("{}\u{a0}{page}", words.page)),
        (None, _) => {}
    }
    if !source.heading_path.is_empty() {
        parts.push(source.heading_path.join(HEADING_SEPARATOR));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use domain::language::Language;

    use super::*;

    fn source(id: &str) -> CitedSource {
        CitedSource {
            chunk_id: id.to_owned(),
            document_id: "document".to_owned(),
            document: "plan.pdf".to_owned(),
            page_first: None,
            page_last: None,
            heading_path: Vec::new(),
            excerpt: "Words".to_owned(),
        }
    }

    #[test]
    fn sources_are_numbered_as_the_lesson_first_cites_them() {
        let sample = crate::export::sample::Sample::english();
        let mut content = sample.lessons[&1].clone();
        content.blocks[0].citations = vec!["b".to_owned(), "gone".to_owned(), "a".to_owned()];
        content.blocks[1].citations = vec!["c".to_owned(), "b".to_owned(), "b".to_owned()];
        content.blocks[2].citations.clear();
        let all = [source("a"), source("b"), source("c"), source("d")];
        let cited = Sources::of(&all).of_lesson(&content);
        let ids: Vec<_> = cited.list().iter().map(|source| &source.chunk_id).collect();
        assert_eq!(ids, ["b", "a", "c"]);
        assert_eq!(cited.numbers(&content.blocks[0]), [1, 2]);
        assert_eq!(cited.numbers(&content.blocks[1]), [1, 3]);
        assert!(cited.numbers(&content.blocks[2]).is_empty());
    }

    #[test]
    fn places_name_pages_and_headings() {
        let check = |pages: (Option<u32>, Option<u32>), headings: &[&str], language, expected: &str| {
            let source = CitedSource {
                page_first: pages.0,
                page_last: pages.1,
                heading_path: headings.iter().map(|text| (*text).to_owned()).collect(),
                ..source("a")
            };
            assert_eq!(
                place(&source, Words::of(language)).replace('\u{a0}', " "),
                expected
            );
        };
        check((Some(3), Some(5)), &[], Language::English, "pp. 3–5");
        check(
            (Some(3), Some(3)),
            &["Demand", "Elasticity"],
            Language::English,
            "p. 3, Demand › Elasticity",
        );
        check((Some(3), None), &[], Language::Russian, "с. 3");
        check((None, None), &["Спрос"], Language::Russian, "Спрос");
        check((None, None), &[], Language::English, "");
    }
}
