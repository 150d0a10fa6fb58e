//! What the two processes say to each other: the bytes of a file one way, one JSON object the other.

use std::ffi::OsString;
use std::io::{self, Read};
use std::thread;

use formats::import::{DocumentFormat, Extraction, ImportError, ImportLimits, extract_with_gaps};
use serde::{Deserialize, Serialize};

use super::confinement::{Confinement, confine};

/// The stack of the thread that reads, in bytes: parsers call themselves for what is nested.
const STACK_BYTES: usize = 32 << 20;

/// The whole answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Extraction(Extraction),
    Error(ImportError),
}

/// The command line that makes this program read a file for another.
pub(super) fn arguments(format: DocumentFormat, confinement: &Confinement) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["extract", "--format", format.as_str()]
        .map(OsString::from)
        .into();
    arguments.extend(confinement.arguments());
    arguments
}

/// Confines this process, reads a file from standard input, and gives the answer as JSON.
///
/// # Errors
/// [`io::Error`] if the limits cannot be set or the input ends in the middle.
pub(crate) fn answer(format: DocumentFormat, confinement: &Confinement) -> io::Result<String> {
    let mut bytes = Vec::new();
    confine(confinement)?;
    io::stdin().lock().read_to_end(&mut bytes)?;
    let reader = thread::Builder::new().stack_size(STACK_BYTES);
    let reading = reader.spawn(move || {
        let answer = match extract_with_gaps(format, &bytes, &ImportLimits::default()) {
            Ok(extraction) => Answer::Extraction(extraction),
            Err(error) => Answer::Error(error),
        };
        serde_json::to_string(&answer)
    })?;
    let answer = reading
        .join()
        .map_err(|_| io::Error::other("the reader panicked"))?;
    Ok(answer?)
}

/// Reads the answer.
pub(super) fn parse(output: &[u8]) -> Result<Result<Extraction, ImportError>, serde_json::Error> {
    Ok(match serde_json::from_slice(output)? {
        Answer::Extraction(extraction) => Ok(extraction),
        Answer::Error(error) => Err(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_arrive() {
        for answer in [
            Answer::Error(ImportError::NoText),
            Answer::Extraction(Extraction {
                unread_pages: vec![3],
                ..Extraction::default()
            }),
        ] {
            let json = serde_json::to_vec(&answer).unwrap();
            match (answer, parse(&json).unwrap()) {
                (Answer::Error(sent), Err(found)) => assert_eq!(sent, found),
                (Answer::Extraction(sent), Ok(found)) => assert_eq!(sent, found),
                mixed => panic!("{mixed:?}"),
            }
        }
        assert!(parse(b"").is_err());
    }
}
