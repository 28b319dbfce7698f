//! Who is alive: heartbeats as they arrive at the active controller, answered at once where they change nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use engine::types::Offset;
use reactor::Instant;
use reactor::sync::Notify;

use super::board::Board;
use super::runner::Predecessor;
use crate::config::ClusterTiming;
use crate::controller::{
    BrokerHeartbeat, BrokerStatus, Context, Controller, Decision, Liveness, Request, Response,
};
use crate::image::ClusterImage;
use crate::record::{BrokerId, Record};

pub(super) struct Watch {
    board: Rc<Board>,
    controller: Controller,
    liveness: RefCell<Liveness>,
    session: Duration,
    /// When each broker was heard of last, whatever became of what it said.
    heard: RefCell<BTreeMap<BrokerId, Instant>>,
    /// Something may be due earlier than before.
    changed: Notify,
}

impl Watch {
    pub(super) fn new(board: Rc<Board>, controller: Controller, timing: &ClusterTiming) -> Watch {
        let session = Duration::from_millis(timing.session_timeout_ms);
        let liveness = RefCell::new(Liveness::new(timing));
        Watch {
            board,
            controller,
            liveness,
            session,
            heard: RefCell::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn controller(&self) -> &Controller {
        &self.controller
    }

    pub(super) fn changed(&self) -> &Notify {
        &self.changed
    }

    /// This member is the controller now.
    pub(super) fn took_over(&self, image: &ClusterImage, predecessor: Option<Predecessor>) {
        let now = reactor::now();
        let silent = predecessor.map(|(id, suspicion)| (id, suspicion.silent_since));
        let mut liveness = self.liveness.borrow_mut();
        liveness.took_over(now, image, silent);
        if let Some((dead, _)) = predecessor.filter(|(_, suspicion)| suspicion.is_gone) {
            liveness.gone(now, dead);
        }
        let mut heard = self.heard.borrow_mut();
        heard.clear();
        let others = image
            .brokers()
            .keys()
            .filter(|id| predecessor.is_none_or(|(dead, _)| dead != **id));
        heard.extend(others.map(|id| (*id, now)));
    }

    /// The answer, unless records are needed for it to be true: then it takes the way of all requests.
    pub(super) fn heartbeat(&self, heartbeat: &BrokerHeartbeat) -> Option<BrokerStatus> {
        let now = reactor::now();
        self.heard.borrow_mut().insert(heartbeat.broker_id, now);
        let image = self.board.image();
        if !self.hears_majority(&image, now) {
            return None;
        }
        let request = Request::BrokerHeartbeat(heartbeat.clone());
        let decision = self.decide(request, &image, Offset(i64::MAX)).ok()?;
        match decision {
            Decision {
                response: Response::BrokerHeartbeat(status),
                records,
            } if records.is_empty() => Some(status),
            _ => None,
        }
    }

    /// A controller that hears of less than half of its brokers may have been replaced without knowing it: its promises
    /// would keep leaders at work that another controller has deposed.
    pub(super) fn hears_majority(&self, image: &ClusterImage, now: Instant) -> bool {
        let heard = self.heard.borrow();
        let active = || image.brokers().values().filter(|broker| !broker.fenced);
        let is_heard = |id: &BrokerId| {
            heard
                .get(id)
                .is_some_and(|at| now.saturating_since(*at) < self.session)
        };
        let (all, of_them) = (
            active().count(),
            active().filter(|broker| is_heard(&broker.id)).count(),
        );
        of_them * 2 > all || all == 0
    }

    /// The process of `broker` is dead.
    pub(super) fn gone(&self, broker: BrokerId) {
        self.liveness.borrow_mut().gone(reactor::now(), broker);
        self.changed.notify_waiters();
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.liveness.borrow().next_deadline()
    }

    /// What time demands now.
    pub(super) fn tick(&self, image: &ClusterImage, next_offset: Offset) -> Vec<Record> {
        let mut random = reactor::random_u64;
        let mut liveness = self.liveness.borrow_mut();
        let mut context = Context {
            next_offset,
            random: &mut random,
            now: reactor::now(),
            liveness: &mut liveness,
        };
        self.controller.tick(&mut context, image)
    }

    pub(super) fn decide(
        &self,
        request: Request,
        image: &ClusterImage,
        next_offset: Offset,
    ) -> Result<Decision, crate::controller::ApiError> {
        let mut random = reactor::random_u64;
        let mut liveness = self.liveness.borrow_mut();
        let mut context = Context {
            next_offset,
            random: &mut random,
            now: reactor::now(),
            liveness: &mut liveness,
        };
        self.controller.decide(&mut context, request, image)
    }
}
