//! The network between control threads: a listener of their own, so that neither busy shards nor clients come between a
//! controller and its brokers.
//!
//! Frames are Kafka's (length, API key, version, correlation id). Questions of members carry [`MEMBER_KEY`], which no Kafka API has;
//! they may be answered in any order. Everything else is Kafka's protocol for controllers, answered in order ([`Served`]).

mod client;
mod frame;
mod listener;

use std::io;

use control::config::Endpoint;
use control::service::{ControlNetwork, OpenNetwork};

pub use listener::{ControllerApis, NoApis};

/// API key of the questions that members ask each other.
const MEMBER_KEY: i16 = 32_000;
const MEMBER_VERSION: i16 = 0;
/// The longest question or answer: a request of a client, with all that JSON adds.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// Opens the listener at `listen` when the control thread wants it. `advertised_host` is told to others where `listen` names
/// every interface.
pub fn network(listen: Endpoint, advertised_host: String, apis: impl ControllerApis + Send) -> OpenNetwork {
    Box::new(move || {
        Box::pin(async move {
            let listener = crate::address::bind(&listen)
                .await
                .map_err(|error| io::Error::other(error.to_string()))?;
            let host = if listen.is_wildcard() || listen.host.is_empty() {
                advertised_host
            } else {
                listen.host.clone()
            };
            let endpoint = Endpoint {
                host,
                port: listener.local_addr().port(),
            };
            Ok(ControlNetwork {
                endpoint,
                peers: std::rc::Rc::new(client::MemberPeers),
                serve: Box::new(move |calls| {
                    reactor::spawn(listener::accept(listener, calls, std::rc::Rc::new(apis))).detach();
                }),
            })
        })
    })
}
