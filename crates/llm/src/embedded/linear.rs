//! Matrices of a network: quantised weights times rows of activations.

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{Device, Module, Tensor};
use rayon::prelude::*;
use std::borrow::Cow;

use super::EmbeddedError;

/// Block of the k-quants; candle's fast kernels for VNNI processors want whole blocks in a row of weights.
const SUPER_BLOCK: usize = 256;
/// Rows of weights that one task re-encodes while loading.
const ROWS_PER_TASK: usize = 512;
/// Rows of weights that candle's packed kernels take together.
const TILE_ROWS: usize = 16;
/// Weights in a piece of a matrix, unless there would be fewer pieces than threads: about 0.1 ms of work a row.
const WEIGHTS_PER_PIECE: usize = 2 << 20;

/// One tensor as it stands in the file: row-major, `outputs` rows of `inputs` values.
pub(super) struct RawMatrix {
    pub(super) bytes: Vec<u8>,
    pub(super) encoding: GgmlDType,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
}

impl RawMatrix {
    fn row_bytes(&self) -> usize {
        self.inputs / self.encoding.block_size() * self.encoding.type_size()
    }

    /// Row `index` as numbers.
    pub(super) fn row(&self, index: usize) -> Result<Vec<f32>, EmbeddedError> {
        let bytes = self
            .bytes
            .get(index * self.row_bytes()..(index + 1) * self.row_bytes())
            .ok_or(EmbeddedError::Damaged("a token is outside the vocabulary"))?;
        decode(bytes, self.encoding, 1, self.inputs)
    }

    /// The same matrix as 8-bit blocks whose rows are `padded` long (zeros behind the values).
    fn to_q8(&self, padded: usize) -> Result<Vec<u8>, EmbeddedError> {
        if self.encoding == GgmlDType::Q8_0 && padded == self.inputs {
            return Ok(self.bytes.clone());
        }
        let parts = self
            .bytes
            .par_chunks(self.row_bytes() * ROWS_PER_TASK)
            .map(|chunk| {
                let rows = chunk.len() / self.row_bytes();
                let values = pad(
                    &decode(chunk, self.encoding, rows, self.inputs)?,
                    self.inputs,
                    padded,
                );
                let tensor = Tensor::from_vec(values, (rows, padded), &Device::Cpu)?;
                Ok(QTensor::quantize(&tensor, GgmlDType::Q8_0)?.data()?.into_owned())
            })
            .collect::<Result<Vec<Vec<u8>>, EmbeddedError>>()?;
        Ok(parts.concat())
    }
}

fn decode(bytes: &[u8], encoding: GgmlDType, rows: usize, columns: usize) -> Result<Vec<f32>, EmbeddedError> {
    let storage = QStorage::from_data(Cow::Borrowed(bytes), &Device::Cpu, encoding)?;
    let tensor = QTensor::new(storage, (rows, columns))?;
    Ok(tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()?)
}

fn pad(rows: &[f32], inputs: usize, padded: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows.len() / inputs * padded];
    for (to, from) in out.chunks_exact_mut(padded).zip(rows.chunks_exact(inputs)) {
        to[..inputs].copy_from_slice(from);
    }
    out
}

/// How long the rows of weights are stored: whole super-blocks where the processor has the dot product
/// instructions that candle's packed kernels use, as they are elsewhere.
fn padded_length(inputs: usize) -> usize {
    if has_dot_product_instructions() {
        inputs.next_multiple_of(SUPER_BLOCK)
    } else {
        inputs
    }
}

#[cfg(target_arch = "x86_64")]
fn has_dot_product_instructions() -> bool {
    let wide =
        std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vnni");
    wide || std::arch::is_x86_feature_detected!("avxvnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_dot_product_instructions() -> bool {
    false
}

/// How many pieces a matrix is cut into. Where candle multiplies on the calling thread (see
/// [`super::use_blocking_threads`]) the pieces are what rayon's threads share; else one piece, which candle shares
/// among its own threads.
fn pieces(outputs: usize, padded: usize) -> usize {
    if candle_core::utils::barrier_pool().n_workers() > 0 {
        return 1;
    }
    let threads = rayon::current_num_threads();
    (outputs * padded / WEIGHTS_PER_PIECE)
        .max(threads)
        .min(outputs.div_ceil(TILE_ROWS))
}

/// A matrix, or several that share their input and are multiplied as one.
pub(super) struct Linear {
    parts: Vec<Part>,
    inputs: usize,
    padded: usize,
    outputs: usize,
    bias: Option<Vec<f32>>,
}

struct Part {
    weights: QMatMul,
    outputs: usize,
}

impl Linear {
    /// Joins matrices with the same input. Encodings whose kernels are scalar or whose results depend on the
    /// number of rows (all but `Q4_K`) become `Q8_0`, which loses nothing of 5 or 6 bits.
    pub(super) fn new(matrices: Vec<RawMatrix>, bias: Option<Vec<f32>>) -> Result<Self, EmbeddedError> {
        let inputs = matrices.first().map_or(0, |matrix| matrix.inputs);
        if inputs == 0 || matrices.iter().any(|matrix| matrix.inputs != inputs) {
            return Err(EmbeddedError::Damaged(
                "matrices that belong together have different widths",
            ));
        }
        let padded = padded_length(inputs);
        let outputs = matrices.iter().map(|matrix| matrix.outputs).sum();
        let mut parts: Vec<Part> = Vec::new();
        let mut open: Option<(GgmlDType, Vec<u8>, usize)> = None;
        for matrix in matrices {
            let encoding = if matrix.encoding == GgmlDType::Q4K {
                GgmlDType::Q4K
            } else {
                GgmlDType::Q8_0
            };
            let rows = matrix.outputs;
            let bytes = if encoding == GgmlDType::Q4K {
                matrix.bytes
            } else {
                matrix.to_q8(padded)?
            };
            match &mut open {
                Some((same, joined, count)) if *same == encoding => {
                    joined.extend_from_slice(&bytes);
                    *count += rows;
                }
                _ => {
                    if let Some(finished) = open.replace((encoding, bytes, rows)) {
                        parts.extend(Part::cut(finished, padded)?);
                    }
                }
            }
        }
        if let Some(finished) = open {
            parts.extend(Part::cut(finished, padded)?);
        }
        Ok(Self {
            parts,
            inputs,
            padded,
            outputs,
            bias,
        })
    }

    /// Length of a row of results.
    pub(super) const fn outputs(&self) -> usize {
        self.outputs
    }

    /// `rows` holds whole rows of inputs; the answer holds as many rows of outputs.
    pub(super) fn forward(&self, rows: &[f32]) -> Result<Vec<f32>, EmbeddedError> {
        let count = rows.len() / self.inputs;
        let values = if self.padded == self.inputs {
            rows.to_vec()
        } else {
            pad(rows, self.inputs, self.padded)
        };
        let input = Tensor::from_vec(values, (count, self.padded), &Device::Cpu)?;
        let mut out = match self.parts.as_slice() {
            [only] => only.forward(&input)?,
            several => {
                let results: Vec<Vec<f32>> = several
                    .par_iter()
                    .map(|part| part.forward(&input))
                    .collect::<Result<_, _>>()?;
                let mut out = vec![0.0; count * self.outputs];
                let mut offset = 0;
                for (part, values) in several.iter().zip(results) {
                    for (to, from) in out
                        .chunks_exact_mut(self.outputs)
                        .zip(values.chunks_exact(part.outputs))
                    {
                        to[offset..offset + part.outputs].copy_from_slice(from);
                    }
                    offset += part.outputs;
                }
                out
            }
        };
        if let Some(bias) = &self.bias {
            for row in out.chunks_exact_mut(self.outputs) {
                for (value, add) in row.iter_mut().zip(bias) {
                    *value += add;
                }
            }
        }
        Ok(out)
    }
}

impl Part {
    fn cut(
        (encoding, bytes, outputs): (GgmlDType, Vec<u8>, usize),
        padded: usize,
    ) -> Result<Vec<Self>, EmbeddedError> {
        let rows = outputs
            .div_ceil(pieces(outputs, padded))
            .next_multiple_of(TILE_ROWS);
        let row_bytes = bytes.len() / outputs;
        bytes
            .chunks(rows * row_bytes)
            .map(|bytes| {
                let outputs = bytes.len() / row_bytes;
                let storage = QStorage::from_data(Cow::Borrowed(bytes), &Device::Cpu, encoding)?;
                let weights = QMatMul::from_qtensor(QTensor::new(storage, (outputs, padded))?)?;
                Ok(Self { weights, outputs })
            })
            .collect()
    }

    fn forward(&self, input: &Tensor) -> Result<Vec<f32>, EmbeddedError> {
        // One dimension, contiguous, not shared: this moves the numbers out only once.
        Ok(self.weights.forward(input)?.flatten_all()?.to_vec1()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(outputs: usize, inputs: usize, encoding: GgmlDType) -> (RawMatrix, Vec<f32>) {
        let values: Vec<f32> = (0..outputs * inputs)
            .map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0)
            .collect();
        let tensor = Tensor::from_vec(values.clone(), (outputs, inputs), &Device::Cpu).unwrap();
        let quantised = QTensor::quantize(&tensor, encoding).unwrap();
        (
            RawMatrix {
                bytes: quantised.data().unwrap().into_owned(),
                encoding,
                outputs,
                inputs,
            },
            values,
        )
    }

    fn product(weights: &[f32], inputs: usize, row: &[f32]) -> Vec<f32> {
        weights
            .chunks_exact(inputs)
            .map(|line| line.iter().zip(row).map(|(a, b)| a * b).sum())
            .collect()
    }

    #[test]
    fn joined_matrices_give_what_each_gives_alone() {
        for encoding in [GgmlDType::Q8_0, GgmlDType::Q5_0, GgmlDType::Q4_1] {
            let (first, a) = matrix(32, 96, encoding);
            let (second, b) = matrix(16, 96, GgmlDType::Q8_0);
            let joined = Linear::new(vec![first, second], Some(vec![1.0; 48])).unwrap();
            let rows: Vec<f32> = (0..3 * 96)
                .map(|i| ((i * 13 % 29) as f32 - 14.0) / 14.0)
                .collect();
            let out = joined.forward(&rows).unwrap();
            for (got, row) in out.chunks_exact(48).zip(rows.chunks_exact(96)) {
                let expected: Vec<f32> = [product(&a, 96, row), product(&b, 96, row)].concat();
                for (got, expected) in got.iter().zip(expected) {
                    assert!(
                        (got - 1.0 - expected).abs() < 0.8,
                        "{encoding:?}: {got} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_neighbours() {
        let (weights, _) = matrix(64, 512, GgmlDType::Q5_0);
        let linear = Linear::new(vec![weights], None).unwrap();
        let rows: Vec<f32> = (0..5 * 512)
            .map(|i| ((i * 17 % 31) as f32 - 15.0) / 15.0)
            .collect();
        let together = linear.forward(&rows).unwrap();
        for (row, expected) in rows.chunks_exact(512).zip(together.chunks_exact(64)) {
            assert_eq!(linear.forward(row).unwrap(), expected);
        }
    }
}
