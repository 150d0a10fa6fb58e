//! The embedding model: a BERT encoder over 4-bit weights, mean-pooled.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use rayon::prelude::*;
use tokio::sync::OnceCell;

use super::EmbeddedError;
use super::attention::{Memory, Scratch};
use super::container::{Container, Sizes};
use super::linear::{Linear, RawMatrix};
use super::numeric::{add, gelu, layer_norm};
use super::pieces::Pieces;
use crate::error::ProviderError;
use crate::provider::{Embedder, EmbeddingKind};

/// Length of the vectors of multilingual-e5-small.
pub const DIMENSIONS: usize = 384;
/// The longest text in tokens; what is beyond is not read (model card of multilingual-e5-small).
const MAX_TOKENS: usize = 512;
/// Tokens that go through the network at once.
const BATCH_TOKENS: usize = 512;

/// multilingual-e5-small in this process. It is loaded at the first call.
pub struct EmbeddedEmbedder {
    path: PathBuf,
    model: String,
    encoder: OnceCell<Arc<Encoder>>,
}

impl std::fmt::Debug for EmbeddedEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedEmbedder")
            .field("model", &self.model)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl EmbeddedEmbedder {
    /// Remembers where the model is; nothing is read yet. `model` is the id that the card names.
    pub fn new(path: impl Into<PathBuf>, model: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            model: model.into(),
            encoder: OnceCell::new(),
        }
    }

    /// The tokens of `text` as the model reads them, without a prefix.
    ///
    /// # Errors
    /// [`ProviderError::Setup`] if the model cannot be loaded.
    pub async fn tokens(&self, text: &str) -> Result<Vec<u32>, ProviderError> {
        Ok(self.encoder().await?.tokens(text))
    }

    async fn encoder(&self) -> Result<Arc<Encoder>, ProviderError> {
        let load = || async {
            let path = self.path.clone();
            let loaded = tokio::task::spawn_blocking(move || Encoder::load(&path)).await;
            let path = self.path.display();
            loaded
                .map_err(|_| ProviderError::Setup(format!("{path}: loading the embedding model broke off")))?
                .map(Arc::new)
                .map_err(|error| ProviderError::Setup(format!("{path}: {}", error.in_full())))
        };
        self.encoder.get_or_try_init(load).await.cloned()
    }
}

#[async_trait]
impl Embedder for EmbeddedEmbedder {
    fn model(&self) -> &str {
        &self.model
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    async fn embed(&self, texts: &[String], kind: EmbeddingKind) -> Result<Vec<Vec<f32>>, ProviderError> {
        let encoder = self.encoder().await?;
        // The model was trained with these words before every text.
        let prefix = match kind {
            EmbeddingKind::Query => "query: ",
            EmbeddingKind::Passage => "passage: ",
        };
        let texts: Vec<String> = texts.iter().map(|text| format!("{prefix}{text}")).collect();
        let embed = move || encoder.embed(&texts);
        tokio::task::spawn_blocking(embed)
            .await
            .map_err(|_| ProviderError::Setup("the embedding model broke off".to_owned()))?
            .map_err(|error| ProviderError::Setup(error.in_full()))
    }
}

struct Layer {
    query_key_value: Linear,
    output: Linear,
    output_norm: (Vec<f32>, Vec<f32>),
    inner: Linear,
    outer: Linear,
    outer_norm: (Vec<f32>, Vec<f32>),
}

/// The network.
pub(super) struct Encoder {
    sizes: Sizes,
    pieces: Pieces,
    words: RawMatrix,
    positions: Vec<f32>,
    kind: Vec<f32>,
    norm: (Vec<f32>, Vec<f32>),
    layers: Vec<Layer>,
}

impl Encoder {
    pub(super) fn load(path: &Path) -> Result<Self, EmbeddedError> {
        let mut container = Container::parse(std::fs::read(path)?)?;
        let sizes = container.sizes;
        if sizes.width != DIMENSIONS {
            return Err(EmbeddedError::Damaged(
                "the embedding model has vectors of an unexpected length",
            ));
        }
        let pieces = Pieces::new(&mut container);
        // Token types are not used: the first type's vector is added to every token.
        let mut kind = container
            .vector("emb.type", 2 * sizes.width)
            .or_else(|_| container.vector("emb.type", sizes.width))?;
        kind.truncate(sizes.width);
        let layers = (0..sizes.layers)
            .map(|index| Layer::load(&container, index))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            sizes,
            pieces,
            words: container.matrix("emb.word", sizes.vocabulary, sizes.width)?,
            positions: container.vector("emb.pos", sizes.positions * sizes.width)?,
            kind,
            norm: norm(&container, "emb.ln")?,
            layers,
        })
    }

    /// The tokens of `text`.
    pub(super) fn tokens(&self, text: &str) -> Vec<u32> {
        self.pieces.encode(text, MAX_TOKENS.min(self.sizes.positions))
    }

    /// One unit vector a text. Texts go through the network together, so that weights are read less often.
    pub(super) fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbeddedError> {
        let tokens: Vec<Vec<u32>> = texts.iter().map(|text| self.tokens(text)).collect();
        let mut vectors = Vec::with_capacity(texts.len());
        let mut batch: Vec<&[u32]> = Vec::new();
        let mut size = 0;
        for text in &tokens {
            if size + text.len() > BATCH_TOKENS && !batch.is_empty() {
                vectors.extend(self.forward(&batch)?);
                batch.clear();
                size = 0;
            }
            size += text.len();
            batch.push(text);
        }
        if !batch.is_empty() {
            vectors.extend(self.forward(&batch)?);
        }
        Ok(vectors)
    }

    fn forward(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>, EmbeddedError> {
        let width = self.sizes.width;
        let mut states = Vec::new();
        for text in texts {
            for (token, position) in text.iter().zip(self.positions.chunks_exact(width)) {
                let word = self.words.row(*token as usize)?;
                states.extend(
                    word.iter()
                        .zip(position)
                        .zip(&self.kind)
                        .map(|((word, position), kind)| word + position + kind),
                );
            }
        }
        layer_norm(&mut states, &self.norm.0, &self.norm.1, self.sizes.epsilon);
        for layer in &self.layers {
            let projected = layer.query_key_value.forward(&states)?;
            add(
                &mut states,
                &layer.output.forward(&self.attend(texts, &projected))?,
            );
            layer_norm(
                &mut states,
                &layer.output_norm.0,
                &layer.output_norm.1,
                self.sizes.epsilon,
            );
            let mut hidden = layer.inner.forward(&states)?;
            gelu(&mut hidden);
            add(&mut states, &layer.outer.forward(&hidden)?);
            layer_norm(
                &mut states,
                &layer.outer_norm.0,
                &layer.outer_norm.1,
                self.sizes.epsilon,
            );
        }
        let mut rest = states.as_slice();
        let mut vectors = Vec::with_capacity(texts.len());
        for text in texts {
            let (own, others) = rest.split_at(text.len() * width);
            rest = others;
            vectors.push(mean_direction(own, width));
        }
        Ok(vectors)
    }

    /// Every token looks at all tokens of its own text.
    fn attend(&self, texts: &[&[u32]], projected: &[f32]) -> Vec<f32> {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = RefCell::default();
        }
        let Sizes { width, heads, .. } = self.sizes;
        let head_size = width / heads;
        let scale = 1.0 / (head_size as f32).sqrt();
        let mut out = vec![0.0; projected.len() / 3];
        let mut tasks = Vec::with_capacity(texts.len());
        let (mut projected, mut left) = (projected, out.as_mut_slice());
        for text in texts {
            let (own, others) = projected.split_at(text.len() * 3 * width);
            let (own_out, others_out) = left.split_at_mut(text.len() * width);
            tasks.push((own, own_out));
            (projected, left) = (others, others_out);
        }
        tasks.into_par_iter().for_each(|(own, out)| {
            let mut memory = Memory::new(1, heads, head_size);
            let length = own.len() / (3 * width);
            for (position, row) in own.chunks_exact(3 * width).enumerate() {
                memory.write(0, position, &row[width..2 * width], &row[2 * width..]);
            }
            SCRATCH.with_borrow_mut(|scratch| {
                for (row, out) in own.chunks_exact(3 * width).zip(out.chunks_exact_mut(width)) {
                    let queries: Vec<f32> = row[..width].iter().map(|query| query * scale).collect();
                    for head in 0..heads {
                        let range = head * head_size..(head + 1) * head_size;
                        memory.attend(0, head, length, &queries[range.clone()], &mut out[range], scratch);
                    }
                }
            });
        });
        out
    }
}

impl Layer {
    fn load(container: &Container, index: usize) -> Result<Self, EmbeddedError> {
        let Sizes { width, hidden, .. } = container.sizes;
        let matrix =
            |part: &str, outputs, inputs| container.matrix(&format!("l{index}.{part}.w"), outputs, inputs);
        let bias = |part: &str, length| container.vector(&format!("l{index}.{part}.b"), length);
        let query_key_value = Linear::new(
            vec![
                matrix("q", width, width)?,
                matrix("k", width, width)?,
                matrix("v", width, width)?,
            ],
            Some([bias("q", width)?, bias("k", width)?, bias("v", width)?].concat()),
        )?;
        Ok(Self {
            query_key_value,
            output: Linear::new(vec![matrix("ao", width, width)?], Some(bias("ao", width)?))?,
            output_norm: norm(container, &format!("l{index}.aln"))?,
            inner: Linear::new(vec![matrix("fi", hidden, width)?], Some(bias("fi", hidden)?))?,
            outer: Linear::new(vec![matrix("fo", width, hidden)?], Some(bias("fo", width)?))?,
            outer_norm: norm(container, &format!("l{index}.oln"))?,
        })
    }
}

fn norm(container: &Container, name: &str) -> Result<(Vec<f32>, Vec<f32>), EmbeddedError> {
    let width = container.sizes.width;
    Ok((
        container.vector(&format!("{name}.w"), width)?,
        container.vector(&format!("{name}.b"), width)?,
    ))
}

/// The mean of the rows, at unit length.
fn mean_direction(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sum = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        add(&mut sum, row);
    }
    let length = sum
        .iter()
        .map(|value| value * value)
        .sum::<f32>()
        .sqrt()
        .max(f32::MIN_POSITIVE);
    sum.iter().map(|value| value / length).collect()
}
