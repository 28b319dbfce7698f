//! What a journal knows, behind one `RefCell`: the groups on their way, and the logs that wait for a checkpoint.
//!
//! Invariants:
//! - `durable` < sequences in flight < sequence of the groups waiting; all consecutive;
//! - a sequence is durable only when it and every one below it are on stable storage: a power cut may keep a later write and
//!   lose an earlier one, and a record must not be acknowledged while one before it can vanish;
//! - `replay_from` <= the sequence of the oldest entry that a segment may lack.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Weak;
use std::sync::Arc;
use std::task::Waker;

use reactor::disk::FileSystem;
use reactor::sync::Notify;
use reactor::{AlignedBuf, DirectFile};
use uuid::Uuid;

use super::config::JournalConfig;
use super::error::JournalFault;
use super::files::Files;
use super::format::{EntryHeader, FRAME_HEADER_BYTES, entry_bytes, frame_bytes};
use super::group::Group;
use crate::log::handle::Inner as LogInner;
use crate::planted::{self, Bug};

pub(crate) struct Shared {
    pub(super) config: JournalConfig,
    pub(super) journal_id: Uuid,
    /// Of the log directory; open from the start, because the kernel tells of a failed write-back only who was there.
    pub(super) file_system: FileSystem,
    pub(super) state: RefCell<State>,
    /// There is a group to write, or a place for one.
    pub(super) work: Notify,
    /// A checkpoint is wanted now.
    pub(super) checkpoint: Notify,
    /// A checkpoint has ended, well or not.
    pub(super) checkpointed: Notify,
    /// Some log has bytes that its file lacks.
    pub(super) unwritten: Notify,
    /// Tails hold half of what they may.
    pub(super) pressure: Notify,
}

pub(super) struct State {
    pub(super) files: Files,
    /// Groups to write, oldest first; the last one still takes entries. Bounded by the requests in flight.
    groups: VecDeque<Group>,
    in_flight: VecDeque<InFlight>,
    /// Sequence of the first of `groups`.
    next_sequence: u64,
    durable: u64,
    pub(super) replay_from: u64,
    fault: Option<JournalFault>,
    /// Logs with entries that their synced segments may lack.
    pub(super) dirty: Vec<Weak<LogInner>>,
    /// Logs with bytes that their files lack, the one that waits longest first.
    pub(super) unsettled: VecDeque<Weak<LogInner>>,
    pub(super) unwritten_bytes: u64,
    /// Of appends that are not durable yet.
    backlog_bytes: u64,
    pub(super) bytes_since_checkpoint: u64,
    /// Appended past the journal since recovery points were last asked for.
    pub(super) direct_bytes: u64,
    pub(super) checkpoints: u64,
    pub(super) is_checkpointing: bool,
    pub(super) is_closing: bool,
    pub(super) figures: Figures,
}

/// Counts for `/metrics`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub writes: u64,
    pub entries: u64,
    /// Bytes written, padding included.
    pub bytes: u64,
    pub checkpoints: u64,
    pub unwritten_bytes: u64,
}

impl State {
    pub(super) fn fault(&self) -> Option<&JournalFault> {
        self.fault.as_ref()
    }
}

struct InFlight {
    is_done: bool,
    bytes: u64,
    wakers: Vec<Waker>,
}

/// A group on its way to the disk.
pub(super) struct Write {
    pub(super) sequence: u64,
    pub(super) buf: AlignedBuf,
    pub(super) file: DirectFile,
    pub(super) position: u64,
}

/// What the writer does next.
pub(super) enum Next {
    Write(Write),
    /// Nothing to write, or enough is in flight.
    Wait,
    /// All files are full.
    Full,
    End,
}

/// A second write is worth a flush of its own only for this much; less waits for the first to return. A guess to be measured.
const CONCURRENT_BYTES_MIN: usize = 32 << 10;

impl Shared {
    pub(super) fn new(mut config: JournalConfig, files: Files, file_system: FileSystem) -> Shared {
        // a group that no file takes would never be written
        let frame_bytes_max = usize::try_from(files.frame_bytes_max()).unwrap_or(usize::MAX);
        config.group_bytes_max = config.group_bytes_max.min(frame_bytes_max);
        Shared {
            journal_id: files.layout.journal_id,
            file_system,
            config,
            state: RefCell::new(State {
                files,
                groups: VecDeque::new(),
                in_flight: VecDeque::new(),
                next_sequence: 1,
                durable: 0,
                replay_from: 1,
                fault: None,
                dirty: Vec::new(),
                unsettled: VecDeque::new(),
                unwritten_bytes: 0,
                backlog_bytes: 0,
                bytes_since_checkpoint: 0,
                direct_bytes: 0,
                checkpoints: 0,
                is_checkpointing: false,
                is_closing: false,
                figures: Figures::default(),
            }),
            work: Notify::new(),
            checkpoint: Notify::new(),
            checkpointed: Notify::new(),
            unwritten: Notify::new(),
            pressure: Notify::new(),
        }
    }

    /// Adds an entry to the group that is being filled and returns the group's sequence.
    pub(super) fn push(&self, header: &EntryHeader, body: &[u8]) -> u64 {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if !state
            .groups
            .back()
            .is_some_and(|group| group.has_room(body.len()))
        {
            let group = Group::new(self.config.group_bytes_max, body.len());
            state.backlog_bytes += group.len() as u64;
            state.groups.push_back(group);
        }
        if let Some(group) = state.groups.back_mut() {
            let before = group.len();
            group.push(header, body);
            state.backlog_bytes += (group.len() - before) as u64;
        }
        state.figures.entries += 1;
        if state.groups.len() == 1 && state.in_flight.len() < self.config.writes_in_flight_max {
            self.work.notify_one();
        }
        state.next_sequence + state.groups.len() as u64 - 1
    }

    /// Whether a batch of this size goes through the journal, and not to its segment at once, because the journal is behind
    /// or because it is large.
    pub(super) fn takes(&self, body_bytes: usize, is_behind: bool) -> bool {
        let payload = (FRAME_HEADER_BYTES + entry_bytes(body_bytes)) as u64;
        let direct_bytes = if is_behind {
            self.config.direct_behind_bytes
        } else {
            self.config.direct_bytes
        };
        body_bytes < direct_bytes && frame_bytes(payload) <= self.state.borrow().files.frame_bytes_max()
    }

    /// The disk is what appends wait for.
    pub(super) fn is_behind(&self) -> bool {
        self.state.borrow().backlog_bytes >= self.config.backlog_bytes
    }

    pub(super) fn next_write(&self) -> Next {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.fault.is_some() {
            return Next::End;
        }
        let Some(group) = state.groups.front() else {
            return if state.is_closing { Next::End } else { Next::Wait };
        };
        let is_alone = state.in_flight.is_empty();
        let is_worth = state.groups.len() > 1 || group.len() >= CONCURRENT_BYTES_MIN;
        if !(is_alone || is_worth && state.in_flight.len() < self.config.writes_in_flight_max) {
            return Next::Wait;
        }
        let bytes = frame_bytes((group.len() - FRAME_HEADER_BYTES) as u64);
        let sequence = state.next_sequence;
        let Some((file, position)) = state.files.place(bytes, sequence) else {
            return Next::Full;
        };
        let Some(group) = state.groups.pop_front() else {
            return Next::Wait;
        };
        state.next_sequence += 1;
        let group_bytes = group.len() as u64;
        let (buf, wakers) = group.seal(self.journal_id, sequence, state.replay_from);
        state.in_flight.push_back(InFlight {
            is_done: false,
            bytes: group_bytes,
            wakers,
        });
        state.bytes_since_checkpoint += bytes;
        state.figures.writes += 1;
        state.figures.bytes += bytes;
        if state.bytes_since_checkpoint >= self.config.checkpoint_bytes {
            self.checkpoint.notify_one();
        }
        Next::Write(Write {
            sequence,
            buf,
            file,
            position,
        })
    }

    /// A write has ended. Wakes everybody whose records are durable now.
    pub(super) fn written(&self, sequence: u64, result: io::Result<()>) {
        if let Err(error) = result
            && !planted::is(Bug::JournalErrorIgnored)
        {
            self.fail("write journal", error);
            return;
        }
        let mut ready = Vec::new();
        {
            let mut state = self.state.borrow_mut();
            let state = &mut *state;
            let first = state.durable + 1;
            let at = usize::try_from(sequence - first).unwrap_or(usize::MAX);
            if let Some(write) = state.in_flight.get_mut(at) {
                write.is_done = true;
                if planted::is(Bug::JournalAcknowledgedOutOfOrder) {
                    ready.push(std::mem::take(&mut write.wakers));
                }
            }
            while state.in_flight.front().is_some_and(|write| write.is_done) {
                state.durable += 1;
                if let Some(write) = state.in_flight.pop_front() {
                    state.backlog_bytes = state.backlog_bytes.saturating_sub(write.bytes);
                    ready.push(write.wakers);
                }
            }
        }
        self.work.notify_one();
        for waker in ready.into_iter().flatten() {
            waker.wake();
        }
    }

    /// Gives the journal up. The kernel tells of a failed write once; nothing is believed any more.
    pub(crate) fn fail(&self, operation: &'static str, error: io::Error) {
        let wakers = {
            let mut state = self.state.borrow_mut();
            if state.fault.is_none() {
                tracing::error!(journal = %state.files.layout.dir.display(), operation, %error,
                    "journal given up: the logs of its directory go offline");
                state.fault = Some(JournalFault {
                    operation,
                    source: Arc::new(error),
                });
            }
            let groups = state
                .groups
                .iter_mut()
                .map(|group| std::mem::take(&mut group.wakers));
            let mut wakers: Vec<Vec<Waker>> = groups.collect();
            wakers.extend(
                state
                    .in_flight
                    .iter_mut()
                    .map(|write| std::mem::take(&mut write.wakers)),
            );
            wakers
        };
        self.work.notify_one();
        self.checkpoint.notify_one();
        self.unwritten.notify_one();
        self.pressure.notify_one();
        self.checkpointed.notify_waiters();
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }

    pub(crate) fn fault(&self) -> Option<JournalFault> {
        self.state.borrow().fault.clone()
    }

    /// Whether a sequence is durable; if not, whose waker is woken when it is.
    pub(super) fn poll_durable(&self, sequence: u64, waker: &Waker) -> Option<Result<(), JournalFault>> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.durable >= sequence {
            return Some(Ok(()));
        }
        if let Some(fault) = &state.fault {
            return Some(Err(fault.clone()));
        }
        let wakers = if sequence < state.next_sequence {
            let at = usize::try_from(sequence - state.durable - 1).unwrap_or(usize::MAX);
            if planted::is(Bug::JournalAcknowledgedOutOfOrder)
                && state.in_flight.get(at).is_some_and(|write| write.is_done)
            {
                return Some(Ok(()));
            }
            state.in_flight.get_mut(at).map(|write| &mut write.wakers)
        } else {
            let at = usize::try_from(sequence - state.next_sequence).unwrap_or(usize::MAX);
            state.groups.get_mut(at).map(|group| &mut group.wakers)
        };
        debug_assert!(wakers.is_some(), "a sequence that is not durable is on its way");
        if let Some(wakers) = wakers
            && !wakers.last().is_some_and(|last| last.will_wake(waker))
        {
            wakers.push(waker.clone());
        }
        None
    }

    /// Everything that was appended is durable.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state.borrow();
        state.groups.is_empty() && state.in_flight.is_empty()
    }

    /// The least sequence that an entry still to come may get: it may join the group that is being filled.
    pub(super) fn sequence_to_come(&self) -> u64 {
        let state = self.state.borrow();
        state.next_sequence + state.groups.len().saturating_sub(1) as u64
    }
}
