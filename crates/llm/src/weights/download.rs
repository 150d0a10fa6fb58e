//! Fetching a file over HTTP, going on where an earlier attempt ended.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use reqwest::StatusCode;
use reqwest::header::RANGE;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::{Attempt, PullEvent, PullObserver, WeightsError};

/// A source that does not answer within this is passed over.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection on which nothing comes for this long is given up.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);
/// Hubs answer with a redirect to where the bytes are.
const MAX_REDIRECTS: usize = 5;
/// How often progress is told, in bytes.
const PROGRESS_BYTES: u64 = 4 * 1024 * 1024;

/// Fetches `url` into `part` until that has `total` bytes.
pub(super) async fn download(
    url: &str,
    part: &Path,
    total: u64,
    observer: &dyn PullObserver,
    cancel: &CancellationToken,
) -> Result<(), Attempt> {
    tokio::select! {
        result = run(url, part, total, observer) => result,
        () = cancel.cancelled() => Err(Attempt::Stop(WeightsError::Cancelled)),
    }
}

async fn run(url: &str, part: &Path, total: u64, observer: &dyn PullObserver) -> Result<(), Attempt> {
    let unwritable = |cause| {
        Attempt::Stop(WeightsError::Unwritable {
            path: part.to_owned(),
            cause,
        })
    };
    let mut there = tokio::fs::metadata(part).await.map_or(0, |data| data.len());
    if there >= total {
        // Complete, or the beginning of something else: the checksum will tell.
        return Ok(());
    }
    let client = client().map_err(next)?;
    let mut request = client.get(url);
    if there > 0 {
        request = request.header(RANGE, format!("bytes={there}-"));
    }
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, request.send())
        .await
        .map_err(|_| Attempt::Next(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())))?
        .map_err(next)?;
    match answer.status() {
        StatusCode::PARTIAL_CONTENT => {}
        // The server sends everything again.
        StatusCode::OK => there = 0,
        status => return Err(Attempt::Next(format!("status {status}"))),
    }
    let mut options = OpenOptions::new();
    options
        .create(true)
        .write(true)
        .append(there > 0)
        .truncate(there == 0);
    let mut out = options.open(part).await.map_err(unwritable)?;
    let mut bytes = answer.bytes_stream();
    let mut told = there;
    loop {
        let chunk = tokio::time::timeout(SILENCE_TIMEOUT, bytes.next()).await;
        let chunk =
            chunk.map_err(|_| Attempt::Next(format!("silence for {} s", SILENCE_TIMEOUT.as_secs())))?;
        let Some(chunk) = chunk else { break };
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                out.flush().await.map_err(unwritable)?;
                return Err(next(error));
            }
        };
        out.write_all(&chunk).await.map_err(unwritable)?;
        there += chunk.len() as u64;
        if there > total {
            break;
        }
        if there - told >= PROGRESS_BYTES {
            told = there;
            observer.on_event(&PullEvent::Progress { bytes: there, total });
        }
    }
    out.flush().await.map_err(unwritable)?;
    observer.on_event(&PullEvent::Progress { bytes: there, total });
    if there < total {
        return Err(Attempt::Next(format!(
            "the connection ended after {there} of {total} bytes"
        )));
    }
    Ok(())
}

fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Err means that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("coursewright/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(ANSWER_TIMEOUT)
        .redirect(reqwest::redirect::Policy::limited(MAX_REDIRECTS))
        // A compressed answer could not be resumed, and weights do not compress.
        .no_gzip()
        .build()
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn next(error: reqwest::Error) -> Attempt {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    Attempt::Next(line)
}
