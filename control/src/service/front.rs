//! Where calls come in: to the queue while this broker is the controller, over the network to the one who is otherwise.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use engine::types::Offset;
use futures_util::future::{Either, select};
use reactor::sync::Notify;
use reactor::{Instant, mailbox};

use super::board::{Board, Suspicion};
use super::peers::{Peer, PeerError, Peers};
use super::port::{Call, CallError, Decided, Outcome, PATIENCE};
use super::probe::{self, Found};
use super::queue::Queue;
use super::watch::Watch;
use super::wire::{Question, Reply};
use crate::controller::{Request, Response};
use crate::record::ControllerEpoch;
use crate::store::Leadership;

/// Calls on their way to another broker. A guess; more wait in the mailboxes.
const FORWARDED_MAX: usize = 1024;
/// Between two tries to reach a controller that is not there.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// How long a connection may take: other members are near.
const CONNECT_PATIENCE: Duration = Duration::from_millis(1000);

pub(super) struct Front {
    board: Rc<Board>,
    queue: Rc<Queue>,
    watch: Rc<Watch>,
    /// None: a cluster of one.
    peers: Option<Rc<dyn Peers>>,
    link: RefCell<Option<Link>>,
    connecting: Cell<bool>,
    linked: Notify,
    forwarded: Cell<usize>,
    returned: Notify,
}

/// The connection to the controller of an epoch.
#[derive(Clone)]
struct Link {
    epoch: ControllerEpoch,
    peer: Rc<dyn Peer>,
}

impl Front {
    pub(super) fn new(
        board: Rc<Board>,
        queue: Rc<Queue>,
        watch: Rc<Watch>,
        peers: Option<Rc<dyn Peers>>,
    ) -> Front {
        Front {
            board,
            queue,
            watch,
            peers,
            link: RefCell::new(None),
            connecting: Cell::new(false),
            linked: Notify::new(),
            forwarded: Cell::new(0),
            returned: Notify::new(),
        }
    }

    /// Takes the calls of one shard.
    pub(super) async fn serve(self: Rc<Self>, mut mailbox: mailbox::Receiver<Call>) {
        while let Some(call) = mailbox.recv().await {
            self.room().await;
            self.submit(call);
        }
    }

    async fn room(&self) {
        self.queue.room().await;
        loop {
            let returned = self.returned.notified();
            if self.forwarded.get() < FORWARDED_MAX {
                return;
            }
            returned.await;
        }
    }

    /// Takes a call that was sent to the controller; `false` when it has too many.
    pub(super) fn take(self: &Rc<Self>, call: Call) -> bool {
        let is_taken = !self.queue.is_full();
        if is_taken {
            self.submit(call);
        }
        is_taken
    }

    pub(super) fn submit(self: &Rc<Self>, call: Call) {
        if self.board.leading().is_some() || self.peers.is_none() {
            self.decide(call);
            return;
        }
        let front = self.clone();
        self.forwarded.set(self.forwarded.get() + 1);
        reactor::spawn(async move {
            let outcome = front.forward(&call.request).await;
            front.forwarded.set(front.forwarded.get() - 1);
            front.returned.notify_waiters();
            match outcome {
                // It has become ours meanwhile.
                None => front.submit(call),
                Some(outcome) => drop(call.answer.send(outcome)),
            }
        })
        .detach();
    }

    fn decide(&self, call: Call) {
        if let Request::BrokerHeartbeat(heartbeat) = &call.request
            && let Some(status) = self.watch.heartbeat(heartbeat)
        {
            let decided = Decided {
                response: Response::BrokerHeartbeat(status),
                offset: self.board.offset(),
            };
            let _asker_may_be_gone = call.answer.send(Ok(decided));
            return;
        }
        self.queue.push(call);
    }

    /// Asks and waits, wherever the controller is.
    pub(super) async fn call(self: &Rc<Self>, request: Request) -> Outcome {
        let (answer, outcome) = reactor::oneshot();
        self.submit(Call { request, answer });
        match reactor::timeout(PATIENCE, outcome).await {
            Ok(outcome) => outcome.unwrap_or(Err(CallError::Stopped)),
            Err(_) => Err(CallError::Undecided),
        }
    }

    /// `None`: this broker has become the controller, and nothing was asked.
    async fn forward(&self, request: &Request) -> Option<Outcome> {
        let question = Question::Decide(Box::new(request.clone())).encode();
        let give_up = reactor::now() + PATIENCE;
        loop {
            let changed = self.board.changed().notified();
            if self.board.leading().is_some() {
                return None;
            }
            if self.board.is_stopping() || reactor::now() >= give_up {
                return Some(Err(CallError::NoController));
            }
            let Some(controller) = self
                .board
                .controller()
                .filter(|controller| controller.controller != self.board.me.id)
            else {
                let _changed_or_late = reactor::timeout(left(give_up), changed).await;
                continue;
            };
            let reply = match self.link(&controller).await {
                Ok(peer) => self.ask(peer, &question, controller.epoch).await,
                Err(error) => Err(error),
            };
            match reply {
                Ok(reply) => {
                    self.board.trust(controller.epoch);
                    match self.understand(request, &reply, give_up).await {
                        Some(outcome) => return Some(outcome),
                        None => self.pause(give_up).await,
                    }
                }
                Err(PeerError::Lost(_)) if !can_be_repeated(request) => {
                    self.unlink(controller.epoch);
                    return Some(Err(CallError::Undecided));
                }
                Err(_) => {
                    self.unlink(controller.epoch);
                    self.pause(give_up).await;
                }
            }
        }
    }

    /// Waits for an answer as long as it is this controller that decides. The machine of one that lost its power, or that nothing reaches
    /// any more, says nothing, not even that the connection is gone.
    async fn ask(
        &self,
        peer: Rc<dyn Peer>,
        question: &[u8],
        epoch: ControllerEpoch,
    ) -> Result<Vec<u8>, PeerError> {
        match select(pin!(peer.ask(question.to_vec())), pin!(self.overtaken(epoch))).await {
            Either::Left((reply, _)) => reply,
            Either::Right(((), _)) => Err(PeerError::Lost("another one decides now".to_owned())),
        }
    }

    /// Resolves when another one is the controller, this broker perhaps.
    async fn overtaken(&self, epoch: ControllerEpoch) {
        loop {
            let changed = self.board.changed().notified();
            let controller = self.board.controller();
            if self.board.leading().is_some() || controller.is_some_and(|controller| controller.epoch > epoch)
            {
                return;
            }
            changed.await;
        }
    }

    /// Until something changes, but not for long: what does not answer now may answer soon.
    async fn pause(&self, give_up: Instant) {
        let changed = self.board.changed().notified();
        let _changed_or_late = reactor::timeout(left(give_up).min(TRY_AGAIN_AFTER), changed).await;
    }

    /// `None`: to be asked again.
    async fn understand(&self, request: &Request, reply: &[u8], give_up: Instant) -> Option<Outcome> {
        match serde_json::from_slice(reply) {
            Ok(Reply::Decided { response, offset }) => {
                let offset = Offset(offset);
                // Whoever asked finds here what was decided there. A heartbeat says that the controller lives, however late its log is read.
                if !matches!(request, Request::BrokerHeartbeat(_)) {
                    let _reached = reactor::timeout(left(give_up), self.board.reached(offset)).await;
                }
                Some(Ok(Decided {
                    response: *response,
                    offset,
                }))
            }
            Ok(Reply::Refused(error)) => Some(Err(CallError::Refused(error))),
            Ok(Reply::Busy) => Some(Err(CallError::Busy)),
            Ok(Reply::Undecided) => Some(Err(CallError::Undecided)),
            Ok(Reply::NotController { .. }) => None,
            Ok(other @ (Reply::Pong | Reply::Misunderstood(_))) => {
                tracing::error!(reply = ?other, "the controller's answer");
                Some(Err(CallError::NoController))
            }
            Err(error) => {
                tracing::error!(%error, "the controller's answer is not understood");
                Some(Err(CallError::Undecided))
            }
        }
    }

    /// The connection to this controller; one at a time is opened, others wait for it.
    pub(super) async fn link(&self, to: &Leadership) -> Result<Rc<dyn Peer>, PeerError> {
        let Some(peers) = &self.peers else {
            return Err(PeerError::Refused);
        };
        loop {
            let linked = self.linked.notified();
            if let Some(link) = self.link.borrow().as_ref().filter(|link| link.epoch == to.epoch) {
                return Ok(link.peer.clone());
            }
            if !self.connecting.replace(true) {
                break;
            }
            linked.await;
        }
        let connected = reactor::timeout(CONNECT_PATIENCE, peers.connect(&to.endpoint)).await;
        self.connecting.set(false);
        let result = match connected {
            Ok(Ok(peer)) => {
                let link = Link {
                    epoch: to.epoch,
                    peer: peer.clone(),
                };
                self.link.replace(Some(link));
                self.look_after(to, peers, peer.clone());
                Ok(peer)
            }
            Ok(Err(error)) => {
                if error == PeerError::Refused {
                    self.board.suspect(Suspicion::gone(to.epoch, reactor::now()));
                }
                Err(error)
            }
            Err(_) => Err(PeerError::Unreachable("no answer".to_owned())),
        };
        self.linked.notify_waiters();
        result
    }

    /// When the connection ends, the controller may have ended: that is found out at once.
    fn look_after(&self, controller: &Leadership, peers: &Rc<dyn Peers>, peer: Rc<dyn Peer>) {
        let (board, peers, controller) = (self.board.clone(), peers.clone(), controller.clone());
        let lost = peer.lost();
        drop(peer);
        reactor::spawn(async move {
            lost.await;
            let since = reactor::now();
            let is_current = || {
                board
                    .controller()
                    .is_some_and(|now| now.epoch == controller.epoch)
            };
            if !board.is_stopping()
                && is_current()
                && probe::ask(&*peers, &controller.endpoint).await == Found::Gone
                && is_current()
            {
                board.suspect(Suspicion::gone(controller.epoch, since));
            }
        })
        .detach();
    }

    /// Forgets the connection to the controller of this epoch.
    pub(super) fn unlink(&self, epoch: ControllerEpoch) {
        let mut link = self.link.borrow_mut();
        if link.as_ref().is_some_and(|link| link.epoch <= epoch) {
            *link = None;
        }
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_since(reactor::now())
}

/// Whether a second decision about it does no harm.
fn can_be_repeated(request: &Request) -> bool {
    matches!(
        request,
        Request::RegisterBroker(_)
            | Request::UnfenceBroker(_)
            | Request::BrokerHeartbeat(_)
            | Request::AssignDirectories(_)
            | Request::AlterPartition(_)
            | Request::AllocateProducerIds(_)
            | Request::AutoCreateTopics(_)
    )
}
