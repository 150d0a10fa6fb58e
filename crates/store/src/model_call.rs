//! The log of model calls: where all sums of tokens, money and attempts come from (data model 2.2).

use std::time::Duration;

use domain::id::{GenerationId, ModelCallId};
use domain::stage::Stage;
use domain::usage::{MicroUsd, TokenUsage};

use crate::error::StoreError;
use crate::json::{from_word, to_text};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, Tx};

statements! {
    INSERT_CALL = "insert into model_calls (id, generation_id, course_id, organization_id, stage, phase, batch, attempt,
            model, provider, upstream, route_reason, prompt_hash, prompt_tokens, completion_tokens, cost_usd_micros,
            latency_ms, finish_reason, repair_layer, outcome, error, raw_output, assumed_usd_micros)
        select $1, g.id, g.course_id, g.organization_id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
            $17, $18, $19, $20, $21
        from generations g where g.id = $2
        on conflict (id) do nothing";
    SUM_SPENDING = "select coalesce(sum(cost_usd_micros), 0)::bigint from model_calls where generation_id = $1";
    SUM_ASSUMED = "select coalesce(sum(assumed_usd_micros), 0)::bigint from model_calls where generation_id = $1";
    LIST_TOTALS = "select stage, phase, batch, count(*) as calls,
            count(*) filter (where repair_layer > 0) as repaired,
            (coalesce(sum(prompt_tokens), 0))::bigint as prompt_tokens,
            (coalesce(sum(completion_tokens), 0))::bigint as completion_tokens,
            (coalesce(sum(cost_usd_micros), 0))::bigint as cost_usd_micros,
            (coalesce(sum(latency_ms), 0))::bigint as latency_ms,
            coalesce((array_agg(model order by (outcome = 'accepted') desc, attempt desc, id desc))[1], '') as model
        from model_calls where generation_id = $1 group by stage, phase, batch order by min(created_at), batch";
    LIST_REJECTED = "select stage, phase, batch, attempt, model, outcome, error, raw_output from model_calls
        where generation_id = $1 and outcome <> 'accepted' order by created_at desc, id desc limit $2";
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewModelCall {
    /// The generation that it was made for.
    pub generation_id: GenerationId,
    /// The stage.
    pub stage: Stage,
    /// The step inside the stage.
    pub phase: String,
    /// The section or lesson number; 0 where there is only one.
    pub batch: u32,
    /// 1 is the first.
    pub attempt: u32,
    /// The model that was called.
    pub model: String,
    /// Through which provider.
    pub provider: String,
    /// The provider behind the provider, where it says.
    pub upstream: Option<String>,
    /// Why this model: `default`, `complexity`, `overflow`, `validation_failure`, `quality`, `provider_down`.
    pub route_reason: String,
    /// SHA-256 of the prompt, hexadecimal.
    pub prompt_hash: String,
    /// Tokens.
    pub usage: TokenUsage,
    /// The provider's own figure where it reports one, else price table times tokens; zero where the price is unknown.
    pub cost: MicroUsd,
    /// What is counted against the budget where the price is unknown; `None`: it is known.
    pub assumed: Option<MicroUsd>,
    /// From the request to the last byte.
    pub latency: Duration,
    /// Why the model stopped; `None` for a call without an answer.
    pub finish_reason: Option<String>,
    /// The layer of JSON repair that was needed, 0 for none; `None` for a call without an answer.
    pub repair_layer: Option<u8>,
    /// [`ACCEPTED`], or a word for why the answer was not used.
    pub outcome: String,
    /// What was wrong with it.
    pub error: Option<String>,
    /// The answer as it came, kept for inspection when it was not used.
    pub raw_output: Option<String>,
}

/// The outcome of a call whose answer is used.
pub const ACCEPTED: &str = "accepted";

/// Sums over the calls of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchTotals {
    /// The stage.
    pub stage: Stage,
    /// The step inside the stage.
    pub phase: String,
    /// The section or lesson number; 0 where there is only one.
    pub batch: u32,
    /// Calls in all; all but the first are retries.
    pub calls: u32,
    /// Calls whose answer had to be repaired.
    pub repaired: u32,
    /// Tokens.
    pub usage: TokenUsage,
    /// Money.
    pub cost: MicroUsd,
    /// Time in calls; calls of different batches overlap.
    pub latency: Duration,
    /// The model whose answer was accepted, else the last one called.
    pub model: String,
}

/// A call whose answer was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedCall {
    /// The stage.
    pub stage: Stage,
    /// The step inside the stage.
    pub phase: String,
    /// The section or lesson number.
    pub batch: u32,
    /// Which attempt it was.
    pub attempt: u32,
    /// The model.
    pub model: String,
    /// A word for why.
    pub outcome: String,
    /// What was wrong.
    pub error: Option<String>,
    /// The answer as it came.
    pub raw_output: Option<String>,
}

/// Writes calls down. Calls are written also when nothing came of them: money was spent.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn insert_calls(tx: &mut SystemTx, calls: &[NewModelCall]) -> Result<(), StoreError> {
    for call in calls {
        sqlx::query(INSERT_CALL)
            .bind(ModelCallId::generate().as_uuid())
            .bind(call.generation_id.as_uuid())
            .bind(call.stage.as_str())
            .bind(to_text(&call.phase))
            .bind(call.batch.cast_signed())
            .bind(call.attempt.cast_signed())
            .bind(to_text(&call.model))
            .bind(to_text(&call.provider))
            .bind(call.upstream.as_deref().map(to_text))
            .bind(to_text(&call.route_reason))
            .bind(&call.prompt_hash)
            .bind(call.usage.input.cast_signed())
            .bind(call.usage.output.cast_signed())
            .bind(call.cost.0)
            .bind(i64::try_from(call.latency.as_millis()).unwrap_or(i64::MAX))
            .bind(call.finish_reason.as_deref().map(to_text))
            .bind(call.repair_layer.map(i16::from))
            .bind(to_text(&call.outcome))
            .bind(call.error.as_deref().map(to_text))
            .bind(call.raw_output.as_deref().map(to_text))
            .bind(call.assumed.map(|assumed| assumed.0))
            .execute(tx.connection())
            .await?;
    }
    Ok(())
}

/// What a generation has cost so far.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn sum_spending(tx: &mut impl Tx, generation_id: GenerationId) -> Result<MicroUsd, StoreError> {
    let sum = sqlx::query_scalar(SUM_SPENDING)
        .bind(generation_id.as_uuid())
        .fetch_one(tx.connection())
        .await?;
    Ok(MicroUsd(sum))
}

/// What is counted against the budget for calls of unknown price.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn sum_assumed(tx: &mut impl Tx, generation_id: GenerationId) -> Result<MicroUsd, StoreError> {
    let sum = sqlx::query_scalar(SUM_ASSUMED)
        .bind(generation_id.as_uuid())
        .fetch_one(tx.connection())
        .await?;
    Ok(MicroUsd(sum))
}

/// Sums over a generation's calls, one entry a batch, in the order in which they began.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_totals(
    tx: &mut impl Tx,
    generation_id: GenerationId,
) -> Result<Vec<BatchTotals>, StoreError> {
    let rows: Vec<TotalsRow> = sqlx::query_as(LIST_TOTALS)
        .bind(generation_id.as_uuid())
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(TotalsRow::into_totals).collect()
}

/// The latest calls whose answers were not used, at most `limit`.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_rejected(
    tx: &mut impl Tx,
    generation_id: GenerationId,
    limit: u32,
) -> Result<Vec<RejectedCall>, StoreError> {
    let rows: Vec<RejectedRow> = sqlx::query_as(LIST_REJECTED)
        .bind(generation_id.as_uuid())
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(RejectedRow::into_rejected).collect()
}

#[derive(sqlx::FromRow)]
struct TotalsRow {
    stage: String,
    phase: String,
    batch: i32,
    calls: i64,
    repaired: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    cost_usd_micros: i64,
    latency_ms: i64,
    model: String,
}

impl TotalsRow {
    fn into_totals(self) -> Result<BatchTotals, StoreError> {
        Ok(BatchTotals {
            stage: from_word(self.stage, "stage")?,
            phase: self.phase,
            batch: self.batch.cast_unsigned(),
            calls: u32::try_from(self.calls).unwrap_or(u32::MAX),
            repaired: u32::try_from(self.repaired).unwrap_or(u32::MAX),
            usage: TokenUsage::new(
                self.prompt_tokens.cast_unsigned(),
                self.completion_tokens.cast_unsigned(),
            ),
            cost: MicroUsd(self.cost_usd_micros),
            latency: Duration::from_millis(self.latency_ms.cast_unsigned()),
            model: self.model,
        })
    }
}

#[derive(sqlx::FromRow)]
struct RejectedRow {
    stage: String,
    phase: String,
    batch: i32,
    attempt: i32,
    model: String,
    outcome: String,
    error: Option<String>,
    raw_output: Option<String>,
}

impl RejectedRow {
    fn into_rejected(self) -> Result<RejectedCall, StoreError> {
        Ok(RejectedCall {
            stage: from_word(self.stage, "stage")?,
            phase: self.phase,
            batch: self.batch.cast_unsigned(),
            attempt: self.attempt.cast_unsigned(),
            model: self.model,
            outcome: self.outcome,
            error: self.error,
            raw_output: self.raw_output,
        })
    }
}
