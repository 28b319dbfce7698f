//! From a framed request to its handler, and from the handler's answer to bytes.
//!
//! A handler gets a [`Call`] and returns an [`Outcome`]: the answer, no answer (acks=0), or the reason to hang up.
//! What happens to a request that cannot be served is Kafka's: an unknown ApiVersions version is answered in version 0
//! with error 35; any other unknown API or version, and any request that does not parse, closes the connection.

use std::rc::{Rc, Weak};

use bytes::BytesMut;
use control::group::RequestContext;
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request as Message};
use net::connection::{Reply, Request, Service};
use net::message;
use reactor::Instant;

use crate::api::{self, Api};
use crate::shard::Shard;

/// What a handler says.
pub type Outcome = Result<Reply, Hangup>;

/// Why a connection is closed instead of answered.
#[derive(Debug, thiserror::Error)]
pub enum Hangup {
    #[error("the request does not parse: {0}")]
    Malformed(#[from] message::DecodeError),
    #[error("the request does not parse: {0}")]
    Misshapen(#[from] net::shape::ShapeError),
    #[error("the answer does not fit the protocol: {0}")]
    Unencodable(#[from] message::EncodeError),
    #[error("the shard has stopped")]
    Stopping,
    #[error("an internal answer was of the wrong kind")]
    Confused,
}

impl Hangup {
    /// A part of this broker answered another request than the one it was asked: a bug, told in the log.
    pub fn confused(answer: &dyn std::fmt::Debug) -> Hangup {
        tracing::error!(?answer, "an answer of another kind than was asked for");
        Hangup::Confused
    }
}

impl From<crate::shard::router::ShardGone> for Hangup {
    fn from(_: crate::shard::router::ShardGone) -> Hangup {
        Hangup::Stopping
    }
}

/// One request on its way through a handler.
pub struct Call {
    pub request: Request,
    pub api: &'static Api,
}

impl Call {
    pub fn version(&self) -> i16 {
        self.request.header.api_version
    }

    /// The body as the message `T`, checked for size before anything is sized by it.
    pub fn decode<T: Message>(&mut self) -> Result<T, Hangup> {
        debug_assert_eq!(T::KEY, self.api.key);
        Ok(message::decode_request(
            self.version(),
            self.take_body().freeze(),
        )?)
    }

    /// The body as it came, for handlers that read it in place.
    pub fn take_body(&mut self) -> BytesMut {
        std::mem::take(&mut self.request.body)
    }

    /// The name of the listener that the client came in on; decides which addresses it is told.
    pub fn listener(&self) -> &str {
        &self.request.connection.listener
    }

    /// What a group coordinator keeps of a member's client.
    pub fn group_context(&self) -> RequestContext {
        RequestContext {
            api_version: self.version(),
            client_id: self.request.header.client_id.to_string(),
            client_host: format!("/{}", self.request.connection.peer.ip()),
        }
    }

    /// The answer frame of `response` in the request's version.
    pub fn reply<T: Encodable + HeaderVersion>(&self, response: &T) -> Outcome {
        let frame = message::encode_response(self.version(), self.request.header.correlation_id, response)?;
        Ok(Reply::from(frame))
    }
}

/// The service that `net` calls for every request of this shard's connections.
pub struct Dispatch {
    /// Weak, since the shard owns the connections that own this.
    shard: Weak<Shard>,
}

impl Dispatch {
    pub fn new(shard: &Rc<Shard>) -> Dispatch {
        Dispatch {
            shard: Rc::downgrade(shard),
        }
    }
}

impl Service for Dispatch {
    fn call(&self, request: Request) -> impl Future<Output = Reply> + 'static {
        let begun = self.begin(request);
        async move {
            match begun {
                Ok(begun) => begun.reply().await,
                Err(reply) => reply,
            }
        }
    }
}

/// A request in the hands of its handler.
struct Begun {
    shard: Rc<Shard>,
    api: &'static Api,
    version: i16,
    received: Instant,
    answer: api::Answer,
}

impl Dispatch {
    /// Finds the handler, or the reply to a request that has none.
    fn begin(&self, request: Request) -> Result<Begun, Reply> {
        let shard = self.shard.upgrade().ok_or(Reply::Close)?;
        let (key, version, received) = (
            request.header.api_key,
            request.header.api_version,
            request.received,
        );
        let Some(api) = api::find(key)
            .filter(|api| api.serves(version) && api.is_served_with(&shard.node.config))
        else {
            shard
                .metrics
                .unknown_requests
                .set(shard.metrics.unknown_requests.get() + 1);
            tracing::debug!(key, version, "request of an API or version that is not served");
            let is_api_versions = key == api::api_versions::API.key;
            return Err(if is_api_versions {
                api::api_versions::unsupported(&request)
            } else {
                Reply::Close
            });
        };
        let answer = (api.handler)(shard.clone(), Call { request, api });
        Ok(Begun {
            shard,
            api,
            version,
            received,
            answer,
        })
    }
}

impl Begun {
    async fn reply(self) -> Reply {
        let outcome = self.answer.await;
        self.shard
            .metrics
            .answered(self.api, reactor::now().saturating_since(self.received));
        outcome.unwrap_or_else(|reason| {
            tracing::debug!(api = self.api.name, version = self.version, %reason, "closing the connection");
            Reply::Close
        })
    }
}
