//! Replicas that keep to the rate at which partitions may move.

use std::collections::BTreeSet;

use crate::record::{BrokerId, PartitionId};

/// The value of `leader.` or `follower.replication.throttled.replicas` of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThrottledReplicas {
    All,
    /// Partitions with a replica of each: the sender's, or the one that copies.
    Some(BTreeSet<(PartitionId, BrokerId)>),
}

impl ThrottledReplicas {
    /// Elements of another form, which the property's bounds do not let in, name nothing.
    pub(super) fn read(elements: &[String]) -> ThrottledReplicas {
        if matches!(elements, [only] if only == "*") {
            return ThrottledReplicas::All;
        }
        let replica = |element: &String| {
            let (partition, broker) = element.split_once(':')?;
            Some((
                PartitionId(partition.trim().parse().ok()?),
                BrokerId(broker.trim().parse().ok()?),
            ))
        };
        ThrottledReplicas::Some(elements.iter().filter_map(replica).collect())
    }

    pub fn contains(&self, partition: PartitionId, broker: BrokerId) -> bool {
        match self {
            ThrottledReplicas::All => true,
            ThrottledReplicas::Some(replicas) => replicas.contains(&(partition, broker)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_named_one_by_one_or_all() {
        // A replica missed here takes all of the network; one too many slows down what is in sync.
        let read = |elements: &[&str]| {
            let elements: Vec<String> = elements.iter().map(|element| (*element).to_owned()).collect();
            ThrottledReplicas::read(&elements)
        };
        let contains = |elements: &[&str], partition, broker| {
            read(elements).contains(PartitionId(partition), BrokerId(broker))
        };
        assert!(contains(&["*"], 7, 3));
        assert!(contains(&["0:1", "12:3"], 12, 3));
        assert!(!contains(&["0:1", "12:3"], 1, 12) && !contains(&["0:1"], 0, 2) && !contains(&[], 0, 0));
    }
}
