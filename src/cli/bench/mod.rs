//! `ringlog bench`: load for any Kafka broker, and what came of it.
//!
//! Open loop: at a given rate every request has an intended time, fixed before the run, and latency counts from that
//! time; a broker that stalls cannot delay the load and so hide the stall (coordinated omission). One thread does all,
//! so that `taskset` decides which core the load may use.
//!
//! [`pace`] is the schedule, [`load`] builds batches, [`produce_lane`] and [`fetch_lane`] are connections that write
//! and read frames themselves (the general client would cost more than the broker), [`tally`] counts, [`usage`] tells
//! who used the processors. [`first_ack`] times a start, [`ceiling`] is the server no broker can pass.

mod ceiling;
mod consume;
mod fetch_lane;
mod fetch_wire;
mod first_ack;
mod latency;
mod load;
mod pace;
mod produce;
mod produce_lane;
mod produce_wire;
mod progress;
mod setup;
mod stamp;
mod tally;
mod usage;

use clap::{Args, Subcommand};
use engine::batch::Codec;

use super::arguments::{AcksArg, parse_codec, parse_pair};
use super::{CliError, target::Target};

pub use stamp::StampError;

/// Measure a broker: load in open loop, latencies as a histogram.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Produce pre-built batches; latency from the intended send time to the acknowledgement.
    Produce(produce::Produce),
    /// Fetch a topic as fast as possible, without decompressing; latency of each fetch.
    Consume(consume::Consume),
    /// End to end: latency from a record's intended send time to its arrival at a consumer of this process.
    Latency(latency::Latency),
    /// Time until a broker that is starting acknowledges its first record.
    FirstAck(first_ack::FirstAck),
    /// No load but its counterpart: a server that receives, checks nothing and answers, as the most a broker could do.
    Ceiling(ceiling::Ceiling),
}

impl Bench {
    pub fn run(self) -> Result<(), CliError> {
        match self.what {
            What::Produce(command) => command.run(),
            What::Consume(command) => command.run(),
            What::Latency(command) => command.run(),
            What::FirstAck(command) => command.run(),
            What::Ceiling(command) => command.run(),
        }
    }
}

/// What the loads have in common.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    target: Target,
    /// Topic to use; created with --partitions if it does not exist.
    #[arg(long, value_name = "TOPIC", default_value = "ringlog-bench")]
    topic: String,
    /// Partitions of a topic that is created.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Replicas of a topic that is created; the broker's default.replication.factor if not given.
    #[arg(long, value_name = "N", default_value_t = -1)]
    replication_factor: i16,
    /// A config of a topic that is created; may be given many times.
    #[arg(long = "topic-config", value_name = "KEY=VALUE", value_parser = parse_pair)]
    topic_configs: Vec<(String, String)>,
    /// Connections to each broker that leads partitions of the topic.
    #[arg(long, value_name = "C", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// End the run after that many records.
    #[arg(long, value_name = "N")]
    records: Option<u64>,
    /// End the run after that many seconds, warm-up not counted.
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// Seconds at the start that are not measured.
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    warmup: f64,
    /// A process of this machine, the broker as a rule, whose processor time is told beside our own.
    #[arg(long, value_name = "PID")]
    watch_pid: Option<u32>,
}

/// What is produced.
#[derive(Debug, Args)]
struct Shape {
    /// Bytes of a record's value.
    #[arg(long, value_name = "B", default_value_t = 1024)]
    record_bytes: usize,
    /// Records in a batch; each request carries one batch.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    batch_records: u32,
    /// Requests of one connection that may wait for their acknowledgement [default: 5 as fast as possible, 100 at a rate].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: Option<u32>,
    /// Whose acknowledgement is waited for: 0 (nobody's), 1 (the leader's), all.
    #[arg(long, value_enum, allow_hyphen_values = true, default_value = "all")]
    acks: AcksArg,
    /// none, gzip, snappy, lz4 or zstd.
    #[arg(long, value_name = "CODEC", default_value = "none", value_parser = parse_codec)]
    compression: Codec,
    /// Records per second, evenly spread in time; 0 is as fast as possible.
    #[arg(long, value_name = "R", default_value_t = 0.0)]
    rate: f64,
}

/// Of Kafka's producers, `max.in.flight.requests.per.connection`.
const IN_FLIGHT_FAST: u32 = 5;
/// At a rate the bound must not bind before the broker does: what waits here has latency, too, but is not sent.
const IN_FLIGHT_AT_RATE: u32 = 100;

impl Shape {
    fn in_flight_max(&self) -> usize {
        let default = if self.rate > 0.0 {
            IN_FLIGHT_AT_RATE
        } else {
            IN_FLIGHT_FAST
        };
        self.in_flight.unwrap_or(default) as usize
    }
}
