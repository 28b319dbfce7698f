//! FetchResponse: header bytes and records take turns, records are never copied.
//!
//! ```text
//! | length, header, topic, partition 0 ... records length | records (memory or file) | tags, partition 1 ... | records |
//! ```

use bytes::{BufMut, BytesMut};
use kafka_protocol::protocol::StrBytes;
use reactor::Piece;
use uuid::Uuid;

use super::{FLEXIBLE_SINCE, LeaderIdAndEpoch, NodeEndpoint, TOPIC_ID_SINCE};
use crate::error::ErrorCode;
use crate::frame::interleave;
use crate::header::write_response_header;
use crate::wire::{Encoding, Writer};

#[derive(Debug, Clone)]
pub struct FetchResponse {
    pub throttle_time_ms: i32,
    /// Of the request as a whole (v7 on).
    pub error: ErrorCode,
    /// 0 = no session.
    pub session_id: i32,
    pub topics: Vec<FetchTopicResponse>,
    /// Where the leaders named in `current_leader` are (v16 on).
    pub node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone)]
pub struct FetchTopicResponse {
    /// Written up to v12.
    pub name: StrBytes,
    /// Written from v13 on.
    pub topic_id: Uuid,
    pub partitions: Vec<FetchPartitionResponse>,
}

#[derive(Debug, Clone)]
pub struct FetchPartitionResponse {
    pub index: i32,
    pub error: ErrorCode,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    /// For followers whose log went another way.
    pub diverging_epoch: Option<EpochEndOffset>,
    pub current_leader: Option<LeaderIdAndEpoch>,
    /// For followers that must begin with a snapshot.
    pub snapshot_id: Option<EpochEndOffset>,
    /// `None` is written as null: what Kafka answers to read-uncommitted fetches.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// -1 = read here.
    pub preferred_read_replica: i32,
    pub records: Vec<Piece>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEndOffset {
    pub epoch: i32,
    pub end_offset: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
}

impl FetchPartitionResponse {
    /// What Kafka answers for a partition it cannot read.
    pub fn failed(index: i32, error: ErrorCode) -> Self {
        FetchPartitionResponse {
            index,
            error,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: None,
            current_leader: None,
            snapshot_id: None,
            aborted_transactions: None,
            preferred_read_replica: -1,
            records: Vec::new(),
        }
    }

    pub fn record_bytes(&self) -> usize {
        self.records.iter().map(Piece::len).sum()
    }
}

impl FetchResponse {
    /// The answer as a frame. All bytes around the records are one allocation.
    pub fn into_pieces(self, version: i16, correlation_id: i32) -> Vec<Piece> {
        let encoding = Encoding::of(version, FLEXIBLE_SINCE);
        let partition_count: usize = self.topics.iter().map(|topic| topic.partitions.len()).sum();
        // about 60 bytes a partition and 40 a topic: one allocation in the common case
        let mut head = BytesMut::with_capacity(64 + 64 * partition_count + 48 * self.topics.len());
        head.put_i32(0);
        write_response_header(correlation_id, encoding, &mut head);
        let mut out = Writer::new(head, encoding);
        let mut cuts = Vec::with_capacity(partition_count);
        out.i32(self.throttle_time_ms);
        if version >= 7 {
            out.i16(self.error.code());
            out.i32(self.session_id);
        }
        out.length(Some(self.topics.len()));
        for topic in self.topics {
            if version >= TOPIC_ID_SINCE {
                out.uuid(topic.topic_id);
            } else {
                out.string(&topic.name);
            }
            out.length(Some(topic.partitions.len()));
            for partition in topic.partitions {
                partition.write_head(version, &mut out);
                let tagged_fields = partition.tagged_fields(encoding);
                if !partition.records.is_empty() {
                    cuts.push((out.get_ref().len(), partition.records));
                }
                out.tagged_fields(&tagged_fields);
            }
            out.end_struct();
        }
        match NodeEndpoint::to_tagged(&self.node_endpoints) {
            Some(endpoints) if version >= 16 => out.tagged_fields(&[(0, endpoints)]),
            _ => out.end_struct(),
        }
        interleave(out.into_inner(), cuts)
    }

    /// Bytes of records in the answer.
    pub fn record_bytes(&self) -> usize {
        self.topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(FetchPartitionResponse::record_bytes)
            .sum()
    }
}

impl FetchPartitionResponse {
    fn write_head(&self, version: i16, out: &mut Writer<BytesMut>) {
        out.i32(self.index);
        out.i16(self.error.code());
        out.i64(self.high_watermark);
        out.i64(self.last_stable_offset);
        if version >= 5 {
            out.i64(self.log_start_offset);
        }
        out.nullable_array_of(self.aborted_transactions.as_deref(), |out, transaction| {
            out.i64(transaction.producer_id);
            out.i64(transaction.first_offset);
            out.end_struct();
        });
        if version >= 11 {
            out.i32(self.preferred_read_replica);
        }
        out.length(Some(self.record_bytes()));
    }

    fn tagged_fields(&self, encoding: Encoding) -> Vec<(u32, Vec<u8>)> {
        let mut fields = Vec::new(); // allocates only when there is one
        if !encoding.is_flexible() {
            return fields;
        }
        if let Some(epoch) = self.diverging_epoch {
            let mut out = Writer::new(Vec::with_capacity(13), encoding);
            out.i32(epoch.epoch);
            out.i64(epoch.end_offset);
            out.end_struct();
            fields.push((0, out.into_inner()));
        }
        if let Some(leader) = self.current_leader {
            fields.push((1, leader.to_tagged()));
        }
        if let Some(snapshot) = self.snapshot_id {
            let mut out = Writer::new(Vec::with_capacity(13), encoding);
            out.i64(snapshot.end_offset);
            out.i32(snapshot.epoch);
            out.end_struct();
            fields.push((2, out.into_inner()));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Buf, Bytes};
    use kafka_protocol::messages::{FetchResponse as Theirs, ResponseHeader};
    use kafka_protocol::protocol::Decodable;

    fn joined(pieces: Vec<Piece>) -> Bytes {
        let mut frame = BytesMut::new();
        for piece in pieces {
            let Piece::Bytes(bytes) = piece else {
                panic!("only bytes here")
            };
            frame.extend_from_slice(&bytes);
        }
        frame.freeze()
    }

    #[test]
    fn kafka_protocol_reads_every_version() {
        let records = Bytes::from_static(b"hello records");
        let response = FetchResponse {
            throttle_time_ms: 2,
            error: ErrorCode::None,
            session_id: 55,
            topics: vec![FetchTopicResponse {
                name: "t".into(),
                topic_id: Uuid::from_u128(8),
                partitions: vec![
                    FetchPartitionResponse {
                        high_watermark: 10,
                        last_stable_offset: 9,
                        log_start_offset: 1,
                        aborted_transactions: Some(vec![AbortedTransaction {
                            producer_id: 4,
                            first_offset: 6,
                        }]),
                        records: vec![Piece::Bytes(records.slice(..5)), Piece::Bytes(records.slice(5..))],
                        ..FetchPartitionResponse::failed(0, ErrorCode::None)
                    },
                    FetchPartitionResponse {
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
                        ..FetchPartitionResponse::failed(1, ErrorCode::FencedLeaderEpoch)
                    },
                ],
            }],
            node_endpoints: vec![NodeEndpoint {
                node_id: 1,
                host: "h".into(),
                port: 1,
                rack: None,
            }],
        };
        for version in 4..=18 {
            let pieces = response.clone().into_pieces(version, 21);
            // records stay where they are: the second piece is the slice that was handed in
            let Some(Piece::Bytes(second)) = pieces.get(1) else {
                panic!("records expected")
            };
            assert_eq!(second.as_ptr(), records.as_ptr());
            let mut frame = joined(pieces);
            assert_eq!(frame.get_i32() as usize, frame.len(), "v{version}");
            assert_eq!(
                ResponseHeader::decode(&mut frame, i16::from(version >= 12))
                    .unwrap()
                    .correlation_id,
                21
            );
            let read = Theirs::decode(&mut frame, version).unwrap();
            assert!(frame.is_empty(), "v{version}");
            assert_eq!(read.session_id, if version >= 7 { 55 } else { 0 });
            let [first, second] = &read.responses[0].partitions[..] else {
                panic!("two partitions")
            };
            assert_eq!(first.records.as_deref(), Some(&b"hello records"[..]));
            assert_eq!(first.aborted_transactions.as_ref().unwrap()[0].first_offset, 6);
            assert_eq!((first.high_watermark, first.last_stable_offset), (10, 9));
            assert_eq!(second.error_code, 74);
            assert!(second.aborted_transactions.is_none());
            if version >= 12 {
                assert_eq!(
                    (second.diverging_epoch.epoch, second.diverging_epoch.end_offset),
                    (3, 30)
                );
                assert_eq!(
                    (
                        *second.current_leader.leader_id,
                        second.current_leader.leader_epoch
                    ),
                    (1, 4)
                );
                assert_eq!((second.snapshot_id.epoch, second.snapshot_id.end_offset), (2, 20));
            }
            assert_eq!(read.node_endpoints.len(), usize::from(version >= 16));
        }
    }

    #[test]
    fn an_answer_without_topics_is_one_piece() {
        let empty = FetchResponse {
            throttle_time_ms: 0,
            error: ErrorCode::FetchSessionIdNotFound,
            session_id: 0,
            topics: Vec::new(),
            node_endpoints: Vec::new(),
        };
        let pieces = empty.into_pieces(12, 1);
        assert_eq!(pieces.len(), 1);
        assert_eq!(
            joined(pieces)[..],
            [0, 0, 0, 17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 70, 0, 0, 0, 0, 1, 0]
        );
    }
}
