//! `ringlog produce`: lines of standard input become records.

mod lines;

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use engine::batch::{BatchBuilder, Codec};
use engine::types::{Offset, Timestamp};
use futures_util::future::{Either, join, select, try_join_all};
use net::ErrorCode;

use self::lines::{Chunk, Lines};
use super::arguments::{AcksArg, parse_codec};
use super::output::Progress;
use super::target::Target;
use super::topic::create_topic;
use super::{CliError, output};
use crate::client::{Acks, AskError, Cluster, Producer, Topic, partition_of_key};

/// How long records wait for more. Larger: fuller batches of a slow input; smaller: records arrive sooner.
const LINGER: Duration = Duration::from_millis(5);

/// Write the lines of standard input to a topic, one record a line.
#[derive(Debug, Args)]
pub struct Produce {
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// What comes before the first of these in a line is the record's key.
    #[arg(long, short = 'K', value_name = "TEXT")]
    key_separator: Option<String>,
    /// Write to this partition only; else keys decide by their hash, and records without key go round.
    #[arg(long, short, value_name = "N")]
    partition: Option<i32>,
    /// none, gzip, snappy, lz4 or zstd.
    #[arg(long, short = 'z', value_name = "CODEC", default_value = "none", value_parser = parse_codec)]
    compression: Codec,
    /// Whose acknowledgement is waited for: 0 (nobody's), 1 (the leader's), all.
    #[arg(long, value_enum, allow_hyphen_values = true, default_value = "all")]
    acks: AcksArg,
    /// Send a batch when it has grown to so many bytes, or when the input pauses. Larger: quicker; beyond the topic's
    /// max.message.bytes the broker refuses it.
    #[arg(long, value_name = "BYTES", default_value_t = 512 << 10, value_parser = clap::value_parser!(u32).range(1..))]
    batch_bytes: u32,
    /// Send without a producer id: a batch sent again after a lost answer may be stored twice.
    #[arg(long)]
    not_idempotent: bool,
    #[command(flatten)]
    target: Target,
}

impl Produce {
    pub fn run(self) -> Result<(), CliError> {
        let records = self.target.run(async |cluster| self.produce(&cluster).await)?;
        output::emit(
            self.target.json,
            || serde_json::json!({"records": records}),
            String::new,
        );
        Ok(())
    }

    async fn produce(&self, cluster: &Cluster) -> Result<u64, CliError> {
        let topic = self.topic(cluster).await?;
        if let Some(partition) = self.partition {
            topic.partition(partition)?;
        }
        let partitions: Vec<i32> = match self.partition {
            Some(partition) => vec![partition],
            None => topic.partitions.iter().map(|partition| partition.index).collect(),
        };
        let acks = Acks::from(self.acks);
        // without the acknowledgement of all, Kafka's clients give up idempotence, too
        let producer = match acks {
            Acks::All if !self.not_idempotent => Producer::idempotent(cluster, topic).await?,
            _ => Producer::plain(topic, acks),
        };
        let mut pending = Pending::new(partitions, self.compression);
        let mut lines = Lines::default();
        let mut progress = Progress::start(&std::io::stdin());
        let mut records = 0;
        loop {
            let chunk = next_chunk(&mut lines, cluster, &producer, &mut pending).await?;
            if chunk.is_end {
                break;
            }
            for line in chunk.lines() {
                pending.add(line, self.key_separator.as_deref());
                records += 1;
                progress.add(1, line.len() as u64);
                if pending.is_full(self.batch_bytes as usize) {
                    send(cluster, &producer, pending.take_full(self.batch_bytes as usize)).await?;
                }
            }
        }
        send(cluster, &producer, pending.take_all()).await?;
        producer.flush(cluster).await?;
        progress.finish();
        Ok(records)
    }

    /// The topic; one that does not exist is created with the broker's defaults, as the console producer does.
    async fn topic(&self, cluster: &Cluster) -> Result<Topic, AskError> {
        match cluster.topic(&self.topic).await {
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                create_topic(cluster, &self.topic, -1, -1, &[]).await?;
            }
            Err(error) if !error.is_retriable() => return Err(error),
            _ => {}
        }
        cluster.led_topic(&self.topic).await
    }
}

/// What comes next. When nothing does for a moment, what was read before must not wait for it.
async fn next_chunk(
    lines: &mut Lines,
    cluster: &Cluster,
    producer: &Producer,
    pending: &mut Pending,
) -> Result<Chunk, CliError> {
    let reading = pin!(lines.read());
    if pending.batches.is_empty() {
        return reading.await;
    }
    match select(reading, pin!(reactor::sleep(LINGER))).await {
        Either::Left((chunk, _)) => chunk,
        Either::Right((_, reading)) => {
            let (chunk, sent) = join(reading, send(cluster, producer, pending.take_all())).await;
            sent?;
            chunk
        }
    }
}

/// Batches of different partitions at once.
async fn send(
    cluster: &Cluster,
    producer: &Producer,
    batches: Vec<(i32, BatchBuilder)>,
) -> Result<(), AskError> {
    let sends = batches
        .into_iter()
        .map(|(partition, batch)| producer.send(cluster, partition, batch));
    try_join_all(sends).await.map(|_| ())
}

/// Records that wait to be sent, by partition.
struct Pending {
    partitions: Vec<i32>,
    codec: Codec,
    batches: BTreeMap<i32, BatchBuilder>,
    /// Where records without key go until the next batch is sent.
    turn: usize,
    fullest_bytes: usize,
}

impl Pending {
    fn new(partitions: Vec<i32>, codec: Codec) -> Pending {
        Pending {
            partitions,
            codec,
            batches: BTreeMap::new(),
            turn: 0,
            fullest_bytes: 0,
        }
    }

    fn add(&mut self, line: &[u8], key_separator: Option<&str>) {
        let (key, value) = split_key(line, key_separator);
        let count = self.partitions.len();
        let at = key.map_or(self.turn % count.max(1), |key| partition_of_key(key, count));
        let partition = self.partitions.get(at).copied().unwrap_or(0);
        let codec = self.codec;
        let batch = self
            .batches
            .entry(partition)
            .or_insert_with(|| BatchBuilder::new(Offset(0)).compression(codec));
        batch.append(Timestamp(reactor::wall_ms()), key, Some(value));
        self.fullest_bytes = self.fullest_bytes.max(batch.size_bytes());
    }

    fn is_full(&self, batch_bytes: usize) -> bool {
        self.fullest_bytes >= batch_bytes
    }

    /// Batches that are at least half as large as a full one: they go along.
    fn take_full(&mut self, batch_bytes: usize) -> Vec<(i32, BatchBuilder)> {
        let (full, rest): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.batches)
            .into_iter()
            .partition(|(_, batch)| batch.size_bytes() * 2 >= batch_bytes);
        self.batches = rest;
        self.sent();
        full.into_iter().collect()
    }

    fn take_all(&mut self) -> Vec<(i32, BatchBuilder)> {
        let all = std::mem::take(&mut self.batches);
        self.sent();
        all.into_iter().collect()
    }

    fn sent(&mut self) {
        self.turn += 1;
        self.fullest_bytes = self
            .batches
            .values()
            .map(BatchBuilder::size_bytes)
            .max()
            .unwrap_or(0);
    }
}

fn split_key<'a>(line: &'a [u8], separator: Option<&str>) -> (Option<&'a [u8]>, &'a [u8]) {
    let Some(separator) = separator
        .map(str::as_bytes)
        .filter(|separator| !separator.is_empty())
    else {
        return (None, line);
    };
    let Some(at) = line
        .windows(separator.len())
        .position(|window| window == separator)
    else {
        return (None, line);
    };
    let (key, rest) = line.split_at(at);
    (Some(key), rest.get(separator.len()..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_the_first_separator() {
        assert_eq!(split_key(b"a::b::c", Some("::")), (Some(&b"a"[..]), &b"b::c"[..]));
        assert_eq!(split_key(b"plain", Some(":")), (None, &b"plain"[..]));
        assert_eq!(split_key(b":v", Some(":")), (Some(&b""[..]), &b"v"[..]));
        assert_eq!(split_key(b"a:b", None), (None, &b"a:b"[..]));
    }

    #[test]
    fn records_without_key_change_partition_from_batch_to_batch() {
        let mut pending = Pending::new(vec![4, 7], Codec::None);
        let mut taken = Vec::new();
        for _ in 0..3 {
            pending.add(b"one", None);
            pending.add(b"two", None);
            let batches = pending.take_all();
            assert_eq!(batches.len(), 1);
            taken.extend(
                batches
                    .into_iter()
                    .map(|(partition, batch)| (partition, batch.record_count())),
            );
        }
        assert_eq!(taken, [(4, 2), (7, 2), (4, 2)]);
        for _ in 0..10 {
            pending.add(b"key:value", Some(":"));
        }
        assert_eq!(pending.batches.len(), 1);
        assert!(pending.is_full(100) && !pending.is_full(10_000));
        assert_eq!(pending.take_full(100).len(), 1);
        assert!(!pending.is_full(1));
    }
}
