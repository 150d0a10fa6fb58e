//! Speed of the embedded models on this machine.

use std::path::Path;
use std::time::Instant;

use super::EmbeddedError;
use super::attention::Memory;
use super::network::{Network, Row};
use super::provider::open;

/// What [`bench_decode`] measured.
#[derive(Clone, Copy, Debug)]
pub struct DecodeFigures {
    /// Time to load the model, in seconds.
    pub load_seconds: f64,
    /// Tokens of a prompt of 512 tokens that are read in a second.
    pub prompt_tokens_per_s: f64,
    /// Tokens of one answer that are made in a second.
    pub single_decode_tokens_per_s: f64,
    /// Tokens of all answers together that are made in a second when `slots` are made at once.
    pub batched_decode_tokens_per_s: f64,
    /// How many were made at once.
    pub slots: usize,
}

/// Tokens of the prompt that is measured.
const PROMPT: usize = 512;
/// Tokens in memory before answers are measured.
const ALREADY: usize = 64;

/// Measures reading of a prompt of 512 tokens and greedy answers of `tokens` tokens, one and `slots` at once.
///
/// # Errors
/// [`EmbeddedError`] if the model cannot be loaded or run.
pub fn bench_decode(path: &Path, slots: usize, tokens: usize) -> Result<DecodeFigures, EmbeddedError> {
    super::threads()?.install(|| bench(path, slots, tokens))
}

fn bench(path: &Path, slots: usize, tokens: usize) -> Result<DecodeFigures, EmbeddedError> {
    let begin = Instant::now();
    let (content, mut file) = open(path)?;
    let network = Network::load(&content, &mut file, PROMPT + tokens)?;
    // The first pass packs the weights.
    read(&network, &mut network.memory(), 8)?;
    let load_seconds = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    read(&network, &mut network.memory(), PROMPT)?;
    let prompt_tokens_per_s = PROMPT as f64 / begin.elapsed().as_secs_f64();
    let single_decode_tokens_per_s = decode(&network, 1, tokens)?;
    let batched_decode_tokens_per_s = if slots == 1 {
        single_decode_tokens_per_s
    } else {
        decode(&network, slots, tokens)?
    };
    Ok(DecodeFigures {
        load_seconds,
        prompt_tokens_per_s,
        single_decode_tokens_per_s,
        batched_decode_tokens_per_s,
        slots,
    })
}

fn read(network: &Network, memory: &mut Memory, count: usize) -> Result<Vec<Vec<f32>>, EmbeddedError> {
    let rows: Vec<Row> = (0..count)
        .map(|position| Row {
            memory: 0,
            token: token(position),
            position,
            sampled: position + 1 == count,
        })
        .collect();
    network.step(&rows, &mut [memory])
}

/// Some token of the text part of every vocabulary.
fn token(position: usize) -> u32 {
    u32::try_from(100 + position * 37 % 5000).unwrap_or(100)
}

fn decode(network: &Network, slots: usize, tokens: usize) -> Result<f64, EmbeddedError> {
    let mut memories: Vec<Memory> = (0..slots).map(|_| network.memory()).collect();
    for memory in &mut memories {
        read(network, memory, ALREADY)?;
    }
    let mut memories: Vec<&mut Memory> = memories.iter_mut().collect();
    let begin = Instant::now();
    for step in 0..tokens {
        let rows: Vec<Row> = (0..slots)
            .map(|memory| Row {
                memory,
                token: token(step * 7 + memory),
                position: ALREADY + step,
                sampled: true,
            })
            .collect();
        network.step(&rows, &mut memories)?;
    }
    Ok((slots * tokens) as f64 / begin.elapsed().as_secs_f64())
}
