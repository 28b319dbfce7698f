//! Watching moves until they are done.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::time::Duration;

use super::assignment::Assignment;
use super::layout::Move;
use super::observe;
use super::ongoing::{self, Key};
use crate::cli::output::number;
use crate::client::{AskError, Cluster};

const EVERY: Duration = Duration::from_secs(1);

/// Waits until none of the moves is on its way any more, and tells on standard error how far they are.
pub async fn until_done(cluster: &Cluster, moves: &[Move]) -> Result<(), AskError> {
    let keys: Vec<Key> = moves
        .iter()
        .map(|moved| (moved.topic.clone(), moved.index))
        .collect();
    let bytes_total: u64 = moves.iter().map(|moved| moved.bytes).sum();
    let mut shown = Line::default();
    loop {
        let left = ongoing::ongoing(cluster, Some(&keys)).await?;
        if left.is_empty() {
            shown.clear();
            return Ok(());
        }
        let copied = copied(cluster, moves, bytes_total).await;
        shown.show(&format!(
            "{} of {} partitions done, {} of {} copied",
            moves.len().saturating_sub(left.len()),
            moves.len(),
            copied.map_or_else(|| "?".to_owned(), number::bytes),
            number::bytes(bytes_total),
        ));
        reactor::sleep(EVERY).await;
    }
}

/// Bytes that the new replicas have. `None` while a broker does not tell; the moves go on.
async fn copied(cluster: &Cluster, moves: &[Move], bytes_total: u64) -> Option<u64> {
    let mut wanted: BTreeSet<(i32, Key)> = BTreeSet::new();
    for moved in moves {
        let key = (moved.topic.clone(), moved.index);
        wanted.extend(moved.added().map(|id| (id, key.clone())));
    }
    let brokers: BTreeSet<i32> = wanted.iter().map(|(id, _)| *id).collect();
    let brokers: Vec<i32> = brokers.into_iter().collect();
    let replicas = observe::replicas(cluster, &brokers).await.ok()?;
    let there = replicas
        .into_iter()
        .filter_map(|(id, key, bytes)| wanted.contains(&(id, key)).then_some(bytes));
    // logs that are written to grow beyond what was planned
    Some(there.sum::<u64>().min(bytes_total))
}

/// A line that is written over on a terminal; elsewhere a new one when it says something new.
#[derive(Default)]
struct Line(String);

impl Line {
    fn show(&mut self, text: &str) {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{text}");
            let _ = std::io::stderr().flush(); // a terminal that is gone is nobody's loss
        } else if self.0 != text {
            eprintln!("{text}");
        }
        self.0 = text.to_owned();
    }

    fn clear(&self) {
        if std::io::stderr().is_terminal() && !self.0.is_empty() {
            eprint!("\r\x1b[K");
        }
    }
}

/// How a partition stands to where it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Done,
    Moving { replicas: Vec<i32> },
    Elsewhere { replicas: Vec<i32> },
    Gone,
}

impl State {
    pub fn name(&self) -> &'static str {
        match self {
            State::Done => "done",
            State::Moving { .. } => "moving",
            State::Elsewhere { .. } => "elsewhere",
            State::Gone => "no such partition",
        }
    }

    pub fn replicas(&self) -> &[i32] {
        match self {
            State::Done | State::Gone => &[],
            State::Moving { replicas } | State::Elsewhere { replicas } => replicas,
        }
    }
}

/// The state of every partition of a file.
pub async fn states(cluster: &Cluster, assignments: &[Assignment]) -> Result<Vec<State>, AskError> {
    let ongoing = ongoing::ongoing(cluster, None).await?;
    let mut found: BTreeMap<Key, Vec<i32>> = BTreeMap::new();
    for topic in cluster.topics(None).await? {
        let name = topic.name;
        let partitions = topic.partitions.into_iter();
        found.extend(partitions.map(|partition| ((name.clone(), partition.index), partition.replicas)));
    }
    let state = |assignment: &Assignment| {
        let key = (assignment.topic.clone(), assignment.partition);
        match (found.remove(&key), ongoing.contains_key(&key)) {
            (None, _) => State::Gone,
            (Some(replicas), true) => State::Moving { replicas },
            (Some(replicas), false) if replicas == assignment.replicas => State::Done,
            (Some(replicas), false) => State::Elsewhere { replicas },
        }
    };
    Ok(assignments.iter().map(state).collect())
}
