//! What stands behind the door. Every door type matches on this enum; a new filling adds a variant here and in the
//! enums of `listener.rs` and `socket.rs`, and the compiler lists the places to think.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::{self, Instant};
use crate::config::Backend;
use crate::metrics::Metrics;
use crate::opened::OsFile;
use crate::remote::Remote;
use crate::{background, epoll, sim, uring};

#[derive(Clone)]
pub(crate) enum Filling {
    Uring(Rc<uring::Driver>),
    Epoll(Rc<epoll::Driver>),
    Sim(Rc<sim::Driver>),
}

impl Filling {
    pub(crate) fn new(backend: Backend, remote: Arc<Remote>, recv_buffer_count: u16) -> io::Result<Filling> {
        Ok(match backend {
            Backend::Uring => Filling::Uring(uring::Driver::new(remote, recv_buffer_count)?),
            Backend::Epoll => Filling::Epoll(epoll::Driver::new(remote)?),
            Backend::Sim => return Err(sim_only("a simulated machine is built by sim::run")),
        })
    }

    pub(crate) fn backend(&self) -> Backend {
        match self {
            Filling::Uring(_) => Backend::Uring,
            Filling::Epoll(_) => Backend::Epoll,
            Filling::Sim(_) => Backend::Sim,
        }
    }

    pub(crate) fn sim(&self) -> Option<&Rc<sim::Driver>> {
        match self {
            Filling::Sim(driver) => Some(driver),
            Filling::Uring(_) | Filling::Epoll(_) => None,
        }
    }

    /// Hands requests to the kernel, and wakes the tasks whose requests are done, without waiting.
    pub(crate) fn turn(&self) -> io::Result<()> {
        match self {
            Filling::Uring(driver) => driver.turn(),
            Filling::Epoll(driver) => driver.turn(),
            Filling::Sim(_) => Ok(()), // its own loop does all there is to do
        }
    }

    /// The same, but waits for a completion, a wake from another thread, or `until`.
    pub(crate) fn sleep(&self, until: Option<Instant>) -> io::Result<()> {
        let timeout = until.map(|until| until.saturating_since(self.now()));
        match self {
            Filling::Uring(driver) => driver.sleep(timeout),
            Filling::Epoll(driver) => driver.sleep(timeout),
            Filling::Sim(_) => Ok(()),
        }
    }

    /// Called last, when all tasks are gone: takes back from the kernel what it still holds.
    pub(crate) fn finish(&self) {
        match self {
            Filling::Uring(driver) => driver.finish(),
            Filling::Epoll(_) => {} // descriptors leave the epoll set as they close
            Filling::Sim(_) => {}
        }
    }

    pub(crate) fn measure(&self, metrics: &mut Metrics) {
        match self {
            Filling::Uring(driver) => driver.measure(metrics),
            Filling::Epoll(driver) => driver.measure(metrics),
            Filling::Sim(_) => {}
        }
    }

    pub(crate) fn now(&self) -> Instant {
        match self {
            Filling::Uring(_) | Filling::Epoll(_) => clock::os_now(),
            Filling::Sim(driver) => driver.now(),
        }
    }

    pub(crate) fn wall_ms(&self) -> i64 {
        match self {
            Filling::Uring(_) | Filling::Epoll(_) => clock::os_wall_ms(),
            Filling::Sim(driver) => driver.wall_ms(),
        }
    }

    pub(crate) fn random_u64(&self) -> u64 {
        match self {
            Filling::Uring(_) | Filling::Epoll(_) => clock::os_random_u64(),
            Filling::Sim(driver) => driver.random_u64(),
        }
    }

    /// Up to `len` bytes; fewer where the file ends.
    pub(crate) async fn read(&self, file: OsFile, offset: u64, len: usize) -> io::Result<Bytes> {
        match self {
            Filling::Uring(driver) => driver.read(file, offset, len).await,
            Filling::Epoll(_) => background(move || crate::file::read_up_to(&file, offset, len)).await,
            Filling::Sim(_) => Err(sim_only(REAL_FILE)),
        }
    }

    pub(crate) async fn sync_data(&self, file: OsFile) -> io::Result<()> {
        match self {
            Filling::Uring(driver) => driver.sync_data(file).await,
            Filling::Epoll(_) => background(move || crate::sys::file::sync_data(&file)).await,
            Filling::Sim(_) => Err(sim_only(REAL_FILE)),
        }
    }

    /// Resolves when a descriptor that is neither file nor socket of ours is readable.
    pub(crate) async fn readable(&self, fd: Rc<OwnedFd>) -> io::Result<()> {
        match self {
            Filling::Uring(driver) => driver.ready(&fd, uring::Direction::Read).await,
            Filling::Epoll(driver) => driver.register(fd)?.ready(epoll::Direction::Read).await,
            Filling::Sim(_) => Err(sim_only("a simulated machine has no descriptors")),
        }
    }
}

pub(crate) const NO_NETWORK: &str = "the simulated machine has no network";
pub(crate) const REAL_FILE: &str = "a file of the real machine on a simulated one";

/// What the simulated machine does not have.
pub(crate) fn sim_only(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, text)
}
