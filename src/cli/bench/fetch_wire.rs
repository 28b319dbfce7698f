//! Fetch requests and answers as bytes, topics by name, without a fetch session.

use bytes::{BufMut, BytesMut};
use net::ErrorCode;
use net::header::{RequestHeader, response_encoding};
use net::wire::{Encoding, Reader, WireError, Writer};

use crate::client::{FetchConfig, Position};

const FETCH: i16 = 1;
const FLEXIBLE_SINCE: i16 = 12;
/// Versions with topics by name; 13 has ids.
pub const VERSIONS: (i16, i16) = (4, 12);

/// A whole frame that asks for the partitions at their positions.
pub fn request(
    version: i16,
    correlation_id: i32,
    topic: &str,
    positions: &[Position],
    config: FetchConfig,
) -> BytesMut {
    let encoding = Encoding::of(version, FLEXIBLE_SINCE);
    let mut frame = BytesMut::with_capacity(128 + positions.len() * 40);
    frame.put_i32(0);
    let header = RequestHeader {
        api_key: FETCH,
        api_version: version,
        correlation_id,
        client_id: "ringlog-bench".into(),
    };
    header.write(encoding, &mut frame);
    let mut out = Writer::new(frame, encoding);
    out.i32(-1); // replica id: a consumer
    out.i32(config.max_wait.as_millis() as i32);
    out.i32(config.min_bytes);
    out.i32(config.max_bytes);
    out.i8(0); // read uncommitted
    if version >= 7 {
        out.i32(0); // session id
        out.i32(-1); // session epoch: none
    }
    out.length(Some(1));
    out.string(topic);
    out.array_of(positions, |out, position| {
        out.i32(position.partition);
        if version >= 9 {
            out.i32(-1); // leader epoch: not checked
        }
        out.i64(position.offset);
        if version >= 12 {
            out.i32(-1); // last fetched epoch
        }
        if version >= 5 {
            out.i64(-1); // log start: of followers only
        }
        out.i32(config.partition_max_bytes);
        out.end_struct();
    });
    out.end_struct();
    if version >= 7 {
        out.length(Some(0)); // forgotten topics
    }
    if version >= 11 {
        out.string(""); // rack
    }
    out.end_struct();
    let mut frame = out.into_inner();
    let length = frame.len() as i32 - 4;
    if let Some(place) = frame.get_mut(0..4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    frame
}

/// One partition of an answer; the records lie in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionAnswer<'a> {
    pub partition: i32,
    pub error: ErrorCode,
    pub records: &'a [u8],
}

/// Reads an answer and shows each partition; returns the error of the whole.
pub fn read_answer<'a>(
    version: i16,
    frame: &'a [u8],
    mut visit: impl FnMut(PartitionAnswer<'a>),
) -> Result<ErrorCode, WireError> {
    let mut reader = Reader::new(frame, Encoding::Classic);
    reader.i32()?; // correlation id: one fetch at a time
    let mut reader = Reader::new(
        frame.get(4..).unwrap_or_default(),
        response_encoding(FETCH, version),
    );
    reader.end_struct()?;
    reader.i32()?; // throttle time
    let mut error = ErrorCode::None;
    if version >= 7 {
        error = ErrorCode::from_code(reader.i16()?);
        reader.i32()?; // session id
    }
    for _ in 0..reader.array_count(2)? {
        reader.str()?;
        for _ in 0..reader.array_count(14)? {
            let partition = reader.i32()?;
            let error = ErrorCode::from_code(reader.i16()?);
            reader.i64()?; // high watermark
            reader.i64()?; // last stable offset
            if version >= 5 {
                reader.i64()?; // log start offset
            }
            for _ in 0..reader.nullable_array_count(16)?.unwrap_or(0) {
                reader.i64()?; // producer of an aborted transaction
                reader.i64()?; // its first offset
                reader.end_struct()?;
            }
            if version >= 11 {
                reader.i32()?; // preferred read replica
            }
            let records = reader.nullable_bytes()?.unwrap_or_default();
            reader.end_struct()?;
            visit(PartitionAnswer {
                partition,
                error,
                records,
            });
        }
        reader.end_struct()?;
    }
    Ok(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
    use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
    use kafka_protocol::protocol::Decodable;

    #[test]
    fn requests_read_back_as_what_was_meant_in_every_version() {
        let positions = [
            Position {
                partition: 0,
                offset: 7,
            },
            Position {
                partition: 5,
                offset: 1 << 40,
            },
        ];
        for version in VERSIONS.0..=VERSIONS.1 {
            let mut frame = request(version, 9, "orders", &positions, FetchConfig::default());
            let length = i32::from_be_bytes(*frame.first_chunk().unwrap());
            assert_eq!(length as usize, frame.len() - 4);
            let mut frame = frame.split_off(4);
            let header = RequestHeader::split_from(&mut frame).unwrap();
            assert_eq!(
                (header.api_key, header.api_version, header.correlation_id),
                (1, version, 9)
            );
            let mut body = frame.freeze();
            let request = FetchRequest::decode(&mut body, version).unwrap();
            assert!(body.is_empty(), "v{version}");
            assert_eq!(
                (request.max_wait_ms, request.min_bytes, request.max_bytes),
                (500, 1, 50 << 20)
            );
            let found = request.topics[0].partitions.iter();
            let found = found.map(|p| Position {
                partition: p.partition,
                offset: p.fetch_offset,
            });
            assert_eq!(found.collect::<Vec<_>>(), positions);
        }
    }

    #[test]
    fn answers_of_every_version_give_their_records() {
        for version in VERSIONS.0..=VERSIONS.1 {
            let partition = |index: i32, code, records: &'static [u8]| {
                PartitionData::default()
                    .with_partition_index(index)
                    .with_error_code(code)
                    .with_aborted_transactions(None)
                    .with_records(Some(Bytes::from_static(records)))
            };
            let answer = FetchResponse::default().with_responses(vec![
                FetchableTopicResponse::default()
                    .with_topic(TopicName("orders".into()))
                    .with_partitions(vec![partition(0, 0, b"some"), partition(5, 1, b"")]),
            ]);
            let frame = net::message::encode_response(version, 9, &answer).unwrap();
            let mut found = Vec::new();
            let error = read_answer(version, &frame[4..], |partition| found.push(partition)).unwrap();
            assert_eq!(error, ErrorCode::None);
            let expected = [
                PartitionAnswer {
                    partition: 0,
                    error: ErrorCode::None,
                    records: b"some",
                },
                PartitionAnswer {
                    partition: 5,
                    error: ErrorCode::OffsetOutOfRange,
                    records: b"",
                },
            ];
            assert_eq!(found, expected, "v{version}");
            assert!(read_answer(version, &frame[4..frame.len() - 3], |_| ()).is_err());
        }
    }
}
