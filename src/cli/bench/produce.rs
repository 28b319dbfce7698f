//! `ringlog bench produce`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use kafka_protocol::messages::ProduceRequest;
use reactor::{Instant, Socket};

use super::load::Load;
use super::pace::{Pace, Supply};
use super::produce_lane::{LaneConfig, ProduceLane, Source};
use super::produce_wire::{self, RequestTemplate};
use super::progress::Progress;
use super::tally::{Result as Figures, Tally};
use super::usage::Watch;
use super::{Common, Shape, setup};
use crate::cli::CliError;
use crate::client::{AskError, Cluster, Topic};

/// Records of a run that is not told when to end.
const RECORDS_DEFAULT: u64 = 1_000_000;
/// Between the building of the lanes and the first intended time.
const LEAD: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub struct Produce {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    shape: Shape,
    /// Batches in a request, each of another partition; more than one counts partitions as the request's records.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    request_batches: u32,
}

impl Produce {
    pub fn run(self) -> Result<(), CliError> {
        let json = self.common.target.json;
        let figures = self
            .common
            .target
            .run(async |cluster| self.measure(&cluster).await)?;
        figures.print(json, "send to acknowledgement")
    }

    async fn measure(&self, cluster: &Cluster) -> Result<Figures, CliError> {
        let topic = self.common.topic(cluster).await?;
        let shape = &self.shape;
        let load = Load::build(
            shape.batch_records,
            shape.record_bytes,
            shape.compression,
            reactor::wall_ms(),
        )?;
        let source = Source::Prebuilt(Rc::new(load));
        let sending = Sending {
            source,
            request_batches: self.request_batches as usize,
            coalesce_max: 1,
        };
        let connected = connect(cluster, &self.common, shape, &topic, &sending).await?;
        let start = reactor::now() + LEAD;
        let measured_from = start + Duration::from_secs_f64(self.common.warmup.max(0.0));
        let tally = Rc::new(RefCell::new(Tally::new(measured_from)));
        let lanes = schedule(connected, &self.common, shape, &sending, start, &tally);
        let watch = Watch::start(self.common.watch_pid, measured_from);
        reactor::sleep_until(start).await;
        let progress = Progress::start(tally.clone());
        join_all(lanes.into_iter().map(ProduceLane::run)).await;
        let usage = watch.finish();
        drop(progress);
        Ok(tally.borrow().result(usage))
    }
}

/// How the batches of a run are sent.
pub struct Sending {
    pub source: Source,
    /// Batches in a request.
    pub request_batches: usize,
    /// Batches that are due at once and go into one.
    pub coalesce_max: usize,
}

/// Connections to all leaders of the topic, and what each of them sends.
pub async fn connect(
    cluster: &Cluster,
    common: &Common,
    shape: &Shape,
    topic: &Topic,
    sending: &Sending,
) -> Result<Vec<(LaneConfig, Socket)>, CliError> {
    let source = &sending.source;
    let acks = shape.acks.into();
    let mut connected = Vec::new();
    for share in common.shares(topic) {
        let client = cluster.broker(share.broker).await?;
        let version = client
            .version_of::<ProduceRequest>()
            .map_err(AskError::from)?
            .min(produce_wire::VERSIONS.1);
        let request = |partitions: &[i32]| match (partitions, source) {
            ([partition], _) => RequestTemplate::one(version, &topic.name, *partition, acks),
            (_, Source::Prebuilt(load)) => {
                let batch = |at| load.batch(at as u64);
                RequestTemplate::whole(version, &topic.name, partitions, acks, batch)
            }
            (_, Source::Stamped(stamper, _)) => {
                let batch = |_| stamper.batch(&[reactor::now()]).unwrap_or_default();
                RequestTemplate::whole(version, &topic.name, partitions, acks, batch)
            }
        };
        let address = setup::address(cluster, &share).await?;
        let partitions = share.partitions.chunks(sending.request_batches.max(1));
        let config = LaneConfig {
            address,
            version,
            requests: partitions.map(request).collect(),
            source: source.clone(),
            acks,
            in_flight_max: shape.in_flight_max(),
            coalesce_max: sending.coalesce_max,
        };
        let socket = Socket::connect(address).await.map_err(CliError::Connection)?;
        connected.push((config, socket));
    }
    Ok(connected)
}

/// Shares the schedule out among the connections. It begins when all of them are there: making hundreds takes a busy
/// broker seconds, which are no part of the run.
pub fn schedule(
    connected: Vec<(LaneConfig, Socket)>,
    common: &Common,
    shape: &Shape,
    sending: &Sending,
    start: Instant,
    tally: &Rc<RefCell<Tally>>,
) -> Vec<ProduceLane> {
    let until = common
        .seconds
        .map(|seconds| start + Duration::from_secs_f64((common.warmup + seconds).max(0.0)));
    let records = match (common.records, until) {
        (Some(records), _) => records,
        (None, Some(_)) => u64::MAX,
        (None, None) => RECORDS_DEFAULT,
    };
    let request_records = u64::from(shape.batch_records) * sending.request_batches as u64;
    let batches = records.div_ceil(request_records);
    let supply = Supply::new(batches, until);
    let lanes = connected.len();
    let lane = |(lane, (config, socket))| {
        let pace = if shape.rate > 0.0 {
            let rate = shape.rate / request_records as f64;
            Pace::at_rate(rate, start, (lane, lanes), batches, until)
        } else {
            Pace::Fast(supply.clone())
        };
        ProduceLane::new(config, socket, pace, tally.clone())
    };
    connected.into_iter().enumerate().map(lane).collect()
}
