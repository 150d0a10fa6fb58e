//! Speed of llama.cpp on this machine: a prompt of 512 tokens, then greedy answers, one and several at once.

use std::num::NonZeroU32;
use std::time::Instant;

use anyhow::Context;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;

/// Tokens of the prompt, as in `llm::embedded::bench`.
const PROMPT: usize = 512;
/// Tokens in memory before answers are measured, as there.
const ALREADY: usize = 64;

fn main() -> anyhow::Result<()> {
    let path = std::env::args()
        .nth(1)
        .context("the path of a GGUF file is missing")?;
    let tokens: usize = std::env::args().nth(2).map_or(Ok(64), |text| text.parse())?;
    let threads = i32::try_from(std::thread::available_parallelism()?.get())?;
    let backend = LlamaBackend::init()?;
    let model = LlamaModel::load_from_file(&backend, path, &LlamaModelParams::default())?;
    for slots in [1_usize, 2, 4, 8] {
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(u32::try_from((PROMPT + tokens) * slots)?))
            .with_n_batch(u32::try_from(PROMPT)?)
            .with_n_seq_max(u32::try_from(slots)?)
            .with_n_threads(threads)
            .with_n_threads_batch(threads);
        let mut context = model.new_context(&backend, params)?;
        let mut batch = LlamaBatch::new(PROMPT, i32::try_from(slots)?);
        for position in 0..PROMPT {
            batch.add(
                token(position),
                i32::try_from(position)?,
                &[0],
                position + 1 == PROMPT,
            )?;
        }
        let begin = Instant::now();
        context.decode(&mut batch)?;
        context.synchronize();
        let prompt = PROMPT as f64 / begin.elapsed().as_secs_f64();
        context.clear_kv_cache();
        for sequence in 0..i32::try_from(slots)? {
            batch.clear();
            for position in 0..ALREADY {
                batch.add(token(position), i32::try_from(position)?, &[sequence], false)?;
            }
            context.decode(&mut batch)?;
        }
        context.synchronize();
        let begin = Instant::now();
        for step in 0..tokens {
            batch.clear();
            for sequence in 0..slots {
                let position = i32::try_from(ALREADY + step)?;
                batch.add(
                    token(step * 7 + sequence),
                    position,
                    &[i32::try_from(sequence)?],
                    true,
                )?;
            }
            context.decode(&mut batch)?;
            context.synchronize();
        }
        let decode = (slots * tokens) as f64 / begin.elapsed().as_secs_f64();
        println!("slots {slots}: prompt {prompt:.1} tokens/s, decode {decode:.1} tokens/s");
    }
    Ok(())
}

fn token(position: usize) -> LlamaToken {
    LlamaToken::new(i32::try_from(100 + position * 37 % 5000).unwrap_or(100))
}
