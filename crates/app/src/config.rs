//! Configuration: the only reader of the environment and of `coursewright.toml`.
//!
//! What is set later wins: built-in defaults, the file, variables `COURSEWRIGHT_*` (two underscores descend:
//! `COURSEWRIGHT_POSTGRES__BIN_DIR`), flags of the command line. Secrets are held as secrets and never printed.

mod endpoint;
mod environment;
mod key;
mod provider;
mod service;
mod settings;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::error::ErrorKind;
use domain::language::Language;
use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};
use llm::discovery::{Place, ServerKind};
use secrecy::SecretString;
use url::Url;

pub(crate) use endpoint::shown_url;
pub(crate) use environment::Environment;
pub(crate) use provider::{EmbeddingConfig, ProviderConfig};
pub(crate) use service::{AlertSettings, AuthSettings, TokenAlgorithm, WebhookSettings, WorkerSettings};
pub(crate) use settings::Settings;

/// The file in the configuration folder.
const FILE_NAME: &str = "coursewright.toml";
/// Variables with this prefix are settings.
const PREFIX: &str = "COURSEWRIGHT_";
/// Names the configuration file; not a setting itself.
const CONFIG_VARIABLE: &str = "COURSEWRIGHT_CONFIG";
/// Holds the secret of tokens by default; not a setting itself.
const SECRET_VARIABLE: &str = "COURSEWRIGHT_JWT_SECRET";

/// The provider of the default routes.
pub(crate) const OPENROUTER: &str = "openrouter";
/// The provider that `OPENAI_BASE_URL` or `OPENAI_API_KEY` sets up.
pub(crate) const CUSTOM: &str = "custom";

/// What the command line adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--data-dir`.
    pub(crate) data_dir: Option<PathBuf>,
}

/// Everything that is configured, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The file that was read, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// Database, models, logs.
    pub(crate) data_dir: PathBuf,
    /// What the file and `COURSEWRIGHT_*` say.
    pub(crate) settings: Settings,
    /// An own PostgreSQL instead of the private one.
    pub(crate) database_url: Option<SecretString>,
    /// The providers that are set up, in order of their names.
    pub(crate) providers: Vec<ProviderConfig>,
    /// The remote embedding model, if one is configured.
    pub(crate) embedding: Option<EmbeddingConfig>,
    /// How long a stage waits for a provider that is busy or away.
    pub(crate) wait_limit: Duration,
    /// Where servers of models are looked for on this machine.
    pub(crate) local_places: Vec<Place>,
    /// What was mended in addresses and keys, for people.
    pub(crate) remarks: Vec<String>,
    /// The key of Qdrant.
    pub(crate) qdrant_key: Option<SecretString>,
    /// The secret of HS256 tokens, if the variable that `auth.jwt_secret_env` names is set.
    pub(crate) jwt_secret: Option<SecretString>,
    /// Where OpenTelemetry traces are sent: `OTEL_EXPORTER_OTLP_ENDPOINT`, if it is set.
    pub(crate) otlp_endpoint: Option<String>,
    /// The socket on which the service manager waits for signs of life: `NOTIFY_SOCKET`, if it is set.
    pub(crate) notify_socket: Option<OsString>,
    /// The language of the user, by `LC_ALL`, `LC_MESSAGES` or `LANG`.
    pub(crate) user_language: Language,
    /// `LOG_LEVEL`, if it is set.
    pub(crate) log_level: Option<String>,
    /// Whether `LOG_FORMAT` asks for JSON.
    pub(crate) log_json: bool,
    /// `PATH`, for programs of the database and Python.
    pub(crate) search_path: Option<OsString>,
    /// The user that called `sudo`.
    pub(crate) sudo_uid: Option<u32>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file named by `--config` is not there.
    #[error("the configuration file {} does not exist", .0.display())]
    NoFile(PathBuf),
    /// A setting is unknown, or of the wrong kind.
    #[error("the configuration cannot be used: {0}")]
    Setting(Box<figment::Error>),
    /// A URL is not one.
    #[error("{setting} is not a URL: '{value}'; one begins with http:// or https://")]
    Url {
        /// The setting or variable.
        setting: String,
        /// What it holds, without what is secret.
        value: String,
    },
    /// A variable holds what cannot be a key.
    #[error("the key in the variable {variable} {problem}")]
    Key {
        /// The variable.
        variable: String,
        /// What is wrong, without the key.
        problem: String,
    },
    /// A provider names a variable for its key that is not set.
    #[error("provider '{provider}' takes its key from the variable {variable}, which is not set")]
    NoKey {
        /// The provider.
        provider: String,
        /// The variable.
        variable: String,
    },
    /// A setting is out of its limits.
    #[error("{setting} {problem}")]
    Limit {
        /// The setting.
        setting: String,
        /// What is allowed, and what was found.
        problem: String,
    },
    /// There is no place for data.
    #[error("there is no home folder to keep data in; set --data-dir or COURSEWRIGHT_DATA_DIR")]
    NoHome,
}

impl ConfigError {
    /// The kind for exit codes.
    pub(crate) const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoFile(_)
            | Self::Setting(_)
            | Self::Url { .. }
            | Self::Key { .. }
            | Self::NoKey { .. }
            | Self::Limit { .. }
            | Self::NoHome => ErrorKind::Setup,
        }
    }
}

impl Config {
    /// Reads the file and the environment.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that is wrong.
    pub(crate) fn load(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        let file = config_file(flags, environment)?;
        let mut figment = Figment::new();
        if let Some(path) = &file {
            figment = figment.merge(Toml::file_exact(path));
        }
        for (name, value) in environment.with_prefix(PREFIX) {
            if ![CONFIG_VARIABLE, SECRET_VARIABLE].contains(&name) {
                let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
                figment = figment.merge(Serialized::global(&key, environment::parsed(value)));
            }
        }
        let settings: Settings = figment
            .extract()
            .map_err(|error| ConfigError::Setting(Box::new(error)))?;
        service::check(&settings.worker, &settings.limits).map_err(|(setting, problem)| {
            ConfigError::Limit {
                setting: setting.to_owned(),
                problem,
            }
        })?;
        check_urls(&settings)?;
        let data_dir = match flags.data_dir.clone().or_else(|| settings.data_dir.clone()) {
            Some(folder) => folder,
            None => {
                default_folder(environment, "XDG_DATA_HOME", ".local/share").ok_or(ConfigError::NoHome)?
            }
        };
        let mut reader = provider::Reader {
            environment,
            remarks: Vec::new(),
        };
        Ok(Self {
            file,
            data_dir: std::path::absolute(&data_dir).unwrap_or(data_dir),
            database_url: environment.get("DATABASE_URL").map(SecretString::from),
            providers: reader.providers(&settings)?,
            embedding: reader.embedding(&settings)?,
            wait_limit: provider::wait("wait_limit_secs", settings.wait_limit_secs)?,
            local_places: local_places(&settings.local_ports)?,
            qdrant_key: reader.key_of("search", settings.search.qdrant_api_key_env.as_deref())?,
            remarks: reader.remarks,
            jwt_secret: environment
                .get(&settings.auth.jwt_secret_env)
                .map(SecretString::from),
            otlp_endpoint: environment.get("OTEL_EXPORTER_OTLP_ENDPOINT").map(str::to_owned),
            notify_socket: environment.get_os("NOTIFY_SOCKET").map(ToOwned::to_owned),
            settings,
            user_language: user_language(environment),
            log_level: environment.get("LOG_LEVEL").map(str::to_owned),
            log_json: environment
                .get("LOG_FORMAT")
                .is_some_and(|format| format.eq_ignore_ascii_case("json")),
            search_path: environment.get_os("PATH").map(ToOwned::to_owned),
            sudo_uid: environment.get("SUDO_UID").and_then(|uid| uid.parse().ok()),
        })
    }

    /// The provider of this name, if it is set up.
    pub(crate) fn provider(&self, name: &str) -> Option<&ProviderConfig> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// Where the second index of vectors is, if there is one.
    ///
    /// # Errors
    /// [`ConfigError::Url`] if the address is not one.
    pub(crate) fn qdrant_url(&self) -> Result<Option<Url>, ConfigError> {
        let written = self.settings.search.qdrant_url.as_ref();
        written
            .map(|url| parsed_url("search.qdrant_url", url.written()))
            .transpose()
    }

    /// Where model files lie.
    pub(crate) fn models_folder(&self) -> PathBuf {
        self.data_dir.join("models")
    }

    /// Where the private database lies.
    pub(crate) fn postgres_folder(&self) -> PathBuf {
        self.data_dir.join("postgres")
    }

    /// Where uploaded files lie when no object store is configured.
    pub(crate) fn files_folder(&self) -> PathBuf {
        self.data_dir.join("files")
    }

    /// Where the log is written.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.data_dir.join("logs").join("coursewright.log")
    }
}

/// Addresses that are only used later are checked now: nothing is begun with a wrong one.
fn check_urls(settings: &Settings) -> Result<(), ConfigError> {
    let qdrant = settings.search.qdrant_url.as_ref();
    let written = [
        ("server.public_url", settings.server.public_url.as_deref()),
        ("auth.jwks_url", settings.auth.jwks_url.as_deref()),
        ("alerts.webhook_url", settings.alerts.webhook_url.as_deref()),
        ("search.qdrant_url", qdrant.map(endpoint::Address::written)),
    ];
    for (setting, value) in written {
        if let Some(value) = value {
            parsed_url(setting, value)?;
        }
    }
    Ok(())
}

fn config_file(flags: &Flags, environment: &Environment) -> Result<Option<PathBuf>, ConfigError> {
    let named = flags
        .config
        .clone()
        .or_else(|| environment.get_os(CONFIG_VARIABLE).map(PathBuf::from));
    if let Some(path) = named {
        return if path.is_file() {
            Ok(Some(path))
        } else {
            Err(ConfigError::NoFile(path))
        };
    }
    let usual =
        default_folder(environment, "XDG_CONFIG_HOME", ".config").map(|folder| folder.join(FILE_NAME));
    Ok(usual.filter(|path| path.is_file()))
}

/// A folder of the XDG base directory specification, with the program's name.
fn default_folder(environment: &Environment, variable: &str, below_home: &str) -> Option<PathBuf> {
    let base = match environment
        .get_os(variable)
        .map(Path::new)
        .filter(|path| path.is_absolute())
    {
        Some(folder) => folder.to_path_buf(),
        None => Path::new(environment.get_os("HOME")?).join(below_home),
    };
    Some(base.join("coursewright"))
}

fn user_language(environment: &Environment) -> Language {
    ["LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .find_map(|variable| environment.get(variable))
        .and_then(|locale| locale.split(['_', '.', '@']).next()?.parse().ok())
        .unwrap_or(Language::English)
}

/// The ports of `local_ports`, by kind of server.
fn local_places(written: &str) -> Result<Vec<Place>, ConfigError> {
    let wrong = || ConfigError::Limit {
        setting: "local_ports".to_owned(),
        problem: format!(
            "must be `usual`, `none`, or a list such as `ollama=11434,vllm=8000` (of ollama, lmstudio, llamacpp, \
             vllm), not '{written}'"
        ),
    };
    match written.trim() {
        "usual" => return Ok(Place::usual()),
        "none" => return Ok(Vec::new()),
        _ => {}
    }
    let place = |entry: &str| {
        let (name, port) = entry.split_once('=')?;
        let kind = ServerKind::ALL
            .into_iter()
            .find(|kind| kind.id() == name.trim())?;
        let port = port.trim().parse().ok().filter(|port| *port > 0)?;
        Some(Place { kind, port })
    };
    written
        .split(',')
        .map(|entry| place(entry).ok_or_else(wrong))
        .collect()
}

fn parsed_url(setting: &str, value: &str) -> Result<Url, ConfigError> {
    Url::parse(value)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| ConfigError::Url {
            setting: setting.to_owned(),
            value: endpoint::shown(value),
        })
}
