//! The consumer protocol inside group messages: what members subscribe to and what they are assigned.
//!
//! ```text
//! subscription  version i16, topics [string], user data nullable bytes, later versions more
//! assignment    version i16, [topic string, [partition i32]], user data nullable bytes
//! ```
//! Only the fields of version 0 are written and read: every later version begins with them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use net::wire::{Encoding, Reader, WireError, Writer};

/// Partitions by topic.
pub type TopicPartitions = BTreeMap<String, Vec<i32>>;

pub fn encode_subscription(topics: &[String]) -> Bytes {
    let mut out = Writer::new(BytesMut::new(), Encoding::Classic);
    out.i16(0);
    out.array_of(topics, |out, topic| out.string(topic));
    out.nullable_bytes(None);
    out.into_inner().freeze()
}

pub fn decode_subscription(bytes: &[u8]) -> Result<Vec<String>, WireError> {
    let mut reader = Reader::new(bytes, Encoding::Classic);
    reader.i16()?;
    reader.array_of(2, |reader| reader.str().map(str::to_owned))
}

pub fn encode_assignment(partitions: &TopicPartitions) -> Bytes {
    let mut out = Writer::new(BytesMut::new(), Encoding::Classic);
    out.i16(0);
    let topics: Vec<_> = partitions.iter().collect();
    out.array_of(&topics, |out, (topic, partitions)| {
        out.string(topic);
        out.array_of(partitions, |out, partition| out.i32(*partition));
    });
    out.nullable_bytes(None);
    out.into_inner().freeze()
}

/// An empty assignment may be no bytes at all.
pub fn decode_assignment(bytes: &[u8]) -> Result<TopicPartitions, WireError> {
    if bytes.is_empty() {
        return Ok(TopicPartitions::new());
    }
    let mut reader = Reader::new(bytes, Encoding::Classic);
    reader.i16()?;
    let topics = reader.array_of(6, |reader| {
        Ok((
            reader.str()?.to_owned(),
            reader.array_of(4, |reader| reader.i32())?,
        ))
    })?;
    Ok(topics.into_iter().collect())
}

/// Kafka's range assignor: of each topic, every subscribed member gets a run of neighbouring partitions, the first ones
/// one more if the number does not divide.
pub fn assign_ranges(
    members: &[(String, Vec<String>)],
    partition_counts: &BTreeMap<String, i32>,
) -> BTreeMap<String, TopicPartitions> {
    let mut assigned: BTreeMap<String, TopicPartitions> = members
        .iter()
        .map(|(member, _)| (member.clone(), TopicPartitions::new()))
        .collect();
    for (topic, count) in partition_counts {
        let subscribed: BTreeSet<&String> = members
            .iter()
            .filter(|(_, topics)| topics.contains(topic))
            .map(|(member, _)| member)
            .collect();
        let member_count = subscribed.len() as i32;
        let mut next = 0;
        for (at, member) in (0..).zip(subscribed) {
            let size = count / member_count + i32::from(at < count % member_count);
            if size > 0
                && let Some(partitions) = assigned.get_mut(member)
            {
                partitions.insert(topic.clone(), (next..next + size).collect());
            }
            next += size;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_partition_once() {
        // A partition of nobody stands still; one of two members is read twice.
        let members = |names: &[&str]| -> Vec<(String, Vec<String>)> {
            names
                .iter()
                .map(|name| (name.to_string(), vec!["t".to_owned()]))
                .collect()
        };
        let counts = BTreeMap::from([("t".to_owned(), 7)]);
        let assigned = assign_ranges(&members(&["b", "a", "c"]), &counts);
        let of = |member: &str| assigned[member].get("t").cloned().unwrap_or_default();
        assert_eq!(
            (of("a"), of("b"), of("c")),
            (vec![0, 1, 2], vec![3, 4], vec![5, 6])
        );
        let few = BTreeMap::from([("t".to_owned(), 1)]);
        let assigned = assign_ranges(&members(&["a", "b"]), &few);
        assert_eq!(assigned["a"]["t"], [0]);
        assert!(assigned["b"].is_empty());
        let unsubscribed = BTreeMap::from([("u".to_owned(), 3)]);
        assert!(assign_ranges(&members(&["a"]), &unsubscribed)["a"].is_empty());
    }

    #[test]
    fn subscriptions_and_assignments_read_back() {
        let topics = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(decode_subscription(&encode_subscription(&topics)), Ok(topics));
        let partitions = TopicPartitions::from([("a".to_owned(), vec![0, 3])]);
        assert_eq!(decode_assignment(&encode_assignment(&partitions)), Ok(partitions));
        assert_eq!(decode_assignment(b""), Ok(TopicPartitions::new()));
        assert!(decode_assignment(&[0, 0, 0x7f, 0xff, 0xff, 0xff]).is_err());
    }
}
