//! Answers that follow a JSON schema to the letter, also when the tokens run out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use llguidance::api::TopLevelGrammar;
use llguidance::earley::SlicedBiasComputer;
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use toktrie::{InferenceCapabilities, SimpleVob, TokenId};

use super::EmbeddedError;
use super::vocabulary::Vocabulary;

/// Compiled schemas that are kept: a course uses about a dozen.
const KEPT_SCHEMAS: usize = 32;
/// The longest way to a closed answer that is looked for, in tokens.
const LONGEST_CLOSE: usize = 1500;
/// Tokens within a string between two looks at the way to close.
const CHECK_EVERY: usize = 8;
/// Tokens below twice the shortest answer at which every choice is checked for a way to close.
const CLOSING_MARGIN: usize = 48;

/// Compiles schemas.
pub(super) struct Grammars {
    factory: ParserFactory,
    shared: Arc<Shared>,
    compiled: Mutex<VecDeque<(Value, Constraint)>>,
}

/// What all constraints of a model have in common.
struct Shared {
    vocabulary: Arc<Vocabulary>,
    /// All tokens of text, those that bring the end nearest first: within a string, and outside.
    inside: Vec<TokenId>,
    outside: Vec<TokenId>,
}

impl Shared {
    fn new(vocabulary: Arc<Vocabulary>) -> Self {
        let order = |in_string| {
            let place = Place {
                in_string,
                escaped: false,
            };
            let mut tokens: Vec<TokenId> = vocabulary.text_tokens().collect();
            tokens.sort_by_cached_key(|token| std::cmp::Reverse(rank(vocabulary.bytes(*token), place)));
            tokens
        };
        let (inside, outside) = (order(true), order(false));
        Self {
            vocabulary,
            inside,
            outside,
        }
    }
}

impl Grammars {
    pub(super) fn new(vocabulary: Arc<Vocabulary>) -> Result<Self, EmbeddedError> {
        let capabilities = InferenceCapabilities {
            ff_tokens: true,
            ..Default::default()
        };
        let slices = SlicedBiasComputer::json_slices();
        let mut factory = ParserFactory::new(vocabulary.environment(), capabilities, &slices)
            .map_err(|error| EmbeddedError::Tokenizer(error.to_string()))?;
        factory.quiet();
        Ok(Self {
            factory,
            shared: Arc::new(Shared::new(vocabulary)),
            compiled: Mutex::default(),
        })
    }

    /// The constraint of `schema`, at its beginning.
    ///
    /// # Errors
    /// Why the schema cannot be followed.
    pub(super) fn compile(&self, schema: &Value) -> Result<Constraint, String> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, constraint)) = compiled.iter().find(|(known, _)| known == schema) {
            return Ok(constraint.fork());
        }
        let mut with_form = schema.clone();
        if let Some(object) = with_form.as_object_mut() {
            // One space behind each separator: small models have seen JSON written so, and put the space that they
            // miss into their strings.
            object.entry("x-guidance").or_insert_with(|| {
                json!({
                    "whitespace_flexible": false,
                    "item_separator": ", ",
                    "key_separator": ": ",
                    "json_allowed_escapes": "nt\"\\",
                })
            });
        }
        let mut matcher = Matcher::new(
            self.factory
                .create_parser(TopLevelGrammar::from_json_schema(with_form)),
        );
        if let Some(reason) = matcher.get_error() {
            return Err(reason);
        }
        matcher.compute_mask().map_err(|error| error.to_string())?;
        let mut constraint = Constraint {
            matcher,
            shared: Arc::clone(&self.shared),
            place: Place::default(),
            shortest: 0,
            unchecked: 0,
            slack: 0,
        };
        constraint.shortest = constraint
            .way_to_close(LONGEST_CLOSE)
            .map_or(LONGEST_CLOSE, |way| way.len());
        compiled.push_back((schema.clone(), constraint.fork()));
        if compiled.len() > KEPT_SCHEMAS {
            compiled.pop_front();
        }
        Ok(constraint)
    }
}

/// Where in a JSON text the answer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    in_string: bool,
    escaped: bool,
}

impl Place {
    fn advance(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match (self.in_string, self.escaped, byte) {
                (true, true, _) => self.escaped = false,
                (true, false, b'\\') => self.escaped = true,
                (true, false, b'"') => self.in_string = false,
                (false, _, b'"') => self.in_string = true,
                _ => {}
            }
        }
    }
}

/// One answer in the making and the schema that it follows.
pub(super) struct Constraint {
    matcher: Matcher,
    shared: Arc<Shared>,
    place: Place,
    /// Tokens of the shortest answer that was found for the schema.
    shortest: usize,
    /// Tokens since the way to close was last looked for.
    unchecked: usize,
    /// Tokens that were then left over besides the way to close.
    slack: usize,
}

impl Constraint {
    fn fork(&self) -> Self {
        Self {
            matcher: self.matcher.deep_clone(),
            shared: Arc::clone(&self.shared),
            place: self.place,
            shortest: self.shortest,
            unchecked: self.unchecked,
            slack: self.slack,
        }
    }

    /// The tokens that may come next.
    pub(super) fn allowed(&mut self) -> Result<SimpleVob, EmbeddedError> {
        self.matcher
            .compute_mask_or_eos()
            .map_err(|error| EmbeddedError::Grammar(error.to_string()))
    }

    /// Takes a token and answers those that must follow it, which are taken too.
    pub(super) fn take(&mut self, token: TokenId) -> Result<Vec<TokenId>, EmbeddedError> {
        self.place.advance(self.shared.vocabulary.bytes(token));
        self.matcher
            .consume_token(token)
            .map_err(|error| EmbeddedError::Grammar(error.to_string()))?;
        Ok(self.forced())
    }

    /// Takes the tokens that must come next.
    pub(super) fn forced(&mut self) -> Vec<TokenId> {
        if self.matcher.is_stopped() {
            return Vec::new();
        }
        let forced = self.matcher.consume_ff_tokens();
        for token in &forced {
            self.place.advance(self.shared.vocabulary.bytes(*token));
        }
        forced
    }

    /// Whether nothing can follow.
    pub(super) fn is_done(&self) -> bool {
        self.matcher.is_stopped()
    }

    /// Whether what stands is a whole answer, though it could go on.
    pub(super) fn may_end(&mut self) -> bool {
        self.matcher.is_stopped() || self.matcher.is_accepting().unwrap_or(false)
    }

    /// Whether so few tokens remain that each choice must be checked with [`Self::choose_closable`].
    pub(super) const fn is_tight(&self, remaining: usize) -> bool {
        remaining < 2 * self.shortest + CLOSING_MARGIN
    }

    /// Which token to take when only `remaining` more fit: `wanted`, if the answer can still be closed after it,
    /// else the first of a way to close. `None`: it cannot be closed any more.
    pub(super) fn choose_closable(&mut self, wanted: TokenId, remaining: usize) -> Option<TokenId> {
        // Within a string the way to close grows by little; looking for it after every token would cost more than
        // the tokens.
        let goes_on = self.place.in_string && !self.shared.vocabulary.bytes(wanted).contains(&b'"');
        self.unchecked += 1;
        if goes_on && self.unchecked < CHECK_EVERY && self.slack > 2 * CHECK_EVERY {
            return Some(wanted);
        }
        self.unchecked = 0;
        let mut ahead = self.fork();
        if let Ok(forced) = ahead.take(wanted) {
            let used = 1 + forced.len();
            if let Some(way) = remaining
                .checked_sub(used)
                .and_then(|left| ahead.way_to_close(left))
            {
                self.slack = remaining - used - way.len();
                return Some(wanted);
            }
        }
        self.slack = 0;
        self.fork().way_to_close(remaining)?.first().copied()
    }

    /// A short sequence of at most `limit` tokens that ends the answer, looked for greedily: end what is open,
    /// add nothing that is optional.
    fn way_to_close(&mut self, limit: usize) -> Option<Vec<TokenId>> {
        let mut ahead = self.fork();
        let mut way = Vec::new();
        loop {
            if ahead.may_end() {
                return Some(way);
            }
            if way.len() >= limit {
                return None;
            }
            let allowed = ahead.allowed().ok()?;
            let token = ahead.nearest_end(&allowed)?;
            way.push(token);
            way.extend(ahead.take(token).ok()?);
            if way.len() > limit {
                return None;
            }
        }
    }

    /// The allowed token that brings the end nearest.
    fn nearest_end(&self, allowed: &SimpleVob) -> Option<TokenId> {
        let order = if self.place.in_string {
            &self.shared.inside
        } else {
            &self.shared.outside
        };
        order.iter().copied().find(|token| allowed.is_allowed(*token))
    }
}

/// How near a token brings the end: its class, and within the class its length or shortness.
fn rank(bytes: &[u8], place: Place) -> (usize, usize) {
    let short = 64_usize.saturating_sub(bytes.len());
    let closes = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b']' | b'}'));
    if place.in_string {
        let quote = bytes.iter().position(|byte| *byte == b'"');
        return match quote {
            _ if bytes.contains(&b'\\') => (0, short),
            Some(at) if closes(&bytes[at + 1..]) => (6, bytes.len()),
            Some(at) if bytes.len() == at + 1 => (5, short),
            Some(_) => (4, short),
            // A sentence that must end with a full stop does so at once.
            None if bytes == b"." => (3, 0),
            None if bytes.iter().all(u8::is_ascii_lowercase) && bytes.len() <= 12 => (2, bytes.len()),
            None if bytes.is_ascii() => (1, short),
            None => (0, short),
        };
    }
    match bytes.first() {
        Some(b']' | b'}') if closes(bytes) => (6, bytes.len()),
        Some(b']' | b'}') => (5, short),
        Some(b'"') if bytes == b"\"\"" => (4, 1),
        Some(b'"') => (4, 0),
        Some(b',' | b':' | b' ') => (3, short),
        Some(b'0'..=b'9' | b't' | b'f' | b'n') => (2, short),
        Some(_) => (1, short),
        None => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_follows_quotes_and_escapes() {
        let check = |text: &str, in_string| {
            let mut place = Place::default();
            place.advance(text.as_bytes());
            assert_eq!(place.in_string, in_string, "{text}");
        };
        check(r#"{"a"#, true);
        check(r#"{"a""#, false);
        check(r#"{"a\""#, true);
        check(r#"{"a\\""#, false);
        check(r#"{"a":["b","#, false);
    }

    #[test]
    fn the_end_of_a_string_ranks_above_its_continuation() {
        let inside = Place {
            in_string: true,
            escaped: false,
        };
        let order = ["\"}]", "\"]", "\"", "\",\"", ".", "word", "A"];
        for pair in order.windows(2) {
            assert!(
                rank(pair[0].as_bytes(), inside) > rank(pair[1].as_bytes(), inside),
                "{pair:?}"
            );
        }
    }

    #[test]
    fn a_closing_bracket_ranks_above_another_element() {
        let outside = Place::default();
        let order = ["]}", "]", "],", "\"\"", "\"", ",", "1", "{"];
        for pair in order.windows(2) {
            assert!(
                rank(pair[0].as_bytes(), outside) > rank(pair[1].as_bytes(), outside),
                "{pair:?}"
            );
        }
    }
}
