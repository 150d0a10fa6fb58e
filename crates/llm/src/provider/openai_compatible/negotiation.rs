//! One call's way from what the card says to what the server takes.

use serde_json::{Map, Value};

use super::Endpoint;
use super::body::request_body;
use super::refusal::{self, Meaning, Refusal};
use crate::budget::{O200k, TokenCounter, count_prompt};
use crate::capability::{Adjustment, Capabilities, CapabilityBook};
use crate::card::StructuredOutput;
use crate::error::ProviderError;
use crate::request::Request;

/// Requests of one call that may be refused: each adjusts something, and there are no more things to adjust.
const MOST_REFUSALS: usize = 16;
/// The shortest answer worth asking for, in tokens.
const LEAST_ANSWER_TOKENS: u32 = 256;
/// Tokens that are left free between prompt and answer: templates add some that nobody counts.
const MARGIN_TOKENS: u32 = 64;

/// The request that is sent next.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) body: Map<String, Value>,
    /// The longest answer that it allows.
    pub(super) answer_tokens: u32,
}

/// What is tried after a refusal that nobody understands: the same once more, since it may have been a hiccup that says
/// nothing of the model; then one thing at a time, then all together.
#[derive(Debug)]
struct Trial {
    /// What the model was asked with before.
    base: Capabilities,
    changes: Vec<Adjustment>,
    /// The change that is tried now; at the end all of them at once.
    at: usize,
}

/// A call that is being negotiated.
#[derive(Debug)]
pub(super) struct Negotiation {
    capabilities: Capabilities,
    changes: Vec<Adjustment>,
    /// Tokens of the prompt as the server counts them.
    prompt_tokens: Option<u32>,
    /// What this one answer may have at most, beside what is learnt.
    answer_limit: u32,
    trial: Option<Trial>,
    refusals: usize,
    /// The first refusal that nothing mended is the one to tell.
    last: Option<Refusal>,
}

impl Negotiation {
    pub(super) fn begin(capabilities: Capabilities, request: &Request) -> Self {
        let room = capabilities.thinking_tokens;
        Self {
            capabilities,
            changes: Vec::new(),
            prompt_tokens: None,
            answer_limit: request.max_output_tokens.saturating_add(room),
            trial: None,
            refusals: 0,
            last: None,
        }
    }

    /// The next request.
    ///
    /// # Errors
    /// [`ProviderError::TooLong`] if the prompt leaves no room for an answer.
    pub(super) fn ask(&self, request: &Request, endpoint: &Endpoint) -> Result<Asked, ProviderError> {
        let mut tokens = self.answer_limit;
        if let Some(most) = self.capabilities.max_output {
            tokens = tokens.min(most);
        }
        if let Some(window) = self.capabilities.context_window {
            let prompt = self.prompt_tokens.unwrap_or_else(|| {
                let in_words = matches!(
                    self.capabilities.schema,
                    StructuredOutput::JsonObject | StructuredOutput::None
                );
                let schema = request.schema.as_ref().filter(|_| in_words);
                count_prompt(&O200k as &dyn TokenCounter, &request.messages, schema)
            });
            let room = window.saturating_sub(prompt.saturating_add(MARGIN_TOKENS));
            if room < LEAST_ANSWER_TOKENS.min(tokens) {
                let said = self.last.as_ref().map(|refusal| refusal.message.clone());
                return Err(ProviderError::TooLong {
                    window,
                    message: said.unwrap_or_else(|| format!("it has {prompt} tokens")),
                });
            }
            tokens = tokens.min(room);
        }
        Ok(Asked {
            body: request_body(request, &self.capabilities, tokens, endpoint),
            answer_tokens: tokens,
        })
    }

    /// Changes what the refusal asks to change; `false` if there is nothing.
    pub(super) fn answer_to(&mut self, refusal: &Refusal, asked: &Asked) -> bool {
        self.refusals += 1;
        let meaning = refusal::meaning(refusal, &asked.body);
        // What is said of a trial is mostly the same again; the first words are those that count.
        if self.trial.is_none() || !matches!(meaning, Meaning::Unclear) {
            self.last = Some(refusal.clone());
        }
        if self.refusals > MOST_REFUSALS {
            return false;
        }
        match meaning {
            Meaning::Adjust(Adjustment::Limit(field)) => {
                // A name that was refused before is not tried again: then the answer has no bound.
                let renamed = self
                    .changes
                    .iter()
                    .any(|change| matches!(change, Adjustment::Limit(_)));
                let field = if renamed {
                    crate::capability::LimitField::Unbounded
                } else {
                    field
                };
                self.adjust(Adjustment::Limit(field))
            }
            Meaning::Adjust(change) => self.adjust(change),
            Meaning::ShorterAnswer(tokens) => {
                let is_shorter = tokens < self.answer_limit;
                self.answer_limit = tokens;
                is_shorter
            }
            Meaning::Window { tokens, prompt } => self.fit_window(tokens, prompt, asked),
            Meaning::Unclear => self.try_something(&asked.body),
            Meaning::Fail => false,
        }
    }

    /// What is told when nothing more can be changed.
    pub(super) fn failure(&self, model: &str, endpoint: &Endpoint) -> ProviderError {
        let refusal = self.last.clone().unwrap_or_default();
        refusal::failure(&refusal, model, &endpoint.host())
    }

    /// Remembers what worked.
    pub(super) fn keep(self, book: &CapabilityBook, provider: &str, model: &str) {
        let mut changes = self.changes;
        if let Some(trial) = &self.trial {
            changes.extend(trial.tried().iter().cloned());
        }
        if !changes.is_empty() {
            book.learn(provider, model, &self.capabilities, &changes);
        }
    }

    /// Remembers a window that the call itself does not fit: others may.
    pub(super) fn keep_windows(&self, book: &CapabilityBook, provider: &str, model: &str) {
        let windows: Vec<Adjustment> = self
            .changes
            .iter()
            .filter(|change| matches!(change, Adjustment::Window(_)))
            .cloned()
            .collect();
        let Some(mut capabilities) = (!windows.is_empty()).then(|| {
            book.find(provider, model)
                .unwrap_or_else(|| self.capabilities.clone())
        }) else {
            return;
        };
        for window in &windows {
            window.apply(&mut capabilities);
        }
        book.learn(provider, model, &capabilities, &windows);
    }

    fn adjust(&mut self, change: Adjustment) -> bool {
        // A refusal that names its reason ends guessing.
        if let Some(trial) = self.trial.take() {
            self.capabilities = trial.base;
        }
        let changed = change.apply(&mut self.capabilities);
        if changed {
            self.changes.push(change);
        }
        changed
    }

    fn fit_window(&mut self, tokens: u32, prompt: Option<u32>, asked: &Asked) -> bool {
        let is_new = self.adjust(Adjustment::Window(tokens));
        let has_count = prompt.is_some() && prompt != self.prompt_tokens;
        self.prompt_tokens = prompt.or(self.prompt_tokens);
        if is_new || has_count {
            return true;
        }
        // The window was known and the prompt was counted too low: less is asked for until it fits.
        let less = asked.answer_tokens / 2;
        self.answer_limit = less;
        less >= LEAST_ANSWER_TOKENS
    }

    fn try_something(&mut self, body: &Map<String, Value>) -> bool {
        let Some(trial) = &mut self.trial else {
            self.trial = Some(Trial {
                base: self.capabilities.clone(),
                changes: guesses(&self.capabilities, body),
                at: 0,
            });
            return true;
        };
        let mut capabilities = trial.base.clone();
        let next = trial.tried_next();
        if next.is_empty() {
            return false;
        }
        for change in next {
            change.apply(&mut capabilities);
        }
        trial.at += 1;
        self.capabilities = capabilities;
        true
    }
}

impl Trial {
    /// The changes that are tried at place `at`.
    fn at(&self, at: usize) -> &[Adjustment] {
        match self.changes.get(at..=at) {
            Some(one) => one,
            None if at == self.changes.len() && self.changes.len() > 1 => &self.changes,
            None => &[],
        }
    }

    fn tried_next(&self) -> &[Adjustment] {
        self.at(self.at)
    }

    fn tried(&self) -> &[Adjustment] {
        self.at.checked_sub(1).map_or(&[], |at| self.at(at))
    }
}

/// What servers refuse most often, the likeliest first.
fn guesses(capabilities: &Capabilities, body: &Map<String, Value>) -> Vec<Adjustment> {
    let mut guesses = Vec::new();
    if body.contains_key("response_format") {
        let weaker = std::iter::successors(capabilities.schema.weaker(), |schema| schema.weaker());
        guesses.extend(weaker.map(Adjustment::Schema));
    }
    for name in ["seed", "stream_options", "temperature"] {
        if body.contains_key(name) {
            guesses.push(Adjustment::LeaveOut(name.to_owned()));
        }
    }
    let has_system = body["messages"]
        .as_array()
        .is_some_and(|messages| messages.iter().any(|message| message["role"] == "system"));
    if has_system && !capabilities.folds_system {
        guesses.push(Adjustment::FoldSystem);
    }
    guesses
}
