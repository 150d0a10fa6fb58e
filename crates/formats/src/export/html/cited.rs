//! Citations of a lesson's page: small numbers behind its blocks, and the list that they lead to.

use std::fmt::Write as _;

use domain::lesson::{ContentBlock, LessonContent};

use crate::export::inline::{self, SafeHtml};
use crate::export::sources::{self, LessonSources, Sources};
use crate::export::words::Words;

/// One source in a lesson's list.
#[derive(Debug)]
pub(super) struct SourcePart {
    /// From 1 in its lesson.
    pub(super) number: usize,
    /// What its author calls the document.
    pub(super) document: SafeHtml,
    /// Pages and headings; empty where none are known.
    pub(super) place: String,
    /// Its first words.
    pub(super) excerpt: SafeHtml,
    /// The anchor of the first block that cites it.
    pub(super) first_cited: String,
}

/// The citations of one lesson.
#[derive(Debug)]
pub(super) struct Citations<'a> {
    lesson_number: usize,
    sources: LessonSources<'a>,
    words: &'static Words,
}

impl<'a> Citations<'a> {
    /// Those of the lesson that has `lesson_number` on the page.
    pub(super) fn of(
        content: &LessonContent,
        sources: &Sources<'a>,
        lesson_number: usize,
        words: &'static Words,
    ) -> Self {
        Self {
            lesson_number,
            sources: sources.of_lesson(content),
            words,
        }
    }

    /// The body of a block with the numbers of its sources behind its last words.
    pub(super) fn marked(&self, body: &SafeHtml, block: &ContentBlock, block_number: usize) -> SafeHtml {
        let html = body.to_string();
        let numbers = self.sources.numbers(block);
        if numbers.is_empty() {
            return SafeHtml::vouched(html);
        }
        let mut marks = String::new();
        for number in numbers {
            let separator = if marks.is_empty() { "" } else { " " };
            // Writing into a String cannot fail. Everything here is a number or a word of ours.
            let _ = write!(
                marks,
                "{separator}<a id=\"{}\" href=\"#{}\" aria-label=\"{} {number}\">{number}</a>",
                self.anchor_of_citation(block_number, number),
                self.anchor_of_source(number),
                self.words.source,
            );
        }
        // Behind the last word where the text ends with a paragraph, else on a line of their own.
        SafeHtml::vouched(match html.strip_suffix("</p>") {
            Some(text) => format!("{text}<sup class=\"cites\">{marks}</sup></p>"),
            None => format!("{html}<p class=\"cites\">{}: {marks}</p>", self.words.sources),
        })
    }

    /// The list of all sources of the lesson.
    pub(super) fn list(&self, content: &LessonContent) -> Vec<SourcePart> {
        let parts = self.sources.list().iter().zip(1..).map(|(source, number)| {
            let first_block = content
                .blocks
                .iter()
                .position(|block| block.citations.contains(&source.chunk_id))
                .unwrap_or_default();
            SourcePart {
                number,
                document: inline::html(&source.document),
                place: sources::place(source, self.words),
                excerpt: inline::html(&source.excerpt),
                first_cited: self.anchor_of_citation(first_block + 1, number),
            }
        });
        parts.collect()
    }

    fn anchor_of_citation(&self, block_number: usize, number: usize) -> String {
        format!(
            "lesson-{}-block-{block_number}-cites-{number}",
            self.lesson_number
        )
    }

    fn anchor_of_source(&self, number: usize) -> String {
        format!("lesson-{}-source-{number}", self.lesson_number)
    }
}
