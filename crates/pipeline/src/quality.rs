//! The semantic gate: how close a text is to what was asked, on the reference scale (generation 3.7).

use domain::language::Language;
use domain::quality::RUSSIAN_ALLOWANCE;
use llm::provider::EmbeddingKind;

use crate::context::Run;
use crate::error::PipelineError;

/// The longest text that is compared, in characters: embedding models read about 512 tokens.
const COMPARED_CHARACTERS: usize = 2000;

/// The similarity of a text to its brief, 0 to 1 on the reference scale.
///
/// # Errors
/// [`PipelineError::Embedding`] when the embedding model fails.
pub(crate) async fn similarity(run: &Run, brief: &str, text: &str) -> Result<f64, PipelineError> {
    let vectors = embed(run, &[brief.to_owned(), text.to_owned()]).await?;
    let raw = vectors
        .first()
        .zip(vectors.get(1))
        .map_or(0.0, |(a, b)| cosine(a, b));
    Ok(f64::from(run.calibration().similarity(raw)))
}

/// One vector a text, for comparing texts with each other.
///
/// # Errors
/// [`PipelineError::Embedding`] when the embedding model fails.
pub(crate) async fn embed(run: &Run, texts: &[String]) -> Result<Vec<Vec<f32>>, PipelineError> {
    let texts: Vec<String> = texts
        .iter()
        .map(|text| text.chars().take(COMPARED_CHARACTERS).collect())
        .collect();
    match run
        .models()
        .embed(&texts, EmbeddingKind::Query, run.cancel())
        .await
    {
        Ok(vectors) => Ok(vectors),
        Err(llm::error::ProviderError::Cancelled) => Err(PipelineError::Cancelled),
        Err(error) => Err(PipelineError::Embedding(error)),
    }
}

/// The cosine of two unit vectors.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// A threshold as it applies to a course's language.
pub(crate) fn threshold_in(language: Language, threshold: f64) -> f64 {
    if language == Language::Russian {
        threshold - RUSSIAN_ALLOWANCE
    } else {
        threshold
    }
}
