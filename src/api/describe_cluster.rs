//! DescribeCluster: id, controller and brokers (KIP-700).

use std::rc::Rc;

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use net::error::ErrorCode;

use super::Api;
use super::reply::text;
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(60, "DescribeCluster", (0, 2), |shard, call| {
    Box::pin(answer(shard, call))
});

const ENDPOINT_BROKERS: i8 = 1;
/// "The authorised operations were not asked for": the least i32, as in Metadata.
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;
/// CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE as bits by operation code: all that
/// Kafka's CLUSTER resource knows. Everybody may do everything until ACLs exist.
pub const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: DescribeClusterRequest = call.decode()?;
    let response = DescribeClusterResponse::default().with_cluster_id(text(shard.node.cluster_id.as_str()));
    if call.version() >= 1 && request.endpoint_type != ENDPOINT_BROKERS {
        let message = "the controller is part of the broker and has no endpoint of its own";
        return call.reply(
            &response
                .with_error_code(ErrorCode::UnsupportedEndpointType.code())
                .with_error_message(Some(text(message)))
                .with_controller_id(BrokerId(-1)),
        );
    }
    let brokers = shard.endpoints(call.listener()).into_iter().map(|broker| {
        DescribeClusterBroker::default()
            .with_broker_id(BrokerId(broker.id))
            .with_host(text(broker.host))
            .with_port(i32::from(broker.port))
            .with_rack(broker.rack.map(text))
    });
    let operations = if request.include_cluster_authorized_operations {
        CLUSTER_OPERATIONS
    } else {
        OPERATIONS_NOT_ASKED
    };
    call.reply(
        &response
            .with_endpoint_type(ENDPOINT_BROKERS)
            .with_controller_id(BrokerId(shard.node.id.0))
            .with_brokers(brokers.collect())
            .with_cluster_authorized_operations(operations),
    )
}
