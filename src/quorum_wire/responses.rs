//! What replicas answer, as Kafka's messages, both ways. An answer without the metadata log in it reads as `None`.

use bytes::{Bytes, BytesMut};
use control::config::Endpoint;
use control::quorum::{
    Body, Entry, FetchOutcome, FetchRequest, FetchResponse, FetchSnapshotResponse, LeaderView, PlainResponse,
    Refusal, SnapshotPart, VoteResponse,
};
use control::record::ControllerEpoch;
use control::store::SnapshotId;
use control::store::kraft::decode_entries;
use engine::types::Offset;
use kafka_protocol::messages::{self as kafka, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::mapping::{code, optional_node, refusal, view};
use super::{TOPIC, TOPIC_ID};
use crate::api::reply::text;

/// Kafka's "no diverging epoch", "no snapshot".
const NONE: i32 = -1;

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

/// The leader's endpoint, for the list of nodes that every response ends with.
macro_rules! nodes {
    ($view:expr, $endpoint:ty, $port:ty) => {
        match ($view.leader, &$view.endpoint) {
            (Some(leader), Some(endpoint)) => vec![
                <$endpoint>::default()
                    .with_node_id(super::mapping::node(leader))
                    .with_host(text(endpoint.host.as_str()))
                    .with_port(<$port>::from(endpoint.port)),
            ],
            _ => Vec::new(),
        }
    };
}

macro_rules! endpoint_in {
    ($response:expr) => {
        $response.node_endpoints.first().map(|node| Endpoint {
            host: node.host.to_string(),
            port: u16::try_from(node.port).unwrap_or(0),
        })
    };
}

pub(super) fn vote(response: &VoteResponse) -> kafka::VoteResponse {
    use kafka::vote_response::{NodeEndpoint, PartitionData, TopicData};
    let LeaderView { epoch, leader, .. } = response.view;
    let partition = PartitionData::default()
        .with_partition_index(0)
        .with_error_code(code(response.refusal))
        .with_leader_id(optional_node(leader))
        .with_leader_epoch(epoch.0)
        .with_vote_granted(response.granted);
    kafka::VoteResponse::default()
        .with_topics(vec![
            TopicData::default()
                .with_topic_name(topic())
                .with_partitions(vec![partition]),
        ])
        .with_node_endpoints(nodes!(response.view, NodeEndpoint, u16))
}

pub(super) fn read_vote(response: &kafka::VoteResponse) -> Option<VoteResponse> {
    let partition = response.topics.first()?.partitions.first()?;
    Some(VoteResponse {
        view: view(
            partition.leader_id,
            partition.leader_epoch,
            endpoint_in!(response),
        ),
        refusal: refusal(partition.error_code),
        granted: partition.vote_granted && partition.error_code == 0,
    })
}

/// An answer of who leads and nothing else: written and read.
macro_rules! plain {
    ($write:ident, $read:ident, $response:ident, $parts:ident) => {
        pub(super) fn $write(response: &PlainResponse) -> kafka::$response {
            use kafka::$parts::{NodeEndpoint, PartitionData, TopicData};
            let LeaderView { epoch, leader, .. } = response.view;
            let partition = PartitionData::default()
                .with_partition_index(0)
                .with_error_code(code(response.refusal))
                .with_leader_id(optional_node(leader))
                .with_leader_epoch(epoch.0);
            let topics = TopicData::default()
                .with_topic_name(topic())
                .with_partitions(vec![partition]);
            kafka::$response::default()
                .with_topics(vec![topics])
                .with_node_endpoints(nodes!(response.view, NodeEndpoint, u16))
        }

        pub(super) fn $read(response: &kafka::$response) -> Option<PlainResponse> {
            let partition = response.topics.first()?.partitions.first()?;
            Some(PlainResponse {
                view: view(
                    partition.leader_id,
                    partition.leader_epoch,
                    endpoint_in!(response),
                ),
                refusal: refusal(partition.error_code),
            })
        }
    };
}

plain!(
    begin,
    read_begin,
    BeginQuorumEpochResponse,
    begin_quorum_epoch_response
);
plain!(end, read_end, EndQuorumEpochResponse, end_quorum_epoch_response);

pub(super) fn fetch(response: &FetchResponse) -> kafka::FetchResponse {
    use kafka::fetch_response::{
        EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData, SnapshotId,
    };
    let LeaderView { epoch, leader, .. } = response.view;
    let mut partition = PartitionData::default()
        .with_partition_index(0)
        .with_high_watermark(response.high_watermark.0)
        .with_last_stable_offset(response.high_watermark.0)
        .with_current_leader(
            LeaderIdAndEpoch::default()
                .with_leader_id(optional_node(leader))
                .with_leader_epoch(epoch.0),
        )
        .with_aborted_transactions(None)
        .with_records(Some(Bytes::new()));
    match &response.outcome {
        FetchOutcome::Records(entries) => partition.records = Some(concatenated(entries)),
        FetchOutcome::Diverging { epoch, end_offset } => {
            partition.diverging_epoch = EpochEndOffset::default()
                .with_epoch(epoch.0)
                .with_end_offset(end_offset.0);
        }
        FetchOutcome::Snapshot(id) => {
            partition.snapshot_id = SnapshotId::default()
                .with_end_offset(id.end_offset.0)
                .with_epoch(id.epoch.0);
        }
        FetchOutcome::Refused(refusal) => partition.error_code = code(Some(*refusal)),
    }
    kafka::FetchResponse::default()
        .with_responses(vec![
            FetchableTopicResponse::default()
                .with_topic_id(TOPIC_ID)
                .with_partitions(vec![partition]),
        ])
        .with_node_endpoints(nodes!(response.view, NodeEndpoint, i32))
}

fn concatenated(entries: &[Entry]) -> Bytes {
    let batches = entries.iter().filter_map(|entry| match &entry.body {
        Body::Batch(bytes) => Some(bytes),
        // not as the log has it: never what was read from it
        Body::Control(_) => None,
    });
    let mut all = BytesMut::new();
    batches.for_each(|bytes| all.extend_from_slice(bytes));
    all.freeze()
}

pub(super) fn read_fetch(request: &FetchRequest, response: &kafka::FetchResponse) -> Option<FetchResponse> {
    let partition = response.responses.first()?.partitions.first()?;
    let outcome = if let Some(refusal) = refusal(partition.error_code) {
        FetchOutcome::Refused(refusal)
    } else if partition.snapshot_id.epoch > NONE && partition.snapshot_id.end_offset >= 0 {
        FetchOutcome::Snapshot(SnapshotId {
            end_offset: Offset(partition.snapshot_id.end_offset),
            epoch: ControllerEpoch(partition.snapshot_id.epoch),
        })
    } else if partition.diverging_epoch.epoch > NONE && partition.diverging_epoch.end_offset >= 0 {
        FetchOutcome::Diverging {
            epoch: ControllerEpoch(partition.diverging_epoch.epoch),
            end_offset: Offset(partition.diverging_epoch.end_offset),
        }
    } else {
        let records = partition.records.clone().unwrap_or_default();
        match decode_entries(&records, request.offset) {
            Ok(entries) => FetchOutcome::Records(entries),
            Err(error) => {
                tracing::error!(%error, offset = request.offset.0, "the leader sent what is no metadata");
                FetchOutcome::Refused(Refusal::Storage)
            }
        }
    };
    let leader = &partition.current_leader;
    Some(FetchResponse {
        view: view(leader.leader_id, leader.leader_epoch, endpoint_in!(response)),
        high_watermark: Offset(partition.high_watermark),
        outcome,
    })
}

pub(super) fn fetch_snapshot(
    asked: SnapshotId,
    response: &FetchSnapshotResponse,
) -> kafka::FetchSnapshotResponse {
    use kafka::fetch_snapshot_response::{
        LeaderIdAndEpoch, NodeEndpoint, PartitionSnapshot, SnapshotId, TopicSnapshot,
    };
    let LeaderView { epoch, leader, .. } = response.view;
    let mut partition = PartitionSnapshot::default()
        .with_index(0)
        .with_snapshot_id(
            SnapshotId::default()
                .with_end_offset(asked.end_offset.0)
                .with_epoch(asked.epoch.0),
        )
        .with_current_leader(
            LeaderIdAndEpoch::default()
                .with_leader_id(optional_node(leader))
                .with_leader_epoch(epoch.0),
        );
    match &response.part {
        Ok(part) => {
            partition.size = i64::try_from(part.size_bytes).unwrap_or(i64::MAX);
            partition.position = i64::try_from(part.position).unwrap_or(i64::MAX);
            partition.unaligned_records = part.bytes.clone();
        }
        Err(refusal) => partition.error_code = code(Some(*refusal)),
    }
    kafka::FetchSnapshotResponse::default()
        .with_topics(vec![
            TopicSnapshot::default()
                .with_name(topic())
                .with_partitions(vec![partition]),
        ])
        .with_node_endpoints(nodes!(response.view, NodeEndpoint, u16))
}

pub(super) fn read_fetch_snapshot(response: &kafka::FetchSnapshotResponse) -> Option<FetchSnapshotResponse> {
    let partition = response.topics.first()?.partitions.first()?;
    let part = match refusal(partition.error_code) {
        Some(refusal) => Err(refusal),
        None => Ok(SnapshotPart {
            id: SnapshotId {
                end_offset: Offset(partition.snapshot_id.end_offset),
                epoch: ControllerEpoch(partition.snapshot_id.epoch),
            },
            size_bytes: u64::try_from(partition.size).ok()?,
            position: u64::try_from(partition.position).ok()?,
            bytes: partition.unaligned_records.clone(),
        }),
    };
    let leader = &partition.current_leader;
    Some(FetchSnapshotResponse {
        view: view(leader.leader_id, leader.leader_epoch, endpoint_in!(response)),
        part,
    })
}
