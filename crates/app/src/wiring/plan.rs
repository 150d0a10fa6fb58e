//! Which models do the work: decided from the configuration and `--model`, before anything is fetched or called.

use std::collections::BTreeSet;
use std::path::Path;

use domain::language::Language;
use llm::card::{Cards, ModelCard};
use llm::pricing::{ASSUMED_PRICE, Price};
use llm::route::{Routes, Work};
#[cfg(feature = "embedded")]
use llm::weights::{FileFormat, Source};
use llm::weights::{ModelFile, ModelFiles};

use super::local::LocalChoice;
use crate::config::{CUSTOM, Config, EmbeddingConfig, OPENROUTER, ProviderConfig};
use crate::failure::Failure;

/// The word for the default embedded model.
pub(crate) const EMBEDDED: &str = "embedded";
/// The default embedded model's card.
pub(crate) const DEFAULT_EMBEDDED: &str = "embedded/qwen2.5-coder-1.5b";
/// The file of the embedding model.
pub(crate) const EMBEDDING_FILE: &str = "multilingual-e5-small-q4";
/// How to get a better model; said wherever the embedded one falls short.
pub(crate) const BETTER_MODEL: &str = "connect a better model: start Ollama, LM Studio, llama.cpp's server or vLLM on this machine, or set OPENROUTER_API_KEY, or OPENAI_BASE_URL (and OPENAI_API_KEY) with --model ID for any OpenAI-compatible endpoint";

/// The embedded model that is used.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedChoice {
    /// Its card.
    pub(crate) card: ModelCard,
    /// Its file.
    pub(crate) file: ModelFile,
}

/// Where vectors come from.
#[derive(Clone, Debug)]
pub(crate) enum EmbeddingChoice {
    /// An endpoint.
    Remote(EmbeddingConfig),
    /// The embedded model.
    Embedded(ModelFile),
}

/// The models of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// All cards: shipped, of the user's files, assumed.
    pub(crate) cards: Cards,
    /// Who does what.
    pub(crate) routes: Routes,
    /// The embedded model, if a route goes to it.
    pub(crate) embedded: Option<EmbeddedChoice>,
    /// The server of this machine that does all the work, if one was found and chosen.
    pub(crate) local: Option<LocalChoice>,
    /// Where vectors come from.
    pub(crate) embedding: EmbeddingChoice,
}

impl Plan {
    /// Decides. `model` is `--model`, which wins over the configured one.
    ///
    /// # Errors
    /// [`Failure`] naming what is missing and how to mend it.
    pub(crate) fn of(config: &Config, model: Option<&str>) -> Result<Self, Failure> {
        let mut cards = all_cards(config)?;
        let mut embedded = None;
        let wished = wished_model(config, model);
        let base = match wished {
            Some(name) => single(config, &mut cards, &mut embedded, name)?,
            None if config.provider(OPENROUTER).is_some() => Routes::openrouter(),
            None if !config.settings.routes.is_empty() && !config.providers.is_empty() => {
                // Every work that the file leaves out goes where its first route goes.
                match config.settings.routes.values().next() {
                    Some(route) => Routes::single(&route.first),
                    None => Routes::openrouter(),
                }
            }
            None if custom_address_is_set(config) => {
                return Err(
                    Failure::setup("an endpoint is configured, but no model of it is named").advice(
                        "name the model: --model ID, COURSEWRIGHT_MODEL, or `model` in coursewright.toml",
                    ),
                );
            }
            None => single(config, &mut cards, &mut embedded, EMBEDDED)?,
        };
        // A model that was named for this run does all of it.
        let routes = if model.is_some() {
            base
        } else {
            base.with_overrides(&config.settings.routes)?
        };
        for work in Work::ALL {
            let models: Vec<_> = routes.of(work).models().map(str::to_owned).collect();
            for id in models {
                assume_card(config, &mut cards, &id);
                if embedded.is_none() && cards.find(&id).is_some_and(|card| card.provider == EMBEDDED) {
                    embedded = Some(known_embedded(&cards, &id)?);
                }
            }
        }
        let mut providers: BTreeSet<&str> = config
            .providers
            .iter()
            .map(|provider| provider.name.as_str())
            .collect();
        if embedded.is_some() {
            providers.insert(EMBEDDED);
        }
        routes.check(&cards, &providers.into_iter().collect::<Vec<_>>())?;
        Ok(Self {
            embedding: embedding(config)?,
            cards,
            routes,
            embedded,
            local: None,
        })
    }

    /// All work goes to a server of this machine.
    ///
    /// # Errors
    /// [`Failure`] if a card file or the embedding model cannot be used.
    pub(crate) fn with_local(config: &Config, choice: LocalChoice) -> Result<Self, Failure> {
        let mut cards = all_cards(config)?;
        cards.insert(choice.card());
        Ok(Self {
            cards,
            routes: Routes::single(&choice.model),
            embedded: None,
            embedding: embedding(config)?,
            local: Some(choice),
        })
    }

    /// The card of the model that writes most of a course.
    pub(crate) fn main_card(&self) -> Option<&ModelCard> {
        self.cards.find(&self.routes.of(Work::Lesson).first)
    }

    /// What a budget can do where nobody knows the price of the model that writes most; `None` where it is known, or where
    /// the provider reports what each call cost.
    pub(crate) fn price_note(&self) -> Option<String> {
        let card = self.main_card()?;
        if card.price.is_some() || card.provider == OPENROUTER {
            return None;
        }
        let Price { input, output, .. } = ASSUMED_PRICE;
        Some(format!(
            "The price of {} is unknown, so the budget cannot be exact: it counts tokens at an assumed ${input:.2} (prompt) and ${output:.2} (answer) per million. With `price` in a model card it is exact.",
            card.id
        ))
    }

    /// Whether every model that would write can write in this language.
    ///
    /// # Errors
    /// [`Failure`] naming the model, its languages and the way out.
    pub(crate) fn check_language(&self, language: Language) -> Result<(), Failure> {
        let unable = Work::ALL.into_iter().find_map(|work| {
            let card = self.cards.find(&self.routes.of(work).first)?;
            (!card.languages.includes(language.code())).then_some(card)
        });
        let Some(card) = unable else { return Ok(()) };
        let knows = match &card.languages {
            llm::card::Languages::Any => String::new(),
            llm::card::Languages::Listed(codes) => format!("; it writes {}", codes.join(", ")),
        };
        let (id, name, code) = (&card.id, language.english_name(), language.code());
        Err(Failure::setup(format!(
            "the model '{id}' cannot write a course in {name} ({code}){knows}"
        ))
        .advice(BETTER_MODEL)
        .advice("or choose another language: --language en"))
    }

    /// The first model on the routes that this provider serves.
    pub(crate) fn model_of(&self, provider: &str) -> Option<String> {
        let mut ids = Work::ALL
            .iter()
            .rev()
            .flat_map(|work| self.routes.of(*work).models());
        let served = ids.find(|id| self.cards.find(id).is_some_and(|card| card.provider == provider));
        served.map(str::to_owned)
    }

    /// The models that are asked first, each once.
    pub(crate) fn first_choices(&self) -> Vec<String> {
        let ids: BTreeSet<&str> = Work::ALL
            .iter()
            .map(|work| self.routes.of(*work).first.as_str())
            .collect();
        ids.into_iter().map(str::to_owned).collect()
    }
}

/// The model that the command line or the configuration names.
pub(super) fn wished_model<'a>(config: &'a Config, model: Option<&'a str>) -> Option<&'a str> {
    model
        .or(config.settings.model.as_deref())
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

pub(super) fn custom_address_is_set(config: &Config) -> bool {
    config
        .provider(CUSTOM)
        .is_some_and(|provider| provider.base_url.host_str() != Some("api.openai.com"))
        || config
            .providers
            .iter()
            .any(|provider| ![CUSTOM, OPENROUTER].contains(&provider.name.as_str()))
}

/// The cards that ship with the program and those of the user's files.
///
/// # Errors
/// [`Failure`] naming the file that cannot be used.
pub(crate) fn all_cards(config: &Config) -> Result<Cards, Failure> {
    let mut cards = Cards::shipped()?;
    for path in &config.settings.card_files {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::setup(format!(
                "the card file {} cannot be read: {error}",
                path.display()
            ))
        })?;
        cards.merge_toml(&path.display().to_string(), &text)?;
    }
    Ok(cards)
}

/// Routes that send all work to the model called `name`.
fn single(
    config: &Config,
    cards: &mut Cards,
    embedded: &mut Option<EmbeddedChoice>,
    name: &str,
) -> Result<Routes, Failure> {
    if is_model_path(name) {
        let choice = own_file(cards, Path::new(name))?;
        let id = choice.card.id.clone();
        *embedded = Some(choice);
        return Ok(Routes::single(&id));
    }
    let id = if name == EMBEDDED { DEFAULT_EMBEDDED } else { name };
    assume_card(config, cards, id);
    let Some(card) = cards.find(id) else {
        let known = cards
            .iter()
            .map(|card| card.id.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(Failure::setup(format!("there is no model '{name}'; known are {known}"))
            .advice("name one of these, `embedded`, the path of a GGUF file, or set OPENAI_BASE_URL to the endpoint that serves it"));
    };
    if card.provider == EMBEDDED {
        *embedded = Some(known_embedded(cards, id)?);
    } else if config.provider(&card.provider).is_none() {
        let provider = &card.provider;
        let variable = if provider == OPENROUTER {
            "set OPENROUTER_API_KEY"
        } else {
            "add it to coursewright.toml"
        };
        return Err(Failure::setup(format!(
            "the model '{id}' belongs to the provider '{provider}', which is not set up"
        ))
        .advice(format!(
            "{variable}, or set OPENAI_BASE_URL to another endpoint that serves this model"
        )));
    }
    Ok(Routes::single(id))
}

/// Sees to it that there is a card for `id` that a configured provider can serve, where one may be assumed:
/// endpoints serve models that nobody described, and models that are described for another provider.
pub(super) fn assume_card(config: &Config, cards: &mut Cards, id: &str) {
    let card = cards.find(id);
    if card.is_some_and(|card| card.provider == EMBEDDED || config.provider(&card.provider).is_some()) {
        return;
    }
    let names = config.providers.iter().map(|provider| provider.name.as_str());
    let serving = match (config.provider(CUSTOM), names.clone().count()) {
        (Some(custom), _) => custom.name.clone(),
        (None, 1) => names.collect(),
        // None, or several endpoints, of which only a card can tell which one serves it.
        (None, _) => return,
    };
    let card = if let Some(card) = card {
        ModelCard {
            provider: serving,
            ..card.clone()
        }
    } else {
        let is_own = config
            .provider(&serving)
            .is_some_and(ProviderConfig::is_of_this_machine);
        ModelCard {
            price: is_own.then(Price::default),
            ..ModelCard::assumed(id, serving)
        }
    };
    cards.insert(card);
}

pub(super) fn is_model_path(name: &str) -> bool {
    let path = Path::new(name);
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
        || path.is_absolute()
}

#[cfg(feature = "embedded")]
fn own_file(cards: &mut Cards, path: &Path) -> Result<EmbeddedChoice, Failure> {
    llm::weights::verify_gguf_header(path)?;
    let base = cards
        .find(DEFAULT_EMBEDDED)
        .cloned()
        .unwrap_or_else(|| ModelCard::assumed(EMBEDDED, EMBEDDED));
    let name = path
        .file_stem()
        .map_or_else(|| "own".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let card = ModelCard {
        id: format!("{EMBEDDED}/{name}"),
        // Nobody says what a file of one's own can do, so nothing is refused.
        languages: llm::card::Languages::Any,
        notice: Some(format!(
            "'{name}' is a model file of your own that runs on this machine; nothing is known of its quality."
        )),
        ..base
    };
    cards.insert(card.clone());
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let bytes = std::fs::metadata(&path).map_or(0, |data| data.len());
    let file = ModelFile {
        name,
        format: FileFormat::Gguf,
        bytes,
        sha256: String::new(),
        licence: "own file".to_owned(),
        sources: vec![Source::Path { path }],
    };
    Ok(EmbeddedChoice { card, file })
}

#[cfg(feature = "embedded")]
fn known_embedded(cards: &Cards, id: &str) -> Result<EmbeddedChoice, Failure> {
    let card = cards
        .find(id)
        .cloned()
        .ok_or_else(|| Failure::setup(format!("there is no embedded model '{id}'")))?;
    let files = ModelFiles::shipped()?;
    let file = embedded_file(&files, id)
        .cloned()
        .ok_or_else(|| Failure::setup(format!("there is no file for the embedded model '{id}'")))?;
    Ok(EmbeddedChoice { card, file })
}

/// The file of an embedded model: named like its card, with more detail.
pub(crate) fn embedded_file<'a>(files: &'a ModelFiles, id: &str) -> Option<&'a ModelFile> {
    let name = id.strip_prefix("embedded/").unwrap_or(id);
    files
        .files
        .iter()
        .find(|file| file.name == name || file.name.starts_with(&format!("{name}-")))
}

fn embedding(config: &Config) -> Result<EmbeddingChoice, Failure> {
    if let Some(remote) = &config.embedding {
        return Ok(EmbeddingChoice::Remote(remote.clone()));
    }
    if !cfg!(feature = "embedded") {
        return Err(Failure::setup("this build has no embedding model").advice(
            "set base_url and model of [embeddings] in coursewright.toml, or build with the feature `embedded`",
        ));
    }
    let files = ModelFiles::shipped()?;
    let file = files.find(EMBEDDING_FILE).cloned();
    file.map(EmbeddingChoice::Embedded)
        .ok_or_else(|| Failure::setup("there is no file for the embedding model"))
}

#[cfg(not(feature = "embedded"))]
fn own_file(_cards: &mut Cards, _path: &Path) -> Result<EmbeddedChoice, Failure> {
    Err(no_embedded())
}

#[cfg(not(feature = "embedded"))]
fn known_embedded(_cards: &Cards, _id: &str) -> Result<EmbeddedChoice, Failure> {
    Err(no_embedded())
}

#[cfg(not(feature = "embedded"))]
fn no_embedded() -> Failure {
    Failure::setup("this build has no embedded model").advice(BETTER_MODEL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Flags};

    fn config(environment: &Environment) -> Config {
        Config::load(&Flags::default(), environment).unwrap()
    }

    fn lesson_model(environment: &Environment, model: Option<&str>) -> Result<String, String> {
        let plan = Plan::of(&config(environment), model).map_err(|failure| failure.to_string())?;
        Ok(plan.main_card().unwrap().id.clone())
    }

    #[test]
    fn without_key_and_endpoint_everything_goes_to_the_embedded_model() {
        assert_eq!(
            lesson_model(&[("HOME", "/h")].into(), None).unwrap(),
            DEFAULT_EMBEDDED
        );
        assert_eq!(
            lesson_model(&[("HOME", "/h")].into(), Some("embedded")).unwrap(),
            DEFAULT_EMBEDDED
        );
        // A key alone, of which many have one for other programs, does not change that.
        assert_eq!(
            lesson_model(&[("HOME", "/h"), ("OPENAI_API_KEY", "k")].into(), None).unwrap(),
            DEFAULT_EMBEDDED
        );
    }

    #[test]
    fn key_of_openrouter_brings_the_default_routes() {
        let environment = || [("HOME", "/h"), ("OPENROUTER_API_KEY", "k")].into();
        assert_eq!(lesson_model(&environment(), None).unwrap(), "openai/gpt-oss-20b");
        assert_eq!(
            lesson_model(&environment(), Some("qwen/qwen3-max")).unwrap(),
            "qwen/qwen3-max"
        );
    }

    #[test]
    fn own_endpoint_serves_whatever_model_is_named() {
        let environment = || [("HOME", "/h"), ("OPENAI_BASE_URL", "http://localhost:8000/v1")].into();
        assert_eq!(
            lesson_model(&environment(), Some("llama3.3:70b")).unwrap(),
            "llama3.3:70b"
        );
        let plan = Plan::of(&config(&environment()), Some("openai/gpt-oss-20b")).unwrap();
        assert_eq!(plan.main_card().unwrap().provider, CUSTOM);
        assert!(
            lesson_model(&environment(), None)
                .unwrap_err()
                .contains("--model")
        );
    }

    #[test]
    fn what_cannot_be_called_is_named_with_the_way_out() {
        let check = |model: &str, expected: &str| {
            let text = lesson_model(&[("HOME", "/h")].into(), Some(model)).unwrap_err();
            assert!(text.contains(expected), "{text}");
        };
        check("qwen/qwen3-max", "OPENROUTER_API_KEY");
        check("no-such-model", "qwen/qwen3-max");
        check("/no/such/file.gguf", "/no/such/file.gguf");
    }

    #[test]
    fn embedded_model_refuses_languages_that_it_cannot_write() {
        let plan = Plan::of(&config(&[("HOME", "/h")].into()), None).unwrap();
        assert!(plan.check_language(Language::English).is_ok());
        let failure = plan.check_language(Language::Russian).unwrap_err();
        assert!(
            failure.to_string().contains("Russian") && failure.to_string().contains("OPENROUTER_API_KEY")
        );
        assert_eq!(failure.exit.code(), 2);
    }

    #[test]
    fn configured_routes_are_laid_over_the_default_ones() {
        let environment = [
            ("HOME", "/h"),
            ("OPENROUTER_API_KEY", "k"),
            ("COURSEWRIGHT_ROUTES", r#"{lesson={first="qwen/qwen3-max"}}"#),
        ];
        let plan = Plan::of(&config(&environment.into()), None).unwrap();
        assert_eq!(plan.routes.of(Work::Lesson).first, "qwen/qwen3-max");
        assert_eq!(plan.routes.of(Work::Section).first, "openai/gpt-oss-20b");
    }

    #[test]
    fn every_embedded_card_has_a_file() {
        let (cards, files) = (Cards::shipped().unwrap(), ModelFiles::shipped().unwrap());
        let embedded: Vec<_> = cards.iter().filter(|card| card.provider == EMBEDDED).collect();
        assert!(!embedded.is_empty());
        for card in embedded {
            assert!(embedded_file(&files, &card.id).is_some(), "{}", card.id);
        }
        assert!(files.find(EMBEDDING_FILE).is_some());
    }
}
