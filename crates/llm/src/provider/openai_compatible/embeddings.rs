//! Vectors from an OpenAI-compatible `/embeddings` endpoint, for example Jina's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::clock::Clock;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::stream::read_body;
use super::{Endpoint, failure, refusal};
use crate::error::ProviderError;
use crate::http_client::http_client_for;
use crate::provider::{Embedder, EmbeddingKind};

/// Texts in one request: providers take at most 128 to 2048.
const TEXTS_PER_REQUEST: usize = 64;
/// Embedding a batch takes seconds; silence for this long is a failure.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// How a model is told what a text is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindMarks {
    /// Put before the text, as E5 models want (`query: `).
    pub prefix: String,
    /// Sent as `task`, as Jina's models want (`retrieval.query`).
    pub task: Option<String>,
}

/// A remote embedding model.
#[derive(Clone, Debug)]
pub struct EmbeddingModel {
    /// The model's id.
    pub model: String,
    /// Length of its vectors.
    pub dimensions: usize,
    /// How questions are marked.
    pub query: KindMarks,
    /// How passages are marked.
    pub passage: KindMarks,
}

impl EmbeddingModel {
    /// Jina's `jina-embeddings-v3`, 1024 dimensions, which is told by `task` what a text is.
    pub fn jina_v3() -> Self {
        let task = |task: &str| KindMarks {
            prefix: String::new(),
            task: Some(task.to_owned()),
        };
        Self {
            model: "jina-embeddings-v3".to_owned(),
            dimensions: 1024,
            query: task("retrieval.query"),
            passage: task("retrieval.passage"),
        }
    }
}

/// Embeds through an OpenAI-compatible endpoint.
pub struct OpenAiEmbedder {
    endpoint: Endpoint,
    model: EmbeddingModel,
    client: reqwest::Client,
    headers: HeaderMap,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for OpenAiEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("OpenAiEmbedder");
        shown
            .field("endpoint", &self.endpoint)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    error: Option<Value>,
    #[serde(default)]
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    index: usize,
    embedding: Vec<f32>,
}

impl OpenAiEmbedder {
    /// A client of `endpoint` for `model`.
    ///
    /// # Errors
    /// [`ProviderError::Setup`] if the base URL or a header is wrong, or TLS cannot be set up.
    pub fn new(
        endpoint: Endpoint,
        model: EmbeddingModel,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        endpoint.url("embeddings")?;
        let headers = endpoint.headers()?;
        Ok(Self {
            client: http_client_for(&endpoint.base_url)?,
            headers,
            endpoint,
            model,
            clock,
        })
    }

    async fn embed_batch(&self, texts: &[String], marks: &KindMarks) -> Result<Vec<Vec<f32>>, ProviderError> {
        let input: Vec<String> = texts
            .iter()
            .map(|text| format!("{}{text}", marks.prefix))
            .collect();
        let mut body = json!({ "model": self.model.model, "input": input });
        if let Some(task) = &marks.task {
            body["task"] = json!(task);
        }
        for (field, value) in &self.endpoint.extra_body {
            body[field] = value.clone();
        }
        let sending = self
            .client
            .post(self.endpoint.url("embeddings")?)
            .headers(self.headers.clone())
            .body(body.to_string())
            .send();
        let response = timeout(IDLE_TIMEOUT, sending)
            .await
            .map_err(|_| ProviderError::Timeout { after: IDLE_TIMEOUT })?
            .map_err(|error| failure::of_sending(&error, &self.endpoint, IDLE_TIMEOUT))?;
        let response = failure::of_status(
            response,
            &self.model.model,
            IDLE_TIMEOUT,
            &self.endpoint,
            &*self.clock,
        )
        .await?;
        let body = read_body(response, IDLE_TIMEOUT).await?;
        let answer: Answer = serde_json::from_str(&body).map_err(|error| ProviderError::BrokenStream {
            reason: format!("not the protocol's JSON: {error}"),
        })?;
        if let Some(error) = answer.error.filter(|error| !failure::is_nothing(error)) {
            let refusal = failure::of_error_object(&error, |text| self.endpoint.redacted(text));
            return Err(refusal::failure(
                &refusal,
                &self.model.model,
                &self.endpoint.host(),
            ));
        }
        self.in_order(answer.data, texts.len())
    }

    fn in_order(&self, mut rows: Vec<Row>, expected: usize) -> Result<Vec<Vec<f32>>, ProviderError> {
        rows.sort_by_key(|row| row.index);
        if rows.len() != expected || rows.iter().enumerate().any(|(place, row)| row.index != place) {
            return Err(ProviderError::Empty);
        }
        rows.into_iter()
            .map(|row| {
                if row.embedding.len() == self.model.dimensions {
                    unit_length(row.embedding)
                } else {
                    Err(ProviderError::Setup(format!(
                        "the embedding model '{}' gives vectors of length {}, configured are {}",
                        self.model.model,
                        row.embedding.len(),
                        self.model.dimensions
                    )))
                }
            })
            .collect()
    }
}

fn unit_length(mut vector: Vec<f32>) -> Result<Vec<f32>, ProviderError> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if !length.is_finite() || length == 0.0 {
        return Err(ProviderError::Empty);
    }
    for x in &mut vector {
        *x /= length;
    }
    Ok(vector)
}

#[async_trait]
impl Embedder for OpenAiEmbedder {
    fn model(&self) -> &str {
        &self.model.model
    }

    fn dimensions(&self) -> usize {
        self.model.dimensions
    }

    async fn embed(&self, texts: &[String], kind: EmbeddingKind) -> Result<Vec<Vec<f32>>, ProviderError> {
        let marks = match kind {
            EmbeddingKind::Query => &self.model.query,
            EmbeddingKind::Passage => &self.model.passage,
        };
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(TEXTS_PER_REQUEST) {
            vectors.extend(self.embed_batch(batch, marks).await?);
        }
        Ok(vectors)
    }
}
