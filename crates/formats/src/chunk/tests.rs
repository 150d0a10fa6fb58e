//! Rules that all chunks keep, on documents made up at random and on a few by hand.

use domain::document::{BlockKind, ChunkDraft, DocumentBlock, DocumentText};
use proptest::prelude::*;

use super::*;

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn block(kind: BlockKind, text: &str, page: Option<u32>) -> DocumentBlock {
    DocumentBlock {
        kind,
        text: text.to_owned(),
        page,
    }
}

fn document(blocks: Vec<DocumentBlock>) -> DocumentText {
    DocumentText {
        blocks,
        ..DocumentText::default()
    }
}

fn heading(level: u8, text: &str) -> DocumentBlock {
    block(BlockKind::Heading { level }, text, None)
}

fn paragraph(text: &str) -> DocumentBlock {
    block(BlockKind::Paragraph, text, None)
}

/// `count` words in sentences of ten, all different.
fn prose(name: &str, count: usize) -> String {
    let word = |at: usize| match at % 10 {
        0 => format!("{}{at}", name.to_uppercase()),
        9 => format!("{name}{at}."),
        _ => format!("{name}{at}"),
    };
    (0..count).map(word).collect::<Vec<_>>().join(" ")
}

fn parents(chunks: &[ChunkDraft]) -> Vec<&ChunkDraft> {
    chunks.iter().filter(|chunk| chunk.parent.is_none()).collect()
}

#[test]
fn an_empty_document_has_no_chunks() {
    assert_eq!(chunk(&DocumentText::default(), &words), []);
}

#[test]
fn small_sections_share_a_parent_and_keep_their_headings() {
    let text = document(vec![
        heading(1, "Book"),
        heading(2, "One"),
        paragraph(&prose("a", 120)),
        heading(2, "Two"),
        paragraph(&prose("b", 120)),
        heading(1, "Other"),
        paragraph(&prose("c", 20)),
    ]);
    let chunks = chunk(&text, &words);
    let paths: Vec<(&[String], Option<u32>)> = chunks
        .iter()
        .map(|chunk| (chunk.heading_path.as_slice(), chunk.parent))
        .collect();
    let path = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        paths,
        [
            (&path(&["Book"])[..], None),
            (&path(&["Book", "One"])[..], Some(0)),
            (&path(&["Book", "Two"])[..], Some(0)),
            (&path(&["Other"])[..], None),
            (&path(&["Other"])[..], Some(3)),
        ]
    );
    assert!(chunks[0].text.starts_with("## One\n\nA0 "), "{}", chunks[0].text);
    assert!(chunks[0].text.contains("\n\n## Two\n\nB0 "), "{}", chunks[0].text);
    assert!(chunks[1].text.starts_with("A0 "), "{}", chunks[1].text);
}

#[test]
fn children_repeat_the_end_of_the_one_before_in_whole_sentences() {
    let text = document(vec![heading(1, "T"), paragraph(&prose("w", 1000))]);
    let chunks = chunk(&text, &words);
    assert_eq!(parents(&chunks).len(), 1);
    let children = &chunks[1..];
    assert_eq!(children.len(), 3);
    for pair in children.windows(2) {
        let ending: Vec<&str> = pair[0].text.split_whitespace().rev().take(50).collect();
        let beginning: Vec<&str> = pair[1].text.split_whitespace().take(50).collect();
        assert!(ending.iter().rev().eq(&beginning), "{ending:?} {beginning:?}");
        assert!(beginning[0].starts_with('W'), "{beginning:?}");
        assert!(pair[1].tokens <= 400);
    }
}

#[test]
fn tables_and_code_stay_whole() {
    let rows: Vec<String> = (0..800).map(|row| format!("| {row} | cell |")).collect();
    let table = format!("| a | b |\n| --- | --- |\n{}", rows.join("\n"));
    let code = "let x = 1;\n".repeat(500);
    let text = document(vec![
        paragraph("before"),
        block(BlockKind::Table, &table, None),
        block(BlockKind::Code, code.trim_end(), None),
        paragraph("after"),
    ]);
    let chunks = chunk(&text, &words);
    assert!(
        chunks.iter().filter(|chunk| chunk.text == table).count() == 2,
        "as parent and as child"
    );
    assert!(chunks.iter().any(|chunk| chunk.text == code.trim_end()));
}

#[test]
fn absurd_tables_are_cut_between_rows_and_keep_their_head() {
    let rows: Vec<String> = (0..3000).map(|row| format!("| {row} | cell |")).collect();
    let table = format!("| a | b |\n| --- | --- |\n{}", rows.join("\n"));
    let chunks = chunk(&document(vec![block(BlockKind::Table, &table, None)]), &words);
    assert!(parents(&chunks).len() > 5);
    for parent in parents(&chunks) {
        assert!(parent.text.starts_with("| a | b |\n| --- |"), "{}", parent.text);
        assert!(parent.tokens <= 1500);
    }
}

#[test]
fn headings_that_nothing_stands_under_are_not_lost() {
    let text = document(vec![
        heading(1, "Plan"),
        heading(2, "First"),
        heading(2, "Second"),
        heading(1, "End"),
    ]);
    let chunks = chunk(&text, &words);
    let all: Vec<String> = chunks.iter().map(ChunkDraft::searchable).collect();
    let all = all.join(" ");
    for word in ["Plan", "First", "Second", "End"] {
        assert!(all.contains(word), "{word}: {all}");
    }
}

#[test]
fn pages_are_the_first_and_the_last() {
    let text = document(vec![
        block(BlockKind::Paragraph, "one", Some(3)),
        block(BlockKind::Paragraph, "two", Some(5)),
    ]);
    let chunks = chunk(&text, &words);
    assert_eq!((chunks[0].page_first, chunks[0].page_last), (Some(3), Some(5)));
}

fn any_block() -> impl Strategy<Value = DocumentBlock> {
    let kind = prop_oneof![
        2 => (1..=6_u8).prop_map(|level| BlockKind::Heading { level }),
        5 => Just(BlockKind::Paragraph),
        2 => Just(BlockKind::ListItem),
        1 => Just(BlockKind::Table),
        1 => Just(BlockKind::Code),
        1 => Just(BlockKind::Notes),
    ];
    (kind, 1..900_usize, 0..10_u32).prop_map(|(kind, length, page)| {
        let (letter, words, separator) = match kind {
            BlockKind::Heading { .. } => ('h', length % 8 + 1, " "),
            BlockKind::Table => ('t', length * 9, "\n"),
            BlockKind::Code => ('c', length * 9, "\n"),
            BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Notes => ('w', length, " "),
        };
        let text: Vec<String> = (0..words)
            .map(|at| format!("{letter}{}{}", at % 97, if at % 13 == 12 { "." } else { "" }))
            .collect();
        block(kind, &text.join(separator), (page > 0).then_some(page))
    })
}

/// Whether all of `needles` occur in `hay` in this order.
fn occur_in_order<'t>(
    needles: impl Iterator<Item = &'t str>,
    hay: impl Iterator<Item = &'t str>,
) -> Option<&'t str> {
    let mut hay = hay;
    let mut needles = needles;
    needles.find(|needle| !hay.any(|word| word == *needle))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_lost_and_sizes_hold(blocks in prop::collection::vec(any_block(), 0..25)) {
        let text = document(blocks);
        let chunks = chunk(&text, &words);
        prop_assert_eq!(&chunks, &chunk(&text, &words), "deterministic");
        for (at, one) in chunks.iter().enumerate() {
            prop_assert_eq!(one.position as usize, at);
            prop_assert_eq!(one.tokens as usize, words(&one.text));
            prop_assert!(!one.text.trim().is_empty());
            prop_assert_eq!(&one.text, one.text.trim());
            let is_of_table = one.text.split_whitespace().any(|word| word.starts_with(['t', 'c']));
            let most = if one.parent.is_some() { CHILD_TOKENS } else { PARENT_TOKENS };
            // Headings inside count too, and are few.
            prop_assert!(one.tokens as usize <= most + 100 || is_of_table, "{} tokens", one.tokens);
            match one.parent {
                None => {}
                Some(parent) => {
                    prop_assert!(parent < one.position);
                    prop_assert!(chunks[parent as usize].parent.is_none());
                    let own: Vec<&str> = one.text.split_whitespace().filter(|word| !word.starts_with('#')).collect();
                    let of_parent = chunks[parent as usize].text.split_whitespace();
                    let parents: Vec<&str> = of_parent.chain(chunks[parent as usize].heading_path.iter().flat_map(|heading| heading.split_whitespace())).collect();
                    prop_assert!(own.iter().all(|word| parents.contains(word)));
                }
            }
        }
        let bodies = text.blocks.iter().filter(|block| !matches!(block.kind, BlockKind::Heading { .. }));
        let needles = bodies.flat_map(|block| block.text.split_whitespace());
        let in_parents = chunks.iter().filter(|one| one.parent.is_none()).flat_map(|one| one.text.split_whitespace());
        prop_assert_eq!(occur_in_order(needles.clone(), in_parents), None);
        let in_children = chunks.iter().filter(|one| one.parent.is_some()).flat_map(|one| one.text.split_whitespace());
        prop_assert_eq!(occur_in_order(needles, in_children), None);
        for heading in text.blocks.iter().filter(|block| matches!(block.kind, BlockKind::Heading { .. })) {
            let is_there = chunks.iter().any(|one| one.searchable().contains(&heading.text));
            prop_assert!(is_there, "{}", heading.text);
        }
    }
}
