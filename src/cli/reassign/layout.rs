//! The cluster as the planner sees it: brokers, and partitions with what they weigh.

use std::collections::BTreeSet;

#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    pub brokers: Vec<Broker>,
    pub partitions: Vec<Partition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    pub id: i32,
    pub rack: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Partition {
    pub topic: String,
    pub index: i32,
    /// The preferred leader first.
    pub replicas: Vec<i32>,
    /// Of its largest replica.
    pub bytes: u64,
    /// What producers write to it.
    pub bytes_per_second: f64,
    pub freedom: Freedom,
}

/// What may be done to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freedom {
    /// Its replicas may move for the sake of balance.
    Any,
    /// Not all replicas are in sync: it moves only where it must, off a broker that is drained.
    IfNeeded,
    /// Nobody asked for it, or it is on its way already. It weighs where it lies.
    Fixed,
}

impl Layout {
    pub fn broker(&self, id: i32) -> Option<&Broker> {
        self.brokers.iter().find(|broker| broker.id == id)
    }

    /// Registered, or at least the place of a replica: a broker that is dead for good can be drained too.
    pub fn knows(&self, id: i32) -> bool {
        let has_replica = |partition: &Partition| partition.replicas.contains(&id);
        self.broker(id).is_some() || self.partitions.iter().any(has_replica)
    }

    /// How many racks hold a copy. Brokers that name no rack count as none: then there is nothing to keep to.
    pub fn rack_count(&self, replicas: &[i32]) -> usize {
        let racks: BTreeSet<&str> = replicas
            .iter()
            .filter_map(|id| self.broker(*id)?.rack.as_deref())
            .collect();
        racks.len()
    }
}

/// Another set of replicas for one partition.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    pub topic: String,
    pub index: i32,
    pub from: Vec<i32>,
    pub to: Vec<i32>,
    /// To be copied, by all new replicas together.
    pub bytes: u64,
}

impl Move {
    /// Brokers that get a copy they do not have.
    pub fn added(&self) -> impl Iterator<Item = i32> {
        self.to.iter().copied().filter(|id| !self.from.contains(id))
    }
}
