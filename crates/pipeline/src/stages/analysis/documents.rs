//! Phase 5: which documents serve which section, and what to search them for (data model 2.4).
//!
//! A section's title and topics find its documents; a large model first says what else to search for, in the documents'
//! own terms.

use std::collections::BTreeMap;

use domain::analysis::{SectionDocuments, SectionPlan};
use domain::id::DocumentId;
use domain::stage::Stage;
use llm::route::Work;
use minijinja::Value;
use schemars::JsonSchema;
use serde::Deserialize;
use store::chunk::Chunk;

use super::Phase;
use crate::attempts::Patience;
use crate::context::Run;
use crate::engine::{Effort, Question};
use crate::error::PipelineError;
use crate::quality::cosine;
use crate::retrieval::{Piece, RetrieveOptions, Retrieved, retrieve};
use crate::sources::{SECTION_PIECES, is_usable};
use crate::support::{chunk_vectors, text_vectors};
use crate::vars::vars;
use crate::{data, schema};

/// Chunks that a section prefers: what its lessons are planned from at least.
const PREFERRED_CHUNKS: usize = 12;
/// Queries that are kept of one section.
const MOST_QUERIES: usize = 8;
/// Pieces whose likeness to the section is its confidence.
const CONFIDENCE_PIECES: usize = 3;
/// Tokens of the longest answer with queries: fifty sections fit.
const QUERIES_OUTPUT_TOKENS: u32 = 6000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Queries {
    sections: Vec<SectionQueries>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SectionQueries {
    #[schemars(length(max = 5), inner(length(min = 3, max = 200)))]
    search_queries: Vec<String>,
}

/// Finds the documents of every section.
///
/// # Errors
/// Whatever keeps the queries from being made or the documents from being searched.
pub(super) async fn phase(
    run: &Run,
    plans: &[SectionPlan],
) -> Result<Phase<Vec<SectionDocuments>>, PipelineError> {
    let has_words = run.material().await?.teaching().next().is_some();
    let (proposed, effort) = if run.is_small() || !has_words {
        (vec![Vec::new(); plans.len()], Effort::default())
    } else {
        Box::pin(proposed(run, plans)).await?
    };
    let mut found = Vec::new();
    for (plan, proposed) in plans.iter().zip(proposed) {
        let mut queries = vec![plan.area.clone()];
        queries.extend(proposed);
        queries.extend(plan.key_topics.iter().cloned());
        queries.dedup();
        queries.truncate(MOST_QUERIES);
        found.push(section(run, plan, queries).await?);
    }
    let confidence: f64 = found.iter().map(|of| of.confidence).sum();
    let similarity = (!found.is_empty()).then(|| confidence / found.len() as f64);
    Ok(Phase {
        result: found,
        effort,
        similarity,
    })
}

/// What a large model would search for, a list a section.
async fn proposed(run: &Run, plans: &[SectionPlan]) -> Result<(Vec<Vec<String>>, Effort), PipelineError> {
    let sections: Vec<Value> = plans
        .iter()
        .map(|plan| vars! { id => plan.section_id, area => plan.area, topics => plan.key_topics })
        .collect();
    let data = vars! {
        course => data::course(run),
        documents => data::document_outlines(run).await?,
        plan => sections,
    };
    let mut shape = schema::of::<Queries>();
    shape["properties"]["sections"]["minItems"] = plans.len().into();
    shape["properties"]["sections"]["maxItems"] = plans.len().into();
    let question = Question {
        stage: Stage::Analysis,
        phase: "documents".to_owned(),
        batch: 0,
        work: Work::Analysis,
        complexity: None,
        prompt: run.prompts().render("analysis_documents", &data)?,
        hint: None,
        shape: "documents",
        schema: shape,
        max_output_tokens: QUERIES_OUTPUT_TOKENS,
        temperature: None,
        mend: None,
        check: None,
        gate: None,
        ignores_earlier_rounds: false,
        // Titles and topics find most of it too.
        patience: Patience::WhileModelsDiffer,
    };
    let answer = match run.ask(question).await {
        Ok(answer) => answer,
        Err(PipelineError::Unusable { problem, .. }) => {
            tracing::warn!(
                problem,
                "no queries for the documents: titles and topics are searched for"
            );
            return Ok((vec![Vec::new(); plans.len()], Effort::default()));
        }
        Err(error) => return Err(error),
    };
    let queries: Queries = serde_json::from_value(answer.value).map_err(|cause| PipelineError::Shape {
        what: "the queries for the documents".to_owned(),
        cause,
    })?;
    let lists = queries.sections.into_iter().map(|section| section.search_queries);
    Ok((lists.collect(), answer.effort))
}

async fn section(
    run: &Run,
    plan: &SectionPlan,
    queries: Vec<String>,
) -> Result<SectionDocuments, PipelineError> {
    let options = RetrieveOptions {
        limit: SECTION_PIECES,
        max_tokens: run.models().budget_for(Work::Section, 0).context_beside(0),
        documents: None,
        piece: Piece::Small,
    };
    let mut pieces = retrieve(run.services(), run.course().id, &queries, &options).await?;
    pieces.retain(|piece| is_usable(&piece.chunk.text, run.language()));
    let chunks = pieces
        .iter()
        .take(PREFERRED_CHUNKS)
        .map(|piece| piece.chunk.id.to_string());
    Ok(SectionDocuments {
        section_id: plan.section_id.clone(),
        documents: by_weight(&pieces).iter().map(ToString::to_string).collect(),
        chunks: chunks.collect(),
        search_queries: queries,
        confidence: confidence(run, plan, &pieces).await?,
    })
}

/// The documents of the pieces, the one with the best pieces first: a piece counts for the less the later it comes.
fn by_weight(pieces: &[Retrieved]) -> Vec<DocumentId> {
    let mut weights: BTreeMap<DocumentId, f64> = BTreeMap::new();
    for (piece, rank) in pieces.iter().zip(1u32..) {
        *weights.entry(piece.document_id).or_default() += f64::from(rank).recip();
    }
    let mut documents: Vec<(f64, DocumentId)> =
        weights.into_iter().map(|(id, weight)| (weight, id)).collect();
    documents.sort_by(|left, right| right.0.total_cmp(&left.0));
    documents.into_iter().map(|(_, id)| id).collect()
}

/// How near the first pieces come to the section, 0 to 1 on the reference scale.
async fn confidence(run: &Run, plan: &SectionPlan, pieces: &[Retrieved]) -> Result<f64, PipelineError> {
    let first: Vec<Chunk> = pieces
        .iter()
        .take(CONFIDENCE_PIECES)
        .map(|piece| piece.chunk.clone())
        .collect();
    if first.is_empty() {
        return Ok(0.0);
    }
    let brief = format!("{}: {}", plan.area, plan.key_topics.join("; "));
    let briefs = text_vectors(run, &[brief]).await?;
    let vectors = chunk_vectors(run, &first).await?;
    let calibration = run.calibration();
    let likeness = |vector: &Vec<f32>| {
        let cosine = briefs.first().map_or(0.0, |brief| cosine(brief, vector));
        f64::from(calibration.similarity(cosine))
    };
    Ok(vectors.iter().map(likeness).sum::<f64>() / vectors.len() as f64)
}
