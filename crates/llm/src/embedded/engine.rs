//! The thread that owns the model and answers several requests at once.
//!
//! All answers in the making go through the network together, so that every weight is read once a step. A prompt
//! is taken in pieces between the steps; what it shares with a prompt that is or was in a slot is copied.

mod answer;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use toktrie::TokenId;

use self::answer::{Answer, Progress};
pub(super) use self::answer::{Event, Job};
use super::EmbeddedError;
use super::attention::Memory;
use super::network::{MAX_ROWS, Network, Row};
use super::sampling::TokenTraits;
use super::vocabulary::Vocabulary;
use crate::error::ProviderError;

/// Tokens that a prompt must share with one that is still being read, beyond what is read, for it to wait.
const WORTH_WAITING: usize = 32;
/// How often waiting requests are looked at for cancellation when nothing else happens.
const IDLE_CHECK: Duration = Duration::from_millis(500);

/// A place for one answer, with the memory of the last sequence that stood in it.
struct Slot {
    memory: Memory,
    /// The tokens behind the memory, and those that will follow while the answer is unfinished.
    tokens: Vec<TokenId>,
    answer: Option<Answer>,
    /// When it was last given away, for taking the one that has been idle longest.
    used: u64,
}

/// The engine.
pub(super) struct Engine {
    network: Network,
    vocabulary: Arc<Vocabulary>,
    traits: TokenTraits,
    slots: Vec<Slot>,
    waiting: VecDeque<Job>,
    clock: u64,
}

impl Engine {
    pub(super) fn new(network: Network, vocabulary: Arc<Vocabulary>, slots: usize) -> Self {
        let count = u32::try_from(network.vocabulary()).unwrap_or(u32::MAX);
        let traits = TokenTraits::new((0..count).map(|token| vocabulary.bytes(token)));
        let slots = (0..slots.max(1))
            .map(|_| Slot {
                memory: network.memory(),
                tokens: Vec::new(),
                answer: None,
                used: 0,
            })
            .collect();
        Self {
            network,
            vocabulary,
            traits,
            slots,
            waiting: VecDeque::new(),
            clock: 0,
        }
    }

    /// Serves `jobs` until all their senders are gone.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            if !self.take_jobs(jobs) {
                return;
            }
            self.drop_cancelled();
            self.admit();
            if let Err(error) = self.step() {
                tracing::error!(%error, "the embedded model failed");
                self.fail_all(&error);
            }
        }
    }

    /// Fetches new jobs, waiting for one when there is nothing to do. False: there will be no more.
    fn take_jobs(&mut self, jobs: &Receiver<Job>) -> bool {
        let busy = self.slots.iter().any(|slot| slot.answer.is_some());
        if !busy {
            match jobs.recv_timeout(IDLE_CHECK) {
                Ok(job) => self.waiting.push_back(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return !self.waiting.is_empty(),
            }
        }
        loop {
            match jobs.try_recv() {
                Ok(job) => self.waiting.push_back(job),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return busy || !self.waiting.is_empty(),
            }
        }
    }

    fn drop_cancelled(&mut self) {
        self.waiting.retain(|job| !job.is_abandoned());
        for slot in &mut self.slots {
            if slot.answer.as_ref().is_some_and(Answer::is_abandoned) {
                slot.release();
            }
        }
    }

    /// Gives waiting jobs to free slots, the oldest first.
    fn admit(&mut self) {
        let mut index = 0;
        while index < self.waiting.len() {
            match self.choose_slot(&self.waiting[index].prompt) {
                Choice::Full => return,
                // It shares much with a prompt that is being read just now: soon it can be copied.
                Choice::Wait => index += 1,
                Choice::Copy { source, shared } => {
                    let Some(job) = self.waiting.remove(index) else {
                        return;
                    };
                    self.place(job, source, shared);
                }
            }
        }
    }

    fn choose_slot(&self, prompt: &[TokenId]) -> Choice {
        if self.slots.iter().all(|slot| slot.answer.is_some()) {
            return Choice::Full;
        }
        let (mut best, mut coming) = ((0, 0), 0);
        for (index, slot) in self.slots.iter().enumerate() {
            let common = common_prefix(&slot.tokens, prompt);
            let ready = common.min(slot.memory.length());
            if ready > best.1 {
                best = (index, ready);
            }
            if slot.answer.as_ref().is_some_and(Answer::is_reading) {
                coming = coming.max(common);
            }
        }
        // The last token of the prompt always goes through the network: its logits begin the answer.
        let (source, shared) = (best.0, best.1.min(prompt.len().saturating_sub(1)));
        if coming < shared + WORTH_WAITING {
            Choice::Copy { source, shared }
        } else {
            Choice::Wait
        }
    }

    fn place(&mut self, job: Job, source: usize, shared: usize) {
        let free = |slot: &Slot| slot.answer.is_none();
        let oldest = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| free(slot))
            .min_by_key(|(_, slot)| slot.used);
        let Some((oldest, _)) = oldest else { return };
        let target = if shared > 0 && free(&self.slots[source]) {
            source
        } else {
            oldest
        };
        if target == source {
            self.slots[target].memory.truncate(shared);
        } else {
            let Ok([target, source]) = self.slots.get_disjoint_mut([target, source]) else {
                return;
            };
            target.memory.copy_prefix(&source.memory, shared);
        }
        self.clock += 1;
        let slot = &mut self.slots[target];
        slot.used = self.clock;
        slot.tokens.clear();
        slot.tokens.extend_from_slice(&job.prompt);
        let answer = Answer::new(job, self.network.positions(), shared);
        slot.tokens.extend_from_slice(answer.forced_at_start());
        slot.answer = Some(answer);
    }

    /// One pass of the network over all answers in the making, and a piece of the prompts.
    fn step(&mut self) -> Result<(), EmbeddedError> {
        let mut rows = Vec::new();
        let mut room = MAX_ROWS;
        // Answers first: their readers wait for each token. Then prompts, in the order in which they came.
        let mut order: Vec<usize> = (0..self.slots.len())
            .filter(|index| self.slots[*index].answer.is_some())
            .collect();
        order.sort_by_key(|index| (self.slots[*index].unread() > MAX_ROWS, self.slots[*index].used));
        let mut sampled = Vec::new();
        for index in order {
            let slot = &self.slots[index];
            let unread = slot.unread();
            let count = if slot.answer.as_ref().is_some_and(Answer::is_reading) {
                unread.min(room)
            } else {
                unread
            };
            room = room.saturating_sub(count);
            let start = slot.memory.length();
            let last = start + count == slot.tokens.len();
            rows.extend((start..start + count).map(|position| Row {
                memory: index,
                token: slot.tokens[position],
                position,
                sampled: last && position + 1 == start + count,
            }));
            if last && count > 0 {
                sampled.push(index);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let mut memories: Vec<&mut Memory> = self.slots.iter_mut().map(|slot| &mut slot.memory).collect();
        let logits = self.network.step(&rows, &mut memories)?;
        for (index, logits) in sampled.into_iter().zip(logits) {
            self.continue_answer(index, logits);
        }
        Ok(())
    }

    fn continue_answer(&mut self, index: usize, mut logits: Vec<f32>) {
        let slot = &mut self.slots[index];
        let Some(answer) = &mut slot.answer else { return };
        match answer.next(&mut logits, &self.vocabulary, &self.traits) {
            Ok(Progress::More(tokens)) => slot.tokens.extend(tokens),
            Ok(Progress::Finished) => slot.release(),
            Err(error) => {
                answer.fail(ProviderError::Setup(error.to_string()));
                slot.release();
            }
        }
    }

    fn fail_all(&mut self, error: &EmbeddedError) {
        for slot in &mut self.slots {
            if let Some(answer) = &mut slot.answer {
                answer.fail(ProviderError::Setup(error.to_string()));
            }
            slot.release();
            // A step that failed half-way has left layers of different length.
            slot.memory.truncate(0);
        }
    }
}

impl Slot {
    /// Tokens that have not been through the network.
    fn unread(&self) -> usize {
        self.tokens.len() - self.memory.length().min(self.tokens.len())
    }

    /// Frees the slot; the memory stays for prompts that begin alike.
    fn release(&mut self) {
        self.answer = None;
        self.tokens.truncate(self.memory.length());
    }
}

/// What to do with a waiting job.
enum Choice {
    /// No slot is free.
    Full,
    /// Wait for another prompt.
    Wait,
    /// Begin, with the first `shared` tokens of `source`.
    Copy { source: usize, shared: usize },
}

fn common_prefix(a: &[TokenId], b: &[TokenId]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
