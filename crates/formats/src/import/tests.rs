//! What holds for all formats.

use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

/// An archive of these files.
pub(super) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn names_tell_formats() {
    let check = |name: &str, expected: Option<&str>| {
        assert_eq!(
            DocumentFormat::of_file_name(name).map(DocumentFormat::as_str),
            expected,
            "{name}"
        );
    };
    check("План.PDF", Some("pdf"));
    check("a.b.docx", Some("docx"));
    check("page.htm", Some("html"));
    check("scan.jpeg", Some("image"));
    check("notes.md", Some("markdown"));
    check("old.doc", None);
    check("pdf", None);
    for format in DocumentFormat::ALL {
        assert_eq!(DocumentFormat::of_word(format.as_str()), Some(format));
    }
}

#[test]
fn no_format_gives_an_empty_text() {
    let limits = ImportLimits::default();
    for format in DocumentFormat::ALL {
        assert_eq!(
            extract(format, b"", &limits).unwrap_err().code(),
            "malformed",
            "{format:?}"
        );
    }
    for (format, bytes) in [
        (DocumentFormat::Text, &b" \n\t "[..]),
        (DocumentFormat::Markdown, b"---\n\n---\n"),
        (DocumentFormat::Html, b"<html><nav>Menu</nav><script>x</script>"),
    ] {
        assert_eq!(
            extract(format, bytes, &limits).unwrap_err(),
            ImportError::NoText,
            "{format:?}"
        );
    }
}

#[test]
fn pictures_are_left_to_text_recognition() {
    let error = extract(DocumentFormat::Image, b"\x89PNG", &ImportLimits::default()).unwrap_err();
    assert_eq!(error, ImportError::NeedsOcr { pages: vec![1] });
    assert!(error.to_string().starts_with("page 1 without text"), "{error}");
}

#[test]
fn older_and_encrypted_office_files_are_told_apart() {
    let limits = ImportLimits::default();
    let mut old = vec![0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1];
    old.extend([0; 600]);
    assert_eq!(
        extract(DocumentFormat::Docx, &old, &limits).unwrap_err().code(),
        "unsupported"
    );
    old.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
    assert_eq!(
        extract(DocumentFormat::Docx, &old, &limits).unwrap_err(),
        ImportError::Encrypted
    );
}

#[test]
fn pages_are_named_in_ranges() {
    assert_eq!(page_words(&[3]), "page 3");
    assert_eq!(page_words(&[1, 2, 3, 7, 9, 10]), "pages 1-3, 7, 9-10");
    let odd: Vec<u32> = (0..50).map(|number| number * 2 + 1).collect();
    assert_eq!(page_words(&odd), "50 pages");
}

#[test]
fn missing_pages_are_a_warning() {
    let extraction = Extraction {
        unread_pages: vec![2, 3],
        ..Extraction::default()
    };
    let warnings = extraction.into_text().warnings;
    assert!(warnings[0].starts_with("pages 2-3 left out"), "{warnings:?}");
}

#[test]
fn errors_survive_the_way_through_json() {
    let errors = [
        ImportError::Encrypted,
        ImportError::malformed("x"),
        ImportError::TooLarge {
            excess: Excess::Pages,
            limit: 3,
        },
        ImportError::NoText,
        ImportError::NeedsOcr { pages: vec![1, 4] },
        ImportError::Unsupported {
            found: "a".to_owned(),
            advice: "b".to_owned(),
        },
    ];
    for error in errors {
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(json["code"], error.code());
        assert_eq!(serde_json::from_value::<ImportError>(json).unwrap(), error);
    }
}
