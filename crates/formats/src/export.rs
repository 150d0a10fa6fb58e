//! Exports of a course. A new format is one file below `export/` and one row in the table here.

mod file_name;
mod html;
mod inline;
mod json;
mod markdown;
mod prose;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::analysis::AnalysisResult;
use domain::course::CourseInputs;
use domain::document::CitedSource;
use domain::error::ErrorKind;
mod scorm;
mod sources;
use domain::generation::GenerationMetadata;
use domain::lesson::LessonContent;
use domain::quality::QualityReport;
use domain::structure::CourseStructure;

/// Everything that an export may show of a course. Texts are shown as they are stored: unchecked and hostile.
#[derive(Clone, Debug)]
pub struct CourseView<'a> {
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
    /// The template could not be filled.
    #[error("the HTML page of the course could not be written")]
    Html(#[source] askama::Error),
    /// The document could not be serialised.
    #[error("the JSON document of the course could not be written")]
    Json(#[source] serde_json::Error),
}

impl ExportError {
    /// What the caller can do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Html(_) | Self::Json(_) => ErrorKind::Internal,
        }
    }
}

macro_rules! formats {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $extension:literal, $media_type:literal, $render:path;)+) => {
        /// A file format of exports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Format {
            $($(#[$doc])* $variant,)+
        }

        impl Format {
            /// Every format.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in the API and on the command line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The extension of its files, without the dot.
            pub const fn extension(self) -> &'static str {
                match self { $(Self::$variant => $extension,)+ }
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
    Html = "html", "html", "text/html; charset=utf-8", html::render;
    /// One `CommonMark` file with YAML front matter, to edit elsewhere.
    Markdown = "markdown", "md", "text/markdown; charset=utf-8", markdown::render;
    /// The course as data, described by a published JSON Schema.
    Json = "json", "json", "application/json", json::render;
}

impl Format {
    /// The format with this name or extension, upper and lower case folded.
    pub fn from_name(name: &str) -> Option<Self> {
        let wanted = name.trim().to_ascii_lowercase();
        Self::ALL
            .iter()
            .copied()
            .find(|format| format.as_str() == wanted || format.extension() == wanted)
    }
}

/// Writes `course` as a file of `format`. The same course gives the same bytes.
///
/// # Errors
/// Only for faults of ours: every course that its types allow can be exported.
pub fn export(format: Format, course: &CourseView<'_>) -> Result<Export, ExportError> {
    Ok(Export {
        file_name: file_name::file_name(&course.structure.course_title, format.extension()),
        media_type: format.media_type(),
        bytes: format.render(course)?,
    })
}
