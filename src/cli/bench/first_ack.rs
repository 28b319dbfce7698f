//! `ringlog bench first-ack`: how long until a record is acknowledged, by a broker that may not even run yet.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use clap::Args;
use kafka_protocol::messages::ProduceRequest;
use net::ErrorCode;
use net::frame::next_frame;
use reactor::{Instant, Piece, Socket};
use serde_json::json;

use super::load::Load;
use super::produce_lane::LaneError;
use super::produce_wire::{self, RequestTemplate, read_answer};
use crate::cli::arguments::parse_pair;
use crate::cli::target::{Target, on_reactor};
use crate::cli::topic::create_topic;
use crate::cli::{CliError, output};
use crate::client::{Acks, AskError, ClientConfig, Cluster, Topic};

/// Between two tries: the error of the figure.
const PAUSE: Duration = Duration::from_millis(1);
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Tries again and again, whatever the answer, until the record is acknowledged or --timeout-ms is over.
#[derive(Debug, Args)]
pub struct FirstAck {
    #[command(flatten)]
    target: Target,
    /// Topic to use; created with --partitions if it does not exist. The record goes to its last partition.
    #[arg(long, value_name = "TOPIC", default_value = "ringlog-bench")]
    topic: String,
    /// Partitions of a topic that is created.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// A config of a topic that is created; may be given many times.
    #[arg(long = "topic-config", value_name = "KEY=VALUE", value_parser = parse_pair)]
    topic_configs: Vec<(String, String)>,
}

/// When each step was done.
struct Steps {
    begun: Instant,
    connected: Instant,
    led: Instant,
    acknowledged: Instant,
    acknowledged_wall_ms: i64,
}

impl FirstAck {
    pub fn run(self) -> Result<(), CliError> {
        let steps = on_reactor(self.measure())??;
        let seconds = |step: Instant| step.saturating_since(steps.begun).as_nanos() as f64 / 1e9;
        output::emit(
            self.target.json,
            || {
                json!({
                    "connected_s": seconds(steps.connected),
                    "led_s": seconds(steps.led),
                    "acknowledged_s": seconds(steps.acknowledged),
                    "acknowledged_unix_ms": steps.acknowledged_wall_ms,
                })
            },
            || {
                format!(
                    "connected after {:.3} s, topic led after {:.3} s, acknowledged after {:.3} s",
                    seconds(steps.connected),
                    seconds(steps.led),
                    seconds(steps.acknowledged)
                )
            },
        );
        Ok(())
    }

    async fn measure(&self) -> Result<Steps, CliError> {
        let load = Load::build(1, 1024, engine::batch::Codec::None, reactor::wall_ms())?;
        let begun = reactor::now();
        let deadline = begun + Duration::from_millis(self.target.timeout_ms);
        let config = ClientConfig {
            bootstrap: self.target.bootstrap.clone(),
            timeout: Duration::from_millis(self.target.timeout_ms),
        };
        let cluster = again(deadline, async || Ok(Cluster::connect(config.clone()).await?)).await?;
        let connected = reactor::now();
        let topic = again(deadline, async || Ok(self.led(&cluster).await?)).await?;
        let led = reactor::now();
        again(deadline, async || produce(&cluster, &topic, &load).await).await?;
        Ok(Steps {
            begun,
            connected,
            led,
            acknowledged: reactor::now(),
            acknowledged_wall_ms: reactor::wall_ms(),
        })
    }

    async fn led(&self, cluster: &Cluster) -> Result<Topic, AskError> {
        let topic = match cluster.topic(&self.topic).await {
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                let configs = &self.topic_configs;
                create_topic(cluster, &self.topic, self.partitions, -1, configs).await?;
                cluster.topic(&self.topic).await?
            }
            topic => topic?,
        };
        match topic.partitions.iter().find(|partition| partition.leader < 0) {
            None => Ok(topic),
            Some(partition) => Err(AskError::NoLeader {
                topic: topic.name.clone(),
                partition: partition.index,
            }),
        }
    }
}

/// Tries until it succeeds; at the deadline the last failure stands.
async fn again<T>(
    deadline: Instant,
    mut attempt: impl AsyncFnMut() -> Result<T, CliError>,
) -> Result<T, CliError> {
    loop {
        match attempt().await {
            Err(error) if reactor::now() >= deadline => return Err(error),
            Err(_) => reactor::sleep(PAUSE).await,
            done => return done,
        }
    }
}

async fn produce(cluster: &Cluster, topic: &Topic, load: &Load) -> Result<(), CliError> {
    let Some(last) = topic.partitions.last() else {
        return Err(CliError::Usage(format!("topic {} has no partitions", topic.name)));
    };
    let client = cluster.broker(last.leader).await?;
    let version = client
        .version_of::<ProduceRequest>()
        .map_err(AskError::from)?
        .min(produce_wire::VERSIONS.1);
    let request = RequestTemplate::one(version, &topic.name, last.index, Acks::All);
    let mut pieces = Vec::new();
    request.write(0, || load.batch(0), &mut pieces);
    let error = ask(cluster.broker_address(last.leader).await?, version, pieces)
        .await
        .map_err(|error| CliError::Usage(error.to_string()))?;
    match error {
        ErrorCode::None => Ok(()),
        error => Err(CliError::Usage(format!("not acknowledged: {error}"))),
    }
}

async fn ask(address: SocketAddr, version: i16, pieces: Vec<Piece>) -> Result<ErrorCode, LaneError> {
    let socket = Socket::connect(address).await?;
    socket.send(pieces).await?;
    let mut received = BytesMut::new();
    loop {
        if socket.recv(&mut received).await? == 0 {
            return Err(LaneError::Closed);
        }
        if let Some(frame) = next_frame(&mut received, ANSWER_BYTES_MAX)? {
            return Ok(read_answer(version, &frame)?.error);
        }
    }
}
