//! The way from one shard to another: run a piece of work where the data it needs lives.
//!
//! A call to another shard is a closure that travels through the bounded SPSC mailbox of that pair of shards and is
//! started there in the order in which it was sent; its answer comes back through a oneshot. A call to the own shard
//! is not started until it is awaited, so callers that need an order among partitions do their ordered part
//! themselves (see `api::produce`).
//!
//! Memory: a mailbox holds `MAILBOX_CALLS`; what does not fit waits in a queue at the sender, in order. That queue is
//! bounded by the requests in flight, and those by the byte budget and the per-connection caps of `net::connection`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use reactor::mailbox;
use reactor::sync::Notify;

use super::Shard;

/// Calls that one mailbox holds. A guess: 64 connections of 16 requests each, all for one other shard.
pub const MAILBOX_CALLS: usize = 1024;

/// How often a full mailbox is tried again when no new call does it.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(1);

/// A shard's place in `0..shards`. The same number names its mailboxes and its metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ShardId(pub usize);

/// Work for another shard, boxed once per call.
pub type Parcel = Box<dyn FnOnce(Rc<Shard>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// The other shard ended before it answered: the broker is going down.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the shard that owns this partition has stopped")]
pub struct ShardGone;

/// The sending ends of this shard's mailboxes.
pub struct Router {
    own: ShardId,
    lanes: Vec<Option<RefCell<Lane>>>,
    overflowed: Notify,
}

struct Lane {
    mailbox: mailbox::Sender<Parcel>,
    overflow: VecDeque<Parcel>,
}

impl Router {
    /// `mailboxes[i]` leads to shard `i`; the entry of the own shard is `None`.
    pub fn new(own: ShardId, mailboxes: Vec<Option<mailbox::Sender<Parcel>>>) -> Router {
        let lane = |mailbox| {
            RefCell::new(Lane {
                mailbox,
                overflow: VecDeque::new(),
            })
        };
        Router {
            own,
            lanes: mailboxes.into_iter().map(|mailbox| mailbox.map(lane)).collect(),
            overflowed: Notify::new(),
        }
    }

    pub fn own(&self) -> ShardId {
        self.own
    }

    pub fn shard_count(&self) -> usize {
        self.lanes.len()
    }

    /// Calls that wait at this sender because a mailbox is full; exported as a queue depth.
    pub fn overflow_depth(&self) -> usize {
        self.lanes
            .iter()
            .flatten()
            .map(|lane| lane.borrow().overflow.len())
            .sum()
    }

    /// Sends `work` to another shard now (before the returned future is polled) and resolves to its answer.
    pub fn send<T, F, Fut>(
        &self,
        to: ShardId,
        work: F,
    ) -> impl Future<Output = Result<T, ShardGone>> + use<T, F, Fut>
    where
        T: Send + 'static,
        F: FnOnce(Rc<Shard>) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
    {
        let (answer, answered) = reactor::oneshot();
        let parcel: Parcel = Box::new(move |shard| {
            Box::pin(async move {
                let _requester_may_be_gone = answer.send(work(shard).await);
            })
        });
        self.push(to, parcel);
        async move { answered.await.map_err(|_| ShardGone) }
    }

    fn push(&self, to: ShardId, parcel: Parcel) {
        let Some(Some(lane)) = self.lanes.get(to.0) else {
            debug_assert!(false, "no mailbox from {:?} to {to:?}", self.own);
            return;
        };
        let mut lane = lane.borrow_mut();
        lane.overflow.push_back(parcel);
        lane.flush();
        if !lane.overflow.is_empty() {
            self.overflowed.notify_waiters();
        }
    }

    /// Moves what waits at this sender into mailboxes that have room again, for as long as the sender lives. New calls do the same,
    /// behind what waits, so that order is kept.
    pub async fn drain_overflow(&self) {
        loop {
            for lane in self.lanes.iter().flatten() {
                lane.borrow_mut().flush();
            }
            if self.overflow_depth() > 0 {
                reactor::sleep(TRY_AGAIN_AFTER).await;
            } else {
                self.overflowed.notified().await;
            }
        }
    }
}

impl Lane {
    fn flush(&mut self) {
        if self.mailbox.is_closed() {
            self.overflow.clear(); // dropped, they tell their callers that the shard is gone
            return;
        }
        while let Some(parcel) = self.overflow.pop_front() {
            if let Err(mailbox::Full(parcel)) = self.mailbox.try_send(parcel) {
                self.overflow.push_front(parcel);
                return;
            }
        }
    }
}

/// Serves one mailbox: starts each parcel in the order of arrival. `reactor::spawn` polls new tasks first in, first
/// out, so the ordered part of each parcel (up to its first wait) runs in that order too.
pub async fn serve_mailbox(shard: Rc<Shard>, mut mailbox: mailbox::Receiver<Parcel>) {
    while let Some(parcel) = mailbox.recv().await {
        reactor::spawn(parcel(shard.clone())).detach();
    }
}
