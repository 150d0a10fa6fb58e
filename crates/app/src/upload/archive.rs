//! Office documents and books: zip archives with a certain content, and with limits that no bomb passes.

use std::fs::File;
use std::io::{self, BufReader, Read};

use zip::ZipArchive;

use super::content::ContentError;
use super::file_type::FileType;

/// Files in one archive; large presentations have a few thousand.
const MOST_FILES: usize = 20_000;
/// All files of one archive, unpacked, in bytes: five times the largest upload of the highest tier.
const MOST_UNPACKED_BYTES: u64 = 512 << 20;
/// How many times smaller than its content an archive may be; text in XML reaches about 30, zip bombs 1000.
const MOST_RATIO: u64 = 200;
/// Below this size, in bytes, the ratio says nothing: an empty sheet packs well.
const SMALL_BYTES: u64 = 10 << 20;
/// The longest list of content types, in bytes.
const MOST_TYPES_BYTES: u64 = 4 << 20;
/// The file that says what an office document is (ECMA-376 part 2, 10.1.2.2).
const TYPES_FILE: &str = "[Content_Types].xml";
/// The file that says that an archive is a book (EPUB Open Container Format 3.3, 4.3).
const BOOK_FILE: &str = "mimetype";

/// Unpacks everything into nothing and looks at what it is.
///
/// # Errors
/// [`ContentError`].
pub(super) fn check(file: &mut File, kind: FileType) -> Result<(), ContentError> {
    let packed = file.metadata()?.len();
    let limit = packed
        .saturating_mul(MOST_RATIO)
        .clamp(SMALL_BYTES, MOST_UNPACKED_BYTES);
    let mut archive = ZipArchive::new(BufReader::new(&mut *file)).map_err(|_| ContentError::OtherType)?;
    if archive.len() > MOST_FILES {
        return Err(ContentError::UnsafeArchive("it has too many files"));
    }
    let mut unpacked: u64 = 0;
    let mut types = None;
    let types_file = if kind == FileType::Epub {
        BOOK_FILE
    } else {
        TYPES_FILE
    };
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|_| ContentError::OtherType)?;
        if entry.encrypted() {
            return Err(ContentError::UnsafeArchive("it is encrypted"));
        }
        if entry.enclosed_name().is_none() || entry.is_symlink() {
            return Err(ContentError::UnsafeArchive("a file in it lies outside of it"));
        }
        let name = entry.name().map_err(|_| ContentError::OtherType)?.into_owned();
        let is_macro = name.to_ascii_lowercase().ends_with("vbaproject.bin");
        // What the list says is believed only where it is too much already.
        let is_too_large = unpacked.saturating_add(entry.size()) > limit;
        drop(entry);
        if is_macro {
            return Err(ContentError::OtherType);
        }
        if is_too_large {
            return Err(ContentError::UnsafeArchive("it is too large when unpacked"));
        }
        let mut entry = archive.by_index(index).map_err(|_| ContentError::OtherType)?;
        if name == types_file && types.is_none() {
            let mut text = Vec::new();
            read(&mut entry.by_ref().take(MOST_TYPES_BYTES), &mut text)?;
            unpacked += text.len() as u64;
            types = Some(text);
        }
        let mut rest = entry.take(limit - unpacked + 1);
        unpacked += read(&mut rest, &mut io::sink())?;
        if unpacked > limit {
            return Err(ContentError::UnsafeArchive("it is too large when unpacked"));
        }
    }
    let types = String::from_utf8(types.unwrap_or_default()).map_err(|_| ContentError::OtherType)?;
    let is_of_type = match kind {
        FileType::Epub => types.trim() == kind.mime_type(),
        _ => types.contains(&format!("\"{}.main+xml\"", kind.mime_type())),
    };
    if is_of_type {
        Ok(())
    } else {
        Err(ContentError::OtherType)
    }
}

/// Unpacks; damaged data is data of another type.
fn read(from: &mut impl Read, to: &mut impl io::Write) -> Result<u64, ContentError> {
    io::copy(from, to).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            ContentError::OtherType
        }
        _ => ContentError::Io(error),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// An archive of these files.
    pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn types(kind: FileType) -> Vec<u8> {
        format!(
            "<Types><Override PartName=\"/main.xml\" ContentType=\"{}.main+xml\"/></Types>",
            kind.mime_type()
        )
        .into_bytes()
    }

    #[track_caller]
    fn checked(bytes: &[u8], kind: FileType) -> Result<(), ContentError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        check(&mut file, kind)
    }

    #[test]
    fn an_office_document_is_what_its_list_of_types_says() {
        let docx = archive(&[
            (TYPES_FILE, &types(FileType::Docx)),
            ("word/document.xml", b"<w/>"),
        ]);
        checked(&docx, FileType::Docx).unwrap();
        let other = checked(&docx, FileType::Pptx);
        assert!(matches!(other, Err(ContentError::OtherType)), "{other:?}");
        for files in [
            vec![("notes.txt", b"hello".to_vec())],
            vec![
                (TYPES_FILE, types(FileType::Docx)),
                ("word/vbaProject.bin", b"macros".to_vec()),
            ],
        ] {
            let files: Vec<_> = files
                .iter()
                .map(|(name, bytes)| (*name, bytes.as_slice()))
                .collect();
            let found = checked(&archive(&files), FileType::Docx);
            assert!(matches!(found, Err(ContentError::OtherType)), "{found:?}");
        }
        let truncated = checked(&docx[..docx.len() - 30], FileType::Docx);
        assert!(matches!(truncated, Err(ContentError::OtherType)), "{truncated:?}");
    }

    #[test]
    fn bombs_are_refused() {
        let zeros = vec![0; 12 << 20];
        let bomb = archive(&[
            (TYPES_FILE, &types(FileType::Docx)),
            ("word/document.xml", &zeros),
        ]);
        assert!(bomb.len() < 100_000);
        let found = checked(&bomb, FileType::Docx);
        assert!(matches!(found, Err(ContentError::UnsafeArchive(_))), "{found:?}");
    }

    #[test]
    fn a_bomb_that_lies_about_its_size_is_refused() {
        let zeros = vec![0; 12 << 20];
        let mut bomb = archive(&[
            (TYPES_FILE, &types(FileType::Docx)),
            ("word/document.xml", &zeros),
        ]);
        // The unpacked size, in the file's own header and in the list, becomes small.
        let size = u32::try_from(zeros.len()).unwrap().to_le_bytes();
        let mut changed = 0;
        for at in 0..bomb.len() - 4 {
            if bomb[at..at + 4] == size {
                bomb[at..at + 4].copy_from_slice(&100_u32.to_le_bytes());
                changed += 1;
            }
        }
        assert!(changed >= 1);
        assert!(checked(&bomb, FileType::Docx).is_err());
    }

    #[test]
    fn files_that_would_be_written_outside_are_refused() {
        for name in ["../../etc/passwd", "word/../../passwd"] {
            let found = checked(
                &archive(&[(TYPES_FILE, &types(FileType::Docx)), (name, b"root")]),
                FileType::Docx,
            );
            assert!(
                matches!(found, Err(ContentError::UnsafeArchive(_))),
                "{name}: {found:?}"
            );
        }
    }

    #[test]
    fn too_many_files_are_refused() {
        let names: Vec<_> = (0..=MOST_FILES).map(|number| number.to_string()).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        let found = checked(&archive(&files), FileType::Docx);
        assert!(matches!(found, Err(ContentError::UnsafeArchive(_))), "{found:?}");
    }
}
