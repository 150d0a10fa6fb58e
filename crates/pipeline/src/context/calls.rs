//! What calls tell a run while they are made: costs, waits, and how their models want to be asked.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use llm::gateway::Waiting;
use llm::pricing::Cost;
use tokio::time::Instant;

use super::Run;
use crate::capabilities;
use crate::event::Event;

/// Calls that wait for one provider together are told of this often at most.
const WAITS_TOLD_EVERY: Duration = Duration::from_secs(20);

impl Run {
    /// Counts what an attempt cost, before it is written: siblings must see it at once.
    pub(crate) fn count_cost(&self, cost: Cost) {
        let (counter, amount) = match cost {
            Cost::Known(amount) => (&self.spent, amount),
            Cost::Assumed(amount) => (&self.assumed, amount),
        };
        counter.fetch_add(amount.0, Ordering::Relaxed);
    }

    /// Tells that a call waits, unless another has just told it.
    pub(crate) fn note_wait(&self, waiting: &Waiting) {
        let now = Instant::now();
        let mut told = self.told_wait.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|at| now.duration_since(at) < WAITS_TOLD_EVERY) {
            return;
        }
        *told = Some(now);
        drop(told);
        let Waiting {
            model, cause, left, ..
        } = waiting;
        let seconds = left.as_secs().max(1);
        self.observer().on_event(Event::Notice {
            message: format!("Waiting for {model}: {cause}. Next try in {seconds} s"),
        });
    }

    /// Saves what servers have taught of their models, and says it once.
    pub(crate) async fn save_what_was_learnt(&self) {
        let news = self.models().capabilities().take_news();
        for learnt in &news {
            self.observer().on_event(Event::Notice {
                message: capabilities::sentence(learnt),
            });
        }
        // It can be learnt again, so the answer that is under way does not depend on it.
        if let Err(error) = capabilities::save(self.store(), &news).await {
            tracing::warn!(%error, "what was learnt of a model could not be saved");
        }
    }
}
