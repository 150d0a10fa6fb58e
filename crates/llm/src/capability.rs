//! How a model is asked so that its server takes it: begun by the model's card, corrected by what the server refuses.
//!
//! A refusal costs nothing but time, so it is answered by asking in another way ([`Adjustment`]). What then worked is
//! remembered for the model, here for this process and, through [`CapabilityBook::take_news`], by the caller for others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::card::{ModelCard, StructuredOutput};

/// The parameter that bounds an answer's length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitField {
    /// `max_tokens`, which most servers know.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`, which `OpenAI`'s newer models want.
    MaxCompletionTokens,
    /// Neither: the server decides.
    Unbounded,
}

impl LimitField {
    /// The parameter's name; `None` where there is none.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::MaxTokens => Some("max_tokens"),
            Self::MaxCompletionTokens => Some("max_completion_tokens"),
            Self::Unbounded => None,
        }
    }
}

/// How one model is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case")]
pub struct Capabilities {
    /// How it is held to a shape.
    pub schema: StructuredOutput,
    /// Whether the program's instructions are put into the first question, for want of a system role.
    pub folds_system: bool,
    /// What bounds the answer's length.
    pub limit_field: LimitField,
    /// Parameters that are not sent, by name: `seed`, `temperature`, `stream_options` ...
    pub left_out: BTreeSet<String>,
    /// Prompt and answer together, in tokens, as the server says; `None`: the card's word.
    pub context_window: Option<u32>,
    /// The longest answer in tokens, as the server says; `None`: the card's word.
    pub max_output: Option<u32>,
    /// Tokens of room added to every answer, for a model that thinks before it writes.
    pub thinking_tokens: u32,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            schema: StructuredOutput::JsonSchema,
            folds_system: false,
            limit_field: LimitField::MaxTokens,
            left_out: BTreeSet::new(),
            context_window: None,
            max_output: None,
            thinking_tokens: 0,
        }
    }
}

impl Capabilities {
    /// The card with the server's word in place of its own.
    #[must_use]
    pub fn corrected(&self, card: &ModelCard) -> ModelCard {
        let max_output = self.max_output.unwrap_or(card.max_output);
        let (context_window, max_output) = match self.context_window {
            // A card's longest answer may be the whole of a smaller window, which leaves no room for a question.
            Some(window) => (window, max_output.min(window / 2).max(1)),
            None => (card.context_window, max_output),
        };
        ModelCard {
            context_window,
            max_output,
            structured_output: self.schema,
            ..card.clone()
        }
    }
}

impl fmt::Display for Capabilities {
    /// One line for people: `json_object, no system role, without seed, window 4096`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = vec![schema_word(self.schema).to_owned()];
        if self.folds_system {
            words.push("no system role".to_owned());
        }
        match self.limit_field {
            LimitField::MaxTokens => {}
            LimitField::MaxCompletionTokens => words.push("max_completion_tokens".to_owned()),
            LimitField::Unbounded => words.push("no limit on answers".to_owned()),
        }
        if !self.left_out.is_empty() {
            let names: Vec<&str> = self.left_out.iter().map(String::as_str).collect();
            words.push(format!("without {}", names.join(", ")));
        }
        if let Some(window) = self.context_window {
            words.push(format!("window {window}"));
        }
        if let Some(tokens) = self.max_output {
            words.push(format!("answers of {tokens} tokens at most"));
        }
        if self.thinking_tokens > 0 {
            words.push(format!("{} tokens more for thinking", self.thinking_tokens));
        }
        f.write_str(&words.join("; "))
    }
}

const fn schema_word(schema: StructuredOutput) -> &'static str {
    match schema {
        StructuredOutput::FullJsonSchema => "json_schema with patterns",
        StructuredOutput::JsonSchema => "json_schema",
        StructuredOutput::JsonObject => "json_object",
        StructuredOutput::Grammar => "grammar",
        StructuredOutput::None => "schema in words",
    }
}

/// One change in how a model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adjustment {
    /// It is held to a shape in a weaker way.
    Schema(StructuredOutput),
    /// The instructions go into the first question.
    FoldSystem,
    /// The answer is bounded by another parameter, or by none.
    Limit(LimitField),
    /// A parameter is not sent any more.
    LeaveOut(String),
    /// Answers are no longer than so many tokens.
    MaxOutput(u32),
    /// Prompt and answer have so many tokens together.
    Window(u32),
    /// Answers get so many tokens more, for thoughts.
    ThinkingRoom(u32),
}

impl Adjustment {
    /// Makes the change; `false` if there is nothing to change, so that making it again cannot help.
    pub fn apply(&self, capabilities: &mut Capabilities) -> bool {
        let before = capabilities.clone();
        match self {
            Self::Schema(schema) => capabilities.schema = *schema,
            Self::FoldSystem => capabilities.folds_system = true,
            Self::Limit(field) => capabilities.limit_field = *field,
            Self::LeaveOut(name) => {
                capabilities.left_out.insert(name.clone());
            }
            Self::MaxOutput(tokens) => capabilities.max_output = Some(*tokens),
            Self::Window(tokens) => capabilities.context_window = Some(*tokens),
            Self::ThinkingRoom(tokens) => capabilities.thinking_tokens = *tokens,
        }
        *capabilities != before
    }

    /// Whether another call has learnt more already.
    fn is_outdone_by(&self, known: &Capabilities) -> bool {
        match self {
            Self::Schema(schema) => std::iter::successors(schema.weaker(), |schema| schema.weaker())
                .any(|weaker| weaker == known.schema),
            Self::ThinkingRoom(tokens) => *tokens < known.thinking_tokens,
            Self::FoldSystem | Self::Limit(_) | Self::LeaveOut(_) | Self::MaxOutput(_) | Self::Window(_) => {
                false
            }
        }
    }
}

impl fmt::Display for Adjustment {
    /// What is done from now on, as a clause: "`seed` is left out".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(schema) => write!(f, "answers are asked for as {}", schema_word(*schema)),
            Self::FoldSystem => f.write_str("the instructions go into the question, it has no system role"),
            Self::Limit(field) => match field.name() {
                Some(name) => write!(f, "the answer's length is bounded by `{name}`"),
                None => f.write_str("the answer's length is not bounded"),
            },
            Self::LeaveOut(name) => write!(f, "`{name}` is left out"),
            Self::MaxOutput(tokens) => write!(f, "answers have at most {tokens} tokens"),
            Self::Window(tokens) => write!(f, "its window has {tokens} tokens"),
            Self::ThinkingRoom(tokens) => write!(f, "answers get {tokens} tokens more, for its thoughts"),
        }
    }
}

/// What was learnt of one model, as the database keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learnt {
    /// The provider's id.
    pub provider: String,
    /// Where it was learnt: host, port and path. At another address it says nothing.
    pub address: String,
    /// The model's id.
    pub model: String,
    /// How the model is asked.
    pub capabilities: Capabilities,
    /// What changed, for a notice; empty where it came from the database.
    pub changes: Vec<Adjustment>,
}

/// What is known of all models in this process. Shared by the providers, which learn, and the gateway, which plans with
/// the windows that were learnt.
#[derive(Debug, Default)]
pub struct CapabilityBook {
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    addresses: HashMap<String, String>,
    known: HashMap<(String, String), Capabilities>,
    news: BTreeMap<(String, String), Vec<Adjustment>>,
}

impl CapabilityBook {
    /// Tells where a provider is reached; what was learnt elsewhere is then not believed of it.
    pub fn register(&self, provider: &str, address: &str) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.addresses.insert(provider.to_owned(), address.to_owned());
    }

    /// What was learnt of a model; `None`: nothing yet.
    pub fn find(&self, provider: &str, model: &str) -> Option<Capabilities> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (provider.to_owned(), model.to_owned());
        pages.known.get(&key).cloned()
    }

    /// Remembers how a model was asked with success after `changes`. Where other calls have learnt something meanwhile, the
    /// changes are added to that.
    pub fn learn(&self, provider: &str, model: &str, capabilities: &Capabilities, changes: &[Adjustment]) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (provider.to_owned(), model.to_owned());
        let Some(known) = pages.known.get_mut(&key) else {
            pages.known.insert(key.clone(), capabilities.clone());
            pages.news.entry(key).or_default().extend_from_slice(changes);
            return;
        };
        let news: Vec<Adjustment> = changes
            .iter()
            .filter(|change| !change.is_outdone_by(known) && change.apply(known))
            .cloned()
            .collect();
        // Several calls may have been refused at once and have learnt the same.
        if !news.is_empty() {
            pages.news.entry(key).or_default().extend(news);
        }
    }

    /// Takes over what other processes have learnt of models at the same addresses. What was learnt here stays.
    pub fn adopt(&self, learnt: Vec<Learnt>) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        for one in learnt {
            if pages.addresses.get(&one.provider) == Some(&one.address) {
                pages
                    .known
                    .entry((one.provider, one.model))
                    .or_insert(one.capabilities);
            }
        }
    }

    /// What was learnt here since the last time this was asked.
    pub fn take_news(&self) -> Vec<Learnt> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let news = std::mem::take(&mut pages.news);
        news.into_iter()
            .filter_map(|((provider, model), changes)| {
                let address = pages.addresses.get(&provider)?.clone();
                let capabilities = pages.known.get(&(provider.clone(), model.clone()))?.clone();
                Some(Learnt {
                    provider,
                    address,
                    model,
                    capabilities,
                    changes,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(address: &str, window: u32) -> Learnt {
        Learnt {
            provider: "p".to_owned(),
            address: address.to_owned(),
            model: "m".to_owned(),
            capabilities: Capabilities {
                context_window: Some(window),
                ..Capabilities::default()
            },
            changes: Vec::new(),
        }
    }

    #[test]
    fn what_was_learnt_at_another_address_is_not_believed() {
        let book = CapabilityBook::default();
        book.register("p", "localhost:11434/v1");
        book.adopt(vec![learnt("localhost:8000/v1", 1)]);
        assert_eq!(book.find("p", "m"), None);
        book.adopt(vec![learnt("localhost:11434/v1", 4096)]);
        assert_eq!(book.find("p", "m").unwrap().context_window, Some(4096));
        book.adopt(vec![learnt("localhost:11434/v1", 8192)]);
        assert_eq!(
            book.find("p", "m").unwrap().context_window,
            Some(4096),
            "what is known stays"
        );
        assert_eq!(book.take_news(), []);
    }

    #[test]
    fn what_several_calls_learn_comes_together() {
        let book = CapabilityBook::default();
        book.register("p", "a");
        let learn = |changes: &[Adjustment]| {
            // Each has begun before the others had learnt anything.
            let mut capabilities = Capabilities::default();
            for change in changes {
                change.apply(&mut capabilities);
            }
            book.learn("p", "m", &capabilities, changes);
        };
        learn(&[Adjustment::ThinkingRoom(8192)]);
        learn(&[
            Adjustment::Schema(StructuredOutput::None),
            Adjustment::Window(4096),
        ]);
        learn(&[
            Adjustment::Schema(StructuredOutput::JsonObject),
            Adjustment::ThinkingRoom(500),
            Adjustment::FoldSystem,
        ]);
        let expected = Capabilities {
            schema: StructuredOutput::None,
            context_window: Some(4096),
            thinking_tokens: 8192,
            folds_system: true,
            ..Capabilities::default()
        };
        assert_eq!(book.find("p", "m"), Some(expected));
        assert_eq!(book.take_news()[0].changes.len(), 4);
    }

    #[test]
    fn news_are_told_once() {
        let book = CapabilityBook::default();
        book.register("p", "a");
        let mut capabilities = Capabilities::default();
        let change = Adjustment::LeaveOut("seed".to_owned());
        assert!(change.apply(&mut capabilities));
        assert!(!change.apply(&mut capabilities), "nothing more to change");
        for _ in 0..2 {
            book.learn("p", "m", &capabilities, std::slice::from_ref(&change));
        }
        let news = book.take_news();
        assert_eq!(news.len(), 1);
        assert_eq!(news[0].changes, [change]);
        assert_eq!(book.take_news(), []);
    }

    #[test]
    fn card_gives_way_to_the_servers_word() {
        let card = ModelCard::assumed("m", "p");
        let corrected = learnt("a", 4096).capabilities.corrected(&card);
        assert_eq!((corrected.context_window, corrected.max_output), (4096, 2048));
        assert_eq!(Capabilities::default().corrected(&card), card);
    }
}
