//! Taking connections: how many there may be, and how long they may take to say what they want.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// The head of a request must be there in this time, the first and each later one: who opens connections and sends a
/// letter now and then must not keep them.
const HEAD_TIME_LIMIT: Duration = Duration::from_secs(15);
/// What HTTP/2 connections begin with (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How often a beginning that may become [`PREFACE`] is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Requests at once in one HTTP/2 connection.
const MOST_STREAMS: u32 = 100;
/// An HTTP/2 client that does not answer a ping is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
/// After an accept that failed, for example for want of descriptors, others get the time to close theirs.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// Answers requests until `shutdown`, and returns when those that run have been answered. At most `most` connections
/// are open; further clients wait to be let in.
pub(crate) async fn serve(listener: TcpListener, app: Router, most: usize, shutdown: &CancellationToken) {
    let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    let connections = TaskTracker::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (app, shutdown) = (app.clone(), shutdown.clone());
                connections.spawn(async move {
                    let _place = place;
                    answer(stream, peer, app, &shutdown).await;
                });
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be taken");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(
        error.kind(),
        E::ConnectionRefused | E::ConnectionAborted | E::ConnectionReset
    )
}

async fn answer(stream: TcpStream, peer: SocketAddr, app: Router, shutdown: &CancellationToken) {
    // Without it, the last part of an answer may wait for the receipt of the one before.
    let _ = stream.set_nodelay(true);
    let speaks_http2 = tokio::select! {
        begun = timeout(HEAD_TIME_LIMIT, speaks_http2(&stream)) => match begun {
            Ok(Ok(speaks)) => speaks,
            Ok(Err(_)) | Err(_) => return,
        },
        () = shutdown.cancelled() => return,
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    let builder = if speaks_http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        app.clone().oneshot(request)
    });
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(error, "a connection broke");
    }
}

/// Whether the client begins as HTTP/2 does. Nothing is taken from the stream.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut begun = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut begun).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if begun[..length] != PREFACE[..length] {
            return Ok(false);
        }
        if length == PREFACE.len() {
            return Ok(true);
        }
        sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    async fn started(most: usize) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let app = Router::new().route("/", axum::routing::get(async || "there"));
        let token = shutdown.clone();
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(async move { serve(listener, app, most, &token).await });
        (address, shutdown)
    }

    #[tokio::test]
    async fn clients_that_send_their_head_slowly_are_left() {
        let (address, _shutdown) = started(100).await;
        let check = async |sent: &'static str| {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(sent.as_bytes()).await.unwrap();
            let begun = Instant::now();
            let mut rest = Vec::new();
            // What is said at the end does not matter.
            let _ = timeout(Duration::from_mins(1), socket.read_to_end(&mut rest))
                .await
                .unwrap_or_else(|_| panic!("'{sent}' is waited for"));
            assert!(begun.elapsed() > HEAD_TIME_LIMIT / 2, "'{sent}': {rest:?}");
        };
        tokio::join!(
            check(""),
            check("GET / HTTP/1.1\r\nhost: x\r\nx-slow: "),
            check("PRI * HT"),
            check("GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
        );
    }

    #[tokio::test]
    async fn further_clients_wait_for_a_place() {
        let (address, shutdown) = started(1).await;
        let first = TcpStream::connect(address).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        second.write_all(request).await.unwrap();
        let mut answer = [0; 12];
        timeout(Duration::from_millis(300), second.read(&mut answer))
            .await
            .unwrap_err();
        drop(first);
        second.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        shutdown.cancel();
    }
}
