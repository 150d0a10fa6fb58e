//! Textbooks with glossaries, as files.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use crate::failure::Failure;

/// What is searched and what is asked.
pub(super) struct Books {
    /// Name and text of each chapter.
    pub(super) chapters: Vec<(String, String)>,
    /// The glossaries' terms.
    pub(super) terms: Vec<Term>,
}

/// A term and where it is explained.
pub(super) struct Term {
    /// The term.
    pub(super) name: String,
    /// What it means.
    pub(super) meaning: String,
    /// The title of the module that explains it.
    pub(super) module: String,
    /// The title of that module's chapter.
    pub(super) chapter: String,
}

#[derive(Deserialize)]
struct Book {
    chapters: Vec<Chapter>,
}

#[derive(Deserialize)]
struct Chapter {
    title: String,
    modules: Vec<Module>,
}

#[derive(Deserialize)]
struct Module {
    title: String,
    glossary: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    term: String,
    meaning: String,
}

/// Reads the chapters that are there as Markdown, and the terms that are explained in them.
pub(super) fn load(folder: &Path) -> Result<Books, Failure> {
    let mut books = Books {
        chapters: Vec::new(),
        terms: Vec::new(),
    };
    for path in sorted(folder)? {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let book: Book = serde_json::from_str(&read(&path)?)
            .map_err(|error| Failure::setup(format!("{} is no book: {error}", path.display())))?;
        let mut titles = HashSet::new();
        for chapter in sorted(&path.with_extension(""))? {
            let name = chapter
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let text = read(&chapter)?;
            let title = text.lines().find_map(|line| line.strip_prefix("# "));
            if let (Some(name), Some(title)) = (name, title) {
                titles.insert(title.trim().to_owned());
                books.chapters.push((name, text));
            }
        }
        for chapter in book.chapters {
            if titles.contains(&chapter.title) {
                books.terms.extend(terms_of(chapter));
            }
        }
    }
    if books.terms.is_empty() {
        let advice = "it holds BOOK.json and BOOK/CHAPTER.md, as the folder of the OpenStax books does";
        return Err(
            Failure::setup(format!("{} has no books with glossaries", folder.display())).advice(advice),
        );
    }
    Ok(books)
}

fn terms_of(chapter: Chapter) -> impl Iterator<Item = Term> {
    let title = chapter.title;
    chapter.modules.into_iter().flat_map(move |module| {
        let chapter = title.clone();
        module.glossary.into_iter().map(move |entry| Term {
            name: entry.term,
            meaning: entry.meaning,
            module: module.title.clone(),
            chapter: chapter.clone(),
        })
    })
}

fn sorted(folder: &Path) -> Result<Vec<std::path::PathBuf>, Failure> {
    let listed = std::fs::read_dir(folder)
        .map_err(|error| Failure::setup(format!("{} cannot be read: {error}", folder.display())))?;
    let mut paths: Vec<_> = listed
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::setup(format!("{} cannot be read: {error}", path.display())))
}
