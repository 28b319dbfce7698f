//! What replicas ask, as Kafka's messages, both ways. A request for another topic or partition than the metadata log's is none of
//! ours, and reads as `None`.

use control::config::Endpoint;
use control::quorum::{
    BeginQuorumEpoch, EndQuorumEpoch, FetchRequest, FetchSnapshotRequest, ReplicaKey, VoteRequest,
};
use control::record::{BrokerId, ControllerEpoch};
use control::store::SnapshotId;
use engine::types::Offset;
use kafka_protocol::messages::{self as kafka, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::mapping::{key, node};
use super::{LISTENER, TOPIC, TOPIC_ID};
use crate::api::reply::text;

/// Far more than the leader sends at once.
const FETCH_BYTES_MAX: i32 = 8 << 20;
/// Whether the leader waits, and how long, it knows itself.
const FETCH_WAIT_MS: i32 = 100;

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

fn is_ours(name: &TopicName, partition: i32) -> bool {
    name.0.as_str() == TOPIC && partition == 0
}

fn cluster(id: &str) -> Option<StrBytes> {
    Some(text(id))
}

pub(super) fn vote(cluster_id: &str, request: &VoteRequest) -> kafka::VoteRequest {
    use kafka::vote_request::{PartitionData, TopicData};
    let voter = request.voter.unwrap_or(ReplicaKey::of(BrokerId(-1)));
    let partition = PartitionData::default()
        .with_partition_index(0)
        .with_replica_epoch(request.epoch.0)
        .with_replica_id(node(request.candidate.id))
        .with_replica_directory_id(request.candidate.directory.0)
        .with_voter_directory_id(voter.directory.0)
        .with_last_offset_epoch(request.last_epoch.0)
        .with_last_offset(request.end_offset.0)
        .with_pre_vote(request.pre_vote);
    kafka::VoteRequest::default()
        .with_cluster_id(cluster(cluster_id))
        .with_voter_id(node(voter.id))
        .with_topics(vec![
            TopicData::default()
                .with_topic_name(topic())
                .with_partitions(vec![partition]),
        ])
}

pub(super) fn read_vote(request: &kafka::VoteRequest) -> Option<VoteRequest> {
    let topic = request.topics.first()?;
    let partition = topic.partitions.first()?;
    is_ours(&topic.topic_name, partition.partition_index).then(|| VoteRequest {
        epoch: ControllerEpoch(partition.replica_epoch),
        candidate: key(partition.replica_id, partition.replica_directory_id),
        voter: (request.voter_id.0 >= 0).then(|| key(request.voter_id, partition.voter_directory_id)),
        last_epoch: ControllerEpoch(partition.last_offset_epoch),
        end_offset: Offset(partition.last_offset),
        pre_vote: partition.pre_vote,
    })
}

pub(super) fn begin(cluster_id: &str, request: &BeginQuorumEpoch) -> kafka::BeginQuorumEpochRequest {
    use kafka::begin_quorum_epoch_request::{LeaderEndpoint, PartitionData, TopicData};
    let voter = request.voter.unwrap_or(ReplicaKey::of(BrokerId(-1)));
    let partition = PartitionData::default()
        .with_partition_index(0)
        .with_voter_directory_id(voter.directory.0)
        .with_leader_id(node(request.leader))
        .with_leader_epoch(request.epoch.0);
    let endpoints = request.endpoint.iter().map(|endpoint| {
        LeaderEndpoint::default()
            .with_name(text(LISTENER))
            .with_host(text(endpoint.host.as_str()))
            .with_port(endpoint.port)
    });
    kafka::BeginQuorumEpochRequest::default()
        .with_cluster_id(cluster(cluster_id))
        .with_voter_id(node(voter.id))
        .with_topics(vec![
            TopicData::default()
                .with_topic_name(topic())
                .with_partitions(vec![partition]),
        ])
        .with_leader_endpoints(endpoints.collect())
}

pub(super) fn read_begin(request: &kafka::BeginQuorumEpochRequest) -> Option<BeginQuorumEpoch> {
    let topic = request.topics.first()?;
    let partition = topic.partitions.first()?;
    let endpoint = request.leader_endpoints.first().map(|endpoint| Endpoint {
        host: endpoint.host.to_string(),
        port: endpoint.port,
    });
    is_ours(&topic.topic_name, partition.partition_index).then(|| BeginQuorumEpoch {
        epoch: ControllerEpoch(partition.leader_epoch),
        leader: BrokerId(partition.leader_id.0),
        endpoint,
        voter: (request.voter_id.0 >= 0).then(|| key(request.voter_id, partition.voter_directory_id)),
    })
}

pub(super) fn end(cluster_id: &str, request: &EndQuorumEpoch) -> kafka::EndQuorumEpochRequest {
    use kafka::end_quorum_epoch_request::{PartitionData, ReplicaInfo, TopicData};
    let candidates = request.successors.iter().map(|key| {
        ReplicaInfo::default()
            .with_candidate_id(node(key.id))
            .with_candidate_directory_id(key.directory.0)
    });
    let partition = PartitionData::default()
        .with_partition_index(0)
        .with_leader_id(node(request.leader))
        .with_leader_epoch(request.epoch.0)
        .with_preferred_candidates(candidates.collect());
    kafka::EndQuorumEpochRequest::default()
        .with_cluster_id(cluster(cluster_id))
        .with_topics(vec![
            TopicData::default()
                .with_topic_name(topic())
                .with_partitions(vec![partition]),
        ])
}

pub(super) fn read_end(request: &kafka::EndQuorumEpochRequest) -> Option<EndQuorumEpoch> {
    let topic = request.topics.first()?;
    let partition = topic.partitions.first()?;
    let candidates = partition.preferred_candidates.iter();
    let candidates =
        candidates.map(|candidate| key(candidate.candidate_id, candidate.candidate_directory_id));
    let ids = partition.preferred_successors.iter();
    let ids = ids.map(|id| ReplicaKey::of(BrokerId(*id)));
    is_ours(&topic.topic_name, partition.partition_index).then(|| EndQuorumEpoch {
        epoch: ControllerEpoch(partition.leader_epoch),
        leader: BrokerId(partition.leader_id.0),
        successors: candidates.chain(ids).collect(),
    })
}

pub(super) fn fetch(cluster_id: &str, request: &FetchRequest) -> kafka::FetchRequest {
    use kafka::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
    let partition = FetchPartition::default()
        .with_partition(0)
        .with_current_leader_epoch(request.epoch.0)
        .with_fetch_offset(request.offset.0)
        .with_last_fetched_epoch(request.last_epoch.0)
        .with_partition_max_bytes(FETCH_BYTES_MAX)
        .with_replica_directory_id(request.replica.directory.0)
        .with_high_watermark(request.high_watermark.0);
    kafka::FetchRequest::default()
        .with_cluster_id(cluster(cluster_id))
        .with_replica_state(ReplicaState::default().with_replica_id(node(request.replica.id)))
        .with_max_wait_ms(FETCH_WAIT_MS)
        .with_max_bytes(FETCH_BYTES_MAX)
        .with_topics(vec![
            FetchTopic::default()
                .with_topic_id(TOPIC_ID)
                .with_partitions(vec![partition]),
        ])
}

pub(super) fn read_fetch(request: &kafka::FetchRequest) -> Option<FetchRequest> {
    let topic = request.topics.first()?;
    let partition = topic.partitions.first()?;
    let is_ours = topic.topic_id == TOPIC_ID && partition.partition == 0;
    is_ours.then(|| FetchRequest {
        epoch: ControllerEpoch(partition.current_leader_epoch),
        replica: key(request.replica_state.replica_id, partition.replica_directory_id),
        offset: Offset(partition.fetch_offset),
        last_epoch: ControllerEpoch(partition.last_fetched_epoch),
        high_watermark: Offset(partition.high_watermark),
        number: 0,
    })
}

pub(super) fn fetch_snapshot(
    cluster_id: &str,
    request: &FetchSnapshotRequest,
) -> kafka::FetchSnapshotRequest {
    use kafka::fetch_snapshot_request::{PartitionSnapshot, SnapshotId, TopicSnapshot};
    let id = SnapshotId::default()
        .with_end_offset(request.id.end_offset.0)
        .with_epoch(request.id.epoch.0);
    let partition = PartitionSnapshot::default()
        .with_partition(0)
        .with_current_leader_epoch(request.epoch.0)
        .with_snapshot_id(id)
        .with_position(i64::try_from(request.position).unwrap_or(i64::MAX))
        .with_replica_directory_id(request.replica.directory.0);
    kafka::FetchSnapshotRequest::default()
        .with_cluster_id(cluster(cluster_id))
        .with_replica_id(node(request.replica.id))
        .with_max_bytes(FETCH_BYTES_MAX)
        .with_topics(vec![
            TopicSnapshot::default()
                .with_name(topic())
                .with_partitions(vec![partition]),
        ])
}

pub(super) fn read_fetch_snapshot(request: &kafka::FetchSnapshotRequest) -> Option<FetchSnapshotRequest> {
    let topic = request.topics.first()?;
    let partition = topic.partitions.first()?;
    is_ours(&topic.name, partition.partition).then(|| FetchSnapshotRequest {
        epoch: ControllerEpoch(partition.current_leader_epoch),
        replica: key(request.replica_id, partition.replica_directory_id),
        id: SnapshotId {
            end_offset: Offset(partition.snapshot_id.end_offset),
            epoch: ControllerEpoch(partition.snapshot_id.epoch),
        },
        position: u64::try_from(partition.position).unwrap_or(u64::MAX),
    })
}
