//! The connections of one shard.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use reactor::sync::{Budget, Notify};
use reactor::{DetachedSocket, Instant, now};

use super::driver::{Connection, serve};
use super::{ConnectionContext, ConnectionCounters, ConnectionId, Limits, Service};

/// All connections of a shard, with what they share: service, limits, memory.
pub struct Connections<S: Service>(Rc<Shared<S>>);

pub(super) struct Shared<S: Service> {
    service: Rc<S>,
    limits: Limits,
    budget: Budget,
    counters: Rc<ConnectionCounters>,
    open: RefCell<BTreeMap<ConnectionId, Rc<Connection<S>>>>,
    next_id: Cell<u64>,
    id_step: u64,
    draining: Cell<bool>,
    ended: Notify,
    /// When connections were last given up for want of memory.
    relieved: Cell<Option<Instant>>,
}

/// How draining went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be cut off when the time was over.
    pub cut_off: usize,
}

impl<S: Service> Clone for Connections<S> {
    fn clone(&self) -> Self {
        Connections(self.0.clone())
    }
}

impl<S: Service> Connections<S> {
    /// `budget` bounds the bytes of requests received and not answered yet, over all connections. `shard` and
    /// `shard_count` make connection ids unique in the process.
    pub fn new(
        service: Rc<S>,
        limits: Limits,
        budget: Budget,
        shard: u64,
        shard_count: u64,
    ) -> Connections<S> {
        Connections(Rc::new(Shared {
            service,
            limits,
            budget,
            counters: Rc::default(),
            open: RefCell::default(),
            next_id: Cell::new(shard),
            id_step: shard_count.max(1),
            draining: Cell::new(false),
            ended: Notify::new(),
            relieved: Cell::new(None),
        }))
    }

    pub fn counters(&self) -> &Rc<ConnectionCounters> {
        &self.0.counters
    }

    pub fn len(&self) -> usize {
        self.0.open.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Serves a connection on this reactor until it ends. While draining, new ones are closed at once.
    pub fn serve(&self, socket: DetachedSocket, peer: SocketAddr, listener: &Rc<str>) -> io::Result<()> {
        let shared = &self.0;
        if shared.draining.get() {
            return Ok(());
        }
        let id = ConnectionId(shared.next_id.get());
        shared.next_id.set(id.0 + shared.id_step);
        let context = ConnectionContext {
            id,
            listener: listener.clone(),
            peer,
            client_software: RefCell::new(None),
        };
        let connection = Rc::new(Connection::new(
            shared.service.clone(),
            Rc::downgrade(shared),
            socket.attach()?,
            context,
            shared.limits,
            shared.budget.clone(),
            shared.counters.clone(),
        ));
        shared.open.borrow_mut().insert(id, connection.clone());
        let listed = Listed {
            shared: shared.clone(),
            id,
        };
        reactor::spawn(async move {
            let _listed = listed;
            serve(connection).await;
        })
        .detach();
        Ok(())
    }

    /// Stops reading, answers what was read, closes. Connections that are not done after `patience` are cut off.
    pub async fn drain(&self, patience: Duration) -> Drained {
        self.0.draining.set(true);
        for connection in self.all() {
            connection.drain().await;
        }
        let _ = reactor::timeout(patience, self.wait_until_empty()).await;
        let late = self.all();
        for connection in &late {
            connection.cut_off().await;
        }
        self.wait_until_empty().await;
        Drained { cut_off: late.len() }
    }

    fn all(&self) -> Vec<Rc<Connection<S>>> {
        self.0.open.borrow().values().cloned().collect()
    }

    async fn wait_until_empty(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.is_empty() {
                return;
            }
            ended.await;
        }
    }
}

/// The part of the budget that is made free at once when it is used up by clients that do not get on.
/// Smaller: fewer are cut off that might have gone on; larger: the others wait for fewer rounds. A guess.
const RELIEF_SHARE: usize = 8;

impl<S: Service> Shared<S> {
    /// Gives up the connections that hold most of the budget, largest first, until a share of it is free. Many call this at
    /// the same time, since many wait; once in a [`Limits::memory_wait_max`] is enough.
    pub(super) async fn give_up_largest(&self) {
        let now = now();
        let relieved_before = self.relieved.get();
        if relieved_before.is_some_and(|before| now.saturating_since(before) < self.limits.memory_wait_max) {
            return;
        }
        self.relieved.set(Some(now));
        let open: Vec<Rc<Connection<S>>> = self.open.borrow().values().cloned().collect();
        let mut holders: Vec<(usize, Rc<Connection<S>>)> = open
            .into_iter()
            .map(|connection| (connection.held_bytes(), connection))
            .filter(|(held, _)| *held > 0)
            .collect();
        holders.sort_by_key(|(held, _)| std::cmp::Reverse(*held));
        let wanted = self.budget.total() / RELIEF_SHARE;
        let mut freed = 0;
        let mut given_up = 0;
        for (held, connection) in &holders {
            if freed >= wanted {
                break;
            }
            connection.give_up_for_room().await;
            freed += held;
            given_up += 1;
        }
        tracing::warn!(
            given_up,
            freed_bytes = freed,
            holders = holders.len(),
            "no memory for requests: closed the connections that held most of it"
        );
    }
}

/// A place in the list, given up also when the connection's task panics.
struct Listed<S: Service> {
    shared: Rc<Shared<S>>,
    id: ConnectionId,
}

impl<S: Service> Drop for Listed<S> {
    fn drop(&mut self) {
        let ended = self.shared.open.borrow_mut().remove(&self.id);
        drop(ended);
        self.shared.ended.notify_waiters();
    }
}
