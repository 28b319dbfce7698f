//! `ringlog-checkpoint-topic-ids`: which topic ids the checkpoint files' entries are about; `topic id`, one a line.

use thiserror::Error;
use uuid::Uuid;

use crate::log::partition_metadata::{from_base64, to_base64};

/// Not a topic and its id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {number} is {line:?}, expected a topic and its id")]
pub struct TopicIdLine {
    number: usize,
    line: String,
}

pub fn encode_topic_ids<'a>(ids: impl IntoIterator<Item = (&'a str, Uuid)>) -> Vec<u8> {
    let lines = ids
        .into_iter()
        .map(|(topic, id)| format!("{topic} {}\n", to_base64(id)));
    lines.collect::<String>().into_bytes()
}

/// Line by line, so that whoever reads chooses whether the others count beside one that is none.
pub fn parse_topic_ids(bytes: &[u8]) -> Vec<Result<(String, Uuid), TopicIdLine>> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().zip(1..).map(|(line, number)| {
        line.split_once(' ')
            .and_then(|(topic, id)| Some((topic.to_owned(), from_base64(id)?)))
            .ok_or_else(|| TopicIdLine {
                number,
                line: line.to_owned(),
            })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_come_back_with_their_ids_and_other_lines_are_named() {
        // An id taken from a line that is none would let an old topic's checkpoint count for a new one.
        let id = Uuid::from_u128(77);
        let bytes = encode_topic_ids([("a", id), ("b.c", Uuid::from_u128(78))]);
        let parsed: Result<Vec<_>, _> = parse_topic_ids(&bytes).into_iter().collect();
        let expected = [("a".to_owned(), id), ("b.c".to_owned(), Uuid::from_u128(78))];
        assert_eq!(parsed.as_deref(), Ok(expected.as_slice()));
        for line in ["a", "a 7", "", "a AAAAAAAAAAAAAAAAAAAATQ x"] {
            let mut damaged = bytes.clone();
            damaged.extend(format!("{line}\n").bytes());
            let found = parse_topic_ids(&damaged);
            assert!(found[..2].iter().all(Result::is_ok));
            let expected = TopicIdLine {
                number: 3,
                line: line.to_owned(),
            };
            assert_eq!(found[2], Err(expected));
        }
    }
}
