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
        OPENROUTER_URL
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
