//! Limits that a process sets itself. They hold for whatever it becomes, and cannot be lifted again.

use std::ffi::OsString;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the program itself takes of its memory before it has read anything, in bytes: measured 20 to 40 MiB.
const OWN_BYTES: u64 = 48 << 20;

/// How much a process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// Memory, in bytes.
    pub(crate) memory_bytes: u64,
    /// Time of the processor, over all threads.
    pub(crate) processor_seconds: u64,
}

impl Confinement {
    /// The flags that say so on the command line.
    pub(super) fn arguments(&self) -> [OsString; 4] {
        [
            "--memory-bytes".into(),
            self.memory_bytes.to_string().into(),
            "--processor-seconds".into(),
            self.processor_seconds.to_string().into(),
        ]
    }
}

/// Confines this process: memory and time, no files written, no core dumps.
///
/// Memory is counted as address space (`setrlimit(2)`), the only limit that every kernel keeps. The program's own file
/// is mapped whole, however little of it is used: what is mapped already is not counted.
///
/// # Errors
/// [`io::Error`] if the system refuses.
pub(crate) fn confine(limits: &Confinement) -> io::Result<()> {
    let room = limits.memory_bytes.saturating_sub(OWN_BYTES);
    lower(Resource::As, mapped_bytes().saturating_add(room), 0)?;
    // The first limit ends the process with a signal of its own, by which it is told apart from other ends.
    lower(Resource::Cpu, limits.processor_seconds, 1)?;
    lower(Resource::Core, 0, 0)?;
    lower(Resource::Fsize, 0, 0)
}

/// Sets a limit, unless there is a lower one already; the last limit is so much further.
fn lower(resource: Resource, most: u64, further: u64) -> io::Result<()> {
    let present = getrlimit(resource);
    let lower = |most: u64| Some(present.maximum.map_or(most, |present| present.min(most)));
    let limit = Rlimit {
        current: lower(most),
        maximum: lower(most + further),
    };
    Ok(setrlimit(resource, limit)?)
}

/// Address space of this process, in bytes; 0 where the system does not say.
fn mapped_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_space_is_known_on_linux() {
        assert!(mapped_bytes() > 1 << 20);
    }
}
