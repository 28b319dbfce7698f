//! The rules at work: takes events, does what the core says.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use engine::log::is_disk_full;
use engine::types::{Offset, Timestamp};
use reactor::sync::Notify;
use reactor::{Instant, oneshot};

use super::disk_task::Op;
use super::files::Files;
use super::network::{ChangeOutcome, QuorumPeers};
use super::pending::{Fate, PendingAppend, fate};
use super::{election_state, encode};
use crate::config::Endpoint;
use crate::quorum::{
    Action, Core, Description, Entry, Event, FetchOutcome, FetchResponse, FetchSnapshotResponse, LeaderView,
    NoAnswer, Refusal, Request, RequestId, Response, SnapshotPart, VoterChange,
};
use crate::record::{BrokerId, ControllerEpoch, Record};
use crate::store::batch;
use crate::store::error::{AppendError, LogFault};
use crate::store::meta_log::{Appended, Leadership, Member, SnapshotId};

/// Log sent in one answer; a batch is at most about as large.
const FETCH_BYTES: usize = 1 << 20;
/// Of a snapshot.
const PART_BYTES: usize = 1 << 20;
/// A snapshot that is fetched grows no larger in memory.
const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;
/// No answer to a request of ours after this: the core has long asked again.
const ASK_MAX: Duration = Duration::from_secs(5);
/// After the disk was full.
const FULL_RETRY: Duration = Duration::from_millis(100);
/// Requests of others that are not answered yet; more are dropped.
const ASKED_MAX: usize = 4096;

pub(super) struct Host {
    pub(super) member: Member,
    pub(super) core: RefCell<Core>,
    pub(super) files: RefCell<Files>,
    pub(super) peers: OnceCell<Rc<dyn QuorumPeers>>,
    pub(super) queue: RefCell<VecDeque<Op>>,
    pub(super) queued: Notify,
    /// After every step.
    pub(super) changed: Notify,
    pub(super) fault: RefCell<Option<LogFault>>,
    not_before: Cell<Instant>,
    next_request: Cell<u64>,
    asked: RefCell<BTreeMap<RequestId, oneshot::Sender<Response>>>,
    changes: RefCell<BTreeMap<RequestId, oneshot::Sender<ChangeOutcome>>>,
    pending: RefCell<Vec<PendingAppend>>,
    partial: RefCell<Option<(SnapshotId, Vec<u8>)>>,
    own: Weak<Host>,
}

impl Host {
    pub(super) fn new(member: Member, core: Core, files: Files) -> Rc<Host> {
        Rc::new_cyclic(|own| Host {
            member,
            core: RefCell::new(core),
            files: RefCell::new(files),
            peers: OnceCell::new(),
            queue: RefCell::default(),
            queued: Notify::new(),
            changed: Notify::new(),
            fault: RefCell::new(None),
            not_before: Cell::new(Instant::default()),
            next_request: Cell::new(0),
            asked: RefCell::default(),
            changes: RefCell::default(),
            pending: RefCell::default(),
            partial: RefCell::new(None),
            own: own.clone(),
        })
    }

    /// What is committed and on this disk: as far as the log is shown.
    pub(super) fn committed(&self) -> Offset {
        let core = self.core.borrow();
        core.high_watermark().min(core.log().durable())
    }

    pub(super) fn controller(&self) -> Option<Leadership> {
        let core = self.core.borrow();
        let leader = core.leader()?;
        let endpoint = if leader == self.member.id {
            self.member.endpoint.clone()
        } else {
            core.endpoint_of(leader)?
        };
        Some(Leadership {
            controller: leader,
            epoch: core.epoch(),
            endpoint,
        })
    }

    pub(super) fn describe(&self) -> Option<Description> {
        self.core.borrow().describe(reactor::now())
    }

    fn next_request(&self) -> RequestId {
        self.next_request.set(self.next_request.get() + 1);
        RequestId(self.next_request.get())
    }

    /// Another replica asks.
    pub(super) fn ask_core(&self, request: Request) -> oneshot::Receiver<Response> {
        let (answer, answered) = reactor::oneshot();
        let id = self.next_request();
        {
            let mut asked = self.asked.borrow_mut();
            asked.retain(|_, answer| !answer.is_closed());
            if asked.len() >= ASKED_MAX {
                return answered;
            }
            asked.insert(id, answer);
        }
        self.step(Event::Asked { id, request });
        answered
    }

    pub(super) fn change_voters(&self, change: VoterChange) -> oneshot::Receiver<ChangeOutcome> {
        let (answer, answered) = reactor::oneshot();
        let id = self.next_request();
        self.changes.borrow_mut().insert(id, answer);
        self.step(Event::Change { id, change });
        answered
    }

    pub(super) fn step(&self, event: Event) {
        // A refusal is that of a full disk, and the core's state is as before: who asked will ask again.
        let _refused = self.try_step(|core, now| Ok(core.step(now, event)));
    }

    fn try_step(
        &self,
        step: impl FnOnce(&mut Core, Instant) -> Result<Vec<Action>, AppendError>,
    ) -> Result<(), AppendError> {
        if let Some(fault) = &*self.fault.borrow() {
            return Err(fault.clone().into());
        }
        let (before, actions) = {
            let mut core = self.core.borrow_mut();
            let before = core.clone();
            let actions = step(&mut core, reactor::now())?;
            (before, actions)
        };
        let done = self.prepare(&actions);
        if let Err(error) = &done {
            *self.core.borrow_mut() = before;
            self.not_before.set(reactor::now() + FULL_RETRY);
            tracing::warn!(%error, "the quorum waits for room on the disk");
            return done.map(drop);
        }
        for (action, encoded) in actions.into_iter().zip(done.into_iter().flatten()) {
            self.act(action, encoded);
        }
        self.settle();
        self.changed.notify_waiters();
        Ok(())
    }

    /// What may fail with nothing done: everything behind it is in memory, or ends the process.
    fn prepare(&self, actions: &[Action]) -> Result<Vec<Vec<Bytes>>, AppendError> {
        let now = Timestamp(reactor::wall_ms());
        let mut encoded = Vec::with_capacity(actions.len());
        for action in actions {
            encoded.push(match action {
                Action::Append { entries, .. } => entries
                    .iter()
                    .map(|entry| encode::encode(entry, now))
                    .collect::<Result<_, _>>()?,
                _ => Vec::new(),
            });
        }
        let bytes: usize = encoded.iter().flatten().map(Bytes::len).sum();
        if bytes > 0 {
            let queued: usize = self.queue.borrow().iter().map(Op::bytes).sum();
            self.files.borrow().reserve((bytes + queued) as u64)?;
        }
        if let Some(Action::Persist(state)) = actions.first() {
            let dir = self.files.borrow().dir.clone();
            election_state::store(&dir, state).map_err(|error| match is_disk_full(&error) {
                true => AppendError::NoSpace { bytes: 0 },
                false => {
                    let fault = LogFault::new("write", &election_state::path(&dir), &error);
                    AppendError::Fault(self.fail(fault))
                }
            })?;
        }
        Ok(encoded)
    }

    pub(super) fn fail(&self, fault: LogFault) -> LogFault {
        tracing::error!(%fault, "this replica of the metadata log takes part no more");
        let fault = self.fault.borrow_mut().get_or_insert(fault).clone();
        for pending in self.pending.take() {
            let _asker_may_be_gone = pending.answer.send(Err(fault.clone().into()));
        }
        self.changed.notify_waiters();
        fault
    }

    fn act(&self, action: Action, encoded: Vec<Bytes>) {
        match action {
            // done, before anything else
            Action::Persist(_) => {}
            Action::Append { write, entries } => self.enqueue(write, &entries, encoded),
            Action::Truncate { end_offset } => self.truncate(end_offset),
            Action::Ask { to, request } => self.ask(to, request),
            Action::Answer { id, response } => self.answer(id, response),
            Action::AnswerRecords {
                id,
                view,
                high_watermark,
                from,
                end,
            } => {
                let outcome = match self.records(from, end) {
                    Ok(entries) => FetchOutcome::Records(entries),
                    Err(()) => FetchOutcome::Refused(Refusal::Storage),
                };
                let response = FetchResponse {
                    view,
                    high_watermark,
                    outcome,
                };
                self.answer(id, Response::Fetch(response));
            }
            Action::AnswerSnapshot {
                id,
                view,
                snapshot,
                position,
            } => self.answer_snapshot(id, view, snapshot, position),
            Action::StoreSnapshot { id, position, bytes } => self.store_part(id, position, &bytes),
            Action::InstallSnapshot { id } => {
                let (_, bytes) = self.partial.take().unwrap_or_default();
                self.queue.borrow_mut().push_back(Op::Install { id, bytes });
                self.queued.notify_waiters();
            }
            Action::AnswerChange { id, result } => {
                if let Some(answer) = self.changes.borrow_mut().remove(&id) {
                    let _asker_may_be_gone = answer.send(result);
                }
            }
            Action::Fault(what) => {
                let dir = self.files.borrow().dir.clone();
                self.fail(LogFault::new("agreement", &dir, &std::io::Error::other(what)));
            }
        }
    }

    fn enqueue(&self, write: u64, entries: &[Entry], encoded: Vec<Bytes>) {
        let mut queue = self.queue.borrow_mut();
        let last = entries.len().saturating_sub(1);
        for (index, (entry, bytes)) in entries.iter().zip(encoded).enumerate() {
            queue.push_back(Op::Write {
                write: (index == last).then_some(write),
                base: entry.base_offset,
                end: entry.last_offset.next(),
                bytes,
            });
        }
        self.queued.notify_waiters();
    }

    /// What is not written yet needs no cutting off; the one at the front may be on its way.
    fn truncate(&self, end: Offset) {
        let mut queue = self.queue.borrow_mut();
        let mut dropped = None;
        let mut index = 0;
        queue.retain(|op| {
            index += 1;
            match op {
                Op::Write { write, base, .. } if index > 1 && *base >= end => {
                    dropped = dropped.max(*write);
                    false
                }
                _ => true,
            }
        });
        queue.push_back(Op::Truncate { end, write: dropped });
        self.queued.notify_waiters();
    }

    fn ask(&self, to: BrokerId, request: Request) {
        let own = self.own.clone();
        let endpoint: Option<Endpoint> = self.core.borrow().endpoint_of(to);
        let asked = match (self.peers.get(), &endpoint) {
            (Some(peers), Some(endpoint)) => Some(peers.ask(endpoint, request.clone())),
            _ => None,
        };
        reactor::spawn(async move {
            let outcome = match asked {
                Some(asked) => reactor::timeout(ASK_MAX, asked)
                    .await
                    .unwrap_or(Err(NoAnswer::Lost)),
                None => Err(NoAnswer::Lost),
            };
            let Some(host) = own.upgrade() else {
                return;
            };
            host.step(match outcome {
                Ok(response) => Event::Answered {
                    from: to,
                    request,
                    response,
                },
                Err(why) => Event::Unanswered { to, request, why },
            });
        })
        .detach();
    }

    fn answer(&self, id: RequestId, response: Response) {
        if let Some(answer) = self.asked.borrow_mut().remove(&id) {
            let _asker_may_be_gone = answer.send(response);
        }
    }

    /// Of the files, and of what is still to be written to them.
    fn records(&self, from: Offset, end: Offset) -> Result<Vec<Entry>, ()> {
        if from >= end {
            return Ok(Vec::new());
        }
        let queue = self.queue.borrow();
        let files = self.files.borrow();
        let (mut files_end, mut unwritten) = (files.end(), Vec::new());
        for op in queue.iter() {
            match op {
                Op::Truncate { end, .. } => {
                    files_end = files_end.min(*end);
                    unwritten.retain(|(base, _): &(Offset, &Bytes)| base < end);
                }
                Op::Write { base, bytes, .. } => unwritten.push((*base, bytes)),
                Op::Begin { .. } | Op::Install { .. } => {}
            }
        }
        let mut bytes = Vec::new();
        if from < files_end {
            let read = files.read_bytes(from, end.min(files_end), FETCH_BYTES);
            bytes = read.map_err(|error| tracing::error!(%error, "the log cannot be read"))?;
        }
        if bytes.len() < FETCH_BYTES {
            for (_, more) in unwritten
                .iter()
                .filter(|(base, _)| *base >= from.max(files_end) && *base < end)
            {
                if !bytes.is_empty() && bytes.len() + more.len() > FETCH_BYTES {
                    break;
                }
                bytes.extend_from_slice(more);
            }
        }
        encode::decode(&Bytes::from(bytes), from)
            .map_err(|error| tracing::error!(%error, "the log cannot be read"))
    }

    fn answer_snapshot(&self, id: RequestId, view: LeaderView, snapshot: SnapshotId, position: u64) {
        let read = self.files.borrow().read_snapshot(snapshot, position, PART_BYTES);
        let part = match read {
            Ok((size_bytes, bytes)) => Ok(SnapshotPart {
                id: snapshot,
                size_bytes,
                position,
                bytes: bytes.into(),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                Err(Refusal::PositionOutOfRange)
            }
            Err(_) => Err(Refusal::SnapshotNotFound),
        };
        self.answer(id, Response::FetchSnapshot(FetchSnapshotResponse { view, part }));
    }

    fn store_part(&self, id: SnapshotId, position: u64, bytes: &[u8]) {
        let mut partial = self.partial.borrow_mut();
        if position == 0 {
            *partial = Some((id, Vec::new()));
        }
        if let Some((known, stored)) = &mut *partial
            && *known == id
            && stored.len() as u64 == position
            && position < SNAPSHOT_BYTES_MAX
        {
            stored.extend_from_slice(bytes);
        }
    }

    /// Appends a batch that is to be committed; the answer comes when it is, or never will be.
    pub(super) fn propose(
        &self,
        epoch: ControllerEpoch,
        records: &[Record],
    ) -> Result<oneshot::Receiver<Result<Appended, AppendError>>, AppendError> {
        let (answer, answered) = reactor::oneshot();
        let base_offset = self.core.borrow().log().end();
        let bytes = batch::encode(base_offset, epoch, Timestamp(reactor::wall_ms()), records)?;
        let appended = Appended {
            base_offset,
            last_offset: base_offset.saturating_add(records.len() as i64 - 1),
        };
        self.pending.borrow_mut().push(PendingAppend {
            appended,
            epoch,
            answer,
        });
        let stepped = self.try_step(|core, now| {
            let proposed = core.propose(now, epoch, base_offset, appended.last_offset, Bytes::from(bytes));
            proposed.map_err(|_| AppendError::Fenced {
                own: epoch,
                current: core.epoch(),
            })
        });
        if let Err(error) = stepped {
            // nothing of it was done
            self.pending
                .borrow_mut()
                .retain(|pending| (pending.appended, pending.epoch) != (appended, epoch));
            return Err(error);
        }
        Ok(answered)
    }

    /// Answers the appends whose fate is known.
    fn settle(&self) {
        let committed = self.committed();
        let core = self.core.borrow();
        let mut open = Vec::new();
        for pending in self.pending.take() {
            let PendingAppend {
                appended,
                epoch,
                answer,
            } = pending;
            let result = match fate(&core, committed, appended, epoch) {
                Fate::Open => {
                    open.push(PendingAppend {
                        appended,
                        epoch,
                        answer,
                    });
                    continue;
                }
                Fate::Committed => Ok(appended),
                Fate::Never(current) => Err(AppendError::Fenced { own: epoch, current }),
                Fate::Untold => {
                    let untold = std::io::Error::other(
                        "a snapshot replaced the log that told what became of an append",
                    );
                    let dir = self.files.borrow().dir.clone();
                    Err(LogFault::new("append", &dir, &untold).into())
                }
            };
            let _asker_may_be_gone = answer.send(result);
        }
        self.pending.replace(open);
    }

    /// Lets time pass; ends with the log.
    pub(super) async fn watch_time(own: Weak<Host>) {
        loop {
            let Some(host) = own.upgrade() else {
                return;
            };
            let changed = host.changed.notified();
            let now = reactor::now();
            let due = host.core.borrow().next_deadline().max(host.not_before.get());
            if host.fault.borrow().is_some() {
                return;
            }
            if due <= now {
                host.step(Event::Tick);
                // a deadline that does not move must not keep the thread
                reactor::yield_now().await;
                continue;
            }
            let _due_or_changed = reactor::timeout(due.saturating_since(now), changed).await;
        }
    }
}
