//! Questions that authors ask of their documents: how many, and what they took. What was asked is not kept.

use domain::id::{CourseId, QuestionId};
use domain::usage::{MicroUsd, TokenUsage};

use crate::error::StoreError;
use crate::json::to_text;
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, TenantTx};

statements! {
    LOCK_ASKER = "select id from users where id = $1 for no key update";
    COUNT_QUESTIONS = "select count(*) filter (where asked_at > now() - interval '1 hour'),
            coalesce(sum(cost_usd_micros), 0)::bigint
        from questions where user_id = $1 and asked_at > now() - interval '1 day'";
    INSERT_QUESTION = "insert into questions (id, organization_id, user_id, course_id)
        select $1, c.organization_id, $2, c.id from courses c where c.id = $3
        on conflict (id) do nothing";
    UPDATE_QUESTION = "update questions set model = $2, input_tokens = $3, output_tokens = $4, cost_usd_micros = $5
        where id = $1";
}

/// How much one person may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuestionLimits {
    /// Questions within an hour.
    pub an_hour: u32,
    /// Money within a day; the question that crosses it is still answered.
    pub cost_a_day: MicroUsd,
}

/// Whether a question may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may; [`finish_question`] is to be told what it took.
    Admitted(QuestionId),
    /// So many were asked within the last hour.
    TooMany(u32),
    /// So much was spent within the last day.
    TooCostly(MicroUsd),
}

/// Notes that the actor asks about a course that the actor may see. Those who ask much at once wait for each other here,
/// so that no limit is passed together.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn begin_question(
    tx: &mut TenantTx,
    course_id: CourseId,
    limits: QuestionLimits,
) -> Result<Admission, StoreError> {
    let id = QuestionId::from_uuid(tx.stable_id());
    let user = tx.actor().user_id.as_uuid();
    tx.elevate().await?;
    sqlx::query(LOCK_ASKER)
        .bind(user)
        .execute(tx.connection())
        .await?;
    let (asked, spent): (i64, i64) = sqlx::query_as(COUNT_QUESTIONS)
        .bind(user)
        .fetch_one(tx.connection())
        .await?;
    let (asked, spent) = (u32::try_from(asked).unwrap_or(u32::MAX), MicroUsd(spent));
    let admission = if asked >= limits.an_hour {
        Admission::TooMany(asked)
    } else if spent >= limits.cost_a_day {
        Admission::TooCostly(spent)
    } else {
        sqlx::query(INSERT_QUESTION)
            .bind(id.as_uuid())
            .bind(user)
            .bind(course_id.as_uuid())
            .execute(tx.connection())
            .await?;
        Admission::Admitted(id)
    };
    tx.restore().await?;
    Ok(admission)
}

/// Notes what a question took. One that is gone is no error.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn finish_question(
    tx: &mut SystemTx,
    id: QuestionId,
    model: Option<&str>,
    usage: TokenUsage,
    cost: MicroUsd,
) -> Result<(), StoreError> {
    sqlx::query(UPDATE_QUESTION)
        .bind(id.as_uuid())
        .bind(model.map(to_text))
        .bind(usage.input.cast_signed())
        .bind(usage.output.cast_signed())
        .bind(cost.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}
