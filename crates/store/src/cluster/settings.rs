//! Settings of the private server.

/// How much the server does to keep what was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// What was committed survives a crash of the program, the server and the machine.
    CrashSafe,
    /// Nothing survives a crash: for tests.
    Throwaway,
}

/// The file of the server's log inside the cluster's folder.
pub(crate) const LOG_FILE: &str = "postgres.log";

/// Settings for a server that shares a small machine with a program that uses the processors itself.
const COMMON: [(&str, &str); 21] = [
    ("listen_addresses", ""),
    ("port", "5432"),
    ("unix_socket_permissions", "0700"),
    // Three programs at once with all connections of both their pools, and room for a person with psql.
    ("max_connections", "100"),
    ("effective_cache_size", "1GB"),
    // There are no replicas of a private cluster, so the log need only serve recovery.
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_wal_size", "512MB"),
    ("min_wal_size", "64MB"),
    ("wal_compression", "on"),
    ("checkpoint_completion_target", "0.9"),
    ("checkpoint_timeout", "15min"),
    ("max_logical_replication_workers", "0"),
    ("max_parallel_workers_per_gather", "0"),
    ("autovacuum_max_workers", "2"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_min_messages", "warning"),
    ("log_checkpoints", "off"),
    // A transaction never spans a model call; one that idles is a fault that would hold back vacuum.
    ("idle_in_transaction_session_timeout", "60s"),
];

/// All settings for one server, given on its command line so that files in the data folder cannot change them.
pub(crate) fn settings(durability: Durability, major: u32) -> Vec<(&'static str, &'static str)> {
    let mut settings = COMMON.to_vec();
    if major >= 18 {
        // No processes that wait for input and output.
        settings.push(("io_method", "sync"));
    }
    settings.extend(match durability {
        Durability::CrashSafe => [
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("full_page_writes", "on"),
            ("shared_buffers", "64MB"),
            ("autovacuum", "on"),
        ],
        Durability::Throwaway => [
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
            ("shared_buffers", "128MB"),
            ("autovacuum", "off"),
        ],
    });
    if durability == Durability::Throwaway {
        settings.push(("max_connections", "300"));
    }
    settings
}
