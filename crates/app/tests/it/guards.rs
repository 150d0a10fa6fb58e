//! Rules of the architecture that the compiler does not hold.

use std::fs;
use std::path::{Path, PathBuf};

/// A file may have so many lines.
const MAX_LINES: usize = 600;
/// Files that have more. This list may only shrink.
const LONG_FILES: [&str; 0] = [];
/// Parts of the paths of code that only tests run.
const TEST_CODE: [&str; 3] = ["/tests/", "tests.rs", "testkit.rs"];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Every Rust file of the workspace, with its path from `crates/`.
fn sources() -> Vec<(String, String)> {
    let root = crates();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // What a build beside the sources left there is nobody's source.
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 50, "the sources are where this test looks");
    found
}

#[track_caller]
fn check_only_in(word: &str, allowed: &[&str]) {
    let offenders: Vec<_> = sources()
        .into_iter()
        .filter(|(name, _)| {
            !allowed.iter().any(|prefix| name.starts_with(prefix)) && !name.ends_with("it/guards.rs")
        })
        .filter(|(_, text)| text.contains(word))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(offenders, Vec::<String>::new(), "'{word}' belongs to {allowed:?}");
}

#[test]
fn sql_is_only_in_store() {
    check_only_in("sqlx::", &["store/"]);
    for entry in fs::read_dir(crates()).unwrap() {
        let folder = entry.unwrap().path();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert_eq!(
            manifest.contains("\nsqlx"),
            folder.ends_with("store"),
            "{}",
            folder.display()
        );
    }
}

#[test]
fn environment_is_only_read_by_the_configuration() {
    let readers: Vec<_> = sources()
        .into_iter()
        .filter(|(name, _)| !TEST_CODE.iter().any(|part| name.contains(part)))
        .filter(|(_, text)| {
            ["env::var(", "env::vars(", "env::var_os(", "env::vars_os("]
                .iter()
                .any(|word| text.contains(word))
        })
        .map(|(name, _)| name)
        .collect();
    assert_eq!(readers, ["app/src/config/environment.rs"]);
}

#[test]
fn http_is_only_in_llm_and_the_command_line_asks_it() {
    // Webhooks go to strangers' addresses, with a client that looks where it connects to.
    check_only_in(
        "reqwest::",
        &["llm/", "app/src/auth/jwks.rs", "app/src/webhook/sender.rs"],
    );
}

#[test]
fn domain_is_pure() {
    let manifest = fs::read_to_string(crates().join("domain/Cargo.toml")).unwrap();
    for impure in ["tokio", "reqwest", "sqlx", "async-trait"] {
        assert!(!manifest.contains(impure), "{impure}");
    }
}

#[test]
fn files_stay_short() {
    let mut long: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > MAX_LINES)
        .map(|(name, _)| name)
        .collect();
    long.sort();
    assert_eq!(
        long, LONG_FILES,
        "split what is new here, and strike out what has become short"
    );
}
