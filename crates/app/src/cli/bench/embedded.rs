//! The embedded model: tokens a second on this machine.

use std::path::PathBuf;

use crate::config::Config;
use crate::failure::Failure;

#[cfg(not(feature = "embedded"))]
pub(super) async fn measure(_config: &Config, _model: Option<PathBuf>) -> Result<String, Failure> {
    Err(Failure::setup("this build has no embedded model"))
}

/// Loads the model and lets it read and write.
#[cfg(feature = "embedded")]
pub(super) async fn measure(config: &Config, model: Option<PathBuf>) -> Result<String, Failure> {
    use domain::error::ErrorKind;
    use llm::embedded::bench::bench_decode;
    use llm::weights::{ModelFiles, verify_gguf_header};

    use crate::wiring::{DEFAULT_EMBEDDED, Fetcher, embedded_file};

    /// Answers at once, as the product decodes lessons.
    const SLOTS: usize = 4;
    /// Tokens of an answer.
    const TOKENS: usize = 128;

    let path = if let Some(path) = model {
        verify_gguf_header(&path)?;
        path
    } else {
        let files = ModelFiles::shipped()?;
        let fetcher = Fetcher::new(config)?;
        embedded_file(&files, DEFAULT_EMBEDDED)
            .and_then(|file| fetcher.find(file))
            .ok_or_else(|| {
                Failure::setup("the embedded model is not there")
                    .advice("fetch it: `coursewright models pull`")
            })?
    };
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let measured = tokio::task::spawn_blocking(move || bench_decode(&path, SLOTS, TOKENS)).await;
    let figures = measured
        .map_err(|error| Failure::of(ErrorKind::Internal, &error))?
        .map_err(|error| Failure::of(ErrorKind::Setup, &error))?;
    Ok(format!(
        "embedded {name}: loads in {:.1} s, reads {:.0} tokens/s, writes {:.1} tokens/s alone and {:.1} tokens/s with {} at once",
        figures.load_seconds,
        figures.prompt_tokens_per_s,
        figures.single_decode_tokens_per_s,
        figures.batched_decode_tokens_per_s,
        figures.slots
    ))
}
