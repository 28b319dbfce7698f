//! From `ringlog.store` to a store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use control::config::BrokerConfig;
use control::quorum::{ReplicaKey, Timers, Voter, VoterSet};
use control::record::BrokerId;
use control::store::kraft::QuorumConfig;
#[cfg(feature = "etcd")]
use control::store::kv::etcd::{EtcdConfig, EtcdTls};
#[cfg(feature = "zookeeper")]
use control::store::kv::zookeeper::ZooKeeperConfig;
#[cfg(any(feature = "etcd", feature = "zookeeper"))]
use control::store::shared::SharedConfig;
use control::store::{StoreConfig, StoreUrl};

use crate::quorum_wire::{Meeting, WireNetwork};

/// Why no store can be configured.
#[derive(Debug, thiserror::Error)]
pub enum StoreConfigError {
    #[cfg_attr(all(feature = "etcd", feature = "zookeeper"), allow(dead_code))] // why: this build has all
    #[error("ringlog.store: this build has no {0}")]
    NotBuilt(&'static str),
    #[error("{property}: {}: {source}", .path.display())]
    File {
        property: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{0} is set without {1}")]
    Alone(&'static str, &'static str),
}

/// `dir` is the first of `log.dirs`; `meeting` is where a quorum's replica and the control listener find each other.
pub fn configured(
    config: &BrokerConfig,
    dir: &Path,
    meeting: Meeting,
) -> Result<StoreConfig, StoreConfigError> {
    #[cfg(any(feature = "etcd", feature = "zookeeper"))]
    let shared = SharedConfig {
        prefix: config.store_prefix.clone(),
        lease: Duration::from_millis(config.store_lease_ms),
        dir: Some(dir.to_owned()),
    };
    match &config.store {
        StoreUrl::Embedded => Ok(StoreConfig::Embedded { dir: dir.to_owned() }),
        #[cfg(feature = "etcd")]
        StoreUrl::Etcd(endpoints) => {
            let etcd = EtcdConfig {
                endpoints: endpoints.clone(),
                tls: etcd_tls(config)?,
                user: config.store_access.etcd_user.clone(),
            };
            Ok(StoreConfig::Etcd { etcd, shared })
        }
        #[cfg(feature = "zookeeper")]
        StoreUrl::ZooKeeper(endpoints) => {
            let zookeeper = ZooKeeperConfig {
                endpoints: endpoints.clone(),
                user: config.store_access.zookeeper_user.clone(),
            };
            Ok(StoreConfig::ZooKeeper { zookeeper, shared })
        }
        StoreUrl::Quorum(voters) => Ok(StoreConfig::Quorum(QuorumConfig {
            dir: dir.to_owned(),
            voters: VoterSet::new(voters.iter().map(|(id, endpoint)| Voter {
                key: ReplicaKey::of(BrokerId(*id)),
                endpoint: endpoint.clone(),
            })),
            timers: timers(config),
            network: Arc::new(WireNetwork { meeting }),
        })),
        #[cfg(not(all(feature = "etcd", feature = "zookeeper")))]
        other => Err(StoreConfigError::NotBuilt(other.scheme())),
    }
}

fn timers(config: &BrokerConfig) -> Timers {
    let timing = &config.quorum;
    let fetch = Duration::from_millis(timing.fetch_ms);
    Timers {
        election: Duration::from_millis(timing.election_ms),
        fetch,
        // a leader is heard of several times before it is given up
        fetch_wait: fetch / 5,
        request: Duration::from_millis(timing.request_ms),
        retry: Duration::from_millis(timing.retry_ms),
        ..Timers::default()
    }
}

#[cfg(feature = "etcd")]
fn etcd_tls(config: &BrokerConfig) -> Result<Option<EtcdTls>, StoreConfigError> {
    const CA: &str = "ringlog.etcd.ca.file";
    const CERTIFICATE: &str = "ringlog.etcd.certificate.file";
    const KEY: &str = "ringlog.etcd.key.file";
    let access = &config.store_access;
    let read = |property, path: &Path| {
        reactor::disk::read(path).map_err(|source| StoreConfigError::File {
            property,
            path: path.to_owned(),
            source,
        })
    };
    let identity = match (&access.etcd_certificate_file, &access.etcd_key_file) {
        (Some(certificate), Some(key)) => Some((read(CERTIFICATE, certificate)?, read(KEY, key)?)),
        (None, None) => None,
        (Some(_), None) => return Err(StoreConfigError::Alone(CERTIFICATE, KEY)),
        (None, Some(_)) => return Err(StoreConfigError::Alone(KEY, CERTIFICATE)),
    };
    match &access.etcd_ca_file {
        Some(ca) => Ok(Some(EtcdTls {
            ca: read(CA, ca)?,
            identity,
        })),
        None if identity.is_some() => Err(StoreConfigError::Alone(CERTIFICATE, CA)),
        None => Ok(None),
    }
}
