//! Consuming without a group.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::Consume;
use super::printer::Printer;
use crate::cli::CliError;
use crate::client::{AskError, Cluster, FetchConfig, Position, Topic, fetch, for_each_record};

/// Before a fetch is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// Prints until Ctrl-C or the end that was asked for.
pub async fn consume(cluster: &Cluster, command: &Consume, mut printer: Printer) -> Result<(), CliError> {
    let topic = cluster.led_topic(&command.topic).await?;
    let mut partitions: Vec<i32> = topic.partitions.iter().map(|partition| partition.index).collect();
    if !command.partitions.is_empty() {
        for partition in &command.partitions {
            topic.partition(*partition)?;
        }
        partitions.clone_from(&command.partitions);
    }
    let positions = command.from.offsets(cluster, &topic.name, &partitions).await?;
    let mut reader = Reader {
        topic,
        positions,
        ends: BTreeMap::new(),
        started: reactor::now(),
    };
    let read_all = async {
        while !(printer.is_done() || command.to_end && reader.is_at_end()) {
            reader.read(cluster, &mut printer).await?;
        }
        Ok::<(), AskError>(())
    };
    let outcome = match select(pin!(read_all), pin!(reactor::shutdown_signal())).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => Ok(()),
    };
    printer.finish()?;
    Ok(outcome?)
}

/// Partitions of one topic and how far they have been read.
pub struct Reader {
    pub topic: Topic,
    /// The next offset of each partition.
    pub positions: BTreeMap<i32, i64>,
    /// The ends the last fetches told of.
    pub ends: BTreeMap<i32, i64>,
    /// When the brokers last gave what was asked.
    pub started: reactor::Instant,
}

impl Reader {
    pub fn is_at_end(&self) -> bool {
        self.positions
            .iter()
            .all(|(partition, position)| self.ends.get(partition).is_some_and(|end| position >= end))
    }

    /// Fetches once and prints what came. Trouble that may pass is waited out, for as long as an answer may take.
    pub async fn read(&mut self, cluster: &Cluster, printer: &mut Printer) -> Result<(), AskError> {
        let error = match self.read_once(cluster, printer).await {
            Ok(()) => {
                self.started = reactor::now();
                return Ok(());
            }
            Err(error) => error,
        };
        let patience_is_over = reactor::now().saturating_since(self.started) > cluster.timeout();
        if !error.is_retriable() || patience_is_over {
            return Err(error);
        }
        reactor::sleep(PAUSE).await;
        match cluster.topic(&self.topic.name).await {
            Ok(topic) => self.topic = topic,
            Err(error) if error.is_retriable() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn read_once(&mut self, cluster: &Cluster, printer: &mut Printer) -> Result<(), AskError> {
        let positions: Vec<Position> = self
            .positions
            .iter()
            .map(|(partition, offset)| Position {
                partition: *partition,
                offset: *offset,
            })
            .collect();
        let fetched = fetch(cluster, &self.topic, &positions, FetchConfig::default()).await?;
        let mut trouble = Ok(());
        for batches in fetched {
            let partition = batches.partition;
            if let Err(error) = batches.outcome {
                trouble = Err(error);
                continue;
            }
            self.ends.insert(partition, batches.high_watermark);
            if let Some(position) = self.positions.get_mut(&partition) {
                let what = format!("{}-{partition}", self.topic.name);
                for_each_record(&what, &batches.records, position, |record| {
                    printer.print(partition, record)
                })?;
            }
        }
        printer.flush();
        trouble
    }
}
