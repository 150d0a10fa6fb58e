//! The transformer: Qwen2 and Llama, from a GGUF file to logits.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use candle_core::quantized::gguf_file::Content;
use rayon::prelude::*;

use super::EmbeddedError;
use super::attention::{LANES, Memory, Scratch};
use super::linear::{Linear, RawMatrix};
use super::numeric::{add, gated, rms_norm};

/// Rows that go through the network at once. Candle multiplies batches of 32 rows and more with matrix
/// instructions that some virtual machines announce without offering them.
pub(super) const MAX_ROWS: usize = 31;

/// Positions that all rows of a step together look back at, below which one thread does it alone.
const SHORT_LOOK_BACK: usize = 256;

/// One token on its way through the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Which of the memories it belongs to.
    pub(super) memory: usize,
    pub(super) token: u32,
    pub(super) position: usize,
    /// Whether the logits behind it are wanted.
    pub(super) sampled: bool,
}

/// The size of a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) layers: usize,
    width: usize,
    heads: usize,
    key_heads: usize,
    head_size: usize,
    hidden: usize,
    epsilon: f32,
    rotary_base: f32,
    /// Qwen2 rotates halves of a head against each other, Llama's files have the pairs side by side.
    rotates_halves: bool,
    /// The longest sequence it was trained for.
    pub(super) context: usize,
}

struct Layer {
    attention_norm: Vec<f32>,
    query_key_value: Linear,
    output: Linear,
    hidden_norm: Vec<f32>,
    gate_up: Linear,
    down: Linear,
}

/// A network that is ready to run.
pub(super) struct Network {
    pub(super) shape: Shape,
    embedding: RawMatrix,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    head: Linear,
    rotations: Vec<(f32, f32)>,
    positions: usize,
}

impl Network {
    /// Reads the network from `file`, tensor by tensor. `positions` is the longest sequence that will be used.
    pub(super) fn load(
        content: &Content,
        file: &mut BufReader<File>,
        positions: usize,
    ) -> Result<Self, EmbeddedError> {
        let shape = Shape::read(content)?;
        let mut reader = Reader { content, file };
        let embedding = reader.matrix("token_embd.weight")?;
        let head = if reader.has("output.weight") {
            "output.weight"
        } else {
            "token_embd.weight"
        };
        let head = Linear::new(vec![reader.matrix(head)?], None)?;
        let norm = reader.vector("output_norm.weight")?;
        let layers = (0..shape.layers)
            .map(|index| Layer::load(&mut reader, index))
            .collect::<Result<_, _>>()?;
        let positions = positions.min(shape.context);
        Ok(Self {
            shape,
            embedding,
            layers,
            norm,
            head,
            rotations: shape.rotations(positions),
            positions,
        })
    }

    /// Longest sequence of a memory, in tokens.
    pub(super) const fn positions(&self) -> usize {
        self.positions
    }

    /// Number of tokens that have a logit.
    pub(super) const fn vocabulary(&self) -> usize {
        self.embedding.outputs
    }

    /// An empty memory.
    pub(super) fn memory(&self) -> Memory {
        Memory::new(self.shape.layers, self.shape.key_heads, self.shape.head_size)
    }

    /// Takes `rows` one step on: their keys and values enter the memories; the answer holds the logits of the
    /// sampled rows, in order. Rows of one memory are consecutive positions in order; a row's result does not
    /// depend on the other memories' rows.
    pub(super) fn step(
        &self,
        rows: &[Row],
        memories: &mut [&mut Memory],
    ) -> Result<Vec<Vec<f32>>, EmbeddedError> {
        let mut logits = Vec::new();
        for rows in rows.chunks(MAX_ROWS) {
            logits.extend(self.chunk(rows, memories)?);
        }
        Ok(logits)
    }

    fn chunk(&self, rows: &[Row], memories: &mut [&mut Memory]) -> Result<Vec<Vec<f32>>, EmbeddedError> {
        let mut states = Vec::with_capacity(rows.len() * self.shape.width);
        for row in rows {
            states.extend(self.embedding.row(row.token as usize)?);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = rms_norm(&states, &layer.attention_norm, self.shape.epsilon);
            let mut projected = layer.query_key_value.forward(&normed)?;
            self.remember(index, rows, &mut projected, memories);
            let attended = self.attend(index, rows, &projected, memories);
            add(&mut states, &layer.output.forward(&attended)?);
            let normed = rms_norm(&states, &layer.hidden_norm, self.shape.epsilon);
            let hidden = gated(&layer.gate_up.forward(&normed)?, self.shape.hidden);
            add(&mut states, &layer.down.forward(&hidden)?);
        }
        for row in rows {
            memories[row.memory].set_length(row.position + 1);
        }
        let sampled: Vec<f32> = rows
            .iter()
            .zip(states.chunks_exact(self.shape.width))
            .filter(|(row, _)| row.sampled)
            .flat_map(|(_, state)| state.iter().copied())
            .collect();
        if sampled.is_empty() {
            return Ok(Vec::new());
        }
        let logits = self
            .head
            .forward(&rms_norm(&sampled, &self.norm, self.shape.epsilon))?;
        Ok(logits
            .chunks_exact(self.head.outputs())
            .map(<[f32]>::to_vec)
            .collect())
    }

    /// Rotates queries and keys to their positions, scales the queries, and stores keys and values.
    fn remember(&self, layer: usize, rows: &[Row], projected: &mut [f32], memories: &mut [&mut Memory]) {
        let Shape {
            heads,
            key_heads,
            head_size,
            ..
        } = self.shape;
        let scale = 1.0 / (head_size as f32).sqrt();
        let width = (heads + 2 * key_heads) * head_size;
        for (row, projected) in rows.iter().zip(projected.chunks_exact_mut(width)) {
            let (rotated, values) = projected.split_at_mut((heads + key_heads) * head_size);
            let angles = &self.rotations[row.position * head_size / 2..(row.position + 1) * head_size / 2];
            for head in rotated.chunks_exact_mut(head_size) {
                self.shape.rotate(head, angles);
            }
            let (queries, keys) = rotated.split_at_mut(heads * head_size);
            for query in queries {
                *query *= scale;
            }
            memories[row.memory].write(layer, row.position, keys, values);
        }
    }

    fn attend(&self, layer: usize, rows: &[Row], projected: &[f32], memories: &[&mut Memory]) -> Vec<f32> {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = RefCell::default();
        }
        let Shape {
            heads,
            key_heads,
            head_size,
            ..
        } = self.shape;
        let width = (heads + 2 * key_heads) * head_size;
        let group = heads / key_heads * head_size;
        let mut out = vec![0.0; rows.len() * heads * head_size];
        let run = |(task, out): (usize, &mut [f32])| {
            let (row, key_head) = (task / key_heads, task % key_heads);
            let start = row * width + key_head * group;
            let Row { memory, position, .. } = rows[row];
            let queries = &projected[start..start + group];
            SCRATCH.with_borrow_mut(|scratch| {
                memories[memory].attend(layer, key_head, position + 1, queries, out, scratch);
            });
        };
        // A short look back is done sooner than another thread wakes.
        let work: usize = rows.iter().map(|row| row.position).sum();
        if work < SHORT_LOOK_BACK {
            out.chunks_exact_mut(group).enumerate().for_each(run);
        } else {
            out.par_chunks_exact_mut(group).enumerate().for_each(run);
        }
        out
    }
}

impl Layer {
    fn load(reader: &mut Reader<'_>, index: usize) -> Result<Self, EmbeddedError> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let mut bias = Vec::new();
        for part in ["attn_q.bias", "attn_k.bias", "attn_v.bias"] {
            if reader.has(&name(part)) {
                bias.extend(reader.vector(&name(part))?);
            }
        }
        let query_key_value = Linear::new(
            vec![
                reader.matrix(&name("attn_q.weight"))?,
                reader.matrix(&name("attn_k.weight"))?,
                reader.matrix(&name("attn_v.weight"))?,
            ],
            Some(bias).filter(|bias| !bias.is_empty()),
        )?;
        Ok(Self {
            attention_norm: reader.vector(&name("attn_norm.weight"))?,
            query_key_value,
            output: Linear::new(vec![reader.matrix(&name("attn_output.weight"))?], None)?,
            hidden_norm: reader.vector(&name("ffn_norm.weight"))?,
            gate_up: Linear::new(
                vec![
                    reader.matrix(&name("ffn_gate.weight"))?,
                    reader.matrix(&name("ffn_up.weight"))?,
                ],
                None,
            )?,
            down: Linear::new(vec![reader.matrix(&name("ffn_down.weight"))?], None)?,
        })
    }
}

impl Shape {
    fn read(content: &Content) -> Result<Self, EmbeddedError> {
        let architecture = text(content, "general.architecture")?;
        let rotates_halves = match architecture {
            "qwen2" => true,
            "llama" => false,
            other => return Err(EmbeddedError::UnknownArchitecture(other.to_owned())),
        };
        let key = |name: &str| format!("{architecture}.{name}");
        let heads = whole(content, &key("attention.head_count"))?;
        let width = whole(content, &key("embedding_length"))?;
        let shape = Self {
            layers: whole(content, &key("block_count"))?,
            width,
            heads,
            key_heads: whole(content, &key("attention.head_count_kv"))?,
            head_size: width.checked_div(heads).unwrap_or_default(),
            hidden: whole(content, &key("feed_forward_length"))?,
            epsilon: real(content, &key("attention.layer_norm_rms_epsilon"))?,
            rotary_base: real(content, &key("rope.freq_base"))?,
            rotates_halves,
            context: whole(content, &key("context_length"))?,
        };
        let divides = shape.key_heads > 0 && shape.heads.is_multiple_of(shape.key_heads);
        if shape.head_size == 0 || !shape.head_size.is_multiple_of(LANES) || !divides {
            return Err(EmbeddedError::Damaged(
                "the heads have a size that is not supported",
            ));
        }
        Ok(shape)
    }

    /// Cosine and sine of every angle of every position.
    fn rotations(&self, positions: usize) -> Vec<(f32, f32)> {
        let half = self.head_size / 2;
        let frequencies: Vec<f64> = (0..half)
            .map(|index| f64::from(self.rotary_base).powf(-2.0 * index as f64 / self.head_size as f64))
            .collect();
        (0..positions)
            .flat_map(|position| {
                frequencies
                    .iter()
                    .map(move |frequency| position as f64 * frequency)
            })
            .map(|angle| {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a cosine or sine, rounded to single precision"
                )]
                (angle.cos() as f32, angle.sin() as f32)
            })
            .collect()
    }

    fn rotate(&self, head: &mut [f32], angles: &[(f32, f32)]) {
        if self.rotates_halves {
            let (low, high) = head.split_at_mut(self.head_size / 2);
            for ((low, high), (cos, sin)) in low.iter_mut().zip(high).zip(angles) {
                (*low, *high) = (*low * cos - *high * sin, *low * sin + *high * cos);
            }
        } else {
            for (pair, (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                let [a, b] = *pair;
                *pair = [a * cos - b * sin, a * sin + b * cos];
            }
        }
    }
}

/// Reads tensors of a GGUF file by name.
struct Reader<'a> {
    content: &'a Content,
    file: &'a mut BufReader<File>,
}

impl Reader<'_> {
    fn has(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    fn vector(&mut self, name: &str) -> Result<Vec<f32>, EmbeddedError> {
        let tensor = self.content.tensor(self.file, name, &candle_core::Device::Cpu)?;
        Ok(tensor
            .dequantize(&candle_core::Device::Cpu)?
            .flatten_all()?
            .to_vec1()?)
    }

    fn matrix(&mut self, name: &str) -> Result<RawMatrix, EmbeddedError> {
        let info = self
            .content
            .tensor_infos
            .get(name)
            .ok_or_else(|| EmbeddedError::MissingPart(name.to_owned()))?;
        let (outputs, inputs) = info.shape.dims2()?;
        let encoding = info.ggml_dtype;
        if !inputs.is_multiple_of(encoding.block_size()) {
            return Err(EmbeddedError::Damaged(
                "a row of weights does not consist of whole blocks",
            ));
        }
        let mut bytes = vec![0; outputs * inputs / encoding.block_size() * encoding.type_size()];
        self.file
            .seek(SeekFrom::Start(self.content.tensor_data_offset + info.offset))?;
        self.file.read_exact(&mut bytes)?;
        Ok(RawMatrix {
            bytes,
            encoding,
            outputs,
            inputs,
        })
    }
}

/// A text of the file's header.
pub(super) fn text<'a>(content: &'a Content, key: &str) -> Result<&'a str, EmbeddedError> {
    let value = content
        .metadata
        .get(key)
        .ok_or_else(|| EmbeddedError::MissingPart(key.to_owned()))?;
    Ok(value.to_string()?)
}

/// A whole number of the file's header.
pub(super) fn whole(content: &Content, key: &str) -> Result<usize, EmbeddedError> {
    let value = content
        .metadata
        .get(key)
        .ok_or_else(|| EmbeddedError::MissingPart(key.to_owned()))?;
    Ok(value.to_u32()? as usize)
}

fn real(content: &Content, key: &str) -> Result<f32, EmbeddedError> {
    let value = content
        .metadata
        .get(key)
        .ok_or_else(|| EmbeddedError::MissingPart(key.to_owned()))?;
    Ok(value.to_f32()?)
}
