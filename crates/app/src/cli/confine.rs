//! `confine`: becomes another program, with limits that it cannot lift.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;

use super::extract::Limits;
use crate::extraction::confine;
use crate::failure::{Exit, Failure};

/// The arguments of `confine`.
#[derive(Args, Debug)]
pub(super) struct Confine {
    #[command(flatten)]
    limits: Limits,
    /// The program and what it is given
    #[arg(last = true, required = true)]
    program: Vec<OsString>,
}

impl Confine {
    /// Does not come back if all goes well.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let refused = |error: std::io::Error| Failure::new(Exit::Failure, error.to_string());
        confine(&self.limits.confinement()).map_err(refused)?;
        let (program, arguments) = self
            .program
            .split_first()
            .ok_or_else(|| Failure::setup("name a program"))?;
        Err(refused(Command::new(program).args(arguments).exec()))
    }
}
