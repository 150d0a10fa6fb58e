//! Whether the server can be reached: asked when no connection comes, so that nobody waits in vain.
//!
//! The pool takes a server that refuses connections for one that is about to start and waits as long as for a busy one.
//! Waiting is right while others use the connections; where nobody is let in, callers are better told so soon.

use std::io;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Error};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// How long a connection may take to come before it is asked why. With the four tries of a transaction, a restart of the
/// server of some seconds is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer holds for all who wait.
const KEPT: Duration = Duration::from_millis(500);
/// A server that takes longer to let somebody in does not answer.
const LONGEST_GREETING: Duration = Duration::from_secs(3);

/// Asks for all transactions of a store: one at a time, whoever waits.
#[derive(Debug)]
pub(crate) struct Reach {
    options: PgConnectOptions,
    last: Mutex<Option<Asked>>,
}

/// What came of a look: why nobody is let in, if nobody is.
#[derive(Clone, Debug)]
struct Asked {
    at: Instant,
    problem: Option<String>,
}

impl Reach {
    /// Asks for connections with these options.
    pub(crate) fn new(options: PgConnectOptions) -> Self {
        Self {
            options,
            last: Mutex::default(),
        }
    }

    /// Ends once the server is found to let nobody in; never as long as it does.
    pub(crate) async fn is_lost(&self) -> Error {
        loop {
            sleep(PATIENCE).await;
            // Connecting needs kilobytes, which every transaction would carry about.
            if let Some(problem) = Box::pin(self.problem()).await {
                return Error::Io(io::Error::new(io::ErrorKind::NotConnected, problem));
            }
        }
    }

    async fn problem(&self) -> Option<String> {
        let mut last = self.last.lock().await;
        if let Some(asked) = &*last
            && asked.at.elapsed() < KEPT
        {
            return asked.problem.clone();
        }
        let problem = self.ask().await;
        *last = Some(Asked {
            at: Instant::now(),
            problem: problem.clone(),
        });
        problem
    }

    async fn ask(&self) -> Option<String> {
        match timeout(LONGEST_GREETING, PgConnection::connect_with(&self.options)).await {
            Ok(Ok(connection)) => {
                // It was let in, which is all that was to be known.
                let _ = connection.close().await;
                None
            }
            Ok(Err(Error::Io(error))) => Some(error.to_string()),
            // 57P01 to 57P03: the server is going or coming. Any other refusal is an answer, which the pool gives too.
            Ok(Err(Error::Database(refusal)))
                if refusal
                    .code()
                    .is_some_and(|code| matches!(code.as_ref(), "57P01" | "57P02" | "57P03")) =>
            {
                Some(refusal.message().to_owned())
            }
            Ok(Err(_)) => None,
            Err(_) => Some("it does not answer".to_owned()),
        }
    }
}
