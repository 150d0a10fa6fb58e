//! Questions to whoever sits at the terminal.

use std::io::{self, BufRead, IsTerminal};

use domain::error::ErrorKind;

use super::run::Session;
use crate::failure::{Exit, Failure};

/// Whether somebody can be asked.
pub(super) fn is_at_a_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question whose answer is yes unless something else is typed.
///
/// # Errors
/// [`Failure`] if the program is interrupted meanwhile.
pub(super) async fn is_agreed(session: &Session<'_>, question: &str) -> Result<bool, Failure> {
    session.say(&format!("{question} [Y/n]"));
    // A signal ends the program though the reading goes on: nobody waits for that thread.
    let reading = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin()
            .lock()
            .read_line(&mut answer)
            .map(|bytes| (bytes, answer))
    });
    tokio::select! {
        read = reading => {
            let read = read.map_err(|error| Failure::of(ErrorKind::Internal, &error))?;
            Ok(read.is_ok_and(|(bytes, answer)| bytes > 0 && is_yes(&answer)))
        }
        () = session.interrupted() => Err(Failure::new(Exit::Interrupted, "interrupted; nothing was made")),
    }
}

fn is_yes(answer: &str) -> bool {
    let answer = answer.trim().to_lowercase();
    answer.is_empty() || ["y", "ok", "д", "да"].iter().any(|yes| answer.starts_with(yes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_and_yes_agree_and_all_else_does_not() {
        let check = |answer: &str, expected: bool| assert_eq!(is_yes(answer), expected, "{answer:?}");
        for yes in ["\n", "y\n", "Yes\n", " Y ", "ok\n", "да\n", "Д"] {
            check(yes, true);
        }
        for no in ["n\n", "No\n", "нет\n", "q\n", "?"] {
            check(no, false);
        }
    }
}
