//! One connection that produces: sends what is due, several requests in flight, and times their answers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use net::ErrorCode;
use net::frame::{FrameError, next_frame};
use net::wire::WireError;
use reactor::sync::Notify;
use reactor::{Instant, Piece, Socket};

use super::load::Load;
use super::pace::{Next, Pace};
use super::produce_wire::{RequestTemplate, read_answer};
use super::stamp::{StampError, Stamper};
use super::tally::Tally;
use crate::client::Acks;

/// Requests handed to the kernel at once; their heads and batches fit one gathered send.
const GATHER_MAX: usize = 32;
/// An answer to a produce request is some hundred bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Between tries to get a lost connection back, and how often in a row.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
const RECONNECTS_MAX: u32 = 50;

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    #[error("connection closed by the broker")]
    Closed,
    #[error("the broker sent what is no answer: {0}")]
    Frame(#[from] FrameError),
    #[error("the broker sent an answer that cannot be read: {0}")]
    Answer(#[from] WireError),
    #[error("answer {found} where {expected} was due")]
    Order { expected: i32, found: i32 },
    #[error("cannot build a batch: {0}")]
    Stamp(#[from] StampError),
}

/// Where batches come from.
#[derive(Debug, Clone)]
pub enum Source {
    Prebuilt(Rc<Load>),
    Stamped(Rc<Stamper>, u32),
}

impl Source {
    fn batch(&self, turn: u64, intended: &[Instant]) -> Result<Bytes, StampError> {
        match self {
            Source::Prebuilt(load) => Ok(load.batch(turn)),
            Source::Stamped(stamper, _) => stamper.batch(intended),
        }
    }

    fn batch_records(&self) -> u64 {
        match self {
            Source::Prebuilt(load) => load.batch_records.into(),
            Source::Stamped(_, batch_records) => (*batch_records).into(),
        }
    }
}

/// What a lane is made of.
pub struct LaneConfig {
    pub address: SocketAddr,
    pub version: i16,
    /// One per partition; they take turns.
    pub requests: Vec<RequestTemplate>,
    pub source: Source,
    pub acks: Acks,
    pub in_flight_max: usize,
    /// How many of the batches that are due go into one; only stamped batches can.
    pub coalesce_max: usize,
}

pub struct ProduceLane {
    config: LaneConfig,
    socket: Socket,
    pace: RefCell<Pace>,
    tally: Rc<RefCell<Tally>>,
    in_flight: RefCell<VecDeque<InFlight>>,
    answered: Notify,
    turn: Cell<u64>,
}

/// A request that waits for its answer; answers come in the order of requests.
struct InFlight {
    correlation_id: i32,
    intended: Instant,
    records: u64,
    batches: u64,
    batch_bytes: u64,
}

impl ProduceLane {
    pub fn new(config: LaneConfig, socket: Socket, pace: Pace, tally: Rc<RefCell<Tally>>) -> ProduceLane {
        ProduceLane {
            config,
            socket,
            pace: RefCell::new(pace),
            tally,
            in_flight: RefCell::default(),
            answered: Notify::new(),
            turn: Cell::new(0),
        }
    }

    /// Follows the schedule to its end. A lost connection counts what was in flight as errors and is made again.
    pub async fn run(mut self) {
        let mut losses = 0;
        loop {
            let error = match self.session().await {
                Ok(()) => return,
                Err(error) => error,
            };
            let lost = std::mem::take(&mut *self.in_flight.borrow_mut()).len().max(1) as u64;
            self.tally.borrow_mut().failed(lost, || error.to_string());
            loop {
                losses += 1;
                if losses > RECONNECTS_MAX {
                    return;
                }
                match Socket::connect(self.config.address).await {
                    Ok(socket) => {
                        self.socket = socket;
                        break;
                    }
                    Err(_) => reactor::sleep(RECONNECT_PAUSE).await,
                }
            }
        }
    }

    async fn session(&self) -> Result<(), LaneError> {
        let sending = pin!(self.send_what_is_due());
        let receiving = pin!(self.receive_answers());
        match select(sending, receiving).await {
            Either::Left((sent, _)) => sent,
            Either::Right((received, _)) => received,
        }
    }

    /// Ends when the schedule has ended and every answer is there.
    async fn send_what_is_due(&self) -> Result<(), LaneError> {
        loop {
            let answered = self.answered.notified();
            let room = self
                .config
                .in_flight_max
                .saturating_sub(self.in_flight.borrow().len());
            let (gathered, then) = self.gather(room.min(GATHER_MAX))?;
            if !gathered.is_empty() {
                let sent_requests = Sent::of(&gathered);
                self.socket
                    .send(gathered.into_iter().flat_map(|request| request.pieces).collect())
                    .await?;
                if self.config.acks == Acks::None {
                    self.complete_unanswered(sent_requests);
                }
                continue;
            }
            match then {
                Next::WaitUntil(time) => reactor::sleep_until(time).await,
                Next::Done if self.in_flight.borrow().is_empty() => return Ok(()),
                // full, or drained of work: the next answer changes it
                Next::Done | Next::Send { .. } | Next::GiveUp { .. } => answered.await,
            }
        }
    }

    /// The requests that are due, as many as there is room for; and what comes after them.
    fn gather(&self, room: usize) -> Result<(Vec<Request>, Next), LaneError> {
        let now = reactor::now();
        let mut gathered = Vec::new();
        let mut pace = self.pace.borrow_mut();
        while gathered.len() < room {
            let mut due = Vec::new();
            let next = loop {
                let next = pace.next(now);
                match next {
                    Next::Send { intended } => due.push(intended),
                    Next::GiveUp { intended } => {
                        let batches = self.config.requests.first().map_or(1, RequestTemplate::batches);
                        let records = self.config.source.batch_records() * batches;
                        self.tally.borrow_mut().given_up(intended, now, records);
                        continue;
                    }
                    Next::WaitUntil(_) | Next::Done => break next,
                }
                if due.len() >= self.config.coalesce_max {
                    break next;
                }
            };
            let Some(intended) = due.first().copied() else {
                return Ok((gathered, next));
            };
            let turn = self.turn.get();
            self.turn.set(turn + 1);
            let Some(request) = self
                .config
                .requests
                .get(turn as usize % self.config.requests.len().max(1))
            else {
                return Ok((gathered, Next::Done));
            };
            let correlation_id = turn as i32 & i32::MAX;
            let batches = request.batches();
            let records = self.config.source.batch_records() * due.len() as u64 * batches;
            let batch = self.config.source.batch(turn, &due)?;
            let mut pieces = Vec::with_capacity(3);
            let batch_bytes = request.write(correlation_id, || batch, &mut pieces);
            if self.config.acks != Acks::None {
                self.in_flight.borrow_mut().push_back(InFlight {
                    correlation_id,
                    intended,
                    records,
                    batches,
                    batch_bytes,
                });
            }
            gathered.push(Request {
                intended,
                records,
                batch_bytes,
                pieces,
            });
        }
        Ok((gathered, Next::Send { intended: now }))
    }

    fn complete_unanswered(&self, sent: Vec<Sent>) {
        let now = reactor::now();
        let mut tally = self.tally.borrow_mut();
        for request in sent {
            tally.completed(request.intended, now, request.records, request.batch_bytes);
        }
    }

    async fn receive_answers(&self) -> Result<(), LaneError> {
        let mut received = BytesMut::new();
        loop {
            if self.socket.recv(&mut received).await? == 0 {
                return Err(LaneError::Closed);
            }
            let now = reactor::now();
            while let Some(frame) = next_frame(&mut received, ANSWER_BYTES_MAX)? {
                self.answer(&frame, now)?;
            }
            self.answered.notify_waiters();
        }
    }

    fn answer(&self, frame: &[u8], now: Instant) -> Result<(), LaneError> {
        let answer = read_answer(self.config.version, frame)?;
        let request = self.in_flight.borrow_mut().pop_front();
        let expected = request.as_ref().map_or(-1, |request| request.correlation_id);
        let Some(request) = request.filter(|request| request.correlation_id == answer.correlation_id) else {
            return Err(LaneError::Order {
                expected,
                found: answer.correlation_id,
            });
        };
        let mut tally = self.tally.borrow_mut();
        match answer.error {
            ErrorCode::None => {
                tally.completed(request.intended, now, request.records, request.batch_bytes);
            }
            error => {
                tally.failed(answer.refused, || error.to_string());
                let batches = request.batches.max(1);
                let taken = batches.saturating_sub(answer.refused);
                if taken > 0 {
                    let share = |all: u64| all / batches * taken;
                    tally.completed(
                        request.intended,
                        now,
                        share(request.records),
                        share(request.batch_bytes),
                    );
                }
            }
        }
        Ok(())
    }
}

struct Request {
    intended: Instant,
    records: u64,
    batch_bytes: u64,
    pieces: Vec<Piece>,
}

/// What is counted when nobody acknowledges.
struct Sent {
    intended: Instant,
    records: u64,
    batch_bytes: u64,
}

impl Sent {
    fn of(requests: &[Request]) -> Vec<Sent> {
        requests
            .iter()
            .map(|request| Sent {
                intended: request.intended,
                records: request.records,
                batch_bytes: request.batch_bytes,
            })
            .collect()
    }
}
