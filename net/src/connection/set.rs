//! The connections of one shard.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use reactor::DetachedSocket;
use reactor::sync::{Budget, Notify};

use super::driver::{Connection, serve};
use super::{ConnectionContext, ConnectionCounters, ConnectionId, Limits, Service};

/// All connections of a shard, with what they share: service, limits, memory.
pub struct Connections<S: Service>(Rc<Shared<S>>);

struct Shared<S: Service> {
    service: Rc<S>,
    limits: Limits,
    budget: Budget,
    counters: Rc<ConnectionCounters>,
    open: RefCell<BTreeMap<ConnectionId, Rc<Connection<S>>>>,
    next_id: Cell<u64>,
    id_step: u64,
    draining: Cell<bool>,
    ended: Notify,
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
