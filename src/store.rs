//! From `ringlog.store` to a store.

use std::path::Path;
use std::time::Duration;

use control::config::BrokerConfig;
use control::store::kv::etcd::EtcdConfig;
use control::store::shared::SharedConfig;
use control::store::{StoreConfig, StoreUrl};

/// Why no store can be configured.
#[derive(Debug, thiserror::Error)]
pub enum StoreConfigError {
    #[error("ringlog.store: this build has no {0}")]
    NotBuilt(&'static str),
}

/// `dir` is the first of `log.dirs`.
pub fn configured(config: &BrokerConfig, dir: &Path) -> Result<StoreConfig, StoreConfigError> {
    let shared = SharedConfig {
        prefix: config.store_prefix.clone(),
        lease: Duration::from_millis(config.store_lease_ms),
        dir: Some(dir.to_owned()),
    };
    match &config.store {
        StoreUrl::Embedded => Ok(StoreConfig::Embedded { dir: dir.to_owned() }),
        StoreUrl::Etcd(endpoints) => Ok(StoreConfig::Etcd {
            etcd: EtcdConfig {
                endpoints: endpoints.clone(),
                tls: None,
                user: None,
            },
            shared,
        }),
        other => Err(StoreConfigError::NotBuilt(other.scheme())),
    }
}
