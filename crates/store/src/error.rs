//! Failures of the store.

use chrono::{DateTime, Utc};
use domain::error::ErrorKind;
use domain::id::{DocumentId, JobId};
use domain::organization::Tier;

use crate::cluster::ClusterError;

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The private database could not be used.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The address of the database is not one.
    #[error("the database address is not valid: it has the form postgres://user:password@host:port/name")]
    Address(#[source] sqlx::Error),
    /// The server is older than the schema needs.
    #[error("the database server has version {found}; PostgreSQL 15 or newer is needed")]
    OldServer {
        /// The server's own word.
        found: String,
    },
    /// The schema could not be brought up to date.
    #[error("the database could not be migrated")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// There is no such thing, or it is invisible to the caller.
    #[error("there is no {what} '{key}'")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By which id, slug or prefix.
        key: String,
    },
    /// More than one thing has an id that begins like that.
    #[error("more than one {what} begins with '{key}': give more of the id")]
    Ambiguous {
        /// What was looked for.
        what: &'static str,
        /// The beginning that was given.
        key: String,
    },
    /// The caller may see it but not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The present state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// The caller has seen an older state than the present one.
    #[error("it was changed meanwhile: revision {found} is the present one, not {expected}")]
    Stale {
        /// The revision that the caller has seen.
        expected: u32,
        /// The present one.
        found: u32,
    },
    /// The user's or the installation's limit is reached (service 4.3).
    #[error("{}", limit_message(*user_limit, *current_user_jobs, global_limit.zip(*global_active_jobs)))]
    TooManyGenerations {
        /// The tier whose limits hold.
        tier: Tier,
        /// How many of one user may be active.
        user_limit: u32,
        /// How many of the user's are.
        current_user_jobs: u32,
        /// How many may be active in the installation, if that is the limit that was reached.
        global_limit: Option<u32>,
        /// How many are, if that is the limit that was reached.
        global_active_jobs: Option<u32>,
    },
    /// The days of the organization's tier are over (service 4.3): nothing new is begun.
    #[error("the days of the tier '{}' ended at {ended_at}", .tier.as_str())]
    TierEnded {
        /// The tier.
        tier: Tier,
        /// When its days ended.
        ended_at: DateTime<Utc>,
    },
    /// The organization has no room for the file.
    #[error("{used} of {limit} bytes are used, so that {size} more have no room")]
    QuotaExceeded {
        /// Bytes in use, uploads under way included.
        used: u64,
        /// Bytes that may be.
        limit: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The course has as many files as it may have.
    #[error("the course has {current} of {limit} files")]
    TooManyFiles {
        /// How many it has, uploads under way included.
        current: u32,
        /// How many it may have.
        limit: u32,
    },
    /// The state machine rejects the change (data model 2.8); the message names the legal ones.
    #[error("{0}")]
    IllegalTransition(String),
    /// Another worker has the job now, or it has ended: nothing was written.
    #[error("job {0} is no longer held by this worker")]
    LostLease(JobId),
    /// Another reads the document now, or it is gone: nothing was written.
    #[error("document {0} is no longer held by this reader")]
    LostClaim(DocumentId),
    /// A stored value does not have the shape of its type, or a value cannot be stored.
    #[error("the {what} in the database cannot be read or written")]
    Shape {
        /// Which value.
        what: &'static str,
        /// What does not fit.
        #[source]
        cause: serde_json::Error,
    },
    /// The database refused or did not answer.
    #[error("the database refused or did not answer")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// The kind for exit codes and statuses.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Cluster(error) => error.kind(),
            Self::Address(_) | Self::OldServer { .. } | Self::Migrate(_) => ErrorKind::Setup,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Ambiguous { .. } => ErrorKind::Invalid,
            Self::Forbidden(_) | Self::TierEnded { .. } => ErrorKind::Forbidden,
            Self::Conflict(_)
            | Self::Stale { .. }
            | Self::IllegalTransition(_)
            | Self::LostLease(_)
            | Self::LostClaim(_) => ErrorKind::Conflict,
            Self::TooManyGenerations { .. } | Self::QuotaExceeded { .. } | Self::TooManyFiles { .. } => {
                ErrorKind::LimitReached
            }
            Self::Database(cause) if is_transient(cause) => ErrorKind::Unavailable,
            Self::Shape { .. } | Self::Database(_) => ErrorKind::Internal,
        }
    }

    /// Whether the same transaction may succeed when it is run again: two of them met, or the connection broke.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(cause) if is_transient(cause))
    }

    /// Whether it is refused because a generation of the course is active.
    pub fn is_generation_active(&self) -> bool {
        matches!(self, Self::Conflict(reason) if reason == GENERATION_ACTIVE)
    }

    pub(crate) fn generation_active() -> Self {
        Self::Conflict(GENERATION_ACTIVE.to_owned())
    }

    pub(crate) fn key_of_another_request() -> Self {
        Self::Conflict("this idempotency key came with another request before".to_owned())
    }
}

/// Why a second start of a course is refused.
const GENERATION_ACTIVE: &str = "a generation of this course is already active";

fn limit_message(user_limit: u32, current: u32, global: Option<(u32, u32)>) -> String {
    match global {
        Some((limit, active)) => {
            format!("{active} of {limit} generations at once are running in this installation")
        }
        None => format!("{current} of {user_limit} generations at once are running"),
    }
}

/// The state machine's own error code.
const ILLEGAL_TRANSITION: &str = "CW001";
/// The rule that an installation keeps a superadmin.
const LAST_SUPERADMIN: &str = "CW002";
/// A row that is referred to does not exist.
const FOREIGN_KEY_VIOLATION: &str = "23503";
/// A role lacks a privilege, or a policy refuses the row.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// Unique indexes that stand for "already under way".
const ACTIVE_INDEXES: [&str; 2] = ["generations_one_active", "jobs_one_active_per_course"];

impl From<sqlx::Error> for StoreError {
    fn from(cause: sqlx::Error) -> Self {
        let Some(refusal) = cause.as_database_error() else {
            return Self::Database(cause);
        };
        if refusal
            .constraint()
            .is_some_and(|name| ACTIVE_INDEXES.contains(&name))
        {
            return Self::generation_active();
        }
        if refusal.constraint() == Some("courses_organization_id_slug_key") {
            return Self::Conflict("a course with this name in its address exists already".to_owned());
        }
        if refusal.constraint() == Some("users_email") {
            return Self::Conflict("somebody with this e-mail address exists already".to_owned());
        }
        match refusal.code().as_deref() {
            Some(ILLEGAL_TRANSITION) => Self::IllegalTransition(refusal.message().to_owned()),
            Some(LAST_SUPERADMIN) => Self::Conflict(refusal.message().to_owned()),
            Some(INSUFFICIENT_PRIVILEGE) => Self::Forbidden("this is not allowed for your role".to_owned()),
            Some(FOREIGN_KEY_VIOLATION) => Self::NotFound {
                what: "row that this refers to",
                key: refusal.constraint().unwrap_or_default().to_owned(),
            },
            _ => Self::Database(cause),
        }
    }
}

fn is_transient(cause: &sqlx::Error) -> bool {
    match cause {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        // 40001 serialization failure, 40P01 deadlock, class 08 connection, 57P01 to 57P03 server going or coming.
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| {
            matches!(code.as_ref(), "40001" | "40P01" | "57P01" | "57P02" | "57P03") || code.starts_with("08")
        }),
        _ => false,
    }
}
