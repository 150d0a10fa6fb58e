//! Any endpoint that speaks the OpenAI protocol: OpenRouter, OpenAI, vLLM, Ollama, llama.cpp's server ...

pub mod embeddings;
pub(crate) mod failure;
mod stream;
mod wire;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::clock::Clock;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::card::{Cards, StructuredOutput};
use crate::error::ProviderError;
use crate::http_client::http_client_for;
use crate::provider::{Provider, StreamObserver};
use crate::request::Request;
use crate::response::Response;

/// Differences between endpoints that no field of the protocol tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The common denominator.
    Plain,
    /// api.openai.com: `max_completion_tokens`.
    OpenAi,
    /// openrouter.ai: cost on request, upstream's name, routing to upstreams that honour the schema.
    OpenRouter,
}

impl Dialect {
    /// Told by the host of the base URL.
    pub fn of(base_url: &Url) -> Self {
        match base_url.host_str() {
            Some(host) if host == "openrouter.ai" || host.ends_with(".openrouter.ai") => Self::OpenRouter,
            Some("api.openai.com") => Self::OpenAi,
            _ => Self::Plain,
        }
    }
}

/// How an endpoint is reached.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The provider's id as model cards name it.
    pub id: String,
    /// Up to and including the version, for example `https://openrouter.ai/api/v1`.
    pub base_url: Url,
    /// Sent as a bearer token; never logged, never printed.
    pub api_key: Option<SecretString>,
    /// How many calls may be under way at once.
    pub max_parallel: usize,
    /// Fields added to every request's body; they win over fields of the same name.
    pub extra_body: Map<String, Value>,
    /// Headers added to every request, for example `HTTP-Referer` and `X-Title` for OpenRouter.
    pub extra_headers: Vec<(String, String)>,
    /// What is special about it.
    pub dialect: Dialect,
}

/// Calls at once that a remote provider takes without special agreement.
const DEFAULT_MAX_PARALLEL: usize = 16;

impl Endpoint {
    /// An endpoint with the defaults: dialect by host, 16 calls at once, nothing extra.
    pub fn new(id: impl Into<String>, base_url: Url, api_key: Option<SecretString>) -> Self {
        let dialect = Dialect::of(&base_url);
        Self {
            id: id.into(),
            base_url,
            api_key,
            max_parallel: DEFAULT_MAX_PARALLEL,
            extra_body: Map::new(),
            extra_headers: Vec::new(),
            dialect,
        }
    }

    fn url(&self, path: &str) -> Result<Url, ProviderError> {
        let base = self.base_url.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}/{path}"))
            .map_err(|error| ProviderError::Setup(format!("the base URL {base} is wrong: {error}")))
    }

    fn headers(&self) -> Result<HeaderMap, ProviderError> {
        let wrong = |what: &str| {
            ProviderError::Setup(format!("the header {what} of provider '{}' is wrong", self.id))
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &self.api_key {
            let bearer = format!("Bearer {}", key.expose_secret().trim());
            let mut value = HeaderValue::from_str(&bearer).map_err(|_| wrong("authorization"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        for (name, value) in &self.extra_headers {
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong(name))?;
            headers.insert(header, HeaderValue::from_str(value).map_err(|_| wrong(name))?);
        }
        Ok(headers)
    }

    /// Removes the key from a text that came from outside: some providers repeat it in their errors.
    fn redacted(&self, text: &str) -> String {
        match &self.api_key {
            Some(key) if !key.expose_secret().trim().is_empty() => {
                text.replace(key.expose_secret().trim(), "[key]")
            }
            _ => text.to_owned(),
        }
    }
}

/// A provider behind an OpenAI-compatible endpoint.
pub struct OpenAiCompatible {
    endpoint: Endpoint,
    client: reqwest::Client,
    headers: HeaderMap,
    clock: Arc<dyn Clock>,
    /// What each model can do. Lowered when the endpoint refuses a `response_format`.
    abilities: Mutex<HashMap<String, StructuredOutput>>,
}

impl fmt::Debug for OpenAiCompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiCompatible")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl OpenAiCompatible {
    /// A client of `endpoint`; the cards tell what its models can do.
    ///
    /// # Errors
    /// [`ProviderError::Setup`] if the base URL or a header is wrong, or TLS cannot be set up.
    pub fn new(endpoint: Endpoint, cards: &Cards, clock: Arc<dyn Clock>) -> Result<Self, ProviderError> {
        endpoint.url("chat/completions")?;
        let headers = endpoint.headers()?;
        let own_cards = cards.iter().filter(|card| card.provider == endpoint.id);
        let abilities = own_cards
            .map(|card| (card.id.clone(), card.structured_output))
            .collect();
        Ok(Self {
            client: http_client_for(&endpoint.base_url)?,
            headers,
            clock,
            abilities: Mutex::new(abilities),
            endpoint,
        })
    }

    fn ability(&self, model: &str) -> StructuredOutput {
        let abilities = self.abilities.lock().unwrap_or_else(PoisonError::into_inner);
        abilities
            .get(model)
            .copied()
            .unwrap_or(StructuredOutput::JsonSchema)
    }

    /// The next weaker way to hold a model to a shape, remembered for later calls.
    fn lower_ability(&self, model: &str, refused: StructuredOutput) -> Option<StructuredOutput> {
        let lower = match refused {
            StructuredOutput::JsonSchema | StructuredOutput::Grammar => StructuredOutput::JsonObject,
            StructuredOutput::JsonObject => StructuredOutput::None,
            StructuredOutput::None => return None,
        };
        tracing::warn!(
            model,
            ?refused,
            ?lower,
            "the endpoint refuses this response format; a weaker one is used"
        );
        self.abilities
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(model.to_owned(), lower);
        Some(lower)
    }

    async fn attempt(
        &self,
        request: &Request,
        ability: StructuredOutput,
        observer: &dyn StreamObserver,
    ) -> Result<Response, ProviderError> {
        let started = Instant::now();
        let body = wire::request_body(request, ability, &self.endpoint);
        let sending = self
            .client
            .post(self.endpoint.url("chat/completions")?)
            .headers(self.headers.clone())
            .body(body.to_string())
            .send();
        let response = timeout(request.idle_timeout, sending)
            .await
            .map_err(|_| ProviderError::Timeout {
                after: request.idle_timeout,
            })?
            .map_err(|error| failure::of_sending(&error, &self.endpoint, request.idle_timeout))?;
        let response = failure::of_status(
            response,
            &request.model,
            request.idle_timeout,
            &self.endpoint,
            &*self.clock,
        )
        .await?;
        let answer = stream::read(response, request, observer, &self.endpoint).await?;
        answer.into_response(request, started.elapsed())
    }
}

#[async_trait]
impl Provider for OpenAiCompatible {
    fn id(&self) -> &str {
        &self.endpoint.id
    }

    fn max_parallel(&self) -> usize {
        self.endpoint.max_parallel
    }

    async fn generate(
        &self,
        request: &Request,
        observer: &dyn StreamObserver,
        cancel: &CancellationToken,
    ) -> Result<Response, ProviderError> {
        let mut ability = self.ability(&request.model);
        loop {
            let result = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(ProviderError::Cancelled),
                result = self.attempt(request, ability, observer) => result,
            };
            // A refused response format costs nothing and is refused again on every try, so the weaker one is
            // asked for at once. This is the only case in which one call sends two requests.
            let Err(error) = &result else { return result };
            if request.schema.is_none() || !failure::is_about_response_format(error) {
                return result;
            }
            let Some(lower) = self.lower_ability(&request.model, ability) else {
                return result;
            };
            ability = lower;
        }
    }
}
