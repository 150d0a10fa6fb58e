//! What a sequence remembers, and how a new token looks back at it.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::numeric::exp;

/// Positions in one block of keys. Within a block keys lie dimension by dimension, so that one multiplication
/// serves sixteen positions and no sum across a register is needed.
const BLOCK: usize = 16;
/// The size of a head is a multiple of this.
pub(super) const LANES: usize = 32;

/// Keys and values of one key head in one layer.
#[derive(Clone, Default)]
struct HeadMemory {
    /// `[position / 16][dimension][position % 16]`.
    keys: Vec<f16>,
    /// `[position][dimension]`.
    values: Vec<f16>,
}

/// The memory of one sequence in all layers, at half precision.
#[derive(Clone)]
pub(super) struct Memory {
    heads: Vec<HeadMemory>,
    key_heads: usize,
    head_size: usize,
    length: usize,
}

impl Memory {
    pub(super) fn new(layers: usize, key_heads: usize, head_size: usize) -> Self {
        Self {
            heads: vec![HeadMemory::default(); layers * key_heads],
            key_heads,
            head_size,
            length: 0,
        }
    }

    /// Positions that all layers hold.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// Forgets everything from position `length` on.
    pub(super) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
        for head in &mut self.heads {
            head.keys
                .truncate(self.length.div_ceil(BLOCK) * BLOCK * self.head_size);
            head.values.truncate(self.length * self.head_size);
        }
    }

    /// Becomes the first `length` positions of `other`.
    pub(super) fn copy_prefix(&mut self, other: &Self, length: usize) {
        self.length = length.min(other.length);
        for (to, from) in self.heads.iter_mut().zip(&other.heads) {
            to.keys.clear();
            to.keys
                .extend_from_slice(&from.keys[..self.length.div_ceil(BLOCK) * BLOCK * self.head_size]);
            to.values.clear();
            to.values
                .extend_from_slice(&from.values[..self.length * self.head_size]);
        }
    }

    /// Writes what one token leaves in `layer` at `position`; `keys` and `values` hold all key heads.
    pub(super) fn write(&mut self, layer: usize, position: usize, keys: &[f32], values: &[f32]) {
        let size = self.head_size;
        for (head, (keys, values)) in keys.chunks_exact(size).zip(values.chunks_exact(size)).enumerate() {
            let memory = &mut self.heads[layer * self.key_heads + head];
            let block = position / BLOCK * BLOCK * size;
            if memory.keys.len() < block + BLOCK * size {
                memory.keys.resize(block + BLOCK * size, f16::ZERO);
            }
            for (dimension, value) in keys.iter().enumerate() {
                memory.keys[block + dimension * BLOCK + position % BLOCK] = f16::from_f32(*value);
            }
            memory.values.truncate(position * size);
            memory
                .values
                .extend(values.iter().map(|value| f16::from_f32(*value)));
        }
    }

    /// Declares that every layer now holds `length` positions.
    pub(super) const fn set_length(&mut self, length: usize) {
        self.length = length;
    }

    /// The answer of the query heads that share `key_head`: `queries` (already scaled) and `out` are
    /// `[head][dimension]`; positions before `length` are looked at.
    pub(super) fn attend(
        &self,
        layer: usize,
        key_head: usize,
        length: usize,
        queries: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let memory = &self.heads[layer * self.key_heads + key_head];
        let size = self.head_size;
        let stride = length.next_multiple_of(BLOCK);
        let heads = queries.len() / size;
        scratch.weights.clear();
        scratch.weights.resize(heads * stride, 0.0);
        scratch.block.resize(BLOCK * size, 0.0);
        for (index, keys) in memory
            .keys
            .chunks_exact(BLOCK * size)
            .take(stride / BLOCK)
            .enumerate()
        {
            keys.convert_to_f32_slice(&mut scratch.block);
            score_block(
                queries,
                &scratch.block,
                size,
                &mut scratch.weights,
                stride,
                index * BLOCK,
            );
        }
        for weights in scratch.weights.chunks_exact_mut(stride) {
            softmax(weights, length);
        }
        out.fill(0.0);
        for (index, values) in memory.values[..length * size].chunks(BLOCK * size).enumerate() {
            let block = &mut scratch.block[..values.len()];
            values.convert_to_f32_slice(block);
            for (weights, out) in scratch
                .weights
                .chunks_exact(stride)
                .zip(out.chunks_exact_mut(size))
            {
                add_values(&weights[index * BLOCK..], block, size, out);
            }
        }
    }
}

/// Buffers that a thread keeps between calls.
#[derive(Default)]
pub(super) struct Scratch {
    weights: Vec<f32>,
    block: Vec<f32>,
}

/// Scores of sixteen positions for every query head, four heads at a time.
fn score_block(queries: &[f32], block: &[f32], size: usize, weights: &mut [f32], stride: usize, at: usize) {
    let mut head = 0;
    for group in queries.chunks(4 * size) {
        let mut query = group.chunks_exact(size);
        match (query.next(), query.next(), query.next(), query.next()) {
            (Some(a), Some(b), Some(c), Some(d)) => {
                store(score([a, b, c, d], block), weights, stride, head, at);
            }
            (Some(a), Some(b), Some(c), None) => store(score([a, b, c], block), weights, stride, head, at),
            (Some(a), Some(b), None, _) => store(score([a, b], block), weights, stride, head, at),
            (Some(a), None, ..) => store(score([a], block), weights, stride, head, at),
            (None, ..) => {}
        }
        head += 4;
    }
}

fn store<const N: usize>(
    scores: [[f32; BLOCK]; N],
    weights: &mut [f32],
    stride: usize,
    head: usize,
    at: usize,
) {
    for (index, scores) in scores.iter().enumerate() {
        let start = (head + index) * stride + at;
        weights[start..start + BLOCK].copy_from_slice(scores);
    }
}

#[inline]
fn score<const N: usize>(queries: [&[f32]; N], block: &[f32]) -> [[f32; BLOCK]; N] {
    let mut sums = [[0.0; BLOCK]; N];
    for (dimension, keys) in block.as_chunks::<BLOCK>().0.iter().enumerate() {
        for (sum, query) in sums.iter_mut().zip(&queries) {
            let factor = query[dimension];
            for (sum, key) in sum.iter_mut().zip(keys) {
                *sum = factor.mul_add(*key, *sum);
            }
        }
    }
    sums
}

/// Turns the first `length` scores into weights that add up to one; the rest become zero.
fn softmax(scores: &mut [f32], length: usize) {
    let (live, dead) = scores.split_at_mut(length);
    dead.fill(0.0);
    let largest = live.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in live.iter_mut() {
        *score = exp(*score - largest);
    }
    let factor = 1.0 / lanes_sum(live);
    for score in live {
        *score *= factor;
    }
}

/// A sum in eight lanes, so that its order is fixed and the compiler may use registers.
fn lanes_sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

fn add_values(weights: &[f32], block: &[f32], size: usize, out: &mut [f32]) {
    if size.is_multiple_of(2 * LANES) {
        add_values_in::<{ 2 * LANES }>(weights, block, size, out);
    } else {
        add_values_in::<LANES>(weights, block, size, out);
    }
}

/// `N` dimensions at a time stay in registers while the positions go by.
#[inline]
fn add_values_in<const N: usize>(weights: &[f32], block: &[f32], size: usize, out: &mut [f32]) {
    for (offset, out) in out.as_chunks_mut::<N>().0.iter_mut().enumerate() {
        let mut sums = *out;
        for (weight, values) in weights.iter().zip(block.chunks_exact(size)) {
            let Some(values) = values.as_chunks::<N>().0.get(offset) else {
                continue;
            };
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = weight.mul_add(*value, *sum);
            }
        }
        *out = sums;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 96;

    fn number(seed: usize) -> f32 {
        ((seed * 7919 % 211) as f32 - 105.0) / 105.0
    }

    fn filled(length: usize) -> Memory {
        let mut memory = Memory::new(1, 1, SIZE);
        for position in 0..length {
            let keys: Vec<f32> = (0..SIZE).map(|d| number(position * 131 + d)).collect();
            let values: Vec<f32> = (0..SIZE).map(|d| number(position * 17 + d * 3)).collect();
            memory.write(0, position, &keys, &values);
        }
        memory.set_length(length);
        memory
    }

    fn expected(length: usize, query: &[f32]) -> Vec<f32> {
        let scores: Vec<f32> = (0..length)
            .map(|position| {
                (0..SIZE)
                    .map(|d| query[d] * number(position * 131 + d))
                    .sum::<f32>()
            })
            .collect();
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
        let sum: f32 = weights.iter().sum();
        (0..SIZE)
            .map(|d| {
                (0..length)
                    .map(|p| weights[p] / sum * number(p * 17 + d * 3))
                    .sum()
            })
            .collect()
    }

    #[test]
    fn attention_is_the_weighted_mean_of_the_values() {
        for (length, heads) in [(1, 1), (15, 3), (16, 7), (17, 4), (50, 9)] {
            let memory = filled(length);
            let queries: Vec<f32> = (0..heads * SIZE).map(|i| number(i * 5 + 1)).collect();
            let mut out = vec![0.0; heads * SIZE];
            memory.attend(0, 0, length, &queries, &mut out, &mut Scratch::default());
            for (out, query) in out.chunks_exact(SIZE).zip(queries.chunks_exact(SIZE)) {
                for (got, want) in out.iter().zip(expected(length, query)) {
                    assert!((got - want).abs() < 0.02, "{length} {heads}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn a_copied_prefix_equals_one_that_was_written() {
        let long = filled(40);
        let mut copy = Memory::new(1, 1, SIZE);
        copy.copy_prefix(&long, 21);
        assert_eq!(copy.length(), 21);
        let query: Vec<f32> = (0..SIZE).map(number).collect();
        let (mut a, mut b) = (vec![0.0; SIZE], vec![0.0; SIZE]);
        copy.attend(0, 0, 21, &query, &mut a, &mut Scratch::default());
        filled(21).attend(0, 0, 21, &query, &mut b, &mut Scratch::default());
        assert_eq!(a, b);
    }
}
