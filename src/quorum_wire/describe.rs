//! DescribeQuorum, and DescribeCluster of the controllers.

use control::config::Endpoint;
use control::quorum::{Description, ReplicaState};
use control::store::Leadership;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_quorum_response::{
    self as response, Listener, Node, PartitionData, TopicData,
};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterResponse, DescribeQuorumRequest, DescribeQuorumResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use net::error::ErrorCode;
use reactor::Instant;
use uuid::Uuid;

use super::mapping::node;
use super::{LISTENER, TOPIC};
use crate::api::reply::text;

const ENDPOINT_CONTROLLERS: i8 = 2;
const WITH_DIRECTORIES: i16 = 2;

/// An answer of the leader.
pub(super) fn described(request: &DescribeQuorumRequest, quorum: &Description) -> DescribeQuorumResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let is_known = topic.topic_name.0.as_str() == TOPIC && partition.partition_index == 0;
            if is_known {
                described_log(quorum)
            } else {
                PartitionData::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
            }
        });
        TopicData::default()
            .with_topic_name(topic.topic_name.clone())
            .with_partitions(partitions.collect())
    });
    let nodes = quorum.voter_set.iter().map(|voter| {
        let listener = Listener::default()
            .with_name(text(LISTENER))
            .with_host(text(voter.endpoint.host.as_str()))
            .with_port(voter.endpoint.port);
        Node::default()
            .with_node_id(node(voter.key.id))
            .with_listeners(vec![listener])
    });
    DescribeQuorumResponse::default()
        .with_topics(topics.collect())
        .with_nodes(nodes.collect())
}

fn described_log(quorum: &Description) -> PartitionData {
    let (now, wall_ms) = (reactor::now(), reactor::wall_ms());
    let states = |states: &[ReplicaState]| states.iter().map(|one| state(one, now, wall_ms)).collect();
    PartitionData::default()
        .with_partition_index(0)
        .with_leader_id(node(quorum.leader))
        .with_leader_epoch(quorum.epoch.0)
        .with_high_watermark(quorum.high_watermark.0)
        .with_current_voters(states(&quorum.voters))
        .with_observers(states(&quorum.observers))
}

fn state(state: &ReplicaState, now: Instant, wall_ms: i64) -> response::ReplicaState {
    let time = |at: Option<Instant>| match at {
        Some(at) => wall_ms - i64::try_from(now.saturating_since(at).as_millis()).unwrap_or(0),
        None => -1,
    };
    response::ReplicaState::default()
        .with_replica_id(node(state.key.id))
        .with_replica_directory_id(state.key.directory.0)
        .with_log_end_offset(state.end_offset.0)
        .with_last_fetch_timestamp(time(state.fetched_at))
        .with_last_caught_up_timestamp(time(state.caught_up_at))
}

/// An answer without a leader to ask. The tools look for the error beside the topic.
pub fn refused(code: ErrorCode) -> DescribeQuorumResponse {
    let partition = PartitionData::default()
        .with_partition_index(0)
        .with_error_code(code.code());
    DescribeQuorumResponse::default()
        .with_error_code(code.code())
        .with_topics(vec![
            TopicData::default()
                .with_topic_name(TopicName(StrBytes::from_static_str(TOPIC)))
                .with_partitions(vec![partition]),
        ])
}

/// Without what `version` does not know: where the voters are, and in which directories.
pub fn at_version(mut response: DescribeQuorumResponse, version: i16) -> DescribeQuorumResponse {
    if version < WITH_DIRECTORIES {
        response.nodes.clear();
        let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        for partition in partitions {
            for state in partition
                .current_voters
                .iter_mut()
                .chain(&mut partition.observers)
            {
                state.replica_directory_id = Uuid::nil();
            }
        }
    }
    response
}

/// The controllers, for clients that were given their addresses (KIP-919).
pub(super) fn controllers(
    cluster_id: &str,
    leader: Option<Leadership>,
    voters: Vec<(i32, Endpoint)>,
    endpoint_type: i8,
) -> DescribeClusterResponse {
    if endpoint_type != ENDPOINT_CONTROLLERS {
        return DescribeClusterResponse::default()
            .with_error_code(ErrorCode::MismatchedEndpointType.code())
            .with_error_message(Some(text("this is a listener of controllers")));
    }
    let brokers = voters.into_iter().map(|(id, endpoint)| {
        DescribeClusterBroker::default()
            .with_broker_id(BrokerId(id))
            .with_host(text(endpoint.host))
            .with_port(i32::from(endpoint.port))
    });
    DescribeClusterResponse::default()
        .with_endpoint_type(ENDPOINT_CONTROLLERS)
        .with_cluster_id(text(cluster_id))
        .with_controller_id(leader.map_or(BrokerId(-1), |leader| node(leader.controller)))
        .with_brokers(brokers.collect())
        .with_cluster_authorized_operations(i32::MIN)
}
