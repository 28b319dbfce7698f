//! The way into a partition whose log is not open: all who ask while it opens (or closes) wait here, in the order in which
//! they came.
//!
//! The order is invariant 5: a producer with five requests in flight expects its batches in the log as it sent them. When the
//! log opens, the first who waits is let in, then the second, each when the one before has done its ordered part; who
//! comes meanwhile waits behind them, even if it could go in at once. Only an empty gate is taken away.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use net::error::ErrorCode;
use reactor::sync::Notify;

use super::place::Place;
use crate::partition::Partition;

/// See the module's documentation. The queue is bounded by the requests in flight.
pub struct Gate {
    /// Where the partition lies and how its log was left, as long as no open log can say it.
    pub place: RefCell<Place>,
    waiting: RefCell<BTreeMap<u64, Option<Waker>>>,
    next_ticket: Cell<u64>,
    state: RefCell<State>,
    is_doomed: Cell<bool>,
    finished: Notify,
}

enum State {
    Shut,
    Open(Rc<Partition>),
    Refused(ErrorCode),
}

impl Gate {
    pub fn new(place: Place) -> Rc<Gate> {
        Rc::new(Gate {
            place: RefCell::new(place),
            waiting: RefCell::default(),
            next_ticket: Cell::new(0),
            state: RefCell::new(State::Shut),
            is_doomed: Cell::new(false),
            finished: Notify::new(),
        })
    }

    /// Takes a place in the line now; resolves when it is this caller's turn.
    pub fn pass(self: &Rc<Gate>) -> Pass {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket + 1);
        self.waiting.borrow_mut().insert(ticket, None);
        Pass {
            gate: self.clone(),
            ticket,
        }
    }

    pub fn has_waiters(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// The partition, once the log is open.
    pub fn opened(&self) -> Option<Rc<Partition>> {
        match &*self.state.borrow() {
            State::Open(partition) => Some(partition.clone()),
            State::Shut | State::Refused(_) => None,
        }
    }

    pub fn open(&self, partition: Rc<Partition>) {
        self.finish(State::Open(partition));
    }

    pub fn refuse(&self, code: ErrorCode) {
        self.finish(State::Refused(code));
    }

    fn finish(&self, state: State) {
        *self.state.borrow_mut() = state;
        self.finished.notify_waiters();
        self.wake_first();
    }

    /// The partition is deleted: who waits, and who would be let in, is told so.
    pub fn doom(&self) {
        self.is_doomed.set(true);
        self.wake_first();
    }

    pub fn is_doomed(&self) -> bool {
        self.is_doomed.get()
    }

    /// Waits until the opening or closing that this gate stands for has ended.
    pub async fn finished(&self) {
        loop {
            let finished = self.finished.notified();
            if !matches!(*self.state.borrow(), State::Shut) {
                return;
            }
            finished.await;
        }
    }

    fn wake_first(&self) {
        if let Some((_, Some(waker))) = self.waiting.borrow().first_key_value() {
            waker.wake_by_ref();
        }
    }

    fn leave(&self, ticket: u64) {
        let left = self.waiting.borrow_mut().remove(&ticket);
        drop(left);
        self.wake_first();
    }
}

/// See [`Gate::pass`]. Dropping it gives the place up.
pub struct Pass {
    gate: Rc<Gate>,
    ticket: u64,
}

impl Future for Pass {
    type Output = Result<Rc<Partition>, ErrorCode>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gate = &self.gate;
        if gate.is_doomed() {
            return Poll::Ready(Err(ErrorCode::UnknownTopicOrPartition));
        }
        let is_first = {
            let mut waiting = gate.waiting.borrow_mut();
            let is_first = waiting.first_key_value().map(|(first, _)| *first) == Some(self.ticket);
            if let Some(waker) = waiting.get_mut(&self.ticket) {
                *waker = Some(cx.waker().clone());
            }
            is_first
        };
        match &*gate.state.borrow() {
            State::Refused(code) => Poll::Ready(Err(*code)),
            // The next one is woken when this is dropped; it is polled after this caller's ordered part.
            State::Open(partition) if is_first => Poll::Ready(Ok(partition.clone())),
            State::Open(_) | State::Shut => Poll::Pending,
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.leave(self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_dirs::DirIndex;
    use crate::partition::tests::partition;

    async fn settle() {
        for _ in 0..10 {
            reactor::yield_now().await;
        }
    }

    /// Breaks in production: two batches of one producer change places while the log opens, and it is told
    /// OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[test]
    fn who_waits_is_let_in_in_order_and_nobody_overtakes() {
        let temp = tempfile::tempdir().unwrap();
        reactor::run(reactor::Config::default(), async {
            let gate = Gate::new(Place::new(DirIndex::FIRST));
            let order = Rc::new(RefCell::new(Vec::new()));
            let come = |number: u32| {
                let (pass, order) = (gate.pass(), order.clone());
                reactor::spawn(async move {
                    if pass.await.is_ok() {
                        order.borrow_mut().push(number);
                    }
                })
            };
            come(1).detach();
            let gone = come(2);
            come(3).detach();
            settle().await;
            assert!(order.borrow().is_empty());
            gate.open(Rc::new(partition(temp.path()).await));
            // before anybody of the waiting was polled again
            come(4).detach();
            gone.abort();
            settle().await;
            assert_eq!(*order.borrow(), [1, 3, 4]);
            assert!(!gate.has_waiters());
        })
        .unwrap();
    }

    /// Breaks in production: requests hang for ever on a partition that does not open, or is deleted while it does.
    #[test]
    fn all_who_wait_are_told_of_a_failure() {
        reactor::run(reactor::Config::default(), async {
            for (end, code) in [
                (
                    (|gate: &Gate| gate.refuse(ErrorCode::KafkaStorageError)) as fn(&Gate),
                    ErrorCode::KafkaStorageError,
                ),
                (|gate| gate.doom(), ErrorCode::UnknownTopicOrPartition),
            ] {
                let gate = Gate::new(Place::new(DirIndex::FIRST));
                let waiting: Vec<_> = (0..3).map(|_| reactor::spawn(gate.pass())).collect();
                settle().await;
                end(&gate);
                for waiting in waiting {
                    assert_eq!(waiting.await.err(), Some(code));
                }
            }
        })
        .unwrap();
    }
}
