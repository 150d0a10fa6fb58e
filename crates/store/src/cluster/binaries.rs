//! Finding the server's programs on this machine.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ClusterError;
use super::account::Account;

/// The oldest server that the migrations and settings are tested with.
pub(crate) const OLDEST_MAJOR: u32 = 15;

/// A folder with `initdb` and `postgres` of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binaries {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// The major version, for example 18.
    pub(crate) major: u32,
}

/// Where to look for the programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SearchPlan<'a> {
    /// The only folder to use, when the user names one.
    pub(crate) explicit: Option<&'a Path>,
    /// The value of `PATH`.
    pub(crate) path: Option<&'a OsStr>,
    /// Where the program itself keeps programs that it fetched.
    pub(crate) fetched: &'a Path,
    /// Whether the usual folders of distributions are searched too.
    pub(crate) usual_folders: bool,
}

/// Finds programs that `account` can execute, of the major version `pinned` when a data folder already has one.
pub(crate) fn find(
    plan: &SearchPlan<'_>,
    account: &Account,
    pinned: Option<u32>,
) -> Result<Binaries, ClusterError> {
    let mut tried = Vec::new();
    for folder in candidates(plan) {
        if !folder.join("initdb").exists() || !folder.join("postgres").exists() {
            if plan.explicit.is_some() {
                tried.push(format!("{} (has no initdb and postgres)", folder.display()));
            }
            continue;
        }
        let Some(major) = version_of(&folder, account) else {
            tried.push(format!(
                "{} (cannot be executed as {})",
                folder.display(),
                account.name
            ));
            continue;
        };
        if major < OLDEST_MAJOR || pinned.is_some_and(|pinned| pinned != major) {
            tried.push(format!("{} (version {major})", folder.display()));
            continue;
        }
        return Ok(Binaries { folder, major });
    }
    Err(ClusterError::NoBinaries { pinned, tried })
}

/// Runs `postgres --version` as the account: that also finds folders it cannot enter.
fn version_of(folder: &Path, account: &Account) -> Option<u32> {
    let output = account
        .command(&folder.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    major_of(&String::from_utf8_lossy(&output.stdout))
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    number
        .split(|character: char| !character.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn candidates(plan: &SearchPlan<'_>) -> Vec<PathBuf> {
    if let Some(explicit) = plan.explicit {
        return vec![explicit.to_path_buf()];
    }
    let mut found = Vec::new();
    let path_folders: Vec<PathBuf> = plan
        .path
        .map(|path| std::env::split_paths(path).collect())
        .unwrap_or_default();
    for folder in &path_folders {
        // A link such as /usr/local/bin/initdb leads to the folder that has both programs.
        if let Ok(program) = fs::canonicalize(folder.join("initdb")) {
            found.extend(program.parent().map(Path::to_path_buf));
        }
    }
    for folder in &path_folders {
        let program = folder.join("pg_config");
        if program.exists()
            && let Ok(output) = Command::new(program).arg("--bindir").output()
        {
            found.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
            break;
        }
    }
    if plan.usual_folders {
        found.extend(numbered("/usr/lib/postgresql", "", "bin")); // Debian, Ubuntu
        found.extend(numbered("/usr", "pgsql-", "bin")); // packages of postgresql.org for RPM
        found.extend(numbered("/usr/libexec", "postgresql", "")); // Alpine
        found.extend(numbered("/opt/homebrew/opt", "postgresql@", "bin"));
        found.extend(numbered("/usr/local/opt", "postgresql@", "bin"));
        found.extend(numbered(
            "/Applications/Postgres.app/Contents/Versions",
            "",
            "bin",
        ));
    }
    found.push(plan.fetched.to_path_buf());
    let mut seen = std::collections::HashSet::new();
    found.retain(|folder| seen.insert(folder.clone()));
    found
}

/// Folders like `/usr/lib/postgresql/15/bin`, the newest first.
fn numbered(base: &str, prefix: &str, below: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(base)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let digits: String = name
                .strip_prefix(prefix)?
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            Some((digits.parse().ok()?, entry.path().join(below)))
        })
        .collect();
    found.sort_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("postgres"), None);
    }

    #[test]
    fn newer_versions_come_first() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["9.6", "15", "18", "doc"] {
            fs::create_dir(folder.path().join(version)).unwrap();
        }
        let found = numbered(folder.path().to_str().unwrap(), "", "bin");
        let names: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap())
            .collect();
        assert_eq!(
            names,
            [Path::new("18/bin"), Path::new("15/bin"), Path::new("9.6/bin")]
        );
    }
}
