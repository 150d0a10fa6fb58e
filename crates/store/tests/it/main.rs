//! The store against real PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod access;
mod accounts;
mod board;
mod citations;
mod cluster;
mod courses;
mod documents;
mod events;
mod faults;
mod idempotency;
mod ingestion;
mod lead;
mod library;
mod lifecycle;
mod limits;
mod losses;
mod migrations;
mod model_capabilities;
mod privileges;
mod progress;
mod questions;
mod queue;
mod regeneration;
mod rounds;
mod search;
mod session_cookies;
mod state_machine;
mod statements;
mod world;
