//! The API as clients meet it that nobody of ours wrote: the published tRPC client, the TypeScript compiler, schemathesis.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use domain::language::Language;

use crate::desk::Desk;
use crate::provider::Provider;
use crate::serve::Serving;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/typescript")
}

/// The output of a program that had to succeed.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    assert!(status.success(), "{command:?}: {said}");
    said
}

/// The client's package with what it depends on, in the build's folder. `None` where there is no npm: then the test
/// says so.
fn package() -> Option<PathBuf> {
    if Command::new("npm").arg("--version").output().is_err() {
        eprintln!("SKIPPED: npm is not installed");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients-typescript");
    for part in ["src", "test", "example"] {
        fs::create_dir_all(folder.join(part)).unwrap();
        for entry in fs::read_dir(sources().join(part)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.join(part).join(entry.file_name())).unwrap();
        }
    }
    for file in [
        "package.json",
        "package-lock.json",
        "tsconfig.json",
        "tsconfig.test.json",
    ] {
        fs::copy(sources().join(file), folder.join(file)).unwrap();
    }
    let mut install = Command::new("npm");
    succeed(
        install
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&folder),
    );
    Some(folder)
}

#[test]
fn declarations_are_those_of_the_service() {
    let ran = Desk::new().run(&["api", "typescript"]).expect(0, &["AppRouter"]);
    let kept = fs::read_to_string(sources().join("src/api.ts")).unwrap();
    assert!(
        ran.stdout == kept,
        "regenerate: coursewright api typescript > clients/typescript/src/api.ts"
    );
}

/// `test/wrong.ts` names what is not there; the compiler must refuse every line of it.
#[test]
fn published_client_drives_the_service_and_types_hold() {
    let Some(folder) = package() else { return };
    let mut compile = Command::new("npm");
    succeed(compile.args(["test"]).current_dir(&folder));

    let (desk, provider) = (Desk::new(), Provider::good(Language::English));
    let serving = Serving::start(&desk, &provider, |_| {});
    desk.run(&["user", "create", "ann@example.org"]).expect(0, &[]);
    let token = desk.run(&["token", "create", "ann@example.org"]).expect(0, &[]);
    let url = format!("http://{}", serving.address);
    let mut drive = Command::new("node");
    drive.args(["test/drive.mjs", &url, token.stdout.trim()]);
    let said = succeed(drive.current_dir(&folder));
    assert!(said.contains("drove"), "{said}");
}
