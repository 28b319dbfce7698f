//! How replicas reach each other. The root package, which has the network, fills it in.

use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use super::host::Host;
use crate::config::Endpoint;
use crate::quorum::{ChangeError, Description, NoAnswer, Request, Response, VoterChange};
use crate::record::BrokerId;
use crate::store::meta_log::Leadership;

/// The way to other replicas. Requests to one replica may overtake each other; a Fetch waits at the leader, and must not
/// keep others waiting.
pub trait QuorumPeers: 'static {
    fn ask(&self, to: &Endpoint, request: Request) -> LocalBoxFuture<'static, Result<Response, NoAnswer>>;
}

/// Makes it, on the control thread; and begins to give what others ask to `server`.
pub trait QuorumNetwork: Send + Sync + fmt::Debug {
    fn open(&self, server: QuorumServer, cluster_id: &str) -> Rc<dyn QuorumPeers>;
}

/// What became of a change of the voters.
pub type ChangeOutcome = Result<(), ChangeError>;

/// Longer than any replica waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// This replica, as others ask it. Lives as long as the log is open.
#[derive(Clone)]
pub struct QuorumServer(pub(super) Weak<Host>);

impl QuorumServer {
    /// `None` when there is nothing to say any more.
    pub async fn serve(&self, request: Request) -> Option<Response> {
        let host = self.0.upgrade()?;
        let answered = host.ask_core(request);
        drop(host);
        reactor::timeout(ANSWER_MAX, answered).await.ok()?.ok()
    }

    /// Asks the leader for it; [`ChangeError::NotLeader`] when that is not this replica.
    pub async fn change_voters(&self, change: VoterChange) -> ChangeOutcome {
        let host = self.0.upgrade().ok_or(ChangeError::NotLeader)?;
        let changed = host.change_voters(change);
        drop(host);
        match reactor::timeout(ANSWER_MAX, changed).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(ChangeError::TimedOut),
        }
    }

    /// `None` when this replica does not lead.
    pub fn describe(&self) -> Option<Description> {
        self.0.upgrade()?.describe()
    }

    /// Whether this is the replica of that node.
    pub fn is(&self, id: BrokerId) -> bool {
        self.0.upgrade().is_some_and(|host| host.member.id == id)
    }

    /// The voters, by this replica's log, and where they are.
    pub fn voters(&self) -> Vec<(BrokerId, Endpoint)> {
        let Some(host) = self.0.upgrade() else {
            return Vec::new();
        };
        let core = host.core.borrow();
        let voters = core.voters().iter();
        voters
            .map(|voter| (voter.key.id, voter.endpoint.clone()))
            .collect()
    }

    /// Who leads, as far as this replica knows.
    pub fn leadership(&self) -> Option<Leadership> {
        self.0.upgrade()?.controller()
    }
}
