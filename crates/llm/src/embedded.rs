//! The models that run in this process on the CPU: one that writes and one that compares.

mod attention;
mod constraint;
mod container;
mod embedder;
mod engine;
mod linear;
mod network;
mod numeric;
mod pieces;
mod sampling;
mod vocabulary;

pub mod bench;
mod provider;

pub use embedder::{DIMENSIONS, EmbeddedEmbedder};
pub use provider::{EmbeddedOptions, EmbeddedProvider};

/// Why an embedded model cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The file cannot be read.
    #[error("the model file cannot be read")]
    Io(#[from] std::io::Error),
    /// The file or the arithmetic is not as the runtime expects.
    #[error("the model cannot be run")]
    Runtime(#[from] candle_core::Error),
    /// A tensor or an entry of the header is missing.
    #[error("the model file lacks '{0}'")]
    MissingPart(String),
    /// The parts of the file contradict each other.
    #[error("the model file is damaged: {0}")]
    Damaged(&'static str),
    /// A kind of network that is not built in.
    #[error("networks of the kind '{0}' are not supported; qwen2 and llama are")]
    UnknownArchitecture(String),
    /// The tokenizer cannot be built or does not accept a text.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
    /// The model's way to write a conversation does not fit the messages.
    #[error("the model's chat template failed")]
    Template(#[from] minijinja::Error),
    /// The threads cannot be started.
    #[error("the model's threads cannot be started")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The grammar of a schema broke while it was followed.
    #[error("the schema could not be followed: {0}")]
    Grammar(String),
}

/// Makes the embedded models share the processor with others: their threads sleep when they wait.
///
/// Candle's own threads spin until the slowest is done; on a busy machine that makes a model several times slower
/// than one thread alone. With its number of threads at one, candle multiplies on the thread that calls it, and this
/// crate shares the work among rayon's threads, which take over what a sleeping one has not begun.
///
/// # Safety
/// As [`std::env::set_var`]: call it first thing in `main`, before any other thread runs.
#[expect(
    unsafe_code,
    reason = "candle takes its number of threads from the environment alone"
)]
pub unsafe fn use_blocking_threads() {
    // SAFETY: the caller promises that no other thread runs.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") }
}

/// Threads that work on one step of a model together.
fn threads() -> Result<rayon::ThreadPool, EmbeddedError> {
    let pool = rayon::ThreadPoolBuilder::new().thread_name(|index| format!("embedded-{index}"));
    Ok(pool.build()?)
}

impl EmbeddedError {
    /// The message and its causes in one line, for errors that carry only text.
    fn in_full(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line = format!("{line}: {error}");
            cause = error.source();
        }
        line
    }
}
