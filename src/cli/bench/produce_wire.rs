//! Produce requests and answers as bytes: what is the same in every request is written once.

use bytes::{BufMut, Bytes, BytesMut};
use net::ErrorCode;
use net::header::{RequestHeader, response_encoding};
use net::wire::{Encoding, Reader, WireError, Writer};
use reactor::Piece;

use crate::client::Acks;

const PRODUCE: i16 = 0;
const FLEXIBLE_SINCE: i16 = 9;
/// Kafka's default of `request.timeout.ms`.
const TIMEOUT_MS: i32 = 30_000;
/// Versions with topics by name; 13 has ids.
pub const VERSIONS: (i16, i16) = (3, 12);

/// Where the correlation id lies in a frame, length included.
const CORRELATION_ID_AT: std::ops::Range<usize> = 8..12;

/// What is the same in every request of its kind.
#[derive(Debug, Clone)]
pub enum RequestTemplate {
    /// One batch to one partition, but for the lengths, the correlation id and the batch itself.
    One {
        /// From the frame's length to before the length of the records.
        head: Bytes,
        /// What follows the records.
        tail: Bytes,
        encoding: Encoding,
    },
    /// A batch to each of several partitions, written whole: only the correlation id changes.
    Whole {
        head: Bytes,
        rest: Bytes,
        batches: u64,
        batch_bytes: u64,
    },
}

impl RequestTemplate {
    pub fn one(version: i16, topic: &str, partition: i32, acks: Acks) -> RequestTemplate {
        let encoding = Encoding::of(version, FLEXIBLE_SINCE);
        let mut head = start(version, topic, 1, acks);
        head.i32(partition);
        let mut tail = Writer::new(BytesMut::new(), encoding);
        for _of in ["partition", "topic", "request"] {
            tail.end_struct();
        }
        RequestTemplate::One {
            head: head.into_inner().freeze(),
            tail: tail.into_inner().freeze(),
            encoding,
        }
    }

    /// `batch` gives the batch of each partition.
    pub fn whole(
        version: i16,
        topic: &str,
        partitions: &[i32],
        acks: Acks,
        batch: impl Fn(usize) -> Bytes,
    ) -> RequestTemplate {
        let mut out = start(version, topic, partitions.len(), acks);
        let mut batch_bytes = 0;
        for (at, partition) in partitions.iter().enumerate() {
            let batch = batch(at);
            batch_bytes += batch.len() as u64;
            out.i32(*partition);
            out.bytes(&batch);
            out.end_struct();
        }
        out.end_struct();
        out.end_struct();
        let mut head = out.into_inner();
        set_length(&mut head, 0);
        let rest = head.split_off(CORRELATION_ID_AT.end.min(head.len())).freeze();
        RequestTemplate::Whole {
            head: head.freeze(),
            rest,
            batches: partitions.len() as u64,
            batch_bytes,
        }
    }

    /// Batches of a request.
    pub fn batches(&self) -> u64 {
        match self {
            RequestTemplate::One { .. } => 1,
            RequestTemplate::Whole { batches, .. } => *batches,
        }
    }

    /// Appends the request's pieces and tells the bytes of its batches. The batch, for a request that has room for
    /// one, is not copied.
    pub fn write(&self, correlation_id: i32, batch: impl FnOnce() -> Bytes, pieces: &mut Vec<Piece>) -> u64 {
        match self {
            RequestTemplate::One { head, tail, encoding } => {
                let batch = batch();
                let batch_bytes = batch.len() as u64;
                let mut out = BytesMut::with_capacity(head.len() + 5);
                out.put_slice(head);
                let mut out = Writer::new(out, *encoding);
                out.length(Some(batch.len()));
                let mut out = out.into_inner();
                set_length(&mut out, batch.len() + tail.len());
                set_correlation_id(&mut out, correlation_id);
                pieces.push(Piece::Bytes(out.freeze()));
                pieces.push(Piece::Bytes(batch));
                if !tail.is_empty() {
                    pieces.push(Piece::Bytes(tail.clone()));
                }
                batch_bytes
            }
            RequestTemplate::Whole {
                head,
                rest,
                batch_bytes,
                ..
            } => {
                let mut head = BytesMut::from(&head[..]);
                set_correlation_id(&mut head, correlation_id);
                pieces.push(Piece::Bytes(head.freeze()));
                pieces.push(Piece::Bytes(rest.clone()));
                *batch_bytes
            }
        }
    }
}

/// A frame as far as the number of partitions of its one topic.
fn start(version: i16, topic: &str, partitions: usize, acks: Acks) -> Writer<BytesMut> {
    let encoding = Encoding::of(version, FLEXIBLE_SINCE);
    let mut head = BytesMut::new();
    head.put_i32(0);
    let header = RequestHeader {
        api_key: PRODUCE,
        api_version: version,
        correlation_id: 0,
        client_id: "ringlog-bench".into(),
    };
    header.write(encoding, &mut head);
    let mut head = Writer::new(head, encoding);
    head.nullable_string(None); // transactional id
    head.i16(acks.code());
    head.i32(TIMEOUT_MS);
    head.length(Some(1));
    head.string(topic);
    head.length(Some(partitions));
    head
}

/// The frame's length: what is in `frame` and `more` bytes that follow it.
fn set_length(frame: &mut BytesMut, more: usize) {
    let frame_bytes = (frame.len() + more).saturating_sub(4);
    if let Some(length) = frame.get_mut(0..4) {
        length.copy_from_slice(&(frame_bytes as i32).to_be_bytes());
    }
}

fn set_correlation_id(frame: &mut BytesMut, correlation_id: i32) {
    if let Some(id) = frame.get_mut(CORRELATION_ID_AT) {
        id.copy_from_slice(&correlation_id.to_be_bytes());
    }
}

/// What an answer to such a request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub correlation_id: i32,
    /// Partitions that refused.
    pub refused: u64,
    /// What the first of them said.
    pub error: ErrorCode,
}

/// Reads the error codes of all partitions.
pub fn read_answer(version: i16, frame: &[u8]) -> Result<Answer, WireError> {
    let mut reader = Reader::new(frame, response_encoding(PRODUCE, version));
    let correlation_id = reader.i32()?;
    reader.end_struct()?;
    let mut answer = Answer {
        correlation_id,
        refused: 0,
        error: ErrorCode::None,
    };
    for _ in 0..reader.array_count(2)? {
        reader.str()?;
        for _ in 0..reader.array_count(22)? {
            reader.i32()?; // partition
            let error = ErrorCode::from_code(reader.i16()?);
            if !error.is_ok() {
                answer.refused += 1;
                if answer.error.is_ok() {
                    answer.error = error;
                }
            }
            reader.i64()?; // base offset
            reader.i64()?; // log append time
            if version >= 5 {
                reader.i64()?; // log start offset
            }
            if version >= 8 {
                for _ in 0..reader.array_count(5)? {
                    reader.i32()?; // a record that was refused
                    reader.nullable_str()?; // why
                    reader.end_struct()?;
                }
                reader.nullable_str()?; // error message
            }
            reader.end_struct()?;
        }
        reader.end_struct()?;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
    use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
    use kafka_protocol::protocol::Decodable;

    #[test]
    fn requests_read_back_as_what_was_meant_in_every_version() {
        // A wrong byte here would measure how quickly a broker closes connections.
        for version in VERSIONS.0..=VERSIONS.1 {
            let batch = || Bytes::from_static(b"a batch");
            let one = RequestTemplate::one(version, "orders", 3, Acks::All);
            let whole = RequestTemplate::whole(version, "orders", &[3, 9], Acks::All, |_| batch());
            for (template, partitions) in [(one, &[3][..]), (whole, &[3, 9])] {
                let mut pieces = Vec::new();
                let batch_bytes = template.write(77, batch, &mut pieces);
                assert_eq!(batch_bytes, 7 * template.batches());
                let mut frame = joined(pieces);
                let length = i32::from_be_bytes(*frame.first_chunk().unwrap());
                assert_eq!(length as usize, frame.len() - 4);
                let mut frame = frame.split_off(4);
                let header = RequestHeader::split_from(&mut frame).unwrap();
                assert_eq!(
                    (header.api_key, header.api_version, header.correlation_id),
                    (0, version, 77)
                );
                let mut body = frame.freeze();
                let request = ProduceRequest::decode(&mut body, version).unwrap();
                assert!(body.is_empty(), "v{version}");
                assert_eq!(request.acks, -1);
                let topic = &request.topic_data[0];
                assert_eq!(&*topic.name.0, "orders");
                let found: Vec<i32> = topic.partition_data.iter().map(|data| data.index).collect();
                assert_eq!(found, partitions);
                for data in &topic.partition_data {
                    assert_eq!(data.records.as_deref(), Some(&b"a batch"[..]));
                }
            }
        }
    }

    fn joined(pieces: Vec<Piece>) -> BytesMut {
        let mut frame = BytesMut::new();
        for piece in pieces {
            match piece {
                Piece::Bytes(bytes) => frame.extend_from_slice(&bytes),
                Piece::File { .. } => unreachable!("a request has no file"),
            }
        }
        frame
    }

    #[test]
    fn answers_of_every_version_give_their_error() {
        for version in VERSIONS.0..=VERSIONS.1 {
            let partition = |index, code| {
                PartitionProduceResponse::default()
                    .with_index(index)
                    .with_error_code(code)
            };
            let answer = ProduceResponse::default().with_responses(vec![
                TopicProduceResponse::default()
                    .with_name(TopicName("orders".into()))
                    .with_partition_responses(vec![partition(2, 0), partition(3, 10), partition(4, 6)]),
            ]);
            let frame = net::message::encode_response(version, 77, &answer).unwrap();
            assert_eq!(
                read_answer(version, &frame[4..]),
                Ok(Answer {
                    correlation_id: 77,
                    refused: 2,
                    error: ErrorCode::MessageTooLarge
                })
            );
            assert!(read_answer(version, &frame[4..12]).is_err());
        }
    }
}
