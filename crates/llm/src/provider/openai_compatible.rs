//! Any endpoint that speaks the OpenAI protocol: OpenRouter, OpenAI, vLLM, Ollama, llama.cpp's server ...

mod answer;
mod body;
pub mod embeddings;
pub(crate) mod failure;
mod negotiation;
mod refusal;
mod stream;
mod wait_hint;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::clock::Clock;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::negotiation::{Asked, Negotiation};
use self::refusal::Refusal;
use self::stream::Patience;
use crate::capability::{Adjustment, Capabilities, CapabilityBook};
use crate::card::{Cards, Granularity, ModelCard, StructuredOutput};
use crate::error::{FailedAttempt, ProviderError};
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
#[derive(Clone)]
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
    /// How long it may send no byte; `None`: as long as each request says, but a third of its wait limit at most.
    pub idle_timeout: Option<Duration>,
    /// How long it may send nothing that is written or thought, however many signs of life come; `None`:
    /// [`DEFAULT_CONTENT_TIMEOUT`], but a third of the request's wait limit at most, and never less than the silence
    /// that is allowed.
    pub content_timeout: Option<Duration>,
}

/// Without the values of headers and the query of the URL, which may be secrets.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("address", &self.address())
            .field("dialect", &self.dialect)
            .finish_non_exhaustive()
    }
}

/// A remote model that sends signs of life alone for so long is taken to hang: queues and prompts that are read take
/// up to two minutes with the slowest providers.
pub const DEFAULT_CONTENT_TIMEOUT: Duration = Duration::from_mins(3);

/// The longest silence before an answer that does not come as a stream: 30 000 tokens at 50 a second.
const UNSTREAMED_ANSWER_TIMEOUT: Duration = Duration::from_mins(10);

/// A connection that hangs must leave time for a pause and for another try before the wait limit is reached.
const SHARES_OF_THE_WAIT_LIMIT: u32 = 3;

/// Keys of providers are longer; "x", "none" or "ollama" are written where a program insists on one.
const SHORTEST_KEY_BYTES: usize = 8;

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
            idle_timeout: None,
            content_timeout: None,
        }
    }

    /// The base URL with one more step in its path; its query stays behind it, where Azure wants `api-version`.
    fn url(&self, path: &str) -> Result<Url, ProviderError> {
        let mut url = self.base_url.clone();
        let wrong = || ProviderError::Setup(format!("the base URL {} is wrong", self.address()));
        let mut steps = url.path_segments_mut().map_err(|()| wrong())?;
        steps.pop_if_empty().extend(path.split('/'));
        drop(steps);
        Ok(url)
    }

    /// Host and port, for messages: never a name, password or query of the URL.
    pub fn host(&self) -> String {
        let host = self.base_url.host_str().unwrap_or_default();
        match self.base_url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Host, port and path: what tells one endpoint from another.
    pub fn address(&self) -> String {
        format!("{}{}", self.host(), self.base_url.path().trim_end_matches('/'))
    }

    fn patience(&self, request: &Request, is_streamed: bool) -> Patience {
        let share = request.wait_limit / SHARES_OF_THE_WAIT_LIMIT;
        let mut idle = self.idle_timeout.unwrap_or(request.idle_timeout.min(share));
        if !is_streamed {
            // Nothing comes before the whole answer does.
            idle = idle.max(UNSTREAMED_ANSWER_TIMEOUT.min(request.wait_limit));
        }
        let content = self
            .content_timeout
            .unwrap_or(DEFAULT_CONTENT_TIMEOUT.min(share).max(idle));
        Patience { idle, content }
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

    /// Removes the key and the values of the extra headers, which may be keys, from a text that came from outside: some
    /// providers repeat them in their errors.
    fn redacted(&self, text: &str) -> String {
        let key = self.api_key.iter().map(ExposeSecret::expose_secret);
        let values = self.extra_headers.iter().map(|(_, value)| {
            let value = value.trim();
            value.strip_prefix("Bearer ").unwrap_or(value)
        });
        let mut secrets: Vec<&str> = key
            .chain(values)
            .map(str::trim)
            // A shorter one is no secret, and its letters are parts of words.
            .filter(|secret| secret.len() >= SHORTEST_KEY_BYTES)
            .collect();
        // One may be a part of another, of which the rest would stay.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, "[key]"))
    }
}

/// How a model is first held to a shape. Small pieces lean on the patterns of their schemas, which strict ones lack.
fn first_schema(card: &ModelCard) -> StructuredOutput {
    match (card.structured_output, card.granularity) {
        (StructuredOutput::JsonSchema, Granularity::Small) => StructuredOutput::FullJsonSchema,
        (schema, _) => schema,
    }
}

/// A provider behind an OpenAI-compatible endpoint.
pub struct OpenAiCompatible {
    endpoint: Endpoint,
    client: reqwest::Client,
    headers: HeaderMap,
    clock: Arc<dyn Clock>,
    /// How the cards say that each model is held to a shape.
    cards: HashMap<String, StructuredOutput>,
    /// How each model is asked, as its server has taught.
    book: Arc<CapabilityBook>,
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
        let cards = own_cards
            .map(|card| (card.id.clone(), first_schema(card)))
            .collect();
        let client = Self {
            client: http_client_for(&endpoint.base_url)?,
            headers,
            clock,
            cards,
            endpoint,
            book: Arc::default(),
        };
        Ok(client.learning_in(Arc::default()))
    }

    /// The same client, which learns into `book` and out of it.
    #[must_use]
    pub fn learning_in(mut self, book: Arc<CapabilityBook>) -> Self {
        book.register(&self.endpoint.id, &self.endpoint.address());
        self.book = book;
        self
    }

    /// How a model is asked now.
    pub fn capabilities(&self, model: &str) -> Capabilities {
        self.book.find(&self.endpoint.id, model).unwrap_or_else(|| {
            let schema = self.cards.get(model).copied();
            body::first_capabilities(
                self.endpoint.dialect,
                schema.unwrap_or(StructuredOutput::JsonSchema),
            )
        })
    }

    /// One request.
    async fn attempt(
        &self,
        request: &Request,
        asked: &Asked,
        observer: &dyn StreamObserver,
    ) -> Result<Response, Attempt> {
        let started = Instant::now();
        let patience = self.endpoint.patience(request, asked.body.contains_key("stream"));
        let sending = self
            .client
            .post(self.endpoint.url("chat/completions")?)
            .headers(self.headers.clone())
            .body(serde_json::Value::Object(asked.body.clone()).to_string())
            .send();
        let response = timeout(patience.idle, sending)
            .await
            .map_err(|_| ProviderError::Timeout { after: patience.idle })?
            .map_err(|error| failure::of_sending(&error, &self.endpoint, patience.idle))?;
        if !response.status().is_success() {
            let refusal = failure::of_response(response, patience.idle, &self.endpoint, &*self.clock).await;
            return Err(Attempt::Refused(refusal.into()));
        }
        let answer = stream::read(response, request, observer, &self.endpoint, patience).await?;
        Ok(answer.into_response(request, started.elapsed())?)
    }

    /// A model that thought all its tokens away gets more of them from now on.
    fn give_room_to_think(&self, model: &str, failed: &FailedAttempt, asked: &Asked) {
        if !matches!(failed.error, ProviderError::NoRoom { .. }) {
            return;
        }
        let mut capabilities = self.capabilities(model);
        let more = capabilities
            .thinking_tokens
            .saturating_mul(2)
            .max(asked.answer_tokens);
        let change = Adjustment::ThinkingRoom(more.min(MOST_THINKING_TOKENS));
        if change.apply(&mut capabilities) {
            self.book
                .learn(&self.endpoint.id, model, &capabilities, &[change]);
        }
    }
}

/// Room for thoughts is not raised above this: what the longest answers of today's models are given.
const MOST_THINKING_TOKENS: u32 = 65_536;

/// Why one request brought no answer.
enum Attempt {
    /// The server refused it: perhaps it takes it in another form.
    Refused(Box<Refusal>),
    Failed(FailedAttempt),
}

impl From<ProviderError> for Attempt {
    fn from(error: ProviderError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<FailedAttempt> for Attempt {
    fn from(failed: FailedAttempt) -> Self {
        Self::Failed(failed)
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

    /// Refusals are negotiated here: they cost nothing, so one call may send several requests until the server takes one.
    async fn generate(
        &self,
        request: &Request,
        observer: &dyn StreamObserver,
        cancel: &CancellationToken,
    ) -> Result<Response, FailedAttempt> {
        let mut negotiation = Negotiation::begin(self.capabilities(&request.model), request);
        loop {
            let asked = match negotiation.ask(request, &self.endpoint) {
                Ok(asked) => asked,
                Err(error) => {
                    negotiation.keep_windows(&self.book, &self.endpoint.id, &request.model);
                    return Err(error.into());
                }
            };
            let result = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(ProviderError::Cancelled.into()),
                result = self.attempt(request, &asked, observer) => result,
            };
            let outcome = match result {
                Err(Attempt::Refused(refusal)) => {
                    if negotiation.answer_to(&refusal, &asked) {
                        tracing::debug!(
                            model = request.model,
                            status = refusal.status,
                            message = refusal.message,
                            "refused; asked in another way"
                        );
                        continue;
                    }
                    negotiation.keep_windows(&self.book, &self.endpoint.id, &request.model);
                    return Err(negotiation.failure(&request.model, &self.endpoint).into());
                }
                Err(Attempt::Failed(failed)) => {
                    self.give_room_to_think(&request.model, &failed, &asked);
                    Err(failed)
                }
                Ok(response) => Ok(response),
            };
            // Whatever became of the answer: the question was taken.
            if outcome
                .as_ref()
                .map_or_else(|failed| failed.spent.is_some(), |_| true)
            {
                negotiation.keep(&self.book, &self.endpoint.id, &request.model);
            }
            return outcome;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Sampling;

    #[test]
    fn patience_stays_below_the_wait_limit_unless_the_endpoint_says_otherwise() {
        let secs = Duration::from_secs;
        let check = |(idle, limit): (u64, u64),
                     own: (Option<u64>, Option<u64>),
                     is_streamed: bool,
                     expected: (u64, u64)| {
            let mut endpoint = Endpoint::new("p", "http://h/v1".parse().unwrap(), None);
            endpoint.idle_timeout = own.0.map(secs);
            endpoint.content_timeout = own.1.map(secs);
            let request = Request {
                model: "m".to_owned(),
                messages: Vec::new(),
                schema: None,
                max_output_tokens: 1,
                sampling: Sampling::default(),
                idle_timeout: secs(idle),
                wait_limit: secs(limit),
            };
            let patience = endpoint.patience(&request, is_streamed);
            assert_eq!(
                (patience.idle, patience.content),
                (secs(expected.0), secs(expected.1))
            );
        };
        let default = (90, 600);
        check(default, (None, None), true, (90, 180));
        check(default, (None, None), false, (600, 600));
        check((900, 600), (None, None), true, (200, 200));
        check((90, 60), (None, None), true, (20, 20));
        check((90, 60), (None, None), false, (60, 60));
        check((90, 86_400), (None, None), false, (600, 600));
        check((90, 60), (Some(300), None), true, (300, 300));
        check((90, 60), (Some(300), Some(400)), true, (300, 400));
        check((90, 60), (None, Some(400)), true, (20, 400));
    }

    #[test]
    fn keys_and_values_of_headers_are_redacted() {
        let mut endpoint = Endpoint::new("p", "http://h/v1".parse().unwrap(), Some("sk-12345678".into()));
        for (name, value) in [
            ("api-key", "sk-12345678-own"),
            ("X-Auth", "Bearer t0ken-t0ken"),
            ("X-Short", "model"),
        ] {
            endpoint.extra_headers.push((name.to_owned(), value.to_owned()));
        }
        assert_eq!(
            endpoint.redacted("no sk-12345678, sk-12345678-own or t0ken-t0ken for the model"),
            "no [key], [key] or [key] for the model"
        );
    }
}
