//! From names to addresses, and listening on them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use control::config::{BrokerConfig, Endpoint};
use reactor::Listener;

use crate::shard::AdvertisedListener;

/// Nothing can be bound there. Says where.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    pub address: String,
    pub source: io::Error,
}

/// The first address that the host's name stands for.
pub async fn resolve(endpoint: &Endpoint) -> io::Result<SocketAddr> {
    let found = reactor::resolve(&endpoint.host, endpoint.port).await?;
    found
        .first()
        .copied()
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Every listener of `listeners`, by name.
pub async fn listen(config: &BrokerConfig) -> Result<Vec<(String, Listener)>, ListenError> {
    let mut listeners = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        listeners.push((listener.name.clone(), bind(&listener.endpoint).await?));
    }
    Ok(listeners)
}

pub async fn listen_admin(config: &BrokerConfig) -> Result<Option<Listener>, ListenError> {
    match &config.admin_listener {
        Some(endpoint) => Ok(Some(bind(endpoint).await?)),
        None => Ok(None),
    }
}

/// How long the listener of a killed predecessor may live on: the kernel ends a ring, and with it the accept that holds the
/// socket, some time after the process.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(2);
const BIND_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The first address that the host name stands for; an empty host stands for all addresses of this machine.
pub async fn bind(endpoint: &Endpoint) -> Result<Listener, ListenError> {
    let host = if endpoint.host.is_empty() {
        "0.0.0.0"
    } else {
        &endpoint.host
    };
    let failed = |source| ListenError {
        address: format!("{host}:{}", endpoint.port),
        source,
    };
    let asked = Endpoint {
        host: host.to_owned(),
        port: endpoint.port,
    };
    let address = resolve(&asked).await.map_err(failed)?;
    let give_up = reactor::now() + PREDECESSOR_PATIENCE;
    loop {
        match Listener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && reactor::now() < give_up => {
                reactor::sleep(BIND_AGAIN_AFTER).await;
            }
            bound => return bound.map_err(failed),
        }
    }
}

/// What clients are told: the advertised addresses, with the port that was really bound where 0 was asked for.
pub fn advertised(config: &BrokerConfig, bound: &[(String, Listener)]) -> Vec<AdvertisedListener> {
    let advertised = config.advertised_listeners.iter().map(|listener| {
        let bound_port = bound
            .iter()
            .find(|(name, _)| *name == listener.name)
            .map(|(_, listener)| listener.local_addr().port());
        let port = if listener.endpoint.port == 0 {
            bound_port.unwrap_or(0)
        } else {
            listener.endpoint.port
        };
        let host = if listener.endpoint.is_wildcard() {
            "localhost".to_owned()
        } else {
            listener.endpoint.host.clone()
        };
        AdvertisedListener {
            name: listener.name.clone(),
            host,
            port,
        }
    });
    advertised.collect()
}
