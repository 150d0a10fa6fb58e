use std::net::TcpListener;

use serde_json::json;
use wiremock::matchers::{body_json, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

/// A server that answers `GET` of these paths.
async fn server(answers: &[(&str, ResponseTemplate)]) -> MockServer {
    let server = MockServer::start().await;
    for (at, answer) in answers {
        let mock = Mock::given(method("GET")).and(path(*at));
        mock.respond_with(answer.clone()).mount(&server).await;
    }
    server
}

fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn list(ids: &[&str]) -> Value {
    let entries: Vec<_> = ids
        .iter()
        .map(|id| json!({ "id": id, "object": "model" }))
        .collect();
    json!({ "object": "list", "data": entries })
}

fn at(server: &MockServer, kind: ServerKind) -> Place {
    Place {
        kind,
        port: server.address().port(),
    }
}

async fn found(kind: ServerKind, answers: &[(&str, ResponseTemplate)]) -> Option<LocalServer> {
    let server = server(answers).await;
    find_local_servers(&[at(&server, kind)]).await.pop()
}

fn ids(server: &LocalServer) -> Vec<&str> {
    server.writing().map(|model| model.id.as_str()).collect()
}

#[tokio::test]
async fn only_lists_of_models_count() {
    async fn check(answer: ResponseTemplate, expected: Option<&[&str]>) {
        let found = found(ServerKind::Vllm, &[("/v1/models", answer.clone())]).await;
        assert_eq!(found.as_ref().map(ids).as_deref(), expected, "{answer:?}");
    }
    check(ok(&list(&["a:7b", "b:14b"])), Some(&["b:14b", "a:7b"])).await;
    check(ok(&json!({ "data": [{ "id": "a" }] })), Some(&["a"])).await;
    let both =
        json!({ "models": [{ "name": "x" }], "object": "list", "data": [{ "id": "a" }, { "name": "b" }, 3] });
    check(ok(&both), Some(&["a"])).await;
    check(ok(&json!({ "object": "list", "data": null })), Some(&[])).await;
    check(ok(&list(&["nomic-embed-text"])), Some(&[])).await;
    // Other programs.
    check(ok(&json!({ "models": [{ "name": "a" }] })), None).await;
    check(ok(&json!({ "data": [] })), None).await;
    check(ok(&json!({ "object": "page", "data": [{ "id": "a" }] })), None).await;
    check(
        ok(&json!({ "object": "list", "data": [{ "id": "cus_1", "object": "customer" }] })),
        None,
    )
    .await;
    check(
        ok(&json!({ "object": "list", "data": [{ "id": "a\u{1b}[31m" }] })),
        None,
    )
    .await;
    check(
        ok(&json!({ "object": "list", "data": [{ "id": "a\u{202e}b" }] })),
        None,
    )
    .await;
    check(ok(&json!(["a"])), None).await;
    check(ResponseTemplate::new(200).set_body_string("<html>"), None).await;
    check(ResponseTemplate::new(404).set_body_json(list(&["a"])), None).await;
    check(ResponseTemplate::new(401), None).await;
    check(ok(&list(&["a"])).insert_header("x-coursewright", "1"), None).await;
    check(
        ResponseTemplate::new(307).insert_header("location", "/elsewhere"),
        None,
    )
    .await;
    let long = "x".repeat(LONGEST_ANSWER);
    check(
        ok(&json!({ "object": "list", "data": [{ "id": "a" }], "more": long })),
        None,
    )
    .await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = ResponseTemplate::new(302).insert_header("location", "/other");
    let answers = [("/v1/models", elsewhere), ("/other", ok(&list(&["a"])))];
    assert_eq!(found(ServerKind::Ollama, &answers).await, None);
}

#[tokio::test]
async fn slow_server_costs_its_patience_and_holds_up_no_other() {
    let slow = server(&[(
        "/v1/models",
        ok(&list(&["slow:70b"])).set_delay(Duration::from_secs(30)),
    )])
    .await;
    let quick = server(&[("/v1/models", ok(&list(&["quick:7b"])))]).await;
    let places = [at(&slow, ServerKind::Ollama), at(&quick, ServerKind::Vllm)];
    let started = Instant::now();
    let found = find_local_servers(&places).await;
    // Generous: other tests use the processor, too.
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(found.len(), 1);
    assert_eq!(best_of(&found).unwrap().1.id, "quick:7b");
}

#[tokio::test]
async fn servers_at_the_newer_loopback_address_are_found() {
    // A machine without it has nothing to find there.
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return;
    };
    let server = MockServer::builder().listener(listener).start().await;
    let mock = Mock::given(path("/v1/models")).respond_with(ok(&list(&["a"])));
    mock.mount(&server).await;
    let found = find_local_servers(&[at(&server, ServerKind::Ollama)]).await;
    assert!(
        found[0].address().starts_with("http://[::1]:"),
        "{}",
        found[0].address()
    );
}

#[tokio::test]
async fn servers_say_what_they_are() {
    async fn check(owner: &str, expected: ServerKind) {
        let list = json!({ "object": "list", "data": [{ "id": "a", "owned_by": owner }] });
        let found = found(ServerKind::LlamaCpp, &[("/v1/models", ok(&list))]).await;
        assert_eq!(found.unwrap().kind, expected, "{owner}");
    }
    check("vllm", ServerKind::Vllm).await;
    check("library", ServerKind::Ollama).await;
    check("llamacpp", ServerKind::LlamaCpp).await;
    check("somebody", ServerKind::LlamaCpp).await;
}

#[tokio::test]
async fn ollama_tells_sizes_and_what_it_passes_on() {
    let tags = json!({ "models": [
        { "name": "mistral:latest", "details": { "parameter_size": "7.2B" } },
        { "name": "tiny:1b", "details": { "parameter_size": "999M" } },
        { "name": "kimi-k2:1t", "remote_host": "https://ollama.com:443", "details": {} },
    ]});
    let list = ok(&list(&["tiny:1b", "mistral:latest", "kimi-k2:1t"]));
    let found = found(
        ServerKind::Ollama,
        &[("/v1/models", list), ("/api/tags", ok(&tags))],
    )
    .await;
    let found = found.unwrap();
    assert_eq!(ids(&found), ["mistral:latest", "tiny:1b"]);
    assert_eq!(found.find("mistral").unwrap().id, "mistral:latest");
    assert_eq!(found.find("kimi-k2:1t").unwrap().fitness, Fitness::Elsewhere);
    assert_eq!(found.find("no-such"), None);
}

#[tokio::test]
async fn best_of_several_servers_is_the_best_of_all() {
    let small = server(&[("/v1/models", ok(&list(&["qwen3:8b"])))]).await;
    let large = server(&[("/v1/models", ok(&list(&["Qwen/Qwen3-32B-AWQ"])))]).await;
    let places = [at(&small, ServerKind::Ollama), at(&large, ServerKind::Vllm)];
    let servers = find_local_servers(&places).await;
    let (server, model) = best_of(&servers).unwrap();
    assert_eq!(
        (server.kind, model.id.as_str()),
        (ServerKind::Vllm, "Qwen/Qwen3-32B-AWQ")
    );
    assert_eq!(best_of(&[]), None);
}

async fn window_of(kind: ServerKind, list: &Value, answers: &[(&str, &Value)]) -> Option<ContextWindow> {
    let mut all = vec![("/v1/models", ok(list))];
    all.extend(answers.iter().map(|(at, body)| (*at, ok(body))));
    let server = server(&all).await;
    // What is shown of a model is posted for.
    for (at, body) in answers {
        let mock = Mock::given(method("POST"))
            .and(path(*at))
            .and(body_json(json!({ "model": "m" })));
        mock.respond_with(ok(body)).mount(&server).await;
    }
    let found = find_local_servers(&[at(&server, kind)]).await;
    ask_context_window(&found[0], &found[0].models[0]).await
}

#[tokio::test]
async fn servers_tell_their_windows() {
    use ContextWindow::{AtMost, Held};
    async fn check(kind: ServerKind, answers: &[(&str, &Value)], expected: Option<ContextWindow>) {
        let found = window_of(kind, &list(&["m"]), answers).await;
        assert_eq!(found, expected, "{kind:?} {answers:?}");
    }
    let told = json!({ "object": "list", "data": [{ "id": "m", "max_model_len": 40960 }] });
    assert_eq!(window_of(ServerKind::Vllm, &told, &[]).await, Some(Held(40_960)));
    check(ServerKind::Vllm, &[], None).await;

    let props = json!({ "default_generation_settings": { "n_ctx": 16384 }, "total_slots": 1 });
    check(ServerKind::LlamaCpp, &[("/props", &props)], Some(Held(16_384))).await;
    check(ServerKind::LlamaCpp, &[("/props", &json!({ "n_ctx": 0 }))], None).await;
    check(ServerKind::LlamaCpp, &[], None).await;

    let loaded = json!({ "data": [{ "id": "n" }, { "id": "m", "loaded_context_length": 8192, "max_context_length": 32768 }] });
    check(
        ServerKind::LmStudio,
        &[("/api/v0/models", &loaded)],
        Some(Held(8192)),
    )
    .await;
    let waiting = json!({ "data": [{ "id": "m", "state": "not-loaded", "max_context_length": 32768 }] });
    check(
        ServerKind::LmStudio,
        &[("/api/v0/models", &waiting)],
        Some(AtMost(32_768)),
    )
    .await;

    let made = json!({ "model_info": { "general.architecture": "qwen3", "qwen3.context_length": 40960 } });
    check(ServerKind::Ollama, &[("/api/show", &made)], Some(AtMost(40_960))).await;
    let set = json!({ "parameters": "stop \"<|im_end|>\"\nnum_ctx      16384", "model_info": { "q.context_length": 40960 } });
    check(ServerKind::Ollama, &[("/api/show", &set)], Some(Held(16_384))).await;
    let running = json!({ "models": [{ "name": "m", "context_length": 4096 }] });
    check(
        ServerKind::Ollama,
        &[("/api/show", &made), ("/api/ps", &running)],
        Some(Held(4096)),
    )
    .await;
}

#[test]
fn loopback_is_told_by_the_address() {
    let check = |url: &str, expected: bool| {
        assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
    };
    check("http://127.0.0.1:11434/v1", true);
    check("http://[::1]:8080/v1", true);
    check("http://localhost:8080/v1", true);
    check("http://0.0.0.0:11434/v1", false);
    check("http://127.0.0.1.example.org/v1", false);
    check("http://localhost.example.org/v1", false);
}
