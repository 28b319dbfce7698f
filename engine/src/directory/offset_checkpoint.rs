//! Files that give each partition one offset: `topic partition offset`, one a line.

use std::collections::BTreeMap;

use super::topic_partition::TopicPartition;
use crate::log::checkpoint::{CheckpointError, encode_lines, parse_lines};
use crate::types::Offset;

const VERSION: i32 = 0;

/// Offsets by partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetCheckpoint(pub BTreeMap<TopicPartition, Offset>);

impl OffsetCheckpoint {
    pub fn get(&self, partition: &TopicPartition) -> Option<Offset> {
        self.0.get(partition).copied()
    }

    pub fn encode(&self) -> Vec<u8> {
        let lines = self
            .0
            .iter()
            .map(|(partition, offset)| format!("{} {} {}", partition.topic, partition.partition, offset));
        encode_lines(VERSION, lines)
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut offsets = BTreeMap::new();
        for (number, line) in parse_lines(bytes, VERSION)? {
            let (partition, offset) = parse_line(line).ok_or_else(|| CheckpointError::Line {
                number,
                line: line.to_owned(),
            })?;
            offsets.insert(partition, offset);
        }
        Ok(OffsetCheckpoint(offsets))
    }
}

fn parse_line(line: &str) -> Option<(TopicPartition, Offset)> {
    let mut words = line.split_ascii_whitespace();
    let (topic, partition, offset) = (words.next()?, words.next()?, words.next()?);
    let offset = Offset(offset.parse().ok()?);
    let is_whole = words.next().is_none() && offset.is_some();
    is_whole.then(|| Some((TopicPartition::new(topic, partition.parse().ok()?), offset)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_kafkas() {
        let bytes = b"0\n2\na-b 0 15\nc 3 0\n";
        let checkpoint = OffsetCheckpoint::parse(bytes).unwrap();
        assert_eq!(checkpoint.get(&TopicPartition::new("a-b", 0)), Some(Offset(15)));
        assert_eq!(checkpoint.get(&TopicPartition::new("a-b", 1)), None);
        assert_eq!(checkpoint.encode(), bytes);
        for bytes in [
            "0\n1\na 0\n",
            "0\n1\na 0 -1\n",
            "0\n1\na 0 1 2\n",
            "0\n1\na x 1\n",
        ] {
            assert!(OffsetCheckpoint::parse(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
