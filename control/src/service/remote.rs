//! Questions of other members, as they arrive on the control listener.

use std::cell::Cell;
use std::rc::Rc;

use reactor::oneshot;

use super::board::Board;
use super::front::Front;
use super::peers::Peers;
use super::port::{Call, CallError, Outcome};
use super::probe;
use super::watch::Watch;
use super::wire::{Question, Reply};
use crate::controller::Request;
use crate::record::BrokerId;

/// Answers other members. Cheap to clone the `Rc`; lives on the control thread.
pub struct RemoteCalls {
    board: Rc<Board>,
    front: Rc<Front>,
    watch: Rc<Watch>,
    peers: Rc<dyn Peers>,
}

/// One connection of another member; dropped when it ends.
pub struct RemoteConnection {
    calls: Rc<RemoteCalls>,
    /// Whose heartbeats came in on it.
    broker: Cell<Option<BrokerId>>,
}

impl RemoteCalls {
    pub(super) fn new(
        board: Rc<Board>,
        front: Rc<Front>,
        watch: Rc<Watch>,
        peers: Rc<dyn Peers>,
    ) -> RemoteCalls {
        RemoteCalls {
            board,
            front,
            watch,
            peers,
        }
    }

    pub fn connected(self: &Rc<Self>) -> RemoteConnection {
        RemoteConnection {
            calls: self.clone(),
            broker: Cell::new(None),
        }
    }

    fn not_controller(&self) -> Reply {
        let known = self
            .board
            .controller()
            .map(|controller| (controller.controller, controller.epoch));
        Reply::NotController { known }
    }

    async fn decide(&self, request: Request) -> Reply {
        if self.board.leading().is_none() {
            return self.not_controller();
        }
        let (answer, outcome): (_, oneshot::Receiver<Outcome>) = reactor::oneshot();
        if !self.front.take(Call { request, answer }) {
            return Reply::Busy;
        }
        match outcome.await.unwrap_or(Err(CallError::Stopped)) {
            Ok(decided) => Reply::Decided {
                response: Box::new(decided.response),
                offset: decided.offset.0,
            },
            Err(CallError::NoController) => self.not_controller(),
            Err(error) => Reply::of(error),
        }
    }
}

impl RemoteConnection {
    pub async fn answer(&self, question: &[u8]) -> Vec<u8> {
        let reply = match serde_json::from_slice(question) {
            Ok(Question::Ping) => Reply::Pong,
            Ok(Question::Decide(request)) => {
                if let Request::BrokerHeartbeat(heartbeat) = &*request {
                    self.broker.set(Some(heartbeat.broker_id));
                }
                self.calls.decide(*request).await
            }
            Err(error) => Reply::Misunderstood(error.to_string()),
        };
        reply.encode()
    }
}

impl Drop for RemoteConnection {
    /// A broker's connection ends when its process does, long before anybody misses its heartbeats.
    fn drop(&mut self) {
        let Some(broker) = self.broker.get() else {
            return;
        };
        if self.calls.board.leading().is_some() {
            let calls = &self.calls;
            probe::begin(&calls.board, &calls.watch, &calls.peers, broker);
        }
    }
}
