//! One partition's coordinator at work: events go in, answers and appends come out.
//!
//! ```text
//! request --> machine --Append--> partition.append (in order) --commit--> Committed --> machine --Respond--> client
//! timer   -->
//! ```

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use control::group::{
    Action, AppendFailure, EncodedRecord, ErrorCode, Event, GroupConfig, GroupShard, MonotonicMs, Now,
    Request, RequestContext, Response, Ticket, Token,
};
use engine::batch::BatchBuilder;
use engine::types::{Offset, Timestamp};
use futures_util::future::{Either, select};
use reactor::oneshot;
use reactor::sync::Notify;

use crate::partition::{Origin, Partition};
use crate::produce_error::ProduceError;
use crate::replica::Unacknowledged;

/// See the module's documentation.
pub struct Host {
    machine: RefCell<GroupShard>,
    partition: Rc<Partition>,
    waiting: RefCell<HashMap<Token, oneshot::Sender<Response>>>,
    next_token: Cell<u64>,
    /// The last append that is not known to be durable yet: its ticket and the end of the log behind it.
    uncommitted: Cell<Option<(Ticket, Offset)>>,
    appended: Notify,
    timers_changed: Notify,
    stopped: Cell<bool>,
}

impl Host {
    pub(super) fn new(partition: Rc<Partition>, config: GroupConfig) -> Rc<Host> {
        Rc::new(Host {
            machine: RefCell::new(GroupShard::new(config)),
            partition,
            waiting: RefCell::default(),
            next_token: Cell::new(0),
            uncommitted: Cell::new(None),
            appended: Notify::new(),
            timers_changed: Notify::new(),
            stopped: Cell::new(false),
        })
    }

    /// Reads of the machine, for metrics.
    pub fn inspect<T>(&self, look: impl FnOnce(&GroupShard) -> T) -> T {
        look(&self.machine.borrow())
    }

    pub(super) fn with_machine(&self, load: impl FnOnce(&mut GroupShard)) {
        load(&mut self.machine.borrow_mut());
    }

    /// The log has been read: serve.
    pub(super) fn start(self: &Rc<Host>) {
        self.machine.borrow_mut().loaded(now());
        self.act();
        reactor::spawn(self.clone().run_commits()).detach();
        reactor::spawn(self.clone().run_timers()).detach();
    }

    pub(super) fn stop(&self) {
        self.stopped.set(true);
        self.machine.borrow_mut().unload();
        self.act();
        self.appended.notify_waiters();
        self.timers_changed.notify_waiters();
    }

    pub(super) fn topics_deleted(&self, topics: Vec<String>) {
        self.handle(Event::TopicsDeleted { topics });
    }

    /// Asks the machine; resolves when it answers, which may be a rebalance later.
    pub async fn request(&self, context: RequestContext, request: Request) -> Result<Response, ErrorCode> {
        let token = Token(self.next_token.get());
        self.next_token.set(token.0 + 1);
        let (answer, answered) = reactor::oneshot();
        self.waiting.borrow_mut().insert(token, answer);
        self.handle(Event::Request {
            token,
            context,
            request,
        });
        answered.await.map_err(|_| ErrorCode::NOT_COORDINATOR)
    }

    fn handle(&self, event: Event) {
        self.machine.borrow_mut().handle(now(), event);
        self.act();
    }

    /// Does what the machine decided, in its order, until it has nothing more to say.
    fn act(&self) {
        loop {
            let action = self.machine.borrow_mut().poll_action();
            match action {
                None => break,
                Some(Action::Respond { token, response }) => {
                    if let Some(waiting) = self.waiting.borrow_mut().remove(&token) {
                        let _client_may_be_gone = waiting.send(response);
                    }
                }
                Some(Action::Append {
                    ticket,
                    producer: _,
                    records,
                }) => self.append(ticket, &records),
            }
        }
        self.timers_changed.notify_waiters();
    }

    fn append(&self, ticket: Ticket, records: &[EncodedRecord]) {
        match self.write(records) {
            Ok(end) => {
                self.uncommitted.set(Some((ticket, end)));
                self.appended.notify_waiters();
            }
            Err(error) => {
                tracing::error!(partition = self.partition.id.index, %error, "group records were not appended");
                let failure = match error {
                    ProduceError::Unavailable(_) | ProduceError::Deposed => AppendFailure::NotLeader,
                    ProduceError::NotEnoughReplicas(_) => AppendFailure::NotEnoughReplicas,
                    ProduceError::Disk(_) | ProduceError::Append(_) => AppendFailure::Storage,
                    ProduceError::Batch(engine::batch::BatchError::TooLarge { .. }) => {
                        AppendFailure::TooLarge
                    }
                    _ => AppendFailure::Unknown,
                };
                self.machine
                    .borrow_mut()
                    .handle(now(), Event::AppendFailed { ticket, failure });
            }
        }
    }

    /// Writes one decision: a single batch, so that after a crash it is there as a whole or not at all.
    fn write(&self, records: &[EncodedRecord]) -> Result<Offset, ProduceError> {
        let at = Timestamp(reactor::wall_ms());
        let mut batch = BatchBuilder::new(Offset(0));
        for record in records {
            batch.append(at, Some(&record.key), record.value.as_deref());
        }
        // As a producer with acks=all: what only this broker had would never be committed.
        self.partition
            .check_in_sync()
            .map_err(ProduceError::NotEnoughReplicas)?;
        let appended = self.partition.append(batch.build()?, Origin::Coordinator)?;
        Ok(appended.commit_offset())
    }

    /// One commit at a time; what is appended meanwhile shares the next.
    async fn run_commits(self: Rc<Host>) {
        while !self.stopped.get() {
            let Some((ticket, end)) = self.uncommitted.take() else {
                self.appended.notified().await;
                continue;
            };
            if let Err(fault) = self.partition.commit(end).await {
                tracing::error!(partition = self.partition.id.index, %fault, "group records are not durable: giving the partition up");
                self.stop();
                return;
            }
            // On one disk only, a committed offset would be gone with that broker, and its group read again what it had done.
            match self.partition.replicated(end).await {
                Ok(()) => self.handle(Event::Committed { up_to: ticket }),
                Err(Unacknowledged) => self.stop(),
            }
        }
    }

    async fn run_timers(self: Rc<Host>) {
        while !self.stopped.get() {
            let deadline = self.machine.borrow().next_deadline();
            let changed = self.timers_changed.notified();
            let Some(deadline) = deadline else {
                changed.await;
                continue;
            };
            let wait = deadline.0.saturating_sub(now().monotonic.0);
            if wait == 0 {
                self.handle(Event::Tick);
                continue;
            }
            let (changed, slept) = (
                std::pin::pin!(changed),
                std::pin::pin!(reactor::sleep(Duration::from_millis(wait))),
            );
            match select(changed, slept).await {
                Either::Left(_) => {}
                Either::Right(_) => self.handle(Event::Tick),
            }
        }
    }
}

/// Both clocks, read now.
fn now() -> Now {
    let monotonic = reactor::now().saturating_since(reactor::Instant::default());
    Now {
        monotonic: MonotonicMs(u64::try_from(monotonic.as_millis()).unwrap_or(u64::MAX)),
        wall: Timestamp(reactor::wall_ms()),
    }
}
