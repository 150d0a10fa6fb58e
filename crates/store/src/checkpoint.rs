//! Checkpoints: answers of models that are never paid for twice (generation 3.1).

use domain::id::GenerationId;
use domain::job::StageJob;
use domain::stage::Stage;
use domain::usage::{MicroUsd, TokenUsage};
use serde::Serialize;
use serde_json::Value;

use crate::error::StoreError;
use crate::json::{to_json, to_text};
use crate::model_call::{self, NewModelCall};
use crate::queue::{self, Lease};
use crate::statement::statements;
use crate::tx::SystemTx;
use crate::tx::sealed::Sealed;

statements! {
    FIND_CHECKPOINT = "select output, model, input_tokens, output_tokens, cost_usd_micros from checkpoints
        where generation_id = $1 and stage = $2 and phase = $3 and batch = $4 and prompt_hash = $5";
    INSERT_CHECKPOINT = "insert into checkpoints (generation_id, stage, phase, batch, prompt_hash, course_id,
            organization_id, output, model, input_tokens, output_tokens, cost_usd_micros)
        select g.id, $2, $3, $4, $5, g.course_id, g.organization_id, $6, $7, $8, $9, $10
        from generations g where g.id = $1
        on conflict (generation_id, stage, phase, batch, prompt_hash) do nothing";
    COUNT_CHECKPOINTS = "select count(*) from checkpoints where generation_id = $1";
}

/// What one piece of work is known by. Another prompt is another piece.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckpointKey {
    /// The generation.
    pub generation_id: GenerationId,
    /// The stage.
    pub stage: Stage,
    /// The step inside the stage, for example `sections`.
    pub phase: String,
    /// The section or lesson number; 0 where there is only one.
    pub batch: u32,
    /// SHA-256 of the prompt, hexadecimal, with the round, the attempt and the part of the answer where there are several.
    pub prompt_hash: String,
}

/// A piece of work that is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The checked answer.
    pub output: Value,
    /// The model that gave it.
    pub model: String,
    /// Tokens of all its attempts.
    pub usage: TokenUsage,
    /// Cost of all its attempts.
    pub cost: MicroUsd,
}

/// The piece of work, if it is done.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn find_checkpoint(
    tx: &mut SystemTx,
    key: &CheckpointKey,
) -> Result<Option<Checkpoint>, StoreError> {
    let row: Option<(Value, String, i64, i64, i64)> = sqlx::query_as(FIND_CHECKPOINT)
        .bind(key.generation_id.as_uuid())
        .bind(key.stage.as_str())
        .bind(&key.phase)
        .bind(key.batch.cast_signed())
        .bind(&key.prompt_hash)
        .fetch_optional(tx.connection())
        .await?;
    Ok(row.map(|(output, model, input, output_tokens, cost)| Checkpoint {
        output,
        model,
        usage: TokenUsage::new(input.cast_unsigned(), output_tokens.cast_unsigned()),
        cost: MicroUsd(cost),
    }))
}

/// Saves a piece of work together with the calls that it took, if the job is still this worker's. A job that
/// makes progress is granted fresh attempts. Returns whether somebody asked to cancel.
///
/// # Errors
/// [`StoreError::LostLease`] if the job is no longer this worker's: nothing is written.
pub async fn record_checkpoint<T: Serialize + Sync>(
    tx: &mut SystemTx,
    lease: &Lease,
    key: &CheckpointKey,
    output: &T,
    calls: &[NewModelCall],
) -> Result<bool, StoreError> {
    let cancelled = queue::note_progress(tx, lease).await?;
    let usage: TokenUsage = calls.iter().map(|call| call.usage).sum();
    let cost: MicroUsd = calls.iter().map(|call| call.cost).sum();
    let model = calls.last().map_or("", |call| call.model.as_str());
    sqlx::query(INSERT_CHECKPOINT)
        .bind(key.generation_id.as_uuid())
        .bind(key.stage.as_str())
        .bind(&key.phase)
        .bind(key.batch.cast_signed())
        .bind(&key.prompt_hash)
        .bind(to_json(output, "checkpoint")?)
        .bind(to_text(model))
        .bind(usage.input.cast_signed())
        .bind(usage.output.cast_signed())
        .bind(cost.0)
        .execute(tx.connection())
        .await?;
    model_call::insert_calls(tx, calls).await?;
    Ok(cancelled)
}

/// How many pieces of work of a generation are done.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn count_checkpoints(tx: &mut SystemTx, generation_id: GenerationId) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar(COUNT_CHECKPOINTS)
        .bind(generation_id.as_uuid())
        .fetch_one(tx.connection())
        .await?;
    Ok(count.cast_unsigned())
}

impl CheckpointKey {
    /// The key of a piece of work of this job.
    pub fn new(job: &StageJob, phase: impl Into<String>, batch: u32, prompt_hash: impl Into<String>) -> Self {
        Self {
            generation_id: job.generation_id,
            stage: job.stage,
            phase: phase.into(),
            batch,
            prompt_hash: prompt_hash.into(),
        }
    }
}
