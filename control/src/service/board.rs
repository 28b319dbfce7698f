//! What the tasks of the control thread share: the log, the image they have reached, and who is the controller.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use engine::types::Offset;
use reactor::Instant;
use reactor::sync::Notify;

use super::figures::Figures;
use crate::image::ClusterImage;
use crate::record::ControllerEpoch;
use crate::store::{Leadership, Member, MetaLog};

/// Holds: `image` is what every shard of this broker works with; while `leading` is set, nobody but the runner appends.
pub(super) struct Board {
    pub(super) me: Member,
    pub(super) log: MetaLog,
    image: RefCell<Arc<ClusterImage>>,
    leading: Cell<Option<ControllerEpoch>>,
    /// Whom the store names.
    controller: RefCell<Option<Leadership>>,
    suspected: Cell<Option<Suspicion>>,
    stopping: Cell<bool>,
    figures: Arc<Figures>,
    /// Any of the above.
    changed: Notify,
}

/// The controller of this epoch seems to be dead.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Suspicion {
    pub(super) epoch: ControllerEpoch,
    /// When it was heard of last.
    pub(super) silent_since: Instant,
    /// Its process is dead, not only silent.
    pub(super) is_gone: bool,
}

impl Suspicion {
    pub(super) fn gone(epoch: ControllerEpoch, silent_since: Instant) -> Suspicion {
        Suspicion {
            epoch,
            silent_since,
            is_gone: true,
        }
    }
}

impl Board {
    pub(super) fn new(me: Member, log: MetaLog, image: ClusterImage, figures: Arc<Figures>) -> Board {
        let controller = log.controller();
        Board {
            me,
            log,
            image: RefCell::new(Arc::new(image)),
            leading: Cell::new(None),
            controller: RefCell::new(controller),
            suspected: Cell::new(None),
            stopping: Cell::new(false),
            figures,
            changed: Notify::new(),
        }
    }

    pub(super) fn image(&self) -> Arc<ClusterImage> {
        self.image.borrow().clone()
    }

    pub(super) fn set_image(&self, image: Arc<ClusterImage>) {
        *self.image.borrow_mut() = image;
        self.changed.notify_waiters();
    }

    /// Last offset of the metadata log that every shard knows.
    pub(super) fn offset(&self) -> Offset {
        self.image.borrow().position().offset
    }

    /// This member's epoch as the active controller.
    pub(super) fn leading(&self) -> Option<ControllerEpoch> {
        self.leading.get()
    }

    pub(super) fn set_leading(&self, epoch: Option<ControllerEpoch>) {
        self.leading.set(epoch);
        self.figures.set_leading(epoch);
        self.changed.notify_waiters();
    }

    pub(super) fn figures(&self) -> &Figures {
        &self.figures
    }

    pub(super) fn controller(&self) -> Option<Leadership> {
        self.controller.borrow().clone()
    }

    /// Keeps `controller` as the store names it.
    pub(super) async fn follow_controller(&self) {
        loop {
            let seen = self.controller();
            let controller = self.log.controller_changed(seen.as_ref()).await;
            if let Some(controller) = &controller {
                tracing::info!(
                    controller = controller.controller.0,
                    epoch = controller.epoch.0,
                    "the controller"
                );
            }
            *self.controller.borrow_mut() = controller;
            self.changed.notify_waiters();
        }
    }

    /// Somebody has reason to believe that the controller of this epoch is dead.
    pub(super) fn suspect(&self, suspicion: Suspicion) {
        let is_news = self.suspected.get().is_none_or(|known| {
            known.epoch < suspicion.epoch
                || known.epoch == suspicion.epoch && !known.is_gone && suspicion.is_gone
        });
        if is_news {
            tracing::info!(
                epoch = suspicion.epoch.0,
                gone = suspicion.is_gone,
                "the controller does not answer"
            );
            self.suspected.set(Some(suspicion));
            self.changed.notify_waiters();
        }
    }

    /// The suspicion against the present controller.
    pub(super) fn suspicion(&self) -> Option<Suspicion> {
        let controller = self.controller.borrow();
        let epoch = controller.as_ref()?.epoch;
        self.suspected.get().filter(|known| known.epoch == epoch)
    }

    /// It has answered after all.
    pub(super) fn trust(&self, epoch: ControllerEpoch) {
        if self.suspected.get().is_some_and(|known| known.epoch == epoch) {
            self.suspected.set(None);
        }
    }

    pub(super) fn stop(&self) {
        self.stopping.set(true);
        self.changed.notify_waiters();
    }

    /// Waits until this member is to stop.
    pub(super) async fn stopped(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_stopping() {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// For "look again" loops; see [`Notify`].
    pub(super) fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Waits until every shard knows the log up to `offset`.
    pub(super) async fn reached(&self, offset: Offset) {
        loop {
            let changed = self.changed.notified();
            if self.offset() >= offset {
                return;
            }
            changed.await;
        }
    }
}
