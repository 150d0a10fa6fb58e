//! `--document`: files of this machine, found, looked at and taken in like uploads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::clock::Clock;
use domain::document::BlockKind;
use domain::id::CourseId;
use formats::import::DocumentFormat;
use indicatif::HumanBytes;
use pipeline::Services;
use pipeline::ingest::ingest_course;
use store::document::Document;
use store::tier::get_tier_settings;
use tokio_util::task::TaskTracker;

use super::run::{Database, Session};
use crate::config::Config;
use crate::extraction::{Extractor, own_program};
use crate::failure::{Exit, Failure};
use crate::upload::{ContentError, FileType, LocalFile, UploadError, Uploads, open_blobs};

/// A longer line at the top of a document is no title, in characters.
const LONGEST_TITLE: usize = 200;
/// Folders within folders that are looked into: deeper ones are programs' own.
const DEEPEST_FOLDER: usize = 8;

/// The files that the arguments name, each once, looked at: they can be opened and are what their names say.
/// A folder stands for all documents in it and below it; `*`, `?` and `[...]` for what they match.
///
/// # Errors
/// [`Failure`] naming the file and what to do. Nothing was made yet.
pub(super) fn find_files(named: &[PathBuf]) -> Result<Vec<LocalFile>, Failure> {
    let mut paths = Vec::new();
    for name in named {
        if name.is_dir() {
            let before = paths.len();
            add_folder(name, 0, &mut paths)?;
            if paths.len() == before {
                return Err(
                    Failure::setup(format!("there are no documents in {}", name.display()))
                        .advice(supported()),
                );
            }
        } else if name.exists() || !is_pattern(name) {
            paths.push(name.clone());
        } else {
            paths.extend(matches_of(name)?);
        }
    }
    let mut seen = BTreeSet::new();
    paths.retain(|path| seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
    distinct_names(&paths)?
        .iter()
        .map(|(path, filename)| LocalFile::look(path, filename).map_err(|error| refusal(path, &error)))
        .collect()
}

/// A title for a course made from this file: the one that it names itself, else its first heading, else its name.
pub(super) async fn title_of(config: &Config, file: &LocalFile) -> String {
    let own = own_title(config, file).await;
    own.unwrap_or_else(|| name_as_title(&file.filename))
}

async fn own_title(config: &Config, file: &LocalFile) -> Option<String> {
    let format = DocumentFormat::of_file_name(&file.filename)?;
    let bytes = tokio::fs::read(&file.path).await.ok()?;
    let extractor = Extractor::new(own_program(), config.search_path.clone());
    // What cannot be read is said when the document is read; its name will do here.
    let text = extractor
        .extract(&file.filename, format, bytes.into())
        .await
        .ok()?;
    let first_heading = text.blocks.iter().find_map(|block| match block.kind {
        BlockKind::Heading { .. } => Some(block.text.clone()),
        _ => None,
    });
    text.title
        .into_iter()
        .chain(first_heading)
        .map(|title| title.split_whitespace().collect::<Vec<_>>().join(" "))
        .find(|title| (1..=LONGEST_TITLE).contains(&title.chars().count()))
}

/// The words of a file's name.
fn name_as_title(filename: &str) -> String {
    let stem = Path::new(filename)
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    let words: Vec<&str> = stem
        .split(|letter: char| letter.is_whitespace() || matches!(letter, '_' | '-' | '.'))
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

/// What kinds of files can be documents, as advice.
fn supported() -> String {
    format!("documents are files of these types: {}", FileType::endings())
}

/// All files in a folder and below it that can be documents, by name. Hidden ones are not meant.
fn add_folder(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::setup(format!("the folder {} cannot be read: {error}", folder.display()))
            .advice("check its permissions, or name single files")
    };
    let mut inside = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        inside.push(entry.map_err(unreadable)?.path());
    }
    inside.sort();
    for path in inside {
        let name = file_name(&path);
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth < DEEPEST_FOLDER && !path.is_symlink() {
                add_folder(&path, depth + 1, paths)?;
            }
        } else if FileType::of_name(&name).is_some() {
            paths.push(path);
        }
    }
    Ok(())
}

fn is_pattern(name: &Path) -> bool {
    name.to_string_lossy().contains(['*', '?', '['])
}

fn matches_of(pattern: &Path) -> Result<Vec<PathBuf>, Failure> {
    let text = pattern.to_string_lossy();
    // As a shell does: `*` stands for no hidden file.
    let as_a_shell = glob::MatchOptions {
        require_literal_leading_dot: true,
        ..glob::MatchOptions::default()
    };
    let matches = glob::glob_with(&text, as_a_shell).map_err(|error| {
        Failure::setup(format!("'{text}' is no pattern of file names: {}", error.msg))
            .advice("name the files one by one, or their folder")
    })?;
    let found: Vec<PathBuf> = matches.flatten().filter(|path| path.is_file()).collect();
    if found.is_empty() {
        return Err(
            Failure::setup(format!("no file matches '{text}'")).advice("check the pattern, or name a folder")
        );
    }
    Ok(found)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The name of each file as a document. Two documents of a course with one name would replace each other, so those from
/// different folders are called after their folders too.
fn distinct_names(paths: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, Failure> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for path in paths {
        *counts.entry(file_name(path)).or_default() += 1;
    }
    let mut taken = BTreeSet::new();
    let mut named = Vec::with_capacity(paths.len());
    for path in paths {
        let plain = file_name(path);
        let folder = path.parent().map(file_name).unwrap_or_default();
        let name = if counts[&plain] > 1 && !folder.is_empty() {
            format!("{folder} - {plain}")
        } else {
            plain
        };
        if !taken.insert(name.clone()) {
            return Err(Failure::setup(format!("two documents would be called '{name}'"))
                .advice("give one of the files another name"));
        }
        named.push((path.clone(), name));
    }
    Ok(named)
}

/// What is wrong with a file, and what to do.
fn refusal(path: &Path, error: &UploadError) -> Failure {
    let file = path.display();
    let limits = "see the limits of tiers: `coursewright org`";
    let (problem, advice): (String, String) = match error {
        UploadError::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound => (
            format!("{file} does not exist"),
            "check the name; put quotes around names with spaces".to_owned(),
        ),
        UploadError::Io(cause) => (
            format!("{file} cannot be read: {cause}"),
            "check its permissions".to_owned(),
        ),
        UploadError::TypeNotAllowed { .. } => {
            (format!("{file} is of a type that cannot be read"), supported())
        }
        UploadError::Empty => (format!("{file} is empty"), "leave it out".to_owned()),
        UploadError::TooLarge { size, limit } => (
            format!(
                "{file} has {}; at most {} are allowed",
                HumanBytes(*size),
                HumanBytes(*limit)
            ),
            format!("split it, or raise `limits.upload_bytes`; {limits}"),
        ),
        UploadError::Content(ContentError::OtherType) => (
            format!("the content of {file} is not what its name says, or it is damaged"),
            "open it in its program and save it again under the right ending".to_owned(),
        ),
        UploadError::Content(ContentError::UnsafeArchive(problem)) => (
            format!("{file} cannot be unpacked safely: {problem}"),
            "save it without password, or as PDF".to_owned(),
        ),
        UploadError::Name(problem) => (
            format!("the name of {file} cannot be kept: {problem}"),
            "rename the file".to_owned(),
        ),
        UploadError::TierWithoutFiles(tier) => (
            format!("the tier '{}' allows no documents", tier.as_str()),
            limits.to_owned(),
        ),
        UploadError::TooManyFiles { limit, .. } => (
            format!("a course may have {limit} documents"),
            format!("join some of them, or leave some out; {limits}"),
        ),
        UploadError::SizeMismatch { .. } | UploadError::BrokenOff => (
            format!("{file} was changed while it was read"),
            "try again when nothing writes into it".to_owned(),
        ),
        UploadError::Role
        | UploadError::Content(ContentError::Io(_))
        | UploadError::Store(_)
        | UploadError::Files(_) => {
            let mut failure = Failure::new(Exit::Failure, format!("{file} was not taken in: {error}"));
            if let Some(cause) = std::error::Error::source(error) {
                failure = failure.because(cause.to_string());
            }
            return failure.advice("`coursewright doctor` shows what is missing on this machine");
        }
    };
    Failure::setup(problem).advice(advice)
}

/// Whether the organization's tier takes these files.
///
/// # Errors
/// [`Failure`] naming the first file that it does not take.
pub(super) async fn check_tier(
    config: &Config,
    database: &Database,
    files: &[LocalFile],
) -> Result<(), Failure> {
    let Some(first) = files.first() else { return Ok(()) };
    let actor = database.actor;
    let limits = database
        .store
        .with_tenant(&actor, async move |tx| {
            // The person of the command line is a superadmin, who works with the limits of the highest tier (service
            // 4.3).
            get_tier_settings(tx, domain::organization::Tier::Premium).await
        })
        .await?;
    let limit = limits.max_files_per_course;
    let current = u32::try_from(files.len()).unwrap_or(u32::MAX);
    for file in files {
        file.check_limits(&limits, config.settings.limits.upload_bytes)
            .map_err(|error| refusal(&file.path, &error))?;
    }
    if current > limit {
        return Err(refusal(
            &first.path,
            &UploadError::TooManyFiles { current, limit },
        ));
    }
    Ok(())
}

/// Takes the files into a course, as uploads would come.
///
/// # Errors
/// [`Failure`] naming the file that could not be taken in.
pub(super) async fn take_in(
    config: &Config,
    database: &Database,
    clock: &Arc<dyn Clock>,
    course_id: CourseId,
    files: &[LocalFile],
) -> Result<Vec<Document>, Failure> {
    let uploads = uploads(config, database, clock)?;
    let mut documents = Vec::with_capacity(files.len());
    for file in files {
        let received = uploads.receive_file(database.actor, course_id, file).await;
        documents.push(received.map_err(|error| refusal(&file.path, &error))?);
    }
    Ok(documents)
}

/// Reads all documents of a course that are not read yet, and says which cannot be read.
///
/// # Errors
/// [`Failure`] if reading had to stop; a document that cannot be read is no failure.
pub(super) async fn read_all(
    session: &Session<'_>,
    services: &Services,
    course_id: CourseId,
) -> Result<(), Failure> {
    session.say("Reading the documents ...");
    let documents = Box::pin(ingest_course(services, course_id, session.token())).await?;
    for failure in documents.iter().filter_map(|document| document.failure.as_ref()) {
        session.say(&failure.message);
    }
    Ok(())
}

/// What takes files in and removes them.
///
/// # Errors
/// [`Failure`] if the folders cannot be used.
pub(super) fn uploads(
    config: &Config,
    database: &Database,
    clock: &Arc<dyn Clock>,
) -> Result<Uploads, Failure> {
    Uploads::new(
        config,
        Arc::clone(&database.store),
        open_blobs(config)?,
        Arc::clone(clock),
        TaskTracker::new(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("b.md", "# B");
        write("a.txt", "A");
        write("notes.xyz", "no document");
        write(".hidden.md", "# Hidden");
        write("part/a.txt", "Another A");
        write("part/fake.pdf", "no PDF");
        folder
    }

    fn names(named: &[PathBuf]) -> Result<Vec<String>, String> {
        find_files(named)
            .map(|files| files.into_iter().map(|file| file.filename).collect())
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn folders_patterns_and_files_are_found_once() {
        let folder = folder();
        fs::remove_file(folder.path().join("part/fake.pdf")).unwrap();
        let top = folder.path().file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(
            names(&[folder.path().to_owned(), folder.path().join("b.md")]).unwrap(),
            [
                format!("{top} - a.txt"),
                "b.md".to_owned(),
                "part - a.txt".to_owned()
            ]
        );
        assert_eq!(names(&[folder.path().join("*.md")]).unwrap(), ["b.md"]);
    }

    #[test]
    fn names_of_files_become_titles() {
        let check = |name: &str, title: &str| assert_eq!(name_as_title(name), title);
        check("economics_ch-3.demand.pdf", "economics ch 3 demand");
        check("Учебный план.docx", "Учебный план");
    }

    #[test]
    fn what_is_wrong_names_the_file_and_what_to_do() {
        let folder = folder();
        let check = |name: &str, problem: &str, advice: &str| {
            let failure = names(&[folder.path().join(name)]).unwrap_err();
            assert!(failure.contains(problem) && failure.contains(advice), "{failure}");
        };
        check("gone.md", "gone.md does not exist", "check the name");
        check(
            "notes.xyz",
            "cannot be read",
            "pdf, docx, pptx, html, epub, txt, md",
        );
        check("part/fake.pdf", "is not what its name says", "save it again");
        check("*.docx", "no file matches", "name a folder");
        check("part", "part/fake.pdf", "save it again");
        fs::create_dir(folder.path().join("empty")).unwrap();
        check("empty", "there are no documents in", "pdf, docx");
    }
}
