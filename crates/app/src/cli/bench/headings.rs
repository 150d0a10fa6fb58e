//! Outlines: how much of its documents' table of contents a course covers.

use std::fs;
use std::path::Path;

use domain::course_document::CourseDocument;
use indicatif::MultiProgress;
use pipeline::recall::heading_recall;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::wiring::{Fetcher, Plan, PullDisplay, models};

/// Compares a course, as `export --format json` writes it, with the chapters that it was made from: Markdown files, in
/// which a heading of the second level names a module.
pub(super) async fn measure(
    config: &Config,
    course: Option<&Path>,
    chapters: Option<&Path>,
) -> Result<String, Failure> {
    let (Some(course), Some(chapters)) = (course, chapters) else {
        return Err(
            Failure::setup("a course and the chapters that it was made from are needed").advice(
                "name them: `coursewright bench headings --course COURSE.json --data FOLDER-OF-CHAPTERS`",
            ),
        );
    };
    let document: CourseDocument = serde_json::from_str(&read(course)?)
        .map_err(|error| Failure::setup(format!("{} is no course: {error}", course.display())))?;
    let headings = modules(chapters)?;
    let plan = Plan::of(config, None)?;
    let display = PullDisplay::new(&MultiProgress::new());
    let files = Fetcher::new(config)?
        .pull_for_search(&plan, &display, &CancellationToken::new())
        .await?;
    let models = models(config, &plan, &files, 1)?;
    let found = heading_recall(models.embedder().as_ref(), &headings, &document.structure)
        .await
        .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    Ok(format!(
        "headings: {} modules, soft heading recall {:.1} %, {:.1} % have a title or topic as near as a section must be",
        headings.len(),
        found.soft * 100.0,
        found.near * 100.0
    ))
}

/// The headings of the second level of all chapters.
fn modules(folder: &Path) -> Result<Vec<String>, Failure> {
    let failed =
        |error: std::io::Error| Failure::setup(format!("{} cannot be read: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    paths.sort();
    let mut headings = Vec::new();
    for path in paths {
        let text = read(&path)?;
        let modules = text.lines().filter_map(|line| line.strip_prefix("## "));
        headings.extend(modules.map(|heading| heading.trim().to_owned()));
    }
    if headings.is_empty() {
        return Err(Failure::setup(format!(
            "no Markdown file in {} has a heading of the second level",
            folder.display()
        )));
    }
    Ok(headings)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::setup(format!("{} cannot be read: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_headings_of_the_second_level() {
        let folder = tempfile::tempdir().unwrap();
        assert!(modules(folder.path()).is_err());
        fs::write(folder.path().join("b.md"), "# Trade\n\n## Prices\n\n### A box\n").unwrap();
        fs::write(folder.path().join("a.md"), "# Work\n\n## Wages \n\nText.\n").unwrap();
        fs::write(folder.path().join("notes.txt"), "## No module\n").unwrap();
        assert_eq!(modules(folder.path()).unwrap(), ["Wages", "Prices"]);
    }
}
