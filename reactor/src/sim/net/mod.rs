//! The simulated network: TCP connections between the hosts of a [`World`](super::World), as a program sees them.
//!
//! A connection is two flows of segments. A segment takes the link's latency, never overtakes another of its flow, and
//! counts against the flow's bound until the peer has read it: who sends to one that does not read waits.
//!
//! - **Blocked path** (a partition, one-way or full; a host without power): segments that arrive while it lasts are kept, as
//!   TCP would send them again; when the path is open again they come after a further delay, in order. A connection that
//!   stood still for longer than [`NetConfig::stall_max`] is reset then. Where only the way back is blocked the bytes
//!   arrive, but no acknowledgement does: the sender's buffer stays taken.
//! - **Connect**: refused after a round trip where nobody listens; lost and tried again like a SYN where the path is blocked or
//!   the backlog full, until [`NetConfig::connect_max`].
//! - **Close**, also by the end of the process: the peer reads what came before and then the end; if bytes were left unread
//!   it is reset instead, and so is whoever sends to a closed socket.
//! - **Power cut**: the peer notices nothing. Once the host is up again it answers what it is sent with a reset.

mod connection;
mod deliver;
mod hosts;
mod link;
mod listener;
mod socket;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use super::chance::Chance;
use super::trace::Trace;
use connection::{Connection, Segment};
use hosts::NetHost;
use link::Link;
use listener::Backlog;

pub use link::LinkSpeed;
pub(crate) use listener::SimListener;
pub(crate) use socket::{SimEnd, SimSocket};

/// A host of the world: 10.0.0.(n + 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

/// A process of some host; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u64);

/// What holds for the whole network.
#[derive(Clone, Copy, Debug)]
pub struct NetConfig {
    /// Between hosts, where [`World::set_link`](super::World::set_link) says nothing else.
    pub link: LinkSpeed,
    /// Within a host.
    pub loopback: LinkSpeed,
    /// Bytes of one direction of a connection that are sent and not read.
    pub buffer_bytes: usize,
    /// Segments per million that are lost once, and come [`NetConfig::retransmit_min`] later.
    pub loss_ppm: u32,
    pub retransmit_min: Duration,
    /// Longest time between the end of a partition and the first segment that goes through.
    pub retransmit_max: Duration,
    /// A connection whose segments stood still for longer is reset.
    pub stall_max: Duration,
    /// How long a connect tries.
    pub connect_max: Duration,
}

impl Default for NetConfig {
    /// A rack.
    fn default() -> NetConfig {
        NetConfig {
            link: LinkSpeed {
                min: Duration::from_micros(50),
                max: Duration::from_micros(500),
            },
            loopback: LinkSpeed {
                min: Duration::from_micros(5),
                max: Duration::from_micros(30),
            },
            buffer_bytes: 256 * 1024,
            loss_ppm: 100,
            retransmit_min: Duration::from_millis(200),
            retransmit_max: Duration::from_secs(2),
            stall_max: Duration::from_secs(60),
            connect_max: Duration::from_secs(30),
        }
    }
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetCounts {
    pub connected: u64,
    pub refused: u64,
    pub connects_timed_out: u64,
    pub resets: u64,
    pub segments: u64,
    pub lost: u64,
    pub stalled: u64,
}

pub(super) type ConnectionId = u64;

#[derive(Debug)]
enum Event {
    Syn {
        connection: ConnectionId,
        attempt: u32,
    },
    Established {
        connection: ConnectionId,
    },
    Refused {
        connection: ConnectionId,
    },
    Segment {
        connection: ConnectionId,
        from: usize,
        segment: Segment,
    },
    Reset {
        connection: ConnectionId,
        to: usize,
    },
    /// What stood still goes on.
    Resume {
        connection: ConnectionId,
        from: usize,
    },
}

/// Shared by the world and the sockets of its processes.
pub(crate) struct Net(RefCell<State>);

struct State {
    config: NetConfig,
    chance: Chance,
    /// Of the world.
    now_ns: u64,
    hosts: Vec<NetHost>,
    links: BTreeMap<(HostId, HostId), Link>,
    connections: BTreeMap<ConnectionId, Connection>,
    next_connection: ConnectionId,
    /// By host and port.
    listeners: BTreeMap<(HostId, u16), Backlog>,
    /// By time, then by order of sending.
    events: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    /// Woken when nothing is borrowed any more.
    wakes: Vec<Waker>,
    counts: NetCounts,
    trace: Trace,
}

impl Net {
    pub(super) fn new(config: NetConfig, seed: u64, trace: Trace) -> Net {
        Net(RefCell::new(State {
            config,
            chance: Chance::new(seed),
            now_ns: 0,
            hosts: Vec::new(),
            links: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_connection: 0,
            listeners: BTreeMap::new(),
            events: BTreeMap::new(),
            next_event: 0,
            wakes: Vec::new(),
            counts: NetCounts::default(),
            trace,
        }))
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let (value, wakes) = {
            let mut state = self.0.borrow_mut();
            let value = f(&mut state);
            (value, std::mem::take(&mut state.wakes))
        };
        for waker in wakes {
            waker.wake();
        }
        value
    }

    pub(super) fn counts(&self) -> NetCounts {
        self.with(|state| state.counts)
    }

    pub(super) fn trace_hash(&self) -> u64 {
        self.with(|state| state.trace.hash())
    }

    pub(super) fn take_lines(&self) -> Vec<(u64, String)> {
        self.with(|state| state.trace.take_numbered_lines())
    }

    /// A trace whose lines are numbered together with the network's.
    pub(super) fn trace_beside(&self) -> Trace {
        self.with(|state| state.trace.beside())
    }

    /// A line for people, which the hash does not know of.
    pub(crate) fn line(&self, line: impl FnOnce() -> String) {
        self.with(|state| {
            let now_ns = state.now_ns;
            state.trace.line(|| format!("{:>10}us {}", now_ns / 1000, line()));
        });
    }

    /// Takes something that is nobody's operation into the trace: a fault, a note.
    pub(super) fn note(&self, text: &str) {
        self.with(|state| {
            state.trace.mix_bytes(text.as_bytes());
            let now_ns = state.now_ns;
            state.trace.line(|| format!("{:>10}us -- {text}", now_ns / 1000));
        });
    }
}

impl State {
    fn at(&mut self, time_ns: u64, event: Event) {
        let key = (time_ns.max(self.now_ns), self.next_event);
        self.next_event += 1;
        self.events.insert(key, event);
    }

    fn wake(&mut self, waker: Option<Waker>) {
        self.wakes.extend(waker);
    }

    fn note(&mut self, what: &'static str, connection: ConnectionId, number: u64) {
        self.trace.mix_bytes(what.as_bytes());
        for word in [connection, number, self.now_ns] {
            self.trace.mix(word);
        }
        let State {
            trace,
            connections,
            hosts,
            now_ns,
            ..
        } = self;
        trace.line(|| {
            let ends = connections
                .get(&connection)
                .map_or_else(String::new, |connection| connection.describe(hosts));
            format!(
                "{:>10}us net {what} #{connection} {ends} {number}",
                *now_ns / 1000
            )
        });
    }
}
