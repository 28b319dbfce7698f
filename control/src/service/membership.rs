//! This broker's place in the registry: registers, then sends heartbeats to whoever is the controller.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine::types::Offset;
use reactor::sync::Notify;
use reactor::{Instant, oneshot};

use super::board::{Board, Suspicion};
use super::front::Front;
use super::port::CallError;
use super::probe::CONTROL_LISTENER;
use super::session::Session;
use crate::controller::{
    BrokerHeartbeat, BrokerStatus, ErrorCode, PreviousShutdown, RegisterBroker, Request, Response,
    UnfenceBroker,
};
use crate::record::{BrokerEndpoint, BrokerEpoch, DirectoryId, FeatureRange};

/// What a broker says of itself when it registers.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    pub endpoints: Vec<BrokerEndpoint>,
    pub features: Vec<FeatureRange>,
    pub rack: Option<String>,
    pub log_dirs: Vec<DirectoryId>,
    pub previous_shutdown: PreviousShutdown,
}

/// Taken off a session: clocks of two machines do not run at quite the same rate.
const SESSION_MARGIN_PERCENT: u32 = 5;
/// A controller that has answered nothing for that many heartbeats is suspected.
const SILENT_HEARTBEATS: u32 = 6;
/// But not before that.
const SILENT_MIN: Duration = Duration::from_millis(500);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);

pub(super) struct Membership {
    board: Rc<Board>,
    front: Rc<Front>,
    session: Arc<Session>,
    session_timeout: Duration,
    heartbeat_every: Duration,
    registration: RefCell<Option<Registration>>,
    leaving: Cell<bool>,
    /// When a controller answered last.
    heard: Cell<Instant>,
    changed: Notify,
}

impl Membership {
    pub(super) fn new(
        board: Rc<Board>,
        front: Rc<Front>,
        session: Arc<Session>,
        session_timeout: Duration,
        heartbeat_every: Duration,
    ) -> Membership {
        Membership {
            board,
            front,
            session,
            session_timeout,
            heartbeat_every,
            registration: RefCell::new(None),
            leaving: Cell::new(false),
            heard: Cell::new(reactor::now()),
            changed: Notify::new(),
        }
    }

    /// Registers the one broker of its cluster, which needs nobody's trust but its own.
    pub(super) async fn join_alone(&self, registration: Registration) -> Result<BrokerEpoch, CallError> {
        let epoch = self.register(&registration).await?;
        let unfence = UnfenceBroker {
            broker_id: self.board.me.id,
            broker_epoch: epoch,
        };
        self.front.call(Request::UnfenceBroker(unfence)).await?;
        self.session.registered(epoch);
        self.session.lives_for_ever();
        Ok(epoch)
    }

    /// Registers, begins to send heartbeats, and waits until the controller trusts this broker.
    pub(super) async fn join(
        self: &Rc<Self>,
        registration: Registration,
        registered: oneshot::Sender<()>,
    ) -> Result<BrokerEpoch, CallError> {
        let epoch = self.register_patiently(&registration).await?;
        self.registration.replace(Some(registration));
        self.session.registered(epoch);
        let _nobody_may_wait = registered.send(());
        reactor::spawn(self.clone().keep()).detach();
        loop {
            let changed = self.changed.notified();
            if !self.session.is_fenced() {
                return Ok(self.session.broker_epoch().unwrap_or(epoch));
            }
            if self.board.is_stopping() {
                return Err(CallError::Stopped);
            }
            changed.await;
        }
    }

    /// Asks the controller to move this broker's leaderships elsewhere; waits until it has, or `patience` ends, or no controller
    /// answers: where all brokers stop together, the last ones have none.
    pub(super) async fn leave(&self, patience: Duration) {
        self.leaving.set(true);
        self.changed.notify_waiters();
        let left = async {
            loop {
                let changed = self.changed.notified();
                if self.registration.borrow().is_none()
                    || reactor::now().saturating_since(self.heard.get()) > self.session_timeout
                {
                    return;
                }
                let _changed_or_late = reactor::timeout(self.session_timeout / 4, changed).await;
            }
        };
        if self.registration.borrow().is_some() && reactor::timeout(patience, left).await.is_err() {
            tracing::warn!("stopping without a controller that would move the leaderships of this broker");
        }
    }

    async fn register(&self, registration: &Registration) -> Result<BrokerEpoch, CallError> {
        let image = self.board.image();
        let mut endpoints = registration.endpoints.clone();
        let control = &self.board.me.endpoint;
        if control.port != 0 {
            endpoints.push(BrokerEndpoint {
                name: CONTROL_LISTENER.to_owned(),
                host: control.host.clone(),
                port: control.port,
                ..BrokerEndpoint::default()
            });
        }
        let request = RegisterBroker {
            broker_id: self.board.me.id,
            cluster_id: image.cluster_id().to_owned(),
            incarnation_id: self.board.me.incarnation_id,
            endpoints,
            features: registration.features.clone(),
            rack: registration.rack.clone(),
            log_dirs: registration.log_dirs.clone(),
            previous_shutdown: registration.previous_shutdown,
            known_epoch: image.broker(self.board.me.id).map(|broker| broker.epoch),
        };
        match self.front.call(Request::RegisterBroker(request)).await?.response {
            Response::RegisterBroker(registered) => Ok(registered.broker_epoch),
            other => {
                tracing::error!(?other, "an answer of another kind than was asked for");
                Err(CallError::Undecided)
            }
        }
    }

    /// Until a controller has an answer: a cluster that starts has none for a while. And until this process has heard of the registration
    /// that it replaces.
    async fn register_patiently(&self, registration: &Registration) -> Result<BrokerEpoch, CallError> {
        loop {
            match self.register(registration).await {
                Err(error) if is_temporary(&error) && !self.board.is_stopping() => {
                    reactor::sleep(TRY_AGAIN_AFTER).await;
                }
                other => return other,
            }
        }
    }

    /// Heartbeats for the rest of this process's life.
    async fn keep(self: Rc<Self>) {
        self.heard.set(reactor::now());
        let mut due = reactor::now();
        loop {
            if self.board.is_stopping() || self.registration.borrow().is_none() {
                return;
            }
            let sent = reactor::now();
            self.excuse_if_late(due);
            let controller = self.board.controller();
            if self.beat(sent).await == Some(true) {
                self.register_again().await;
            } else {
                self.excuse_if_late(sent + self.silent_max());
            }
            if let Some(controller) = controller
                && controller.controller != self.board.me.id
                && reactor::now().saturating_since(self.heard.get()) > self.silent_max()
            {
                self.front.unlink(controller.epoch);
                self.board.suspect(Suspicion {
                    epoch: controller.epoch,
                    silent_since: self.heard.get(),
                    is_gone: false,
                });
            }
            let next = self
                .heartbeat_every
                .saturating_sub(reactor::now().saturating_since(sent));
            due = reactor::now() + next;
            let changed = self.changed.notified();
            let _changed_or_due = reactor::timeout(next, changed).await;
        }
    }

    /// Whoever runs long after it was due was asleep itself (SIGSTOP, a suspended machine): the silence was not the controller's.
    fn excuse_if_late(&self, due: Instant) {
        let late = reactor::now().saturating_since(due);
        if late > self.silent_max() / 2 {
            tracing::info!(ms = late.as_millis(), "this process did not run for a while");
            self.heard.set(reactor::now());
        }
    }

    /// After that long without an answer the controller is suspected: early enough for another one to take over before the sessions
    /// of all brokers have ended.
    fn silent_max(&self) -> Duration {
        SILENT_MIN
            .max(self.heartbeat_every * SILENT_HEARTBEATS)
            .min(self.session_timeout / 2)
    }

    /// One heartbeat. Whether this broker's epoch is over; `None` without an answer.
    async fn beat(&self, sent: Instant) -> Option<bool> {
        let heartbeat = BrokerHeartbeat {
            broker_id: self.board.me.id,
            broker_epoch: self.session.broker_epoch()?,
            metadata_offset: self.board.offset(),
            want_fence: false,
            want_shutdown: self.leaving.get(),
            offline_log_dirs: self.session.offline(),
        };
        let asked = self.front.call(Request::BrokerHeartbeat(heartbeat));
        // Not longer than it is worth: the next one says the same. While the answer is waited for, another controller may come.
        match reactor::timeout(self.silent_max(), asked).await.ok()? {
            Ok(decided) => {
                self.heard.set(reactor::now());
                if let Response::BrokerHeartbeat(status) = decided.response {
                    self.told(sent, status, decided.offset).await;
                }
                Some(false)
            }
            Err(CallError::Refused(error)) => {
                self.heard.set(reactor::now());
                Some(
                    error.code == ErrorCode::STALE_BROKER_EPOCH
                        || error.code == ErrorCode::BROKER_ID_NOT_REGISTERED,
                )
            }
            Err(CallError::Busy) => {
                self.heard.set(reactor::now());
                None
            }
            Err(_) => None,
        }
    }

    async fn told(&self, sent: Instant, status: BrokerStatus, offset: Offset) {
        if !status.is_fenced {
            let margin = self.session_timeout * SESSION_MARGIN_PERCENT / 100;
            self.session
                .extend(sent + self.session_timeout.saturating_sub(margin));
        }
        // Trusted with partitions it is only where its shards know that; the next heartbeat says it again.
        let knows = async || {
            reactor::timeout(self.silent_max(), self.board.reached(offset))
                .await
                .is_ok()
        };
        if self.session.is_fenced() != status.is_fenced && (status.is_fenced || knows().await) {
            match status.is_fenced {
                true => tracing::warn!("the controller has fenced this broker"),
                false => tracing::info!("the controller trusts this broker with partitions"),
            }
            self.session.set_fenced(status.is_fenced);
        }
        if status.should_shut_down && self.leaving.get() {
            self.registration.replace(None);
        }
        self.changed.notify_waiters();
    }

    /// The controller does not know this registration any more.
    async fn register_again(&self) {
        let Some(mut registration) = self.registration.borrow().clone() else {
            return;
        };
        self.session.set_fenced(true);
        // This process goes on: it has lost nothing.
        registration.previous_shutdown = PreviousShutdown::Clean;
        match self.register(&registration).await {
            Ok(epoch) => {
                tracing::info!(epoch = epoch.0, "registered again");
                self.session.registered(epoch);
            }
            Err(error) => tracing::warn!(%error, "not registered"),
        }
    }
}

/// Whether asking again may get another answer.
fn is_temporary(error: &CallError) -> bool {
    match error {
        CallError::NoController | CallError::Undecided | CallError::Busy => true,
        CallError::Refused(error) => error.code == ErrorCode::STALE_BROKER_EPOCH,
        _ => false,
    }
}
