//! The providers of models that are set up: from the file and from the variables that many programs share.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::endpoint::{Base, base};
use super::environment::Environment;
use super::key::{Key, key};
use super::settings::{ProviderSettings, Settings};
use super::{CUSTOM, ConfigError, OPENROUTER};

/// Where OpenRouter is.
const OPENROUTER_URL: &str = "https://openrouter.ai/api/v1";
/// Where `OPENAI_API_KEY` is used when no `OPENAI_BASE_URL` says otherwise.
const OPENAI_URL: &str = "https://api.openai.com/v1";
/// Waiting longer than a day, or less than a second, is a slip of the pen.
const WAIT_SECS: std::ops::RangeInclusive<u64> = 1..=86_400;

/// A model provider that is set up.
#[derive(Clone)]
pub(crate) struct ProviderConfig {
    /// The name in model cards and in the file.
    pub(crate) name: String,
    /// Up to and including the version, with the parameters that were written; without user and password.
    pub(crate) base_url: Url,
    /// The key, if one is needed and there.
    pub(crate) api_key: Option<SecretString>,
    /// Where the key came from, for messages: a variable's name.
    pub(crate) key_source: Option<String>,
    /// Calls at once; `None` is the client's default.
    pub(crate) max_parallel: Option<usize>,
    /// How long it may send no byte; `None` is the client's default, 120 s.
    pub(crate) idle_timeout: Option<Duration>,
    /// How long it may send no content, though bytes such as signs of life come; `None` is the client's default,
    /// 180 s.
    pub(crate) content_timeout: Option<Duration>,
    /// Fields added to every request.
    pub(crate) extra: serde_json::Map<String, serde_json::Value>,
    /// Headers added to every request.
    pub(crate) headers: Vec<(String, String)>,
}

impl ProviderConfig {
    /// The address for people.
    pub(crate) fn shown_url(&self) -> String {
        super::shown_url(&self.base_url)
    }

    /// Whether it serves models of this machine: it is reached here and wants no key, so nobody bills it, and it may
    /// be slow.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        self.api_key.is_none() && llm::discovery::is_loopback(&self.base_url)
    }
}

/// Without the values of headers, which may be keys.
impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("name", &self.name)
            .field("base_url", &self.shown_url())
            .field("key_source", &self.key_source)
            .finish_non_exhaustive()
    }
}

/// The remote embedding model's endpoint.
#[derive(Clone)]
pub(crate) struct EmbeddingConfig {
    /// Up to and including the version; without user and password.
    pub(crate) base_url: Url,
    /// The key, if one is needed and there.
    pub(crate) api_key: Option<SecretString>,
    /// Headers added to every request.
    pub(crate) headers: Vec<(String, String)>,
}

impl fmt::Debug for EmbeddingConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingConfig")
            .field("base_url", &super::shown_url(&self.base_url))
            .finish_non_exhaustive()
    }
}

/// Reads providers and keys, and gathers what was mended in them.
pub(super) struct Reader<'a> {
    pub(super) environment: &'a Environment,
    /// What was mended, for people; each once.
    pub(super) remarks: Vec<String>,
}

impl Reader<'_> {
    /// The providers that are set up, in order of their names.
    pub(super) fn providers(&mut self, settings: &Settings) -> Result<Vec<ProviderConfig>, ConfigError> {
        let mut configured = settings.providers.clone();
        // Which variable an address came from, by provider.
        let mut sources = BTreeMap::new();
        if key("OPENROUTER_API_KEY", self.environment)?.is_some() {
            let openrouter = configured.entry(OPENROUTER.to_owned()).or_default();
            openrouter
                .api_key_env
                .get_or_insert_with(|| "OPENROUTER_API_KEY".to_owned());
        }
        let base_url = self.environment.get("OPENAI_BASE_URL");
        let has_key = key("OPENAI_API_KEY", self.environment)?.is_some();
        if base_url.is_some() || has_key {
            let custom = configured.entry(CUSTOM.to_owned()).or_default();
            if custom.base_url.is_none() {
                custom.base_url = Some(base_url.unwrap_or(OPENAI_URL).into());
                sources.insert(CUSTOM.to_owned(), "OPENAI_BASE_URL");
            }
            if has_key {
                custom
                    .api_key_env
                    .get_or_insert_with(|| "OPENAI_API_KEY".to_owned());
            }
        }
        configured
            .into_iter()
            .map(|(name, provider)| {
                let source = sources.get(&name).map(|source| (*source).to_owned());
                let source = source.unwrap_or_else(|| format!("providers.{name}.base_url"));
                self.provider(name, &source, provider)
            })
            .collect()
    }

    fn provider(
        &mut self,
        name: String,
        source: &str,
        provider: ProviderSettings,
    ) -> Result<ProviderConfig, ConfigError> {
        let written = match (provider.base_url, name.as_str()) {
            (Some(address), _) => address,
            (None, OPENROUTER) => OPENROUTER_URL.into(),
            (None, _) => "".into(),
        };
        let seconds = |setting: &str, secs: Option<u64>| {
            secs.map(|secs| wait(&format!("providers.{name}.{setting}"), secs))
                .transpose()
        };
        let idle_timeout = seconds("idle_timeout_secs", provider.idle_timeout_secs)?;
        let content_timeout = seconds("content_timeout_secs", provider.content_timeout_secs)?;
        let base = base(source, &written)?;
        let api_key = self.key_of(&name, provider.api_key_env.as_deref())?;
        let (base_url, password) = self.reached(base, api_key.as_ref());
        Ok(ProviderConfig {
            base_url,
            api_key,
            key_source: provider.api_key_env,
            max_parallel: provider.max_parallel,
            idle_timeout,
            content_timeout,
            extra: provider.extra,
            headers: password.into_iter().chain(provider.headers).collect(),
            name,
        })
    }

    /// The remote embedding model's endpoint, if one is configured.
    pub(super) fn embedding(&mut self, settings: &Settings) -> Result<Option<EmbeddingConfig>, ConfigError> {
        let source = "embeddings.base_url";
        let api_key = self.key_of("embeddings", settings.embeddings.api_key_env.as_deref())?;
        let Some(address) = &settings.embeddings.base_url else {
            return Ok(None);
        };
        let (base_url, password) = self.reached(base(source, address)?, api_key.as_ref());
        Ok(Some(EmbeddingConfig {
            base_url,
            api_key,
            headers: password.into_iter().collect(),
        }))
    }

    /// The key of the variable that a provider names.
    ///
    /// # Errors
    /// [`ConfigError`] if the variable is not set, or to what cannot be a key.
    pub(super) fn key_of(
        &mut self,
        provider: &str,
        variable: Option<&str>,
    ) -> Result<Option<SecretString>, ConfigError> {
        let Some(variable) = variable else { return Ok(None) };
        let Some(Key { secret, remark }) = key(variable, self.environment)? else {
            return Err(ConfigError::NoKey {
                provider: provider.to_owned(),
                variable: variable.to_owned(),
            });
        };
        self.note(remark);
        Ok(Some(secret))
    }

    /// The address, and the header that its user and password make. A key is sent in the same header, and wins.
    fn reached(&mut self, base: Base, key: Option<&SecretString>) -> (Url, Option<(String, String)>) {
        self.note(base.remark);
        let password = base.basic.filter(|_| key.is_none());
        let header = password.map(|basic| ("authorization".to_owned(), basic.expose_secret().to_owned()));
        (base.url, header)
    }

    fn note(&mut self, remark: Option<String>) {
        self.remarks
            .extend(remark.filter(|remark| !self.remarks.contains(remark)));
    }
}

/// A time to wait, checked.
///
/// # Errors
/// [`ConfigError::Limit`] naming the setting.
pub(super) fn wait(setting: &str, secs: u64) -> Result<Duration, ConfigError> {
    if WAIT_SECS.contains(&secs) {
        return Ok(Duration::from_secs(secs));
    }
    let (least, most) = (WAIT_SECS.start(), WAIT_SECS.end());
    Err(ConfigError::Limit {
        setting: setting.to_owned(),
        problem: format!("must be from {least} to {most}, not {secs}"),
    })
}
