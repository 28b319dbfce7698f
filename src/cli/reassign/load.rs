//! What brokers carry, and how uneven that is.

use std::collections::BTreeMap;

use super::layout::Partition;

/// What a broker carries, or what one replica adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Load {
    pub bytes: f64,
    /// Over the network, in and out.
    pub bytes_per_second: f64,
    pub replicas: f64,
    pub leaders: f64,
}

impl Load {
    /// A follower takes in what is written; the leader also sends it to every follower.
    pub fn of_replica(partition: &Partition, leads: bool, replica_count: usize) -> Load {
        let follower = Load {
            bytes: partition.bytes as f64,
            bytes_per_second: partition.bytes_per_second,
            replicas: 1.0,
            leaders: 0.0,
        };
        match leads {
            true => follower.plus(&Load::of_leading(partition, replica_count), 1.0),
            false => follower,
        }
    }

    /// What the leader carries more than a follower.
    pub fn of_leading(partition: &Partition, replica_count: usize) -> Load {
        Load {
            bytes_per_second: partition.bytes_per_second * replica_count.saturating_sub(1) as f64,
            leaders: 1.0,
            ..Load::default()
        }
    }

    fn plus(&self, other: &Load, sign: f64) -> Load {
        Load {
            bytes: self.bytes + sign * other.bytes,
            bytes_per_second: self.bytes_per_second + sign * other.bytes_per_second,
            replicas: self.replicas + sign * other.replicas,
            leaders: self.leaders + sign * other.leaders,
        }
    }

    fn parts(&self) -> [f64; MEASURE_COUNT] {
        [self.bytes, self.bytes_per_second, self.replicas, self.leaders]
    }
}

const MEASURE_COUNT: usize = 4;
/// Below these sums over the whole cluster there is nothing to even out: files of a few records, and a trickle.
const BYTES_MIN: f64 = 1e6;
const BYTES_PER_SECOND_MIN: f64 = 1e4;
/// Counts break ties where bytes and traffic decide.
const TIE_BREAKER: f64 = 0.01;

/// How much each measure counts, and what a broker's share of it is.
#[derive(Debug, Clone)]
pub struct Measures {
    share: [f64; MEASURE_COUNT],
    weight: [f64; MEASURE_COUNT],
    /// Differences that no move can take away.
    grain: [f64; MEASURE_COUNT],
}

/// What every broker carries; those that are drained too.
#[derive(Debug, Clone)]
pub struct Loads {
    brokers: BTreeMap<i32, Load>,
    takers: Vec<i32>,
}

impl Loads {
    pub fn new(takers: &[i32]) -> Loads {
        Loads {
            brokers: takers.iter().map(|id| (*id, Load::default())).collect(),
            takers: takers.to_vec(),
        }
    }

    pub fn place(&mut self, partition: &Partition, replicas: &[i32]) {
        self.change(partition, replicas, 1.0);
    }

    pub fn remove(&mut self, partition: &Partition, replicas: &[i32]) {
        self.change(partition, replicas, -1.0);
    }

    fn change(&mut self, partition: &Partition, replicas: &[i32], sign: f64) {
        for (position, id) in replicas.iter().enumerate() {
            let load = Load::of_replica(partition, position == 0, replicas.len());
            let carried = self.brokers.entry(*id).or_default();
            *carried = carried.plus(&load, sign);
        }
    }

    pub fn by_broker(self) -> BTreeMap<i32, Load> {
        self.brokers
    }

    /// What is to be even: bytes and traffic, if there are any, otherwise the number of replicas and leaders.
    pub fn measures(&self) -> Measures {
        let mut sum = [0.0; MEASURE_COUNT];
        for load in self.brokers.values() {
            for (sum, part) in sum.iter_mut().zip(load.parts()) {
                *sum += part;
            }
        }
        let weigh = |sum: f64, least: f64| if sum >= least { 1.0 } else { 0.0 };
        let (bytes, traffic) = (weigh(sum[0], BYTES_MIN), weigh(sum[1], BYTES_PER_SECOND_MIN));
        let counts = if bytes + traffic > 0.0 { TIE_BREAKER } else { 1.0 };
        let takers = self.takers.len().max(1) as f64;
        Measures {
            share: sum.map(|sum| sum / takers),
            weight: [bytes, traffic, counts, counts],
            // A whole replica too many can move; less cannot.
            grain: [BYTES_MIN / takers, BYTES_PER_SECOND_MIN / takers, 0.999, 0.999],
        }
    }

    /// Brokers that are further from their share than the tolerance, the furthest first.
    pub fn uneven(&self, measures: &Measures, tolerance: f64) -> Vec<i32> {
        let mut uneven: Vec<(f64, i32)> = self
            .takers
            .iter()
            .filter_map(|id| {
                let excess = measures.excess(self.brokers.get(id)?, tolerance);
                (excess > 0.0).then_some((excess, *id))
            })
            .collect();
        uneven.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        uneven.into_iter().map(|(_, id)| id).collect()
    }

    /// How much more even it is when `moved` goes from one broker to another. What a drained broker carries weighs nothing.
    pub fn gain(&self, moved: &Load, from: i32, to: i32, measures: &Measures) -> f64 {
        let load = |id: i32| self.brokers.get(&id).copied().unwrap_or_default();
        let square = |id: i32, load: &Load| match self.takers.contains(&id) {
            true => measures.square(load),
            false => 0.0,
        };
        let (giver, taker) = (load(from), load(to));
        let before = square(from, &giver) + square(to, &taker);
        let after = square(from, &giver.plus(moved, -1.0)) + square(to, &taker.plus(moved, 1.0));
        before - after
    }
}

impl Measures {
    /// Squared deviations from the share, in shares.
    fn square(&self, load: &Load) -> f64 {
        let parts = load.parts();
        (0..MEASURE_COUNT)
            .filter(|at| self.share[*at] > 0.0)
            .map(|at| self.weight[at] * ((parts[at] - self.share[at]) / self.share[at]).powi(2))
            .sum()
    }

    /// How far beyond the tolerance the worst of the measures that decide is, in shares; 0 within it.
    fn excess(&self, load: &Load, tolerance: f64) -> f64 {
        let parts = load.parts();
        (0..MEASURE_COUNT)
            .filter(|at| self.share[*at] > 0.0 && self.weight[*at] >= 1.0)
            .map(|at| {
                let deviation = (parts[at] - self.share[at]).abs();
                let allowed = (tolerance * self.share[at]).max(self.grain[at]);
                if deviation > allowed {
                    deviation / self.share[at]
                } else {
                    0.0
                }
            })
            .fold(0.0, f64::max)
    }
}
