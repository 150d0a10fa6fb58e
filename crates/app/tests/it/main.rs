//! The binary as its users meet it: a temporary home, a private PostgreSQL, a scripted provider over real HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests say what failed by panicking"
)]

mod auth;
mod authorization;
mod clients;
mod create;
mod desk;
mod documents;
mod doors;
mod examples;
mod exports;
mod extraction;
mod guards;
mod local_servers;
mod openapi;
mod people;
mod progress_stream;
mod provider;
mod refusals;
mod resume;
mod rpc;
mod serve;
mod service;
mod upload;
mod web;
mod worker;
