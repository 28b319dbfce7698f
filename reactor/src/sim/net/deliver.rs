//! What happens when something arrives.

use std::io;

use super::connection::{Hold, Segment, other};
use super::link::nanos;
use super::{ConnectionId, Event, HostId, Net, State};

/// How long a first lost SYN takes to be sent again (TCP's, doubled each time).
const SYN_RETRY_NS: u64 = 1_000_000_000;

impl Net {
    /// When the next thing arrives.
    pub(in super::super) fn next_event_ns(&self) -> Option<u64> {
        let state = self.0.borrow();
        state.events.first_key_value().map(|((time, _), _)| *time)
    }

    /// Nothing arrives before then.
    pub(in super::super) fn pass_until(&self, now_ns: u64) {
        self.with(|state| state.now_ns = now_ns);
    }

    /// Lets everything arrive that is due.
    pub(in super::super) fn deliver_until(&self, now_ns: u64) {
        self.with(|state| {
            state.now_ns = now_ns;
            while let Some(entry) = state.events.first_entry() {
                if entry.key().0 > now_ns {
                    return;
                }
                let event = entry.remove();
                state.arrive(event);
            }
        });
    }

    /// Resets every connection between two hosts.
    pub(in super::super) fn break_between(&self, a: HostId, b: HostId) {
        self.with(|state| {
            for connection in state.ids() {
                let Some(entry) = state.connections.get(&connection) else {
                    continue;
                };
                let [client, server] = &entry.sides;
                let ends = (client.host, server.host);
                if (ends == (a, b) || ends == (b, a)) && client.hold != Hold::Connecting {
                    state.break_connection(connection);
                }
            }
        });
    }
}

impl State {
    fn arrive(&mut self, event: Event) {
        match event {
            Event::Syn { connection, attempt } => self.arrive_syn(connection, attempt),
            Event::Established { connection } => self.arrive_established(connection),
            Event::Refused { connection } => {
                self.counts.refused += 1;
                self.note("refused", connection, 0);
                self.fail_side(connection, 0, io::ErrorKind::ConnectionRefused);
            }
            Event::Segment {
                connection,
                from,
                segment,
            } => self.arrive_segment(connection, from, segment),
            Event::Reset { connection, to } => {
                let Some((from_host, to_host)) = self.hosts_of(connection, other(to)) else {
                    return;
                };
                // a reset that is lost comes again when the side sends the next time
                if self.is_open(from_host, to_host) {
                    self.counts.resets += 1;
                    self.note("reset", connection, to as u64);
                    self.fail_side(connection, to, io::ErrorKind::ConnectionReset);
                }
            }
            Event::Resume { connection, from } => self.resume(connection, from),
        }
    }

    /// Of a direction: from where, to where.
    fn hosts_of(&self, connection: ConnectionId, from: usize) -> Option<(HostId, HostId)> {
        let sides = &self.connections.get(&connection)?.sides;
        Some((sides[from].host, sides[other(from)].host))
    }

    fn arrive_syn(&mut self, connection: ConnectionId, attempt: u32) {
        let Some(entry) = self.connections.get(&connection) else {
            return;
        };
        let [client, server] = &entry.sides;
        let (from, to, port) = (client.host, server.host, server.local.port());
        let (is_loopback, give_up_ns) = (server.local.ip().is_loopback(), entry.give_up_ns);
        let is_through = self.is_open(from, to) && self.is_open(to, from);
        let listens = self.listens_on(to, port, is_loopback);
        if !is_through || (listens && self.is_backlog_full(to, port)) {
            let again = self.now_ns + (SYN_RETRY_NS << attempt.min(5));
            if again > give_up_ns {
                self.counts.connects_timed_out += 1;
                self.note("connect timed out", connection, 0);
                self.fail_side(connection, 0, io::ErrorKind::TimedOut);
                return;
            }
            let attempt = attempt + 1;
            self.at(again, Event::Syn { connection, attempt });
            return;
        }
        let back = self.now_ns + self.latency_ns(to, from);
        if !listens || self.hosts[to.0].refuses {
            self.at(back, Event::Refused { connection });
            return;
        }
        self.counts.connected += 1;
        self.note("connected", connection, 0);
        self.put_into_backlog(to, port, connection);
        self.at(back, Event::Established { connection });
    }

    fn arrive_established(&mut self, connection: ConnectionId) {
        let Some((from, to)) = self.hosts_of(connection, 1) else {
            return;
        };
        if !self.is_open(from, to) {
            let again = self.now_ns + SYN_RETRY_NS;
            self.at(again, Event::Established { connection });
            return;
        }
        if let Some(side) = self.side(connection, 0)
            && side.hold == Hold::Connecting
        {
            side.hold = Hold::Open;
            let waker = side.sender.take();
            self.wake(waker);
        }
    }

    fn arrive_segment(&mut self, connection: ConnectionId, from: usize, segment: Segment) {
        let Some((from_host, to_host)) = self.hosts_of(connection, from) else {
            return;
        };
        let is_open = self.is_open(from_host, to_host);
        let now_ns = self.now_ns;
        let Some(side) = self.side(connection, from) else {
            return;
        };
        if side.failed.is_some() {
            return;
        }
        if !side.flow.stalled.is_empty() || !is_open {
            if side.hold == Hold::Forgotten {
                return; // nobody is left to send it again
            }
            if side.flow.stalled.is_empty() {
                side.flow.stalled_since_ns = now_ns;
                self.counts.stalled += 1;
                self.note("stalled", connection, from as u64);
            }
            if let Some(side) = self.side(connection, from) {
                side.flow.stalled.push_back(segment);
            }
            return;
        }
        self.take_in(connection, from, segment);
    }

    /// A segment is there.
    fn take_in(&mut self, connection: ConnectionId, from: usize, segment: Segment) {
        let len = match &segment {
            Segment::Data(bytes) => bytes.len(),
            Segment::End => 0,
        };
        self.note("arrived", connection, len as u64 * 2 + from as u64);
        let Some(side) = self.side(connection, other(from)) else {
            return;
        };
        match side.hold {
            Hold::Closed | Hold::Forgotten => {
                if len > 0 {
                    self.send_reset(connection, from);
                }
                return;
            }
            Hold::Open | Hold::Connecting => {}
        }
        if side.is_shut || side.failed.is_some() {
            self.acknowledge(connection, from, len);
            return;
        }
        match segment {
            Segment::Data(bytes) => side.arrived.push_back(bytes),
            Segment::End => side.peer_is_done = true,
        }
        let waker = side.receiver.take();
        self.wake(waker);
    }

    /// The peer of `from` has read so much of what it sent.
    pub(super) fn acknowledge(&mut self, connection: ConnectionId, from: usize, len: usize) {
        let Some((from_host, to_host)) = self.hosts_of(connection, from) else {
            return;
        };
        let comes_through = self.is_open(to_host, from_host);
        let Some(side) = self.side(connection, from) else {
            return;
        };
        if comes_through {
            side.flow.taken_bytes -= len.min(side.flow.taken_bytes);
            let waker = side.sender.take();
            self.wake(waker);
        } else {
            side.flow.unacknowledged_bytes += len;
        }
    }

    /// Some path was blocked, or is open again.
    pub(super) fn paths_changed(&mut self) {
        for connection in self.ids() {
            for from in 0..2 {
                self.path_changed(connection, from);
            }
        }
    }

    fn path_changed(&mut self, connection: ConnectionId, from: usize) {
        let Some((from_host, to_host)) = self.hosts_of(connection, from) else {
            return;
        };
        let (is_open, is_open_back) = (self.is_open(from_host, to_host), self.is_open(to_host, from_host));
        let (stall_max_ns, retransmit_max_ns) =
            (nanos(self.config.stall_max), nanos(self.config.retransmit_max));
        let now_ns = self.now_ns;
        let Some(side) = self.side(connection, from) else {
            return;
        };
        if is_open_back && side.flow.unacknowledged_bytes > 0 {
            let acknowledged = std::mem::take(&mut side.flow.unacknowledged_bytes);
            side.flow.taken_bytes -= acknowledged.min(side.flow.taken_bytes);
            let waker = side.sender.take();
            self.wake(waker);
        }
        let Some(side) = self.side(connection, from) else {
            return;
        };
        if !is_open || side.flow.stalled.is_empty() || side.flow.is_resuming {
            return;
        }
        let stalled_ns = now_ns.saturating_sub(side.flow.stalled_since_ns);
        if stalled_ns > stall_max_ns {
            self.break_connection(connection);
            return;
        }
        side.flow.is_resuming = true;
        // the pause between two attempts has grown with the outage
        let delay = self.chance.below(stalled_ns.min(retransmit_max_ns) + 1);
        self.at(now_ns + delay, Event::Resume { connection, from });
    }

    fn resume(&mut self, connection: ConnectionId, from: usize) {
        let Some((from_host, to_host)) = self.hosts_of(connection, from) else {
            return;
        };
        let is_open = self.is_open(from_host, to_host);
        let Some(side) = self.side(connection, from) else {
            return;
        };
        side.flow.is_resuming = false;
        if !is_open {
            return;
        }
        for segment in std::mem::take(&mut side.flow.stalled) {
            self.take_in(connection, from, segment);
        }
    }
}
