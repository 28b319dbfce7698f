//! How a reactor is to be built.

use std::fmt;

/// Which filling to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// io_uring if this kernel and its policies allow it, else epoll.
    #[default]
    Auto,
    Uring,
    Epoll,
}

/// Which filling is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Uring,
    Epoll,
    /// See [`crate::sim`].
    Sim,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Uring => "io_uring",
            Backend::Epoll => "epoll",
            Backend::Sim => "simulation",
        })
    }
}

#[derive(Clone, Debug)]
pub struct Config {
    pub backend: BackendChoice,
    /// CPU to pin the reactor's thread to. If the machine refuses, the thread runs unpinned and a warning says so.
    pub core: Option<usize>,
    /// Of the thread (the kernel keeps 15 bytes) and in logs.
    pub name: String,
    /// Ring filling: how many 16 KiB buffers wait for received bytes, shared by all sockets of the reactor;
    /// rounded up to a power of two, at most 32,768. Fewer: receives wait for buffers under bursts. More: memory.
    pub recv_buffer_count: u16,
    /// Bytes that reads of what the page cache lacks may hold at a time, all sockets and files of the reactor together.
    /// Fewer: readers of old data wait for each other. More: memory.
    pub cold_read_bytes: usize,
}

impl Default for Config {
    fn default() -> Config {
        // 512 x 16 KiB = 8 MiB: the measured configuration of the design
        Config {
            backend: BackendChoice::Auto,
            core: None,
            name: "reactor".to_owned(),
            recv_buffer_count: 512,
            cold_read_bytes: 16 * 1024 * 1024, // 16 readers with one read ahead each
        }
    }
}

/// The CPUs that this process may run on: all of the machine's, or what taskset, a cgroup or a container leaves of them.
pub fn allowed_cores() -> Vec<usize> {
    if crate::sim::current_disk().is_some() {
        return vec![0]; // a simulated host is one processor
    }
    crate::sys::thread::allowed()
}
