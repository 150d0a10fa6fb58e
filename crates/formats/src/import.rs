//! The text of files that people upload: PDF, office documents, web pages, books, texts in any encoding.
//!
//! Pure functions on bytes. What they read is hostile: they bound what they keep, but a library below them may still
//! need more time or memory than a small file suggests, or end the process. Whoever serves others calls them in a
//! process of their own.

mod blocks;
mod docx;
mod encoding;
mod epub;
mod html;
mod limits;
mod markdown;
mod package;
mod pdf;
mod pptx;
#[cfg(test)]
mod producers;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod word_styles;
mod xml;

use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::document::{DocumentBlock, DocumentText};
use serde::{Deserialize, Serialize};

pub use self::limits::ImportLimits;

/// Pages that a message names; of more it says how many there are.
const NAMED_PAGES: usize = 20;

/// A format that text can be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentFormat {
    /// Portable Document Format.
    Pdf,
    /// Word, since 2007.
    Docx,
    /// `PowerPoint`, since 2007.
    Pptx,
    /// A web page.
    Html,
    /// An electronic book, EPUB 2 or 3.
    Epub,
    /// Markdown.
    Markdown,
    /// Text without marks.
    Text,
    /// A picture of text: PNG, JPEG, GIF or WebP.
    Image,
}

impl DocumentFormat {
    /// Every format.
    pub const ALL: [Self; 8] = [
        Self::Pdf,
        Self::Docx,
        Self::Pptx,
        Self::Html,
        Self::Epub,
        Self::Markdown,
        Self::Text,
        Self::Image,
    ];

    /// The format that a file's name claims.
    pub fn of_file_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        let extension = extension.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|format| format.extensions().contains(&extension.as_str()))
    }

    /// The format of this name.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == word)
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Docx => "docx",
            Self::Pptx => "pptx",
            Self::Html => "html",
            Self::Epub => "epub",
            Self::Markdown => "markdown",
            Self::Text => "text",
            Self::Image => "image",
        }
    }

    const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Pdf => &["pdf"],
            Self::Docx => &["docx"],
            Self::Pptx => &["pptx"],
            Self::Html => &["html", "htm", "xhtml"],
            Self::Epub => &["epub"],
            Self::Markdown => &["md", "markdown"],
            Self::Text => &["txt", "text"],
            Self::Image => &["png", "jpg", "jpeg", "gif", "webp"],
        }
    }
}

/// What of a file is more than can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excess {
    /// Characters of text.
    Characters,
    /// Paragraphs, headings, tables.
    Blocks,
    /// Pages or slides.
    Pages,
    /// Bytes after unpacking.
    UnpackedBytes,
    /// Files in the archive.
    Files,
}

impl Excess {
    /// A limit as people count it.
    const fn amount(self, limit: u64) -> u64 {
        match self {
            Self::UnpackedBytes => limit >> 20,
            Self::Characters | Self::Blocks | Self::Pages | Self::Files => limit,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Characters => "characters of text",
            Self::Blocks => "paragraphs",
            Self::Pages => "pages",
            Self::UnpackedBytes => "MiB when unpacked",
            Self::Files => "files inside it",
        }
    }
}

/// Why no text came out of a file. Says what its author can do, and begins with "it": the file's name goes before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum ImportError {
    /// It is encrypted, or protected by a store's rights management.
    #[error("it is protected: save a copy without password or copy protection and upload that")]
    Encrypted,
    /// Its bytes are not those of a file of the format.
    #[error("it is damaged or not what its name says ({detail}): open it, save it anew and upload that")]
    Malformed {
        /// What is wrong, for whoever looks closer.
        detail: String,
    },
    /// It has more than can be read.
    #[error("it is too large (more than {} {}): split it into several files", excess.amount(*limit), excess.words())]
    TooLarge {
        /// What there is too much of.
        excess: Excess,
        /// How much may be.
        limit: u64,
    },
    /// It was read, and there is no text in it.
    #[error("it has no text: upload a file that has, or delete it")]
    NoText,
    /// It consists of pictures of text.
    #[error(
        "{} without text that can be read: it has to go through text recognition (OCR) first",
        page_words(pages)
    )]
    NeedsOcr {
        /// Its pages, from 1, in order.
        pages: Vec<u32>,
    },
    /// It is of another format, which is not read.
    #[error("it is {found}, which cannot be read: {advice}")]
    Unsupported {
        /// What it is.
        found: String,
        /// What to do about it.
        advice: String,
    },
}

impl ImportError {
    /// A name that does not change, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::Malformed { .. } => "malformed",
            Self::TooLarge { .. } => "too_large",
            Self::NoText => "no_text",
            Self::NeedsOcr { .. } => "needs_ocr",
            Self::Unsupported { .. } => "unsupported",
        }
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::Malformed {
            detail: detail.into(),
        }
    }
}

/// What was read of a file, and what is left to text recognition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extraction {
    /// Its text; has at least one block.
    pub text: DocumentText,
    /// Its pages that are pictures of text, from 1, in order; nothing of them is in the text.
    pub unread_pages: Vec<u32>,
}

impl Extraction {
    /// The text, with a warning that names what is missing.
    pub fn into_text(self) -> DocumentText {
        let mut text = self.text;
        if !self.unread_pages.is_empty() {
            text.warnings.push(format!(
                "{} left out: pictures of text, which have to go through text recognition (OCR) first",
                page_words(&self.unread_pages)
            ));
        }
        text
    }
}

/// Reads the text of a file. Pages that are pictures are named in the warnings.
///
/// # Errors
/// [`ImportError`]; never an empty text.
pub fn extract(
    format: DocumentFormat,
    bytes: &[u8],
    limits: &ImportLimits,
) -> Result<DocumentText, ImportError> {
    Ok(extract_with_gaps(format, bytes, limits)?.into_text())
}

/// Reads the text of a file and says which pages are left to text recognition.
///
/// # Errors
/// [`ImportError`]; never an empty text. If all that could be read are pictures: [`ImportError::NeedsOcr`].
pub fn extract_with_gaps(
    format: DocumentFormat,
    bytes: &[u8],
    limits: &ImportLimits,
) -> Result<Extraction, ImportError> {
    if bytes.is_empty() {
        return Err(ImportError::malformed("it is empty"));
    }
    // A parser that panics on a file has met a damaged file. Nothing is shared with it.
    let read = catch_unwind(AssertUnwindSafe(|| read(format, bytes, limits)))
        .unwrap_or_else(|_| Err(ImportError::malformed("its inner structure makes no sense")))?;
    match (read.text.blocks.is_empty(), read.unread_pages.is_empty()) {
        (false, _) => Ok(read),
        (true, true) => Err(ImportError::NoText),
        (true, false) => Err(ImportError::NeedsOcr {
            pages: read.unread_pages,
        }),
    }
}

/// The blocks of a page that text recognition has read.
///
/// # Errors
/// [`ImportError::TooLarge`].
pub fn recognised(page: u32, text: &str, limits: &ImportLimits) -> Result<Vec<DocumentBlock>, ImportError> {
    text::recognised(page, text, limits)
}

fn read(format: DocumentFormat, bytes: &[u8], limits: &ImportLimits) -> Result<Extraction, ImportError> {
    let text = match format {
        DocumentFormat::Pdf => return pdf::extract(bytes, limits),
        DocumentFormat::Image => {
            return Ok(Extraction {
                text: DocumentText {
                    pages: 1,
                    ..DocumentText::default()
                },
                unread_pages: vec![1],
            });
        }
        DocumentFormat::Docx => docx::extract(bytes, limits)?,
        DocumentFormat::Pptx => pptx::extract(bytes, limits)?,
        DocumentFormat::Html => html::extract(bytes, limits)?,
        DocumentFormat::Epub => epub::extract(bytes, limits)?,
        DocumentFormat::Markdown => markdown::extract(bytes, limits)?,
        DocumentFormat::Text => text::extract(bytes, limits)?,
    };
    Ok(Extraction {
        text,
        unread_pages: Vec::new(),
    })
}

/// `page 3`, `pages 1, 4-7`, or how many there are.
fn page_words(pages: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for page in pages {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*page) => *last = *page,
            _ => ranges.push((*page, *page)),
        }
    }
    if ranges.len() > NAMED_PAGES {
        return format!("{} pages", pages.len());
    }
    let words: Vec<String> = ranges
        .iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    let noun = if pages.len() == 1 { "page" } else { "pages" };
    format!("{noun} {}", words.join(", "))
}
