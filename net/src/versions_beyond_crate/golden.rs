//! Our bytes against those of Kafka 4.4.0's own classes (`testdata/kafka-4.4.0-messages.txt`), every version.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use reactor::Piece;
use uuid::Uuid;

use super::*;
use crate::ErrorCode;
use crate::fetch::{
    AbortedTransaction, EpochEndOffset, FetchPartitionResponse, FetchResponse, FetchTopicResponse,
    NodeEndpoint,
};
use crate::header::response_encoding;
use crate::produce::{
    BatchIndexError, LeaderIdAndEpoch, ProducePartitionResponse, ProduceResponse, ProduceTopicResponse,
};

const GOLDEN: &str = include_str!("../../testdata/kafka-4.4.0-messages.txt");

fn golden(name: &str) -> Vec<(i16, Bytes)> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    let found: Vec<_> = lines
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|words| words[0] == name)
        .map(|words| (words[1].parse().unwrap(), unhex(words[2])))
        .collect();
    assert!(!found.is_empty(), "no golden bytes of {name}");
    found
}

fn unhex(hex: &str) -> Bytes {
    (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

const TOPIC_ID: Uuid = Uuid::from_u128(7);

/// Writes `message` at every golden version, reads it back, and writes what was read: Kafka's bytes each time.
fn assert_golden<T: Encodable + Decodable + Debug>(name: &str, mut message: impl FnMut(i16) -> T) {
    for (version, expected) in golden(name) {
        let mut written = BytesMut::new();
        message(version).encode(&mut written, version).unwrap();
        assert_eq!(written, expected, "{name} v{version} as we write it");
        assert_eq!(message(version).compute_size(version).unwrap(), expected.len());
        let mut rest = expected.clone();
        let read = T::decode(&mut rest, version).unwrap();
        assert!(rest.is_empty(), "{name} v{version}");
        let mut again = BytesMut::new();
        read.encode(&mut again, version).unwrap();
        assert_eq!(again, expected, "{name} v{version} as we read it: {read:?}");
        for end in 0..expected.len() {
            assert!(
                T::decode(&mut expected.slice(..end), version).is_err(),
                "{name} v{version} cut at {end}"
            );
        }
    }
}

#[test]
fn api_versions() {
    assert_golden("ApiVersionsRequest", |_| ApiVersionsRequest {
        client_software_name: text("soft"),
        client_software_version: text("1.2"),
        cluster_id: Some(text("cluster")),
        node_id: 3,
    });
    assert_golden("ApiVersionsResponse", |_| {
        let key = theirs::api_versions_response::ApiVersion::default()
            .with_api_key(18)
            .with_min_version(0)
            .with_max_version(5);
        let feature = theirs::api_versions_response::FinalizedFeatureKey::default()
            .with_name(text("metadata.version"))
            .with_max_version_level(33)
            .with_min_version_level(33);
        let response = theirs::ApiVersionsResponse::default()
            .with_throttle_time_ms(5)
            .with_api_keys(vec![key]);
        ApiVersionsResponse(
            response
                .with_finalized_features(vec![feature])
                .with_finalized_features_epoch(9),
        )
    });
}

#[test]
fn list_offsets() {
    assert_golden("ListOffsetsRequest", |version| {
        use theirs::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
        let partition = ListOffsetsPartition::default()
            .with_partition_index(2)
            .with_current_leader_epoch(4)
            .with_timestamp(-6);
        let topic = ListOffsetsTopic::default()
            .with_name(text("t").into())
            .with_partitions(vec![partition]);
        let request = theirs::ListOffsetsRequest::default().with_replica_id((-1).into());
        let request = request
            .with_isolation_level(i8::from(version >= 2))
            .with_timeout_ms(77);
        ListOffsetsRequest(request.with_topics(vec![topic]))
    });
    assert_golden("ListOffsetsResponse", |version| {
        use theirs::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
        let partition = ListOffsetsPartitionResponse::default()
            .with_partition_index(2)
            .with_error_code(3)
            .with_timestamp(1000)
            .with_offset(55)
            .with_leader_epoch(if version >= 4 { 4 } else { -1 });
        let topic = ListOffsetsTopicResponse::default().with_name(text("t").into());
        let topic = topic.with_partitions(vec![partition]);
        let response = theirs::ListOffsetsResponse::default().with_throttle_time_ms(5);
        ListOffsetsResponse(response.with_topics(vec![topic]))
    });
}

#[test]
fn offset_commit() {
    assert_golden("OffsetCommitRequest", |version| OffsetCommitRequest {
        group_id: text("g"),
        generation_id_or_member_epoch: 6,
        member_id: text("m"),
        group_instance_id: (version >= 7).then(|| text("i")),
        retention_time_ms: 4000,
        topics: vec![OffsetCommitTopic {
            name: text("t"),
            topic_id: TOPIC_ID,
            partitions: vec![
                OffsetCommitPartition {
                    partition_index: 1,
                    committed_offset: 99,
                    committed_leader_epoch: 4,
                    committed_metadata: Some(text("meta")),
                },
                OffsetCommitPartition {
                    partition_index: 2,
                    committed_offset: 100,
                    committed_leader_epoch: -1,
                    committed_metadata: None,
                },
            ],
        }],
    });
    assert_golden("OffsetCommitResponse", |_| OffsetCommitResponse {
        throttle_time_ms: 5,
        topics: vec![OffsetCommitTopicResponse {
            name: text("t"),
            topic_id: TOPIC_ID,
            partitions: vec![OffsetCommitPartitionResponse {
                partition_index: 1,
                error_code: 12,
            }],
        }],
    });
}

fn offset_fetch_request(topics: Option<Vec<OffsetFetchTopic>>) -> OffsetFetchRequest {
    OffsetFetchRequest {
        groups: vec![OffsetFetchGroup {
            group_id: text("g"),
            member_id: Some(text("m")),
            member_epoch: 6,
            topics,
        }],
        require_stable: true,
    }
}

#[test]
fn offset_fetch() {
    assert_golden("OffsetFetchRequest", |_| {
        offset_fetch_request(Some(vec![OffsetFetchTopic {
            name: text("t"),
            topic_id: TOPIC_ID,
            partition_indexes: vec![1, 2],
        }]))
    });
    assert_golden("OffsetFetchRequestAllTopics", |_| offset_fetch_request(None));
    assert_golden("OffsetFetchResponse", |_| OffsetFetchResponse {
        throttle_time_ms: 5,
        groups: vec![OffsetFetchGroupResponse {
            group_id: text("g"),
            error_code: 14,
            topics: vec![OffsetFetchTopicResponse {
                name: text("t"),
                topic_id: TOPIC_ID,
                partitions: vec![OffsetFetchPartitionResponse {
                    partition_index: 1,
                    committed_offset: 99,
                    committed_leader_epoch: 4,
                    metadata: Some(text("meta")),
                    error_code: 0,
                }],
            }],
        }],
    });
}

#[test]
fn delete_groups() {
    assert_golden("DeleteGroupsRequest", |_| {
        let groups = vec![text("g").into(), text("h").into()];
        DeleteGroupsRequest(theirs::DeleteGroupsRequest::default().with_groups_names(groups))
    });
    assert_golden("DeleteGroupsResponse", |_| DeleteGroupsResponse {
        throttle_time_ms: 5,
        results: vec![DeletableGroupResult {
            group_id: text("g"),
            error_code: 68,
            error_message: Some(text("not empty")),
        }],
    });
}

#[test]
fn describe_log_dirs() {
    assert_golden("DescribeLogDirsRequest", |_| {
        use theirs::describe_log_dirs_request::DescribableLogDirTopic;
        let topic = DescribableLogDirTopic::default()
            .with_topic(text("t").into())
            .with_partitions(vec![0, 1]);
        DescribeLogDirsRequest(theirs::DescribeLogDirsRequest::default().with_topics(Some(vec![topic])))
    });
    assert_golden("DescribeLogDirsResponse", |_| DescribeLogDirsResponse {
        throttle_time_ms: 5,
        error_code: 29,
        results: vec![DescribeLogDirsResult {
            error_code: 56,
            log_dir: text("/d"),
            topics: vec![DescribeLogDirsTopic {
                name: text("t"),
                partitions: vec![DescribeLogDirsPartition {
                    partition_index: 1,
                    partition_size_bytes: 300,
                    offset_lag: 2,
                    is_future: true,
                }],
            }],
            total_bytes: 1000,
            usable_bytes: 400,
            is_cordoned: true,
        }],
    });
}

/// The body of one of our frames: length and header off.
fn body(api_key: i16, version: i16, frame: &[u8]) -> &[u8] {
    assert_eq!(frame[..4], (frame.len() as u32 - 4).to_be_bytes());
    assert_eq!(frame[4..8], [0, 0, 0, 11]);
    &frame[if response_encoding(api_key, version).is_flexible() {
        9
    } else {
        8
    }..]
}

#[test]
fn produce_response() {
    for (version, expected) in golden("ProduceResponse") {
        let response = ProduceResponse {
            topics: vec![ProduceTopicResponse {
                name: text("t"),
                topic_id: TOPIC_ID,
                partitions: vec![ProducePartitionResponse {
                    index: 1,
                    error: ErrorCode::NotLeaderOrFollower,
                    base_offset: 42,
                    log_append_time_ms: 1000,
                    log_start_offset: 7,
                    record_errors: vec![BatchIndexError {
                        batch_index: 2,
                        message: Some("no key".into()),
                    }],
                    error_message: Some("moved".into()),
                    current_leader: Some(LeaderIdAndEpoch {
                        leader_id: 2,
                        leader_epoch: 9,
                    }),
                }],
            }],
            throttle_time_ms: 5,
            node_endpoints: vec![NodeEndpoint {
                node_id: 2,
                host: text("b2"),
                port: 9092,
                rack: Some(text("r")),
            }],
        };
        assert_eq!(
            body(0, version, &response.to_frame(version, 11)),
            expected,
            "v{version}"
        );
    }
}

#[test]
fn fetch_response() {
    for (version, expected) in golden("FetchResponse") {
        let response = FetchResponse {
            throttle_time_ms: 5,
            error: ErrorCode::FetchSessionIdNotFound,
            session_id: 55,
            topics: vec![FetchTopicResponse {
                name: text("t"),
                topic_id: TOPIC_ID,
                partitions: vec![
                    FetchPartitionResponse {
                        high_watermark: 10,
                        last_stable_offset: 9,
                        log_start_offset: 1,
                        diverging_epoch: Some(EpochEndOffset {
                            epoch: 3,
                            end_offset: 30,
                        }),
                        current_leader: Some(LeaderIdAndEpoch {
                            leader_id: 1,
                            leader_epoch: 4,
                        }),
                        snapshot_id: Some(EpochEndOffset {
                            epoch: 2,
                            end_offset: 20,
                        }),
                        aborted_transactions: Some(vec![AbortedTransaction {
                            producer_id: 4,
                            first_offset: 6,
                        }]),
                        preferred_read_replica: 8,
                        records: vec![Piece::Bytes(Bytes::from_static(b"hello records"))],
                        ..FetchPartitionResponse::failed(1, ErrorCode::FencedLeaderEpoch)
                    },
                    FetchPartitionResponse {
                        high_watermark: 1,
                        ..FetchPartitionResponse::failed(2, ErrorCode::None)
                    },
                ],
            }],
            node_endpoints: vec![NodeEndpoint {
                node_id: 1,
                host: text("h"),
                port: 1,
                rack: None,
            }],
        };
        let mut frame = BytesMut::new();
        for piece in response.into_pieces(version, 11) {
            let Piece::Bytes(bytes) = piece else {
                panic!("only bytes here")
            };
            frame.extend_from_slice(&bytes);
        }
        assert_eq!(body(1, version, &frame), expected, "v{version}");
    }
}
