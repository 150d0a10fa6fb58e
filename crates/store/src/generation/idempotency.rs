//! Starts that come twice: the second is given the first one's answer (service 4.2).

use domain::id::{CourseId, GenerationId, JobId};
use uuid::Uuid;

use super::lifecycle::StartedGeneration;
use crate::error::StoreError;
use crate::json::{from_word, to_text};
use crate::statement::statements;
use crate::tx::TenantTx;
use crate::tx::sealed::Sealed;

statements! {
    FIND_BY_KEY = "select course, generation, job, stage, request_hash from app.find_own_start($1)";
}

/// What the actor's start with this idempotency key gave, if there was one, for starts that make their course, too. It
/// is called first in the transaction that starts: of two that come at once, the second waits at the user's row until
/// the first has ended. `request_hash` is that of [`super::lifecycle::NewGeneration::options`].
///
/// # Errors
/// [`StoreError::Conflict`] if the key came with another request.
pub async fn find_by_idempotency(
    tx: &mut TenantTx,
    key: &str,
    request_hash: Option<&str>,
) -> Result<Option<(CourseId, StartedGeneration)>, StoreError> {
    let row: Option<(Uuid, Uuid, Uuid, String, Option<String>)> = sqlx::query_as(FIND_BY_KEY)
        .bind(to_text(key))
        .fetch_optional(tx.connection())
        .await?;
    let Some((course, generation, job, stage, found_hash)) = row else {
        return Ok(None);
    };
    if found_hash.as_deref() != request_hash {
        return Err(StoreError::key_of_another_request());
    }
    let started = StartedGeneration {
        generation_id: GenerationId::from_uuid(generation),
        job_id: JobId::from_uuid(job),
        stage: from_word(stage, "stage")?,
        is_new: false,
    };
    Ok(Some((CourseId::from_uuid(course), started)))
}
