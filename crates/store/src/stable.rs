//! Ids that stay the same when a transaction is run again.

use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

/// The ids of the rows that a transaction inserts, in the order in which it asks for them. All tries of one
/// transaction share them, so that a later try finds what an earlier one has made unseen: its commit was done, but the
/// answer was lost with the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct StableIds {
    known: Arc<Mutex<Vec<Uuid>>>,
    place: usize,
}

impl StableIds {
    /// The same ids from the beginning, for the next try.
    pub(crate) fn again(&self) -> Self {
        Self {
            known: Arc::clone(&self.known),
            place: 0,
        }
    }

    /// The next id.
    #[expect(clippy::disallowed_methods, reason = "what the id is of, its caller knows")]
    pub(crate) fn take(&mut self) -> Uuid {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if self.place == known.len() {
            known.push(Uuid::now_v7());
        }
        self.place += 1;
        known[self.place - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_try_gets_the_same_ids_in_the_same_order() {
        let ids = StableIds::default();
        let (mut first, mut second) = (ids.again(), ids.again());
        let given = [first.take(), first.take()];
        assert_ne!(given[0], given[1]);
        assert_eq!([second.take(), second.take()], given);
    }
}
