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

/// A request for one batch to one partition, but for the lengths, the correlation id and the batch itself.
#[derive(Debug, Clone)]
pub struct RequestTemplate {
    /// From the frame's length to before the length of the records.
    head: Bytes,
    /// What follows the records.
    tail: Bytes,
    encoding: Encoding,
}

impl RequestTemplate {
    pub fn new(version: i16, topic: &str, partition: i32, acks: Acks) -> RequestTemplate {
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
        head.length(Some(1));
        head.i32(partition);
        let mut tail = Writer::new(BytesMut::new(), encoding);
        for _of in ["partition", "topic", "request"] {
            tail.end_struct();
        }
        RequestTemplate {
            head: head.into_inner().freeze(),
            tail: tail.into_inner().freeze(),
            encoding,
        }
    }

    /// Appends the request's pieces; the batch is not copied.
    pub fn write(&self, correlation_id: i32, batch: Bytes, pieces: &mut Vec<Piece>) {
        let mut head = BytesMut::with_capacity(self.head.len() + 5);
        head.put_slice(&self.head);
        let mut head = Writer::new(head, self.encoding);
        head.length(Some(batch.len()));
        let mut head = head.into_inner();
        let frame_bytes = head.len() - 4 + batch.len() + self.tail.len();
        if let Some(length) = head.get_mut(0..4) {
            length.copy_from_slice(&(frame_bytes as i32).to_be_bytes());
        }
        if let Some(id) = head.get_mut(8..12) {
            id.copy_from_slice(&correlation_id.to_be_bytes());
        }
        pieces.push(Piece::Bytes(head.freeze()));
        pieces.push(Piece::Bytes(batch));
        if !self.tail.is_empty() {
            pieces.push(Piece::Bytes(self.tail.clone()));
        }
    }
}

/// What an answer to such a request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub correlation_id: i32,
    pub error: ErrorCode,
}

/// Reads as far as the error code of the one partition.
pub fn read_answer(version: i16, frame: &[u8]) -> Result<Answer, WireError> {
    let mut reader = Reader::new(frame, response_encoding(PRODUCE, version));
    let correlation_id = reader.i32()?;
    reader.end_struct()?;
    reader.array_count(1)?;
    reader.str()?;
    reader.array_count(1)?;
    reader.i32()?; // partition
    let error = ErrorCode::from_code(reader.i16()?);
    Ok(Answer {
        correlation_id,
        error,
    })
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
            let template = RequestTemplate::new(version, "orders", 3, Acks::All);
            let mut pieces = Vec::new();
            template.write(77, Bytes::from_static(b"a batch"), &mut pieces);
            let mut frame = BytesMut::new();
            for piece in pieces {
                match piece {
                    Piece::Bytes(bytes) => frame.extend_from_slice(&bytes),
                    Piece::File { .. } => unreachable!("a request has no file"),
                }
            }
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
            assert_eq!(topic.partition_data[0].index, 3);
            assert_eq!(topic.partition_data[0].records.as_deref(), Some(&b"a batch"[..]));
        }
    }

    #[test]
    fn answers_of_every_version_give_their_error() {
        for version in VERSIONS.0..=VERSIONS.1 {
            let partition = PartitionProduceResponse::default()
                .with_index(3)
                .with_error_code(10);
            let answer = ProduceResponse::default().with_responses(vec![
                TopicProduceResponse::default()
                    .with_name(TopicName("orders".into()))
                    .with_partition_responses(vec![partition]),
            ]);
            let frame = net::message::encode_response(version, 77, &answer).unwrap();
            assert_eq!(
                read_answer(version, &frame[4..]),
                Ok(Answer {
                    correlation_id: 77,
                    error: ErrorCode::MessageTooLarge
                })
            );
            assert!(read_answer(version, &frame[4..12]).is_err());
        }
    }
}
