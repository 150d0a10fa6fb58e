//! Telling the service manager (systemd) how far the process is: the protocol of `sd_notify(3)`.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::Config;

/// Requests are answered, jobs are worked on.
pub(crate) const READY: &str = "READY=1";
/// The process is about to end.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Tells it, where a service manager listens.
pub(crate) fn notify(config: &Config, state: &str) {
    let Some(socket) = &config.notify_socket else {
        return;
    };
    if let Err(error) = send(socket, state) {
        tracing::warn!(%error, state, "the service manager could not be told");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_arrives_at_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), READY).unwrap();
        let mut heard = [0; 32];
        let length = socket.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], READY.as_bytes());
    }
}
