//! DescribeCluster: id, controller and brokers (KIP-700).

use std::rc::Rc;

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use net::error::ErrorCode;

use super::Api;
use super::reply::text;
use crate::dispatch::{Call, Outcome};
use crate::shard::{Endpoint, Shard};

pub static API: Api = Api::new(60, "DescribeCluster", (0, 2), |shard, call| {
    Box::pin(answer(shard, call))
});

const ENDPOINT_BROKERS: i8 = 1;
const ENDPOINT_CONTROLLERS: i8 = 2;
const NO_CONTROLLER: BrokerId = BrokerId(-1);
/// "The authorised operations were not asked for": the least i32, as in Metadata.
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;
/// CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE as bits by operation code: all that
/// Kafka's CLUSTER resource knows. Everybody may do everything until ACLs exist.
pub const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: DescribeClusterRequest = call.decode()?;
    // Version 0 has no such field and means brokers.
    if let Some((code, message)) = refusal(request.endpoint_type) {
        return call.reply(
            &DescribeClusterResponse::default()
                .with_error_code(code.code())
                .with_error_message(Some(text(message)))
                .with_controller_id(NO_CONTROLLER),
        );
    }
    let live = shard.endpoints(call.listener());
    let controller = controller(&live, shard.node.id);
    let brokers = if request.include_fenced_brokers {
        shard.registered_endpoints(call.listener())
    } else {
        live
    };
    let brokers = brokers.into_iter().map(|broker| {
        DescribeClusterBroker::default()
            .with_broker_id(BrokerId(broker.id))
            .with_host(text(broker.host))
            .with_port(i32::from(broker.port))
            .with_rack(broker.rack.map(text))
            .with_is_fenced(request.include_fenced_brokers && broker.is_fenced)
    });
    let operations = if request.include_cluster_authorized_operations {
        CLUSTER_OPERATIONS
    } else {
        OPERATIONS_NOT_ASKED
    };
    call.reply(
        &DescribeClusterResponse::default()
            .with_cluster_id(text(shard.node.cluster_id.as_str()))
            .with_endpoint_type(ENDPOINT_BROKERS)
            .with_controller_id(controller)
            .with_brokers(brokers.collect())
            .with_cluster_authorized_operations(operations),
    )
}

/// Why another kind of endpoints cannot be told of (KIP-919).
fn refusal(endpoint_type: i8) -> Option<(ErrorCode, String)> {
    match endpoint_type {
        ENDPOINT_BROKERS => None,
        ENDPOINT_CONTROLLERS => Some((
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
                .to_owned(),
        )),
        other => Some((
            ErrorCode::UnsupportedEndpointType,
            format!("Unsupported endpoint type {other}"),
        )),
    }
}

/// Whom clients are told to bring changes of the cluster to: like Kafka's brokers, any one that lives, since all pass requests on to
/// the controller. This broker itself, so that a client that can ask can also act.
pub fn controller(live: &[Endpoint], own: control::record::BrokerId) -> BrokerId {
    let own = live.iter().find(|broker| broker.id == own.0);
    own.or(live.first())
        .map_or(NO_CONTROLLER, |broker| BrokerId(broker.id))
}
