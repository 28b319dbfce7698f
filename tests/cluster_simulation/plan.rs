//! What a seed consists of.

use std::time::Duration;

use reactor::sim::Chance;

use crate::nemesis::Kind;

/// Where the cluster keeps its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// One broker, on its own disk.
    Embedded,
    /// Like etcd, beside the brokers.
    Memory,
    /// The first three brokers are the voters of a quorum.
    Quorum,
}

/// The default.
const FETCH_WAIT: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub struct Plan {
    pub store: StoreKind,
    pub brokers: usize,
    pub partitions: usize,
    pub shards: usize,
    pub producers: usize,
    pub producer_pause: Duration,
    pub acks_leader_producers: usize,
    pub readers: usize,
    /// How long things go wrong.
    pub trouble: Duration,
    /// Mean time between two faults.
    pub fault_every: Duration,
    pub kinds: Vec<Kind>,
    /// `replica.lag.time.max.ms`. Short: who is slow for a moment leaves the ISR and comes back.
    pub lag_max: Duration,
    pub min_insync: usize,
    /// `replica.fetch.wait.max.ms`.
    pub fetch_wait: Duration,
}

impl Plan {
    /// Brokers and their store; whoever asks for it says what else happens.
    pub fn quiet(brokers: usize, partitions: usize) -> Plan {
        Plan {
            store: StoreKind::Memory,
            brokers,
            partitions,
            shards: 1,
            producers: 0,
            producer_pause: Duration::ZERO,
            acks_leader_producers: 0,
            readers: 0,
            trouble: Duration::ZERO,
            fault_every: Duration::ZERO,
            kinds: Vec::new(),
            lag_max: Duration::from_secs(30),
            min_insync: 2,
            fetch_wait: FETCH_WAIT,
        }
    }

    pub fn of_seed(seed: u64) -> Plan {
        let mut chance = Chance::new(seed);
        let store = chance.pick(&[
            StoreKind::Embedded,
            StoreKind::Memory,
            StoreKind::Memory,
            StoreKind::Quorum,
            StoreKind::Quorum,
        ]);
        let brokers = match store {
            StoreKind::Embedded => 1,
            StoreKind::Memory | StoreKind::Quorum => chance.pick(&[3, 3, 3, 5]),
        };
        // swarm: a seed that has everything at once never gets far enough for what is rare
        let kinds: Vec<Kind> = Kind::ALL
            .iter()
            .copied()
            .filter(|kind| kind.is_for(store) && chance.happens(350_000))
            .collect();
        Plan {
            store,
            brokers,
            partitions: chance.pick(&[1, 2, 3]),
            shards: chance.pick(&[1, 2]),
            producers: chance.pick(&[1, 2, 3]),
            producer_pause: Duration::from_millis(chance.pick(&[1, 5, 20])),
            acks_leader_producers: chance.pick(&[0, 0, 1]),
            readers: 1,
            trouble: Duration::from_millis(1_000 + chance.below(4_000)),
            fault_every: Duration::from_millis(chance.pick(&[100, 300, 1000])),
            kinds,
            lag_max: Duration::from_millis(chance.pick(&[30_000, 1_000, 300])),
            min_insync: chance.pick(&[1, brokers.min(3).div_ceil(2)]),
            fetch_wait: FETCH_WAIT,
        }
    }
}
