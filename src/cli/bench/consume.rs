//! `ringlog bench consume`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures_util::future::join_all;
use kafka_protocol::messages::FetchRequest;
use reactor::Instant;

use super::fetch_lane::FetchLane;
use super::progress::Progress;
use super::tally::{Result as Figures, Tally};
use super::usage::Watch;
use super::{Common, fetch_wire, setup};
use crate::cli::CliError;
use crate::client::{AskError, Cluster, FetchConfig, OffsetSpec, Position, Topic, list_offsets};

#[derive(Debug, Args)]
pub struct Consume {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    limits: FetchLimits,
    /// Where to begin.
    #[arg(long, value_enum, default_value = "earliest")]
    from: From,
    /// Begin again at the start of a partition when its end is reached.
    #[arg(long)]
    again: bool,
}

#[derive(Debug, Args)]
pub struct FetchLimits {
    /// Most bytes of one fetch answer.
    #[arg(long, value_name = "BYTES", default_value_t = 50 << 20)]
    fetch_max_bytes: i32,
    /// Most bytes of one partition in a fetch answer.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    partition_max_bytes: i32,
    /// Least bytes the broker answers with before --fetch-max-wait-ms is over.
    #[arg(long, value_name = "BYTES", default_value_t = 1)]
    fetch_min_bytes: i32,
    /// How long the broker may wait for --fetch-min-bytes.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    fetch_max_wait_ms: u32,
}

impl FetchLimits {
    pub fn config(&self) -> FetchConfig {
        FetchConfig {
            max_wait: Duration::from_millis(self.fetch_max_wait_ms.into()),
            min_bytes: self.fetch_min_bytes,
            max_bytes: self.fetch_max_bytes,
            partition_max_bytes: self.partition_max_bytes,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    Earliest,
    Latest,
}

/// When a run is over: after so many records, at a time, or at the ends the partitions had when it began.
struct Finish {
    records_left: Cell<u64>,
    until: Option<Instant>,
    ends: Option<BTreeMap<i32, i64>>,
    starts: BTreeMap<i32, i64>,
    again: bool,
}

impl Consume {
    pub fn run(self) -> Result<(), CliError> {
        let json = self.common.target.json;
        let figures = self
            .common
            .target
            .run(async |cluster| self.measure(&cluster).await)?;
        figures.print(json, "fetch to answer")
    }

    async fn measure(&self, cluster: &Cluster) -> Result<Figures, CliError> {
        let topic = self.common.topic(cluster).await?;
        let partitions: Vec<i32> = topic.partitions.iter().map(|partition| partition.index).collect();
        let starts = list_offsets(cluster, &topic.name, &partitions, OffsetSpec::Earliest).await?;
        let ends = list_offsets(cluster, &topic.name, &partitions, OffsetSpec::Latest).await?;
        let begin = match self.from {
            From::Earliest => &starts,
            From::Latest => &ends,
        };
        let lanes = lanes(cluster, &self.common, &topic, begin, self.limits.config()).await?;
        let start = reactor::now();
        let warmup = Duration::from_secs_f64(self.common.warmup.max(0.0));
        let tally = Rc::new(RefCell::new(Tally::new(start + warmup)));
        let is_bounded = self.common.records.is_some() || self.common.seconds.is_some();
        let finish = Rc::new(Finish {
            records_left: Cell::new(self.common.records.unwrap_or(u64::MAX)),
            until: self
                .common
                .seconds
                .map(|seconds| start + warmup + Duration::from_secs_f64(seconds.max(0.0))),
            ends: (self.again || !is_bounded).then_some(ends),
            starts,
            again: self.again && is_bounded,
        });
        let watch = Watch::start(self.common.watch_pid, start + warmup);
        let progress = Progress::start(tally.clone());
        join_all(
            lanes
                .into_iter()
                .map(|lane| consume(lane, finish.clone(), tally.clone())),
        )
        .await;
        let usage = watch.finish();
        drop(progress);
        Ok(tally.borrow().result(usage))
    }
}

/// One connection per share, positioned.
pub async fn lanes(
    cluster: &Cluster,
    common: &Common,
    topic: &Topic,
    begin: &BTreeMap<i32, i64>,
    config: FetchConfig,
) -> Result<Vec<FetchLane>, CliError> {
    let mut lanes = Vec::new();
    for share in common.shares(topic) {
        let client = cluster.broker(share.broker).await?;
        let version = client
            .version_of::<FetchRequest>()
            .map_err(AskError::from)?
            .min(fetch_wire::VERSIONS.1);
        let position = |partition: &i32| {
            begin.get(partition).map(|offset| Position {
                partition: *partition,
                offset: *offset,
            })
        };
        let positions = share.partitions.iter().filter_map(position).collect();
        let address = setup::address(cluster, &share).await?;
        let lane = FetchLane::connect(address, version, &topic.name, positions, config).await;
        lanes.push(lane.map_err(CliError::Connection)?);
    }
    Ok(lanes)
}

async fn consume(mut lane: FetchLane, finish: Rc<Finish>, tally: Rc<RefCell<Tally>>) {
    while !finish.is_reached(&mut lane) {
        let asked = reactor::now();
        match lane.fetch(|_| ()).await {
            Ok(brought) => {
                let mut tally = tally.borrow_mut();
                tally.completed(asked, reactor::now(), brought.records, brought.bytes);
                finish
                    .records_left
                    .set(finish.records_left.get().saturating_sub(brought.records));
                for (partition, error) in &brought.errors {
                    tally.failed(1, || format!("partition {partition}: {error}"));
                }
                if !brought.errors.is_empty() {
                    return;
                }
            }
            Err(error) => {
                tally.borrow_mut().failed(1, || error.to_string());
                return;
            }
        }
    }
}

impl Finish {
    fn is_reached(&self, lane: &mut FetchLane) -> bool {
        if self.records_left.get() == 0 || self.until.is_some_and(|until| reactor::now() >= until) {
            return true;
        }
        let Some(ends) = &self.ends else { return false };
        let is_at_end = |position: &Position| {
            ends.get(&position.partition)
                .is_none_or(|end| position.offset >= *end)
        };
        if !lane.positions().iter().all(is_at_end) {
            return false;
        }
        let has_records = lane
            .positions()
            .iter()
            .any(|position| self.starts.get(&position.partition) < ends.get(&position.partition));
        if !self.again || !has_records {
            return true;
        }
        for (partition, start) in &self.starts {
            lane.seek(*partition, *start);
        }
        false
    }
}
