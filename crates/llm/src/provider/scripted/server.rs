//! A script behind a real socket: a small server that speaks the OpenAI protocol, streaming included.

mod asked;
mod models;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::usage::MicroUsd;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use self::asked::Asked;
use self::wire::{HttpResponse, Letter, error_response, json_response, status_of};
use super::answers::question_name;
use super::delivery::{Delivery, Oddity, Usage};
use super::ledger::{Balance, Ledger};
use super::strict::{Cost, Dialect, Refusal};
use super::{Grade, Script, ScriptedAnswer, ScriptedReply, WordEmbedder, usage_of};
use crate::pricing::Price;
use crate::provider::{Embedder, EmbeddingKind};
use crate::request::Request;

/// Longest request body, in bytes.
const LONGEST_REQUEST: usize = 32 * 1024 * 1024;
/// Length of the vectors that `/embeddings` gives.
const DIMENSIONS: usize = 256;

/// The server; it stops when this is dropped.
#[derive(Debug)]
pub struct ScriptedServer {
    base_url: Url,
    ledger: Arc<Ledger>,
    /// Owns the task that accepts, which owns those that serve.
    _tasks: JoinSet<()>,
}

/// What a server does besides following its script.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// What it refuses.
    pub dialect: &'static Dialect,
    /// What answers cost that name no cost of their own.
    pub price: Price,
    /// Tells who pays for a request, for books that are kept apart.
    pub payer: fn(&Request) -> Option<String>,
}

impl Default for Behaviour {
    /// As strict as [`Dialect::strict`], free of charge.
    fn default() -> Self {
        Self {
            dialect: Dialect::strict(),
            price: Price::default(),
            payer: |_| None,
        }
    }
}

struct Shop {
    script: Script,
    behaviour: Behaviour,
    calls: AtomicUsize,
    ledger: Arc<Ledger>,
}

impl ScriptedServer {
    /// Starts on a free port of this machine: chat completions by `script`, embeddings by words (lenient ones). It
    /// refuses what [`Dialect::strict`] refuses.
    ///
    /// # Errors
    /// If no socket can be opened.
    pub async fn start(script: Script) -> io::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_on(address, script, Behaviour::default()).await
    }

    /// Starts on `address`.
    ///
    /// # Errors
    /// If the socket cannot be opened.
    pub async fn start_on(address: SocketAddr, script: Script, behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let base_url =
            Url::parse(&format!("http://{}/v1", listener.local_addr()?)).map_err(io::Error::other)?;
        let ledger = Arc::new(Ledger::default());
        let shop = Shop {
            script,
            behaviour,
            calls: AtomicUsize::new(0),
            ledger: Arc::clone(&ledger),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::new(shop)));
        Ok(Self {
            base_url,
            ledger,
            _tasks: tasks,
        })
    }

    /// The URL to configure as base, version included: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> Url {
        self.base_url.clone()
    }

    /// What was billed and answered so far.
    pub fn balance(&self) -> Balance {
        self.ledger.balance()
    }
}

async fn accept(listener: TcpListener, shop: Arc<Shop>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let shop = Arc::clone(&shop);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let shop = Arc::clone(&shop);
                async move { shop.answer(request).await }
            });
            // An error here is a client that went away or a failure that the script wants.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Shop {
    async fn answer(&self, request: hyper::Request<Incoming>) -> Result<HttpResponse, io::Error> {
        let path = request.uri().path().to_owned();
        if request.method() == Method::GET {
            return Ok(self.look_up(&path));
        }
        if request.method() != Method::POST {
            return Ok(error_response(StatusCode::NOT_FOUND, "no such path"));
        }
        let body = Limited::new(request.into_body(), LONGEST_REQUEST)
            .collect()
            .await
            .map_err(io::Error::other)?;
        let body: Value = match serde_json::from_slice(&body.to_bytes()) {
            Ok(body) => body,
            Err(error) => return Ok(error_response(StatusCode::BAD_REQUEST, &error.to_string())),
        };
        match path.rsplit('/').next() {
            Some("completions") => self.completion(&body).await,
            Some("embeddings") => Ok(self.embeddings(&body).await),
            _ => Ok(error_response(StatusCode::NOT_FOUND, "no such path")),
        }
    }

    fn look_up(&self, path: &str) -> HttpResponse {
        if path.ends_with("/models") {
            return json_response(StatusCode::OK, &models::list(self.behaviour.dialect));
        }
        if path.ends_with("/__ledger") {
            let balance = serde_json::to_value(self.ledger.balance()).unwrap_or_default();
            return json_response(StatusCode::OK, &balance);
        }
        error_response(StatusCode::NOT_FOUND, "no such path")
    }

    async fn completion(&self, body: &Value) -> Result<HttpResponse, io::Error> {
        let _under_way = self.ledger.begin();
        if let Some(Refusal { status, body, .. }) = self.behaviour.dialect.refusal(body) {
            self.ledger.refused();
            return Ok(json_response(status_of(status), &body));
        }
        let asked = match Asked::deserialize(body) {
            Ok(asked) => asked,
            Err(error) => return Ok(error_response(StatusCode::BAD_REQUEST, &error.to_string())),
        };
        let (is_stream, tool) = (asked.stream, asked.forced_tool());
        let request = asked.into_request();
        let reply = (self.script)(&request, self.calls.fetch_add(1, Ordering::SeqCst));
        tokio::time::sleep(reply.delay).await;
        let ScriptedReply {
            outcome,
            delivery,
            grade,
            ..
        } = reply;
        let answer = match (delivery, outcome) {
            (Delivery::Page(page), _) => return Ok(wire::page(&page)),
            (Delivery::Silence(time), _) => {
                tokio::time::sleep(time).await;
                return Err(io::Error::other("scripted silence"));
            }
            (Delivery::BreaksOff { begun, usage }, _) => {
                let letter = self.letter(&request, &begun);
                if usage == Usage::Reported {
                    self.bill(&request, &begun);
                }
                return Ok(letter.broken(usage));
            }
            (Delivery::ThoughtOnly { thought }, _) => {
                self.bill(&request, &thought);
                return Ok(self.letter(&request, &thought).thought());
            }
            (Delivery::Regular | Delivery::Odd(_), Err(error)) => {
                return wire::failure(&request, error);
            }
            (Delivery::Regular, Ok(answer)) => (answer, None),
            (Delivery::Odd(oddity), Ok(answer)) => (answer, Some(oddity)),
        };
        let (answer, oddity) = answer;
        // Tokens can be counted where they are not told; a price of a call that is not told can only be guessed.
        if oddity != Some(Oddity::UsageNull) || answer.cost.is_none() {
            self.bill(&request, &answer);
        }
        if grade == Grade::Good {
            self.ledger.answered(body, question_name(&request));
        }
        let mut letter = self.letter(&request, &answer);
        letter.tool = tool;
        Ok(if is_stream && oddity != Some(Oddity::WholeAsEvents) {
            letter.streamed(oddity)
        } else {
            letter.whole(oddity)
        })
    }

    fn bill(&self, request: &Request, answer: &ScriptedAnswer) {
        let payer = (self.behaviour.payer)(request);
        self.ledger.billed(self.cost(request, answer), payer);
    }

    /// What an answer costs.
    fn cost(&self, request: &Request, answer: &ScriptedAnswer) -> MicroUsd {
        answer.cost.unwrap_or_else(|| {
            let usage = usage_of(request, &answer.text);
            self.behaviour.price.cost(usage, answer.cached_input)
        })
    }

    fn letter<'a>(&self, request: &'a Request, answer: &'a ScriptedAnswer) -> Letter<'a> {
        let is_priced = answer.cost.is_some() || self.behaviour.price != Price::default();
        let is_told = is_priced && self.behaviour.dialect.cost == Cost::Reported;
        Letter {
            request,
            answer,
            cost: is_told.then(|| self.cost(request, answer)),
            tool: None,
        }
    }

    async fn embeddings(&self, body: &Value) -> HttpResponse {
        if let Some(Refusal { status, body, .. }) = self.behaviour.dialect.embeddings_refusal(body) {
            return json_response(status_of(status), &body);
        }
        let texts: Vec<String> = match body.get("input") {
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(texts)) => texts
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            _ => return error_response(StatusCode::BAD_REQUEST, "input is missing"),
        };
        let vectors = WordEmbedder::new(DIMENSIONS)
            .lenient()
            .embed(&texts, EmbeddingKind::Passage)
            .await
            .unwrap_or_default();
        let data: Vec<Value> = (0..)
            .zip(vectors)
            .map(|(index, vector): (usize, _)| {
                json!({ "object": "embedding", "index": index, "embedding": vector })
            })
            .collect();
        json_response(
            StatusCode::OK,
            &json!({ "object": "list", "model": body["model"], "data": data }),
        )
    }
}
