//! The token budget of one call (generation 3.3), for any context window.

use std::sync::Arc;

use crate::card::{ModelCard, Tokenizer};
use crate::request::{Message, OutputSchema};

/// The window for which the budget is stated; models of 131 072 tokens count as this, too.
const STATED_WINDOW: u32 = 128_000;
/// What "128K" means to those who count in powers of two.
const BINARY_128K: u32 = 131_072;

/// All tokens of a call in the stated window (generation 3.3).
const TOTAL: u32 = 120_000;
/// Prompt tokens in the stated window (generation 3.3).
const INPUT: u32 = 90_000;
/// Answer tokens in the stated window: least and most (generation 3.3).
const OUTPUT: (u32, u32) = (15_000, 30_000);
/// Retrieved context in the stated window (generation 3.3).
const CONTEXT: u32 = 40_000;
/// A longer prompt goes to the overflow route (generation 3.3).
const OVERFLOW_INPUT: u32 = 108_000;
/// A longer prompt with its answer goes to the overflow route (generation 3.3).
const OVERFLOW_TOTAL: u32 = 115_000;
/// Above this share of the total a warning is recorded (generation 3.3).
const WARNING_SHARE: f64 = 0.85;

/// Tokens that a chat template adds to a message.
const TOKENS_PER_MESSAGE: u32 = 4;
/// Longest piece that is counted at once, in bytes: bounds the time for a text without a single space.
const COUNTED_AT_ONCE_BYTES: usize = 16 * 1024;

/// Tells how many tokens a text has.
pub trait TokenCounter: Send + Sync + std::fmt::Debug {
    /// The number of tokens of `text`.
    fn count(&self, text: &str) -> u32;
}

/// tiktoken's `o200k`.
#[derive(Clone, Copy, Debug, Default)]
pub struct O200k;

impl TokenCounter for O200k {
    fn count(&self, text: &str) -> u32 {
        let tokenizer = tiktoken_rs::o200k_base_singleton();
        let mut rest = text;
        let mut tokens = 0;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(COUNTED_AT_ONCE_BYTES));
            tokens += tokenizer.count_ordinary(piece);
            rest = after;
        }
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }
}

/// `o200k` times a factor for the script: an estimate, on the safe side, for models whose tokenizer is unknown.
/// Smaller vocabularies split Cyrillic and other scripts into more tokens than `o200k` does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Approximate;

/// What an unknown tokenizer needs more than `o200k`: for Latin text, Cyrillic text, other scripts. Estimates.
const LANGUAGE_FACTORS: (f64, f64, f64) = (1.05, 1.25, 1.35);

impl TokenCounter for Approximate {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count, saturated by `as`"
    )]
    fn count(&self, text: &str) -> u32 {
        let (mut latin, mut cyrillic, mut other) = (0_u32, 0_u32, 0_u32);
        for letter in text.chars().filter(|letter| letter.is_alphabetic()) {
            match letter {
                '\0'..='\u{24f}' => latin += 1,
                '\u{400}'..='\u{52f}' => cyrillic += 1,
                _ => other += 1,
            }
        }
        let letters = f64::from((latin + cyrillic + other).max(1));
        let factor = (f64::from(latin) * LANGUAGE_FACTORS.0
            + f64::from(cyrillic) * LANGUAGE_FACTORS.1
            + f64::from(other) * LANGUAGE_FACTORS.2)
            / letters;
        (f64::from(O200k.count(text)) * factor.max(1.0)).ceil() as u32
    }
}

/// The counter for a card; `own` is its provider's, if it has one.
pub fn counter_for(card: &ModelCard, own: Option<&Arc<dyn TokenCounter>>) -> Arc<dyn TokenCounter> {
    match (card.tokenizer, own) {
        (Tokenizer::O200k, _) => Arc::new(O200k),
        (Tokenizer::Provider, Some(counter)) => Arc::clone(counter),
        (Tokenizer::Provider, None) | (Tokenizer::Approximate, _) => Arc::new(Approximate),
    }
}

/// The tokens of a whole prompt. A schema counts only where it is sent as text (`schema_in_prompt`).
pub fn count_prompt(
    counter: &dyn TokenCounter,
    messages: &[Message],
    schema_in_prompt: Option<&OutputSchema>,
) -> u32 {
    let messages: u32 = messages
        .iter()
        .map(|message| counter.count(&message.content).saturating_add(TOKENS_PER_MESSAGE))
        .sum();
    messages + schema_in_prompt.map_or(0, |schema| counter.count(&schema.schema.to_string()))
}

/// How the window of a model is divided. All figures in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBudget {
    /// Prompt and answer.
    pub total: u32,
    /// Prompt.
    pub input: u32,
    /// The answer's least room.
    pub output_least: u32,
    /// The answer's most room, never above the card's `max_output`.
    pub output_most: u32,
    /// Retrieved context, a part of `input`.
    pub context: u32,
    overflow_input: u32,
    overflow_total: u32,
}

/// Whether a call fits its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It does.
    Fits,
    /// It does, but uses more than 85 % of the total.
    Tight,
    /// It must go to the overflow route.
    Overflows,
}

impl TokenBudget {
    /// The shares of generation 3.3 applied to the card's window.
    pub fn of(card: &ModelCard) -> Self {
        let window = match card.context_window {
            STATED_WINDOW..=BINARY_128K => STATED_WINDOW,
            other => other,
        };
        let share = |stated: u32| scaled(stated, window);
        let output_most = share(OUTPUT.1).min(card.max_output);
        Self {
            total: share(TOTAL),
            input: share(INPUT),
            output_least: share(OUTPUT.0).min(output_most),
            output_most,
            context: share(CONTEXT),
            overflow_input: share(OVERFLOW_INPUT),
            overflow_total: share(OVERFLOW_TOTAL),
        }
    }

    /// How much retrieved context fits beside `rest` other prompt tokens: min(40 000, 90 000 - the rest).
    pub const fn context_beside(&self, rest: u32) -> u32 {
        let free = self.input.saturating_sub(rest);
        if free < self.context { free } else { self.context }
    }

    /// The longest prompt that an answer of `output` tokens leaves to the model before the overflow route takes over.
    pub const fn longest_input(&self, output: u32) -> u32 {
        let beside = self.overflow_total.saturating_sub(output);
        if beside < self.overflow_input {
            beside
        } else {
            self.overflow_input
        }
    }

    /// Whether a prompt of `input` tokens with an expected answer of `expected_output` fits.
    pub fn fit(&self, input: u32, expected_output: u32) -> Fit {
        let total = input.saturating_add(expected_output);
        if input > self.overflow_input || total > self.overflow_total {
            Fit::Overflows
        } else if f64::from(total) > f64::from(self.total) * WARNING_SHARE {
            Fit::Tight
        } else {
            Fit::Fits
        }
    }
}

fn scaled(stated: u32, window: u32) -> u32 {
    let tokens = u64::from(stated) * u64::from(window) / u64::from(STATED_WINDOW);
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(context_window: u32, max_output: u32) -> ModelCard {
        ModelCard {
            context_window,
            max_output,
            ..ModelCard::assumed("m", "p")
        }
    }

    #[test]
    fn window_of_128k_has_the_stated_figures() {
        for window in [128_000, 131_072] {
            let budget = TokenBudget::of(&card(window, 32_768));
            assert_eq!(
                (budget.total, budget.input, budget.context),
                (120_000, 90_000, 40_000)
            );
            assert_eq!((budget.output_least, budget.output_most), (15_000, 30_000));
        }
    }

    #[test]
    fn small_window_has_the_same_shares() {
        let budget = TokenBudget::of(&card(8_192, 2_048));
        assert_eq!(
            (budget.total, budget.input, budget.context),
            (7_680, 5_760, 2_560)
        );
        assert_eq!((budget.output_least, budget.output_most), (960, 1_920));
        assert_eq!(TokenBudget::of(&card(8_192, 512)).output_least, 512);
    }

    #[test]
    fn context_shrinks_to_fit() {
        let budget = TokenBudget::of(&card(128_000, 32_768));
        assert_eq!(budget.context_beside(10_000), 40_000);
        assert_eq!(budget.context_beside(70_000), 20_000);
        assert_eq!(budget.context_beside(95_000), 0);
    }

    #[test]
    fn overflow_begins_where_it_is_stated() {
        let budget = TokenBudget::of(&card(128_000, 32_768));
        assert_eq!(budget.fit(80_000, 22_000), Fit::Fits);
        assert_eq!(budget.fit(80_001, 22_000), Fit::Tight);
        assert_eq!(budget.fit(85_000, 30_000), Fit::Tight);
        assert_eq!(budget.fit(85_001, 30_000), Fit::Overflows);
        assert_eq!(budget.fit(108_000, 7_000), Fit::Tight);
        assert_eq!(budget.fit(108_001, 0), Fit::Overflows);
        for output in [0, 3_000, 7_000, 30_000, 200_000] {
            let longest = budget.longest_input(output);
            assert_eq!(budget.fit(longest + 1, output), Fit::Overflows);
            assert!(longest == 0 || budget.fit(longest, output) != Fit::Overflows);
        }
    }

    #[test]
    fn tokens_are_counted_with_the_cards_tokenizer() {
        #[derive(Debug)]
        struct Words;
        impl TokenCounter for Words {
            fn count(&self, text: &str) -> u32 {
                u32::try_from(text.split_whitespace().count()).unwrap()
            }
        }
        let own: Arc<dyn TokenCounter> = Arc::new(Words);
        let count = |tokenizer, own, text: &str| {
            counter_for(
                &ModelCard {
                    tokenizer,
                    ..card(8_192, 512)
                },
                own,
            )
            .count(text)
        };
        assert_eq!(count(Tokenizer::Provider, Some(&own), "one two three"), 3);
        assert_eq!(count(Tokenizer::O200k, Some(&own), "hello world"), 2);
        let russian = "Спроектировать устойчивую архитектуру распределённого приложения";
        let (exact, estimate) = (
            count(Tokenizer::O200k, None, russian),
            count(Tokenizer::Approximate, None, russian),
        );
        assert!(
            estimate > exact && estimate <= exact * 3 / 2,
            "{exact} {estimate}"
        );
    }

    #[test]
    fn text_without_spaces_is_counted_in_bounded_time() {
        let tokens = O200k.count(&"ф".repeat(300_000));
        assert!(tokens > 1_000, "{tokens}");
    }
}
