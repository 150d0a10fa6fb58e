//! The job-sized steps of a generation (generation 3.1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::generation::{GenerationStatus, Step};

/// A job-sized step of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Documents: extract, split, summarise, embed, index.
    DocumentProcessing,
    /// The five phases of the analysis.
    Analysis,
    /// Metadata, sections, validation, saving.
    Structure,
    /// Lesson texts.
    Content,
    /// Cross-lesson checks, totals, quality report.
    Finalization,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 5] = [
        Self::DocumentProcessing,
        Self::Analysis,
        Self::Structure,
        Self::Content,
        Self::Finalization,
    ];

    /// The name in JSON, in the queue and in `model_calls`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DocumentProcessing => "document_processing",
            Self::Analysis => "analysis",
            Self::Structure => "structure",
            Self::Content => "content",
            Self::Finalization => "finalization",
        }
    }

    /// The generation's status while the stage runs.
    pub const fn status(self) -> GenerationStatus {
        match self {
            Self::DocumentProcessing => GenerationStatus::ProcessingDocuments,
            Self::Analysis => GenerationStatus::AnalyzingTask,
            Self::Structure => GenerationStatus::GeneratingStructure,
            Self::Content => GenerationStatus::GeneratingContent,
            Self::Finalization => GenerationStatus::Finalizing,
        }
    }

    /// The step that front ends show.
    pub const fn step(self) -> Step {
        match self {
            Self::DocumentProcessing | Self::Analysis => Step::Understanding,
            Self::Structure => Step::Structure,
            Self::Content => Step::Content,
            Self::Finalization => Step::Finalization,
        }
    }

    /// What follows; `None` after the last.
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::DocumentProcessing => Some(Self::Analysis),
            Self::Analysis => Some(Self::Structure),
            Self::Structure => Some(Self::Content),
            Self::Content => Some(Self::Finalization),
            Self::Finalization => None,
        }
    }
}
