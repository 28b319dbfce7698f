//! Consuming as a member of a group.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use reactor::Instant;

use super::Consume;
use super::alone::Reader;
use super::printer::Printer;
use crate::cli::CliError;
use crate::cli::group::committed_offsets;
use crate::client::{AskError, Cluster, Membership, MembershipConfig};

/// Kafka's consumer defaults: `session.timeout.ms`, `heartbeat.interval.ms`, `auto.commit.interval.ms`.
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(3);
const COMMIT_EVERY: Duration = Duration::from_secs(5);
/// While nothing is assigned there is nothing to fetch, only to wait for the next rebalance.
const IDLE_PAUSE: Duration = Duration::from_millis(500);

/// A member between join and leave. `printed` may run ahead of what is committed, never behind what was printed.
struct Member<'a> {
    cluster: &'a Cluster,
    command: &'a Consume,
    group: &'a str,
    membership: Membership,
    /// The next offset of each partition, as far as records were printed.
    printed: RefCell<BTreeMap<(String, i32), i64>>,
    committed_at: Cell<Instant>,
}

/// Prints what the group gives this member, until Ctrl-C or the end that was asked for; commits and leaves then.
pub async fn consume(
    cluster: &Cluster,
    command: &Consume,
    group: &str,
    mut printer: Printer,
) -> Result<(), CliError> {
    cluster.led_topic(&command.topic).await?;
    let config = MembershipConfig {
        group: group.to_owned(),
        topics: vec![command.topic.clone()],
        session_timeout: SESSION_TIMEOUT,
        // a join is answered when all have joined: that must happen before we give up waiting for the answer
        rebalance_timeout: cluster.timeout() / 2,
    };
    let member = Member {
        cluster,
        command,
        group,
        membership: Membership::new(config),
        printed: RefCell::default(),
        committed_at: Cell::new(reactor::now()),
    };
    let outcome = match select(
        pin!(member.follow(&mut printer)),
        pin!(reactor::shutdown_signal()),
    )
    .await
    {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => Ok(()),
    };
    printer.finish()?;
    let committed = member.commit().await.map(|_| ());
    let left = member.membership.leave(cluster).await;
    outcome?;
    committed?;
    left?;
    Ok(())
}

impl Member<'_> {
    /// From generation to generation.
    async fn follow(&self, printer: &mut Printer) -> Result<(), AskError> {
        loop {
            let assignment = self.membership.join(self.cluster).await?;
            let partitions = assignment
                .partitions
                .get(&self.command.topic)
                .cloned()
                .unwrap_or_default();
            eprintln_if_terminal(&format!(
                "group {}, generation {}: partitions {partitions:?}",
                self.group, assignment.generation
            ));
            let reader = self.reader(&partitions).await?;
            if self.read_generation(reader, printer).await? {
                return Ok(());
            }
        }
    }

    /// Positions at what the group committed; `--from` for the rest.
    async fn reader(&self, partitions: &[i32]) -> Result<Reader, AskError> {
        let topic = self.cluster.led_topic(&self.command.topic).await?;
        let committed = committed_offsets(self.cluster, self.group).await?;
        let of = |partition: &i32| committed.get(&(topic.name.clone(), *partition)).copied();
        let uncommitted: Vec<i32> = partitions
            .iter()
            .copied()
            .filter(|partition| of(partition).is_none())
            .collect();
        let mut positions = BTreeMap::new();
        if !uncommitted.is_empty() {
            positions = self
                .command
                .from
                .offsets(self.cluster, &topic.name, &uncommitted)
                .await?;
        }
        positions.extend(
            partitions
                .iter()
                .filter_map(|partition| Some((*partition, of(partition)?))),
        );
        self.printed.borrow_mut().clear();
        Ok(Reader {
            topic,
            positions,
            ends: BTreeMap::new(),
            started: reactor::now(),
        })
    }

    /// True at the end that was asked for, false when the group rebalances.
    async fn read_generation(&self, mut reader: Reader, printer: &mut Printer) -> Result<bool, AskError> {
        let mut heartbeat_at = reactor::now();
        loop {
            if reader.positions.is_empty() {
                reactor::sleep(IDLE_PAUSE).await;
            } else {
                reader.read(self.cluster, printer).await?;
            }
            self.note(&reader);
            if printer.is_done() || (self.command.to_end && reader.is_at_end()) {
                return Ok(true);
            }
            let now = reactor::now();
            if now.saturating_since(heartbeat_at) >= HEARTBEAT_EVERY {
                heartbeat_at = now;
                match self.membership.heartbeat(self.cluster).await {
                    Ok(true) => {}
                    Ok(false) => {
                        // the old generation may still commit until the new one is complete
                        self.commit().await?;
                        return Ok(false);
                    }
                    Err(error) if error.is_retriable() => {}
                    Err(error) => return Err(error),
                }
            }
            if now.saturating_since(self.committed_at.get()) >= COMMIT_EVERY && !self.commit().await? {
                return Ok(false);
            }
        }
    }

    fn note(&self, reader: &Reader) {
        let topic = &reader.topic.name;
        let positions = reader
            .positions
            .iter()
            .map(|(partition, offset)| ((topic.clone(), *partition), *offset));
        self.printed.borrow_mut().extend(positions);
    }

    async fn commit(&self) -> Result<bool, AskError> {
        self.committed_at.set(reactor::now());
        let printed = self.printed.borrow().clone();
        self.membership.commit(self.cluster, &printed).await
    }
}

fn eprintln_if_terminal(text: &str) {
    use std::io::IsTerminal;
    if std::io::stderr().is_terminal() {
        eprintln!("{text}");
    }
}
