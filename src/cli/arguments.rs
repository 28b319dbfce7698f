//! Values that several commands take as arguments.

use clap::ValueEnum;
use engine::batch::Codec;

use crate::client::Acks;

/// `--acks`, in Kafka's spellings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AcksArg {
    #[value(name = "0", alias = "none")]
    None,
    #[value(name = "1", alias = "leader")]
    Leader,
    #[value(name = "all", alias = "-1")]
    All,
}

impl From<AcksArg> for Acks {
    fn from(acks: AcksArg) -> Acks {
        match acks {
            AcksArg::None => Acks::None,
            AcksArg::Leader => Acks::Leader,
            AcksArg::All => Acks::All,
        }
    }
}

pub fn parse_codec(text: &str) -> Result<Codec, String> {
    Codec::from_name(text).ok_or_else(|| "expected none, gzip, snappy, lz4 or zstd".to_owned())
}

/// `KEY=VALUE`; the value may be empty and may hold further `=`.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// A partition of a topic on the command line: `TOPIC` for all of its partitions, `TOPIC:0,1` for some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPartitions {
    pub topic: String,
    /// `None` is all.
    pub partitions: Option<Vec<i32>>,
}

pub fn parse_topic_partitions(text: &str) -> Result<TopicPartitions, String> {
    let (topic, partitions) = match text.split_once(':') {
        None => (text, None),
        Some((topic, list)) => {
            let parsed: Result<Vec<i32>, _> =
                list.split(',').map(|part| part.trim().parse::<i32>()).collect();
            let parsed = parsed.map_err(|_| "expected TOPIC or TOPIC:PARTITION,PARTITION".to_owned())?;
            (topic, Some(parsed))
        }
    };
    if topic.is_empty() {
        return Err("expected TOPIC or TOPIC:PARTITION,PARTITION".to_owned());
    }
    Ok(TopicPartitions {
        topic: topic.to_owned(),
        partitions,
    })
}

/// Replicas of one partition after the other, as Kafka's tools take them: `1:2,2:3` is partition 0 on brokers 1 and 2, partition 1 on 2
/// and 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaAssignment(pub Vec<Vec<i32>>);

pub fn parse_replica_assignment(text: &str) -> Result<ReplicaAssignment, String> {
    let wrong =
        || "expected BROKER:BROKER,BROKER:BROKER with a list of brokers for each partition".to_owned();
    let broker = |id: &str| id.trim().parse::<i32>().ok().filter(|id| *id >= 0);
    let partition = |brokers: &str| brokers.split(':').map(broker).collect::<Option<Vec<i32>>>();
    let partitions: Option<Vec<Vec<i32>>> = text.split(',').map(partition).collect();
    partitions.map(ReplicaAssignment).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_keep_everything_after_the_first_equals_sign() {
        assert_eq!(parse_pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(
            parse_pair("cleanup.policy="),
            Ok(("cleanup.policy".to_owned(), String::new()))
        );
        assert!(parse_pair("=x").is_err() && parse_pair("x").is_err());
    }

    #[test]
    fn partitions_are_all_or_those_named() {
        let of = |text: &str| parse_topic_partitions(text).map(|found| (found.topic, found.partitions));
        assert_eq!(of("orders"), Ok(("orders".to_owned(), None)));
        assert_eq!(of("orders:0, 2"), Ok(("orders".to_owned(), Some(vec![0, 2]))));
        assert!(of("orders:").is_err() && of("orders:x").is_err() && of("").is_err() && of(":1").is_err());
    }

    #[test]
    fn replicas_are_told_partition_by_partition() {
        let parsed = |text: &str| parse_replica_assignment(text).map(|assignment| assignment.0);
        assert_eq!(parsed("1:2, 2:3"), Ok(vec![vec![1, 2], vec![2, 3]]));
        assert_eq!(parsed("4"), Ok(vec![vec![4]]));
        for wrong in ["", "1,", "1::2", "1:x", "-1"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn acks_have_kafkas_spellings() {
        for (text, acks) in [
            ("0", Acks::None),
            ("1", Acks::Leader),
            ("all", Acks::All),
            ("-1", Acks::All),
        ] {
            assert_eq!(AcksArg::from_str(text, false).map(Acks::from), Ok(acks));
        }
    }
}
