//! Finding out whether a process is gone whose connection has ended: a dead one's port refuses, a live one answers.

use std::rc::Rc;
use std::time::Duration;

use super::board::Board;
use super::peers::{PeerError, Peers};
use super::watch::Watch;
use super::wire::{Question, Reply};
use crate::config::Endpoint;
use crate::image::BrokerImage;
use crate::record::BrokerId;

/// Name of the endpoint at which a broker's control thread is registered.
pub const CONTROL_LISTENER: &str = "CONTROLLER";

/// The kernel keeps the listener of a killed process for a moment, and lets connections in that nobody will answer.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(10);
const ANSWER_PATIENCE: Duration = Duration::from_millis(100);
/// After that the heartbeats tell.
const TRIES: u32 = 50;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Alive,
    Gone,
    /// No answer of any kind.
    Unknown,
}

/// Where a registered broker's control thread is.
fn control_endpoint(broker: &BrokerImage) -> Option<Endpoint> {
    let endpoint = broker.endpoint(CONTROL_LISTENER)?;
    Some(Endpoint {
        host: endpoint.host.clone(),
        port: endpoint.port,
    })
}

/// Looks after `broker`; tells the watch if it is gone.
pub(super) fn begin(board: &Rc<Board>, watch: &Rc<Watch>, peers: &Rc<dyn Peers>, broker: BrokerId) {
    let image = board.image();
    let Some((endpoint, epoch)) = image
        .broker(broker)
        .and_then(|broker| Some((control_endpoint(broker)?, broker.epoch)))
    else {
        return;
    };
    let (board, watch, peers) = (board.clone(), watch.clone(), peers.clone());
    reactor::spawn(async move {
        let found = ask(&*peers, &endpoint).await;
        let image = board.image();
        let is_same = image.broker(broker).is_some_and(|now| now.epoch == epoch);
        if found == Found::Gone && is_same && board.leading().is_some() {
            tracing::info!(broker = broker.0, "the broker's process is gone");
            watch.gone(broker);
        }
    })
    .detach();
}

pub(super) async fn ask(peers: &dyn Peers, endpoint: &Endpoint) -> Found {
    for _ in 0..TRIES {
        let asked = async {
            let peer = peers.connect(endpoint).await?;
            peer.ask(Question::Ping.encode()).await
        };
        match reactor::timeout(ANSWER_PATIENCE, asked).await {
            Ok(Ok(reply)) if matches!(serde_json::from_slice(&reply), Ok(Reply::Pong)) => {
                return Found::Alive;
            }
            Ok(Err(PeerError::Refused)) => return Found::Gone,
            Ok(Ok(_) | Err(_)) | Err(_) => reactor::sleep(ASK_AGAIN_AFTER).await,
        }
    }
    Found::Unknown
}
