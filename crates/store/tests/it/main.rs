//! The store against real PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod access;
mod accounts;
mod board;
mod cluster;
mod courses;
mod documents;
mod events;
mod faults;
mod idempotency;
mod lifecycle;
mod limits;
mod migrations;
mod privileges;
mod progress;
mod queue;
mod state_machine;
mod statements;
mod world;
