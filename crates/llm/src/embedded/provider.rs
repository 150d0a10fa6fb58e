//! The embedded model behind the interface of all providers.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_trait::async_trait;
use candle_core::quantized::gguf_file::Content;
use domain::usage::{MicroUsd, TokenUsage};
use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::EmbeddedError;
use super::constraint::Grammars;
use super::engine::{Engine, Event, Job};
use super::network::Network;
use super::vocabulary::Vocabulary;
use crate::error::{FailedAttempt, ProviderError};
use crate::provider::{Provider, StreamObserver};
use crate::request::Request;
use crate::response::{FinishReason, Response};

/// Statuses that HTTP providers give for the same mistakes.
const TOO_LARGE: u16 = 413;
const UNPROCESSABLE: u16 = 422;
/// Tokens for an answer below which a prompt counts as too long.
const SMALLEST_ANSWER: usize = 16;
/// Bytes a token, when the tokenizer cannot be loaded and only an estimate is possible.
const BYTES_PER_TOKEN: usize = 3;

/// Answers that are made at once. Measured on two cores: 8 slots give 1.5 times the tokens of 4 and 2.9 times those of
/// one; each costs 100 MB at 4096 tokens.
const SLOTS: usize = 8;

/// How the embedded model is run.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The GGUF file.
    pub path: PathBuf,
    /// The model's id as its card names it.
    pub model: String,
    /// How many answers are made at once.
    pub slots: usize,
    /// Longest prompt and answer together, in tokens.
    pub context_tokens: usize,
}

impl EmbeddedOptions {
    /// Eight answers at once, 4096 tokens each.
    pub fn new(path: impl Into<PathBuf>, model: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            model: model.into(),
            slots: SLOTS,
            context_tokens: 4096,
        }
    }
}

/// The model that runs in this process. It is loaded at the first call, on a thread of its own.
pub struct EmbeddedProvider {
    options: EmbeddedOptions,
    vocabulary: Arc<OnceLock<Result<Arc<Vocabulary>, String>>>,
    engine: OnceCell<Handle>,
}

struct Handle {
    jobs: Sender<Job>,
    vocabulary: Arc<Vocabulary>,
    grammars: Arc<Grammars>,
    positions: usize,
}

impl std::fmt::Debug for EmbeddedProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedProvider")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl EmbeddedProvider {
    /// Remembers how to run the model; nothing is read yet.
    pub fn new(options: EmbeddedOptions) -> Self {
        Self {
            options,
            vocabulary: Arc::default(),
            engine: OnceCell::new(),
        }
    }

    /// How many tokens `text` has for this model. Reads the vocabulary (half a second) if no call has done so.
    pub fn count_tokens(&self, text: &str) -> usize {
        let vocabulary = self
            .vocabulary
            .get_or_init(|| read_vocabulary(&self.options.path));
        match vocabulary {
            Ok(vocabulary) => vocabulary
                .encode(text)
                .map_or(text.len() / BYTES_PER_TOKEN, |tokens| tokens.len()),
            Err(_) => text.len() / BYTES_PER_TOKEN,
        }
    }

    /// Loads the model now instead of at the first call.
    ///
    /// # Errors
    /// [`ProviderError::Setup`] if the file is missing, damaged or of an unknown kind.
    pub async fn load(&self) -> Result<(), ProviderError> {
        self.handle().await.map(|_| ())
    }

    async fn handle(&self) -> Result<&Handle, ProviderError> {
        self.engine.get_or_try_init(|| self.start()).await
    }

    async fn start(&self) -> Result<Handle, ProviderError> {
        let (send, receive) = oneshot::channel();
        let options = self.options.clone();
        let vocabulary = Arc::clone(&self.vocabulary);
        std::thread::Builder::new()
            .name("embedded-model".to_owned())
            .spawn(move || {
                let begin = Instant::now();
                let pool = match super::threads() {
                    Ok(pool) => pool,
                    Err(error) => return drop(send.send(Err(error))),
                };
                pool.install(|| match load(&options, &vocabulary) {
                    Ok((engine, handle, jobs)) => {
                        tracing::info!(
                            model = options.model,
                            seconds = begin.elapsed().as_secs_f32(),
                            "model loaded"
                        );
                        if send.send(Ok(handle)).is_ok() {
                            engine.run(&jobs);
                        }
                    }
                    Err(error) => {
                        // If nobody waits any more there is nobody to tell.
                        let _ = send.send(Err(error));
                    }
                });
            })
            .map_err(|error| ProviderError::Setup(format!("no thread for the model: {error}")))?;
        let path = self.options.path.display();
        receive
            .await
            .map_err(|_| ProviderError::Setup(format!("{path}: loading the model broke off")))?
            .map_err(|error| ProviderError::Setup(format!("{path}: {}", error.in_full())))
    }
}

type Loaded = (Engine, Handle, std::sync::mpsc::Receiver<Job>);

fn load(
    options: &EmbeddedOptions,
    vocabulary: &OnceLock<Result<Arc<Vocabulary>, String>>,
) -> Result<Loaded, EmbeddedError> {
    let (content, mut file) = open(&options.path)?;
    let network = Network::load(&content, &mut file, options.context_tokens)?;
    let vocabulary = vocabulary
        .get_or_init(|| vocabulary_of(&content).map_err(|error| error.in_full()))
        .clone()
        .map_err(EmbeddedError::Tokenizer)?;
    let grammars = Arc::new(Grammars::new(Arc::clone(&vocabulary))?);
    let positions = network.positions();
    let engine = Engine::new(network, Arc::clone(&vocabulary), options.slots);
    let (jobs, receiver) = channel();
    Ok((
        engine,
        Handle {
            jobs,
            vocabulary,
            grammars,
            positions,
        },
        receiver,
    ))
}

pub(super) fn open(path: &Path) -> Result<(Content, BufReader<File>), EmbeddedError> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let content = Content::read(&mut file)?;
    Ok((content, file))
}

pub(super) fn vocabulary_of(content: &Content) -> Result<Arc<Vocabulary>, EmbeddedError> {
    let embedding = content.tensor_infos.get("token_embd.weight");
    let size = embedding
        .and_then(|info| info.shape.dims().first().copied())
        .unwrap_or_default();
    Ok(Arc::new(Vocabulary::load(content, size)?))
}

fn read_vocabulary(path: &Path) -> Result<Arc<Vocabulary>, String> {
    let read = || vocabulary_of(&open(path)?.0);
    read().map_err(|error: EmbeddedError| error.in_full())
}

impl Handle {
    fn job(
        &self,
        request: &Request,
        cancel: &CancellationToken,
    ) -> Result<(Job, mpsc::UnboundedReceiver<Event>), ProviderError> {
        let setup = |error: EmbeddedError| ProviderError::Setup(error.in_full());
        let rejected = |status, message| ProviderError::Rejected { status, message };
        let text = self.vocabulary.render(&request.messages).map_err(setup)?;
        let prompt = self.vocabulary.encode(&text).map_err(setup)?;
        if prompt.len() + SMALLEST_ANSWER > self.positions {
            let (length, context) = (prompt.len(), self.positions);
            let message =
                format!("the prompt has {length} tokens, the model's context {context} with the answer");
            return Err(rejected(TOO_LARGE, message));
        }
        let constraint = request.schema.as_ref().map(|output| {
            self.grammars.compile(&output.schema).map_err(|reason| {
                rejected(
                    UNPROCESSABLE,
                    format!("the schema '{}' cannot be followed: {reason}", output.name),
                )
            })
        });
        let (events, receiver) = mpsc::unbounded_channel();
        let job = Job {
            prompt,
            constraint: constraint.transpose()?,
            sampling: request.sampling,
            seed: request.sampling.seed.unwrap_or_else(rand::random),
            max_output_tokens: request.max_output_tokens as usize,
            events,
            cancel: cancel.clone(),
        };
        Ok((job, receiver))
    }
}

#[async_trait]
impl Provider for EmbeddedProvider {
    fn id(&self) -> &'static str {
        "embedded"
    }

    fn max_parallel(&self) -> usize {
        self.options.slots
    }

    fn first_parallel(&self) -> usize {
        self.options.slots
    }

    async fn generate(
        &self,
        request: &Request,
        observer: &dyn StreamObserver,
        cancel: &CancellationToken,
    ) -> Result<Response, FailedAttempt> {
        let begin = Instant::now();
        let work = self.answer(request, observer, cancel, begin);
        tokio::select! {
            answer = work => Ok(answer?),
            () = cancel.cancelled() => Err(ProviderError::Cancelled.into()),
        }
    }
}

impl EmbeddedProvider {
    async fn answer(
        &self,
        request: &Request,
        observer: &dyn StreamObserver,
        cancel: &CancellationToken,
        begin: Instant,
    ) -> Result<Response, ProviderError> {
        let handle = self.handle().await?;
        let (job, mut events) = handle.job(request, cancel)?;
        let input_tokens = job.prompt.len() as u64;
        let gone = || ProviderError::Setup("the embedded model has stopped".to_owned());
        handle.jobs.send(job).map_err(|_| gone())?;
        let mut text = String::new();
        while let Some(event) = events.recv().await {
            match event {
                Event::Text(delta, tokens) => {
                    observer.on_delta(&delta, tokens);
                    text.push_str(&delta);
                }
                Event::Finished {
                    reason,
                    output_tokens,
                    reused_tokens,
                } => {
                    tracing::debug!(
                        input_tokens,
                        output_tokens,
                        reused_tokens,
                        "answer of the embedded model"
                    );
                    if text.is_empty() && reason == FinishReason::Stop {
                        return Err(ProviderError::Empty);
                    }
                    return Ok(Response {
                        text,
                        finish_reason: reason,
                        usage: TokenUsage::new(input_tokens, output_tokens),
                        // Prompt prefixes are reused here too, but nothing is paid for.
                        cached_input: 0,
                        cost: Some(MicroUsd::ZERO),
                        model: self.options.model.clone(),
                        upstream: None,
                        latency: begin.elapsed(),
                    });
                }
                Event::Failed(error) => return Err(error),
            }
        }
        Err(gone())
    }
}
