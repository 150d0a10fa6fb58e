//! One Russian text of our own as four programs wrote it (`samples/documents`): Pandoc 2.17 and `LibreOffice` 7.4 as DOCX,
//! `LibreOffice` and Chromium as PDF. Nothing of it may be lost or changed, and its headings are headings.

use std::collections::BTreeMap;

use domain::document::{BlockKind, DocumentText};

use super::{DocumentFormat, ImportLimits, extract};

const SOURCE: &str = include_str!("../../samples/documents/demand.md");

/// Words as often as they come; numbers of lists and marks are none.
fn words(text: &str) -> BTreeMap<String, usize> {
    let mut words = BTreeMap::new();
    for word in text
        .split(|one: char| !one.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        *words.entry(word.to_owned()).or_default() += 1;
    }
    words
}

fn read(format: DocumentFormat, bytes: &[u8]) -> DocumentText {
    let text = extract(format, bytes, &ImportLimits::default()).unwrap();
    assert!(text.warnings.is_empty(), "{:?}", text.warnings);
    text
}

#[track_caller]
fn check(format: DocumentFormat, bytes: &[u8]) {
    let text = read(format, bytes);
    let found = words(&text.plain());
    let lost: Vec<(String, usize)> = words(SOURCE)
        .into_iter()
        .filter(|(word, count)| found.get(word).is_none_or(|found| found < count))
        .collect();
    assert!(lost.is_empty(), "{lost:?} in {}", text.plain());
    let headings: Vec<(u8, &str)> = text
        .blocks
        .iter()
        .filter_map(|block| match block.kind {
            BlockKind::Heading { level } => Some((level, block.text.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(
        headings,
        [
            (1, "Спрос и предложение"),
            (2, "Что такое спрос"),
            (3, "От чего он зависит"),
            (3, "Заменители и дополнители"),
            (3, "Чего закон не объясняет"),
            (2, "Равновесие"),
        ]
    );
    let tables = text.blocks.iter().filter(|block| block.kind == BlockKind::Table);
    assert_eq!(tables.count(), 1, "{}", text.plain());
}

#[test]
fn pandoc_writes_word_documents() {
    check(
        DocumentFormat::Docx,
        include_bytes!("../../samples/documents/pandoc.docx"),
    );
}

#[test]
fn libreoffice_writes_word_documents() {
    check(
        DocumentFormat::Docx,
        include_bytes!("../../samples/documents/libreoffice.docx"),
    );
}

#[test]
fn libreoffice_prints() {
    check(
        DocumentFormat::Pdf,
        include_bytes!("../../samples/documents/libreoffice.pdf"),
    );
}

#[test]
fn chromium_prints() {
    check(
        DocumentFormat::Pdf,
        include_bytes!("../../samples/documents/chromium.pdf"),
    );
}

#[test]
fn the_source_itself_is_read() {
    check(DocumentFormat::Markdown, SOURCE.as_bytes());
}
