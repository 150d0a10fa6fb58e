//! The binary as its users meet it: a temporary home, a private PostgreSQL, a scripted provider over real HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests say what failed by panicking"
)]

mod create;
mod desk;
mod guards;
mod provider;
mod refusals;
mod resume;
