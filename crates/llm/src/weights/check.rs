//! Telling good files from bad ones.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::{FileFormat, ModelFile, WeightsError};

/// Versions of GGUF that the runtime reads.
const GGUF_VERSIONS: std::ops::RangeInclusive<u32> = 1..=3;

/// Checks that `path` can be read and begins like a GGUF file with at least one tensor.
///
/// # Errors
/// [`WeightsError::Unreadable`] or [`WeightsError::NotAModel`].
pub fn verify_gguf_header(path: &Path) -> Result<(), WeightsError> {
    let header: [u8; 16] = read_start(path)?;
    let [a, b, c, d, version @ .., _, _, _, _, _, _, _, _] = header;
    if [a, b, c, d] != *b"GGUF" {
        return Err(not_a_model(path, "it does not begin with 'GGUF'"));
    }
    let version = u32::from_le_bytes(version);
    if !GGUF_VERSIONS.contains(&version) {
        return Err(not_a_model(path, &format!("GGUF version {version} is not known")));
    }
    if header[8..16].iter().all(|byte| *byte == 0) {
        return Err(not_a_model(path, "it holds no tensors"));
    }
    Ok(())
}

/// Checks that `path` can be read and begins like the container of the embedding model.
///
/// # Errors
/// [`WeightsError::Unreadable`] or [`WeightsError::NotAModel`].
pub fn verify_e5_header(path: &Path) -> Result<(), WeightsError> {
    let header: [u8; 4] = read_start(path)?;
    if header == *b"E5S1" {
        Ok(())
    } else {
        Err(not_a_model(path, "it does not begin with 'E5S1'"))
    }
}

pub(super) fn verify_header(path: &Path, format: FileFormat) -> Result<(), WeightsError> {
    match format {
        FileFormat::Gguf => verify_gguf_header(path),
        FileFormat::E5 => verify_e5_header(path),
    }
}

fn read_start<const N: usize>(path: &Path) -> Result<[u8; N], WeightsError> {
    let mut header = [0; N];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Ok(()) => Ok(header),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(not_a_model(path, "it is too short")),
        Err(cause) => Err(WeightsError::Unreadable {
            path: path.to_owned(),
            cause,
        }),
    }
}

fn not_a_model(path: &Path, reason: &str) -> WeightsError {
    WeightsError::NotAModel {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Reads all of `path` and compares its checksum with that of `file`; a wrong one is removed.
///
/// # Errors
/// [`WeightsError::WrongChecksum`] or [`WeightsError::Unreadable`].
pub fn verify_checksum(path: &Path, file: &ModelFile) -> Result<(), WeightsError> {
    let unreadable = |cause| WeightsError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let mut input = File::open(path).map_err(unreadable)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = input.read(&mut buffer).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
    }
    let got = hex::encode(hash.finalize());
    if got.eq_ignore_ascii_case(&file.sha256) {
        return Ok(());
    }
    std::fs::remove_file(path).map_err(unreadable)?;
    Err(WeightsError::WrongChecksum {
        name: file.name.clone(),
        expected: file.sha256.clone(),
        got,
    })
}

/// The note beside a file that its checksum was right when it had this size and age.
fn note_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".verified");
    PathBuf::from(name)
}

fn note(path: &Path, file: &ModelFile) -> std::io::Result<String> {
    let data = path.metadata()?;
    let age = data
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    Ok(format!("{} {age} {}\n", data.len(), file.sha256))
}

pub(super) fn remember_good(path: &Path, file: &ModelFile) -> std::io::Result<()> {
    std::fs::write(note_path(path), note(path, file)?)
}

/// Whether `path` was checked before and has not changed since.
pub(super) fn is_known_good(path: &Path, file: &ModelFile) -> bool {
    let (noted, now) = (std::fs::read_to_string(note_path(path)), note(path, file));
    matches!((noted, now), (Ok(noted), Ok(now)) if noted == now)
}

/// Bytes that a normal user may still write on the disk of `folder`.
pub(super) fn free_space(folder: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
