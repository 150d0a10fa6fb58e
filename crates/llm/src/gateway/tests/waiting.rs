//! Which time counts against the wait limit, and what ends a wait early.

use super::*;

fn delayed(mut reply: ScriptedReply, delay: Duration) -> ScriptedReply {
    reply.delay = delay;
    reply
}

/// A call that may be silent for as long as `idle_timeout`, to a route of one answer behind these.
async fn answered_at_last(mut first: Vec<ScriptedReply>, idle_timeout: Duration) -> u32 {
    first.push(ScriptedReply::text("hello"));
    let set = set_up(first.clone(), first);
    let spec = CallSpec {
        idle_timeout,
        ..spec(Work::Lesson)
    };
    set.call(&spec).await.unwrap().attempts
}

#[tokio::test(start_paused = true)]
async fn first_answer_that_breaks_off_is_no_wait() {
    let limit = RetryPolicy::default().wait_limit;
    let broken = || {
        let reason = "closed".to_owned();
        delayed(
            ScriptedReply::error(ProviderError::BrokenStream { reason }),
            limit * 2,
        )
    };
    let patience = limit * 3;
    assert_eq!(answered_at_last(vec![broken()], patience).await, 2);
    let set = set_up(vec![broken(); 9], vec![broken(); 9]);
    let spec = CallSpec {
        idle_timeout: patience,
        ..spec(Work::Lesson)
    };
    let error = set.call(&spec).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Exhausted { attempts: 3, .. }),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn first_silence_is_forgiven_and_no_other() {
    let limit = RetryPolicy::default().wait_limit;
    let silent = || delayed(ScriptedReply::text("late"), limit * 2);
    assert_eq!(answered_at_last(vec![silent()], limit).await, 2);
    let set = set_up(vec![silent(); 9], vec![silent(); 9]);
    let spec = CallSpec {
        idle_timeout: limit,
        ..spec(Work::Lesson)
    };
    let error = set.call(&spec).await.unwrap_err();
    // Two of the first model, one of the second.
    assert!(
        matches!(&error, CallError::Exhausted { attempts: 3, .. }),
        "{error:?}"
    );
}

/// Forbids every attempt from the first wait on, as a budget does that other calls use up.
#[derive(Default)]
struct UsedUpMeanwhile {
    has_waited: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl CallLog for UsedUpMeanwhile {
    async fn on_attempt(&self, _record: AttemptRecord) {}

    fn may_go_on(&self) -> bool {
        !self.has_waited.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn on_wait(&self, _waiting: &Waiting) {
        self.has_waited.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn wait_ends_soon_when_no_further_attempt_may_be_made() {
    let set = set_up(vec![slow_down(300)], vec![slow_down(300)]);
    let started = tokio::time::Instant::now();
    let log = UsedUpMeanwhile::default();
    let error = set
        .models
        .call(&spec(Work::Lesson), &Unobserved, &CancellationToken::new(), &log)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Stopped { attempts: 2 }), "{error:?}");
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
}
