//! Processes: how they start and end.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use super::World;
use super::place::{Place, SignalBell};
use super::thread::Thread;
use crate::signal::Signal;
use crate::sim::config::{Halt, SimConfig};
use crate::sim::net::{HostId, ProcessId};

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its main future is done.
    Returned,
    /// Its main future panicked.
    Panicked(String),
    Killed,
    PowerCut,
}

pub(super) struct Process {
    pub(super) name: Rc<str>,
    pub(super) host: HostId,
    pub(super) boot: u64,
    pub(super) is_paused: bool,
    pub(super) ended: Option<Ended>,
    born: Rc<RefCell<Vec<Rc<Thread>>>>,
    bell: Rc<SignalBell>,
}

impl World {
    /// Starts a process on a host, whose power goes on if it was off. `main` is its first thread.
    ///
    /// # Panics
    /// If the real machine has no descriptor left.
    pub fn start(&self, host: HostId, name: &str, main: impl Future<Output = ()> + 'static) -> ProcessId {
        self.net.power_back(host);
        let process = ProcessId(self.next_process.get());
        self.next_process.set(process.0 + 1);
        let place = Place {
            net: self.net.clone(),
            host,
            process,
            name: name.into(),
            born: Rc::default(),
            bell: Rc::default(),
        };
        let (seed, boot) = (self.random_u64(), self.begin(host));
        let thread = Thread::new(self.disk(host), seed, place.clone(), "main", main, None);
        let thread = thread.expect("the real machine has a descriptor for every simulated thread");
        self.threads.borrow_mut().push(Rc::new(thread));
        let entry = Process {
            name: place.name,
            host,
            boot,
            is_paused: false,
            ended: None,
            born: place.born,
            bell: place.bell,
        };
        self.processes.borrow_mut().insert(process, entry);
        self.note(&format!("process {} starts: {name}", process.0));
        process
    }

    fn begin(&self, host: HostId) -> u64 {
        let seed = self.random_u64();
        let hosts = self.hosts.borrow();
        let entry = &hosts[host.0];
        let mut machine = entry.disk.machine();
        machine.advance_to(self.now_ns.get());
        machine.begin(&SimConfig {
            faults: entry.faults,
            latency: entry.latency,
            trace: self.config.trace,
            ..SimConfig::new(seed)
        });
        machine.boot
    }

    /// None while it runs.
    pub fn ended(&self, process: ProcessId) -> Option<Ended> {
        self.processes.borrow().get(&process)?.ended.clone()
    }

    pub fn is_running(&self, process: ProcessId) -> bool {
        self.processes
            .borrow()
            .get(&process)
            .is_some_and(|process| process.ended.is_none())
    }

    /// `kill -9`. What it wrote stays in the page cache, its connections are closed by the kernel.
    pub fn kill(&self, process: ProcessId) {
        self.end_process(process, Ended::Killed);
    }

    /// SIGSTOP: none of its tasks runs and no timer fires; the kernel goes on taking in what it is sent.
    pub fn pause(&self, process: ProcessId) {
        self.set_paused(process, true);
    }

    /// SIGCONT.
    pub fn resume(&self, process: ProcessId) {
        self.set_paused(process, false);
    }

    fn set_paused(&self, process: ProcessId, is_paused: bool) {
        if let Some(entry) = self.processes.borrow_mut().get_mut(&process) {
            entry.is_paused = is_paused;
        }
        let what = if is_paused { "stopped" } else { "continued" };
        self.note(&format!("process {} is {what}", process.0));
    }

    /// Asks a process to end, see [`crate::shutdown_signal`].
    pub fn signal(&self, process: ProcessId, signal: Signal) {
        let bell = self
            .processes
            .borrow()
            .get(&process)
            .map(|entry| entry.bell.clone());
        if let Some(bell) = bell {
            bell.ring(signal);
        }
    }

    pub(super) fn running_on(&self, host: HostId) -> Vec<ProcessId> {
        let processes = self.processes.borrow();
        let running = processes
            .iter()
            .filter(|(_, process)| process.host == host && process.ended.is_none());
        running.map(|(id, _)| *id).collect()
    }

    /// Takes over the threads that processes have started.
    pub(super) fn adopt(&self, born: &RefCell<Vec<Rc<Thread>>>) {
        if !born.borrow().is_empty() {
            self.threads.borrow_mut().append(&mut born.borrow_mut());
        }
    }

    pub(super) fn end_process(&self, process: ProcessId, how: Ended) {
        let (host, boot, born, name) = {
            let mut processes = self.processes.borrow_mut();
            let Some(entry) = processes.get_mut(&process) else {
                return;
            };
            if entry.ended.is_some() {
                return;
            }
            entry.ended = Some(how.clone());
            let (born, name) = (entry.born.clone(), entry.name.clone());
            (entry.host, entry.boot, born, name)
        };
        self.note(&format!("process {} ({name}) ends: {how:?}", process.0));
        let disk = self.disk(host);
        {
            let mut machine = disk.machine();
            machine.enter(boot, self.now_ns.get());
            match how {
                Ended::Returned | Ended::Panicked(_) => {}
                Ended::Killed => machine.halt(Halt::Kill),
                Ended::PowerCut => machine.halt(Halt::PowerCut),
            }
        }
        if how != Ended::PowerCut {
            self.net.process_ended(process);
        }
        self.adopt(&born);
        let his: Vec<Rc<Thread>> = {
            let mut threads = self.threads.borrow_mut();
            let (his, others) = threads
                .drain(..)
                .partition(|thread| thread.place.process == process);
            *threads = others;
            his
        };
        for thread in &his {
            thread.end();
        }
        // what they started while they went runs no more
        for thread in born.take() {
            thread.end();
        }
        let others = self.running_on(host);
        let mut machine = disk.machine();
        if how != Ended::PowerCut {
            machine.end_process(others.is_empty());
        } else if others.is_empty() {
            machine.shut_down();
        }
    }
}
