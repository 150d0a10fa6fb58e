//! What is told of a job in logs, and how its generation wants it done.

use domain::organization::Tier;
use serde_json::Value;
use store::Store;
use store::error::StoreError;
use store::generation::get_generation;
use store::organization::get_tier;
use store::queue::ClaimedJob;
use store::tx::SystemTx;
use tracing::Span;

/// The generation's part of a job's surroundings.
#[derive(Clone, Debug)]
pub(super) struct JobContext {
    /// The tier of the organization.
    pub(super) tier: Tier,
    /// The generation's options.
    pub(super) options: Value,
}

impl JobContext {
    /// Reads it.
    ///
    /// # Errors
    /// [`StoreError`] if the generation is gone or the database does not answer.
    pub(super) async fn load(store: &Store, claimed: &ClaimedJob) -> Result<Self, StoreError> {
        let (generation, organization) = (claimed.job.generation_id, claimed.organization_id);
        store
            .with_system(async move |tx: &mut SystemTx| {
                Ok(Self {
                    tier: get_tier(tx, organization).await?,
                    options: get_generation(tx, generation).await?.options,
                })
            })
            .await
    }
}

/// The span of a job's log lines (service 4.7).
pub(super) fn span(claimed: &ClaimedJob, context: &JobContext) -> Span {
    let request_id = context
        .options
        .get("request_id")
        .and_then(Value::as_str)
        .unwrap_or_default();
    tracing::info_span!(
        "job",
        request_id,
        user_id = %claimed.user_id,
        organization_id = %claimed.organization_id,
        tier = context.tier.as_str(),
        course_id = %claimed.job.course_id,
        generation_id = %claimed.job.generation_id,
        job_id = %claimed.lease.job_id,
        stage = claimed.job.stage.as_str(),
        attempt = claimed.lease.attempt,
    )
}
