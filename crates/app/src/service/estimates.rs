//! How much longer a generation takes, learnt from those that completed (service 4.1).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use domain::generation::{GenerationProgress, GenerationStatus};
use store::Store;
use store::error::StoreError;
use store::generation::{StageDuration, stage_durations};

/// How long what was learnt is kept.
const KEPT: Duration = Duration::from_mins(1);
/// A stage that takes longer than usual is taken to need this share of its usual time more.
const OVERTIME_SHARE: f64 = 0.1;
/// From this share of a stage on, its own pace says more than that of others.
const PACE_SHARE: f64 = 0.1;

/// The statuses that take time, in their order. A review takes as long as its author likes.
const TIMED: [GenerationStatus; 6] = [
    GenerationStatus::Initializing,
    GenerationStatus::ProcessingDocuments,
    GenerationStatus::AnalyzingTask,
    GenerationStatus::GeneratingStructure,
    GenerationStatus::GeneratingContent,
    GenerationStatus::Finalizing,
];

/// How long stages took lately, as it was read last.
#[derive(Debug, Default)]
pub(crate) struct Estimates(Mutex<Option<(Instant, Vec<StageDuration>)>>);

/// Where a generation stands, for an estimate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing<'a> {
    /// Its status.
    pub(crate) status: GenerationStatus,
    /// Its progress.
    pub(crate) progress: &'a GenerationProgress,
    /// The share of the present stage that is done, 0 to 1, where it is counted.
    pub(crate) share: Option<f64>,
    /// Now.
    pub(crate) now: DateTime<Utc>,
}

impl Estimates {
    /// The usual durations.
    ///
    /// # Errors
    /// [`StoreError`] if they have to be read and the database refuses.
    pub(crate) async fn usual(&self, store: &Store) -> Result<Vec<StageDuration>, StoreError> {
        if let Some((at, usual)) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner)
            && at.elapsed() < KEPT
        {
            return Ok(usual.clone());
        }
        let asked_at = Instant::now();
        let usual = store.with_system(async |tx| stage_durations(tx).await).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked_at, usual.clone()));
        Ok(usual)
    }
}

/// The seconds that a generation still needs; `None` where nobody can know: nothing was learnt yet, its author has to
/// look at it, or it ended without being completed.
pub(crate) fn remaining_seconds(usual: &[StageDuration], standing: Standing<'_>) -> Option<u32> {
    let status = match standing.status {
        GenerationStatus::Completed => return Some(0),
        GenerationStatus::Pending => GenerationStatus::Initializing,
        status => status,
    };
    let present = TIMED.iter().position(|timed| *timed == status)?;
    if usual.is_empty() {
        return None;
    }
    let takes = |status: GenerationStatus| -> f64 {
        let is_skipped = status == GenerationStatus::ProcessingDocuments && !standing.progress.has_documents;
        if is_skipped {
            return 0.0;
        }
        let learnt = usual.iter().find(|duration| duration.status == status);
        learnt.map_or(0.0, |duration| duration.median_seconds)
    };
    let later: f64 = TIMED[present + 1..].iter().map(|status| takes(*status)).sum();
    let elapsed = elapsed_seconds(standing);
    let whole = takes(status);
    let left = match standing.share {
        Some(share) if share >= PACE_SHARE => elapsed * (1.0 - share.min(1.0)) / share,
        _ => (whole - elapsed).max(whole * OVERTIME_SHARE),
    };
    Some(to_whole_seconds(left + later))
}

fn elapsed_seconds(standing: Standing<'_>) -> f64 {
    let current = standing.progress.current_step;
    let began = standing
        .progress
        .steps
        .iter()
        .find(|step| step.id == current)
        .and_then(|step| step.started_at);
    began.map_or(0.0, |began| (standing.now - began).as_seconds_f64().max(0.0))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is between 0 and the largest u32"
)]
fn to_whole_seconds(seconds: f64) -> u32 {
    seconds.ceil().clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use domain::generation::{ProgressStep, StepStatus};

    use super::*;

    fn usual() -> Vec<StageDuration> {
        TIMED
            .iter()
            .zip([2.0, 30.0, 20.0, 60.0, 100.0, 5.0])
            .map(|(status, median_seconds)| StageDuration {
                status: *status,
                median_seconds,
            })
            .collect()
    }

    fn progress(current_step: u8, began: DateTime<Utc>) -> GenerationProgress {
        let steps = (1..=5).map(|id| ProgressStep {
            id,
            name: String::new(),
            status: StepStatus::InProgress,
            started_at: Some(began),
            completed_at: None,
            error: None,
            error_details: None,
        });
        GenerationProgress {
            steps: steps.collect(),
            percentage: 0,
            current_step,
            message: String::new(),
            total_steps: 5,
            has_documents: false,
            lessons_completed: 0,
            lessons_total: 0,
        }
    }

    #[track_caller]
    fn check(status: GenerationStatus, step: u8, elapsed: i64, share: Option<f64>, expected: Option<u32>) {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let progress = progress(step, now - TimeDelta::seconds(elapsed));
        let standing = Standing {
            status,
            progress: &progress,
            share,
            now,
        };
        assert_eq!(remaining_seconds(&usual(), standing), expected, "{status:?}");
    }

    #[test]
    fn what_is_left_is_the_rest_of_this_stage_and_all_later_ones() {
        use GenerationStatus as S;
        // Documents are skipped: 2 + 20 + 60 + 100 + 5.
        check(S::Initializing, 1, 0, None, Some(187));
        check(S::AnalyzingTask, 2, 15, None, Some(170));
        // Later than usual: a tenth of the usual time more.
        check(S::AnalyzingTask, 2, 500, None, Some(167));
        // A quarter took 50 s, so the rest takes 150 s at that pace.
        check(S::GeneratingContent, 4, 50, Some(0.25), Some(155));
        check(S::Completed, 5, 9, None, Some(0));
        check(S::AwaitingReview, 3, 9, None, None);
        check(S::Failed, 3, 9, None, None);
    }

    #[test]
    fn nothing_is_said_before_anything_was_learnt() {
        let now = DateTime::UNIX_EPOCH;
        let standing = Standing {
            status: GenerationStatus::AnalyzingTask,
            progress: &progress(2, now),
            share: None,
            now,
        };
        assert_eq!(remaining_seconds(&[], standing), None);
    }
}
