//! `ringlog reassign`: looks, plans, shows the plan, runs it.

mod assignment;
mod follow;
mod layout;
mod load;
mod observe;
mod ongoing;
mod plan;
mod show;
mod throttle;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use self::assignment::Assignment;
use self::layout::{Layout, Move};
use self::ongoing::{Key, Outcomes};
use self::plan::{Goal, Plan, Scope};
use super::CliError;
use super::output;
use super::target::Target;
use crate::client::{AskError, Cluster};

/// Move partitions between brokers: spread them evenly by bytes and traffic, or empty a broker.
///
/// Shows the plan and asks before it runs it. Copies stay in as many racks, and as many, as they are.
#[derive(Debug, Args)]
pub struct Reassign {
    /// Move everything off this broker, and nothing else; may be given many times.
    #[arg(long, value_name = "BROKER")]
    drain: Vec<i32>,
    /// Only partitions of this topic; may be given many times.
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// Take the moves from a file, in the form of kafka-reassign-partitions, instead of planning them.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["drain", "topic"])]
    from: Option<PathBuf>,
    /// Write the plan to a file of that form, and where everything lies now to FILE.rollback.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Run the plan without asking.
    #[arg(long)]
    execute: bool,
    /// Bytes per second that moves may take on each broker.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    throttle: Option<u64>,
    /// Return when the moves have begun; a throttle then stays until --verify finds them done.
    #[arg(long)]
    no_wait: bool,
    /// Tell how far moves are, all or those of --from; takes throttles away when nothing moves any more.
    #[arg(long, conflicts_with_all = ["execute", "cancel", "drain", "topic", "write"])]
    verify: bool,
    /// Take back what is on its way, all or what --from names, and throttles with it.
    #[arg(long, conflicts_with_all = ["execute", "drain", "topic", "write"])]
    cancel: bool,
    /// How far from its even share a broker may be, in per cent.
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=100))]
    tolerance: u8,
    /// How long to watch logs grow, to learn the traffic of each partition; 0 plans by bytes alone.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    sample: u64,
    #[command(flatten)]
    target: Target,
}

impl Reassign {
    pub fn run(self) -> Result<(), CliError> {
        if self.verify {
            return self.verify();
        }
        if self.cancel {
            return self.cancel();
        }
        let (layout, plan) = match &self.from {
            Some(file) => {
                let assignments = read(file)?;
                self.target
                    .run(async |cluster| of_file(&cluster, &assignments).await)?
            }
            None => self.target.run(async |cluster| {
                let layout = observe::layout(&cluster, &self.topic, Duration::from_secs(self.sample)).await?;
                let plan =
                    plan::plan(&layout, &self.goal()).map_err(|error| CliError::Usage(error.to_string()))?;
                Ok((layout, plan))
            })?,
        };
        output::emit(
            self.target.json,
            || show::json(&layout, &plan),
            || show::text(&layout, &plan),
        );
        if let Some(file) = &self.write {
            write_files(file, &plan.moves)?;
        }
        if plan.moves.is_empty() || !self.may_run()? {
            return Ok(());
        }
        self.execute(&plan.moves)
    }

    fn goal(&self) -> Goal {
        Goal {
            drained: self.drain.iter().copied().collect(),
            tolerance: f64::from(self.tolerance) / 100.0,
            scope: if self.drain.is_empty() {
                Scope::Balance
            } else {
                Scope::Needed
            },
        }
    }

    /// Asks, where there is somebody to ask.
    fn may_run(&self) -> Result<bool, CliError> {
        if self.execute {
            return Ok(true);
        }
        if self.target.json || !std::io::stdin().is_terminal() {
            eprintln!("not run; --execute runs it");
            return Ok(false);
        }
        eprint!("Run this plan? [y/N] ");
        let _ = std::io::stderr().flush(); // a terminal that is gone answers nothing either
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(CliError::Input)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    fn execute(&self, moves: &[Move]) -> Result<(), CliError> {
        let failed = self.target.run(async |cluster| {
            if let Some(rate) = self.throttle {
                throttle::set(&cluster, moves, rate).await?;
            }
            let assignments: Vec<Assignment> = moves.iter().map(Assignment::from).collect();
            let outcomes = ongoing::start(&cluster, &assignments).await?;
            let begun: BTreeSet<Key> = succeeded(&outcomes);
            let failed = tell_failures(outcomes);
            let begun: Vec<Move> = moves
                .iter()
                .filter(|moved| begun.contains(&(moved.topic.clone(), moved.index)))
                .cloned()
                .collect();
            if !self.no_wait {
                follow::until_done(&cluster, &begun).await?;
                if self.throttle.is_some() {
                    throttle::clear(&cluster).await?;
                }
                lead(&cluster, &begun).await?;
            }
            Ok(failed)
        })?;
        finish(failed, moves.len())?;
        let word = if self.no_wait { "begun" } else { "done" };
        output::emit(
            self.target.json,
            || json!({"partitions": moves.len(), "state": word}),
            || format!("{} partitions: {word}", moves.len()),
        );
        Ok(())
    }

    fn verify(self) -> Result<(), CliError> {
        let assignments = self.from.as_deref().map(read).transpose()?;
        let (table, is_over) = self.target.run(async |cluster| {
            let ongoing = ongoing::ongoing(&cluster, None).await?;
            let table = match &assignments {
                None => show::ongoing(&ongoing),
                Some(assignments) => show::states(assignments, &follow::states(&cluster, assignments).await?),
            };
            if ongoing.is_empty() {
                throttle::clear(&cluster).await?;
            }
            Ok((table, ongoing.is_empty()))
        })?;
        output::emit(
            self.target.json,
            || json!({"partitions": table.to_json(), "done": is_over}),
            || match (table.is_empty(), is_over) {
                (true, _) => "nothing moves; no throttles are left".to_owned(),
                (false, true) => format!("{table}\nnothing moves any more; no throttles are left"),
                (false, false) => table.to_string(),
            },
        );
        Ok(())
    }

    fn cancel(self) -> Result<(), CliError> {
        let assignments = self.from.as_deref().map(read).transpose()?;
        let (cancelled, failed) = self.target.run(async |cluster| {
            let ongoing = ongoing::ongoing(&cluster, None).await?;
            let is_named = |key: &Key| match &assignments {
                None => true,
                Some(named) => named
                    .iter()
                    .any(|one| one.topic == key.0 && one.partition == key.1),
            };
            let keys: Vec<Key> = ongoing.into_keys().filter(is_named).collect();
            let failed = tell_failures(ongoing::cancel(&cluster, &keys).await?);
            if ongoing::ongoing(&cluster, None).await?.is_empty() {
                throttle::clear(&cluster).await?;
            }
            Ok((keys.len(), failed))
        })?;
        finish(failed, cancelled)?;
        output::emit(
            self.target.json,
            || json!({"cancelled": cancelled}),
            || format!("{cancelled} moves cancelled"),
        );
        Ok(())
    }
}

fn read(file: &Path) -> Result<Vec<Assignment>, CliError> {
    let text = std::fs::read_to_string(file).map_err(|source| CliError::File {
        path: file.to_owned(),
        source,
    })?;
    assignment::parse(&text).map_err(|what| CliError::Usage(format!("{}: {what}", file.display())))
}

/// The plan, and the way back.
fn write_files(file: &Path, moves: &[Move]) -> Result<(), CliError> {
    let there: Vec<Assignment> = moves.iter().map(Assignment::from).collect();
    let back = moves.iter().map(|moved| Assignment {
        replicas: moved.from.clone(),
        ..Assignment::from(moved)
    });
    let mut rollback = file.as_os_str().to_owned();
    rollback.push(".rollback");
    let files = [(file.to_owned(), there), (rollback.into(), back.collect())];
    for (path, assignments) in files {
        let text = format!("{}\n", assignment::write(&assignments));
        std::fs::write(&path, text).map_err(|source| CliError::Write { path, source })?;
    }
    Ok(())
}

/// The plan that a file is: what differs from where partitions lie now.
async fn of_file(cluster: &Cluster, assignments: &[Assignment]) -> Result<(Layout, Plan), CliError> {
    let layout = observe::layout(cluster, &[], Duration::ZERO).await?;
    let wanted: BTreeMap<(&str, i32), &Vec<i32>> = assignments
        .iter()
        .map(|one| ((one.topic.as_str(), one.partition), &one.replicas))
        .collect();
    let plan = plan::given(&layout, &wanted).map_err(|error| CliError::Usage(error.to_string()))?;
    Ok((layout, plan))
}

/// Where another replica is to lead than does, it is elected now, not when the controller next looks.
async fn lead(cluster: &Cluster, moves: &[Move]) -> Result<(), AskError> {
    let mut leaders: BTreeMap<Key, i32> = BTreeMap::new();
    for topic in cluster.topics(None).await? {
        let name = topic.name;
        let partitions = topic.partitions.into_iter();
        leaders.extend(partitions.map(|partition| ((name.clone(), partition.index), partition.leader)));
    }
    let keys: Vec<Key> = moves
        .iter()
        .map(|moved| ((moved.topic.clone(), moved.index), moved.to.first().copied()))
        .filter(|(key, preferred)| leaders.get(key).copied() != *preferred)
        .map(|(key, _)| key)
        .collect();
    match keys.is_empty() {
        true => Ok(()),
        false => ongoing::elect_preferred(cluster, &keys).await,
    }
}

fn succeeded(outcomes: &Outcomes) -> BTreeSet<Key> {
    let succeeded = outcomes.iter().filter(|(_, result)| result.is_ok());
    succeeded.map(|(key, _)| key.clone()).collect()
}

/// One line each; returns how many.
fn tell_failures(outcomes: Outcomes) -> usize {
    let failures = outcomes.into_iter().filter_map(|(_, result)| result.err());
    failures.inspect(|error| eprintln!("{error}")).count()
}

fn finish(failed: usize, total: usize) -> Result<(), CliError> {
    match failed {
        0 => Ok(()),
        failed => Err(CliError::Some {
            failed,
            total,
            what: "partitions",
        }),
    }
}
