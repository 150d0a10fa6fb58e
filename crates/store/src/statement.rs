//! Statements as constants, so that a test can prepare every one of them against the migrated database.

/// Declares the statements of a module and `ALL`, the list of their names and texts.
macro_rules! statements {
    ($($name:ident = $sql:literal;)+) => {
        $(const $name: &str = $sql;)+

        /// Every statement of this module.
        #[cfg(feature = "testkit")]
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}
pub(crate) use statements;

/// Every statement of the crate: module, name, text.
#[cfg(feature = "testkit")]
pub(crate) fn all() -> Vec<(&'static str, &'static str, &'static str)> {
    let modules = [
        ("alert", crate::alert::ALL),
        ("api_key", crate::api_key::ALL),
        ("audit", crate::audit::ALL),
        ("checkpoint", crate::checkpoint::ALL),
        ("chunk", crate::chunk::ALL),
        ("citation", crate::citation::ALL),
        ("course", crate::course::ALL),
        ("course::change", crate::course::change::ALL),
        ("course::copy", crate::course::copy::ALL),
        ("document", crate::document::ALL),
        ("embedding", crate::embedding::ALL),
        ("event", crate::event::ALL),
        ("generation", crate::generation::ALL),
        ("generation::idempotency", crate::generation::idempotency::ALL),
        ("generation::lifecycle", crate::generation::lifecycle::ALL),
        ("generation::limits", crate::generation::limits::ALL),
        ("generation::progress", crate::generation::progress::ALL),
        ("generation::regeneration", crate::generation::regeneration::ALL),
        ("generation::start", crate::generation::start::ALL),
        ("heartbeat", crate::heartbeat::ALL),
        ("hint", crate::hint::ALL),
        ("ingestion", crate::ingestion::ALL),
        ("ingestion::replace", crate::ingestion::REPLACE_ALL),
        ("job", crate::job::ALL),
        ("lesson", crate::lesson::ALL),
        ("metric", crate::metric::ALL),
        ("model_call", crate::model_call::ALL),
        ("model_capability", crate::model_capability::ALL),
        ("organization", crate::organization::ALL),
        ("question", crate::question::ALL),
        ("queue", crate::queue::ALL),
        ("search", crate::search::ALL),
        ("search::text", crate::search::TEXT_ALL),
        ("secret", crate::secret::ALL),
        ("session", crate::session::ALL),
        ("session_cookie", crate::session_cookie::ALL),
        ("statistics", crate::statistics::ALL),
        ("summary", crate::summary::ALL),
        ("tier", crate::tier::ALL),
        ("user", crate::user::ALL),
        ("vector", crate::vector::ALL),
        ("version", crate::version::ALL),
        ("webhook", crate::webhook::ALL),
        ("worker", crate::worker::ALL),
    ];
    modules
        .into_iter()
        .flat_map(|(module, statements)| statements.iter().map(move |(name, sql)| (module, *name, *sql)))
        .collect()
}
