//! The types of files that courses are made from.

/// A type of file, as tiers name it (service 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FileType {
    Pdf,
    Docx,
    Pptx,
    Html,
    Epub,
    Text,
    Markdown,
    Png,
    Jpeg,
    Gif,
    Webp,
}

/// One row: the word of tiers, the extensions, the MIME types that may be declared, the first being the one that is
/// kept.
struct Row {
    word: &'static str,
    extensions: &'static [&'static str],
    mime_types: &'static [&'static str],
}

impl FileType {
    /// Every type.
    pub(crate) const ALL: [Self; 11] = [
        Self::Pdf,
        Self::Docx,
        Self::Pptx,
        Self::Html,
        Self::Epub,
        Self::Text,
        Self::Markdown,
        Self::Png,
        Self::Jpeg,
        Self::Gif,
        Self::Webp,
    ];

    /// The type that a file's name claims.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        let extension = extension.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|kind| kind.row().extensions.contains(&extension.as_str()))
    }

    /// Whether a declared MIME type, with or without parameters, may stand for this type.
    pub(crate) fn may_be_declared_as(self, mime_type: &str) -> bool {
        let essence = mime_type.split(';').next().unwrap_or_default().trim();
        let mut accepted = self.row().mime_types.iter();
        accepted.any(|accepted| accepted.eq_ignore_ascii_case(essence))
    }

    /// The word in the list of a tier's formats.
    pub(crate) const fn word(self) -> &'static str {
        self.row().word
    }

    /// The MIME type that is kept.
    pub(crate) const fn mime_type(self) -> &'static str {
        self.row().mime_types[0]
    }

    /// The usual endings of all types, for people.
    pub(crate) fn endings() -> String {
        let endings = Self::ALL.into_iter().map(|kind| kind.row().extensions[0]);
        endings.collect::<Vec<_>>().join(", ")
    }

    const fn row(self) -> Row {
        let (word, extensions, mime_types): (_, &[_], &[_]) = match self {
            Self::Pdf => ("pdf", &["pdf"], &["application/pdf"]),
            Self::Docx => (
                "docx",
                &["docx"],
                &["application/vnd.openxmlformats-officedocument.wordprocessingml.document"],
            ),
            Self::Pptx => (
                "pptx",
                &["pptx"],
                &["application/vnd.openxmlformats-officedocument.presentationml.presentation"],
            ),
            Self::Html => ("html", &["html", "htm"], &["text/html", "application/xhtml+xml"]),
            // Pages of HTML in an archive: whoever may bring pages may bring books.
            Self::Epub => ("html", &["epub"], &["application/epub+zip"]),
            Self::Text => ("txt", &["txt"], &["text/plain"]),
            // Many systems know no type for Markdown and say that it is text.
            Self::Markdown => (
                "md",
                &["md", "markdown"],
                &["text/markdown", "text/x-markdown", "text/plain"],
            ),
            Self::Png => ("png", &["png"], &["image/png"]),
            Self::Jpeg => ("jpg", &["jpg", "jpeg"], &["image/jpeg"]),
            Self::Gif => ("gif", &["gif"], &["image/gif"]),
            Self::Webp => ("webp", &["webp"], &["image/webp"]),
        };
        Row {
            word,
            extensions,
            mime_types,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_mime_type_must_agree() {
        let check = |name: &str, mime: &str, expected: Option<&str>| {
            let found = FileType::of_name(name).filter(|kind| kind.may_be_declared_as(mime));
            assert_eq!(found.map(FileType::word), expected, "{name} as {mime}");
        };
        check("a.pdf", "application/pdf", Some("pdf"));
        check("ПЛАН.PDF", "Application/PDF", Some("pdf"));
        check("a.tar.md", "text/plain; charset=utf-8", Some("md"));
        check("a.txt", "text/markdown", None);
        check("a.pdf", "text/plain", None);
        check("a.exe", "application/pdf", None);
        check("pdf", "application/pdf", None);
        check("a.pdf ", "application/pdf", None);
        check("a.docx", "application/zip", None);
        check("a.jpeg", "image/jpeg", Some("jpg"));
        check("a.epub", "application/epub+zip", Some("html"));
        check("a.epub", "text/html", None);
        check("a.svg", "image/svg+xml", None);
        check("a.docm", "application/vnd.ms-word.document.macroEnabled.12", None);
    }
}
