//! Other processes of this program: what is measured shares neither memory nor processor time with what measures.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::failure::{Exit, Failure};

/// How long a process may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// What would give a process other models than the measured ones, or another database.
const FOREIGN: [&str; 4] = [
    "DATABASE_URL",
    "OPENROUTER_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
];

/// A process that runs; killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Takes in what it says: a process to which nobody listens might not go on.
    _listening: JoinSet<()>,
}

impl Process {
    /// `serve` on the data folder, with these further arguments. Returns when it listens.
    pub(super) async fn serve(data_dir: &Path, arguments: &[&str]) -> Result<Self, Failure> {
        let mut command = program()?;
        command
            .args(["serve", "--bind", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let (_, listening) = heard(child.stderr.take(), |line| line.contains("listens on")).await?;
        Ok(Self {
            child,
            _listening: listening,
        })
    }

    /// A scripted provider that takes so long for an answer. Returns it with its base URL.
    pub(super) async fn provider(latency: Duration) -> Result<(Self, String), Failure> {
        let mut command = program()?;
        command
            .args(["scripted-server", "--latency-ms"])
            .arg(latency.as_millis().to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let (base_url, listening) = heard(child.stdout.take(), |line| line.starts_with("http://")).await?;
        let process = Self {
            child,
            _listening: listening,
        };
        Ok((process, base_url.trim().to_owned()))
    }

    /// A figure of its memory, such as `VmRSS` or `VmHWM`, in megabytes; 0 where the system does not tell it.
    pub(super) fn memory_mb(&self, figure: &str) -> f64 {
        self.child.id().map_or(0.0, |id| resident_mb(id, figure))
    }

    /// Processor time of all its threads so far, in seconds; 0 where the system does not tell it.
    pub(super) fn processor_secs(&self) -> f64 {
        let stat = self
            .child
            .id()
            .and_then(|id| std::fs::read_to_string(format!("/proc/{id}/stat")).ok());
        // After the name: utime is the 12th field, stime the 13th.
        let ticks = stat
            .as_deref()
            .and_then(|stat| stat.rsplit_once(')'))
            .map(|(_, rest)| {
                let fields = rest.split_whitespace().skip(11).take(2);
                fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>()
            });
        ticks.unwrap_or_default() / TICKS_A_SECOND
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(mut self) {
        if let Some(id) = self.child.id() {
            // One that has ended by itself needs no signal.
            let _ = Command::new("kill").arg(id.to_string()).status().await;
        }
        let _ = timeout(PATIENCE, self.child.wait()).await;
    }
}

/// In which `/proc` counts processor time: `USER_HZ`, 100 on every Linux.
const TICKS_A_SECOND: f64 = 100.0;

fn program() -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe().map_err(|error| failed(&error))?);
    command.kill_on_drop(true);
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    Ok(command)
}

/// Waits for the first line of this kind, and goes on listening.
async fn heard<R>(said: Option<R>, is_it: fn(&str) -> bool) -> Result<(String, JoinSet<()>), Failure>
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let nothing = || Failure::new(Exit::Failure, "a process for the measurement did not start");
    let mut lines = BufReader::new(said.ok_or_else(nothing)?).lines();
    let line = timeout(PATIENCE, first(&mut lines, is_it)).await.ok().flatten();
    let mut listening = JoinSet::new();
    listening.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((line.ok_or_else(nothing)?, listening))
}

async fn first<R: AsyncBufRead + Unpin>(lines: &mut Lines<R>, is_it: fn(&str) -> bool) -> Option<String> {
    while let Ok(Some(line)) = lines.next_line().await {
        if is_it(&line) {
            return Some(line);
        }
    }
    None
}

fn failed(error: &std::io::Error) -> Failure {
    Failure::of(domain::error::ErrorKind::Internal, &error)
}

/// A figure of a process's memory, in megabytes; 0 where the system does not tell it.
fn resident_mb(process: u32, figure: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| {
        line.strip_prefix(figure)?
            .strip_prefix(':')?
            .trim()
            .split(' ')
            .next()?
            .parse::<f64>()
            .ok()
    });
    kilobytes.unwrap_or_default() / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_this_process_is_told() {
        assert!(resident_mb(std::process::id(), "VmRSS") > 1.0);
    }
}
