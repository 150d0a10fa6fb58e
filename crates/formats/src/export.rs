//! Exports of a course. A new format is one file below `export/` and one row in the table here.

mod archive;
mod cartridge;
mod characters;
mod cmi5;
mod epub;
mod file_name;
mod gift;
mod html;
mod identity;
mod inline;
mod json;
mod markdown;
mod markup;
mod moodle;
mod olx;
mod package;
mod prose;
mod qti;
mod reading;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
mod scorm;
mod sources;
mod words;
mod written;
mod xml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::analysis::AnalysisResult;
use domain::course::CourseInputs;
use domain::document::CitedSource;
use domain::error::ErrorKind;
use domain::generation::GenerationMetadata;
use domain::id::CourseId;
use domain::lesson::LessonContent;
use domain::quality::QualityReport;
use domain::structure::CourseStructure;

/// Everything that an export may show of a course. Texts are shown as they are stored: unchecked and hostile.
#[derive(Clone, Debug)]
pub struct CourseView<'a> {
    /// The course: identifiers inside packages derive from it, so that a later export replaces an earlier one.
    pub id: CourseId,
    /// What the author asked for.
    pub inputs: &'a CourseInputs,
    /// Sections and lesson specifications.
    pub structure: &'a CourseStructure,
    /// The written lessons by `lesson_number`. A lesson that is missing here is shown as its specification.
    pub lessons: &'a BTreeMap<u32, LessonContent>,
    /// The pieces of documents that the lessons cite. A citation of anything else is not shown.
    pub sources: &'a [CitedSource],
    /// What the reader should know of how the course was made, for example that a small offline model wrote it.
    pub notice: Option<&'a str>,
    /// When the course was made.
    pub generated_at: DateTime<Utc>,
    /// What the analysis found out, for other programs.
    pub analysis: Option<&'a AnalysisResult>,
    /// What it took to make the course, for other programs.
    pub metadata: Option<&'a GenerationMetadata>,
    /// The quality report (generation 3.7), where there is one.
    pub quality: Option<&'a QualityReport>,
}

/// A finished export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// A name for saving it: ASCII letters, digits and hyphens, then the extension.
    pub file_name: String,
    /// Its media type with parameters, for `Content-Type`.
    pub media_type: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Why an export could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A template could not be filled.
    #[error("a page of the course could not be written")]
    Html(#[source] askama::Error),
    /// The document could not be serialised.
    #[error("the JSON document of the course could not be written")]
    Json(#[source] serde_json::Error),
    /// The package could not be put together.
    #[error("the package of the course could not be written")]
    Package(#[source] std::io::Error),
    /// Packages for learners hold written lessons only, and there is none.
    #[error("no lesson of the course is written yet")]
    NothingWritten,
    /// A file of questions was asked for, and there is none.
    #[error("no written lesson of the course has a quiz")]
    NoQuestions,
}

impl ExportError {
    /// What the caller can do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Html(_) | Self::Json(_) | Self::Package(_) => ErrorKind::Internal,
            Self::NothingWritten | Self::NoQuestions => ErrorKind::Conflict,
        }
    }
}

macro_rules! formats {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $short_name:literal, $ending:literal, $media_type:literal, $render:path;)+) => {
        /// A file format of exports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Format {
            $($(#[$doc])* $variant,)+
        }

        impl Format {
            /// Every format.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The name on the command line.
            pub const fn short_name(self) -> &'static str {
                match self { $(Self::$variant => $short_name,)+ }
            }

            /// What the names of its files end with. No two formats have the same, so that all of them can be written
            /// into one folder.
            pub const fn ending(self) -> &'static str {
                match self { $(Self::$variant => $ending,)+ }
            }

            /// The media type of its files.
            pub const fn media_type(self) -> &'static str {
                match self { $(Self::$variant => $media_type,)+ }
            }

            fn render(self, course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
                match self { $(Self::$variant => $render(course),)+ }
            }
        }
    };
}

formats! {
    /// One self-contained page to read, learn from and print.
    Html = "html", "html", ".html", "text/html; charset=utf-8", html::render;
    /// One `CommonMark` file with YAML front matter, to edit elsewhere.
    Markdown = "markdown", "md", ".md", "text/markdown; charset=utf-8", markdown::render;
    /// The course as data, described by a published JSON Schema.
    Json = "json", "json", ".json", "application/json", json::render;
    /// EPUB 3, a book for reading programs.
    Epub = "epub", "epub", ".epub", "application/epub+zip", epub::render;
    /// SCORM 1.2: one SCO a lesson.
    Scorm12 = "scorm12", "scorm12", "-scorm12.zip", "application/zip", scorm::render_12;
    /// SCORM 2004, 4th edition: one SCO a lesson.
    Scorm2004 = "scorm2004", "scorm2004", "-scorm2004.zip", "application/zip", scorm::render_2004;
    /// cmi5: one assignable unit a lesson.
    Cmi5 = "cmi5", "cmi5", "-cmi5.zip", "application/zip", cmi5::render;
    /// IMS Common Cartridge 1.3: pages, and quizzes in QTI 1.2.
    CommonCartridge = "imscc", "imscc", ".imscc", "application/vnd.ims.imsccv1p3", cartridge::render;
    /// The quizzes as a QTI 2.1 package.
    Qti21 = "qti21", "qti21", "-qti21.zip", "application/zip", qti::render_21;
    /// The quizzes as a QTI 3.0 package.
    Qti3 = "qti3", "qti3", "-qti3.zip", "application/zip", qti::render_30;
    /// Open edX OLX.
    Olx = "olx", "olx", "-olx.tar.gz", "application/gzip", olx::render;
    /// The quizzes as Moodle question XML.
    MoodleXml = "moodle-xml", "moodle-xml", "-moodle.xml", "text/xml; charset=utf-8", moodle::render;
    /// The quizzes as GIFT.
    Gift = "gift", "gift", "-gift.txt", "text/plain; charset=utf-8", gift::render;
}

impl Format {
    /// What is written where nobody says what: to read, to edit, and for other programs.
    pub const DEFAULT: &[Self] = &[Self::Html, Self::Markdown, Self::Json];

    /// The format with this name, the long or the short one, upper and lower case folded.
    pub fn from_name(name: &str) -> Option<Self> {
        let wanted = name.trim().to_ascii_lowercase();
        Self::ALL
            .iter()
            .copied()
            .find(|format| format.as_str() == wanted || format.short_name() == wanted)
    }
}

/// Writes `course` as a file of `format`. The same course gives the same bytes.
///
/// # Errors
/// [`ExportError::NothingWritten`] and [`ExportError::NoQuestions`] where a package would be empty; all else is a fault of
/// ours.
pub fn export(format: Format, course: &CourseView<'_>) -> Result<Export, ExportError> {
    Ok(Export {
        file_name: file_name::file_name(&course.structure.course_title, format.ending()),
        media_type: format.media_type(),
        bytes: format.render(course)?,
    })
}
