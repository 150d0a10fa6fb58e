//! `completions`: a script for the shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::output::print;
use crate::failure::{Exit, Failure};

/// The arguments of `completions`.
#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut super::Cli::command(),
            "coursewright",
            &mut script,
        );
        print(String::from_utf8_lossy(&script).trim_end())?;
        Ok(Exit::Success)
    }
}
