//! ProduceResponse: v0 to v13. v0 to v2 are advertised (old librdkafka looks for them) but never asked for in earnest.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{FLEXIBLE_SINCE, TOPIC_ID_SINCE};
use crate::error::ErrorCode;
use crate::fetch::NodeEndpoint;
use crate::frame::{finish_frame, start_frame};
use crate::header::write_response_header;
use crate::wire::{Encoding, Writer};

#[derive(Debug, Clone, Default)]
pub struct ProduceResponse {
    pub topics: Vec<ProduceTopicResponse>,
    pub throttle_time_ms: i32,
    /// Where the leaders named in `current_leader` are (v10 on).
    pub node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone, Default)]
pub struct ProduceTopicResponse {
    /// Written up to v12.
    pub name: StrBytes,
    /// Written from v13 on.
    pub topic_id: Uuid,
    pub partitions: Vec<ProducePartitionResponse>,
}

#[derive(Debug, Clone)]
pub struct ProducePartitionResponse {
    pub index: i32,
    pub error: ErrorCode,
    /// -1 with an error.
    pub base_offset: i64,
    /// -1 unless the topic's timestamps are append times.
    pub log_append_time_ms: i64,
    pub log_start_offset: i64,
    /// The records that made the batch be refused (v8 on).
    pub record_errors: Vec<BatchIndexError>,
    pub error_message: Option<String>,
    /// With NOT_LEADER_OR_FOLLOWER: who leads instead (v10 on).
    pub current_leader: Option<LeaderIdAndEpoch>,
}

/// Which record of the batch, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct BatchIndexError {
    pub batch_index: i32,
    pub message: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderIdAndEpoch {
    pub leader_id: i32,
    pub leader_epoch: i32,
}

impl LeaderIdAndEpoch {
    /// As the value of a tagged field.
    pub(crate) fn to_tagged(self) -> Vec<u8> {
        let mut out = Writer::new(Vec::with_capacity(9), Encoding::Flexible);
        out.i32(self.leader_id);
        out.i32(self.leader_epoch);
        out.end_struct();
        out.into_inner()
    }
}

impl ProducePartitionResponse {
    pub fn appended(index: i32, base_offset: i64, log_append_time_ms: i64, log_start_offset: i64) -> Self {
        ProducePartitionResponse {
            index,
            error: ErrorCode::None,
            base_offset,
            log_append_time_ms,
            log_start_offset,
            record_errors: Vec::new(),
            error_message: None,
            current_leader: None,
        }
    }

    pub fn refused(index: i32, error: ErrorCode) -> Self {
        ProducePartitionResponse {
            error,
            ..Self::appended(index, -1, -1, -1)
        }
    }
}

impl ProduceResponse {
    /// The answer as a frame.
    pub fn to_frame(&self, version: i16, correlation_id: i32) -> Bytes {
        let encoding = Encoding::of(version, FLEXIBLE_SINCE);
        let mut frame = start_frame();
        write_response_header(correlation_id, encoding, &mut frame);
        let mut out = Writer::new(frame, encoding);
        out.array_of(&self.topics, |out, topic| topic.write(version, out));
        if version >= 1 {
            out.i32(self.throttle_time_ms);
        }
        match NodeEndpoint::to_tagged(&self.node_endpoints) {
            Some(endpoints) if version >= 10 => out.tagged_fields(&[(0, endpoints)]),
            _ => out.end_struct(),
        }
        finish_frame(out.into_inner())
    }
}

impl ProduceTopicResponse {
    fn write(&self, version: i16, out: &mut Writer<BytesMut>) {
        if version >= TOPIC_ID_SINCE {
            out.uuid(self.topic_id);
        } else {
            out.string(&self.name);
        }
        out.array_of(&self.partitions, |out, partition| partition.write(version, out));
        out.end_struct();
    }
}

impl ProducePartitionResponse {
    fn write(&self, version: i16, out: &mut Writer<BytesMut>) {
        out.i32(self.index);
        out.i16(self.error.code());
        out.i64(self.base_offset);
        if version >= 2 {
            out.i64(self.log_append_time_ms);
        }
        if version >= 5 {
            out.i64(self.log_start_offset);
        }
        if version >= 8 {
            out.array_of(&self.record_errors, |out, error| {
                out.i32(error.batch_index);
                out.nullable_string(error.message.as_deref());
                out.end_struct();
            });
            out.nullable_string(self.error_message.as_deref());
        }
        match self.current_leader {
            Some(leader) if version >= 10 => out.tagged_fields(&[(0, leader.to_tagged())]),
            _ => out.end_struct(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;
    use kafka_protocol::messages::{ProduceResponse as Theirs, ResponseHeader};
    use kafka_protocol::protocol::Decodable;

    #[test]
    fn kafka_protocol_reads_every_version() {
        let response = ProduceResponse {
            topics: vec![ProduceTopicResponse {
                name: "t".into(),
                topic_id: Uuid::from_u128(5),
                partitions: vec![
                    ProducePartitionResponse::appended(0, 42, -1, 7),
                    ProducePartitionResponse {
                        record_errors: vec![BatchIndexError {
                            batch_index: 2,
                            message: Some("no key".into()),
                        }],
                        error_message: Some("one record is invalid".into()),
                        ..ProducePartitionResponse::refused(1, ErrorCode::InvalidRecord)
                    },
                    ProducePartitionResponse {
                        current_leader: Some(LeaderIdAndEpoch {
                            leader_id: 2,
                            leader_epoch: 9,
                        }),
                        ..ProducePartitionResponse::refused(2, ErrorCode::NotLeaderOrFollower)
                    },
                ],
            }],
            throttle_time_ms: 3,
            node_endpoints: vec![NodeEndpoint {
                node_id: 2,
                host: "b2".into(),
                port: 9092,
                rack: Some("r".into()),
            }],
        };
        for version in 3..=13 {
            let mut frame = response.to_frame(version, 11);
            assert_eq!(frame.get_i32() as usize, frame.len());
            let header = ResponseHeader::decode(&mut frame, i16::from(version >= 9)).unwrap();
            assert_eq!(header.correlation_id, 11);
            let read = Theirs::decode(&mut frame, version).unwrap();
            assert!(frame.is_empty(), "v{version}");
            assert_eq!(read.throttle_time_ms, 3);
            let topic = &read.responses[0];
            if version >= 13 {
                assert_eq!(topic.topic_id, Uuid::from_u128(5));
            } else {
                assert_eq!(&*topic.name.0, "t");
            }
            let [ok, invalid, moved] = &topic.partition_responses[..] else {
                panic!("three partitions")
            };
            assert_eq!((ok.index, ok.error_code, ok.base_offset), (0, 0, 42));
            assert_eq!(ok.log_start_offset, if version >= 5 { 7 } else { -1 });
            assert_eq!((invalid.error_code, invalid.base_offset), (87, -1));
            if version >= 8 {
                assert_eq!(invalid.record_errors[0].batch_index, 2);
                assert_eq!(invalid.error_message.as_deref(), Some("one record is invalid"));
            }
            if version >= 10 {
                assert_eq!(
                    (*moved.current_leader.leader_id, moved.current_leader.leader_epoch),
                    (2, 9)
                );
                assert_eq!(
                    (&*read.node_endpoints[0].host, read.node_endpoints[0].port),
                    ("b2", 9092)
                );
            }
        }
        assert_eq!(response.to_frame(0, 1)[..8], [0, 0, 0, 57, 0, 0, 0, 1]); // v0: the shortest body
    }
}
