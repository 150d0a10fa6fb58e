//! Other processes: given bytes, read as they write, ended when their time is over.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What is kept of a process's complaints, in bytes.
const MOST_COMPLAINT_BYTES: u64 = 16 << 10;
/// Signals by which processes end: by themselves, by the system, at the end of their time (POSIX `signal.h`; the numbers
/// are those of Linux and macOS).
const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const SIGXCPU: i32 = 24;
/// What Rust's allocator says before it ends a process.
const NO_MEMORY: &str = "memory allocation of";

/// A process to be.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) file: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// All of its environment.
    pub(super) environment: Vec<(&'static str, OsString)>,
}

/// How far a process may go, besides the limits that it sets itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// From its start to its end.
    pub(super) patience: Duration,
    pub(super) most_output_bytes: u64,
}

/// How a process ended that gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    /// It did not begin.
    #[error("the process could not be started")]
    NotStarted(#[source] io::Error),
    /// It used up the processor's time it had.
    #[error("the process used up its time")]
    OutOfTime,
    /// It took too long, though not of the processor's time.
    #[error("the process did not end in time")]
    OutOfPatience,
    /// Whoever ends the service ended it too.
    #[error("the process was ended from outside")]
    Stopped,
    /// It wanted more memory than it may have.
    #[error("the process used up its memory")]
    OutOfMemory,
    /// It wrote more than is read.
    #[error("the process wrote too much")]
    TooMuchOutput,
    /// It ended in any other way.
    #[error("the process failed: {0}")]
    Crashed(String),
}

/// Runs a process: `input` goes to its standard input, its standard output comes back. Dropping the future ends it.
pub(super) async fn run(program: &Program, input: &[u8], bounds: &Bounds) -> Result<Vec<u8>, ChildError> {
    let mut command = Command::new(&program.file);
    command
        .args(&program.arguments)
        .arg0("coursewright")
        .env_clear()
        .envs(program.environment.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C is for the program, which ends its processes in its own time.
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(ChildError::NotStarted)?;
    let ended = timeout(
        bounds.patience,
        converse(&mut child, input, bounds.most_output_bytes),
    )
    .await;
    let Ok(Ok((status, output, complaint))) = ended else {
        // It is waited for too, so that nothing of it stays behind.
        let killed = child.kill().await;
        if let Err(error) = killed {
            tracing::warn!(%error, "a process could not be ended");
        }
        return Err(match ended {
            Ok(Err(error)) => error,
            Ok(Ok(_)) | Err(_) => ChildError::OutOfPatience,
        });
    };
    if status.success() {
        return Ok(output);
    }
    Err(meaning(status, &complaint))
}

async fn converse(
    child: &mut Child,
    input: &[u8],
    most_output_bytes: u64,
) -> Result<(ExitStatus, Vec<u8>, String), ChildError> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let send = async {
        if let Some(mut stdin) = stdin {
            // A process that has enough, or has died, does not read to the end: its status says what became of it.
            let _ = stdin.write_all(input).await;
            let _ = stdin.shutdown().await;
        }
        Ok(())
    };
    let listen = async {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            // What came before it broke is what there is.
            let _ = stdout.take(most_output_bytes + 1).read_to_end(&mut output).await;
        }
        if output.len() as u64 > most_output_bytes {
            return Err(ChildError::TooMuchOutput);
        }
        Ok(output)
    };
    let complain = async {
        let mut complaint = Vec::new();
        if let Some(stderr) = stderr {
            let mut beginning = stderr.take(MOST_COMPLAINT_BYTES);
            let _ = beginning.read_to_end(&mut complaint).await;
            // A pipe that nobody empties would hold the process up.
            let _ = tokio::io::copy(&mut beginning.into_inner(), &mut tokio::io::sink()).await;
        }
        Ok(complaint)
    };
    let wait = async {
        child
            .wait()
            .await
            .map_err(|error| ChildError::Crashed(error.to_string()))
    };
    let ((), output, complaint, status) = tokio::try_join!(send, listen, complain, wait)?;
    Ok((status, output, String::from_utf8_lossy(&complaint).into_owned()))
}

/// What an end without success means.
fn meaning(status: ExitStatus, complaint: &str) -> ChildError {
    let last = complaint.trim().lines().last().unwrap_or_default();
    match status.signal() {
        Some(SIGXCPU) => ChildError::OutOfTime,
        Some(SIGHUP | SIGINT | SIGTERM) => ChildError::Stopped,
        // Nobody here sends it: the system does, when the whole machine is out of memory.
        Some(SIGKILL) => ChildError::OutOfMemory,
        Some(SIGABRT) if complaint.contains(NO_MEMORY) => ChildError::OutOfMemory,
        Some(signal) => ChildError::Crashed(format!("signal {signal}: {last}")),
        None => ChildError::Crashed(format!("{status}: {last}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program {
            file: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("NAME", "value".into())],
        }
    }

    const BOUNDS: Bounds = Bounds {
        patience: Duration::from_mins(1),
        most_output_bytes: 1000,
    };

    #[tokio::test]
    async fn bytes_go_in_and_out_and_the_environment_is_what_was_given() {
        let output = run(&shell("/bin/cat; echo $NAME$HOME"), b"in ", &BOUNDS)
            .await
            .unwrap();
        assert_eq!(String::from_utf8(output).unwrap(), "in value\n");
    }

    #[tokio::test]
    async fn an_input_that_is_not_read_is_no_failure() {
        let input = vec![b'a'; 1 << 20];
        assert_eq!(
            run(&shell("echo enough"), &input, &BOUNDS).await.unwrap(),
            b"enough\n"
        );
    }

    #[tokio::test]
    async fn too_much_output_ends_the_process() {
        let error = run(&shell("while :; do echo more; done"), b"", &BOUNDS)
            .await
            .unwrap_err();
        assert!(matches!(error, ChildError::TooMuchOutput), "{error}");
    }

    #[tokio::test]
    async fn a_process_that_hangs_is_ended() {
        let hurried = Bounds {
            patience: Duration::from_millis(50),
            ..BOUNDS
        };
        let error = run(&shell("while :; do :; done"), b"", &hurried)
            .await
            .unwrap_err();
        assert!(matches!(error, ChildError::OutOfPatience), "{error}");
    }

    #[tokio::test]
    async fn ends_are_told_apart() {
        let ended = async |script: &str| run(&shell(script), b"", &BOUNDS).await.unwrap_err();
        assert!(matches!(ended("kill -XCPU $$").await, ChildError::OutOfTime));
        assert!(matches!(ended("kill -SEGV $$").await, ChildError::Crashed(_)));
        assert!(matches!(ended("kill -TERM $$").await, ChildError::Stopped));
        let no_memory = ended("echo memory allocation of 5 bytes failed >&2; kill -ABRT $$").await;
        assert!(matches!(no_memory, ChildError::OutOfMemory), "{no_memory}");
        let failed = ended("echo because >&2; exit 3").await;
        assert!(
            matches!(&failed, ChildError::Crashed(why) if why.contains("because")),
            "{failed}"
        );
        let absent = Program {
            file: "/nonexistent/program".into(),
            ..shell("")
        };
        let error = run(&absent, b"", &BOUNDS).await.unwrap_err();
        assert!(matches!(error, ChildError::NotStarted(_)), "{error}");
    }
}
