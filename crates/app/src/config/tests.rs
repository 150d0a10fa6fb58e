use std::path::PathBuf;

use domain::language::Language;

use super::*;

fn load(environment: &Environment) -> Result<Config, ConfigError> {
    Config::load(&Flags::default(), environment)
}

fn with_file(toml: &str, environment: &Environment) -> (tempfile::TempDir, Result<Config, ConfigError>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    std::fs::write(&file, toml).unwrap();
    let config = Config::load(
        &Flags {
            config: Some(file),
            data_dir: None,
        },
        environment,
    );
    (folder, config)
}

#[test]
fn folders_follow_the_xdg_specification() {
    let config = load(&[("HOME", "/home/a")].into()).unwrap();
    assert_eq!(
        config.data_dir,
        PathBuf::from("/home/a/.local/share/coursewright")
    );
    let config = load(&[("HOME", "/home/a"), ("XDG_DATA_HOME", "/data")].into()).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("/data/coursewright"));
    let config = load(&[("HOME", "/home/a"), ("COURSEWRIGHT_DATA_DIR", "/other")].into()).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("/other"));
    assert!(matches!(load(&Environment::default()), Err(ConfigError::NoHome)));
}

#[test]
fn later_sources_win_and_two_underscores_descend() {
    let environment = [
        ("HOME", "/home/a"),
        ("COURSEWRIGHT_MODEL", "from-variable"),
        ("COURSEWRIGHT_POSTGRES__BIN_DIR", "/pg/bin"),
        ("COURSEWRIGHT_EMBEDDINGS__DIMENSIONS", "64"),
    ];
    let toml = "model = \"from-file\"\nbudget_usd = 2.5\n[postgres]\nmay_fetch = false\n";
    let (_folder, config) = with_file(toml, &environment.into());
    let settings = config.unwrap().settings;
    assert_eq!(settings.model.as_deref(), Some("from-variable"));
    assert_eq!(settings.budget_usd, Some(2.5));
    assert_eq!(settings.postgres.bin_dir, Some(PathBuf::from("/pg/bin")));
    assert!(!settings.postgres.may_fetch);
    assert_eq!(settings.embeddings.dimensions, Some(64));
}

#[test]
fn wrong_settings_are_named() {
    let check = |toml: &str, expected: &str| {
        let (_folder, config) = with_file(toml, &[("HOME", "/home/a")].into());
        let error = config.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Setup);
    };
    check("modle = \"x\"", "modle");
    check("budget_usd = \"much\"", "budget_usd");
    check(
        "[providers.local]\nbase_url = \"localhost\"",
        "providers.local.base_url",
    );
    check(
        "[providers.local]\nbase_url = \"http://localhost/v1\"\napi_key_env = \"NO_SUCH_KEY\"",
        "NO_SUCH_KEY",
    );
}

#[test]
fn named_file_must_exist() {
    let flags = Flags {
        config: Some("/no/such/file.toml".into()),
        data_dir: None,
    };
    let error = Config::load(&flags, &[("HOME", "/home/a")].into()).unwrap_err();
    assert!(matches!(error, ConfigError::NoFile(_)), "{error}");
}

#[test]
fn keys_set_up_their_providers() {
    let config = load(&[("HOME", "/h"), ("OPENROUTER_API_KEY", "sk-or-1")].into()).unwrap();
    assert_eq!(
        config.provider(OPENROUTER).unwrap().base_url.as_str(),
        "https://openrouter.ai/api/v1"
    );
    let config = load(&[("HOME", "/h"), ("OPENAI_BASE_URL", "http://localhost:8000/v1")].into()).unwrap();
    let custom = config.provider(CUSTOM).unwrap();
    assert_eq!(custom.base_url.as_str(), "http://localhost:8000/v1");
    assert!(custom.api_key.is_none());
    // A variable that is set to nothing is not set.
    let config = load(&[("HOME", "/h"), ("OPENROUTER_API_KEY", " ")].into()).unwrap();
    assert!(config.providers.is_empty());
}

#[test]
fn keys_are_not_shown() {
    let secrets = [
        ("HOME", "/h"),
        ("OPENROUTER_API_KEY", "sk-or-secret"),
        ("DATABASE_URL", "postgres://u:pass-secret@h/d"),
    ];
    let config = load(&secrets.into()).unwrap();
    assert!(!format!("{config:?}").contains("secret@") && !format!("{config:?}").contains("sk-or-secret"));
}

#[test]
fn addresses_and_keys_are_mended_and_it_is_said_once() {
    let environment = [
        ("HOME", "/h"),
        ("OPENAI_BASE_URL", "http://user:pw-secret@localhost:11434"),
        ("OPENAI_API_KEY", "Bearer sk-secret"),
    ];
    let config = load(&environment.into()).unwrap();
    let custom = config.provider(CUSTOM).unwrap();
    assert_eq!(custom.base_url.as_str(), "http://localhost:11434/v1");
    // A key is sent in the header in which user and password would be.
    assert_eq!(custom.headers, []);
    assert_eq!(config.remarks.len(), 2, "{:?}", config.remarks);
    assert!(
        config.remarks[1].contains("OPENAI_BASE_URL") && config.remarks[1].contains("localhost:11434/v1")
    );
    assert!(config.remarks[0].contains("OPENAI_API_KEY") && config.remarks[0].contains("Bearer"));
    assert!(!format!("{config:?}").contains("-secret"), "{config:?}");
}

#[test]
fn password_of_an_address_is_sent_and_not_shown() {
    let toml = "[providers.p]\nbase_url = \"http://user:pw-secret@h/v1?api-version=1\"\n\
                [embeddings]\nbase_url = \"http://user:pw-secret@e/v1\"\n\
                [search]\nqdrant_url = \"http://user:pw-secret@q\"\n";
    let (_folder, config) = with_file(toml, &[("HOME", "/h")].into());
    let config = config.unwrap();
    let provider = config.provider("p").unwrap();
    assert_eq!(provider.base_url.as_str(), "http://h/v1?api-version=1");
    let basic = (
        "authorization".to_owned(),
        "Basic dXNlcjpwdy1zZWNyZXQ=".to_owned(),
    );
    assert_eq!(provider.headers, std::slice::from_ref(&basic));
    assert_eq!(config.embedding.as_ref().unwrap().headers, [basic]);
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("-secret") && !shown.contains("dXNlcjpwdy1zZWNyZXQ"),
        "{shown}"
    );
}

#[test]
fn key_of_two_providers_is_remarked_on_once() {
    let toml = "[providers.a]\nbase_url = \"http://a/v1\"\napi_key_env = \"K\"\n\
                [providers.b]\nbase_url = \"http://b/v1\"\napi_key_env = \"K\"\n";
    let (_folder, config) = with_file(toml, &[("HOME", "/h"), ("K", "'k'")].into());
    assert_eq!(config.unwrap().remarks.len(), 1);
}

#[test]
fn keys_that_are_none_set_up_nothing() {
    for key in ["\"\"", "''", "Bearer ", " \n"] {
        let environment = [
            ("HOME", "/h"),
            ("OPENROUTER_API_KEY", key),
            ("OPENAI_API_KEY", key),
        ];
        assert_eq!(load(&environment.into()).unwrap().providers.len(), 0, "{key:?}");
    }
    let error = load(&[("HOME", "/h"), ("OPENAI_API_KEY", "sk-1 sk-2")].into()).unwrap_err();
    assert!(
        error.to_string().contains("OPENAI_API_KEY") && !error.to_string().contains("sk-"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Setup);
}

#[test]
fn waits_have_defaults_and_limits() {
    use std::time::Duration;
    let toml = "wait_limit_secs = 60\n[providers.p]\nbase_url = \"http://h/v1\"\nidle_timeout_secs = 300\n\
                content_timeout_secs = 86400\n[providers.q]\nbase_url = \"http://h/v1\"\n";
    let (_folder, config) = with_file(toml, &[("HOME", "/h")].into());
    let config = config.unwrap();
    let waits = |name: &str| {
        let provider = config.provider(name).unwrap();
        (provider.idle_timeout, provider.content_timeout)
    };
    let secs = Duration::from_secs;
    assert_eq!(config.wait_limit, secs(60));
    assert_eq!(waits("p"), (Some(secs(300)), Some(secs(86_400))));
    assert_eq!(waits("q"), (None, None));
    assert_eq!(load(&[("HOME", "/h")].into()).unwrap().wait_limit, secs(600));

    let check = |toml: &str, expected: &str| {
        let (_folder, config) = with_file(toml, &[("HOME", "/h")].into());
        let error = config.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(
        "wait_limit_secs = 0",
        "wait_limit_secs must be from 1 to 86400, not 0",
    );
    check("wait_limit_secs = 86401", "not 86401");
    let provider = |line: &str| format!("[providers.p]\nbase_url = \"http://h/v1\"\n{line}");
    check(
        &provider("idle_timeout_secs = 0"),
        "providers.p.idle_timeout_secs must be",
    );
    check(
        &provider("content_timeout_secs = 90000"),
        "providers.p.content_timeout_secs must be",
    );
}

#[test]
fn places_of_local_servers_are_configured_by_port() {
    let places = |written: &str| {
        let environment = [("HOME", "/h"), ("COURSEWRIGHT_LOCAL_PORTS", written)];
        load(&environment.into()).map(|config| config.local_places)
    };
    assert_eq!(places("usual").unwrap(), Place::usual());
    assert_eq!(
        load(&[("HOME", "/h")].into()).unwrap().local_places,
        Place::usual()
    );
    assert_eq!(places("none").unwrap(), []);
    let place = |kind, port| Place { kind, port };
    assert_eq!(places("ollama=5").unwrap(), [place(ServerKind::Ollama, 5)]);
    let two = [place(ServerKind::Vllm, 9000), place(ServerKind::LlamaCpp, 9001)];
    assert_eq!(places("vllm=9000, llamacpp=9001").unwrap(), two);
    for wrong in [
        "ollama",
        "ollama=",
        "ollama=0",
        "ollama=70000",
        "other=1",
        "ollama=1,",
    ] {
        assert!(
            places(wrong).unwrap_err().to_string().contains("local_ports"),
            "{wrong}"
        );
    }
}

#[test]
fn locale_tells_the_users_language() {
    let language = |locale: &str| {
        load(&[("HOME", "/h"), ("LANG", locale)].into())
            .unwrap()
            .user_language
    };
    assert_eq!(language("ru_RU.UTF-8"), Language::Russian);
    assert_eq!(language("de"), Language::German);
    assert_eq!(language("C.UTF-8"), Language::English);
}

#[test]
fn service_settings_have_defaults_and_limits() {
    let settings = load(&[("HOME", "/h")].into()).unwrap().settings;
    assert_eq!(settings.server.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.worker.concurrency, 8);
    assert_eq!(settings.worker.lease(), std::time::Duration::from_secs(45));
    assert!(!settings.webhooks.allow_private_targets);

    let check = |toml: &str, expected: &str| {
        let (_folder, config) = with_file(toml, &[("HOME", "/h")].into());
        let error = config.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Setup);
    };
    check(
        "[worker]\nlease_secs = 4",
        "worker.lease_secs must be from 5 to 50, not 4",
    );
    check("[worker]\nconcurrency = 0", "worker.concurrency must be from 1");
    check("[worker]\nstall_secs = 1", "worker.stall_secs");
    check("[limits]\ngenerations = 0", "limits.generations");
    check("[server]\nbind = \"here\"", "bind");
    check("[auth]\nalgorithm = \"none\"", "algorithm");
    check("[auth]\njwks_url = \"keys\"", "auth.jwks_url");
    check("[alerts]\nwebhook_url = \"ftp://x/\"", "alerts.webhook_url");
}

#[test]
fn secret_of_tokens_comes_from_its_variable_and_is_not_shown() {
    let own = [("HOME", "/h"), ("COURSEWRIGHT_JWT_SECRET", "token-secret")];
    let config = load(&own.into()).unwrap();
    assert!(config.jwt_secret.is_some() && !format!("{config:?}").contains("token-secret"));
    let named = [
        ("HOME", "/h"),
        ("COURSEWRIGHT_AUTH__JWT_SECRET_ENV", "SUPABASE_JWT_SECRET"),
        ("SUPABASE_JWT_SECRET", "theirs"),
    ];
    assert!(load(&named.into()).unwrap().jwt_secret.is_some());
    assert!(load(&[("HOME", "/h")].into()).unwrap().jwt_secret.is_none());
}
