//! Model servers on this machine: which are there, what they serve, how much their models hold.
//!
//! Only loopback addresses are asked, past any proxy, without following redirects. Nothing but an answer of the
//! protocol's shape counts: other programs listen on these ports too, this one's own service among them.

mod rank;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::http_client::loopback_client;

/// How long all servers together may take: a start must not feel slower where there are none.
pub const PATIENCE: Duration = Duration::from_millis(300);
/// How long a server may take that is known to be needed: it may be busy with another's question.
const PATIENCE_WITH_KNOWN: Duration = Duration::from_secs(3);
/// Longer answers are none: a thousand models fit into a third of it. In bytes.
const LONGEST_ANSWER: usize = 1 << 20;
/// Longer names of models are none, in bytes: the longest paths of files are as long.
const LONGEST_ID: usize = 4096;
/// Addresses of this machine, the usual one first.
const LOOPBACK: [&str; 2] = ["127.0.0.1", "[::1]"];
/// The header with which Coursewright's own service would mark a list of models: it has none today, and answers 404.
const OWN_MARK: &str = "x-coursewright";
/// A shorter window is none, in tokens: it would hold no question.
const SHORTEST_WINDOW: u64 = 512;

/// The kinds of servers that are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerKind {
    /// `ollama serve`, or its application.
    #[serde(rename = "ollama")]
    Ollama,
    /// LM Studio's server.
    #[serde(rename = "lmstudio")]
    LmStudio,
    /// `llama-server`.
    #[serde(rename = "llamacpp")]
    LlamaCpp,
    /// `vllm serve`.
    #[serde(rename = "vllm")]
    Vllm,
}

impl ServerKind {
    /// All kinds; of equal models, that of the earlier kind is taken.
    pub const ALL: [Self; 4] = [Self::Ollama, Self::LmStudio, Self::LlamaCpp, Self::Vllm];

    /// The name as a provider.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::LmStudio => "lmstudio",
            Self::LlamaCpp => "llamacpp",
            Self::Vllm => "vllm",
        }
    }

    /// The name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ollama => "Ollama",
            Self::LmStudio => "LM Studio",
            Self::LlamaCpp => "llama.cpp",
            Self::Vllm => "vLLM",
        }
    }

    /// Where it listens if nobody says otherwise, by its documentation.
    pub const fn usual_port(self) -> u16 {
        match self {
            Self::Ollama => 11434,
            Self::LmStudio => 1234,
            Self::LlamaCpp => 8080,
            Self::Vllm => 8000,
        }
    }

    /// The kind that calls itself so as the owner of its models. Ports alone do not tell: vLLM is often moved to 8080.
    fn of_owner(owner: &str) -> Option<Self> {
        match owner {
            "library" => Some(Self::Ollama),
            "organization_owner" => Some(Self::LmStudio),
            "llamacpp" => Some(Self::LlamaCpp),
            "vllm" => Some(Self::Vllm),
            _ => None,
        }
    }
}

/// A port of this machine, and what is expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What listens there usually.
    pub kind: ServerKind,
    /// The port.
    pub port: u16,
}

impl Place {
    /// Every kind at its usual port.
    pub fn usual() -> Vec<Self> {
        let place = |kind: ServerKind| Self {
            kind,
            port: kind.usual_port(),
        };
        ServerKind::ALL.into_iter().map(place).collect()
    }
}

/// What a model is good for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fitness {
    /// It writes texts on this machine.
    Writes,
    /// The server passes its questions on to another machine. Never chosen without being named.
    Elsewhere,
    /// It writes no texts: it embeds, hears, speaks, judges.
    None,
}

/// A model of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalModel {
    /// As the server names it; without control characters.
    pub id: String,
    /// What it is good for.
    pub fitness: Fitness,
    /// Its window in tokens, where the list tells.
    pub context_window: Option<u32>,
    /// Its parameters in billions, by its name or, where that is silent, by the server.
    billions: Option<f64>,
}

impl LocalModel {
    fn named(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            fitness: rank::fitness_of(id),
            context_window: None,
            billions: rank::size_of(id),
        }
    }

    /// An entry of a list of models; `None` if it is none, or its name could not be shown.
    fn listed(entry: &Value) -> Option<Self> {
        let id = entry.get("id")?.as_str()?;
        let is_model = entry.get("object").is_none_or(|object| object == "model");
        let is_shown =
            |character: char| character.is_alphanumeric() || character.is_ascii_graphic() || character == ' ';
        if !is_model || id.trim().is_empty() || id.len() > LONGEST_ID || !id.chars().all(is_shown) {
            return None;
        }
        let mut model = Self::named(id);
        model.context_window = window(entry.get("max_model_len"));
        if model.billions.is_none() {
            let parameters = entry.pointer("/meta/n_params").and_then(Value::as_f64);
            model.billions = parameters.map(|parameters| parameters / 1e9);
        }
        Some(model)
    }
}

/// A server that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalServer {
    /// What it is.
    pub kind: ServerKind,
    /// Up to and including the version: `http://127.0.0.1:11434/v1`.
    pub base_url: Url,
    /// What it serves, the best first.
    pub models: Vec<LocalModel>,
}

impl LocalServer {
    /// The models that may be chosen without being named, the best first.
    pub fn writing(&self) -> impl Iterator<Item = &LocalModel> {
        self.models
            .iter()
            .filter(|model| model.fitness == Fitness::Writes)
    }

    /// The model of this name. Ollama's names may lack their `:latest`.
    pub fn find(&self, id: &str) -> Option<&LocalModel> {
        let writes = self.models.iter().filter(|model| model.fitness != Fitness::None);
        let is_named = |model: &&LocalModel| model.id == id || model.id.strip_suffix(":latest") == Some(id);
        writes
            .clone()
            .find(|model| model.id == id)
            .or_else(|| writes.clone().find(is_named))
    }

    /// The address without the version, for people: `http://127.0.0.1:11434`.
    pub fn address(&self) -> String {
        address_of(&self.base_url)
    }
}

/// The address of a base URL without its path, for people.
pub fn address_of(base_url: &Url) -> String {
    base_url.origin().ascii_serialization()
}

/// How many tokens prompt and answer may have together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextWindow {
    /// So many: the server has made room for them.
    Held(u32),
    /// At most so many: the model could, and the server's own settings decide.
    AtMost(u32),
}

/// Asks everywhere at once. Servers that do not answer within [`PATIENCE`] are not there.
pub async fn find_local_servers(places: &[Place]) -> Vec<LocalServer> {
    let Ok(client) = loopback_client() else {
        return Vec::new();
    };
    let deadline = Instant::now() + PATIENCE;
    let asked = places
        .iter()
        .map(|place| server_at_place(&client, *place, deadline));
    join_all(asked).await.into_iter().flatten().collect()
}

/// Asks a server that was found earlier, more patiently. `None`: it is not there any more.
pub async fn find_again(kind: ServerKind, base_url: &Url) -> Option<LocalServer> {
    let client = loopback_client().ok()?;
    server_at(
        &client,
        kind,
        base_url.clone(),
        Instant::now() + PATIENCE_WITH_KNOWN,
    )
    .await
}

/// Whether only this machine can be reached at an address.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// The best model of all servers.
pub fn best_of(servers: &[LocalServer]) -> Option<(&LocalServer, &LocalModel)> {
    let bests = servers
        .iter()
        .filter_map(|server| Some((server, server.writing().next()?)));
    // Of equal ones the first.
    bests.min_by(|(_, a), (_, b)| rank::order(a, b))
}

/// The window of a model, by the server's own interface; `None` if it does not say within [`PATIENCE`].
pub async fn ask_context_window(server: &LocalServer, model: &LocalModel) -> Option<ContextWindow> {
    if let Some(tokens) = model.context_window {
        return Some(ContextWindow::Held(tokens));
    }
    let client = loopback_client().ok()?;
    let asker = Asker {
        client: &client,
        base_url: &server.base_url,
        deadline: Instant::now() + PATIENCE,
    };
    match server.kind {
        ServerKind::Ollama => {
            let question = json!({ "model": model.id });
            let (shown, running) = tokio::join!(asker.post("/api/show", &question), asker.get("/api/ps"));
            running
                .and_then(|running| ollama_running(&running, &model.id))
                .or_else(|| ollama_shown(&shown?))
        }
        ServerKind::LmStudio => lm_studio_listed(&asker.get("/api/v0/models").await?, &model.id),
        ServerKind::LlamaCpp => {
            let held = asker.get("/props").await?;
            window(held.pointer("/default_generation_settings/n_ctx")).map(ContextWindow::Held)
        }
        ServerKind::Vllm => None,
    }
}

async fn server_at_place(client: &reqwest::Client, place: Place, deadline: Instant) -> Option<LocalServer> {
    for host in LOOPBACK {
        let Ok(base_url) = Url::parse(&format!("http://{host}:{}/v1", place.port)) else {
            continue;
        };
        if let Some(server) = server_at(client, place.kind, base_url, deadline).await {
            return Some(server);
        }
    }
    None
}

async fn server_at(
    client: &reqwest::Client,
    expected: ServerKind,
    base_url: Url,
    deadline: Instant,
) -> Option<LocalServer> {
    let asker = Asker {
        client,
        base_url: &base_url,
        deadline,
    };
    let answer = asker.get("/v1/models").await?;
    let entries = listed(&answer)?;
    let owner = entries.iter().find_map(|entry| entry.get("owned_by")?.as_str());
    let kind = owner.and_then(ServerKind::of_owner).unwrap_or(expected);
    let mut models: Vec<LocalModel> = entries.iter().filter_map(LocalModel::listed).collect();
    if models.is_empty() && !entries.is_empty() {
        return None;
    }
    if kind == ServerKind::Ollama
        && let Some(tags) = asker.get("/api/tags").await
    {
        complete_from_tags(&mut models, &tags);
    }
    models.sort_by(rank::order);
    Some(LocalServer {
        kind,
        base_url,
        models,
    })
}

/// The entries of a list of models, if the answer is one.
fn listed(answer: &Value) -> Option<&[Value]> {
    let is_list = match answer.get("object") {
        Some(object) if object == "list" => true,
        Some(_) => return None,
        None => false,
    };
    match answer.get("data") {
        Some(Value::Array(entries)) if is_list || !entries.is_empty() => Some(entries),
        // Ollama without any model.
        Some(Value::Null) if is_list => Some(&[]),
        _ => None,
    }
}

/// Ollama says elsewhere how large a model is whose name does not (`mistral:latest`), and which it passes on.
fn complete_from_tags(models: &mut [LocalModel], tags: &Value) {
    let Some(tags) = tags.get("models").and_then(Value::as_array) else {
        return;
    };
    for model in models {
        let named = |tag: &&Value| tag.get("name").is_some_and(|name| *name == *model.id);
        let Some(tag) = tags.iter().find(named) else {
            continue;
        };
        if tag
            .get("remote_host")
            .and_then(Value::as_str)
            .is_some_and(|host| !host.is_empty())
        {
            model.fitness = model.fitness.max(Fitness::Elsewhere);
        }
        if model.billions.is_none() {
            let size = tag.pointer("/details/parameter_size").and_then(Value::as_str);
            model.billions = size.and_then(rank::size_of);
        }
    }
}

fn window(value: Option<&Value>) -> Option<u32> {
    let tokens = value?.as_u64().filter(|tokens| *tokens >= SHORTEST_WINDOW)?;
    Some(u32::try_from(tokens).unwrap_or(u32::MAX))
}

/// The window of a model that Ollama holds in memory now.
fn ollama_running(running: &Value, id: &str) -> Option<ContextWindow> {
    let models = running.get("models")?.as_array()?;
    let model = models
        .iter()
        .find(|model| model.get("name").is_some_and(|name| *name == *id))?;
    window(model.get("context_length")).map(ContextWindow::Held)
}

/// The window by a model's own parameters or, less surely, by its making.
fn ollama_shown(shown: &Value) -> Option<ContextWindow> {
    let parameters = shown
        .get("parameters")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let set = parameters.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "num_ctx").then(|| words.next()?.parse::<u64>().ok())?
    });
    if let Some(tokens) = window(set.map(Value::from).as_ref()) {
        return Some(ContextWindow::Held(tokens));
    }
    let facts = shown.get("model_info")?.as_object()?;
    let length = facts
        .iter()
        .find_map(|(name, value)| name.ends_with(".context_length").then_some(value));
    window(length).map(ContextWindow::AtMost)
}

fn lm_studio_listed(list: &Value, id: &str) -> Option<ContextWindow> {
    let models = list.get("data")?.as_array()?;
    let model = models
        .iter()
        .find(|model| model.get("id").is_some_and(|found| *found == *id))?;
    window(model.get("loaded_context_length"))
        .map(ContextWindow::Held)
        .or_else(|| window(model.get("max_context_length")).map(ContextWindow::AtMost))
}

/// Asks one server until a moment.
struct Asker<'a> {
    client: &'a reqwest::Client,
    base_url: &'a Url,
    deadline: Instant,
}

impl Asker<'_> {
    async fn get(&self, path: &str) -> Option<Value> {
        let url = self.base_url.join(path).ok()?;
        self.answer(self.client.get(url)).await
    }

    async fn post(&self, path: &str, body: &Value) -> Option<Value> {
        let url = self.base_url.join(path).ok()?;
        self.answer(self.client.post(url).json(body)).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Option<Value> {
        timeout_at(self.deadline, read(request)).await.ok().flatten()
    }
}

/// The JSON of a good answer. Whatever else comes is nothing: a stranger may listen there.
async fn read(request: reqwest::RequestBuilder) -> Option<Value> {
    let mut response = request.send().await.ok()?;
    if response.status() != reqwest::StatusCode::OK || response.headers().contains_key(OWN_MARK) {
        return None;
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.ok()? {
        if body.len() + piece.len() > LONGEST_ANSWER {
            return None;
        }
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body).ok()
}
