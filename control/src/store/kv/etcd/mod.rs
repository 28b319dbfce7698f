//! etcd, by its v3 API. What it does and does not promise, and what its client needs to be kept from, was measured: see the numbers and
//! reasons beside the constants.

mod connection;
mod watch;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{
    CompactionOptions, Compare, CompareOp, DeleteOptions, GetOptions, PutOptions, SortOrder, SortTarget, Txn,
    TxnOp,
};
use reactor::mailbox;

use super::tokio_thread::TokioThread;
use super::{
    CALL_MAX, Found, KeepAlive, KeyRange, KeyValue, LeaseId, Limits, Order, Outcome, Rejection, Revision,
    Step, StoreError, Transaction, Version, WatchEvent,
};
use crate::config::Endpoint;
use connection::{Connection, Failure};

/// 128 operations in each list of a transaction; requests of 1.5 MiB; the shortest lease follows the election timeout of 1 s.
pub(super) const LIMITS: Limits = Limits {
    steps: 128,
    value_bytes: 1400 << 10,
    lease_min: Duration::from_secs(2),
};

/// A range may be long, and a dead endpoint is found out by HTTP/2's keep-alive within 1.5 s.
const RANGE_MAX: Duration = Duration::from_secs(10);
/// Slowest link on which the largest value still gets through in time.
const BYTES_PER_SECOND_MIN: usize = 512 << 10;

/// Messages of a watch that may wait for us; beyond it the client stops reading from etcd.
const QUEUE_MAX: usize = 256;

/// Where etcd is, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct EtcdConfig {
    pub endpoints: Vec<Endpoint>,
    pub tls: Option<EtcdTls>,
    /// Name and password.
    pub user: Option<(String, String)>,
}

impl std::fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.user.as_ref().map(|(name, _)| name);
        f.debug_struct("EtcdConfig")
            .field("endpoints", &self.endpoints)
            .field("tls", &self.tls.is_some())
            .field("user", &user)
            .finish()
    }
}

/// All in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdTls {
    /// Who signed etcd's certificate.
    pub ca: Vec<u8>,
    /// Our certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone)]
pub struct EtcdStore {
    thread: TokioThread,
    connection: Arc<Connection>,
}

impl EtcdStore {
    /// Starts the client. Nothing is connected yet.
    pub fn start(config: EtcdConfig) -> io::Result<EtcdStore> {
        Ok(EtcdStore {
            thread: TokioThread::start("etcd")?,
            connection: Arc::new(Connection::new(config)),
        })
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<KeyValue>, StoreError> {
        let (connection, key) = (Arc::clone(&self.connection), key.to_owned());
        let call = async move {
            let get = async |mut client: etcd_client::KvClient| client.get(key, None).await;
            let response = connection.call(RANGE_MAX, Connection::kv, get).await?;
            response.kvs().first().map(key_value).transpose()
        };
        self.thread.call(call).await?
    }

    pub(super) async fn range(
        &self,
        range: &KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let connection = Arc::clone(&self.connection);
        let sort = match order {
            Order::Ascending => SortOrder::Ascend,
            Order::Descending => SortOrder::Descend,
        };
        let options = GetOptions::new()
            .with_range(range.to.as_str())
            .with_limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .with_sort(SortTarget::Key, sort);
        let from = range.from.clone();
        let call = async move {
            let get = async |mut client: etcd_client::KvClient| client.get(from, Some(options)).await;
            let response = connection.call(RANGE_MAX, Connection::kv, get).await?;
            Ok(Found {
                entries: response.kvs().iter().map(key_value).collect::<Result<_, _>>()?,
                revision: Revision(response.header().map_or(0, |header| header.revision())),
            })
        };
        self.thread.call(call).await?
    }

    pub(super) async fn transact(&self, transaction: &Transaction) -> Outcome {
        let connection = Arc::clone(&self.connection);
        let steps = transaction.steps.clone();
        let call = async move {
            let mut bytes = 0;
            let mut compares = Vec::with_capacity(steps.len());
            let mut operations = Vec::new();
            for step in &steps {
                // The modification's revision, not the creation's: that one stays when somebody puts a new value over the old.
                let revision = step.expected().map_or(0, |version| version.0);
                compares.push(Compare::mod_revision(step.key(), CompareOp::Equal, revision));
                match step {
                    Step::Check { .. } => {}
                    Step::Put {
                        key, value, lease, ..
                    } => {
                        bytes += value.len();
                        let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
                        operations.push(TxnOp::put(key.as_str(), value.as_slice(), options));
                    }
                    Step::Delete { key, .. } => operations.push(TxnOp::delete(key.as_str(), None)),
                }
            }
            let txn = Txn::new().when(compares).and_then(operations);
            let within = CALL_MAX + Duration::from_secs((bytes / BYTES_PER_SECOND_MIN) as u64);
            let send = async |mut client: etcd_client::KvClient| client.txn(txn).await;
            match connection.call(within, Connection::kv, send).await {
                Ok(response) if !response.succeeded() => Outcome::Refused,
                Ok(response) => {
                    let revision = response.header().map(|header| Version(header.revision()));
                    Outcome::Done(steps.iter().map(|step| version_after(step, revision)).collect())
                }
                Err(failure) => outcome_of(failure),
            }
        };
        self.thread
            .call(call)
            .await
            .unwrap_or_else(|error| Outcome::Unknown(error.to_string()))
    }

    pub(super) async fn delete_range(&self, range: &KeyRange) -> Result<(), StoreError> {
        let connection = Arc::clone(&self.connection);
        let KeyRange { from, to } = range.clone();
        let call = async move {
            let options = DeleteOptions::new().with_range(to);
            let delete = async |mut client: etcd_client::KvClient| client.delete(from, Some(options)).await;
            connection.call(RANGE_MAX, Connection::kv, delete).await?;
            Ok(())
        };
        self.thread.call(call).await?
    }

    pub(super) async fn forget_history(&self, before: Revision) -> Result<(), StoreError> {
        let connection = Arc::clone(&self.connection);
        let call = async move {
            let compact = async |mut client: etcd_client::KvClient| {
                client.compact(before.0, Some(CompactionOptions::new())).await
            };
            match connection.call(RANGE_MAX, Connection::kv, compact).await {
                Ok(_) => Ok(()),
                // somebody has compacted further already
                Err(failure) if failure.code() == Some(connection::OUT_OF_RANGE) => Ok(()),
                Err(failure) => Err(failure.into()),
            }
        };
        self.thread.call(call).await?
    }

    pub(super) async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let connection = Arc::clone(&self.connection);
        let seconds = i64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        let call = async move {
            let grant = async |mut client: etcd_client::LeaseClient| client.grant(seconds, None).await;
            let response = connection.call(CALL_MAX, Connection::lease, grant).await?;
            Ok(LeaseId(response.id()))
        };
        self.thread.call(call).await?
    }

    pub(super) async fn keep_alive(&self, lease: LeaseId) -> Result<KeepAlive, StoreError> {
        let connection = Arc::clone(&self.connection);
        let call = async move {
            // A stream for each: one that stays open would have to be watched for its own death.
            let keep = async |mut client: etcd_client::LeaseClient| client.keep_alive(lease.0).await;
            match connection.call(CALL_MAX, Connection::lease, keep).await {
                Ok(_) => Ok(KeepAlive::Alive),
                Err(Failure::Etcd(etcd_client::Error::LeaseKeepAliveError(_))) => Ok(KeepAlive::Lost),
                Err(failure) if failure.code() == Some(connection::NOT_FOUND) => Ok(KeepAlive::Lost),
                Err(failure) => Err(failure.into()),
            }
        };
        self.thread.call(call).await?
    }

    pub(super) fn revoke(&self, lease: LeaseId) {
        let connection = Arc::clone(&self.connection);
        let call = async move {
            let revoke = async |mut client: etcd_client::LeaseClient| client.revoke(lease.0).await;
            // otherwise it runs out by itself
            let _ = connection.call(CALL_MAX, Connection::lease, revoke).await;
        };
        let _ = self.thread.spawn(call);
    }

    pub(super) async fn watch(
        &self,
        range: &KeyRange,
        after: Revision,
    ) -> Result<mailbox::Receiver<WatchEvent>, StoreError> {
        let (events, receiver) = mailbox::channel(QUEUE_MAX);
        let (connection, range) = (Arc::clone(&self.connection), range.clone());
        self.thread.spawn(watch::run(connection, range, after, events))?;
        Ok(receiver)
    }
}

fn key_value(found: &etcd_client::KeyValue) -> Result<KeyValue, StoreError> {
    let foreign = |_| StoreError::Refused("a key of ours is not text".to_owned());
    Ok(KeyValue {
        key: found.key_str().map_err(foreign)?.to_owned(),
        value: found.value().to_vec(),
        version: Version(found.mod_revision()),
    })
}

fn version_after(step: &Step, revision: Option<Version>) -> Option<Version> {
    match step {
        Step::Put { .. } => revision,
        Step::Check { version, .. } => *version,
        Step::Delete { .. } => None,
    }
}

fn outcome_of(failure: Failure) -> Outcome {
    let message = failure.to_string();
    match failure.code() {
        Some(connection::NOT_FOUND) if message.contains("lease") => Outcome::LeaseLost,
        Some(connection::RESOURCE_EXHAUSTED) if message.contains("space") => {
            Outcome::Rejected(Rejection::NoSpace)
        }
        Some(connection::INVALID_ARGUMENT) if message.contains("too large") => {
            Outcome::Rejected(Rejection::TooLarge)
        }
        Some(connection::PERMISSION_DENIED) => Outcome::Rejected(Rejection::Denied(message)),
        _ => Outcome::Unknown(message),
    }
}
