//! `export`: a course as files. `create` and `resume` end with it too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use domain::user::Actor;
use formats::export::{CourseView, ExportError, Format, export};
use store::Store;
use store::citation::list_sources;
use store::cluster::Unobserved;
use store::course::{self, Course};
use store::lesson;

use super::output::print;
use super::run::{Database, RunOptions};
use super::summary;
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::progress::Words;

/// The arguments of `export`.
#[derive(Args, Debug)]
pub(super) struct Export {
    /// The course: its id, the beginning of it, or its name
    course: String,
    /// File formats: html, md, json; epub; scorm12, scorm2004, cmi5, imscc, olx for platforms; qti21, qti3, moodle-xml, gift
    /// for the quizzes alone
    #[arg(
        long,
        value_name = "FORMAT",
        value_delimiter = ',',
        default_value = "html,md,json"
    )]
    format: Vec<FormatArg>,
    /// Where the files are written [default: a folder named after the course]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A format on the command line.
#[derive(Clone, Copy, Debug)]
pub(super) struct FormatArg(pub(super) Format);

impl FromStr for FormatArg {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Format::from_name(name).map(Self).ok_or_else(|| {
            let known = Format::ALL
                .iter()
                .map(|format| format.short_name())
                .collect::<Vec<_>>()
                .join(", ");
            format!("known formats are {known}")
        })
    }
}

/// Where files go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The folder; `None`: one named after the course, in the present folder.
    pub(super) out: Option<PathBuf>,
    /// Which files.
    pub(super) formats: Vec<Format>,
}

impl Target {
    /// Where the command that started the generation wanted them.
    pub(super) fn remembered(options: &RunOptions) -> Self {
        let mut formats: Vec<Format> = options
            .formats
            .iter()
            .filter_map(|name| Format::from_name(name))
            .collect();
        if formats.is_empty() {
            formats = Format::DEFAULT.to_vec();
        }
        Self {
            out: options.out.clone(),
            formats,
        }
    }
}

impl Export {
    /// Writes the files and prints their paths.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        let database = Database::open(config, &Unobserved).await?;
        let key = self.course.clone();
        let course = database
            .store
            .with_tenant(&database.actor, async |tx| course::find_course(tx, &key).await)
            .await?;
        let target = Target {
            out: self.out,
            formats: self.format.iter().map(|format| format.0).collect(),
        };
        let files = write_files(&database.store, &database.actor, &course, None, &target).await?;
        database.close().await;
        print(&summary::files(&files, Words::of(config.user_language)))?;
        Ok(Exit::Success)
    }
}

/// Writes a course's files; returns where they are.
///
/// # Errors
/// [`Failure`] if the course has no structure yet or a file cannot be written.
pub(super) async fn write_files(
    store: &Store,
    actor: &Actor,
    course: &Course,
    notice: Option<&str>,
    target: &Target,
) -> Result<Vec<PathBuf>, Failure> {
    let Some(structure) = &course.structure else {
        return Err(Failure::new(
            Exit::Failure,
            format!("\"{}\" has no structure yet", course.inputs.title),
        )
        .advice(format!("go on with `coursewright resume {}`", course.id)));
    };
    let id = course.id;
    let (stored, sources) = store
        .with_tenant(actor, async |tx| {
            let lessons = lesson::list_lessons(tx, id).await?;
            Ok((lessons, list_sources(tx, id).await?))
        })
        .await?;
    let lessons: BTreeMap<_, _> = stored
        .into_iter()
        .filter_map(|lesson| Some((lesson.lesson_number, lesson.content?)))
        .collect();
    let view = CourseView {
        id,
        inputs: &course.inputs,
        structure,
        lessons: &lessons,
        sources: &sources,
        notice,
        generated_at: course.updated_at,
        analysis: course.analysis.as_ref(),
        metadata: course.metadata.as_ref(),
        quality: course.quality.as_ref(),
    };
    let folder = target.out.clone().unwrap_or_else(|| PathBuf::from(&course.slug));
    std::fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    target
        .formats
        .iter()
        .map(|format| {
            let file = export(*format, &view).map_err(|error| unwritten(*format, error))?;
            let path = folder.join(&file.file_name);
            write_whole(&path, &file.bytes).map_err(|error| unwritable(&path, &error))?;
            Ok(path)
        })
        .collect()
}

/// Writes beside and renames: nobody ever sees half a file.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    std::fs::write(&part, bytes)?;
    std::fs::rename(&part, path)
}

/// Why there is no file of this format, and what to ask for instead.
fn unwritten(format: Format, error: ExportError) -> Failure {
    let has_nothing = matches!(error, ExportError::NothingWritten | ExportError::NoQuestions);
    let failure = Failure::from(error);
    if has_nothing {
        failure.advice(format!(
            "{} holds what is written, and nothing else; html, md and json hold the plan of a course too",
            format.short_name()
        ))
    } else {
        failure
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Failure,
        format!("{} cannot be written: {error}", path.display()),
    )
    .advice("name another folder: `coursewright export COURSE --out DIR`")
}
