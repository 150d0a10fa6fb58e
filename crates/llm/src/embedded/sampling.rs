//! Which token comes next.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use toktrie::{SimpleVob, TokenId};

use crate::request::Sampling;

/// The nucleus when the request names none.
const TOP_P: f32 = 0.95;
/// Tokens less likely than this share of the likeliest are not considered.
const MIN_P: f32 = 0.05;
/// Subtracted for each time a token occurred, when the request names nothing else.
const FREQUENCY_PENALTY: f32 = 0.1;
/// Tokens of the answer that the frequency penalty counts.
const PENALTY_WINDOW: usize = 600;
/// Length of the sequences of tokens whose return counts as a loop.
const LOOP_LENGTH: usize = 4;
/// Subtracted from the token that would repeat such a sequence within one string.
const LOOP_PENALTY: f32 = 4.0;

/// Chooses the tokens of one answer.
pub(super) struct Sampler {
    temperature: f32,
    top_p: f32,
    frequency_penalty: f32,
    rng: StdRng,
    /// The tokens of the answer so far.
    history: Vec<TokenId>,
    /// Where in the history the present string began.
    string_start: usize,
}

/// What the sampler needs to know about tokens.
pub(super) struct TokenTraits {
    /// Form rather than content: never penalised.
    is_form: Vec<bool>,
    /// Holds a quotation mark.
    has_quote: Vec<bool>,
}

impl TokenTraits {
    pub(super) fn new<'a>(tokens: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut is_form, mut has_quote) = (Vec::new(), Vec::new());
        for bytes in tokens {
            is_form.push(bytes == b" " || bytes.iter().any(|byte| b"\"{}[]:,.\n".contains(byte)));
            has_quote.push(bytes.contains(&b'"'));
        }
        Self { is_form, has_quote }
    }
}

impl Sampler {
    pub(super) fn new(sampling: &Sampling, seed: u64) -> Self {
        Self {
            temperature: sampling.temperature,
            top_p: sampling.top_p.unwrap_or(TOP_P),
            frequency_penalty: sampling.frequency_penalty.unwrap_or(FREQUENCY_PENALTY),
            rng: StdRng::seed_from_u64(seed),
            history: Vec::new(),
            string_start: 0,
        }
    }

    /// Records that `token` has become part of the answer.
    pub(super) fn record(&mut self, token: TokenId, traits: &TokenTraits) {
        self.history.push(token);
        if traits.has_quote.get(token as usize).copied().unwrap_or(false) {
            self.string_start = self.history.len();
        }
    }

    /// The next token among the `allowed` ones; `None` if none is.
    pub(super) fn choose(
        &mut self,
        logits: &mut [f32],
        allowed: Option<&SimpleVob>,
        traits: &TokenTraits,
    ) -> Option<TokenId> {
        self.penalise(logits, traits);
        // Greedy needs only the largest; otherwise min-p throws nearly everything away before anything is sorted.
        let largest = largest(logits, allowed)?;
        if self.temperature <= 0.0 {
            return Some(largest.0);
        }
        let threshold = self.temperature.mul_add(MIN_P.ln(), largest.1);
        let mut candidates = Vec::new();
        visit(logits, allowed, |token, logit| {
            if logit >= threshold {
                candidates.push((token, ((logit - largest.1) / self.temperature).exp()));
            }
        });
        candidates.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let total: f32 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut sum = 0.0;
        let kept = candidates.iter().position(|(_, weight)| {
            sum += weight;
            sum >= self.top_p * total
        });
        candidates.truncate(kept.map_or(candidates.len(), |last| last + 1));
        let total: f32 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut left = self.rng.random::<f32>() * total;
        for (token, weight) in &candidates {
            left -= weight;
            if left <= 0.0 {
                return Some(*token);
            }
        }
        candidates.first().map(|(token, _)| *token)
    }

    fn penalise(&self, logits: &mut [f32], traits: &TokenTraits) {
        let window = &self.history[self.history.len().saturating_sub(PENALTY_WINDOW)..];
        let mut counts: HashMap<TokenId, f32> = HashMap::new();
        let is_content = |token: TokenId| !traits.is_form.get(token as usize).copied().unwrap_or(true);
        for token in window.iter().filter(|token| is_content(**token)) {
            *counts.entry(*token).or_default() += self.frequency_penalty;
        }
        for token in self.repeating().into_iter().filter(|token| is_content(*token)) {
            *counts.entry(token).or_default() += LOOP_PENALTY;
        }
        for (token, penalty) in counts {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit -= penalty;
            }
        }
    }

    /// The tokens that would make a sequence of the present string return.
    fn repeating(&self) -> Vec<TokenId> {
        let text = &self.history[self.string_start..];
        let Some(tail) = text
            .len()
            .checked_sub(LOOP_LENGTH - 1)
            .map(|start| &text[start..])
        else {
            return Vec::new();
        };
        text.windows(LOOP_LENGTH)
            .filter(|sequence| &sequence[..LOOP_LENGTH - 1] == tail)
            .map(|sequence| sequence[LOOP_LENGTH - 1])
            .collect()
    }
}

fn largest(logits: &[f32], allowed: Option<&SimpleVob>) -> Option<(TokenId, f32)> {
    let mut best: Option<(TokenId, f32)> = None;
    visit(logits, allowed, |token, logit| {
        if best.is_none_or(|(_, known)| logit > known) {
            best = Some((token, logit));
        }
    });
    best
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a vocabulary has fewer than 2^32 tokens"
)]
fn visit(logits: &[f32], allowed: Option<&SimpleVob>, mut seen: impl FnMut(TokenId, f32)) {
    match allowed {
        Some(allowed) => allowed.iter_set_entries(|index| {
            if let Some(logit) = logits.get(index) {
                seen(index as TokenId, *logit);
            }
        }),
        None => logits
            .iter()
            .enumerate()
            .for_each(|(index, logit)| seen(index as TokenId, *logit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traits(size: usize) -> TokenTraits {
        TokenTraits {
            is_form: vec![false; size],
            has_quote: vec![false; size],
        }
    }

    fn sampler(temperature: f32, seed: u64) -> Sampler {
        Sampler::new(
            &Sampling {
                temperature,
                frequency_penalty: Some(0.5),
                ..Sampling::default()
            },
            seed,
        )
    }

    #[test]
    fn greedy_takes_the_largest_that_is_allowed() {
        let mut allowed = SimpleVob::alloc(4);
        allowed.allow_token(1);
        allowed.allow_token(3);
        let mut logits = vec![9.0, 1.0, 8.0, 2.0];
        assert_eq!(
            sampler(0.0, 1).choose(&mut logits, Some(&allowed), &traits(4)),
            Some(3)
        );
        assert_eq!(
            sampler(0.0, 1).choose(&mut logits, Some(&SimpleVob::alloc(4)), &traits(4)),
            None
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens_and_another_seed_others() {
        let draw = |seed| {
            let mut sampler = sampler(1.0, seed);
            (0..40)
                .map(|_| {
                    sampler
                        .choose(&mut [1.0, 1.1, 0.9, 1.0], None, &traits(4))
                        .unwrap()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn unlikely_tokens_are_never_drawn() {
        let mut sampler = sampler(1.0, 3);
        for _ in 0..500 {
            // e^-4 of the likeliest is below min-p.
            assert_ne!(sampler.choose(&mut [4.0, 3.9, 0.0], None, &traits(3)), Some(2));
        }
    }

    #[test]
    fn frequency_counts_content_and_leaves_form_alone() {
        let mut traits = traits(3);
        traits.is_form[0] = true;
        let mut sampler = sampler(0.0, 1);
        for _ in 0..3 {
            sampler.record(0, &traits);
            sampler.record(1, &traits);
        }
        let mut logits = vec![1.0, 2.0, 1.2];
        assert_eq!(sampler.choose(&mut logits, None, &traits), Some(2));
        assert_eq!(logits, vec![1.0, 0.5, 1.2]);
    }

    #[test]
    fn a_returning_sequence_is_penalised_within_a_string_only() {
        let mut traits = traits(10);
        traits.has_quote[9] = true;
        let mut sampler = sampler(0.0, 1);
        for token in [1, 2, 3, 4, 5, 1, 2, 3] {
            sampler.record(token, &traits);
        }
        assert_eq!(sampler.repeating(), vec![4]);
        sampler.record(9, &traits);
        for token in [1, 2, 3] {
            sampler.record(token, &traits);
        }
        assert!(sampler.repeating().is_empty());
    }
}
