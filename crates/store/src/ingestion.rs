//! Reading of documents: who reads which, and what came of it (generation 3.1).
//!
//! A document is claimed for a while, like a job, but by itself: reading needs neither a generation nor a language
//! model. Whatever is written for a claim is fenced with its token, so that a reader that was taken for dead writes
//! nothing any more.

mod replace;

use std::time::Duration;

use domain::id::{CourseId, DocumentId};
use uuid::Uuid;

use crate::document::{Document, DocumentStatus, get_document};
use crate::error::StoreError;
use crate::hint::Hint;
use crate::json::to_text;
use crate::queue;
use crate::statement::statements;
use crate::tx::sealed::Sealed;
use crate::tx::{SystemTx, Tx};

#[cfg(feature = "testkit")]
pub(crate) use replace::ALL as REPLACE_ALL;
pub use replace::Replaced;

statements! {
    GIVE_UP = "update documents set status = 'failed', claim_token = null, claimed_until = null,
            error_code = 'worker_lost', error_message = $2
        where id in (select id from documents
            where status = 'processing' and claimed_until < now() and attempts >= $1 for update skip locked)";
    CLAIM_NEXT = "with next as (
            select d.id from documents d
            where d.status in ('uploaded', 'processing') and (d.claimed_until is null or d.claimed_until < now())
                -- Its twin is being read: then there is nothing left to do but to wait.
                and not exists (select from documents t where t.organization_id = d.organization_id
                    and t.sha256 = d.sha256 and t.id <> d.id and t.status = 'processing' and t.claimed_until >= now())
            order by d.id limit 1 for update skip locked)
        update documents d set status = 'processing', claim_token = $1,
            claimed_until = now() + make_interval(secs => $2), attempts = d.attempts + 1
        from next where d.id = next.id returning d.id";
    CLAIM_ONE = "update documents set status = 'processing', claim_token = $2,
            claimed_until = now() + make_interval(secs => $3), attempts = attempts + 1
        where id = $1 and status in ('uploaded', 'processing')
            and (claimed_until is null or claimed_until < now()) returning id";
    RENEW = "update documents set claimed_until = now() + make_interval(secs => $3)
        where id = $1 and claim_token = $2 and status = 'processing'";
    FENCE = "select true from documents where id = $1 and claim_token = $2 and status = 'processing' for update";
    PROGRESS = "update documents set attempts = least(attempts, 1)
        where id = $1 and claim_token = $2 and status = 'processing' returning true";
    FINISH = "update documents set status = 'processed', claim_token = null, claimed_until = null,
            processed_at = now(), attempts = 0
        where id = $1 and claim_token = $2 and status = 'processing'";
    FAIL = "update documents set status = 'failed', claim_token = null, claimed_until = null,
            error_code = $3, error_message = $4
        where id = $1 and claim_token = $2 and status = 'processing'";
    DELETE_OLDER_FAILURES = "delete from documents o using documents d
        where d.id = $1 and o.course_id = d.course_id and o.filename = d.filename and o.id < d.id
            and o.status = 'failed'";
    RELEASE = "update documents set status = 'uploaded', claim_token = null,
            claimed_until = now() + make_interval(secs => $3), attempts = greatest(attempts - 1, 0)
        where id = $1 and claim_token = $2 and status = 'processing'";
    REOPEN = "update documents set status = 'uploaded', claim_token = null, claimed_until = null, attempts = 0,
            error_code = null, error_message = null
        where id = $1 and status = 'failed'";
    LIST_OPEN = "select id from documents where course_id = $1 and status in ('uploaded', 'processing') order by id";
}

/// A document whose readers died so often kills them, and is given up. As many attempts as a job has, and two for
/// machines that were stopped.
const ATTEMPTS_MOST: i32 = 5;
/// What its author is told then.
const GIVEN_UP: &str = "Reading this document broke off again and again. Save it anew with the program that made it, \
    or export it to another format, and upload it again.";

/// The right to read a document, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The document as it was claimed.
    pub document: Document,
    /// What every write for it is fenced with.
    pub token: Uuid,
}

/// What came of claiming one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// It is the caller's.
    Claimed(Box<Claim>),
    /// Somebody reads it, or it waits for another attempt.
    Busy,
    /// It was read, or cannot be.
    Done(Box<Document>),
}

/// Claims the document that has waited longest. The claim ends `lease` from now unless [`renew`]ed. Documents whose
/// readers died again and again are given up by the way.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn claim_next(tx: &mut SystemTx, lease: Duration) -> Result<Option<Claim>, StoreError> {
    give_up(tx).await?;
    let token = new_token();
    let id: Option<Uuid> = sqlx::query_scalar(CLAIM_NEXT)
        .bind(token)
        .bind(lease.as_secs_f64())
        .fetch_optional(tx.connection())
        .await?;
    let Some(id) = id else { return Ok(None) };
    let document = get_document(tx, DocumentId::from_uuid(id)).await?;
    Ok(Some(Claim { document, token }))
}

/// Claims this document, if it is open and nobody has it.
///
/// # Errors
/// [`StoreError::NotFound`] if it is gone.
pub async fn claim_document(
    tx: &mut SystemTx,
    id: DocumentId,
    lease: Duration,
) -> Result<ClaimOutcome, StoreError> {
    give_up(tx).await?;
    let token = new_token();
    let claimed: Option<Uuid> = sqlx::query_scalar(CLAIM_ONE)
        .bind(id.as_uuid())
        .bind(token)
        .bind(lease.as_secs_f64())
        .fetch_optional(tx.connection())
        .await?;
    let document = get_document(tx, id).await?;
    Ok(match (claimed, document.status) {
        (Some(_), _) => ClaimOutcome::Claimed(Box::new(Claim { document, token })),
        (None, DocumentStatus::Uploaded | DocumentStatus::Processing) => ClaimOutcome::Busy,
        (None, DocumentStatus::Processed | DocumentStatus::Failed) => ClaimOutcome::Done(Box::new(document)),
    })
}

async fn give_up(tx: &mut SystemTx) -> Result<(), StoreError> {
    sqlx::query(GIVE_UP)
        .bind(ATTEMPTS_MOST)
        .bind(GIVEN_UP)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Keeps the claim for `lease` from now.
///
/// # Errors
/// [`StoreError::LostClaim`] if another has the document now, or it is gone: the caller must stop.
pub async fn renew(tx: &mut SystemTx, claim: &Claim, lease: Duration) -> Result<(), StoreError> {
    let renewed = sqlx::query(RENEW)
        .bind(claim.document.id.as_uuid())
        .bind(claim.token)
        .bind(lease.as_secs_f64())
        .execute(tx.connection())
        .await?;
    held(claim, renewed.rows_affected())
}

/// Makes sure that the document is still the caller's, and stays so until the transaction ends.
pub(crate) async fn fence(tx: &mut SystemTx, claim: &Claim) -> Result<(), StoreError> {
    fenced(tx, claim, FENCE).await
}

/// Like [`fence`], and grants fresh attempts to the document and to the job that waits for it: a part of it was read that
/// is never read again.
pub(crate) async fn note_progress(tx: &mut SystemTx, claim: &Claim) -> Result<(), StoreError> {
    // Jobs before documents, as where a course is deleted.
    queue::note_reading(tx, claim.document.course_id).await?;
    fenced(tx, claim, PROGRESS).await
}

async fn fenced(tx: &mut SystemTx, claim: &Claim, statement: &'static str) -> Result<(), StoreError> {
    let found: Option<bool> = sqlx::query_scalar(statement)
        .bind(claim.document.id.as_uuid())
        .bind(claim.token)
        .fetch_optional(tx.connection())
        .await?;
    held(claim, u64::from(found.is_some()))
}

/// The document is read. It replaces older documents of the same name in its course: citations whose text is still
/// there are moved to it, lessons with others are stale, and the older documents go.
///
/// # Errors
/// [`StoreError::LostClaim`] if the document is no longer the caller's: nothing is written.
pub async fn finish(tx: &mut SystemTx, claim: &Claim) -> Result<Replaced, StoreError> {
    queue::note_reading(tx, claim.document.course_id).await?;
    let finished = sqlx::query(FINISH)
        .bind(claim.document.id.as_uuid())
        .bind(claim.token)
        .execute(tx.connection())
        .await?;
    held(claim, finished.rows_affected())?;
    let replaced = replace::replace_older(tx, &claim.document).await?;
    // The stage that waits for it looks again, and so do readers of twins.
    tx.hint(Hint::Jobs);
    Ok(replaced)
}

/// The document cannot be read. `code` is a stable word, `message` tells the author what to do. Earlier tries with a file
/// of its name that failed, too, are gone; what was read stays.
///
/// # Errors
/// [`StoreError::LostClaim`] if the document is no longer the caller's.
pub async fn fail(tx: &mut SystemTx, claim: &Claim, code: &str, message: &str) -> Result<(), StoreError> {
    let failed = sqlx::query(FAIL)
        .bind(claim.document.id.as_uuid())
        .bind(claim.token)
        .bind(to_text(code))
        .bind(to_text(message))
        .execute(tx.connection())
        .await?;
    held(claim, failed.rows_affected())?;
    sqlx::query(DELETE_OLDER_FAILURES)
        .bind(claim.document.id.as_uuid())
        .execute(tx.connection())
        .await?;
    // The stage that waits for it looks again.
    tx.hint(Hint::Jobs);
    Ok(())
}

/// Hands the document back, to be claimed again not before `wait` has passed. It costs no attempt.
///
/// # Errors
/// [`StoreError::LostClaim`] if the document is no longer the caller's.
pub async fn release(tx: &mut SystemTx, claim: &Claim, wait: Duration) -> Result<(), StoreError> {
    let released = sqlx::query(RELEASE)
        .bind(claim.document.id.as_uuid())
        .bind(claim.token)
        .bind(wait.as_secs_f64())
        .execute(tx.connection())
        .await?;
    held(claim, released.rows_affected())?;
    if wait.is_zero() {
        tx.hint(Hint::Jobs);
    }
    Ok(())
}

/// A document that could not be read waits to be read once more. One that did not fail stays as it is.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn reopen(tx: &mut SystemTx, id: DocumentId) -> Result<(), StoreError> {
    sqlx::query(REOPEN)
        .bind(id.as_uuid())
        .execute(tx.connection())
        .await?;
    tx.hint(Hint::Jobs);
    Ok(())
}

/// Documents of a course that wait to be read or are being read, the oldest first.
///
/// # Errors
/// [`StoreError`] if the database refuses.
pub async fn list_open(tx: &mut impl Tx, course_id: CourseId) -> Result<Vec<DocumentId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(LIST_OPEN)
        .bind(course_id.as_uuid())
        .fetch_all(tx.connection())
        .await?;
    Ok(ids.into_iter().map(DocumentId::from_uuid).collect())
}

fn held(claim: &Claim, rows: u64) -> Result<(), StoreError> {
    if rows == 0 {
        Err(StoreError::LostClaim(claim.document.id))
    } else {
        Ok(())
    }
}

/// The token of a claim; nothing refers to it but the reader.
#[expect(clippy::disallowed_methods, reason = "a token of one reading, not an id")]
fn new_token() -> Uuid {
    Uuid::now_v7()
}
