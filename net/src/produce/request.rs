//! ProduceRequest: the frame is cut at the records, so that each partition's bytes are owned alone.
//!
//! ```text
//! frame   transactional id, acks, ... topic "a", partition 0 | records | partition 1 ... | records | topic "b" ...
//!         ^ frozen, names are slices of it                   ^ BytesMut, patched in place  ^ frozen
//! ```
//! `split_to` moves no byte: all parts share one allocation, which lives as long as any of them.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use reactor::Piece;
use uuid::Uuid;

use super::{FLEXIBLE_SINCE, TOPIC_ID_SINCE};
use crate::frame::interleave;
use crate::header::RequestHeader;
use crate::shape::ShapeError;
use crate::wire::{Encoding, Reader, WireError, Writer};

#[derive(Debug, Default)]
pub struct ProduceRequest {
    pub transactional_id: Option<StrBytes>,
    /// 0, 1 or -1 (all); what else a client sends is for the handler to refuse.
    pub acks: i16,
    pub timeout_ms: i32,
    pub topics: Vec<ProduceTopic>,
}

/// The records for one topic: named up to v12, by id from v13 on.
#[derive(Debug, Default)]
pub struct ProduceTopic {
    pub name: StrBytes,
    pub topic_id: Uuid,
    pub partitions: Vec<ProducePartition>,
}

#[derive(Debug, Default)]
pub struct ProducePartition {
    pub index: i32,
    /// The frame's own bytes, exclusively owned: base offset and leader epoch may be patched where they lie.
    pub records: Option<BytesMut>,
}

impl ProduceRequest {
    pub const VERSION_MIN: i16 = 3;
    pub const VERSION_MAX: i16 = 13;

    /// Takes the body of a Produce request apart. Bytes after the message are ignored.
    pub fn parse(version: i16, body: BytesMut) -> Result<ProduceRequest, ShapeError> {
        if !(Self::VERSION_MIN..=Self::VERSION_MAX).contains(&version) {
            return Err(ShapeError::UnsupportedVersion {
                api: "Produce",
                version,
            });
        }
        Plan::read(version, &body)
            .map_err(|source| ShapeError::Malformed {
                api: "Produce",
                version,
                field: "TopicData",
                source,
            })
            .map(|plan| plan.cut(body))
    }

    /// The client's side: a frame whose records are pieces of their own, not copied. `topics` as in the request.
    pub fn to_pieces(self, version: i16, header: &RequestHeader) -> Vec<Piece> {
        let encoding = Encoding::of(version, FLEXIBLE_SINCE);
        let mut head = BytesMut::with_capacity(256);
        head.put_i32(0);
        header.write(encoding, &mut head);
        let mut out = Writer::new(head, encoding);
        let mut cuts = Vec::new();
        out.nullable_string(self.transactional_id.as_deref());
        out.i16(self.acks);
        out.i32(self.timeout_ms);
        out.length(Some(self.topics.len()));
        for topic in self.topics {
            if version >= TOPIC_ID_SINCE {
                out.uuid(topic.topic_id);
            } else {
                out.string(&topic.name);
            }
            out.length(Some(topic.partitions.len()));
            for partition in topic.partitions {
                out.i32(partition.index);
                out.length(partition.records.as_ref().map(|records| records.len()));
                if let Some(records) = partition.records {
                    cuts.push((out.get_ref().len(), vec![Piece::Bytes(records.freeze())]));
                }
                out.end_struct();
            }
            out.end_struct();
        }
        out.end_struct();
        interleave(out.into_inner(), cuts)
    }
}

/// Where everything lies, found in one pass over the bytes before any of them is given away.
struct Plan {
    transactional_id: Option<Range<usize>>,
    acks: i16,
    timeout_ms: i32,
    topics: Vec<TopicPlan>,
}

struct TopicPlan {
    name: Range<usize>,
    topic_id: Uuid,
    partitions: Vec<(i32, Option<Range<usize>>)>,
}

impl Plan {
    fn read(version: i16, body: &[u8]) -> Result<Plan, WireError> {
        let encoding = Encoding::of(version, FLEXIBLE_SINCE);
        let mut reader = Reader::new(body, encoding);
        let transactional_id = read_name(&mut reader)?;
        let acks = reader.i16()?;
        let timeout_ms = reader.i32()?;
        // the least a topic takes: name or id and a count; a partition: index and a length
        let topics = reader.array_of(2, |reader| {
            let at = reader.position();
            let (name, topic_id) = if version >= TOPIC_ID_SINCE {
                (at..at, reader.uuid()?)
            } else {
                (
                    read_name(reader)?.ok_or(WireError::UnexpectedNull { at })?,
                    Uuid::nil(),
                )
            };
            let partitions = reader.array_of(5, |reader| {
                let partition = (reader.i32()?, reader.nullable_bytes_range()?);
                reader.end_struct()?;
                Ok(partition)
            })?;
            reader.end_struct()?;
            Ok(TopicPlan {
                name,
                topic_id,
                partitions,
            })
        })?;
        reader.end_struct()?;
        Ok(Plan {
            transactional_id,
            acks,
            timeout_ms,
            topics,
        })
    }

    fn cut(self, frame: BytesMut) -> ProduceRequest {
        let mut cutter = Cutter::new(frame, &self);
        let mut request = ProduceRequest {
            transactional_id: self.transactional_id.map(|range| cutter.text(range)),
            acks: self.acks,
            timeout_ms: self.timeout_ms,
            topics: Vec::with_capacity(self.topics.len()),
        };
        for topic in self.topics {
            let name = cutter.text(topic.name);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for (index, records) in topic.partitions {
                partitions.push(ProducePartition {
                    index,
                    records: records.map(|range| cutter.records(range)),
                });
            }
            request.topics.push(ProduceTopic {
                name,
                topic_id: topic.topic_id,
                partitions,
            });
        }
        request
    }
}

/// A string's range, checked to be UTF-8 here so that cutting cannot fail.
fn read_name(reader: &mut Reader<'_>) -> Result<Option<Range<usize>>, WireError> {
    let name = reader.nullable_str()?;
    let end = reader.position();
    Ok(name.map(|name| end - name.len()..end))
}

/// Hands out parts of the frame from front to back: texts out of the frozen part before the next records.
struct Cutter {
    /// What is not cut yet; its first byte is `at` of the body.
    rest: BytesMut,
    at: usize,
    /// The frozen part in front of the next records, and where it begins in the body.
    text: Bytes,
    text_at: usize,
    /// Ends of the frozen parts, last first.
    records: Vec<Range<usize>>,
}

impl Cutter {
    fn new(frame: BytesMut, plan: &Plan) -> Cutter {
        let partitions = plan.topics.iter().flat_map(|topic| &topic.partitions);
        let mut records: Vec<Range<usize>> = partitions.filter_map(|(_, records)| records.clone()).collect();
        records.reverse();
        let mut cutter = Cutter {
            rest: frame,
            at: 0,
            text: Bytes::new(),
            text_at: 0,
            records,
        };
        cutter.freeze_to_next_records();
        cutter
    }

    fn freeze_to_next_records(&mut self) {
        let end = self
            .records
            .last()
            .map_or(self.at + self.rest.len(), |range| range.start);
        self.text_at = self.at;
        self.text = self.split(end).freeze();
    }

    fn split(&mut self, end: usize) -> BytesMut {
        let length = end.saturating_sub(self.at).min(self.rest.len());
        self.at += length;
        self.rest.split_to(length)
    }

    fn text(&mut self, range: Range<usize>) -> StrBytes {
        if range.is_empty() {
            return StrBytes::new();
        }
        debug_assert!(self.text_at <= range.start && range.end <= self.text_at + self.text.len());
        let slice = self
            .text
            .slice(range.start - self.text_at..range.end - self.text_at);
        StrBytes::from_utf8(slice).unwrap_or_default() // checked by `read_name`
    }

    fn records(&mut self, range: Range<usize>) -> BytesMut {
        debug_assert_eq!(self.at, range.start);
        let records = self.split(range.end);
        self.records.pop();
        self.freeze_to_next_records();
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::set_frame_length;
    use kafka_protocol::messages::ProduceRequest as Theirs;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::protocol::Encodable;

    fn theirs(version: i16) -> Theirs {
        let partition = |index: i32, records: Option<&'static [u8]>| {
            PartitionProduceData::default()
                .with_index(index)
                .with_records(records.map(Bytes::from_static))
        };
        let topic = |name: &'static str, id: u128, partitions| {
            let topic = TopicProduceData::default().with_partition_data(partitions);
            if version >= 13 {
                topic.with_topic_id(Uuid::from_u128(id))
            } else {
                topic.with_name(StrBytes::from_static_str(name).into())
            }
        };
        Theirs::default()
            .with_transactional_id(Some(StrBytes::from_static_str("tx").into()))
            .with_acks(-1)
            .with_timeout_ms(1500)
            .with_topic_data(vec![
                topic(
                    "first",
                    1,
                    vec![
                        partition(0, Some(b"aaaa")),
                        partition(7, None),
                        partition(1, Some(b"bb")),
                    ],
                ),
                topic("none", 2, vec![]),
                topic("second", 3, vec![partition(3, Some(b""))]),
            ])
    }

    #[test]
    fn every_version_is_read_and_records_are_not_copied() {
        for version in 3..=13 {
            let mut body = BytesMut::new();
            theirs(version).encode(&mut body, version).unwrap();
            body.extend_from_slice(b"ignored");
            let span = body.as_ptr_range();
            let mut request = ProduceRequest::parse(version, body).unwrap();
            assert_eq!(request.transactional_id.as_deref(), Some("tx"));
            assert_eq!((request.acks, request.timeout_ms), (-1, 1500));
            assert_eq!(request.topics.len(), 3);
            let names: Vec<_> = request
                .topics
                .iter()
                .map(|topic| topic.name.to_string())
                .collect();
            let ids: Vec<_> = request
                .topics
                .iter()
                .map(|topic| topic.topic_id.as_u128())
                .collect();
            if version >= 13 {
                assert_eq!(ids, [1, 2, 3]);
            } else {
                assert_eq!(names, ["first", "none", "second"], "v{version}");
            }
            let first = &mut request.topics[0].partitions;
            assert_eq!(first.iter().map(|p| p.index).collect::<Vec<_>>(), [0, 7, 1]);
            assert!(first[1].records.is_none());
            let records = first[0].records.as_mut().unwrap();
            assert!(span.contains(&records.as_ptr()));
            records[0] = b'x'; // patched in place
            assert_eq!(&records[..], b"xaaa");
            assert_eq!(first[2].records.as_deref(), Some(&b"bb"[..]));
            assert_eq!(request.topics[2].partitions[0].records.as_deref(), Some(&b""[..]));
        }
    }

    #[test]
    fn a_frame_of_pieces_is_the_frame_kafka_protocol_writes() {
        for version in 3..=13 {
            let mut body = BytesMut::new();
            theirs(version).encode(&mut body, version).unwrap();
            let request = ProduceRequest::parse(version, body.clone()).unwrap();
            let header = RequestHeader {
                api_key: 0,
                api_version: version,
                correlation_id: 9,
                client_id: "bench".into(),
            };
            let mut expected = BytesMut::new();
            expected.put_i32(0);
            header.write(Encoding::of(version, 9), &mut expected);
            expected.unsplit(body);
            let length = expected.len() - 4;
            set_frame_length(&mut expected, length);
            let mut sent = BytesMut::new();
            for piece in request.to_pieces(version, &header) {
                let Piece::Bytes(bytes) = piece else {
                    panic!("only bytes here")
                };
                sent.extend_from_slice(&bytes);
            }
            assert_eq!(sent, expected, "v{version}");
        }
    }

    #[test]
    fn truncated_and_lying_requests_are_errors() {
        for version in 3..=13 {
            let mut body = BytesMut::new();
            theirs(version).encode(&mut body, version).unwrap();
            for end in 0..body.len() {
                assert!(
                    ProduceRequest::parse(version, BytesMut::from(&body[..end])).is_err(),
                    "v{version} {end}"
                );
            }
            for at in 0..body.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = BytesMut::from(&body[..]);
                    changed[at] = value;
                    let _ = ProduceRequest::parse(version, changed);
                }
            }
        }
    }
}
