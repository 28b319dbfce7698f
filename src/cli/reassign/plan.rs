//! The planner: from where partitions lie to where they should, by as few moves as will do. Pure.
//!
//! First what must be: replicas leave the brokers that are drained, and copies of a partition spread over racks. Then what is worth it:
//! while some broker carries more or less than its share, the one move that evens things out most is made. A broker's load has four
//! measures (bytes stored, traffic, replicas, leaders); the first two decide wherever there are any, the others where there are none.
//! Changing who leads costs no copying, so traffic is evened out that way too.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::{Freedom, Layout, Move, Partition};
use super::load::{Load, Loads, Measures};

/// What the plan is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// Brokers that are to have no replicas.
    pub drained: BTreeSet<i32>,
    /// How far from its share a broker may be, as a part of it.
    pub tolerance: f64,
    pub scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// An even spread over all brokers.
    Balance,
    /// Only what must be.
    Needed,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// By topic and partition.
    pub moves: Vec<Move>,
    pub before: BTreeMap<i32, Load>,
    pub after: BTreeMap<i32, Load>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("broker {0} is not among the cluster's brokers")]
    UnknownBroker(i32),
    #[error("partition {topic}-{index} does not exist")]
    UnknownPartition { topic: String, index: i32 },
    #[error("{topic}-{index} has {replicas} replicas, and only {brokers} brokers are left to hold them")]
    TooFewBrokers {
        topic: String,
        index: i32,
        replicas: usize,
        brokers: usize,
    },
}

/// Plans the moves that bring `layout` to the goal. No partition gets fewer replicas than it has, nor fewer racks where that can be
/// helped. An empty plan says that there is nothing to do.
pub fn plan(layout: &Layout, goal: &Goal) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(layout, goal)?;
    let before = planner.loads.clone();
    planner.drain(goal)?;
    if goal.scope == Scope::Balance {
        planner.spread_over_racks();
        planner.balance(goal.tolerance);
    }
    Ok(Plan {
        moves: planner.moves(),
        before: before.by_broker(),
        after: planner.loads.by_broker(),
    })
}

/// The plan that somebody else has made: `wanted` replicas by topic and partition.
pub fn given(layout: &Layout, wanted: &BTreeMap<(&str, i32), &Vec<i32>>) -> Result<Plan, PlanError> {
    let goal = Goal {
        drained: BTreeSet::new(),
        tolerance: 0.0,
        scope: Scope::Needed,
    };
    let mut planner = Planner::new(layout, &goal)?;
    let before = planner.loads.clone();
    let mut missing = wanted.clone();
    for (at, partition) in layout.partitions.iter().enumerate() {
        let Some(replicas) = missing.remove(&(partition.topic.as_str(), partition.index)) else {
            continue;
        };
        if let Some(unknown) = replicas.iter().find(|id| !layout.knows(**id)) {
            return Err(PlanError::UnknownBroker(*unknown));
        }
        planner.loads.remove(partition, &planner.replicas[at]);
        planner.loads.place(partition, replicas);
        planner.replicas[at].clone_from(replicas);
    }
    if let Some((topic, index)) = missing.into_keys().next() {
        let topic = topic.to_owned();
        return Err(PlanError::UnknownPartition { topic, index });
    }
    Ok(Plan {
        moves: planner.moves(),
        before: before.by_broker(),
        after: planner.loads.by_broker(),
    })
}

struct Planner<'a> {
    layout: &'a Layout,
    /// Brokers that may take replicas.
    takers: Vec<i32>,
    /// Replicas of each partition as planned so far.
    replicas: Vec<Vec<i32>>,
    loads: Loads,
}

/// One step: of partition `partition`, either the replica at `position` goes to another broker, or it becomes the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Replace {
        partition: usize,
        position: usize,
        to: i32,
    },
    Lead {
        partition: usize,
        position: usize,
    },
}

impl<'a> Planner<'a> {
    fn new(layout: &'a Layout, goal: &Goal) -> Result<Planner<'a>, PlanError> {
        if let Some(unknown) = goal.drained.iter().find(|id| !layout.knows(**id)) {
            return Err(PlanError::UnknownBroker(*unknown));
        }
        let ids = layout.brokers.iter().map(|broker| broker.id);
        let takers: Vec<i32> = ids.filter(|id| !goal.drained.contains(id)).collect();
        let mut loads = Loads::new(&takers);
        for partition in &layout.partitions {
            loads.place(partition, &partition.replicas);
        }
        Ok(Planner {
            layout,
            takers,
            replicas: layout.partitions.iter().map(|p| p.replicas.clone()).collect(),
            loads,
        })
    }

    /// The largest first, while there is most choice.
    fn drain(&mut self, goal: &Goal) -> Result<(), PlanError> {
        let partitions = &self.layout.partitions;
        let has_to_go = |id: &i32| goal.drained.contains(id);
        let mut leaving: Vec<usize> = (0..partitions.len())
            .filter(|at| {
                partitions[*at].freedom != Freedom::Fixed && partitions[*at].replicas.iter().any(has_to_go)
            })
            .collect();
        leaving.sort_by_key(|at| std::cmp::Reverse(partitions[*at].bytes));
        for at in leaving {
            let partition = &partitions[at];
            if partition.replicas.len() > self.takers.len() {
                return Err(PlanError::TooFewBrokers {
                    topic: partition.topic.clone(),
                    index: partition.index,
                    replicas: partition.replicas.len(),
                    brokers: self.takers.len(),
                });
            }
            for position in 0..partition.replicas.len() {
                if goal.drained.contains(&self.replicas[at][position])
                    && let Some(to) = self.best_taker(at, position)
                {
                    self.apply(Step::Replace {
                        partition: at,
                        position,
                        to,
                    });
                }
            }
        }
        Ok(())
    }

    /// Who takes a replica that must go: most racks first, then the least load.
    fn best_taker(&self, at: usize, position: usize) -> Option<i32> {
        let measures = self.loads.measures();
        let racks = |to: i32| {
            let mut replicas = self.replicas[at].clone();
            replicas[position] = to;
            self.layout.rack_count(&replicas)
        };
        let step = |to| Step::Replace {
            partition: at,
            position,
            to,
        };
        let candidates = self
            .takers
            .iter()
            .copied()
            .filter(|to| !self.replicas[at].contains(to));
        candidates.max_by(|a, b| {
            let (gain_a, gain_b) = (self.gain(step(*a), &measures), self.gain(step(*b), &measures));
            racks(*a)
                .cmp(&racks(*b))
                .then(gain_a.total_cmp(&gain_b))
                // of equals the lowest id, so that the same cluster gives the same plan
                .then(b.cmp(a))
        })
    }

    /// Copies that share a rack although another rack is free.
    fn spread_over_racks(&mut self) {
        for at in 0..self.replicas.len() {
            if self.layout.partitions[at].freedom != Freedom::Any {
                continue;
            }
            let reachable = self.layout.rack_count(&self.takers).min(self.replicas[at].len());
            while self.layout.rack_count(&self.replicas[at]) < reachable {
                let Some(position) = self.doubled_rack(at) else {
                    break;
                };
                let Some(to) = self.best_taker(at, position) else {
                    break;
                };
                let racks = self.layout.rack_count(&self.replicas[at]);
                self.apply(Step::Replace {
                    partition: at,
                    position,
                    to,
                });
                if self.layout.rack_count(&self.replicas[at]) <= racks {
                    break;
                }
            }
        }
    }

    /// The last replica whose rack holds an earlier one: leaders stay where they can.
    fn doubled_rack(&self, at: usize) -> Option<usize> {
        let rack = |id: &i32| self.layout.broker(*id).and_then(|broker| broker.rack.as_deref());
        let replicas = &self.replicas[at];
        (1..replicas.len()).rev().find(|position| {
            let own = rack(&replicas[*position]);
            own.is_none() || replicas[..*position].iter().any(|other| rack(other) == own)
        })
    }

    fn balance(&mut self, tolerance: f64) {
        let replicas: usize = self.replicas.iter().map(Vec::len).sum();
        // Each step gains, so there is an end; the bound is for gains that get ever smaller.
        for _ in 0..2 * replicas {
            let measures = self.loads.measures();
            let uneven = self.loads.uneven(&measures, tolerance);
            let best = uneven
                .iter()
                .find_map(|broker| self.best_step(*broker, &measures));
            let Some(step) = best else { return };
            self.apply(step);
        }
    }

    /// The step to or from `broker` that gains most; of equal ones the first.
    fn best_step(&self, broker: i32, measures: &Measures) -> Option<Step> {
        let mut best: Option<(f64, Step)> = None;
        for (at, replicas) in self.replicas.iter().enumerate() {
            if self.layout.partitions[at].freedom != Freedom::Any {
                continue;
            }
            for position in 0..replicas.len() {
                self.steps(at, position, broker, |step| {
                    let gain = self.gain(step, measures);
                    if gain > best.map_or(GAIN_MIN, |(gain, _)| gain) && self.keeps_racks(step) {
                        best = Some((gain, step));
                    }
                });
            }
        }
        best.map(|(_, step)| step)
    }

    /// All steps with the replica at `position` that change what `broker` carries.
    fn steps(&self, at: usize, position: usize, broker: i32, mut each: impl FnMut(Step)) {
        let replicas = &self.replicas[at];
        let from = replicas[position];
        if position > 0 && (from == broker || replicas[0] == broker) {
            each(Step::Lead {
                partition: at,
                position,
            });
        }
        let replace = |to| Step::Replace {
            partition: at,
            position,
            to,
        };
        if from == broker {
            let takers = self.takers.iter().copied();
            takers
                .filter(|to| !replicas.contains(to))
                .for_each(|to| each(replace(to)));
        } else if !replicas.contains(&broker) && self.takers.contains(&broker) {
            each(replace(broker));
        }
    }

    fn keeps_racks(&self, step: Step) -> bool {
        match step {
            Step::Lead { .. } => true,
            Step::Replace { partition, .. } => {
                let racks = self.layout.rack_count(&self.replicas[partition]);
                self.layout.rack_count(&self.after(step)) >= racks
            }
        }
    }

    /// By how much a step evens out the cluster: the drop in the sum of squared deviations from the mean.
    fn gain(&self, step: Step, measures: &Measures) -> f64 {
        let partition = &self.layout.partitions[step.partition()];
        match step {
            Step::Replace { position, to, .. } => {
                let moved = Load::of_replica(partition, position == 0, self.replicas[step.partition()].len());
                let from = self.replicas[step.partition()][position];
                self.loads.gain(&moved, from, to, measures)
            }
            Step::Lead { position, .. } => {
                let replicas = &self.replicas[step.partition()];
                let moved = Load::of_leading(partition, replicas.len());
                self.loads.gain(&moved, replicas[0], replicas[position], measures)
            }
        }
    }

    /// The replicas of its partition after a step.
    fn after(&self, step: Step) -> Vec<i32> {
        let mut replicas = self.replicas[step.partition()].clone();
        match step {
            Step::Replace { position, to, .. } => replicas[position] = to,
            Step::Lead { position, .. } => replicas.swap(0, position),
        }
        replicas
    }

    fn apply(&mut self, step: Step) {
        let at = step.partition();
        let partition: &Partition = &self.layout.partitions[at];
        let after = self.after(step);
        self.loads.remove(partition, &self.replicas[at]);
        self.loads.place(partition, &after);
        self.replicas[at] = after;
    }

    fn moves(&self) -> Vec<Move> {
        let planned = self.layout.partitions.iter().zip(&self.replicas);
        let mut moves: Vec<Move> = planned
            .filter(|(partition, replicas)| partition.replicas != **replicas)
            .map(|(partition, replicas)| {
                let mut moved = Move {
                    topic: partition.topic.clone(),
                    index: partition.index,
                    from: partition.replicas.clone(),
                    to: replicas.clone(),
                    bytes: 0,
                };
                moved.bytes = partition.bytes.saturating_mul(moved.added().count() as u64);
                moved
            })
            .collect();
        moves.sort_by(|a, b| (&a.topic, a.index).cmp(&(&b.topic, b.index)));
        moves
    }
}

impl Step {
    fn partition(self) -> usize {
        match self {
            Step::Replace { partition, .. } | Step::Lead { partition, .. } => partition,
        }
    }
}

/// In squares of a broker's share: a tenth of a per cent, squared. Less is rounding.
const GAIN_MIN: f64 = 1e-6;

#[cfg(test)]
mod tests;
