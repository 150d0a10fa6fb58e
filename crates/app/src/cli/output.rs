//! Results on standard output.

use std::io::{self, Write};

use crate::failure::{Exit, Failure};

/// Writes a line to standard output. A reader that has gone (`| head`) is no failure.
///
/// # Errors
/// [`Failure`] if the output cannot be written, for example because the disk is full.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    let written = writeln!(io::stdout().lock(), "{line}");
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            Exit::Failure,
            format!("the output cannot be written: {error}"),
        )),
        _ => Ok(()),
    }
}
