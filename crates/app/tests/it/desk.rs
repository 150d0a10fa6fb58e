//! A user's machine: a home folder of its own and nothing else from this one's environment.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::provider::Provider;

/// A temporary home.
pub(crate) struct Desk {
    home: tempfile::TempDir,
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        // A server that runs as another user (when this is root) has to pass through.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).unwrap();
        Self { home }
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.path().join("out")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join(".local/share/coursewright")
    }

    /// The program with these arguments, in this home.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("coursewright"));
        command.env_clear().current_dir(self.path()).args(arguments);
        command.env("HOME", self.path()).env("LANG", "en_US.UTF-8");
        // What happens to run on this machine is not found.
        command.env("COURSEWRIGHT_LOCAL_PORTS", "none");
        if let Some(path) = option_env!("PATH") {
            command.env("PATH", path);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The same, with a scripted provider as the only one, which also compares texts.
    pub(crate) fn command_with(&self, provider: &Provider, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command
            .env("OPENAI_BASE_URL", provider.base_url())
            .env("COURSEWRIGHT_MODEL", "scripted")
            .env("COURSEWRIGHT_EMBEDDINGS__BASE_URL", provider.base_url())
            .env("COURSEWRIGHT_EMBEDDINGS__MODEL", "scripted-words")
            .env("COURSEWRIGHT_EMBEDDINGS__DIMENSIONS", "256");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    pub(crate) fn run_with(&self, provider: &Provider, arguments: &[&str]) -> Ran {
        Ran::of(self.command_with(provider, arguments).output().unwrap())
    }

    /// Starts the program and does not wait for it.
    pub(crate) fn spawn_with(&self, provider: &Provider, arguments: &[&str]) -> Child {
        let mut command = self.command_with(provider, arguments);
        // Nobody reads along: a full pipe would stop the program.
        command
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.path().join("stderr")).unwrap());
        command.spawn().unwrap()
    }

    /// What a program started with [`Desk::spawn_with`] said on standard error.
    pub(crate) fn spawned_stderr(&self) -> String {
        fs::read_to_string(self.path().join("stderr")).unwrap_or_default()
    }

    /// The one file with this extension in the folder of results.
    pub(crate) fn result(&self, extension: &str) -> String {
        let found: Vec<_> = fs::read_dir(self.out())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .collect();
        assert_eq!(found.len(), 1, "one .{extension} file, not {found:?}");
        fs::read_to_string(&found[0]).unwrap()
    }
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32, parts: &[&str]) -> Self {
        let said = format!("--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        assert_eq!(self.code, Some(code), "{said}");
        for part in parts {
            assert!(
                self.stdout.contains(part) || self.stderr.contains(part),
                "'{part}' is not in\n{said}"
            );
        }
        self
    }
}
