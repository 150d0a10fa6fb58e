//! `api`: the description of the HTTP API, for generators of clients.

use clap::{Args, Subcommand};

use super::output::print;
use crate::failure::{Exit, Failure};
use crate::{http, typescript};

/// The arguments of `api`.
#[derive(Args, Debug)]
pub(super) struct Api {
    #[command(subcommand)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Format {
    /// The OpenAPI 3.1 document, as `/openapi.json` serves it
    Openapi,
    /// TypeScript declarations with the type of the tRPC router
    Typescript,
}

impl Api {
    /// Prints the description.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let document = http::openapi_document();
        match self.format {
            Format::Openapi => print(&format!("{document:#}"))?,
            Format::Typescript => print(typescript::declarations(&document).trim_end())?,
        }
        Ok(Exit::Success)
    }
}
