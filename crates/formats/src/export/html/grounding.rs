//! What a course made from documents rests on, for its author: unused documents first.

use domain::grounding::{LessonGrounding, UnsupportedClaim};
use domain::quality::DocumentCoverage;

use crate::export::CourseView;
use crate::export::inline::{self, SafeHtml};

/// The report as the page shows it.
#[derive(Debug)]
pub(super) struct GroundingPart {
    /// Documents that no lesson uses, each with the reason.
    pub(super) unused: Vec<(SafeHtml, SafeHtml)>,
    /// How much of each document is used.
    pub(super) documents: Vec<DocumentPart>,
    /// What each written lesson rests on.
    pub(super) lessons: Vec<LessonPart>,
    /// Whether sentences were compared with their sources at all.
    pub(super) is_compared: bool,
}

/// A row of the table of documents.
#[derive(Debug)]
pub(super) struct DocumentPart {
    pub(super) name: SafeHtml,
    pub(super) used: u32,
    pub(super) all: u32,
    pub(super) unused_parts: Vec<SafeHtml>,
}

/// A row of the table of lessons.
#[derive(Debug)]
pub(super) struct LessonPart {
    /// The lesson's number on the page.
    pub(super) number: usize,
    pub(super) title: SafeHtml,
    pub(super) sources: usize,
    pub(super) sentences: u32,
    pub(super) unsupported: Vec<ClaimPart>,
}

/// A sentence that its sources do not bear out.
#[derive(Debug)]
pub(super) struct ClaimPart {
    pub(super) block: SafeHtml,
    pub(super) sentence: SafeHtml,
    pub(super) judgement: Option<SafeHtml>,
}

impl GroundingPart {
    /// The report of a course, where there is one.
    pub(super) fn of(course: &CourseView<'_>) -> Option<Self> {
        let quality = course.quality?;
        let report = quality.grounding.as_ref()?;
        let lessons: Vec<LessonPart> = course
            .structure
            .lessons()
            .zip(1..)
            .filter_map(|((_, lesson), number)| {
                let grounding = report
                    .lessons
                    .iter()
                    .find(|grounding| grounding.lesson_number == lesson.lesson_number)?;
                Some(LessonPart::of(number, &lesson.lesson_title, grounding))
            })
            .collect();
        Some(Self {
            unused: report
                .unused_documents
                .iter()
                .map(|unused| (inline::html(&unused.name), inline::html(&unused.reason)))
                .collect(),
            documents: quality.documents.iter().map(DocumentPart::of).collect(),
            is_compared: lessons.iter().any(|lesson| lesson.sentences > 0),
            lessons,
        })
    }
}

impl DocumentPart {
    fn of(coverage: &DocumentCoverage) -> Self {
        Self {
            name: inline::html(&coverage.name),
            used: coverage.used_chunks,
            all: coverage.chunks,
            unused_parts: inline::html_all(&coverage.unused_parts),
        }
    }
}

impl LessonPart {
    fn of(number: usize, title: &str, grounding: &LessonGrounding) -> Self {
        Self {
            number,
            title: inline::html(title),
            sources: grounding.cited_chunks.len(),
            sentences: grounding.sentences,
            unsupported: grounding.unsupported.iter().map(ClaimPart::of).collect(),
        }
    }
}

impl ClaimPart {
    fn of(claim: &UnsupportedClaim) -> Self {
        Self {
            block: inline::html(&claim.block),
            sentence: inline::html(&claim.sentence),
            judgement: claim.judgement.as_deref().map(inline::html),
        }
    }
}
