//! The control thread's main task: follows the metadata log, and leads while this member is the controller.
//!
//! ```text
//!            campaign won                      deposed, or the store says who else it is
//! following ---------------> taking over -> leading ------------------------------------> following
//!     |  read, apply, publish                 | decide, append, apply, publish
//! ```

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine::types::Offset;
use futures_util::future::{Either, select};
use reactor::Instant;

use super::board::{Board, Suspicion};
use super::front::Front;
use super::port::ServiceFault;
use super::queue::Queue;
use super::snapshots::Snapshots;
use super::watch::Watch;
use crate::image::{ClusterImage, Delta, TransactionAssembler};
use crate::record::{BrokerId, ControllerEpoch};
use crate::store::LeadError;

/// Hands images to the shards. Runs on the control thread.
pub trait Publish: Send + 'static {
    /// Done when every shard works with `image`. `delta` is what changed since the image before.
    fn publish(&mut self, image: Arc<ClusterImage>, delta: Arc<Delta>) -> impl Future<Output = ()>;
}

/// Holds: `image` is what the log amounts to below `next`, but for records of a transaction that is open.
pub(super) struct Runner<P> {
    pub(super) board: Rc<Board>,
    pub(super) front: Rc<Front>,
    pub(super) queue: Rc<Queue>,
    pub(super) watch: Rc<Watch>,
    pub(super) image: ClusterImage,
    /// Offset of the first record that was not read yet.
    pub(super) next: Offset,
    pub(super) assembler: TransactionAssembler,
    pub(super) publish: P,
    pub(super) snapshots: Snapshots,
    /// The cluster has one broker: nobody sends heartbeats.
    pub(super) is_alone: bool,
    /// There are shards to show images to.
    pub(super) has_shards: bool,
}

/// Why this member leads no more.
pub(super) enum Ended {
    Stopped,
    Deposed,
}

/// The member whose place as controller was taken, and why.
pub(super) type Predecessor = (BrokerId, Suspicion);

type Campaign = Pin<Box<dyn Future<Output = Result<ControllerEpoch, LeadError>>>>;

/// So that those who miss the controller at the same moment do not all ask at the same moment.
const HOLD_OFF_MAX: Duration = Duration::from_millis(40);
/// Between two campaigns of this member, doubled while its time as controller is short: two members that cannot reach each
/// other would take turns else.
const CAMPAIGN_AGAIN_AFTER: Duration = Duration::from_millis(250);
const CAMPAIGN_AGAIN_AFTER_MAX: Duration = Duration::from_secs(30);
const LED_LONG: Duration = Duration::from_secs(20);

/// When this member may try to lead again.
struct Patience {
    not_before: Option<Instant>,
    wait: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            not_before: None,
            wait: CAMPAIGN_AGAIN_AFTER,
        }
    }
}

impl Patience {
    fn tried(&mut self) {
        self.not_before = Some(reactor::now() + CAMPAIGN_AGAIN_AFTER);
    }

    fn led(&mut self, time: Duration) {
        self.wait = if time > LED_LONG {
            CAMPAIGN_AGAIN_AFTER
        } else {
            (self.wait * 2).min(CAMPAIGN_AGAIN_AFTER_MAX)
        };
        self.not_before = Some(reactor::now() + self.wait);
    }

    fn left(&self) -> Duration {
        self.not_before
            .map_or(Duration::ZERO, |at| at.saturating_since(reactor::now()))
    }
}

impl<P: Publish> Runner<P> {
    /// Until it is told to stop, or the log fails.
    pub(super) async fn run(mut self) -> Result<(), ServiceFault> {
        let mut patience = Patience::default();
        loop {
            if self.board.leading().is_none() {
                match self.follow(&mut patience).await? {
                    Some((epoch, predecessor)) => self.take_over(epoch, predecessor).await?,
                    None => break,
                }
            }
            let Some(epoch) = self.board.leading() else {
                continue;
            };
            let began = reactor::now();
            match self.lead(epoch).await? {
                Ended::Stopped => {
                    self.board.log.resign(epoch).await;
                    break;
                }
                Ended::Deposed => {
                    tracing::info!(epoch = epoch.0, "another member is the controller");
                    patience.led(reactor::now().saturating_since(began));
                    self.board.set_leading(None);
                    for call in self.queue.take_all() {
                        self.front.submit(call);
                    }
                }
            }
        }
        self.snapshots.finish(&self.board.log, &self.image).await;
        Ok(())
    }

    /// Follows the log until this member has been made the controller (with the member it took over from), or is to stop
    /// (`None`).
    async fn follow(
        &mut self,
        patience: &mut Patience,
    ) -> Result<Option<(ControllerEpoch, Option<Predecessor>)>, ServiceFault> {
        let mut campaign: Option<Campaign> = None;
        let mut dead = None;
        loop {
            let board = self.board.clone();
            let changed = board.changed().notified();
            self.catch_up().await?;
            if board.is_stopping() {
                return Ok(None);
            }
            if campaign.is_none()
                && patience.left().is_zero()
                && let Some(predecessor) = self.reason_to_lead()
            {
                patience.tried();
                dead = board
                    .suspicion()
                    .and_then(|known| Some((board.controller()?.controller, known)));
                campaign = Some(self.campaign(predecessor));
            }
            let grown = board.log.wait_past(self.next);
            let wait = async {
                match patience.left() {
                    left if left.is_zero() => std::future::pending().await,
                    left => reactor::sleep(left).await,
                }
            };
            let something = select(Box::pin(changed), select(Box::pin(grown), Box::pin(wait)));
            let running = async {
                match &mut campaign {
                    Some(campaign) => campaign.await,
                    None => std::future::pending().await,
                }
            };
            match select(Box::pin(running), something).await {
                Either::Left((result, _)) => {
                    campaign = None;
                    match result {
                        Ok(epoch) => return Ok(Some((epoch, dead))),
                        Err(LeadError::Append(error)) => return Err(error.into()),
                        Err(error) => tracing::info!(%error, "not the controller"),
                    }
                }
                Either::Right((Either::Right((Either::Left((Err(fault), _)), _)), _)) => {
                    return Err(crate::store::AppendError::Fault(fault).into());
                }
                Either::Right(_) => {}
            }
        }
    }

    /// Why this member should try to lead: nobody does, whoever did is believed dead, or was an earlier process of this member.
    fn reason_to_lead(&self) -> Option<Option<ControllerEpoch>> {
        match self.board.controller() {
            None => Some(None),
            Some(known) if known.controller == self.board.me.id => Some(Some(known.epoch)),
            Some(known) => self.board.suspicion().map(|_| Some(known.epoch)),
        }
    }

    fn campaign(&self, predecessor: Option<ControllerEpoch>) -> Campaign {
        let log = self.board.log.clone();
        let hold_off = HOLD_OFF_MAX.mul_f64((reactor::random_u64() % 1000) as f64 / 1000.0);
        Box::pin(async move {
            reactor::sleep(hold_off).await;
            log.lead(predecessor).await
        })
    }
}
