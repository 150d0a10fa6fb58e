//! The store against real PostgreSQL.

mod access;
mod cluster;
mod lifecycle;
mod migrations;
mod progress;
mod queue;
mod state_machine;
mod statements;
mod world;
