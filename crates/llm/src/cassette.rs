//! Recorded provider traffic: a test replays what a real provider once answered.
//!
//! A cassette is a folder with one JSON file a request. It holds requests and answers, never keys: a [`Request`]
//! has none, and failures are recorded by their code and text, from which providers have removed the key.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::error::{FailedAttempt, ProviderError};
use crate::provider::{Provider, StreamObserver};
use crate::request::Request;
use crate::response::Response;

/// Hex digits of a request's hash in its file's name.
const HASH_DIGITS: usize = 16;

/// What a cassette file holds.
#[derive(Serialize, Deserialize)]
struct Recording {
    request: Request,
    response: Response,
}

/// Calls a provider and keeps its successful answers. Failures pass through and are not kept: which of them come is
/// the day's weather, and scripts play them better.
pub struct Recorder {
    inner: Arc<dyn Provider>,
    folder: PathBuf,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("inner", &self.inner)
            .field("folder", &self.folder)
            .finish()
    }
}

impl Recorder {
    /// Records what `inner` answers into `folder`, which is made if need be.
    pub fn new(inner: Arc<dyn Provider>, folder: impl Into<PathBuf>) -> Self {
        Self {
            inner,
            folder: folder.into(),
        }
    }
}

#[async_trait]
impl Provider for Recorder {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn max_parallel(&self) -> usize {
        self.inner.max_parallel()
    }

    async fn generate(
        &self,
        request: &Request,
        observer: &dyn StreamObserver,
        cancel: &CancellationToken,
    ) -> Result<Response, FailedAttempt> {
        let response = self.inner.generate(request, observer, cancel).await?;
        let recording = Recording {
            request: request.clone(),
            response,
        };
        let failed = |error: &dyn fmt::Display| {
            ProviderError::Setup(format!(
                "the cassette {} cannot be written: {error}",
                self.folder.display()
            ))
        };
        let json = serde_json::to_string_pretty(&recording).map_err(|error| failed(&error))?;
        tokio::fs::create_dir_all(&self.folder)
            .await
            .map_err(|error| failed(&error))?;
        tokio::fs::write(file_of(&self.folder, request), json)
            .await
            .map_err(|error| failed(&error))?;
        Ok(recording.response)
    }
}

/// Answers from a cassette; a request that is not on it is an error that names the file.
#[derive(Clone, Debug)]
pub struct Player {
    id: String,
    folder: PathBuf,
}

impl Player {
    /// Plays `folder` as the provider `id`.
    pub fn new(id: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        Self {
            id: id.into(),
            folder: folder.into(),
        }
    }
}

#[async_trait]
impl Provider for Player {
    fn id(&self) -> &str {
        &self.id
    }

    fn max_parallel(&self) -> usize {
        1
    }

    async fn generate(
        &self,
        request: &Request,
        observer: &dyn StreamObserver,
        cancel: &CancellationToken,
    ) -> Result<Response, FailedAttempt> {
        if cancel.is_cancelled() {
            return Err(ProviderError::Cancelled.into());
        }
        let file = file_of(&self.folder, request);
        let failed = |error: &dyn fmt::Display| {
            ProviderError::Setup(format!(
                "there is no recording {} for this request: {error}",
                file.display()
            ))
        };
        let json = tokio::fs::read_to_string(&file)
            .await
            .map_err(|error| failed(&error))?;
        let recording: Recording = serde_json::from_str(&json).map_err(|error| failed(&error))?;
        observer.on_delta(&recording.response.text, recording.response.usage.output);
        Ok(recording.response)
    }
}

/// The file of a request: its model, for people, and the hash of all that decides over the answer.
fn file_of(folder: &Path, request: &Request) -> PathBuf {
    // How long one waits does not change what is answered.
    let Request {
        model,
        messages,
        schema,
        max_output_tokens,
        sampling,
        idle_timeout: _,
        wait_limit: _,
    } = request;
    let decisive = serde_json::json!([model, messages, schema, max_output_tokens, sampling]);
    let hash = hex::encode(Sha256::digest(decisive.to_string().as_bytes()));
    let model: String = model
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    folder.join(format!("{model}-{}.json", &hash[..HASH_DIGITS]))
}
