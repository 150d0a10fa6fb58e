//! Model servers of this machine, over real HTTP: found, offered, used, found again.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use domain::language::Language;
use url::Url;

use crate::desk::{Desk, Ran};
use crate::provider::Provider;
use crate::service::Service;

/// A title that the embedded model refuses: what comes before that is seen without fetching it.
const NOT_FOR_EMBEDDED: &str = "Введение в пчеловодство для начинающих";

fn port(provider: &Provider) -> u16 {
    Url::parse(&provider.base_url()).unwrap().port().unwrap()
}

/// A command on a machine where servers listen at these places, and nothing is configured but the embedding model.
fn command(desk: &Desk, places: &str, provider: &Provider, arguments: &[&str]) -> Command {
    let mut command = desk.command_with(provider, arguments);
    command
        .env_remove("OPENAI_BASE_URL")
        .env_remove("COURSEWRIGHT_MODEL")
        .env("COURSEWRIGHT_LOCAL_PORTS", places);
    command
}

fn run(desk: &Desk, places: &str, provider: &Provider, arguments: &[&str]) -> Ran {
    Ran::of(command(desk, places, provider, arguments).output().unwrap())
}

#[track_caller]
fn check_absent(ran: &Ran, part: &str) {
    let said = format!("{}\n{}", ran.stdout, ran.stderr);
    assert!(!said.contains(part), "'{part}' is in {said}");
}

#[test]
fn server_is_used_with_yes_and_found_again() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::English));
    let places = format!("ollama={}", port(&provider));
    let goes_to = format!(
        "The texts go to http://127.0.0.1:{} (Ollama, scripted)",
        port(&provider)
    );
    let out = desk.out();
    let create = [
        "create",
        "Python loops for beginners",
        "--yes",
        "--structure-only",
        "--lessons",
        "10",
        "--sections",
        "2",
        "--out",
        out.to_str().unwrap(),
    ];
    run(&desk, &places, &provider, &create).expect(0, &[&goes_to, "with scripted", "The structure is ready"]);

    // The course remembers its server, wherever servers are looked for now.
    run(&desk, "none", &provider, &["resume"]).expect(0, &[&goes_to, "Lesson 10: "]);
    let again = ["regenerate", "python-loops-for-beginners", "--lesson", "1"];
    let list = desk.run(&["list"]);
    let id = list
        .stdout
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    let again = [again[0], &id, again[2], again[3]];
    run(&desk, "none", &provider, &again).expect(0, &[&goes_to]);

    let address = format!("Ollama at http://127.0.0.1:{} does not answer", port(&provider));
    // The embedding model of another provider is not what is missed.
    let other = Provider::good(Language::English);
    drop(provider);
    run(&desk, "none", &other, &again).expect(2, &[&address, "start it", "--model embedded"]);
    // Where another server has a model of that name, it can be named.
    let elsewhere = format!("vllm={}", port(&other));
    let named = [&again[..], &["--model", "scripted"]].concat();
    let goes_to = format!(
        "The texts go to http://127.0.0.1:{} (vLLM, scripted)",
        port(&other)
    );
    run(&desk, &elsewhere, &other, &named).expect(0, &[&goes_to]);
}

#[test]
fn server_is_named_and_left_alone_where_nobody_agrees() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::Russian));
    let places = format!("lmstudio={}", port(&provider));
    let found = format!(
        "Found LM Studio with scripted. It is at http://127.0.0.1:{}; to use it: --yes, or --model 'scripted'",
        port(&provider)
    );
    let ran = run(&desk, &places, &provider, &["create", NOT_FOR_EMBEDDED]).expect(2, &[&found, "Russian"]);
    check_absent(&ran, "The texts go to");

    let embedded = ["create", NOT_FOR_EMBEDDED, "--model", "embedded", "--yes"];
    let ran = run(&desk, &places, &provider, &embedded).expect(2, &["Russian"]);
    check_absent(&ran, "Found ");
    check_absent(&ran, "The texts go to");

    let unknown = ["create", NOT_FOR_EMBEDDED, "--model", "no-such"];
    let there = format!(
        "LM Studio at 127.0.0.1:{} with 1 model (scripted)",
        port(&provider)
    );
    run(&desk, &places, &provider, &unknown).expect(2, &["there is no model 'no-such'", &there]);

    // A configured endpoint wins: nothing is looked for.
    let mut configured = command(&desk, &places, &provider, &["create", NOT_FOR_EMBEDDED]);
    configured.env("OPENAI_BASE_URL", "http://127.0.0.1:9/v1");
    let ran = Ran::of(configured.output().unwrap()).expect(2, &["no model of it is named"]);
    check_absent(&ran, "Found ");
    assert_eq!(provider.call_count(), 0);

    run(&desk, &places, &provider, &["doctor"]).expect(0, &[&format!("local servers: {there}")]);
    run(&desk, "none", &provider, &["doctor"]).expect(0, &["local servers: none"]);
}

#[test]
fn named_model_of_a_local_server_needs_no_further_word() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::English));
    let places = format!("llamacpp={}", port(&provider));
    let create = [
        "create",
        "Python loops for beginners",
        "--model",
        "scripted",
        "--structure-only",
        "--lessons",
        "10",
        "--sections",
        "2",
    ];
    let goes_to = format!(
        "The texts go to http://127.0.0.1:{} (llama.cpp, scripted)",
        port(&provider)
    );
    run(&desk, &places, &provider, &create).expect(0, &[&goes_to, "The structure is ready"]);
}

#[test]
fn own_service_is_no_model_server() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::Russian));
    let service = Service::start(&desk, &[]);
    let port = service.address.rsplit(':').next().unwrap();
    let places = format!("llamacpp={port}");
    let ran = run(&desk, &places, &provider, &["create", NOT_FOR_EMBEDDED, "--yes"]).expect(2, &["Russian"]);
    check_absent(&ran, "Found ");
    check_absent(&ran, "The texts go to");
}

#[test]
fn server_that_does_not_answer_costs_no_more_than_its_patience() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::Russian));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let places = format!("ollama={}", silent.local_addr().unwrap().port());
    let took = |places: &str| {
        let begun = Instant::now();
        run(&desk, places, &provider, &["create", NOT_FOR_EMBEDDED]).expect(2, &["Russian"]);
        begun.elapsed()
    };
    let (without, with) = (took("none"), took(&places));
    // 300 ms, and what a busy machine adds.
    let costs = with.saturating_sub(without);
    assert!(costs < Duration::from_secs(3), "{costs:?}");
}

#[test]
fn addresses_are_mended_and_shown_without_their_passwords() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::English));
    let host = format!("127.0.0.1:{}", port(&provider));
    let check = |written: &str, said: &[&str]| {
        let mut command = command(
            &desk,
            "none",
            &provider,
            &["providers", "test", "--model", "scripted"],
        );
        command
            .env("OPENAI_BASE_URL", written)
            .env("OPENAI_API_KEY", "Bearer sk-secret");
        let ran = Ran::of(command.output().unwrap()).expect(0, said);
        check_absent(&ran, "secret");
        assert_eq!(
            ran.stderr.matches("OPENAI_BASE_URL").count(),
            usize::from(said.len() > 2),
            "{}",
            ran.stderr
        );
    };
    let whole = format!("(http://{host}/v1)");
    let prefix = "the key of OPENAI_API_KEY had a `Bearer ` prefix: left out";
    check(&format!("http://{host}/v1"), &[&whole, prefix]);
    let used = format!("http://{host}/v1 is used");
    check(&format!("http://{host}"), &[&whole, prefix, &used]);
    check(
        &format!("http://user:pw-secret@{host}/"),
        &[&whole, prefix, &used],
    );
    check(
        &format!("http://{host}/v1/chat/completions"),
        &[&whole, prefix, &used],
    );

    let mut wrong = command(&desk, "none", &provider, &["doctor", "--offline"]);
    wrong.env("OPENAI_BASE_URL", format!("user:pw-secret@{host}"));
    let ran = Ran::of(wrong.output().unwrap()).expect(2, &["OPENAI_BASE_URL is not a URL"]);
    check_absent(&ran, "secret");
}
