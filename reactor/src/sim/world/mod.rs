//! Many simulated hosts in one world: one seed, one clock, one thread of the real machine.
//!
//! A host has a [`SimDisk`], the address 10.0.0.n, a wall clock of its own and processes. A process is a main future, which
//! runs as if on [`crate::run`], and the threads it starts with [`crate::thread`]: each has its own tasks, timers and chance.
//! The tester moves the clock with [`World::run_until`] and breaks things in between; nothing breaks while a task runs,
//! but for a host that was told to halt at an operation of its disk ([`World::halt_after`]).
//!
//! A host is one processor: what its threads do takes time, which passes on the other hosts as well. Between hosts see the
//! network's rules (`net`). One process of a host at a time may use its disk's locks and direct writes; the others are for
//! clients.

mod config;
mod faults;
mod place;
mod process;
mod schedule;
mod thread;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::chance::Chance;
use super::disk::SimDisk;
use super::net::{HostId, Net, NetCounts, ProcessId};
use super::trace::Trace;
use crate::clock::Instant;
use process::Process;
use thread::Thread;

pub use config::WorldConfig;
pub(crate) use place::Place;
pub use process::Ended;
pub use schedule::Stuck;
pub(crate) use thread::{SimThread, start_thread};

/// See [the module's documentation](self). Whatever still runs when it is dropped is killed.
pub struct World {
    config: WorldConfig,
    chance: RefCell<Chance>,
    net: Rc<Net>,
    hosts: RefCell<Vec<Host>>,
    processes: RefCell<BTreeMap<ProcessId, Process>>,
    next_process: Cell<u64>,
    threads: RefCell<Vec<Rc<Thread>>>,
    now_ns: Cell<u64>,
    polls: Cell<u64>,
}

struct Host {
    name: String,
    disk: SimDisk,
    faults: super::config::Faults,
    latency: super::config::Latency,
    /// Its processor has something to do until then.
    busy_until_ns: u64,
}

impl World {
    /// An empty world.
    ///
    /// # Panics
    /// On a thread that runs a reactor.
    pub fn new(config: WorldConfig) -> World {
        assert!(
            !crate::core::is_entered(),
            "a world has a thread of the real machine to itself"
        );
        let mut trace = Trace::default();
        trace.is_readable = config.trace;
        World {
            config,
            chance: RefCell::new(Chance::new(config.seed)),
            net: Rc::new(Net::new(config.net, config.seed ^ NET_SEED, trace)),
            hosts: RefCell::default(),
            processes: RefCell::default(),
            next_process: Cell::new(0),
            threads: RefCell::default(),
            now_ns: Cell::new(START_NS),
            polls: Cell::new(0),
        }
    }

    /// A host with an empty disk, powered on. Others reach it by its name as well as by its address.
    pub fn add_host(&self, name: &str) -> HostId {
        let disk = SimDisk::new();
        {
            let mut machine = disk.machine();
            machine.trace = self.net.trace_beside();
            machine.advance_to(self.now_ns.get());
        }
        self.hosts.borrow_mut().push(Host {
            name: name.to_owned(),
            disk,
            faults: self.config.faults,
            latency: self.config.latency,
            busy_until_ns: 0,
        });
        self.net.add_host(name)
    }

    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.now_ns.get())
    }

    pub fn disk(&self, host: HostId) -> SimDisk {
        self.hosts.borrow()[host.0].disk.clone()
    }

    /// Numbers for the tester, from the same seed.
    pub fn random_u64(&self) -> u64 {
        self.chance.borrow_mut().next_u64()
    }

    pub fn net_counts(&self) -> NetCounts {
        self.net.counts()
    }

    pub fn polls(&self) -> u64 {
        self.polls.get()
    }

    /// Takes something of the tested programs or of the tester into the trace.
    pub fn note(&self, text: &str) {
        self.net.note(text);
    }

    /// Stands for everything that happened on the network and on all disks.
    pub fn trace_hash(&self) -> u64 {
        let mut whole = Trace::default();
        whole.mix(self.net.trace_hash());
        whole.mix(self.polls.get());
        for host in &*self.hosts.borrow() {
            whole.mix(host.disk.trace_hash());
        }
        whole.hash()
    }

    /// Takes the readable lines of a world with [`WorldConfig::trace`], in the order things happened.
    pub fn take_trace(&self) -> Vec<String> {
        let mut lines = self.net.take_lines();
        for host in &*self.hosts.borrow() {
            let own = host.disk.machine().trace.take_numbered_lines();
            lines.extend(
                own.into_iter()
                    .map(|(number, line)| (number, format!("{line} @{}", host.name))),
            );
        }
        lines.sort_by_key(|(number, _)| *number);
        lines.into_iter().map(|(_, line)| line).collect()
    }

    /// What panicking tasks and main futures said, with the host's name.
    pub fn panics(&self) -> Vec<String> {
        let hosts = self.hosts.borrow();
        let of = |host: &Host| {
            let panics = host.disk.panics();
            let named = panics.into_iter().map(|text| format!("{}: {text}", host.name));
            named.collect::<Vec<_>>()
        };
        hosts.iter().flat_map(of).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let running: Vec<ProcessId> = self.processes.borrow().keys().copied().collect();
        for process in running {
            self.kill(process);
        }
    }
}

/// So that the network's chance is another than the world's.
const NET_SEED: u64 = 0x6e65_7477_6f72_6b21;
/// Nothing may rely on a clock that began at zero.
const START_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests;
