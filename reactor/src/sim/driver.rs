//! The filling: what the reactor asks of the simulated machine.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::chance::Chance;
use super::config::Halt;
use super::disk::SimDisk;
use super::net::{Net, ProcessId};
use super::world::Place;
use crate::clock::Instant;
use crate::core;
use crate::slab::Key;

pub(crate) struct Driver {
    disk: SimDisk,
    /// Of the program, and of the order its tasks run in; the disk has its own.
    chance: RefCell<Chance>,
    /// In a world with a network; else the machine is alone.
    place: Option<Place>,
}

/// The disk of the simulated machine this thread runs, if it does.
pub(crate) fn current_disk() -> Option<SimDisk> {
    core::with(|core| core.filling.sim().map(|driver| driver.disk.clone())).flatten()
}

/// Where in a world this thread is, if it is in one.
pub(crate) fn current_place() -> Option<Place> {
    core::with(|core| core.filling.sim()?.place.clone()).flatten()
}

pub(crate) fn current_net() -> Option<Rc<Net>> {
    current_place().map(|place| place.net)
}

pub(crate) fn current_process() -> Option<ProcessId> {
    current_place().map(|place| place.process)
}

/// Writes a line into the trace of the world this thread is in, with the name of the thread: for logs.
pub fn trace_line(line: &str) {
    let named = core::with(|core| {
        let place = core.filling.sim()?.place()?.clone();
        Some((place.net, core.name.clone()))
    });
    if let Some((net, name)) = named.flatten() {
        net.line(|| format!("{name}: {line}"));
    }
}

/// How long a helper thread takes to get to a job, on a simulated machine.
pub(crate) fn helper_delay() -> Option<Duration> {
    let latency_ns = current_disk()?.machine().take_latency_ns();
    Some(Duration::from_nanos(latency_ns))
}

impl Driver {
    pub(super) fn new(disk: SimDisk, seed: u64) -> Driver {
        Driver {
            disk,
            chance: RefCell::new(Chance::new(!seed)),
            place: None,
        }
    }

    pub(super) fn in_world(disk: SimDisk, seed: u64, place: Place) -> Driver {
        Driver {
            place: Some(place),
            ..Driver::new(disk, seed)
        }
    }

    pub(super) fn disk(&self) -> &SimDisk {
        &self.disk
    }

    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(self.disk.machine().now_ns())
    }

    pub(crate) fn wall_ms(&self) -> i64 {
        self.disk.machine().wall_ms()
    }

    pub(crate) fn random_u64(&self) -> u64 {
        self.chance.borrow_mut().next_u64()
    }

    /// Nothing else happens meanwhile: the clock jumps.
    pub(super) fn jump_to(&self, until: Instant) {
        self.disk.machine().advance_to(until.as_nanos());
    }

    pub(super) fn halted(&self) -> Option<Halt> {
        self.disk.machine().halted
    }

    /// Lets any of the ready tasks be the next: nothing may rely on their order.
    pub(super) fn shuffle(&self, ready: &mut VecDeque<Key>) {
        if ready.len() > 1 {
            let next = self.chance.borrow_mut().index(ready.len());
            ready.swap(0, next);
        }
    }

    pub(crate) fn note_panic(&self, text: &str) {
        self.disk.machine().panics.push(text.to_owned());
    }
}
