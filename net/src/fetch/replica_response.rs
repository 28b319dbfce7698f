//! The answer to a follower's Fetch: read in place, records split off without copying.

use std::ops::Range;

use bytes::BytesMut;
use uuid::Uuid;

use super::replica_request::REPLICA_FETCH_VERSION;
use super::response::EpochEndOffset;
use crate::error::ErrorCode;
use crate::shape::ShapeError;
use crate::wire::{Encoding, Reader, Tag, WireError};

#[derive(Debug)]
pub struct ReplicaFetchResponse {
    pub correlation_id: i32,
    pub error: ErrorCode,
    /// 0: the leader keeps no session.
    pub session_id: i32,
    pub partitions: Vec<ReplicaFetchedPartition>,
}

#[derive(Debug)]
pub struct ReplicaFetchedPartition {
    pub topic_id: Uuid,
    pub index: i32,
    pub error: ErrorCode,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub diverging_epoch: Option<EpochEndOffset>,
    /// Whole batches, one behind the other; they share the frame's memory.
    pub records: BytesMut,
}

impl ReplicaFetchResponse {
    /// Reads a frame, its length taken off.
    pub fn parse(mut frame: BytesMut) -> Result<ReplicaFetchResponse, ShapeError> {
        let mut reader = Reader::new(&frame, Encoding::Flexible);
        let (mut response, ranges) = read(&mut reader).map_err(|source| ShapeError::Malformed {
            api: "Fetch",
            version: REPLICA_FETCH_VERSION,
            field: "Responses",
            source,
        })?;
        // Ranges ascend: each is split off behind the one before.
        let mut taken = 0;
        for (partition, range) in response.partitions.iter_mut().zip(ranges) {
            let Some(range) = range else { continue };
            drop(frame.split_to(range.start - taken));
            partition.records = frame.split_to(range.len());
            taken = range.end;
        }
        Ok(response)
    }
}

type Ranges = Vec<Option<Range<usize>>>;

fn read(reader: &mut Reader<'_>) -> Result<(ReplicaFetchResponse, Ranges), WireError> {
    let correlation_id = reader.i32()?;
    reader.end_struct()?;
    let _throttle_time_ms = reader.i32()?;
    let error = ErrorCode::from_code(reader.i16()?);
    let session_id = reader.i32()?;
    let mut partitions = Vec::new();
    let mut ranges = Vec::new();
    for _ in 0..reader.array_count(18)? {
        let topic_id = reader.uuid()?;
        for _ in 0..reader.array_count(37)? {
            let (partition, range) = read_partition(topic_id, reader)?;
            partitions.push(partition);
            ranges.push(range);
        }
        reader.end_struct()?;
    }
    reader.end_struct()?;
    let response = ReplicaFetchResponse {
        correlation_id,
        error,
        session_id,
        partitions,
    };
    Ok((response, ranges))
}

fn read_partition(
    topic_id: Uuid,
    reader: &mut Reader<'_>,
) -> Result<(ReplicaFetchedPartition, Option<Range<usize>>), WireError> {
    let mut partition = ReplicaFetchedPartition {
        topic_id,
        index: reader.i32()?,
        error: ErrorCode::from_code(reader.i16()?),
        high_watermark: reader.i64()?,
        log_start_offset: -1,
        diverging_epoch: None,
        records: BytesMut::new(),
    };
    let _last_stable_offset = reader.i64()?;
    partition.log_start_offset = reader.i64()?;
    // followers are told of no aborted transactions
    for _ in 0..reader.nullable_array_count(17)?.unwrap_or(0) {
        reader.i64()?;
        reader.i64()?;
        reader.end_struct()?;
    }
    let _preferred_read_replica = reader.i32()?;
    let range = reader.nullable_bytes_range()?.filter(|range| !range.is_empty());
    reader.tagged_fields(|tag, reader| {
        if tag != 0 {
            return Ok(Tag::Unknown);
        }
        partition.diverging_epoch = Some(EpochEndOffset {
            epoch: reader.i32()?,
            end_offset: reader.i64()?,
        });
        reader.end_struct()?;
        Ok(Tag::Known)
    })?;
    Ok((partition, range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::{FetchPartitionResponse, FetchResponse, FetchTopicResponse};
    use bytes::Bytes;
    use reactor::Piece;

    fn answer() -> BytesMut {
        let partition = |index: i32, records: &'static [u8]| FetchPartitionResponse {
            high_watermark: 10,
            log_start_offset: 1,
            records: vec![Piece::Bytes(Bytes::from_static(records))],
            ..FetchPartitionResponse::failed(index, ErrorCode::None)
        };
        let response = FetchResponse {
            throttle_time_ms: 0,
            error: ErrorCode::None,
            session_id: 5,
            topics: vec![
                FetchTopicResponse {
                    name: "".into(),
                    topic_id: Uuid::from_u128(1),
                    partitions: vec![partition(0, b"first"), partition(1, b"")],
                },
                FetchTopicResponse {
                    name: "".into(),
                    topic_id: Uuid::from_u128(2),
                    partitions: vec![
                        FetchPartitionResponse {
                            diverging_epoch: Some(EpochEndOffset {
                                epoch: 3,
                                end_offset: 30,
                            }),
                            ..FetchPartitionResponse::failed(4, ErrorCode::None)
                        },
                        partition(5, b"second"),
                        FetchPartitionResponse::failed(6, ErrorCode::NotLeaderOrFollower),
                    ],
                },
            ],
            node_endpoints: Vec::new(),
        };
        let mut frame = BytesMut::new();
        for piece in response.into_pieces(REPLICA_FETCH_VERSION, 21) {
            let Piece::Bytes(bytes) = piece else {
                panic!("bytes")
            };
            frame.extend_from_slice(&bytes);
        }
        frame.split_off(4)
    }

    /// Breaks in production: a follower writes what belongs to another partition.
    #[test]
    fn records_are_slices_of_the_frame() {
        let frame = answer();
        let memory = frame.as_ptr_range();
        let response = ReplicaFetchResponse::parse(frame).unwrap();
        assert_eq!((response.correlation_id, response.session_id), (21, 5));
        let records: Vec<&[u8]> = response
            .partitions
            .iter()
            .map(|partition| &partition.records[..])
            .collect();
        assert_eq!(records, [&b"first"[..], b"", b"", b"second", b""]);
        assert!(memory.contains(&response.partitions[3].records.as_ptr()));
        assert_eq!(
            response.partitions[2].diverging_epoch,
            Some(EpochEndOffset {
                epoch: 3,
                end_offset: 30
            })
        );
        assert_eq!(response.partitions[4].error, ErrorCode::NotLeaderOrFollower);
        assert_eq!(response.partitions[3].topic_id, Uuid::from_u128(2));
    }

    #[test]
    fn truncated_and_lying_answers_are_errors() {
        let frame = answer();
        for end in 0..frame.len() {
            assert!(
                ReplicaFetchResponse::parse(BytesMut::from(&frame[..end])).is_err(),
                "cut at {end}"
            );
        }
        for at in 0..frame.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = BytesMut::from(&frame[..]);
                changed[at] = value;
                let _ = ReplicaFetchResponse::parse(changed);
            }
        }
    }
}
