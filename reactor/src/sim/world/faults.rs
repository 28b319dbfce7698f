//! What goes wrong.

use std::time::Duration;

use super::{Ended, World};
use crate::sim::config::{Faults, Halt, Latency};
use crate::sim::net::{HostId, LinkSpeed};

impl World {
    /// The power of a host is gone: what was not synced is lost, torn or kept, and its peers notice nothing. It comes back
    /// with [`World::start`] or [`World::power_on`].
    pub fn power_cut(&self, host: HostId) {
        self.net.power_lost(host);
        for process in self.running_on(host) {
            self.end_process(process, Ended::PowerCut);
        }
        let disk = self.disk(host);
        let mut machine = disk.machine();
        if machine.halted != Some(Halt::PowerCut) {
            // nobody ran on it, yet what was left unsynced is lost all the same
            machine.halted = Some(Halt::PowerCut);
            machine.shut_down();
        }
    }

    /// The host is up again, without a process: it resets connections and refuses new ones.
    pub fn power_on(&self, host: HostId) {
        self.net.power_back(host);
    }

    /// Halts the host, or kills the process that does it, at an operation of its disk: so many from now.
    pub fn halt_after(&self, host: HostId, halt: Halt, operations: u64) {
        self.disk(host).machine().halt_after(halt, operations);
    }

    /// Blocks the way from one host to another; the way back stays as it is.
    pub fn block(&self, from: HostId, to: HostId) {
        self.note(&format!("blocked: {} to {}", from.0, to.0));
        self.net.set_blocked(from, to, true);
    }

    pub fn unblock(&self, from: HostId, to: HostId) {
        self.note(&format!("open: {} to {}", from.0, to.0));
        self.net.set_blocked(from, to, false);
    }

    /// Blocks both ways.
    pub fn partition(&self, a: HostId, b: HostId) {
        self.block(a, b);
        self.block(b, a);
    }

    pub fn is_blocked(&self, from: HostId, to: HostId) -> bool {
        self.net.is_blocked(from, to)
    }

    /// Every way is open again, as fast as the network is, and no host refuses.
    pub fn heal(&self) {
        self.note("healed");
        self.net.heal();
    }

    /// How fast one direction is; None: as the network.
    pub fn set_link(&self, from: HostId, to: HostId, speed: Option<LinkSpeed>) {
        self.net.set_speed(from, to, speed);
    }

    /// Whether the host refuses every connect, as if nobody listened.
    pub fn set_refuses(&self, host: HostId, refuses: bool) {
        self.note(&format!("{} refuses: {refuses}", host.0));
        self.net.set_refuses(host, refuses);
    }

    /// Resets all connections between two hosts.
    pub fn reset_connections(&self, a: HostId, b: HostId) {
        self.net.break_between(a, b);
    }

    /// The wall clock of a host goes before (or behind) the true time from now on. The monotonic clock stays.
    pub fn set_wall_offset(&self, host: HostId, ms: i64) {
        self.note(&format!("clock of {} is off by {ms} ms", host.0));
        self.disk(host).machine().set_wall_offset(ms);
    }

    /// What goes wrong on the disk of a host, from now on.
    pub fn set_faults(&self, host: HostId, faults: Faults) {
        let mut hosts = self.hosts.borrow_mut();
        hosts[host.0].faults = faults;
        hosts[host.0].disk.machine().faults = faults;
    }

    /// How long the disk of a host takes, from now on.
    pub fn set_latency(&self, host: HostId, latency: Latency) {
        let mut hosts = self.hosts.borrow_mut();
        hosts[host.0].latency = latency;
        hosts[host.0].disk.machine().set_latency(latency);
    }

    /// Its processor does something else for a while: nothing on it runs.
    pub fn stall(&self, host: HostId, duration: Duration) {
        let until = (self.now() + duration).as_nanos();
        let mut hosts = self.hosts.borrow_mut();
        hosts[host.0].busy_until_ns = hosts[host.0].busy_until_ns.max(until);
    }
}
