//! The operating-system account that owns the data folder and runs the server.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ClusterError;

/// The account under which `initdb` and `postgres` run. PostgreSQL refuses to run as root.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// The numeric user.
    pub(crate) uid: u32,
    /// The numeric group.
    pub(crate) gid: u32,
    /// The name, as the server sees it at a peer connection.
    pub(crate) name: String,
    /// Whether this process is root and has to become the account for the server's programs.
    pub(crate) switches: bool,
}

impl Account {
    /// Chooses the account. Not root: ourselves. Root: the owner of an existing data folder, else `postgres`, else
    /// the user that called `sudo`, else `nobody`.
    pub(crate) fn choose(data: &Path, sudo_uid: Option<u32>) -> Result<Self, ClusterError> {
        let own = rustix::process::geteuid().as_raw();
        if own != 0 {
            let (uid, gid, name) =
                by_uid(own).unwrap_or_else(|| (own, rustix::process::getegid().as_raw(), own.to_string()));
            return Ok(Self {
                uid,
                gid,
                name,
                switches: false,
            });
        }
        if let Ok(metadata) = fs::metadata(data)
            && metadata.uid() != 0
        {
            let name = by_uid(metadata.uid()).map_or_else(|| metadata.uid().to_string(), |found| found.2);
            return Ok(Self {
                uid: metadata.uid(),
                gid: metadata.gid(),
                name,
                switches: true,
            });
        }
        by_name("postgres")
            .or_else(|| sudo_uid.filter(|uid| *uid != 0).and_then(by_uid))
            .or_else(|| by_name("nobody"))
            .map(|(uid, gid, name)| Self {
                uid,
                gid,
                name,
                switches: true,
            })
            .ok_or(ClusterError::NoAccount)
    }

    /// The name of the user of this process, for the server's peer map.
    pub(crate) fn own_name() -> String {
        let own = rustix::process::geteuid().as_raw();
        by_uid(own).map_or_else(|| own.to_string(), |found| found.2)
    }

    /// A command that runs as the account, in `/`, with an environment that cannot change its behaviour.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if self.switches {
            // The standard library also drops supplementary groups when it leaves root.
            command.uid(self.uid).gid(self.gid);
        }
        command.current_dir("/").env_clear();
        command
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        command
    }

    /// The nearest ancestor of `path` that the account cannot enter, for example a root home with mode 0700.
    pub(crate) fn blocked_by(&self, path: &Path) -> Option<PathBuf> {
        if !self.switches {
            return None;
        }
        path.ancestors().skip(1).find_map(|ancestor| {
            let metadata = fs::metadata(ancestor).ok()?;
            let enter = if metadata.uid() == self.uid {
                0o100
            } else if metadata.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            (metadata.mode() & enter == 0).then(|| ancestor.to_path_buf())
        })
    }

    /// Makes a folder with `mode` that belongs to the account.
    pub(crate) fn create_dir(&self, path: &Path, mode: u32) -> Result<(), ClusterError> {
        fs::create_dir_all(path).map_err(ClusterError::io("create the folder", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(ClusterError::io("set the permissions of", path))?;
        self.own(path)
    }

    /// Writes a file with mode 0600 that belongs to the account.
    pub(crate) fn write_file(&self, path: &Path, text: &str) -> Result<(), ClusterError> {
        fs::write(path, text).map_err(ClusterError::io("write", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(ClusterError::io("set the permissions of", path))?;
        self.own(path)
    }

    fn own(&self, path: &Path) -> Result<(), ClusterError> {
        if self.switches {
            chown(path, Some(self.uid), Some(self.gid)).map_err(ClusterError::io("give away", path))?;
        }
        Ok(())
    }
}

fn by_uid(uid: u32) -> Option<(u32, u32, String)> {
    look_up(|entry, buffer, result| {
        #[expect(unsafe_code, reason = "the standard library cannot look up accounts")]
        // SAFETY: entry, buffer and result outlive the call; the length is the buffer's.
        unsafe {
            libc::getpwuid_r(uid, entry, buffer.as_mut_ptr(), buffer.len(), result)
        }
    })
}

fn by_name(name: &str) -> Option<(u32, u32, String)> {
    let name = CString::new(name).ok()?;
    look_up(|entry, buffer, result| {
        #[expect(unsafe_code, reason = "the standard library cannot look up accounts")]
        // SAFETY: as above, and `name` is a C string that outlives the call.
        unsafe {
            libc::getpwnam_r(name.as_ptr(), entry, buffer.as_mut_ptr(), buffer.len(), result)
        }
    })
}

/// Runs one of the reentrant look-ups and copies what it found.
fn look_up(
    call: impl FnOnce(*mut libc::passwd, &mut [libc::c_char], *mut *mut libc::passwd) -> i32,
) -> Option<(u32, u32, String)> {
    let mut entry = std::mem::MaybeUninit::<libc::passwd>::uninit();
    let mut buffer = vec![0; 16 * 1024];
    let mut result = std::ptr::null_mut();
    let status = call(entry.as_mut_ptr(), &mut buffer, &raw mut result);
    if status != 0 || result.is_null() {
        return None;
    }
    #[expect(unsafe_code, reason = "reads what the look-up wrote")]
    // SAFETY: a zero status and a result that is not null mean that `entry` is filled in; its strings lie in `buffer`.
    let (uid, gid, name) = unsafe {
        let entry = entry.assume_init();
        (
            entry.pw_uid,
            entry.pw_gid,
            CStr::from_ptr(entry.pw_name).to_string_lossy().into_owned(),
        )
    };
    Some((uid, gid, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_in_the_account_database() {
        assert_eq!(by_uid(0), Some((0, 0, "root".to_owned())));
        assert_eq!(by_name("root").map(|found| found.0), Some(0));
        assert_eq!(by_name("no-such-account-here"), None);
    }

    #[test]
    fn a_private_home_blocks_another_account() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("private/data");
        fs::create_dir_all(&inner).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(folder.path().join("private"), fs::Permissions::from_mode(0o700)).unwrap();
        let other = Account {
            uid: 64_001,
            gid: 64_001,
            name: "other".to_owned(),
            switches: true,
        };
        assert_eq!(other.blocked_by(&inner), Some(folder.path().join("private")));
        fs::set_permissions(folder.path().join("private"), fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(other.blocked_by(&inner), None);
    }
}
