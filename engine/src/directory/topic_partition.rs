//! Partition directories by name.

use std::fmt;

/// A partition, by the name of its topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        TopicPartition {
            topic: topic.into(),
            partition,
        }
    }
}

/// As the directory is named. Topic names have dashes too; the last one counts.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Tells our copies from Kafka's, which are Kafka's to go on with.
const FUTURE_MARK: &str = "ringlog-";

/// The name of a copy on its way, the topic cut so that the name fits.
pub fn future_dir_name(partition: &str, id: uuid::Uuid) -> String {
    const NAME_BYTES_MAX: usize = 255;
    let (topic, number) = partition.rsplit_once('-').unwrap_or((partition, "0"));
    let suffix = format!("-{number}.{FUTURE_MARK}{}-future", id.simple());
    let room = NAME_BYTES_MAX.saturating_sub(suffix.len()).min(topic.len());
    format!("{}{suffix}", topic.get(..room).unwrap_or_default())
}

/// What a directory in a data directory is, going by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirName {
    Partition(TopicPartition),
    /// `topic-partition.<uuid>-delete`: deleted, not yet unlinked.
    Deleted,
    /// `topic-partition.ringlog-<uuid>-future`: a copy on its way from another directory, not yet whole.
    Future,
    /// `-future` of Kafka's, `-stray`, or nothing of ours.
    Other,
}

impl DirName {
    pub fn parse(name: &str) -> DirName {
        if let Some((partition, rest)) = name.rsplit_once('.')
            && parse_partition(partition).is_some()
        {
            if rest.ends_with("-delete") {
                return DirName::Deleted;
            }
            if rest.starts_with(FUTURE_MARK) && rest.ends_with("-future") {
                return DirName::Future;
            }
        }
        match parse_partition(name) {
            Some(partition) => DirName::Partition(partition),
            None => DirName::Other,
        }
    }
}

fn parse_partition(name: &str) -> Option<TopicPartition> {
    let (topic, number) = name.rsplit_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    // "007" is not how 7 is written, and would be the same partition twice
    let is_canonical = number == "0" || !number.starts_with('0');
    if topic.is_empty() || !is_number || !is_canonical {
        return None;
    }
    Some(TopicPartition::new(topic, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_dash_separates_topic_and_partition() {
        // A topic taken for another one would serve somebody else's records.
        for (name, topic, partition) in [
            ("orders-0", "orders", 0),
            ("my-topic-12", "my-topic", 12),
            ("a--3", "a-", 3),
            ("x.y-1-2", "x.y-1", 2),
        ] {
            let parsed = TopicPartition::new(topic, partition);
            assert_eq!(parsed.to_string(), name);
            assert_eq!(DirName::parse(name), DirName::Partition(parsed));
        }
        let deleted = "my-topic-12.0123456789abcdef0123456789abcdef-delete";
        assert_eq!(DirName::parse(deleted), DirName::Deleted);
        let future = future_dir_name("my-topic-12", uuid::Uuid::from_u128(7));
        assert_eq!(DirName::parse(&future), DirName::Future);
        let kafkas = "my-topic-12.0123456789abcdef0123456789abcdef-future";
        assert_eq!(DirName::parse(kafkas), DirName::Other);
        for name in [
            "",
            "orders",
            "-0",
            "orders-",
            "orders-x",
            "orders-+1",
            "orders-01",
            "orders-99999999999",
            "x-future",
            "lost+found",
            "x-delete",
        ] {
            assert_eq!(DirName::parse(name), DirName::Other, "{name}");
        }
    }
}
