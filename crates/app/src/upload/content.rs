//! What a file really is, by its bytes. Name and declared type are not trusted.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::archive;
use super::file_type::FileType;

/// So many bytes at the beginning are enough to tell types apart: a PDF's mark stands within the first 1024 (ISO
/// 32000-2, annex I), the others' within 20.
pub(super) const HEAD_BYTES: usize = 4096;
/// Where the mark of a PDF is looked for.
const PDF_MARK_WITHIN: usize = 1024;
/// Read at once when a whole text is looked at.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why the bytes are not those of the type.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// They are of another type.
    #[error("the bytes are not those of a file of this type")]
    OtherType,
    /// An archive that would swell, is encrypted, or writes outside.
    #[error("the archive is not safe: {0}")]
    UnsafeArchive(&'static str),
    /// The file could not be read.
    #[error("the file cannot be read")]
    Io(#[from] io::Error),
}

/// Looks at the beginning of a file, the whole of it if it is short.
///
/// # Errors
/// [`ContentError::OtherType`].
pub(super) fn check_head(head: &[u8], kind: FileType) -> Result<(), ContentError> {
    let found = infer::get(head).map(|found| found.mime_type());
    let fits = match kind {
        FileType::Pdf => {
            let within = &head[..head.len().min(PDF_MARK_WITHIN)];
            within.windows(5).any(|window| window == b"%PDF-")
        }
        // Which of the formats in a zip it is shows its list of files, at the end.
        FileType::Docx | FileType::Pptx | FileType::Epub => head.starts_with(b"PK\x03\x04"),
        FileType::Png | FileType::Jpeg | FileType::Gif | FileType::Webp => found == Some(kind.mime_type()),
        FileType::Html => looks_like_text(head, kind) && has_tag(head),
        FileType::Text | FileType::Markdown => looks_like_text(head, kind),
    };
    if fits {
        Ok(())
    } else {
        Err(ContentError::OtherType)
    }
}

/// Looks at a whole file. Reads all of it: not for threads that serve requests.
///
/// # Errors
/// [`ContentError`].
pub(super) fn check_whole(file: &mut File, kind: FileType) -> Result<(), ContentError> {
    file.seek(SeekFrom::Start(0))?;
    match kind {
        FileType::Docx | FileType::Pptx | FileType::Epub => archive::check(file, kind),
        FileType::Html | FileType::Text | FileType::Markdown => check_text(file),
        // Their decoders judge the rest; nothing in them is run or unpacked before.
        FileType::Pdf | FileType::Png | FileType::Jpeg | FileType::Gif | FileType::Webp => Ok(()),
    }
}

fn looks_like_text(head: &[u8], kind: FileType) -> bool {
    let mut scan = TextScan::default();
    // A PDF without compression may consist of letters alone.
    let is_pdf = head.starts_with(b"%PDF-") && kind != FileType::Markdown;
    !is_pdf && scan.accepts(head)
}

fn check_text(file: &mut File) -> Result<(), ContentError> {
    let mut scan = TextScan::default();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        if !scan.accepts(&chunk[..read]) {
            return Err(ContentError::OtherType);
        }
    }
}

/// Tells text from bytes, in any encoding: texts have no control characters but those of lines, tabs and pages.
/// Texts in UTF-16 have every second byte zero and say so in their first two.
#[derive(Debug, Default)]
struct TextScan {
    seen: u64,
    wide: Option<Wide>,
}

#[derive(Debug)]
struct Wide {
    is_big_endian: bool,
    /// The first byte of a unit that the chunk cut in two.
    half: Option<u8>,
}

impl TextScan {
    /// Whether the text goes on with these bytes.
    fn accepts(&mut self, chunk: &[u8]) -> bool {
        if self.seen == 0 {
            self.wide = match chunk {
                [0xFF, 0xFE, ..] => Some(Wide {
                    is_big_endian: false,
                    half: None,
                }),
                [0xFE, 0xFF, ..] => Some(Wide {
                    is_big_endian: true,
                    half: None,
                }),
                _ => None,
            };
        }
        self.seen += chunk.len() as u64;
        match &mut self.wide {
            None => !chunk.iter().any(|byte| is_control(u16::from(*byte))),
            Some(wide) => chunk.iter().all(|byte| wide.accepts(*byte)),
        }
    }
}

impl Wide {
    fn accepts(&mut self, byte: u8) -> bool {
        let Some(first) = self.half.take() else {
            self.half = Some(byte);
            return true;
        };
        let unit = if self.is_big_endian {
            u16::from_be_bytes([first, byte])
        } else {
            u16::from_le_bytes([first, byte])
        };
        !is_control(unit)
    }
}

/// Control characters that no text has. Escape is one: terminals obey it.
const fn is_control(unit: u16) -> bool {
    matches!(unit, 0..=8 | 0x0B | 0x0E..=0x1F | 0x7F)
}

/// Whether there is anything that begins like a tag. In UTF-16 the bytes between are zero.
fn has_tag(head: &[u8]) -> bool {
    let mut letters = head.iter().filter(|byte| **byte != 0).peekable();
    while let Some(letter) = letters.next() {
        if *letter == b'<'
            && letters
                .peek()
                .is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, b'!' | b'?'))
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], kind: FileType, is_good: bool) {
        let head = &bytes[..bytes.len().min(HEAD_BYTES)];
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let whole = check_head(head, kind).and_then(|()| check_whole(&mut file, kind));
        assert_eq!(whole.is_ok(), is_good, "{kind:?}: {whole:?}");
    }

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01";

    #[test]
    fn magic_bytes_decide() {
        check(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", FileType::Pdf, true);
        check(b"\n\n%PDF-1.4", FileType::Pdf, true);
        check(b"not a %PDF", FileType::Pdf, false);
        check(PNG, FileType::Png, true);
        check(PNG, FileType::Jpeg, false);
        check(PNG, FileType::Pdf, false);
        check(PNG, FileType::Text, false);
        check(b"\xff\xd8\xff\xe0\0\x10JFIF", FileType::Jpeg, true);
        check(b"GIF89a\x01\0\x01\0", FileType::Gif, true);
        check(b"RIFF\x24\0\0\0WEBPVP8 ", FileType::Webp, true);
        check(b"MZ\x90\0\x03\0", FileType::Text, false);
        check(b"\x7fELF\x02\x01", FileType::Markdown, false);
        check(b"PK\x03\x04 and nothing more", FileType::Docx, false);
        check(b"plain words", FileType::Docx, false);
        check(b"%PDF-1.4\n1 0 obj", FileType::Text, false);
    }

    #[test]
    fn texts_of_any_encoding_are_texts() {
        check("BMW: кто, что\tи как\r\n\x0c".as_bytes(), FileType::Text, true);
        // Windows-1251.
        check(b"\xcf\xf0\xe8\xe2\xe5\xf2", FileType::Text, true);
        let wide: Vec<u8> = "\u{feff}# План"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        check(&wide, FileType::Markdown, true);
        let wide: Vec<u8> = "\u{feff}a\0b".encode_utf16().flat_map(u16::to_be_bytes).collect();
        check(&wide, FileType::Markdown, false);
        check(b"a\0b", FileType::Text, false);
        check(b"\x1b[2J", FileType::Text, false);
        let mut late = vec![b'a'; 2 * CHUNK_BYTES];
        late.push(0);
        check(&late, FileType::Text, false);
    }

    #[test]
    fn pages_have_tags() {
        check(b"<!doctype html><p>Hi", FileType::Html, true);
        check(b"\xef\xbb\xbf  <html>", FileType::Html, true);
        check(b"1 < 2", FileType::Html, false);
        check(PNG, FileType::Html, false);
    }
}
