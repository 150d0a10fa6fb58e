//! The settings of the service: `serve` and `worker`.

use std::net::SocketAddr;
use std::time::Duration;

use domain::id::OrganizationId;
use serde::{Deserialize, Serialize};

/// The shortest lease of a job, in seconds: it must outlive several signs of life, one a second.
const LEAST_LEASE_SECS: u64 = 5;
/// The longest lease of a job, in seconds: a dead worker's jobs are taken over within 60 s (service 4.5), and the
/// sweeper that does it comes every 5 s.
const LONGEST_LEASE_SECS: u64 = 50;
/// Jobs at once in one process, at most.
const MOST_CONCURRENCY: usize = 1000;
/// Documents read at once in one process, at most: each takes a processor and a child process.
const MOST_DOCUMENTS: usize = 16;

/// Where the API listens.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerSettings {
    /// The address; port 0 takes a free one.
    pub(crate) bind: SocketAddr,
    /// How people and front ends reach it, for links: `https://courses.example.org`. Default: the address it listens
    /// on.
    pub(crate) public_url: Option<String>,
    /// Origins of web pages that may call the API from a browser; `*` allows all. Default: none but its own.
    pub(crate) allowed_origins: Vec<String>,
    /// How long running requests may take to end at a shutdown, in seconds.
    pub(crate) shutdown_secs: u64,
    /// Whether the address of the client is taken from `X-Forwarded-For`: only behind a proxy that sets it.
    pub(crate) trust_forwarded_for: bool,
    /// Whether `/metrics` is served with the API.
    pub(crate) metrics: bool,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            allowed_origins: Vec::new(),
            shutdown_secs: 10,
            trust_forwarded_for: false,
            metrics: true,
        }
    }
}

/// How a process works on the queue.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WorkerSettings {
    /// Jobs at once, 1 to 1000.
    pub(crate) concurrency: usize,
    /// Documents that are read at once beside the jobs, 0 to 16; 0: only generations read theirs.
    pub(crate) documents: usize,
    /// How long a job stays with a worker that shows no life, in seconds, 5 to 50.
    pub(crate) lease_secs: u64,
    /// A stage without any progress for so long is interrupted, in seconds (service 4.5).
    pub(crate) stall_secs: u64,
    /// Where a process of `coursewright worker` serves `/metrics` and `/healthz`; default: nowhere.
    pub(crate) metrics_bind: Option<SocketAddr>,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            concurrency: 8,
            documents: 1,
            lease_secs: 45,
            stall_secs: 120,
            metrics_bind: None,
        }
    }
}

impl WorkerSettings {
    /// How long a job stays with a worker that shows no life.
    pub(crate) const fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_secs)
    }

    /// How long a stage may go without any progress.
    pub(crate) const fn stall(&self) -> Duration {
        Duration::from_secs(self.stall_secs)
    }
}

/// The algorithm with which tokens are signed. It is fixed here and never taken from a token (service 4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum TokenAlgorithm {
    /// HMAC with SHA-256 and the secret of `jwt_secret_env`.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA with SHA-256 and the keys of `jwks_url`.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 and the keys of `jwks_url`.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519 and the keys of `jwks_url`.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Who may come in.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuthSettings {
    /// The variable that holds the secret of an identity provider's HS256 tokens, at least 32 bytes; setting it turns
    /// them on. The secret itself never stands in the file. Own tokens have a key of their own, which is made at the
    /// first start and kept in the database.
    pub(crate) jwt_secret_env: String,
    /// Where an identity provider publishes its keys; turns on its tokens beside the built-in accounts.
    pub(crate) jwks_url: Option<String>,
    /// The algorithm of the identity provider's tokens; default RS256 with `jwks_url`, else HS256.
    pub(crate) algorithm: Option<TokenAlgorithm>,
    /// The `iss` that the identity provider's tokens must have; without it, any. Own tokens have `coursewright`.
    pub(crate) issuer: Option<String>,
    /// The `aud` that the identity provider's tokens must have; likewise.
    pub(crate) audience: Option<String>,
    /// How long an access token is valid, in minutes.
    pub(crate) access_token_minutes: u32,
    /// How long a session can be refreshed, in days.
    pub(crate) refresh_token_days: u32,
    /// Whether people may log in with e-mail and password.
    pub(crate) password_login: bool,
    /// The organization of people whose token of the identity provider names none. Default: such tokens are refused.
    pub(crate) default_organization: Option<OrganizationId>,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            jwt_secret_env: "COURSEWRIGHT_JWT_SECRET".to_owned(),
            jwks_url: None,
            algorithm: None,
            issuer: None,
            audience: None,
            access_token_minutes: 15,
            refresh_token_days: 30,
            password_login: true,
            default_organization: None,
        }
    }
}

/// Where uploaded files are kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StorageSettings {
    /// `file:///srv/files`, `s3://bucket/prefix`, `gs://...` or `az://...`; default the folder `files` of the data
    /// folder. Keys come from the provider's usual variables.
    pub(crate) url: Option<String>,
    /// Further options of the object store by their names, for example `endpoint` and `region`.
    pub(crate) options: std::collections::BTreeMap<String, String>,
}

/// What is sent to other servers when generations end.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WebhookSettings {
    /// Whether webhooks may go to addresses that are not public, and over plain http. Only where every author is
    /// trusted with the operator's network.
    pub(crate) allow_private_targets: bool,
    /// How long a receiver may take, in seconds.
    pub(crate) timeout_secs: u64,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            allow_private_targets: false,
            timeout_secs: 15,
        }
    }
}

/// Limits of the whole installation; those of tiers are in the database.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitSettings {
    /// Active generations of all users, at most: the ceiling of the dynamic limit (service 4.3).
    pub(crate) generations: u32,
    /// The longest body of a request that is not an upload, in bytes.
    pub(crate) body_bytes: usize,
    /// The longest upload whatever the tier says, in bytes.
    pub(crate) upload_bytes: u64,
    /// Open connections in one process; further clients wait. Each takes a descriptor: `ulimit -n` must be higher.
    pub(crate) connections: usize,
    /// Open subscriptions of one user in one process.
    pub(crate) subscriptions_per_user: usize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            generations: 1000,
            body_bytes: 2 << 20,
            upload_bytes: 200 << 20,
            connections: 10_000,
            subscriptions_per_user: 50,
        }
    }
}

/// When the operator is told (service 4.7).
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AlertSettings {
    /// Where alerts are posted as JSON `{"text": ..., "alert": ...}`; `text` makes it fit chat services.
    pub(crate) webhook_url: Option<String>,
    /// More fallbacks for too long prompts than this within an hour are an alert.
    pub(crate) overflows_per_hour: u32,
    /// A lower share of accepted among the batches, and of completed among the ended generations, of the last hour is an
    /// alert, in percent.
    pub(crate) success_percent: u32,
    /// An active generation without any change for so long is stuck, in minutes.
    pub(crate) stuck_minutes: u32,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            webhook_url: None,
            overflows_per_hour: 5,
            success_percent: 80,
            stuck_minutes: 60,
        }
    }
}

/// Checks what the types cannot: the first setting that is out of its limits, and what is allowed.
///
/// # Errors
/// The setting's name and a sentence.
pub(super) fn check(worker: &WorkerSettings, limits: &LimitSettings) -> Result<(), (&'static str, String)> {
    if !(1..=MOST_CONCURRENCY).contains(&worker.concurrency) {
        let found = worker.concurrency;
        return Err((
            "worker.concurrency",
            format!("must be from 1 to {MOST_CONCURRENCY}, not {found}"),
        ));
    }
    if worker.documents > MOST_DOCUMENTS {
        let found = worker.documents;
        return Err((
            "worker.documents",
            format!("must be from 0 to {MOST_DOCUMENTS}, not {found}"),
        ));
    }
    if !(LEAST_LEASE_SECS..=LONGEST_LEASE_SECS).contains(&worker.lease_secs) {
        let found = worker.lease_secs;
        return Err((
            "worker.lease_secs",
            format!("must be from {LEAST_LEASE_SECS} to {LONGEST_LEASE_SECS}, not {found}"),
        ));
    }
    if worker.stall_secs < LEAST_LEASE_SECS {
        let found = worker.stall_secs;
        return Err((
            "worker.stall_secs",
            format!("must be at least {LEAST_LEASE_SECS}, not {found}"),
        ));
    }
    if limits.connections == 0 {
        return Err(("limits.connections", "must be at least 1, not 0".to_owned()));
    }
    if limits.generations == 0 {
        return Err(("limits.generations", "must be at least 1, not 0".to_owned()));
    }
    Ok(())
}
