//! Asking other replicas.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use control::config::Endpoint;
use control::quorum::{NoAnswer, Request, Response};
use control::store::kraft::{QuorumNetwork, QuorumPeers, QuorumServer};
use futures_util::future::LocalBoxFuture;
use kafka_protocol::protocol::Request as Message;
use net::client::{Client, ClientError, ClientOptions};

use super::{Meeting, Replica, asks, responses};
use crate::address::resolve;

/// Longer than a Fetch waits at the leader; the quorum's own patience is shorter.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The largest part of a log or of a snapshot, with room around it.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Makes the way to other replicas, and lets the control listener find this one.
#[derive(Debug)]
pub struct WireNetwork {
    pub meeting: Meeting,
}

impl QuorumNetwork for WireNetwork {
    fn open(&self, server: QuorumServer, cluster_id: &str) -> Rc<dyn QuorumPeers> {
        let cluster_id = cluster_id.to_owned();
        self.meeting.attach(Replica {
            server,
            cluster_id: cluster_id.clone(),
        });
        Rc::new(WirePeers {
            cluster_id,
            connections: Rc::default(),
        })
    }
}

/// What must not wait for what: a Fetch is answered when there is something to tell, and answers come in order.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Elections,
    Log,
}

type Connections = Rc<RefCell<BTreeMap<(String, u16, Lane), Rc<Client>>>>;

struct WirePeers {
    cluster_id: String,
    connections: Connections,
}

impl QuorumPeers for WirePeers {
    fn ask(&self, to: &Endpoint, request: Request) -> LocalBoxFuture<'static, Result<Response, NoAnswer>> {
        let (to, cluster_id, connections) = (to.clone(), self.cluster_id.clone(), self.connections.clone());
        Box::pin(async move {
            let answer = match &request {
                Request::Vote(request) => {
                    let message = asks::vote(&cluster_id, request);
                    let response = ask(&connections, &to, Lane::Elections, &message).await?;
                    responses::read_vote(&response).map(Response::Vote)
                }
                Request::BeginQuorumEpoch(request) => {
                    let message = asks::begin(&cluster_id, request);
                    let response = ask(&connections, &to, Lane::Elections, &message).await?;
                    responses::read_begin(&response).map(Response::BeginQuorumEpoch)
                }
                Request::EndQuorumEpoch(request) => {
                    let message = asks::end(&cluster_id, request);
                    let response = ask(&connections, &to, Lane::Elections, &message).await?;
                    responses::read_end(&response).map(Response::EndQuorumEpoch)
                }
                Request::Fetch(request) => {
                    let message = asks::fetch(&cluster_id, request);
                    let response = ask(&connections, &to, Lane::Log, &message).await?;
                    responses::read_fetch(request, &response).map(Response::Fetch)
                }
                Request::FetchSnapshot(request) => {
                    let message = asks::fetch_snapshot(&cluster_id, request);
                    let response = ask(&connections, &to, Lane::Log, &message).await?;
                    responses::read_fetch_snapshot(&response).map(Response::FetchSnapshot)
                }
            };
            if answer.is_none() {
                tracing::warn!(
                    host = to.host,
                    port = to.port,
                    "a member refuses this one: has it another cluster id?"
                );
            }
            answer.ok_or(NoAnswer::Lost)
        })
    }
}

async fn ask<R: Message>(
    connections: &Connections,
    to: &Endpoint,
    lane: Lane,
    request: &R,
) -> Result<R::Response, NoAnswer> {
    let key = (to.host.clone(), to.port, lane);
    let known = connections.borrow().get(&key).cloned();
    let client = match known {
        Some(client) => client,
        None => {
            let client = Rc::new(connect(to).await.map_err(|error| no_answer(&error))?);
            connections.borrow_mut().insert(key.clone(), client.clone());
            client
        }
    };
    let answer = client.call(request).await;
    if let Err(error) = &answer {
        tracing::debug!(host = to.host, port = to.port, %error, "a member of the quorum");
        // another request may have made a new one meanwhile
        let mut connections = connections.borrow_mut();
        if connections.get(&key).is_some_and(|now| Rc::ptr_eq(now, &client)) {
            connections.remove(&key);
        }
    }
    answer.map_err(|error| no_answer(&error))
}

/// A connection to a member's control listener.
pub async fn connect(to: &Endpoint) -> Result<Client, ClientError> {
    let address = resolve(to)
        .await
        .map_err(|error| ClientError::Lost(error.kind()))?;
    let options = ClientOptions {
        answer_bytes_max: ANSWER_BYTES_MAX,
        timeout: TIMEOUT,
        ..ClientOptions::default()
    };
    Client::connect(address, options).await
}

fn no_answer(error: &ClientError) -> NoAnswer {
    match error {
        ClientError::Connect { kind, .. } if *kind == io::ErrorKind::ConnectionRefused => NoAnswer::Refused,
        _ => NoAnswer::Lost,
    }
}
