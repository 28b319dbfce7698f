//! One TCP connection: two sides, and what is under way between them.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::Waker;

use bytes::Bytes;

use super::hosts::NetHost;
use super::{ConnectionId, Event, HostId, ProcessId, State};

#[derive(Clone, Debug)]
pub(super) enum Segment {
    Data(Bytes),
    /// FIN: nothing comes after it.
    End,
}

/// Who holds a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// A connect that is under way.
    Connecting,
    /// The process, or the backlog of its listener.
    Open,
    /// Nobody: closed, or its process ended. Its kernel answers with a reset.
    Closed,
    /// The host lost power and knows nothing of it.
    Forgotten,
}

#[derive(Debug)]
pub(super) struct Side {
    pub(super) host: HostId,
    pub(super) process: ProcessId,
    pub(super) local: SocketAddr,
    pub(super) hold: Hold,
    /// Its own shutdown ended both directions.
    pub(super) is_shut: bool,
    pub(super) failed: Option<io::ErrorKind>,
    /// Not read yet.
    pub(super) arrived: VecDeque<Bytes>,
    pub(super) peer_is_done: bool,
    pub(super) receiver: Option<Waker>,
    pub(super) sender: Option<Waker>,
    /// What it sends.
    pub(super) flow: Flow,
}

/// One direction. `unacknowledged_bytes <= taken_bytes <= NetConfig::buffer_bytes`.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Sent, and not read and acknowledged by the peer.
    pub(super) taken_bytes: usize,
    /// Read by the peer, whose acknowledgement cannot come.
    pub(super) unacknowledged_bytes: usize,
    pub(super) last_arrival_ns: u64,
    pub(super) has_ended: bool,
    pub(super) stalled: VecDeque<Segment>,
    pub(super) stalled_since_ns: u64,
    pub(super) is_resuming: bool,
}

#[derive(Debug)]
pub(super) struct Connection {
    /// Who connected, who accepted.
    pub(super) sides: [Side; 2],
    pub(super) give_up_ns: u64,
}

impl Side {
    pub(super) fn new(host: HostId, process: ProcessId, local: SocketAddr, hold: Hold) -> Side {
        Side {
            host,
            process,
            local,
            hold,
            is_shut: false,
            failed: None,
            arrived: VecDeque::new(),
            peer_is_done: false,
            receiver: None,
            sender: None,
            flow: Flow::default(),
        }
    }
}

impl Connection {
    pub(super) fn describe(&self, hosts: &[NetHost]) -> String {
        let [client, server] = &self.sides;
        let name = |side: &Side| hosts[side.host.0].name.clone();
        format!(
            "{}:{} -> {}:{}",
            name(client),
            client.local.port(),
            name(server),
            server.local.port()
        )
    }
}

pub(super) fn other(side: usize) -> usize {
    1 - side
}

impl State {
    pub(super) fn side(&mut self, connection: ConnectionId, side: usize) -> Option<&mut Side> {
        Some(&mut self.connections.get_mut(&connection)?.sides[side])
    }

    /// Puts a segment on its way.
    pub(super) fn send(&mut self, connection: ConnectionId, from: usize, segment: Segment, now_ns: u64) {
        let Some(entry) = self.connections.get(&connection) else {
            return;
        };
        let (here, there) = (entry.sides[from].host, entry.sides[other(from)].host);
        let arrival = now_ns.max(self.now_ns) + self.latency_ns(here, there);
        let Some(side) = self.side(connection, from) else {
            return;
        };
        let arrival = arrival.max(side.flow.last_arrival_ns);
        side.flow.last_arrival_ns = arrival;
        self.counts.segments += 1;
        let event = Event::Segment {
            connection,
            from,
            segment,
        };
        self.at(arrival, event);
    }

    /// Tells a side that its connection is no more.
    pub(super) fn send_reset(&mut self, connection: ConnectionId, to: usize) {
        let Some(entry) = self.connections.get(&connection) else {
            return;
        };
        let (here, there) = (entry.sides[other(to)].host, entry.sides[to].host);
        let arrival = self.now_ns + self.latency_ns(here, there);
        self.at(arrival, Event::Reset { connection, to });
    }

    /// Ends a side's sending; what it sent before still comes.
    fn send_end(&mut self, connection: ConnectionId, from: usize, now_ns: u64) {
        let is_first = self
            .side(connection, from)
            .is_some_and(|side| side.failed.is_none() && !std::mem::replace(&mut side.flow.has_ended, true));
        if is_first {
            self.send(connection, from, Segment::End, now_ns);
        }
    }

    pub(super) fn shut_side(&mut self, connection: ConnectionId, at: usize, now_ns: u64) {
        let Some(side) = self.side(connection, at) else {
            return;
        };
        side.is_shut = true;
        let wakers = [side.receiver.take(), side.sender.take()];
        self.wakes.extend(wakers.into_iter().flatten());
        self.note("shutdown", connection, at as u64);
        self.send_end(connection, at, now_ns);
    }

    /// What closing the descriptor does.
    pub(super) fn close_side(&mut self, connection: ConnectionId, at: usize, now_ns: u64) {
        let Some(side) = self.side(connection, at) else {
            return;
        };
        let was = std::mem::replace(&mut side.hold, Hold::Closed);
        let has_unread = !side.arrived.is_empty();
        side.arrived.clear();
        match was {
            Hold::Closed => return,
            // the machine is gone, and with it what it would say
            Hold::Forgotten => side.hold = Hold::Forgotten,
            Hold::Connecting => {}
            Hold::Open => {
                let has_failed = side.failed.is_some();
                self.note("close", connection, at as u64);
                if has_unread && !has_failed {
                    self.send_reset(connection, other(at));
                } else {
                    self.send_end(connection, at, now_ns);
                }
            }
        }
        self.drop_if_dead(connection);
    }

    pub(super) fn fail_side(&mut self, connection: ConnectionId, at: usize, why: io::ErrorKind) {
        let Some(side) = self.side(connection, at) else {
            return;
        };
        if side.failed.is_none() {
            side.failed = Some(why);
            side.flow.stalled.clear();
            let wakers = [side.receiver.take(), side.sender.take()];
            self.wakes.extend(wakers.into_iter().flatten());
        }
    }

    /// Resets it at once, on both sides.
    pub(super) fn break_connection(&mut self, connection: ConnectionId) {
        self.counts.resets += 1;
        self.note("reset", connection, 2);
        for at in 0..2 {
            self.fail_side(connection, at, io::ErrorKind::ConnectionReset);
        }
    }

    pub(super) fn ids(&self) -> Vec<ConnectionId> {
        self.connections.keys().copied().collect()
    }

    pub(super) fn close_sides_of(&mut self, process: ProcessId) {
        let now_ns = self.now_ns;
        for connection in self.ids() {
            for at in 0..2 {
                let is_his = self
                    .side(connection, at)
                    .is_some_and(|side| side.process == process);
                if is_his {
                    self.close_side(connection, at, now_ns);
                }
            }
        }
    }

    pub(super) fn forget_sides_of(&mut self, host: HostId) {
        for connection in self.ids() {
            for at in 0..2 {
                if let Some(side) = self.side(connection, at)
                    && side.host == host
                {
                    side.hold = Hold::Forgotten;
                    side.arrived.clear();
                    side.flow.stalled.clear();
                }
            }
            self.drop_if_dead(connection);
        }
    }

    /// Nobody holds either side: what is under way does not matter.
    fn drop_if_dead(&mut self, connection: ConnectionId) {
        let is_dead = self.connections.get(&connection).is_some_and(|entry| {
            let is_held = |side: &Side| matches!(side.hold, Hold::Open | Hold::Connecting);
            !entry.sides.iter().any(is_held)
        });
        if is_dead {
            self.connections.remove(&connection);
        }
    }
}
