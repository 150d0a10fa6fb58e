//! A model server on this machine that does the work, where nobody has configured another.

use std::time::Duration;

use llm::card::ModelCard;
use llm::discovery::{ContextWindow, LocalModel, LocalServer, ServerKind, address_of, is_loopback};
use llm::pricing::Price;
use serde::{Deserialize, Serialize};
use url::Url;

use super::plan::{EMBEDDED, all_cards, assume_card, custom_address_is_set, is_model_path, wished_model};
use crate::config::{Config, OPENROUTER, ProviderConfig};
use crate::failure::Failure;

/// How long such a server may be silent: it may first have to read tens of gigabytes from disk, and on a processor
/// without help it reads a long question for minutes.
pub(super) const PATIENCE: Duration = Duration::from_mins(10);
/// The largest window that is assumed of a model whose server decides by itself, in tokens: more than this is seldom
/// set, and what does not fit is cut without a word.
const ASSUMED_WINDOW: u32 = 32_768;
/// A smaller window makes courses hard, in tokens: question, sources and a whole lesson stand in it.
const COMFORTABLE_WINDOW: u32 = 8_192;
/// Room for an answer, in tokens, where the window is large enough: a lesson, or a section's structure.
const ANSWER: u32 = 8_192;

/// What a server of this machine could be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LocalWish<'a> {
    /// Nothing is configured: any model that is better than the embedded one.
    Any,
    /// A model was named that nothing configured serves.
    Named(&'a str),
}

/// What to look for on this machine. `None`: the configuration, or the command line, says what does the work.
///
/// # Errors
/// [`Failure`] if a card file cannot be used.
pub(crate) fn local_wish<'a>(
    config: &'a Config,
    model: Option<&'a str>,
) -> Result<Option<LocalWish<'a>>, Failure> {
    if config.provider(OPENROUTER).is_some() || custom_address_is_set(config) {
        return Ok(None);
    }
    let Some(name) = wished_model(config, model) else {
        // Routes without providers send work to embedded models, on purpose.
        return Ok(config.settings.routes.is_empty().then_some(LocalWish::Any));
    };
    if name == EMBEDDED || is_model_path(name) {
        return Ok(None);
    }
    let mut cards = all_cards(config)?;
    assume_card(config, &mut cards, name);
    let is_served = cards
        .find(name)
        .is_some_and(|card| card.provider == EMBEDDED || config.provider(&card.provider).is_some());
    Ok((!is_served).then_some(LocalWish::Named(name)))
}

/// A model of a server on this machine. A course remembers it, so that `resume` finds it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LocalChoice {
    /// What the server is.
    pub(crate) server: ServerKind,
    /// Up to and including the version.
    pub(crate) base_url: Url,
    /// The model's id.
    pub(crate) model: String,
    /// Its window in tokens, if the server tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) context_window: Option<u32>,
}

impl LocalChoice {
    /// This model of this server.
    pub(crate) fn of(server: &LocalServer, model: &LocalModel, window: Option<ContextWindow>) -> Self {
        Self {
            server: server.kind,
            base_url: server.base_url.clone(),
            model: model.id.clone(),
            context_window: window.map(|window| match window {
                ContextWindow::Held(tokens) => tokens,
                ContextWindow::AtMost(tokens) => tokens.min(ASSUMED_WINDOW),
            }),
        }
    }

    /// Whether it is on this machine; what a database remembers may be anything.
    pub(crate) fn is_here(&self) -> bool {
        is_loopback(&self.base_url)
    }

    /// The address for people: `http://127.0.0.1:11434`.
    pub(crate) fn address(&self) -> String {
        address_of(&self.base_url)
    }

    /// What is known of the model: little, so it is assumed with care.
    pub(crate) fn card(&self) -> ModelCard {
        let mut card = ModelCard {
            // On one's own machine.
            price: Some(Price::default()),
            ..ModelCard::assumed(&self.model, self.server.id())
        };
        if let Some(tokens) = self.context_window {
            card.context_window = tokens;
            card.max_output = ANSWER.max(tokens / 4).min(tokens / 2);
        }
        card
    }

    /// The server as a provider.
    pub(crate) fn provider(&self) -> ProviderConfig {
        // The others work one question off after another unless told otherwise: what waits in their line for long
        // would seem to be lost.
        let max_parallel = match self.server {
            ServerKind::Vllm => None,
            ServerKind::Ollama | ServerKind::LmStudio | ServerKind::LlamaCpp => Some(1),
        };
        ProviderConfig {
            name: self.server.id().to_owned(),
            base_url: self.base_url.clone(),
            api_key: None,
            key_source: None,
            max_parallel,
            idle_timeout: Some(PATIENCE),
            content_timeout: Some(PATIENCE),
            extra: serde_json::Map::new(),
            headers: Vec::new(),
        }
    }
}

/// What to know of the window that a server holds for its model, if there is something.
pub(crate) fn window_note(server: ServerKind, window: Option<ContextWindow>) -> Option<String> {
    let setting = match server {
        ServerKind::Ollama => "start it with OLLAMA_CONTEXT_LENGTH=32768, or set num_ctx",
        ServerKind::LmStudio => "load the model with a context length of 32768",
        ServerKind::LlamaCpp => "start it with -c 32768",
        ServerKind::Vllm => "start it with --max-model-len 32768",
    };
    if let Some(ContextWindow::Held(tokens) | ContextWindow::AtMost(tokens)) = window
        && tokens < COMFORTABLE_WINDOW
    {
        return Some(format!(
            "its context window of {tokens} tokens is small for courses: if the model can more, {setting}"
        ));
    }
    let is_sure = matches!(window, Some(ContextWindow::Held(_)));
    let cuts = matches!(server, ServerKind::Ollama | ServerKind::LmStudio);
    (cuts && !is_sure).then(|| {
        format!(
            "{} cuts questions off that are longer than its own context length, whatever the model can: {setting}",
            server.name()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Flags};

    fn config(environment: &[(&str, &str)]) -> Config {
        let environment: Environment = environment.iter().copied().chain([("HOME", "/h")]).collect();
        Config::load(&Flags::default(), &environment).unwrap()
    }

    #[test]
    fn servers_are_looked_for_where_nothing_else_is_said() {
        use LocalWish::{Any, Named};
        let check = |environment: &[(&str, &str)], model: Option<&str>, expected: Option<LocalWish<'_>>| {
            let config = config(environment);
            assert_eq!(
                local_wish(&config, model).unwrap(),
                expected,
                "{environment:?} {model:?}"
            );
        };
        check(&[], None, Some(Any));
        check(&[], Some(" "), Some(Any));
        // Many have this key for other programs.
        check(&[("OPENAI_API_KEY", "k")], None, Some(Any));
        check(&[("OPENROUTER_API_KEY", "\"\"")], None, Some(Any));
        check(&[], Some("qwen3:14b"), Some(Named("qwen3:14b")));
        check(
            &[("COURSEWRIGHT_MODEL", "qwen3:14b")],
            None,
            Some(Named("qwen3:14b")),
        );
        // A card of a provider that is not set up: another server may have the same model.
        check(&[], Some("openai/gpt-oss-20b"), Some(Named("openai/gpt-oss-20b")));

        check(&[], Some("embedded"), None);
        check(&[], Some("embedded/qwen2.5-coder-0.5b"), None);
        check(&[("COURSEWRIGHT_MODEL", "embedded")], None, None);
        check(&[], Some("/models/own.gguf"), None);
        check(&[], Some("own.gguf"), None);
        check(&[("OPENAI_API_KEY", "k")], Some("gpt-5-mini"), None);
        check(&[("OPENROUTER_API_KEY", "k")], None, None);
        check(&[("OPENAI_BASE_URL", "http://h/v1")], None, None);
        check(&[("OPENAI_BASE_URL", "http://h/v1")], Some("m"), None);
        check(
            &[("COURSEWRIGHT_PROVIDERS__P__BASE_URL", "http://h/v1")],
            None,
            None,
        );
        let route = (
            "COURSEWRIGHT_ROUTES",
            r#"{lesson={first="embedded/qwen2.5-coder-0.5b"}}"#,
        );
        check(&[route], None, None);
    }

    fn choice(window: Option<u32>) -> LocalChoice {
        LocalChoice {
            server: ServerKind::Ollama,
            base_url: "http://127.0.0.1:11434/v1".parse().unwrap(),
            model: "qwen3:14b".to_owned(),
            context_window: window,
        }
    }

    #[test]
    fn cards_have_room_for_question_and_answer() {
        let check = |window: Option<u32>, expected: (u32, u32)| {
            let card = choice(window).card();
            assert_eq!((card.context_window, card.max_output), expected, "{window:?}");
            assert_eq!(card.provider, "ollama");
        };
        check(None, (32_768, 8_192));
        check(Some(131_072), (131_072, 32_768));
        check(Some(40_960), (40_960, 10_240));
        check(Some(8_192), (8_192, 4_096));
        check(Some(2_048), (2_048, 1_024));
    }

    #[test]
    fn what_a_course_remembers_of_a_server_comes_back() {
        let text = serde_json::to_string(&choice(Some(4096))).unwrap();
        assert!(text.contains(r#""server":"ollama""#), "{text}");
        assert_eq!(
            serde_json::from_str::<LocalChoice>(&text).unwrap(),
            choice(Some(4096))
        );
        assert!(choice(None).is_here());
        let elsewhere = LocalChoice {
            base_url: "http://server.example.org/v1".parse().unwrap(),
            ..choice(None)
        };
        assert!(!elsewhere.is_here());
    }

    #[test]
    fn small_and_unsure_windows_are_told() {
        use ContextWindow::{AtMost, Held};
        let check = |server: ServerKind, window: Option<ContextWindow>, expected: Option<&str>| {
            let note = window_note(server, window);
            match expected {
                Some(part) => assert!(note.as_ref().is_some_and(|note| note.contains(part)), "{note:?}"),
                None => assert_eq!(note, None),
            }
        };
        check(
            ServerKind::Ollama,
            Some(AtMost(40_960)),
            Some("OLLAMA_CONTEXT_LENGTH"),
        );
        check(ServerKind::Ollama, None, Some("OLLAMA_CONTEXT_LENGTH"));
        check(ServerKind::Ollama, Some(Held(32_768)), None);
        check(ServerKind::Ollama, Some(Held(4_096)), Some("4096 tokens"));
        check(ServerKind::LmStudio, Some(AtMost(32_768)), Some("load the model"));
        check(ServerKind::LlamaCpp, Some(Held(2_048)), Some("-c 32768"));
        check(ServerKind::LlamaCpp, None, None);
        check(ServerKind::Vllm, Some(Held(40_960)), None);
    }
}
