//! The rules of a connection, without IO.
//!
//! Contract with the driver:
//! - Bytes go in through [`Peer::lend_buffer`] / [`Peer::handle_received`], while [`Peer::reading`] says so.
//! - After every `handle_*` the driver calls [`Peer::poll_action`] until it has nothing more to do.
//! - Every [`Action::Start`] is followed by exactly one [`Peer::handle_answer`] of that number, every [`Action::Send`]
//!   by one [`Peer::handle_sent`]; sends are one at a time. After [`Action::Close`] nothing more happens.
//!
//! Inequalities: `slots.len() <= in_flight_max`; `running == running_produce + (0 or 1)`, and the second only when
//! `running_produce == 0`; the buffer is at most one partial frame and one receive longer than whole frames allow.

use std::collections::VecDeque;

use bytes::BytesMut;
use reactor::{Instant, Piece};

use super::{CloseReason, Limits, Reply};
use crate::frame::{missing_bytes, next_frame};
use crate::header::RequestHeader;

/// API key of Produce, the one kind that runs beside others of its kind.
const PRODUCE: i16 = 0;

/// Answers gathered into one send, at most about this much: as much as one system call moves (reactor).
const SEND_BYTES: usize = 256 * 1024;

/// The rest behind cut frames shares their allocation. After more than this the rest moves to its own, or an idle
/// connection would keep the memory of its largest request (a copy of at most one receive, usually of nothing).
const SHARED_REST_BYTES_MAX: usize = 16 * 1024;

/// The how-manieth request of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestNumber(pub u64);

/// A request, read and cut from the stream.
#[derive(Debug)]
pub struct Frame {
    pub header: RequestHeader,
    pub body: BytesMut,
    pub received: Instant,
}

/// What the driver must do.
#[derive(Debug)]
pub enum Action {
    /// Begin handling it.
    Start(RequestNumber, Frame),
    /// Send all of it, then tell.
    Send(Vec<Piece>),
    /// Close the socket; the connection is over.
    Close(CloseReason),
}

/// What to read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Whatever arrives.
    Any,
    /// The rest of a long request: this many bytes are known to follow.
    Exactly(usize),
    /// Nothing until the next action or answer: a limit is reached.
    Paused,
    /// Nothing ever again.
    Ended,
}

enum Slot {
    /// Read, not begun. The bytes it took are given back when it is answered.
    Waiting {
        frame: Frame,
        frame_bytes: usize,
    },
    Running {
        is_produce: bool,
        frame_bytes: usize,
    },
    Answered(Reply),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Open,
    /// Reads no more; closes when all that was read is answered and sent.
    Draining(CloseReason),
    Closed,
}

pub struct Peer {
    limits: Limits,
    phase: Phase,
    /// The peer sends no more; what it sent is still handled.
    ended: bool,
    /// Received, not cut into frames yet.
    buffer: BytesMut,
    /// Requests from the oldest unsent one on, in request order; the first has number `first`.
    slots: VecDeque<Slot>,
    first: u64,
    running_produce: usize,
    running_other: usize,
    unsent_bytes: usize,
    /// Bytes of the send in progress.
    sending: Option<usize>,
    /// Bytes of requests answered since the driver last asked.
    freed_bytes: usize,
    last_progress: Instant,
}

impl Peer {
    pub fn new(limits: Limits, now: Instant) -> Peer {
        Peer {
            limits,
            phase: Phase::Open,
            ended: false,
            buffer: BytesMut::new(),
            slots: VecDeque::new(),
            first: 0,
            running_produce: 0,
            running_other: 0,
            unsent_bytes: 0,
            sending: None,
            freed_bytes: 0,
            last_progress: now,
        }
    }

    /// What to read next.
    pub fn reading(&self) -> Reading {
        match self.phase {
            Phase::Draining(_) | Phase::Closed => Reading::Ended,
            Phase::Open if self.ended => Reading::Ended,
            Phase::Open if self.is_full() => Reading::Paused,
            Phase::Open => match missing_bytes(&self.buffer, self.limits.request_bytes_max) {
                Ok(Some(missing)) if missing > 0 => Reading::Exactly(missing),
                _ => Reading::Any,
            },
        }
    }

    fn is_full(&self) -> bool {
        self.slots.len() >= self.limits.in_flight_max || self.unsent_bytes >= self.limits.unsent_bytes_max
    }

    /// The buffer to receive into; to be handed back to [`Peer::handle_received`].
    pub fn lend_buffer(&mut self) -> BytesMut {
        std::mem::take(&mut self.buffer)
    }

    /// The buffer comes back, longer than before.
    pub fn handle_received(&mut self, now: Instant, buffer: BytesMut) {
        self.buffer = buffer;
        self.cut_frames(now);
    }

    fn cut_frames(&mut self, now: Instant) {
        let before = self.buffer.len();
        let mut longest = 0;
        while self.phase == Phase::Open && !self.is_full() {
            match next_frame(&mut self.buffer, self.limits.request_bytes_max) {
                Ok(Some(frame)) => {
                    longest = longest.max(frame.len());
                    self.take_frame(now, frame);
                }
                Ok(None) => break,
                Err(error) => self.drain(error.into()),
            }
        }
        let left = self.buffer.len();
        let shrank = left <= SHARED_REST_BYTES_MAX && before > SHARED_REST_BYTES_MAX;
        if longest > SHARED_REST_BYTES_MAX || longest > 0 && shrank {
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
    }

    fn take_frame(&mut self, now: Instant, mut body: BytesMut) {
        let frame_bytes = body.len() + 4;
        match RequestHeader::split_from(&mut body) {
            Ok(header) => {
                self.last_progress = now;
                let frame = Frame {
                    header,
                    body,
                    received: now,
                };
                self.slots.push_back(Slot::Waiting { frame, frame_bytes });
            }
            Err(error) => self.drain(error.into()),
        }
    }

    /// The peer sends no more. What it sent before is still handled: a producer with acks=0 may close at once.
    pub fn handle_end(&mut self, now: Instant, buffer: BytesMut) {
        self.ended = true;
        self.handle_received(now, buffer);
    }

    /// The broker goes: answers what was read, then closes.
    pub fn handle_shutdown(&mut self) {
        self.drain(CloseReason::Shutdown);
    }

    /// The connection is of no use any more.
    pub fn handle_failure(&mut self, reason: CloseReason) {
        if self.phase != Phase::Closed {
            self.give_up(0);
            self.sending = None;
            self.phase = Phase::Draining(reason);
        }
    }

    /// A handler is done. The answer of a request that was given up in between is ignored.
    pub fn handle_answer(&mut self, now: Instant, number: RequestNumber, reply: Reply) {
        let Some(index) = number.0.checked_sub(self.first).map(|index| index as usize) else {
            return;
        };
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        let Slot::Running {
            is_produce,
            frame_bytes,
        } = *slot
        else {
            return;
        };
        self.last_progress = now;
        if let Reply::Close = reply {
            // this one and what came after it are not answered any more
            self.give_up(index);
            self.drain(CloseReason::Handler);
            return;
        }
        self.unsent_bytes += reply.len();
        *slot = Slot::Answered(reply);
        self.freed_bytes += frame_bytes;
        self.stop_running(is_produce);
    }

    /// True until the request is answered or given up.
    pub fn is_running(&self, number: RequestNumber) -> bool {
        let index = number.0.checked_sub(self.first).map(|index| index as usize);
        let slot = index.and_then(|index| self.slots.get(index));
        matches!(slot, Some(Slot::Running { .. }))
    }

    fn stop_running(&mut self, is_produce: bool) {
        let running = if is_produce {
            &mut self.running_produce
        } else {
            &mut self.running_other
        };
        *running = running.saturating_sub(1);
    }

    /// Drops the requests from the `index`th on; handlers at work go on, their answers will be ignored.
    fn give_up(&mut self, index: usize) {
        for slot in self.slots.split_off(index.min(self.slots.len())) {
            match slot {
                Slot::Waiting { frame_bytes, .. } => self.freed_bytes += frame_bytes,
                Slot::Running {
                    is_produce,
                    frame_bytes,
                } => {
                    self.freed_bytes += frame_bytes;
                    self.stop_running(is_produce);
                }
                Slot::Answered(reply) => self.unsent_bytes -= reply.len(),
            }
        }
    }

    fn drain(&mut self, reason: CloseReason) {
        if self.phase == Phase::Open {
            self.freed_bytes += self.buffer.len();
            self.buffer = BytesMut::new();
            self.phase = Phase::Draining(reason);
        }
    }

    /// The last [`Action::Send`] is done.
    pub fn handle_sent(&mut self, now: Instant) {
        if let Some(bytes) = self.sending.take() {
            self.unsent_bytes -= bytes;
            self.last_progress = now;
        }
    }

    /// When to look for idleness; `None` once closed.
    pub fn next_deadline(&self) -> Option<Instant> {
        (self.phase != Phase::Closed).then(|| self.last_progress + self.limits.idle_max)
    }

    /// Time has passed: a connection without progress, and without a handler that could make some, is over. Bytes that
    /// do not complete a request are no progress, or a trickle could hold memory for ever.
    pub fn handle_deadline(&mut self, now: Instant) {
        if self.running_produce + self.running_other > 0 {
            self.last_progress = now;
        } else if self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.handle_failure(CloseReason::Idle);
        }
    }

    /// Bytes of requests that need no room in the budget any more, since the last call.
    pub fn take_freed_bytes(&mut self) -> usize {
        std::mem::take(&mut self.freed_bytes)
    }

    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// The next thing to do. Sends come first, so that clients wait least.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        self.poll_send()
            .or_else(|| self.poll_start(now))
            .or_else(|| self.poll_close())
    }

    fn poll_send(&mut self) -> Option<Action> {
        if self.sending.is_some() || self.phase == Phase::Closed {
            return None;
        }
        let mut gathered = Vec::new();
        let mut bytes = 0;
        while let Some(Slot::Answered(_)) = self.slots.front()
            && bytes < SEND_BYTES
        {
            if let Some(Slot::Answered(Reply::Pieces(pieces))) = self.slots.pop_front() {
                bytes += pieces.iter().map(Piece::len).sum::<usize>();
                if gathered.is_empty() {
                    gathered = pieces;
                } else {
                    gathered.extend(pieces);
                }
            }
            self.first += 1;
        }
        if gathered.is_empty() {
            return None;
        }
        self.sending = Some(bytes);
        Some(Action::Send(gathered))
    }

    fn poll_start(&mut self, now: Instant) -> Option<Action> {
        if self.phase == Phase::Closed || self.unsent_bytes >= self.limits.unsent_bytes_max {
            return None;
        }
        self.cut_frames(now); // frames that came while there was no slot for them
        let begun = |slot: &Slot| !matches!(slot, Slot::Waiting { .. });
        let index = self.slots.partition_point(begun); // requests begin in order: the waiting ones are the last
        let slot = self.slots.get_mut(index)?;
        let Slot::Waiting { frame, frame_bytes } = slot else {
            return None;
        };
        let is_produce = frame.header.api_key == PRODUCE;
        let may_begin = self.running_other == 0 && (is_produce || self.running_produce == 0);
        if !may_begin {
            return None;
        }
        let running = Slot::Running {
            is_produce,
            frame_bytes: *frame_bytes,
        };
        let Slot::Waiting { frame, .. } = std::mem::replace(slot, running) else {
            return None;
        };
        if is_produce {
            self.running_produce += 1;
        } else {
            self.running_other += 1;
        }
        debug_assert!(self.running_other == 0 || self.running_other == 1 && self.running_produce == 0);
        Some(Action::Start(RequestNumber(self.first + index as u64), frame))
    }

    fn poll_close(&mut self) -> Option<Action> {
        if !self.slots.is_empty() || self.sending.is_some() {
            return None;
        }
        let reason = match &self.phase {
            Phase::Draining(reason) => reason.clone(),
            // no slot is taken: what is left in the buffer is no whole frame
            Phase::Open if self.ended && self.buffer.is_empty() => CloseReason::PeerClosed,
            Phase::Open if self.ended => CloseReason::PeerClosedMidRequest {
                received: self.buffer.len(),
            },
            Phase::Open | Phase::Closed => return None,
        };
        self.phase = Phase::Closed;
        Some(Action::Close(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_request_is_not_kept_by_what_follows_it() {
        // Ten thousand idle connections would each hold the memory of the largest request they ever sent.
        let now = reactor::now();
        let mut peer = Peer::new(Limits::default(), now);
        let mut buffer = BytesMut::from(&1_000_000i32.to_be_bytes()[..]);
        buffer.extend_from_slice(&[0, 0, 0, 7, 0, 0, 0, 1, 0xff, 0xff]);
        buffer.resize(1_000_004, 0);
        buffer.extend_from_slice(&[0, 0, 0]); // the next one begins
        peer.handle_received(now, buffer);
        let Some(Action::Start(_, frame)) = peer.poll_action(now) else {
            panic!("a request is there")
        };
        assert_eq!(frame.body.len(), 1_000_000 - 10);
        // alone in its allocation: it can be had back as one
        let rest = peer.lend_buffer();
        assert_eq!(&rest[..], [0, 0, 0]);
        assert!(rest.capacity() < 1000);
        assert!(frame.body.freeze().try_into_mut().is_ok());
    }
}
