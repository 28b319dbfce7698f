//! `ringlog bench ceiling`: receives, checks nothing, answers. What it takes over loopback with the same load is the
//! most that any broker on this reactor, and this machine, could.

use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use clap::Args;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    ApiVersionsResponse, BrokerId, MetadataRequest, MetadataResponse, ProduceResponse,
};
use net::header::RequestHeader;
use net::message;
use reactor::{Listener, Piece, Socket};
use uuid::Uuid;

use super::produce_wire;
use crate::cli::CliError;
use crate::cli::target::on_reactor;
use crate::client::text;

const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
const SERVED: [(i16, (i16, i16)); 3] = [
    (PRODUCE, (produce_wire::VERSIONS.0, 11)),
    (METADATA, (1, 12)),
    (API_VERSIONS, (0, 3)),
];
const UNSUPPORTED_VERSION: i16 = 35;
const BROKER: i32 = 1;
/// Length, API, version, correlation id.
const HEAD_BYTES: usize = 12;
/// What lies in the second-level cache is received again and again into the same place.
const DISCARD_BYTES: usize = 64 << 10;
/// Requests other than produce are small.
const REQUEST_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Args)]
pub struct Ceiling {
    /// The address to listen on.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    listen: SocketAddr,
    /// Partitions that every topic has.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=100_000))]
    partitions: i32,
}

impl Ceiling {
    pub fn run(self) -> Result<(), CliError> {
        on_reactor(async {
            let listener = Listener::bind(self.listen).map_err(CliError::Connection)?;
            let server = Rc::new(Server {
                address: listener.local_addr(),
                partitions: self.partitions,
            });
            eprintln!("ready on {}", server.address);
            loop {
                let (socket, _) = listener.accept().await.map_err(CliError::Connection)?;
                let socket = socket.attach().map_err(CliError::Connection)?;
                let server = server.clone();
                // a client that goes, or says what is not understood, ends its own connection only
                reactor::spawn(async move { server.serve(socket).await }).detach();
            }
        })?
    }
}

struct Server {
    address: SocketAddr,
    partitions: i32,
}

impl Server {
    /// `None` when the connection is over, for whatever reason.
    async fn serve(&self, socket: Socket) -> Option<()> {
        let mut received = BytesMut::new();
        let mut answers = Vec::new();
        let mut produced: Option<(i16, Bytes)> = None;
        loop {
            while received.len() < HEAD_BYTES {
                if !answers.is_empty() {
                    socket.send(std::mem::take(&mut answers)).await.ok()?;
                    continue;
                }
                if socket.recv(&mut received).await.ok()? == 0 {
                    return None;
                }
            }
            let (length, key, version, correlation_id) = head(&received)?;
            let frame_bytes = usize::try_from(length).ok()?.checked_add(4)?;
            if key == PRODUCE {
                discard(&socket, &mut received, frame_bytes).await?;
                let answer = match &produced {
                    Some((of, answer)) if *of == version => answer,
                    _ => &produced.insert((version, produce_answer(version)?)).1,
                };
                answers.push(Piece::Bytes(numbered(answer, correlation_id)));
                continue;
            }
            if frame_bytes > REQUEST_BYTES_MAX {
                return None;
            }
            let missing = frame_bytes.saturating_sub(received.len());
            if missing > 0 {
                socket.recv_exact(&mut received, missing).await.ok()?;
            }
            received.advance(4);
            let frame = received.split_to(frame_bytes - 4);
            answers.push(Piece::Bytes(self.answer(frame)?));
        }
    }

    fn answer(&self, mut frame: BytesMut) -> Option<Bytes> {
        let header = RequestHeader::split_from(&mut frame).ok()?;
        let version = header.api_version;
        match header.api_key {
            API_VERSIONS => {
                let is_served = version <= 3;
                let response = ApiVersionsResponse::default()
                    .with_error_code(if is_served { 0 } else { UNSUPPORTED_VERSION })
                    .with_api_keys(SERVED.iter().map(served).collect());
                message::encode_response(
                    if is_served { version } else { 0 },
                    header.correlation_id,
                    &response,
                )
                .ok()
            }
            METADATA => {
                let request = message::decode_request::<MetadataRequest>(version, frame.freeze()).ok()?;
                message::encode_response(version, header.correlation_id, &self.metadata(&request)).ok()
            }
            _ => None,
        }
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let partition = |index| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(BrokerId(BROKER))
                .with_replica_nodes(vec![BrokerId(BROKER)])
                .with_isr_nodes(vec![BrokerId(BROKER)])
        };
        let topics = request.topics.iter().flatten().map(|topic| {
            MetadataResponseTopic::default()
                .with_name(topic.name.clone())
                .with_topic_id(Uuid::from_u128(1))
                .with_partitions((0..self.partitions).map(partition).collect())
        });
        MetadataResponse::default()
            .with_brokers(vec![
                MetadataResponseBroker::default()
                    .with_node_id(BrokerId(BROKER))
                    .with_host(text(&self.address.ip().to_string()))
                    .with_port(self.address.port().into()),
            ])
            .with_controller_id(BrokerId(BROKER))
            .with_topics(topics.collect())
    }
}

fn served((key, (min, max)): &(i16, (i16, i16))) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(*key)
        .with_min_version(*min)
        .with_max_version(*max)
}

fn head(received: &[u8]) -> Option<(i32, i16, i16, i32)> {
    let (length, rest) = received.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_first_chunk::<2>()?;
    let (version, rest) = rest.split_first_chunk::<2>()?;
    let (id, _) = rest.split_first_chunk::<4>()?;
    Some((
        i32::from_be_bytes(*length),
        i16::from_be_bytes(*key),
        i16::from_be_bytes(*version),
        i32::from_be_bytes(*id),
    ))
}

/// Takes a frame off the connection without looking at it.
async fn discard(socket: &Socket, received: &mut BytesMut, frame_bytes: usize) -> Option<()> {
    let mut missing = frame_bytes.saturating_sub(received.len());
    if missing == 0 {
        received.advance(frame_bytes);
        return Some(());
    }
    while missing > 0 {
        received.clear();
        let bytes = missing.min(DISCARD_BYTES);
        socket.recv_exact(received, bytes).await.ok()?;
        missing -= bytes;
    }
    received.clear();
    Some(())
}

/// One partition that took its batch; which one, the load does not look at.
fn produce_answer(version: i16) -> Option<Bytes> {
    let topic =
        TopicProduceResponse::default().with_partition_responses(vec![PartitionProduceResponse::default()]);
    let response = ProduceResponse::default().with_responses(vec![topic]);
    message::encode_response(version, 0, &response).ok()
}

/// The same answer for another request: its number follows the length.
fn numbered(answer: &[u8], correlation_id: i32) -> Bytes {
    let mut answer = BytesMut::from(answer);
    if let Some(id) = answer.get_mut(4..8) {
        id.copy_from_slice(&correlation_id.to_be_bytes());
    }
    answer.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_that_is_offered_is_answered_as_the_load_reads_it() {
        for version in SERVED[0].1.0..=SERVED[0].1.1 {
            let answer = numbered(&produce_answer(version).unwrap(), 7);
            let read = produce_wire::read_answer(version, &answer[4..]).unwrap();
            assert_eq!((read.correlation_id, read.refused), (7, 0), "v{version}");
        }
        let server = Server {
            address: "127.0.0.1:9".parse().unwrap(),
            partitions: 3,
        };
        for version in SERVED[1].1.0..=SERVED[1].1.1 {
            let metadata = server.metadata(&MetadataRequest::default().with_topics(None));
            assert!(
                message::encode_response(version, 7, &metadata).is_ok(),
                "v{version}"
            );
        }
    }
}
