//! The client against servers that speak the protocol in their own ways: what comes is read as far as it can be, and
//! what is refused is asked for in another way.

#![expect(
    clippy::unwrap_used,
    reason = "the exception for tests does not cover the functions that tests call"
)]

mod reading;
mod refusals;
mod server;
