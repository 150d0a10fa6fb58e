//! Text recognition (OCR): pictures and scanned pages, by Tesseract and Poppler where they are installed.
//!
//! Both read hostile files, so both run confined: this program confines itself and becomes them.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::document::{DocumentBlock, DocumentText};
use formats::import::{DocumentFormat, Extraction, ImportLimits, recognised};
use pipeline::ingest::ReadError;
use tokio::time::Instant;

use super::child::{Bounds, ChildError, Program, run};
use super::confinement::Confinement;

/// Languages that are asked for, where they are installed; else all that are. More at once read worse and slower.
const LANGUAGES: [&str; 2] = ["rus", "eng"];
/// Of what Tesseract lists as languages, these are none.
const NO_LANGUAGES: [&str; 3] = ["osd", "equ", "snum"];
/// Where programs are looked for if nothing says where.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin";
/// The longer side of a page's picture, in pixels: a page of A4 at 250 dots an inch, of which Tesseract asks at least 200.
const PAGE_PIXELS: &str = "2900";
/// Memory for one page, in bytes: Tesseract takes 200 to 400 MB.
const PAGE_MEMORY_BYTES: u64 = 1 << 30;
/// The processor's time for one page; a full page takes 3 to 10 s.
const PAGE_SECONDS: u64 = 60;
/// Time for one page, also on a machine that has other things to do.
const PAGE_PATIENCE: Duration = Duration::from_mins(2);
/// The largest picture of a page, in bytes.
const MOST_PICTURE_BYTES: u64 = 64 << 20;
/// The longest text of a page, in bytes.
const MOST_TEXT_BYTES: u64 = 4 << 20;
/// Time for all pages of a file. What is left then is a warning.
const PATIENCE: Duration = Duration::from_mins(20);

/// What is not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missing {
    /// The program that recognises text.
    #[error("Tesseract is not installed (Debian: apt-get install tesseract-ocr tesseract-ocr-rus)")]
    Tesseract,
    /// It is there, and knows no language.
    #[error("Tesseract knows no language (Debian: apt-get install tesseract-ocr-eng tesseract-ocr-rus)")]
    Languages,
    /// The program that makes pictures of pages.
    #[error("pdftoppm is not installed (Debian: apt-get install poppler-utils)")]
    Pdftoppm,
}

/// Why nothing was recognised.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecognitionError {
    /// A program is not there.
    #[error("it consists of pictures of text, and {0}; or upload a file with text")]
    Missing(#[from] Missing),
    /// The pictures were looked at, and there is no text.
    #[error("no text could be recognised in its pictures: upload sharper ones, or a file with text")]
    NoText,
    /// The picture cannot be read.
    #[error("its pictures could not be read: save it anew and upload that")]
    Unreadable,
    /// There was no time or memory.
    #[error("its pictures could not be read now; it is tried again")]
    Busy,
}

impl RecognitionError {
    /// The error of this file.
    pub(super) fn about(&self, name: &str) -> ReadError {
        let code = match self {
            Self::Missing(_) => "needs_ocr",
            Self::NoText => "no_text",
            Self::Unreadable => "malformed",
            Self::Busy => "reader_busy",
        };
        ReadError {
            code: code.to_owned(),
            message: format!("{name}: {self}"),
            is_passing: matches!(self, Self::Busy),
        }
    }
}

impl From<ChildError> for RecognitionError {
    fn from(error: ChildError) -> Self {
        tracing::warn!(%error, "a picture of text could not be read");
        match error {
            ChildError::NotStarted(_) | ChildError::OutOfPatience | ChildError::Stopped => Self::Busy,
            ChildError::OutOfTime
            | ChildError::OutOfMemory
            | ChildError::TooMuchOutput
            | ChildError::Crashed(_) => Self::Unreadable,
        }
    }
}

/// The programs that recognise text.
#[derive(Clone, Debug)]
pub(crate) struct Recognition {
    own_program: PathBuf,
    search_path: OsString,
}

/// A program found, with the languages it knows.
struct Tesseract {
    file: PathBuf,
    languages: String,
}

impl Recognition {
    /// Looks for programs in `search_path`; `own_program` confines them.
    pub(crate) fn new(own_program: PathBuf, search_path: Option<OsString>) -> Self {
        Self {
            own_program,
            search_path: search_path.unwrap_or_else(|| USUAL_PATH.into()),
        }
    }

    /// What is there, in words: for whoever looks at the installation.
    pub(crate) async fn describe(&self) -> Result<String, Missing> {
        let tesseract = self.tesseract().await?;
        self.find("pdftoppm").ok_or(Missing::Pdftoppm)?;
        Ok(format!("Tesseract ({}), pdftoppm", tesseract.languages))
    }

    /// The text of a file that consists of pictures: itself one, or a PDF with these pages.
    pub(super) async fn read(
        &self,
        format: DocumentFormat,
        bytes: &[u8],
        pages: &[u32],
    ) -> Result<DocumentText, RecognitionError> {
        if format == DocumentFormat::Image {
            let tesseract = self.tesseract().await?;
            let blocks = self.page(&tesseract, bytes, 1).await?;
            return text_of(blocks, 1, Vec::new());
        }
        let (blocks, unread) = self.pages(bytes, pages).await?;
        let count = pages.last().copied().unwrap_or(0);
        text_of(blocks, count, left_out(&unread))
    }

    /// A text with its scanned pages read too, as far as they can be.
    pub(super) async fn complete(&self, extraction: Extraction, bytes: &[u8]) -> DocumentText {
        match self.pages(bytes, &extraction.unread_pages).await {
            Ok((blocks, unread)) => {
                let mut text = extraction.text;
                text.blocks.extend(blocks);
                // The order within a page stays.
                text.blocks.sort_by_key(|block| block.page);
                text.warnings.extend(left_out(&unread));
                text
            }
            Err(error) => {
                let mut text = extraction.into_text();
                if let RecognitionError::Missing(missing) = error {
                    text.warnings.push(missing.to_string());
                }
                text
            }
        }
    }

    /// The blocks of scanned pages, and the pages that could not be read.
    async fn pages(
        &self,
        bytes: &[u8],
        pages: &[u32],
    ) -> Result<(Vec<DocumentBlock>, Vec<u32>), RecognitionError> {
        let tesseract = self.tesseract().await?;
        let pdftoppm = self.find("pdftoppm").ok_or(Missing::Pdftoppm)?;
        let written = tempfile::NamedTempFile::new().and_then(|mut file| {
            file.write_all(bytes)?;
            Ok(file)
        });
        let file = written.map_err(|error| {
            tracing::error!(%error, "there is no place for the pages of a file");
            RecognitionError::Busy
        })?;
        let deadline = Instant::now() + PATIENCE;
        let (mut blocks, mut unread) = (Vec::new(), Vec::new());
        let mut last_error = RecognitionError::Unreadable;
        for page in pages {
            if Instant::now() >= deadline {
                unread.push(*page);
                continue;
            }
            let read = async {
                let picture = self.picture(&pdftoppm, file.path(), *page).await?;
                self.page(&tesseract, &picture, *page).await
            };
            match read.await {
                Ok(found) => blocks.extend(found),
                Err(error) => {
                    last_error = error;
                    unread.push(*page);
                }
            }
        }
        if blocks.is_empty() && unread.len() == pages.len() {
            return Err(last_error);
        }
        Ok((blocks, unread))
    }

    /// A picture of a page.
    async fn picture(&self, pdftoppm: &Path, file: &Path, page: u32) -> Result<Vec<u8>, RecognitionError> {
        let number = page.to_string();
        let arguments = [
            "-f",
            &number,
            "-l",
            &number,
            "-scale-to",
            PAGE_PIXELS,
            "-gray",
            "-png",
        ];
        let mut arguments: Vec<OsString> = arguments.map(OsString::from).into();
        arguments.push(file.as_os_str().to_owned());
        let output = self
            .confined(pdftoppm, arguments, b"", MOST_PICTURE_BYTES)
            .await?;
        Ok(output)
    }

    /// The text in a picture.
    async fn page(
        &self,
        tesseract: &Tesseract,
        picture: &[u8],
        page: u32,
    ) -> Result<Vec<DocumentBlock>, RecognitionError> {
        let arguments = ["stdin", "stdout", "-l", &tesseract.languages].map(OsString::from);
        let output = self
            .confined(&tesseract.file, arguments.into(), picture, MOST_TEXT_BYTES)
            .await?;
        let text = String::from_utf8_lossy(&output);
        let found = recognised(page, &text, &ImportLimits::default());
        found.map_err(|_| RecognitionError::Unreadable)
    }

    /// Tesseract, and those of its languages that are to be used.
    async fn tesseract(&self) -> Result<Tesseract, Missing> {
        let file = self.find("tesseract").ok_or(Missing::Tesseract)?;
        let listed = self
            .confined(&file, vec!["--list-langs".into()], b"", MOST_TEXT_BYTES)
            .await
            .map_err(|error| {
                tracing::warn!(%error, "Tesseract does not say what it can read");
                Missing::Tesseract
            })?;
        let listed = String::from_utf8_lossy(&listed);
        let languages = chosen_languages(&listed).ok_or(Missing::Languages)?;
        Ok(Tesseract { file, languages })
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        std::env::split_paths(&self.search_path)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
    }

    /// Runs a program that is confined like the reader of files.
    async fn confined(
        &self,
        program: &Path,
        own: Vec<OsString>,
        input: &[u8],
        most_output_bytes: u64,
    ) -> Result<Vec<u8>, ChildError> {
        let confinement = Confinement {
            memory_bytes: PAGE_MEMORY_BYTES,
            processor_seconds: PAGE_SECONDS,
        };
        let mut arguments = vec![OsString::from("confine")];
        arguments.extend(confinement.arguments());
        arguments.extend([OsStr::new("--").to_owned(), program.as_os_str().to_owned()]);
        arguments.extend(own);
        let program = Program {
            file: self.own_program.clone(),
            arguments,
            environment: vec![
                ("PATH", self.search_path.clone()),
                ("LC_ALL", "C.UTF-8".into()),
                // Several threads of it are slower than one.
                ("OMP_THREAD_LIMIT", "1".into()),
            ],
        };
        let bounds = Bounds {
            patience: PAGE_PATIENCE,
            most_output_bytes,
        };
        run(&program, input, &bounds).await
    }
}

fn text_of(
    blocks: Vec<DocumentBlock>,
    pages: u32,
    warnings: Vec<String>,
) -> Result<DocumentText, RecognitionError> {
    if blocks.is_empty() {
        return Err(RecognitionError::NoText);
    }
    Ok(DocumentText {
        title: None,
        blocks,
        pages,
        warnings,
    })
}

/// A warning, if any pages could not be read.
fn left_out(pages: &[u32]) -> Vec<String> {
    let without_text = Extraction {
        unread_pages: pages.to_vec(),
        ..Extraction::default()
    };
    without_text.into_text().warnings
}

/// The languages to read, as Tesseract wants them said, out of what it lists line by line.
fn chosen_languages(listed: &str) -> Option<String> {
    let known: Vec<&str> = listed
        .lines()
        .map(str::trim)
        .filter(|line| !line.contains(' ') && !line.is_empty() && !NO_LANGUAGES.contains(line))
        .collect();
    let wanted: Vec<&str> = LANGUAGES
        .into_iter()
        .filter(|language| known.contains(language))
        .collect();
    let chosen = if wanted.is_empty() { known } else { wanted };
    (!chosen.is_empty()).then(|| chosen.join("+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn russian_and_english_are_read_where_they_are_known() {
        let check = |listed: &str, expected: Option<&str>| {
            assert_eq!(chosen_languages(listed).as_deref(), expected);
        };
        let head = "List of available languages in \"/usr/share/tessdata/\" (4):\n";
        check(&format!("{head}eng\nosd\nrus\ndeu\n"), Some("rus+eng"));
        check(&format!("{head}eng\nosd\n"), Some("eng"));
        check(&format!("{head}deu\nosd\nfra\n"), Some("deu+fra"));
        check(&format!("{head}osd\n"), None);
    }

    #[tokio::test]
    async fn what_is_missing_is_named_with_how_to_install_it() {
        let nowhere = Recognition::new("/nonexistent".into(), Some("/nonexistent".into()));
        let error = nowhere.read(DocumentFormat::Image, b"", &[1]).await.unwrap_err();
        let said = error.about("scan.png");
        assert_eq!((said.code.as_str(), said.is_passing), ("needs_ocr", false));
        assert!(
            said.message.contains("apt-get install tesseract-ocr"),
            "{}",
            said.message
        );
    }

    #[tokio::test]
    async fn a_text_without_its_scanned_pages_says_so() {
        let nowhere = Recognition::new("/nonexistent".into(), Some("/nonexistent".into()));
        let extraction = Extraction {
            unread_pages: vec![2],
            ..Extraction::default()
        };
        let text = nowhere.complete(extraction, b"").await;
        assert!(
            text.warnings[0].starts_with("page 2 left out"),
            "{:?}",
            text.warnings
        );
        assert!(
            text.warnings[1].contains("Tesseract is not installed"),
            "{:?}",
            text.warnings
        );
    }
}
