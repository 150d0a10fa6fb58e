//! Model cards: what is known of a model before it is called (generation 3.3).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pricing::Price;

/// The cards that ship with the program, as TOML.
const SHIPPED_CARDS: &[(&str, &str)] = &[
    ("openrouter.toml", include_str!("../cards/openrouter.toml")),
    (
        "embedded_models.toml",
        include_str!("../cards/embedded_models.toml"),
    ),
];

/// The window that is assumed of a model nobody described: every current model serves at least this.
const ASSUMED_CONTEXT_WINDOW: u32 = 32_768;
/// The answer length that is assumed of a model nobody described.
const ASSUMED_MAX_OUTPUT: u32 = 8_192;

/// How a model can be made to answer in a given shape (generation 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StructuredOutput {
    /// `response_format: json_schema` with every limit and pattern, as servers that decode by grammars take it: llama.cpp,
    /// vLLM, Ollama, LM Studio. An HTTP model that is asked for small pieces begins here, for its pieces lean on patterns.
    FullJsonSchema,
    /// `response_format: json_schema` with `strict`.
    JsonSchema,
    /// `response_format: json_object`; the schema stands in the prompt.
    JsonObject,
    /// Decoding is constrained to the schema in this process.
    Grammar,
    /// Nothing but the prompt.
    None,
}

impl StructuredOutput {
    /// What is tried with a server that refuses this one; `None` where nothing is refused any more.
    pub const fn weaker(self) -> Option<Self> {
        match self {
            Self::FullJsonSchema => Some(Self::JsonSchema),
            Self::JsonSchema => Some(Self::JsonObject),
            Self::JsonObject => Some(Self::None),
            Self::Grammar | Self::None => None,
        }
    }
}

/// Which counter tells a text's length in this model's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tokenizer {
    /// tiktoken's `o200k` family: exact for gpt-4o and later, gpt-oss.
    O200k,
    /// Unknown: `o200k` times a language factor.
    #[default]
    Approximate,
    /// The provider counts with the model's own tokenizer.
    Provider,
}

/// How much is asked of a model at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// A whole section with its lessons in one call.
    #[default]
    Section,
    /// Small questions, one after another, of the same final shape.
    Small,
}

/// The languages a model writes well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "LanguagesToml", into = "LanguagesToml")]
pub enum Languages {
    /// All that a course can have.
    Any,
    /// These, as two-letter codes.
    Listed(Vec<String>),
}

impl Languages {
    /// Whether `language` (a two-letter code) is among them.
    pub fn includes(&self, language: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(codes) => codes.iter().any(|code| code == language),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum LanguagesToml {
    Word(String),
    List(Vec<String>),
}

impl TryFrom<LanguagesToml> for Languages {
    type Error = String;

    fn try_from(toml: LanguagesToml) -> Result<Self, String> {
        match toml {
            LanguagesToml::Word(word) if word == "any" => Ok(Self::Any),
            LanguagesToml::Word(word) => {
                Err(format!("languages is \"any\" or a list of codes, not \"{word}\""))
            }
            LanguagesToml::List(codes) => Ok(Self::Listed(codes)),
        }
    }
}

impl From<Languages> for LanguagesToml {
    fn from(languages: Languages) -> Self {
        match languages {
            Languages::Any => Self::Word("any".to_owned()),
            Languages::Listed(codes) => Self::List(codes),
        }
    }
}

/// What is known of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// The id as the provider knows it and as routes name it.
    pub id: String,
    /// The provider that serves it, for example `openrouter` or `embedded`.
    pub provider: String,
    /// Prompt and answer together, in tokens.
    pub context_window: u32,
    /// The longest answer, in tokens.
    pub max_output: u32,
    /// What its tokens cost; `None`: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// What it writes well.
    pub languages: Languages,
    /// What it is good at, in words of the operator's choice; shown, not interpreted.
    #[serde(default)]
    pub strengths: Vec<String>,
    /// How it is held to a shape.
    pub structured_output: StructuredOutput,
    /// How its tokens are counted.
    #[serde(default)]
    pub tokenizer: Tokenizer,
    /// How much is asked of it at a time.
    #[serde(default)]
    pub granularity: Granularity,
    /// Whether its courses are fit to be taught; a model for trying the product out says `false`.
    #[serde(default = "yes")]
    pub good_for_courses: bool,
    /// What the user is told when this model is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

const fn yes() -> bool {
    true
}

impl ModelCard {
    /// A cautious card for a model that nobody described, as a custom endpoint has it: of unknown price,
    /// a window of 32 768 tokens, asked for `json_schema` (the client falls back if it is refused).
    pub fn assumed(id: impl Into<String>, provider: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            provider: provider.into(),
            context_window: ASSUMED_CONTEXT_WINDOW,
            max_output: ASSUMED_MAX_OUTPUT,
            price: None,
            languages: Languages::Any,
            strengths: Vec::new(),
            structured_output: StructuredOutput::JsonSchema,
            tokenizer: Tokenizer::Approximate,
            granularity: Granularity::Section,
            good_for_courses: true,
            notice: None,
        }
    }
}

/// Cards that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// The file is not TOML or has a wrong field.
    #[error("model cards of {file} cannot be read")]
    Parse {
        /// The file as the operator named it.
        file: String,
        /// What is wrong, with the line.
        #[source]
        cause: Box<toml::de::Error>,
    },
    /// A figure cannot be.
    #[error("card of model '{model}' in {file}: {reason}")]
    Impossible {
        /// The file as the operator named it.
        file: String,
        /// The model's id.
        model: String,
        /// The field and the rule it breaks.
        reason: String,
    },
}

/// All known cards, by model id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cards {
    by_id: BTreeMap<String, ModelCard>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CardFile {
    #[serde(default)]
    model: Vec<ModelCard>,
}

impl Cards {
    /// The cards that ship with the program.
    ///
    /// # Errors
    /// [`CardError`] only if the program was built with broken cards; a test holds that it was not.
    pub fn shipped() -> Result<Self, CardError> {
        let mut cards = Self::default();
        for (file, toml) in SHIPPED_CARDS {
            cards.merge_toml(file, toml)?;
        }
        Ok(cards)
    }

    /// Adds the `[[model]]` entries of a card file; an entry replaces an earlier one of the same id.
    ///
    /// # Errors
    /// [`CardError`] naming `file`; then nothing is added.
    pub fn merge_toml(&mut self, file: &str, toml: &str) -> Result<(), CardError> {
        let parsed: CardFile = toml::from_str(toml).map_err(|cause| CardError::Parse {
            file: file.to_owned(),
            cause: Box::new(cause),
        })?;
        for card in &parsed.model {
            check_card(card).map_err(|reason| CardError::Impossible {
                file: file.to_owned(),
                model: card.id.clone(),
                reason,
            })?;
        }
        for card in parsed.model {
            self.insert(card);
        }
        Ok(())
    }

    /// Adds one card; it replaces an earlier one of the same id.
    pub fn insert(&mut self, card: ModelCard) {
        self.by_id.insert(card.id.clone(), card);
    }

    /// The card of a model.
    pub fn find(&self, model: &str) -> Option<&ModelCard> {
        self.by_id.get(model)
    }

    /// All cards, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = &ModelCard> {
        self.by_id.values()
    }
}

fn check_card(card: &ModelCard) -> Result<(), String> {
    let Price {
        input,
        output,
        cached,
    } = card.price.unwrap_or_default();
    if card.id.trim().is_empty() || card.provider.trim().is_empty() {
        return Err("id and provider must not be empty".to_owned());
    }
    if card.max_output == 0 || card.max_output >= card.context_window {
        return Err(format!(
            "max_output must be between 1 and the context window, {} is not below {}",
            card.max_output, card.context_window
        ));
    }
    for price in [Some(input), Some(output), cached].into_iter().flatten() {
        if !price.is_finite() || price < 0.0 {
            return Err(format!("a price must not be negative, {price} is"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_cards_can_be_read_and_hold_the_default_routes_models() {
        let cards = Cards::shipped().unwrap();
        for model in [
            "qwen/qwen3-max",
            "google/gemini-2.5-flash",
            "openai/gpt-oss-120b",
            "openai/gpt-oss-20b",
        ] {
            assert_eq!(cards.find(model).unwrap().provider, "openrouter", "{model}");
        }
    }

    #[test]
    fn users_card_replaces_the_shipped_one() {
        let mut cards = Cards::shipped().unwrap();
        let toml = r#"
            [[model]]
            id = "openai/gpt-oss-20b"
            provider = "local"
            context_window = 8192
            max_output = 2048
            languages = ["en", "ru"]
            structured_output = "json_object"
        "#;
        cards.merge_toml("mine.toml", toml).unwrap();
        let card = cards.find("openai/gpt-oss-20b").unwrap();
        assert_eq!(card.provider, "local");
        assert!(card.languages.includes("ru") && !card.languages.includes("de"));
        assert_eq!(card.price, None);
        assert!(card.good_for_courses);
    }

    #[test]
    fn wrong_cards_are_refused_by_name() {
        let check = |toml: &str, expected: &str| {
            let error = Cards::default().merge_toml("mine.toml", toml).unwrap_err();
            let text = format!(
                "{error} {:?}",
                std::error::Error::source(&error).map(ToString::to_string)
            );
            assert!(text.contains(expected), "{text}");
        };
        let card = |extra: &str| {
            format!(
                "[[model]]\nid = \"m\"\nprovider = \"p\"\ncontext_window = 8192\nstructured_output = \"none\"\n{extra}"
            )
        };
        check(&card("max_output = 9000\nlanguages = \"any\""), "max_output");
        check(&card("max_output = 900\nlanguages = \"all\""), "languages is");
        check(
            &card("max_output = 900\nlanguages = \"any\"\nwindow = 3"),
            "unknown field `window`",
        );
        check(
            &card("max_output = 900\nlanguages = \"any\"\nprice = { input = -1.0, output = 1.0 }"),
            "price",
        );
    }
}
