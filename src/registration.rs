//! This broker's entry in the registry: registered, then unfenced, before any client is let in.

use control::controller::{PreviousShutdown, RegisterBroker, Request, Response, UnfenceBroker};
use control::image::BrokerImage;
use control::record::{BrokerEndpoint, BrokerEpoch};
use control::service::{CallError, ControllerHandle};
use uuid::Uuid;

use crate::log_dirs::Directories;
use crate::shard::Node;

#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("an unexpected answer: {0}")]
    Answer(String),
}

/// Whether the last broker of this id that registered was ringlog. It names no features; Kafka's always name some.
pub fn is_ringlogs(broker: &BrokerImage) -> bool {
    broker.features.is_empty()
}

/// Returns the broker epoch of this incarnation.
pub async fn register(
    controller: ControllerHandle,
    node: &Node,
    directories: &Directories,
) -> Result<BrokerEpoch, RegistrationError> {
    let endpoints = node.listeners.iter().map(|listener| BrokerEndpoint {
        name: listener.name.clone(),
        host: listener.host.clone(),
        port: listener.port,
        ..BrokerEndpoint::default()
    });
    let registration = RegisterBroker {
        broker_id: node.id,
        cluster_id: node.cluster_id.clone(),
        incarnation_id: Uuid::from_u64_pair(reactor::random_u64(), reactor::random_u64()),
        endpoints: endpoints.collect(),
        features: Vec::new(), // `is_ringlogs` relies on it
        rack: node.config.rack.clone(),
        log_dirs: directories.online_ids(),
        previous_shutdown: if directories.were_clean() {
            PreviousShutdown::Clean
        } else {
            PreviousShutdown::Unclean
        },
    };
    let broker_epoch = match controller.call(Request::RegisterBroker(registration)).await? {
        Response::RegisterBroker(registered) => registered.broker_epoch,
        other => return Err(RegistrationError::Answer(format!("{other:?}"))),
    };
    let unfence = UnfenceBroker {
        broker_id: node.id,
        broker_epoch,
    };
    match controller.call(Request::UnfenceBroker(unfence)).await? {
        Response::UnfenceBroker => Ok(broker_epoch),
        other => Err(RegistrationError::Answer(format!("{other:?}"))),
    }
}
