//! Models: one door to remote, embedded and scripted ones.

pub mod breaker;
pub mod budget;
pub mod calibration;
pub mod capability;
pub mod card;
pub mod cassette;
pub mod discovery;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod error;
pub mod gateway;
pub mod http_client;
pub mod parallelism;
pub mod pricing;
pub mod provider;
pub mod repair;
pub mod request;
pub mod response;
pub mod retry;
pub mod route;
pub mod structured;
pub mod vector_index;
pub mod weights;
