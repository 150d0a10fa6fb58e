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
    /// The grammar of a schema broke while it was followed.
    #[error("the schema could not be followed: {0}")]
    Grammar(String),
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
