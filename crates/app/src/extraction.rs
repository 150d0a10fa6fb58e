//! Text out of uploaded files, with nothing that a file contains able to harm the service.
//!
//! A file is read by this program, started once more: a process of its own, without environment, with limits on memory
//! and time that it sets itself before it sees a byte. Whatever happens to it is an answer here. Pictures and scanned
//! pages go through Tesseract in the same way, where it is installed.

mod answer;
mod child;
mod confinement;
mod recognition;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::document::DocumentText;
use formats::import::{DocumentFormat, Extraction, ImportError};
use object_store::{ObjectStore, ObjectStoreExt as _};
use pipeline::ingest::{DocumentReader, ReadError};
use store::document::Document;
use tokio::sync::Semaphore;

pub(crate) use answer::answer;
use child::{Bounds, ChildError, Program};
pub(crate) use confinement::{Confinement, confine};
pub(crate) use recognition::Recognition;

/// Time for a file of an ordinary size.
const PATIENCE: Duration = Duration::from_secs(10);
/// Files up to this size, in bytes, are ordinary; each MiB more gets a second more.
const ORDINARY_BYTES: u64 = 10 << 20;
/// Memory for a file of an ordinary size, in bytes (acceptance of hostile files).
const MEMORY_BYTES: u64 = 512 << 20;
/// A larger file gets so many times its further bytes: it lies in memory itself, and its objects beside it.
const MEMORY_FACTOR: u64 = 4;
/// The longest answer, in bytes: ten million characters of four bytes, and marks of JSON.
const MOST_ANSWER_BYTES: u64 = 64 << 20;
/// Processes that read at once, at most: each may take all the memory it is allowed.
const MOST_AT_ONCE: usize = 4;

/// The reader of uploaded files. One a process: it bounds how many are read at once.
pub(crate) fn document_reader(
    config: &crate::config::Config,
    blobs: Arc<dyn ObjectStore>,
) -> Arc<dyn DocumentReader> {
    Arc::new(StoredDocuments {
        blobs,
        extractor: Extractor::new(own_program(), config.search_path.clone()),
    })
}

/// This program's file. The link leads to it also after an update has replaced it.
pub(crate) fn own_program() -> PathBuf {
    let link = Path::new("/proc/self/exe");
    match std::env::current_exe() {
        Ok(path) if !link.exists() => path,
        _ => link.to_path_buf(),
    }
}

/// Reads documents whose bytes lie in the store of files.
#[derive(Debug)]
struct StoredDocuments {
    blobs: Arc<dyn ObjectStore>,
    extractor: Extractor,
}

#[async_trait]
impl DocumentReader for StoredDocuments {
    async fn read(&self, document: &Document) -> Result<DocumentText, ReadError> {
        let name = &document.filename;
        let format = DocumentFormat::of_file_name(name).ok_or_else(|| unreadable_format(name))?;
        let path = object_store::path::Path::from(document.storage_key.as_str());
        let fetched = async { self.blobs.get(&path).await?.bytes().await };
        let bytes = fetched.await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => ReadError {
                code: "file_missing".to_owned(),
                message: format!("{name}: its bytes are no longer in the store of files: upload it again"),
                is_passing: false,
            },
            error => ReadError {
                code: "storage_unavailable".to_owned(),
                message: format!("{name}: the store of files does not answer ({error})"),
                is_passing: true,
            },
        })?;
        self.extractor.extract(name, format, bytes).await
    }
}

/// Reads the text of files in processes of their own.
#[derive(Debug)]
pub(crate) struct Extractor {
    program: PathBuf,
    recognition: Recognition,
    places: Semaphore,
}

impl Extractor {
    /// Starts `program`, which is this one, and looks for the programs of text recognition in `search_path`.
    pub(crate) fn new(program: PathBuf, search_path: Option<OsString>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            recognition: Recognition::new(program.clone(), search_path),
            program,
            places: Semaphore::new(processors.min(MOST_AT_ONCE)),
        }
    }

    /// The text of a file. Dropping the future ends the process.
    ///
    /// # Errors
    /// [`ReadError`] with what its author can do.
    pub(crate) async fn extract(
        &self,
        name: &str,
        format: DocumentFormat,
        bytes: Bytes,
    ) -> Result<DocumentText, ReadError> {
        // The semaphore is never closed.
        let _place = self.places.acquire().await;
        match self.read(name, format, &bytes).await? {
            Ok(extraction) if extraction.unread_pages.is_empty() => Ok(extraction.text),
            Ok(extraction) => Ok(self.recognition.complete(extraction, &bytes).await),
            Err(ImportError::NeedsOcr { pages }) => {
                let recognised = self.recognition.read(format, &bytes, &pages).await;
                recognised.map_err(|error| error.about(name))
            }
            Err(error) => Err(refusal(name, &error)),
        }
    }

    /// Lets the other process read.
    async fn read(
        &self,
        name: &str,
        format: DocumentFormat,
        bytes: &[u8],
    ) -> Result<Result<Extraction, ImportError>, ReadError> {
        let patience = patience_for(bytes.len() as u64);
        let confinement = Confinement {
            memory_bytes: memory_for(bytes.len() as u64),
            // Less than the patience: what uses it up is the file's fault, what does not is the machine's.
            processor_seconds: patience.as_secs() * 4 / 5,
        };
        let program = Program {
            file: self.program.clone(),
            arguments: answer::arguments(format, &confinement),
            environment: Vec::new(),
        };
        let bounds = Bounds {
            patience,
            most_output_bytes: MOST_ANSWER_BYTES,
        };
        let output = child::run(&program, bytes, &bounds)
            .await
            .map_err(|error| failed(name, &error))?;
        answer::parse(&output).map_err(|error| {
            tracing::warn!(%error, "the reader of a file gave no answer");
            failed(name, &ChildError::Crashed("its answer makes no sense".to_owned()))
        })
    }
}

/// How long a file of a size may take.
pub(crate) fn patience_for(size_bytes: u64) -> Duration {
    PATIENCE + Duration::from_secs(size_bytes.saturating_sub(ORDINARY_BYTES) >> 20)
}

/// How much memory a file of a size may take, in bytes.
pub(crate) const fn memory_for(size_bytes: u64) -> u64 {
    MEMORY_BYTES
        + size_bytes
            .saturating_sub(ORDINARY_BYTES)
            .saturating_mul(MEMORY_FACTOR)
}

/// What was wrong with a file, with its name.
fn refusal(name: &str, error: &ImportError) -> ReadError {
    ReadError {
        code: error.code().to_owned(),
        message: format!("{name}: {error}"),
        is_passing: false,
    }
}

/// A file that no reader is there for.
pub(crate) fn unreadable_format(name: &str) -> ReadError {
    ReadError {
        code: "unsupported".to_owned(),
        message: format!(
            "{name}: files of this type cannot be read: save it as PDF, DOCX, PPTX, HTML, EPUB, Markdown or text"
        ),
        is_passing: false,
    }
}

/// What became of the process, as its author understands it.
fn failed(name: &str, error: &ChildError) -> ReadError {
    let (code, is_passing, what) = match error {
        ChildError::NotStarted(cause) => {
            // Too many processes, or too little memory: that passes.
            tracing::error!(%cause, "no process could be started to read a file");
            (
                "reader_unavailable",
                true,
                "it could not be read now; it is tried again",
            )
        }
        ChildError::OutOfTime => (
            "too_slow",
            false,
            "reading it took too long: split it, or save it anew in the program it was made with",
        ),
        ChildError::Stopped => (
            "reader_busy",
            true,
            "reading it was interrupted; it is tried again",
        ),
        // The processor's time was not used up: the machine has too much to do.
        ChildError::OutOfPatience => ("reader_busy", true, "reading it took too long; it is tried again"),
        ChildError::OutOfMemory | ChildError::TooMuchOutput => (
            "too_large",
            false,
            "reading it took too much memory: split it into several files",
        ),
        ChildError::Crashed(detail) => {
            tracing::warn!(detail, "the reader of a file crashed");
            (
                "malformed",
                false,
                "it is damaged: open it, save it anew and upload that",
            )
        }
    };
    ReadError {
        code: code.to_owned(),
        message: format!("{name}: {what}"),
        is_passing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_get_more_of_both() {
        assert_eq!(patience_for(0), Duration::from_secs(10));
        assert_eq!(patience_for(10 << 20), Duration::from_secs(10));
        assert_eq!(patience_for(100 << 20), Duration::from_secs(100));
        assert_eq!(memory_for(1000), 512 << 20);
        assert_eq!(memory_for(100 << 20), (512 + 360) << 20);
    }

    #[test]
    fn every_end_of_the_process_has_a_message_that_names_the_file() {
        let check = |error: &ChildError, code: &str, is_passing: bool| {
            let found = failed("plan.pdf", error);
            assert_eq!((found.code.as_str(), found.is_passing), (code, is_passing));
            assert!(found.message.starts_with("plan.pdf: "), "{}", found.message);
        };
        check(
            &ChildError::NotStarted(std::io::ErrorKind::NotFound.into()),
            "reader_unavailable",
            true,
        );
        check(&ChildError::OutOfTime, "too_slow", false);
        check(&ChildError::OutOfPatience, "reader_busy", true);
        check(&ChildError::Stopped, "reader_busy", true);
        check(&ChildError::OutOfMemory, "too_large", false);
        check(&ChildError::TooMuchOutput, "too_large", false);
        check(&ChildError::Crashed(String::new()), "malformed", false);
        let refused = refusal("plan.pdf", &ImportError::NoText);
        assert_eq!(
            refused.message,
            "plan.pdf: it has no text: upload a file that has, or delete it"
        );
    }
}
