//! The broker's sockets, borrowed from the kernel.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{Shutdown, SocketFlags, accept_with, getpeername, getsockname, shutdown, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getppid, pidfd_getfd, pidfd_open};

/// The process that started this one.
pub struct Broker {
    pid: Pid,
    process: OwnedFd,
    /// Where clients connect.
    addresses: Vec<SocketAddr>,
}

/// What was found and done.
pub struct CutOff {
    pub connections: usize,
    /// The broker's listeners, to refuse those who come now.
    pub listeners: Vec<OwnedFd>,
}

enum Socket {
    Listener(OwnedFd),
    Connection(OwnedFd),
}

impl Broker {
    pub fn parent(addresses: Vec<SocketAddr>) -> io::Result<Broker> {
        let pid = getppid().ok_or_else(|| io::Error::other("no parent process"))?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Broker {
            pid,
            process,
            addresses,
        })
    }

    /// Whether the kernel lets this process have the broker's descriptors; asked before they are needed.
    pub fn check_access(&self) -> io::Result<()> {
        self.descriptors()?;
        match pidfd_getfd(&self.process, 0, PidfdGetfdFlags::empty()) {
            Ok(_) | Err(rustix::io::Errno::BADF) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Closes the connections of clients. Nothing is kept of them, so that what the broker closes later is closed.
    pub fn cut_off(&self) -> io::Result<CutOff> {
        let mut done = CutOff {
            connections: 0,
            listeners: Vec::new(),
        };
        for descriptor in self.descriptors()? {
            match self.clients_socket(descriptor) {
                Some(Socket::Listener(listener)) => done.listeners.push(listener),
                Some(Socket::Connection(connection)) => {
                    done.connections += usize::from(shutdown(&connection, Shutdown::Both).is_ok());
                }
                None => {}
            }
        }
        Ok(done)
    }

    /// Numbers of the broker's sockets.
    fn descriptors(&self) -> io::Result<Vec<i32>> {
        let dir = format!("/proc/{}/fd", self.pid.as_raw_nonzero());
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let is_socket = fs::read_link(entry.path())
                .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
            let number = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok());
            found.extend(number.filter(|_| is_socket));
        }
        Ok(found)
    }

    /// `None`: closed meanwhile, or nothing that clients have to do with.
    fn clients_socket(&self, descriptor: i32) -> Option<Socket> {
        let socket = pidfd_getfd(&self.process, descriptor, PidfdGetfdFlags::empty()).ok()?;
        let local = SocketAddr::try_from(getsockname(&socket).ok()?).ok()?;
        if !self.addresses.iter().any(|address| is_of(*address, local)) {
            return None;
        }
        if sockopt::socket_acceptconn(&socket).ok()? {
            return Some(Socket::Listener(socket));
        }
        getpeername(&socket).ok()?;
        Some(Socket::Connection(socket))
    }
}

/// Whether a socket at `local` is the listener at `address`, or a connection that was taken there. Not by the port alone: the control
/// listener may have the same one on another interface, and what it says to others must not depend on clients.
fn is_of(address: SocketAddr, local: SocketAddr) -> bool {
    let (ip, local_ip) = (address.ip().to_canonical(), local.ip().to_canonical());
    address.port() == local.port() && (ip.is_unspecified() || ip == local_ip)
}

/// Takes a connection that waits at a listener, and resets it. One at a time: the broker may run again any moment.
pub fn refuse(listener: BorrowedFd<'_>) {
    if let Ok(connection) = accept_with(listener, SocketFlags::CLOEXEC) {
        // why the result does not matter: without it the client sees an orderly end, which serves as well
        let _reset = sockopt::set_socket_linger(&connection, Some(Duration::ZERO));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_another_interface_are_left_alone() {
        // The control listener may have the port of the clients' one: its refusals would tell the controller that this process is dead.
        let is_of = |address: &str, local: &str| {
            is_of(address.parse().expect("address"), local.parse().expect("address"))
        };
        assert!(is_of("10.0.0.1:9092", "10.0.0.1:9092"));
        assert!(!is_of("10.0.0.1:9092", "10.0.0.2:9092"));
        assert!(!is_of("10.0.0.1:9092", "10.0.0.1:9093"));
        assert!(is_of("0.0.0.0:9092", "10.0.0.1:9092"));
        assert!(
            is_of("[::]:9092", "[::ffff:10.0.0.1]:9092"),
            "taken by both stacks' listener"
        );
        assert!(!is_of("[::1]:9092", "[::2]:9092"));
    }
}
