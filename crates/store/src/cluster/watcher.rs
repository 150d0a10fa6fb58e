//! Locks that tell who uses the cluster, and the small process that stops the server when nobody does.
//!
//! Every program that uses the cluster holds `users.lock` shared for as long as it runs; the kernel drops the lock
//! however the program ends. The watcher waits for the lock exclusively: when it gets it, nobody is left.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ClusterError;
use rustix::fs::FlockOperation;

/// How long the server may take to stop before it is told to drop everything. It recovers at the next start.
const STOP_PATIENCE_MS: i32 = 30_000;

/// A lock on a file, shared by all descriptors that were inherited from this one.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    /// Opens the file, which is made when missing, without locking it.
    pub(crate) fn open(path: PathBuf) -> Result<Self, ClusterError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(ClusterError::io("open", &path))?;
        Ok(Self { file, path })
    }

    /// Locks it for this holder alone; false if somebody else has it.
    pub(crate) fn try_exclusive(&self) -> Result<bool, ClusterError> {
        self.apply(FlockOperation::NonBlockingLockExclusive)
    }

    /// Locks it together with others; false if somebody has it alone.
    pub(crate) fn try_shared(&self) -> Result<bool, ClusterError> {
        self.apply(FlockOperation::NonBlockingLockShared)
    }

    /// Lets it go.
    pub(crate) fn unlock(&self) -> Result<(), ClusterError> {
        self.apply(FlockOperation::Unlock).map(|_| ())
    }

    /// The file, to note who holds the lock.
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    fn apply(&self, operation: FlockOperation) -> Result<bool, ClusterError> {
        match rustix::fs::flock(&self.file, operation) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(ClusterError::io("lock", &self.path)(error.into())),
        }
    }
}

/// Starts the watcher of the server `server`. `users` is the path of `users.lock`; `alive` is a lock that the
/// watcher holds for as long as it lives. After the last user the server stays for `linger`.
pub(crate) fn spawn(
    users: &Path,
    alive: &FileLock,
    server: i32,
    linger: Duration,
) -> Result<(), ClusterError> {
    let failed = ClusterError::io("start the watcher of", users);
    // An own description of the file: a lock taken through it is the watcher's, not this program's.
    let users = OpenOptions::new()
        .read(true)
        .write(true)
        .open(users)
        .map_err(ClusterError::io("open", users))?;
    let handle = process_handle(server);
    let watch = Watch {
        users: users.as_raw_fd(),
        alive: alive.file().as_raw_fd(),
        handle: handle.as_ref().map_or(-1, |handle: &OwnedFd| handle.as_raw_fd()),
        server,
        linger_us: u32::try_from(linger.as_micros()).unwrap_or(u32::MAX),
    };
    #[expect(
        unsafe_code,
        reason = "a process that survives kill -9 of this one needs fork"
    )]
    // SAFETY: between fork and _exit the child makes system calls only: it neither allocates nor takes locks, so the
    // state in which other threads left memory does not matter.
    let result = unsafe {
        match libc::fork() {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                libc::setsid();
                // The second fork leaves no zombie behind for this program to collect.
                if libc::fork() == 0 {
                    watch.run();
                }
                libc::_exit(0)
            }
            child => {
                let mut status = 0;
                while libc::waitpid(child, &raw mut status, 0) == -1
                    && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
                {}
                Ok(())
            }
        }
    };
    result.map_err(failed)
}

/// A handle that stays on this very process when its number is given to another one; absent on systems without
/// such handles, where the number has to do.
#[cfg(target_os = "linux")]
fn process_handle(process: i32) -> Option<OwnedFd> {
    let process = rustix::process::Pid::from_raw(process)?;
    rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn process_handle(_process: i32) -> Option<OwnedFd> {
    None
}

/// What the watcher needs; numbers only, so that it can run after fork.
#[derive(Clone, Copy)]
struct Watch {
    users: RawFd,
    alive: RawFd,
    handle: RawFd,
    server: i32,
    linger_us: u32,
}

#[expect(unsafe_code, reason = "runs between fork and _exit: plain system calls only")]
impl Watch {
    /// Waits for the last user to go and stops the server. Does not return.
    ///
    /// # Safety
    /// Must run in a forked child that does nothing else.
    unsafe fn run(self) -> ! {
        // SAFETY: the calls take numbers and pointers to locals only.
        unsafe {
            // Signals meant for the program must neither end the watcher nor run the program's handlers.
            for signal in [
                libc::SIGINT,
                libc::SIGHUP,
                libc::SIGQUIT,
                libc::SIGPIPE,
                libc::SIGUSR1,
            ] {
                libc::signal(signal, libc::SIG_IGN);
            }
            libc::signal(libc::SIGTERM, libc::SIG_DFL);
            // Open files of the program would keep its pipes and, worse, its own lock alive.
            let limit = libc::sysconf(libc::_SC_OPEN_MAX).clamp(256, 65_536);
            for descriptor in 0..i32::try_from(limit).unwrap_or(256) {
                if ![self.users, self.alive, self.handle].contains(&descriptor) {
                    libc::close(descriptor);
                }
            }
            #[cfg(target_os = "linux")]
            libc::prctl(libc::PR_SET_NAME, c"cw-pg-watcher".as_ptr());
            loop {
                while libc::flock(self.users, libc::LOCK_EX) != 0 {}
                if self.linger_us == 0 {
                    break;
                }
                libc::flock(self.users, libc::LOCK_UN);
                self.pause(i32::try_from(self.linger_us / 1000).unwrap_or(i32::MAX));
                if libc::flock(self.users, libc::LOCK_EX | libc::LOCK_NB) == 0 {
                    break;
                }
            }
            // Whoever wants to use the cluster now waits for the lock, and finds the server stopped.
            self.signal(libc::SIGINT);
            if !self.wait_for_end() {
                self.signal(libc::SIGQUIT);
                self.wait_for_end();
            }
            libc::_exit(0)
        }
    }

    /// Sleeps; ends at once when the server ends.
    unsafe fn pause(self, millis: i32) {
        // SAFETY: as in `run`.
        unsafe {
            let mut poll = libc::pollfd {
                fd: self.handle,
                events: libc::POLLIN,
                revents: 0,
            };
            libc::poll(&raw mut poll, 1, millis);
        }
    }

    unsafe fn signal(self, signal: i32) {
        // SAFETY: as in `run`.
        unsafe {
            #[cfg(target_os = "linux")]
            if self.handle >= 0 {
                libc::syscall(
                    libc::SYS_pidfd_send_signal,
                    self.handle,
                    signal,
                    std::ptr::null::<libc::siginfo_t>(),
                    0,
                );
                return;
            }
            libc::kill(self.server, signal);
        }
    }

    unsafe fn wait_for_end(self) -> bool {
        // SAFETY: as in `run`.
        unsafe {
            if self.handle >= 0 {
                let mut poll = libc::pollfd {
                    fd: self.handle,
                    events: libc::POLLIN,
                    revents: 0,
                };
                return libc::poll(&raw mut poll, 1, STOP_PATIENCE_MS) > 0;
            }
            for _ in 0..STOP_PATIENCE_MS / 10 {
                if libc::kill(self.server, 0) != 0 {
                    return true;
                }
                libc::poll(std::ptr::null_mut(), 0, 10);
            }
            false
        }
    }
}
