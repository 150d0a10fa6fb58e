//! What is refused: the exit code and what the message says, for every wrong input and set-up.

use std::fs;

use domain::language::Language;
use llm::error::ProviderError;

use crate::desk::Desk;
use crate::provider::Provider;

/// An address where nobody listens: the port is reserved and never given away.
const NOBODY: &str = "http://127.0.0.1:1/v1";

#[track_caller]
fn check(arguments: &[&str], parts: &[&str]) {
    Desk::new().run(arguments).expect(2, parts);
}

#[test]
fn inputs_beyond_their_limits_are_refused_with_field_limit_and_value() {
    let long = "x".repeat(1001);
    check(&["create", ""], &["title", "must not be empty", "1 to 1000"]);
    check(&["create", "   "], &["title", "must not be empty"]);
    check(&["create", &long], &["title", "1 to 1000 characters, not 1001"]);
    check(
        &["create", "Rust", "--lessons", "0"],
        &["desired_lessons_count", "--lessons", "10 to 1000, not 0", "rise"],
    );
    check(&["create", "Rust", "--lessons", "-5"], &["not -5"]);
    check(
        &["create", "Rust", "--sections", "201"],
        &["desired_modules_count", "1 to 200, not 201"],
    );
    check(
        &["create", "Rust", "--minutes", "2"],
        &["lesson_duration_minutes", "3 to 45, not 2"],
    );
    check(
        &["create", "Rust", "--budget", "0"],
        &["budget_usd", "more than 0"],
    );
    check(
        &["create", "Rust", "--language", "xx"],
        &["language", "'xx' is not one of ru, en"],
    );
    check(
        &["create", "Rust", "--outcome", "short"],
        &["learning_outcomes[1]", "--outcome", "10 to 600 characters, not 5"],
    );
    check(&["create", "Rust", "--format", "pdf"], &["pdf", "html"]);
}

#[test]
fn all_wrong_inputs_are_told_at_once() {
    check(
        &["create", "", "--lessons", "3", "--minutes", "90"],
        &["3 inputs", "title", "--lessons", "--minutes"],
    );
}

#[test]
fn model_files_that_cannot_be_used_are_refused() {
    let desk = Desk::new();
    let text = desk.path().join("notes.gguf");
    fs::write(&text, "these are no weights, only words").unwrap();
    desk.run(&["create", "Rust", "--model", text.to_str().unwrap()])
        .expect(2, &["notes.gguf", "is not a model file"]);
    desk.run(&["create", "Rust", "--model", "/no/such.gguf"])
        .expect(2, &["/no/such.gguf", "cannot be read"]);
    desk.run(&["create", "Rust", "--model", "no-such-model"])
        .expect(2, &["there is no model 'no-such-model'"]);
}

#[test]
fn model_file_with_a_wrong_checksum_is_refused_and_removed() {
    let desk = Desk::new();
    let file = desk.data().join("models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "GGUF but not the right one").unwrap();
    desk.run(&["models", "check"])
        .expect(2, &["checksum", "expected", "models pull"]);
    fs::write(&file, "GGUF but not the right one").unwrap();
    desk.run(&["models", "pull", "embedded"]).expect(2, &["checksum"]);
    assert!(!file.exists());
}

#[test]
fn full_disk_is_told_before_anything_is_fetched() {
    let desk = Desk::new();
    let mut command = desk.command(&["models", "pull", "embedded"]);
    command.env("COURSEWRIGHT_PRETEND_DISK_IS_FULL", "true");
    let ran = crate::desk::Ran::of(command.output().unwrap());
    ran.expect(
        2,
        &["not enough room", "bytes are needed, 0 are free", "--data-dir"],
    );
}

#[test]
fn providers_have_distinct_diagnoses() {
    let check = |provider: &Provider, expected: &[&str]| {
        Desk::new()
            .run_with(provider, &["providers", "test"])
            .expect(2, expected);
    };
    let unauthorized = ProviderError::Unauthorized {
        status: 401,
        message: "no such key".to_owned(),
    };
    check(&Provider::failing(unauthorized), &["custom", "key"]);
    let unknown = ProviderError::UnknownModel {
        model: "scripted".to_owned(),
        message: "never heard of it".to_owned(),
    };
    check(&Provider::failing(unknown), &["unknown model", "'scripted'"]);

    let desk = Desk::new();
    let mut command = desk.command(&["providers", "test", "--model", "any"]);
    let ran = crate::desk::Ran::of(command.env("OPENAI_BASE_URL", NOBODY).output().unwrap());
    ran.expect(2, &["unreachable", NOBODY]);

    let good = Provider::good(Language::English);
    Desk::new()
        .run_with(&good, &["providers", "test"])
        .expect(0, &["ok", "scripted"]);
}

#[test]
fn create_ends_with_2_where_nobody_answers_or_the_key_is_wrong() {
    let desk = Desk::new();
    let good = Provider::good(Language::English);
    let mut command = desk.command_with(&good, &["create", "Rust for beginners"]);
    let ran = crate::desk::Ran::of(command.env("OPENAI_BASE_URL", NOBODY).output().unwrap());
    ran.expect(2, &["no connection to", "providers test", "coursewright resume"]);

    let unauthorized = ProviderError::Unauthorized {
        status: 401,
        message: "no such key".to_owned(),
    };
    let refusing = Provider::failing(unauthorized);
    let mut command = desk.command_with(&refusing, &["create", "Rust for beginners"]);
    command
        .env("COURSEWRIGHT_EMBEDDINGS__BASE_URL", good.base_url())
        .env("OPENAI_API_KEY", "sk-secret-value");
    let ran = crate::desk::Ran::of(command.output().unwrap());
    let ran = ran.expect(2, &["refused the key", "providers test"]);
    assert!(!ran.stderr.contains("sk-secret-value"), "{}", ran.stderr);
}

#[test]
fn missing_database_programs_are_told_with_the_way_out() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::English));
    let mut command = desk.command_with(&provider, &["create", "Rust for beginners"]);
    command.env("COURSEWRIGHT_POSTGRES__BIN_DIR", desk.path());
    let ran = crate::desk::Ran::of(command.output().unwrap());
    ran.expect(
        2,
        &["no PostgreSQL was found", "Install PostgreSQL 15", "DATABASE_URL"],
    );
    assert_eq!(provider.call_count(), 0);
}

#[test]
fn russian_is_refused_before_any_work_by_a_model_that_cannot_write_it() {
    let desk = Desk::new();
    let title = "Основы проектного управления для начинающих";
    desk.run(&["create", title]).expect(
        2,
        &[
            "cannot write a course in Russian (ru)",
            "OPENROUTER_API_KEY",
            "--language",
        ],
    );
    assert!(!desk.data().join("postgres").exists() && !desk.data().join("models").exists());
}

#[test]
fn wrong_configuration_is_named() {
    let desk = Desk::new();
    let mut command = desk.command(&["list"]);
    let ran = crate::desk::Ran::of(command.env("COURSEWRIGHT_MODLE", "x").output().unwrap());
    ran.expect(2, &["modle"]);
    desk.run(&["list", "--config", "/no/such/file.toml"])
        .expect(2, &["/no/such/file.toml", "does not exist"]);
}
