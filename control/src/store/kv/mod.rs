//! What a store on other machines is to us: keys in order, compare-and-set over several of them, leases, watches.
//!
//! [`Store`] is the least that etcd, ZooKeeper and the store of the simulation have in common; [`super::shared`] makes a metadata
//! log of it. The contract:
//!
//! - **Transactions** ([`Transaction`]) apply as a whole or not at all, and only if every key they name is as they expect it.
//!   [`Outcome::Unknown`] is an honest answer: it has happened, or will, or never will. The same transaction may be sent again: as each
//!   step expects a version, it happens at most once.
//! - **Versions** tell the states of a key apart while it exists. ZooKeeper begins to count again when a key is made anew, so only keys
//!   that are never deleted can guard others.
//! - **Reads** see every transaction whose outcome this client has learnt.
//! - **Leases** delete their keys when they run out. They are no lock: a client may believe in its lease after it is gone.
//! - **Watches** ([`Watch`]) tell of every change from a revision on, or that something changed; and they tell when they cannot.
//! - Nothing here waits for a store that is away: a call ends with an error after [`CALL_MAX`] or so.

#[cfg(feature = "etcd")]
pub mod etcd;
pub mod memory;
#[cfg(any(feature = "etcd", feature = "zookeeper"))]
mod tokio_thread;
mod transaction;
mod watch;
#[cfg(feature = "zookeeper")]
pub mod zookeeper;

use std::time::Duration;

use thiserror::Error;

pub use transaction::{Outcome, Rejection, Step, Transaction};
pub use watch::{Change, Watch, WatchEvent};

/// One call's time. A member of etcd that has lost its leader says so only after seven seconds, and what was on its way to that leader is
/// lost: by then another try has long come through. With 2 s, the gap after kill -9 of the leader was 2.0 s, where the election
/// takes 1 to 2 s with etcd's defaults.
pub const CALL_MAX: Duration = Duration::from_secs(1);

/// Tells the states of a key apart.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub i64);

/// A state of the whole store; 0 where the store keeps no history.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub i64);

#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseId(pub i64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: String,
    pub value: Vec<u8>,
    pub version: Version,
}

/// Keys `from <= key < to`, all of one folder (what is before the last `/`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    pub from: String,
    pub to: String,
}

impl KeyRange {
    /// Everything in `folder`, which ends with a `/`.
    pub fn folder(folder: &str) -> KeyRange {
        let name = folder.strip_suffix('/').unwrap_or(folder);
        KeyRange {
            from: format!("{name}/"),
            to: format!("{name}0"),
        }
    }

    pub fn contains(&self, key: &str) -> bool {
        self.from.as_str() <= key && key < self.to.as_str()
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// What a range held at `revision`, at most as many as were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub entries: Vec<KeyValue>,
    pub revision: Revision,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    Alive,
    /// Its keys are gone.
    Lost,
}

/// What a store takes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps of a transaction.
    pub steps: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Shortest lease.
    pub lease_min: Duration,
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// Worth another try: no connection, no majority, no answer in time.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// It answers, and will say the same again: wrong credentials, certificates nobody trusts.
    #[error("the store refuses: {0}")]
    Refused(String),
}

#[derive(Clone)]
pub enum Store {
    #[cfg(feature = "etcd")]
    Etcd(etcd::EtcdStore),
    #[cfg(feature = "zookeeper")]
    ZooKeeper(zookeeper::ZooKeeperStore),
    Memory(memory::MemoryStore),
}

impl Store {
    /// How people call it.
    pub fn name(&self) -> &'static str {
        match self {
            #[cfg(feature = "etcd")]
            Store::Etcd(_) => "etcd",
            #[cfg(feature = "zookeeper")]
            Store::ZooKeeper(_) => "zookeeper",
            Store::Memory(_) => "memory",
        }
    }

    pub fn limits(&self) -> Limits {
        match self {
            #[cfg(feature = "etcd")]
            Store::Etcd(_) => etcd::LIMITS,
            #[cfg(feature = "zookeeper")]
            Store::ZooKeeper(_) => zookeeper::LIMITS,
            Store::Memory(_) => memory::LIMITS,
        }
    }

    pub async fn get(&self, key: &str) -> Result<Option<KeyValue>, StoreError> {
        match self {
            #[cfg(feature = "etcd")]
            Store::Etcd(store) => store.get(key).await,
            #[cfg(feature = "zookeeper")]
            Store::ZooKeeper(store) => store.get(key).await,
            Store::Memory(store) => store.get(key).await,
        }
    }

    /// At most `limit` keys of the range, from its begin or from its end.
    pub async fn range(&self, range: &KeyRange, order: Order, limit: usize) -> Result<Found, StoreError> {
        match self {
            #[cfg(feature = "etcd")]
            Store::Etcd(store) => store.range(range, order, limit).await,
            #[cfg(feature = "zookeeper")]
            Store::ZooKeeper(store) => store.range(range, order, limit).await,
            Store::Memory(store) => store.range(range, order, limit).await,
        }
    }

    pub async fn transact(&self, transaction: &Transaction) -> Outcome {
        match self {
            #[cfg(feature = "etcd")]
            Store::Etcd(store) => store.transact(transaction).await,
            #[cfg(feature = "zookeeper")]
            Store::ZooKeeper(store) => store.transact(transaction).await,
            Store::Memory(store) => store.transact(transaction).await,
        }
    }

    /// Deletes every key of the range; not as one, and after an error not known how many.
    pub async fn delete_range(&self, range: &KeyRange) -> Result<(), StoreError> {
        match self {
            #[cfg(feature = "etcd")]
            Store::Etcd(store) => store.delete_range(range).await,
            #[cfg(feature = "zookeeper")]
            Store::ZooKeeper(store) => store.delete_range(range).await,
            Store::Memory(store) => store.delete_range(range).await,
        }
    }

    /// History before the revision will not be asked for.
    pub async fn forget_history(&self, before: Revision) -> Result<(), StoreError> {
        match self {
            #[cfg(feature = "etcd")]
            Store::Etcd(store) => store.forget_history(before).await,
            #[cfg(feature = "zookeeper")]
            Store::ZooKeeper(_) => {
                let _ = before; // it keeps none
                Ok(())
            }
            Store::Memory(store) => store.forget_history(before).await,
        }
    }

    pub async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        match self {
            #[cfg(feature = "etcd")]
            Store::Etcd(store) => store.grant(ttl).await,
            #[cfg(feature = "zookeeper")]
            Store::ZooKeeper(store) => store.grant(ttl).await,
            Store::Memory(store) => store.grant(ttl).await,
        }
    }

    pub async fn keep_alive(&self, lease: LeaseId) -> Result<KeepAlive, StoreError> {
        match self {
            #[cfg(feature = "etcd")]
            Store::Etcd(store) => store.keep_alive(lease).await,
            #[cfg(feature = "zookeeper")]
            Store::ZooKeeper(store) => store.keep_alive(lease).await,
            Store::Memory(store) => store.keep_alive(lease).await,
        }
    }

    /// Gives a lease back without waiting for the answer: for those who end.
    pub fn revoke(&self, lease: LeaseId) {
        match self {
            #[cfg(feature = "etcd")]
            Store::Etcd(store) => store.revoke(lease),
            #[cfg(feature = "zookeeper")]
            Store::ZooKeeper(store) => store.revoke(lease),
            Store::Memory(store) => store.revoke(lease),
        }
    }

    /// Tells of changes in the range after `after`. A store without history tells first that something may have changed.
    pub async fn watch(&self, range: &KeyRange, after: Revision) -> Result<Watch, StoreError> {
        match self {
            #[cfg(feature = "etcd")]
            Store::Etcd(store) => Ok(Watch::Channel(store.watch(range, after).await?)),
            #[cfg(feature = "zookeeper")]
            Store::ZooKeeper(store) => Ok(Watch::Channel(store.watch(range, after).await?)),
            Store::Memory(store) => Ok(Watch::Memory(store.watch(range, after))),
        }
    }
}
