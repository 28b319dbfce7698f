//! `ringlog bench latency`: producers and consumers in one process, so that one clock times both ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use engine::batch::Batch;
use futures_util::future::join_all;
use reactor::Instant;

use super::consume::{self, FetchLimits};
use super::fetch_lane::FetchLane;
use super::produce::{self, Sending};
use super::produce_lane::{ProduceLane, Source};
use super::progress::Progress;
use super::stamp::{self, Stamper};
use super::tally::{Result as Figures, Tally};
use super::usage::Watch;
use super::{Common, IN_FLIGHT_FAST, Shape};
use crate::cli::CliError;
use crate::client::{Cluster, OffsetSpec, list_offsets};

/// Records per second where no rate is given: an end-to-end latency without a rate measures the queue.
const RATE_DEFAULT: f64 = 1000.0;
/// Between the building of the lanes and the first intended time: the consumers' first fetch waits by then.
const LEAD: Duration = Duration::from_millis(200);
/// How long after the last acknowledgement a record may still arrive.
const STRAGGLE: Duration = Duration::from_secs(10);
/// The most a batch may take decompressed.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Args)]
pub struct Latency {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    limits: FetchLimits,
    /// Put up to N of the records that are due into one batch, as clients do that do not linger; --batch-records is 1
    /// then, and --in-flight 5 if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    coalesce: Option<u32>,
}

/// What is asked of every record that arrives.
struct Arrivals {
    run: u64,
    epoch: Instant,
    tally: Rc<RefCell<Tally>>,
    /// All records of the run that came, warm-up included.
    count: Cell<u64>,
}

impl Latency {
    pub fn run(mut self) -> Result<(), CliError> {
        if self.shape.rate <= 0.0 {
            self.shape.rate = RATE_DEFAULT;
        }
        if self.coalesce.is_some() {
            self.shape.batch_records = 1;
            self.shape.in_flight.get_or_insert(IN_FLIGHT_FAST);
        }
        if self.common.records.is_none() && self.common.seconds.is_none() {
            self.common.seconds = Some(10.0);
        }
        let json = self.common.target.json;
        let figures = self
            .common
            .target
            .run(async |cluster| self.measure(&cluster).await)?;
        figures.print(json, "send to arrival")
    }

    async fn measure(&self, cluster: &Cluster) -> Result<Figures, CliError> {
        let topic = self.common.topic(cluster).await?;
        let partitions: Vec<i32> = topic.partitions.iter().map(|partition| partition.index).collect();
        let ends = list_offsets(cluster, &topic.name, &partitions, OffsetSpec::Latest).await?;
        // each partition has one reader here, or records would arrive twice
        let readers = Common {
            connections: self.common.connections.min(partitions.len() as u32),
            ..self.common()
        };
        let fetching = consume::lanes(cluster, &readers, &topic, &ends, self.limits.config()).await?;

        let shape = &self.shape;
        let (run, epoch) = (reactor::random_u64(), reactor::now());
        let coalesce_max = self.coalesce.unwrap_or(1);
        let batch_records = match self.coalesce {
            None => shape.batch_records..=shape.batch_records,
            Some(most) => 1..=most,
        };
        let stamper = Stamper::new(
            batch_records,
            shape.record_bytes,
            shape.compression,
            (run, epoch),
            reactor::wall_ms(),
        )?;
        let sending = Sending {
            source: Source::Stamped(Rc::new(stamper), shape.batch_records),
            request_batches: 1,
            coalesce_max: coalesce_max as usize,
        };
        let connected = produce::connect(cluster, &self.common, shape, &topic, &sending).await?;
        let start = reactor::now() + LEAD;
        let measured_from = start + Duration::from_secs_f64(self.common.warmup.max(0.0));
        let sent = Rc::new(RefCell::new(Tally::new(start)));
        let producing = produce::schedule(connected, &self.common, shape, &sending, start, &sent);
        let watch = Watch::start(self.common.watch_pid, measured_from);
        let arrivals = Rc::new(Arrivals {
            run,
            epoch,
            tally: Rc::new(RefCell::new(Tally::new(measured_from))),
            count: Cell::new(0),
        });
        let readers: Vec<_> = fetching
            .into_iter()
            .map(|lane| reactor::spawn(read_on(lane, arrivals.clone())))
            .collect();
        let progress = Progress::start(arrivals.tally.clone());
        join_all(producing.into_iter().map(ProduceLane::run)).await;
        let sent = sent.borrow().result(None);
        let deadline = reactor::now() + STRAGGLE;
        while arrivals.count.get() < sent.records && reactor::now() < deadline {
            reactor::sleep(Duration::from_millis(5)).await;
        }
        let usage = watch.finish();
        drop(progress);
        for reader in readers {
            reader.abort();
        }
        let mut tally = arrivals.tally.borrow_mut();
        tally.failed(sent.errors, || sent.first_error.clone().unwrap_or_default());
        tally.failed(sent.records.saturating_sub(arrivals.count.get()), || {
            "records did not arrive".to_owned()
        });
        Ok(tally.result(usage))
    }

    fn common(&self) -> Common {
        Common {
            target: self.common.target.clone(),
            topic: self.common.topic.clone(),
            topic_configs: self.common.topic_configs.clone(),
            ..self.common
        }
    }
}

async fn read_on(mut lane: FetchLane, arrivals: Rc<Arrivals>) {
    loop {
        let fetched = lane.fetch(|records| arrivals.take(records)).await;
        let error = match fetched {
            Ok(brought) => match brought.errors.first() {
                None => continue,
                Some((partition, error)) => format!("partition {partition}: {error}"),
            },
            Err(error) => error.to_string(),
        };
        arrivals.tally.borrow_mut().failed(1, || error);
        return;
    }
}

impl Arrivals {
    fn take(&self, mut records: &[u8]) {
        let now = reactor::now();
        let mut tally = self.tally.borrow_mut();
        while let Ok((batch, rest)) = Batch::split_first(records) {
            records = rest;
            let Ok(decompressed) = batch.records(DECOMPRESSED_BYTES_MAX) else {
                tally.failed(1, || "a batch that cannot be read arrived".to_owned());
                continue;
            };
            let (mut count, mut measured) = (0, 0);
            for record in decompressed.iter().flatten() {
                let Some(intended) = stamp::read(record.value.unwrap_or_default(), self.run, self.epoch)
                else {
                    continue;
                };
                count += 1;
                if tally.is_measured(intended) {
                    measured += 1;
                    tally.latency(intended, now);
                }
            }
            self.count.set(self.count.get() + count);
            if measured > 0 {
                tally.arrived(now, measured, batch.size_bytes() as u64);
            }
        }
    }
}
