//! What of the documents no lesson uses.

use std::collections::HashSet;

use domain::grounding::UnusedDocument;
use domain::id::ChunkId;
use domain::language::Language;
use domain::quality::DocumentCoverage;
use store::chunk::Chunk;

use crate::context::Run;
use crate::material::{Material, SourceDocument, parts_of};
use crate::sources::has_usable;

/// Parts of one document that are named at most.
const MOST_PARTS: usize = 40;
/// Letters of the first words that stand for a part without a heading.
const FIRST_LETTERS: usize = 60;

/// How much of a document the lessons cite. Counted are the small pieces, which are what is searched and cited; a part is
/// unused if no piece under its heading is cited.
pub(super) fn of(document: &SourceDocument, chunks: &[Chunk], used: &[ChunkId]) -> DocumentCoverage {
    let used: HashSet<ChunkId> = used.iter().copied().collect();
    // Who cites a parent cites all of it.
    let is_used = |chunk: &Chunk| {
        used.contains(&chunk.id) || chunk.parent_id.is_some_and(|parent| used.contains(&parent))
    };
    let children = || chunks.iter().filter(|chunk| chunk.parent_id.is_some());
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut parts: Vec<(String, bool)> = Vec::new();
    for chunk in children() {
        let mut names = parts_of(chunk);
        if names.is_empty() {
            names.push(first_words(&chunk.text));
        }
        for name in names {
            match parts.iter_mut().find(|(other, _)| *other == name) {
                Some((_, part_is_used)) => *part_is_used |= is_used(chunk),
                None => parts.push((name, is_used(chunk))),
            }
        }
    }
    let unused = parts.into_iter().filter(|(_, is_used)| !is_used);
    DocumentCoverage {
        document_id: document.id.to_string(),
        name: document.name.clone(),
        chunks: count(children().count()),
        used_chunks: count(children().filter(|chunk| is_used(chunk)).count()),
        unused_parts: unused.map(|(name, _)| name).take(MOST_PARTS).collect(),
    }
}

/// The documents that no lesson cites, those that could not be read first, each with the reason.
pub(super) fn unused(
    run: &Run,
    material: &Material,
    documents: &[DocumentCoverage],
    chunks: &[Vec<Chunk>],
) -> Vec<UnusedDocument> {
    let language = run.language();
    let unreadable = material.unreadable.iter().map(|document| UnusedDocument {
        document_id: document.id.to_string(),
        name: document.name.clone(),
        reason: could_not_be_read(language, &document.problem),
    });
    let examined = material.documents.iter().zip(documents).zip(chunks);
    let not_cited = examined.filter(|((_, of), _)| of.used_chunks == 0);
    let not_cited = not_cited.map(|((document, of), chunks)| {
        let own = document.language;
        let is_foreign = !has_usable(chunks.iter().map(|chunk| chunk.text.as_str()), language);
        UnusedDocument {
            document_id: of.document_id.clone(),
            name: of.name.clone(),
            reason: match own.filter(|own| is_foreign && *own != language) {
                Some(own) => in_another_language(language, own),
                None => fits_no_lesson(language),
            },
        }
    });
    unreadable.chain(not_cited).collect()
}

fn could_not_be_read(language: Language, problem: &str) -> String {
    match language {
        Language::Russian => format!("Документ не удалось прочитать: {problem}"),
        _ => format!("It could not be read: {problem}"),
    }
    .trim_end_matches([':', ' '])
    .to_owned()
}

fn in_another_language(language: Language, own: Language) -> String {
    match language {
        Language::Russian => format!(
            "Язык документа ({}) — не язык курса, а кода, таблиц и формул, понятных на любом языке, в нём нет.",
            own.native_name()
        ),
        _ => format!(
            "It is in {}, the course is not, and it has no code, tables or formulas that read the same in every language.",
            own.english_name()
        ),
    }
}

fn fits_no_lesson(language: Language) -> String {
    match language {
        Language::Russian => "Ни один урок не опирается на этот документ: других документов о том же хватило, или темы уроков в нём не затронуты.".to_owned(),
        _ => "No lesson rests on it: other documents say more on the lessons' topics, or it does not touch them.".to_owned(),
    }
}

fn first_words(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars()
        .take(FIRST_LETTERS)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use domain::id::OrganizationId;

    use super::*;
    use crate::material::samples::document;

    fn chunk(parent: Option<ChunkId>, path: &[&str]) -> Chunk {
        Chunk {
            id: ChunkId::generate(),
            organization_id: OrganizationId::generate(),
            sha256: String::new(),
            position: 0,
            parent_id: parent,
            heading_path: path.iter().map(|&heading| heading.to_owned()).collect(),
            page_first: None,
            page_last: None,
            text: "Without a heading it begins so.".to_owned(),
            tokens: 7,
        }
    }

    #[test]
    fn parts_without_a_citation_are_named() {
        let parent = chunk(None, &["Trade"]);
        let children = [
            chunk(Some(parent.id), &["Trade", "Prices"]),
            chunk(Some(parent.id), &["Trade", "Prices", "A box"]),
            chunk(Some(parent.id), &["Trade", "Wages"]),
            chunk(None, &["Trade"]),
            chunk(Some(ChunkId::generate()), &[]),
        ];
        let check = |used: &[ChunkId], used_chunks: u32, unused: &[&str]| {
            let found = of(&document("trade.md", ""), &children, used);
            assert_eq!((found.chunks, found.used_chunks), (4, used_chunks));
            assert_eq!(found.unused_parts, unused);
        };
        check(&[], 0, &["Prices", "Wages", "Without a heading it begins so."]);
        check(
            &[children[1].id],
            1,
            &["Wages", "Without a heading it begins so."],
        );
        check(&[parent.id], 3, &["Without a heading it begins so."]);
    }
}
