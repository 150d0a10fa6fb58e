//! The grounding report: what each lesson rests on, what it claims beyond that, and what of the documents is not used
//! (generation 3.7).
//!
//! Every sentence of a block is compared with the pieces that its lesson cites. A likeness under the threshold says that
//! the sources do not speak of it; a judge model, where one is configured that is fit to judge, then says whether that is
//! a fault. Likeness cannot tell a claim from its opposite: only the judge can.

mod coverage;
mod judge;

use std::collections::BTreeMap;

use domain::grounding::{GroundingReport, LessonGrounding, UnsupportedClaim};
use domain::id::ChunkId;
use domain::lesson::LessonContent;
use domain::quality::DocumentCoverage;
use store::chunk::{Chunk, list_document_chunks};

use crate::context::Run;
use crate::error::PipelineError;
use crate::support::{chunk_vectors, claims, nearest, text_vectors};
use crate::transaction::in_system;

/// Sentences of a lesson that are compared at most: the rest of a very long lesson is like its beginning, and every
/// sentence is a run of the embedding model.
const MOST_SENTENCES: usize = 80;

/// What is found of a course with documents.
pub(crate) struct Grounding {
    pub(crate) report: GroundingReport,
    pub(crate) documents: Vec<DocumentCoverage>,
}

/// A lesson with its sentences that no source speaks of.
struct Examined {
    grounding: LessonGrounding,
    /// The pieces that it cites.
    sources: Vec<Chunk>,
    /// Whether this generation wrote it.
    is_new: bool,
}

/// Examines the lessons of a course; `None` without documents. `is_new` tells which lessons this generation wrote: what was
/// judged of the others before stands.
///
/// # Errors
/// Whatever keeps texts from being compared or judged, but not a judge without a usable answer.
pub(crate) async fn examine(
    run: &Run,
    lessons: &[(u32, LessonContent)],
    is_new: impl Fn(u32) -> bool,
) -> Result<Option<Grounding>, PipelineError> {
    let material = run.material().await?;
    if material.is_empty() && material.unreadable.is_empty() {
        return Ok(None);
    }
    let mut chunks: Vec<Vec<Chunk>> = Vec::new();
    for document in &material.documents {
        let id = document.id;
        chunks.push(in_system!(run.store(), |tx| list_document_chunks(tx, id).await)?);
    }
    let by_id: BTreeMap<String, &Chunk> = chunks
        .iter()
        .flatten()
        .map(|chunk| (chunk.id.to_string(), chunk))
        .collect();
    let mut examined = Vec::new();
    for (number, content) in lessons {
        let cited = cited(content);
        let sources: Vec<Chunk> = cited
            .iter()
            .filter_map(|id| by_id.get(id).map(|chunk| (*chunk).clone()))
            .collect();
        let grounding = lesson(run, *number, content, &sources).await?;
        examined.push(Examined {
            grounding,
            sources,
            is_new: is_new(*number),
        });
    }
    judge::judge(run, &mut examined).await?;
    let used: Vec<ChunkId> = examined
        .iter()
        .flat_map(|lesson| lesson.sources.iter().map(|chunk| chunk.id))
        .collect();
    let documents: Vec<DocumentCoverage> = material
        .documents
        .iter()
        .zip(&chunks)
        .map(|(document, chunks)| coverage::of(document, chunks, &used))
        .collect();
    let unused_documents = coverage::unused(run, material, &documents, &chunks);
    let lessons = examined.into_iter().map(|lesson| lesson.grounding).collect();
    Ok(Some(Grounding {
        report: GroundingReport {
            unused_documents,
            lessons,
        },
        documents,
    }))
}

/// The ids that a lesson cites, each once.
fn cited(content: &LessonContent) -> Vec<String> {
    let mut cited: Vec<String> = Vec::new();
    for id in content.blocks.iter().flat_map(|block| &block.citations) {
        if !cited.contains(id) {
            cited.push(id.clone());
        }
    }
    cited
}

/// Compares a lesson's sentences with the pieces that it cites. A lesson that cites nothing claims nothing of the
/// documents: it is listed with no source and no sentence.
async fn lesson(
    run: &Run,
    number: u32,
    content: &LessonContent,
    sources: &[Chunk],
) -> Result<LessonGrounding, PipelineError> {
    let cited_chunks = sources.iter().map(|chunk| chunk.id.to_string()).collect();
    let mut of_blocks: Vec<(&str, String)> = Vec::new();
    if !sources.is_empty() {
        for block in &content.blocks {
            let claims = claims(&block.body).into_iter();
            of_blocks.extend(claims.map(|sentence| (block.title.as_str(), sentence)));
        }
        of_blocks.truncate(MOST_SENTENCES);
    }
    let pieces = chunk_vectors(run, sources).await?;
    let texts: Vec<String> = of_blocks.iter().map(|(_, sentence)| sentence.clone()).collect();
    let vectors = text_vectors(run, &texts).await?;
    let calibration = run.calibration();
    let unsupported = of_blocks
        .iter()
        .zip(&vectors)
        .filter_map(|((block, sentence), vector)| {
            let cosine = nearest(vector, &pieces).map_or(0.0, |(_, cosine)| cosine);
            (cosine < calibration.support_threshold).then(|| UnsupportedClaim {
                block: (*block).to_owned(),
                sentence: sentence.clone(),
                support: f64::from(calibration.similarity(cosine)),
                judgement: None,
            })
        });
    Ok(LessonGrounding {
        lesson_number: number,
        cited_chunks,
        sentences: u32::try_from(of_blocks.len()).unwrap_or(u32::MAX),
        unsupported: unsupported.collect(),
    })
}
