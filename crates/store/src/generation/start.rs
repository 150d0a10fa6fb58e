//! The start of a generation in one statement, after the check that the actor may (service 4.2).

use chrono::{DateTime, Utc};
use domain::generation::GenerationScope;
use domain::id::{GenerationId, JobId};
use domain::organization::Tier;
use serde_json::Value;
use uuid::Uuid;

use super::lifecycle::{GenerationLimits, NewGeneration, StartedGeneration};
use super::limits;
use crate::course;
use crate::error::StoreError;
use crate::hint::Hint;
use crate::json::{from_word, to_json, to_text};
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, TenantTx};

statements! {
    START = "select outcome, generation, job, stage, tier, user_most, user_active, global_active, tier_ended_at
        from app.start_generation($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'authenticated')";
    MAKE_PLACES = "insert into generation_slots (number)
        select number from generate_series((select coalesce(max(number), 0) + 1 from generation_slots), $1) as number
        on conflict (number) do nothing";
}

/// Makes the places for so many active generations that are not there yet. A start makes them too, but then others wait
/// for its commit.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn make_places(tx: &mut SystemTx, global_limit: u32) -> Result<(), StoreError> {
    sqlx::query(MAKE_PLACES)
        .bind(limits::limit_of(global_limit))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// What is written as the message of the first step (service 4.2).
pub(crate) const MESSAGE: &str = "Инициализация завершена";

/// Starts a generation as [`super::lifecycle::start_generation`] does, within the terms of the actor's tier as they are
/// in the database: as many at once as it allows one user (`user_limit` is not looked at), a budget of at most what the
/// course and the tier allow (`budget` can only lessen it), and only while the tier lasts at `now`.
///
/// # Errors
/// As [`super::lifecycle::start_generation`]; [`StoreError::TierEnded`] if the days of the tier are over.
pub async fn start_within_tier(
    tx: &mut TenantTx,
    new: &NewGeneration,
    now: DateTime<Utc>,
) -> Result<StartedGeneration, StoreError> {
    start(tx, new, Some(now)).await
}

/// Starts; with `asked_at`, within the terms of the tier.
pub(super) async fn start(
    tx: &mut TenantTx,
    new: &NewGeneration,
    asked_at: Option<DateTime<Utc>>,
) -> Result<StartedGeneration, StoreError> {
    // The same at every try of the transaction: a start whose commit was done but not heard of is known again.
    let (generation, job) = (tx.stable_id(), tx.stable_id());
    let person = tx.actor().user_id;
    let options = options(new)?;
    course::check_own_and_elevate(tx, new.course_id, "only its owner may generate a course").await?;
    let row: StartRow = sqlx::query_as(START)
        .bind(asked_at)
        .bind(generation)
        .bind(job)
        .bind(new.course_id.as_uuid())
        .bind(person.as_uuid())
        .bind(new.budget.0)
        .bind(new.seed.cast_signed())
        .bind(options)
        .bind(new.idempotency_key.as_deref().map(to_text))
        .bind(new.webhook_url.as_deref().map(to_text))
        .bind(new.user_limit.map(limits::limit_of))
        .bind(new.global_limit.map(limits::limit_of))
        .bind(MESSAGE)
        .fetch_one(tx.connection())
        .await?;
    if let (Some(generation), Some(job), Some(stage)) = (row.generation, row.job, &row.stage) {
        let is_new = row.outcome == "started";
        if is_new {
            tx.hint(Hint::Jobs);
            tx.hint(Hint::Progress(new.course_id));
        }
        return Ok(StartedGeneration {
            generation_id: GenerationId::from_uuid(generation),
            job_id: JobId::from_uuid(job),
            stage: from_word(stage.clone(), "stage")?,
            is_new,
        });
    }
    tx.restore().await?;
    Err(row.refusal(new)?)
}

fn options(new: &NewGeneration) -> Result<Value, StoreError> {
    let mut options = to_json(&new.options, "generation options")?;
    let scope: &GenerationScope = &new.scope;
    if let Value::Object(fields) = &mut options {
        fields.insert("scope".to_owned(), to_json(scope, "generation scope")?);
    }
    Ok(options)
}

#[derive(sqlx::FromRow)]
struct StartRow {
    outcome: String,
    generation: Option<Uuid>,
    job: Option<Uuid>,
    stage: Option<String>,
    tier: Option<String>,
    user_most: Option<i32>,
    user_active: Option<i32>,
    global_active: Option<i32>,
    tier_ended_at: Option<DateTime<Utc>>,
}

impl StartRow {
    /// Why nothing was started.
    fn refusal(self, new: &NewGeneration) -> Result<StoreError, StoreError> {
        Ok(match (self.outcome.as_str(), self.tier_ended_at) {
            ("tier_ended", Some(ended_at)) => StoreError::TierEnded {
                tier: from_word::<Tier>(self.tier.unwrap_or_default(), "tier")?,
                ended_at,
            },
            ("active", _) => StoreError::generation_active(),
            ("other_request", _) => StoreError::key_of_another_request(),
            ("unfinished", _) => {
                StoreError::Conflict("the course has no such finished part to make anew".to_owned())
            }
            (outcome, _) => {
                let limits = GenerationLimits {
                    user: self.user_most.map(i32::cast_unsigned),
                    global: new.global_limit,
                };
                limits::too_many(outcome, self.tier, self.user_active, self.global_active, limits)?
            }
        })
    }
}
