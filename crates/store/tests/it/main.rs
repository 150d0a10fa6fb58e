//! The store against real PostgreSQL.

mod statements;
