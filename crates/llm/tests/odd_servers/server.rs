//! A server whose every byte a test says, and the client that asks it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::clock::SystemClock;
use llm::card::Cards;
use llm::error::FailedAttempt;
use llm::provider::openai_compatible::{Endpoint, OpenAiCompatible};
use llm::provider::{Provider, Unobserved};
use llm::request::{Message, OutputSchema, Request, Sampling};
use llm::response::Response;
use llm::retry::DEFAULT_WAIT_LIMIT;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What a server does with a request's body.
type Behaviour = Arc<dyn Fn(&Value, usize) -> Reply + Send + Sync>;

/// The bytes of a response, and what happens after them.
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Close,
    /// The connection stays open and silent.
    Hang,
    /// The connection stays open, and this comes for ever.
    KeepAlive(&'static [u8]),
}

pub(crate) fn raw(head: &str, body: &[u8]) -> Reply {
    let mut bytes = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    Reply {
        bytes,
        end: End::Close,
    }
}

pub(crate) fn events(chunks: &[Value]) -> Reply {
    let body = chunks
        .iter()
        .fold(String::new(), |body, chunk| body + &format!("data: {chunk}\n\n"));
    raw(
        "200 OK\r\nContent-Type: text/event-stream",
        format!("{body}data: [DONE]\n\n").as_bytes(),
    )
}

pub(crate) fn refused(status: u16, message: &str) -> Reply {
    let body = json!({ "error": { "message": message } }).to_string();
    raw(
        &format!("{status} No\r\nContent-Type: application/json"),
        body.as_bytes(),
    )
}

pub(crate) fn delta(content: &Value) -> Value {
    json!({ "choices": [{ "delta": { "content": content }, "finish_reason": null }] })
}

pub(crate) fn stop() -> Value {
    json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] })
}

pub(crate) struct Server {
    pub(crate) url: String,
    /// The bodies that came.
    bodies: Arc<Mutex<Vec<Value>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(behaviour: impl Fn(&Value, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let bodies: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (seen, behaviour): (_, Behaviour) = (Arc::clone(&bodies), Arc::new(behaviour));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, Arc::clone(&seen), Arc::clone(&behaviour)));
            }
        });
        Self {
            url,
            bodies,
            _tasks: tasks,
        }
    }

    pub(crate) fn client(&self) -> OpenAiCompatible {
        let mut endpoint = Endpoint::new("p", self.url.parse().unwrap(), None);
        endpoint.content_timeout = Some(Duration::from_millis(300));
        OpenAiCompatible::new(endpoint, &Cards::default(), Arc::new(SystemClock)).unwrap()
    }

    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }
}

async fn serve(mut socket: TcpStream, seen: Arc<Mutex<Vec<Value>>>, behaviour: Behaviour) {
    let mut request = Vec::new();
    let body = loop {
        let mut piece = [0; 16 * 1024];
        let read = socket.read(&mut piece).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((_, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        if let Ok(body) = serde_json::from_str::<Value>(body) {
            break body;
        }
    };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(body.clone());
        seen.len()
    };
    let reply = behaviour(&body, number);
    let _ = socket.write_all(&reply.bytes).await;
    match reply.end {
        End::Close => {}
        End::Hang => std::future::pending().await,
        End::KeepAlive(sign) => {
            while socket.write_all(sign).await.is_ok() {
                // Without a pace it would be a flood, which is another fault.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

pub(crate) fn request() -> Request {
    Request {
        model: "m".to_owned(),
        messages: vec![Message::system("Be brief."), Message::user("Say hello.")],
        schema: Some(OutputSchema {
            name: "answer".to_owned(),
            schema: json!({ "type": "object", "properties": { "a": { "type": "string" } } }),
        }),
        max_output_tokens: 8192,
        sampling: Sampling {
            seed: Some(7),
            ..Sampling::default()
        },
        idle_timeout: Duration::from_secs(5),
        wait_limit: DEFAULT_WAIT_LIMIT,
    }
}

pub(crate) async fn ask(client: &OpenAiCompatible) -> Result<Response, FailedAttempt> {
    client
        .generate(&request(), &Unobserved, &CancellationToken::new())
        .await
}

/// The text that the client reads, or the code of its failure.
pub(crate) async fn read(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Result<String, &'static str> {
    let server = Server::start(move |_, _| reply()).await;
    match ask(&server.client()).await {
        Ok(response) => Ok(response.text),
        Err(failed) => Err(failed.error.code()),
    }
}
