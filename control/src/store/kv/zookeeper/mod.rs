//! ZooKeeper. What its name for our contract is:
//!
//! | ours | ZooKeeper's |
//! |---|---|
//! | transaction | multi: check, create, setData and delete with versions |
//! | version | the znode's data version; it begins with 0 again when a znode is made anew |
//! | lease | the session; keys under it are ephemeral znodes. To take one over, it is deleted and made anew |
//! | watch | a persistent recursive watch; it says that something changed, never what |
//! | range | the children of a znode, read one by one |
//! | unknown | connection lost, session expired or no answer while a multi is on its way |
//!
//! Persistent watches lose events when the connection is made anew (ZOOKEEPER-4698): each is begun again then, and that, as every few seconds, counts
//! as a change. A read is preceded by a sync, which brings the server that we ask up to what the leader had committed.

mod session;
mod watch;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use reactor::mailbox;
use zookeeper_client::{Client, Error, MultiWriteError, MultiWriteResult, SessionState};

use super::tokio_thread::TokioThread;
use super::{
    CALL_MAX, Found, KeepAlive, KeyRange, KeyValue, LeaseId, Limits, Order, Outcome, Rejection, Revision,
    Step, StoreError, Transaction, Version, WatchEvent,
};
use crate::config::Endpoint;
use session::Session;

/// `jute.maxbuffer` is 1 MiB for a whole request; whoever sends more is disconnected without a word.
pub(super) const LIMITS: Limits = Limits {
    steps: 1000,
    value_bytes: REQUEST_BYTES_MAX,
    lease_min: Duration::from_secs(1),
};

/// With room for paths, ACLs and headers of some steps.
const REQUEST_BYTES_MAX: usize = 1020 << 10;
/// A range of large znodes takes a while; a server that does not answer is found out sooner by the session's pings.
const RANGE_MAX: Duration = Duration::from_secs(10);
/// Deletions on their way at a time.
const PIPELINE: usize = 100;

/// Where ZooKeeper is, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct ZooKeeperConfig {
    pub endpoints: Vec<Endpoint>,
    /// Name and password of scheme digest: what we make is ours alone then.
    pub user: Option<(String, String)>,
}

impl std::fmt::Debug for ZooKeeperConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.user.as_ref().map(|(name, _)| name);
        f.debug_struct("ZooKeeperConfig")
            .field("endpoints", &self.endpoints)
            .field("user", &user)
            .finish()
    }
}

#[derive(Clone)]
pub struct ZooKeeperStore {
    thread: TokioThread,
    session: Arc<Session>,
}

impl ZooKeeperStore {
    /// Starts the client; `lease` is the session's time. Nothing is connected yet.
    pub fn start(config: ZooKeeperConfig, lease: Duration) -> io::Result<ZooKeeperStore> {
        Ok(ZooKeeperStore {
            thread: TokioThread::start("zookeeper")?,
            session: Arc::new(Session::new(config, lease)),
        })
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<KeyValue>, StoreError> {
        let (session, key) = (Arc::clone(&self.session), key.to_owned());
        let call = async move {
            let client = session.client().await?;
            // both are on their way before either is answered
            let (synced, found) = within(CALL_MAX, async {
                tokio::join!(client.sync(&key), client.get_data(&key))
            })
            .await?;
            synced.map_err(store_error)?;
            key_value(key, found)
        };
        self.thread.call(call).await?
    }

    pub(super) async fn range(
        &self,
        range: &KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let (session, range) = (Arc::clone(&self.session), range.clone());
        let call = async move {
            let client = session.client().await?;
            let mut keys = within(RANGE_MAX, children(&client, &range)).await??;
            if order == Order::Descending {
                keys.reverse();
            }
            keys.truncate(limit);
            let reads: Vec<_> = keys.into_iter().map(|key| (client.get_data(&key), key)).collect();
            let mut entries = Vec::with_capacity(reads.len());
            for (read, key) in reads {
                let found = within(RANGE_MAX, read).await?;
                entries.extend(key_value(key, found)?);
            }
            Ok(Found {
                entries,
                revision: Revision(0),
            })
        };
        self.thread.call(call).await?
    }

    pub(super) async fn transact(&self, transaction: &Transaction) -> Outcome {
        let (session, steps) = (Arc::clone(&self.session), transaction.steps.clone());
        let value_bytes = |step: &Step| match step {
            Step::Put { value, .. } => value.len(),
            Step::Check { .. } | Step::Delete { .. } => 0,
        };
        if steps.iter().map(value_bytes).sum::<usize>() > REQUEST_BYTES_MAX {
            return Outcome::Rejected(Rejection::TooLarge);
        }
        let call = async move {
            let client = match session.client().await {
                Ok(client) => client,
                Err(StoreError::Refused(why)) => return Outcome::Rejected(Rejection::Denied(why)),
                Err(error) => return Outcome::Unknown(error.to_string()),
            };
            multi(&client, &session, &steps).await
        };
        self.thread
            .call(call)
            .await
            .unwrap_or_else(|error| Outcome::Unknown(error.to_string()))
    }

    pub(super) async fn delete_range(&self, range: &KeyRange) -> Result<(), StoreError> {
        let (session, range) = (Arc::clone(&self.session), range.clone());
        let call = async move {
            let client = session.client().await?;
            let keys = within(RANGE_MAX, children(&client, &range)).await??;
            for some in keys.chunks(PIPELINE) {
                let deletions: Vec<_> = some.iter().map(|key| client.delete(key, None)).collect();
                for deletion in deletions {
                    match within(RANGE_MAX, deletion).await? {
                        Ok(()) | Err(Error::NoNode) => {}
                        Err(error) => return Err(store_error(error)),
                    }
                }
            }
            Ok(())
        };
        self.thread.call(call).await?
    }

    /// The session's, which is a new one if the last has ended. Its time was settled when it began.
    pub(super) async fn grant(&self, _ttl: Duration) -> Result<LeaseId, StoreError> {
        let session = Arc::clone(&self.session);
        let call = async move { Ok(lease_of(&session.client().await?)) };
        self.thread.call(call).await?
    }

    /// The client keeps its session alive by itself.
    pub(super) async fn keep_alive(&self, lease: LeaseId) -> Result<KeepAlive, StoreError> {
        match self.session.known() {
            Some(client) if lease_of(&client) != lease => Ok(KeepAlive::Lost),
            Some(client) => match client.state() {
                SessionState::SyncConnected => Ok(KeepAlive::Alive),
                state if state.is_terminated() => Ok(KeepAlive::Lost),
                state => Err(StoreError::Unavailable(state.to_string())),
            },
            None => Ok(KeepAlive::Lost),
        }
    }

    /// The session ends when nobody has its client any more.
    pub(super) fn revoke(&self, lease: LeaseId) {
        self.session.close(lease);
    }

    pub(super) async fn watch(
        &self,
        range: &KeyRange,
        _after: Revision,
    ) -> Result<mailbox::Receiver<WatchEvent>, StoreError> {
        // One that waits says all that more would.
        let (events, receiver) = mailbox::channel(1);
        let (session, range) = (Arc::clone(&self.session), range.clone());
        self.thread.spawn(watch::run(session, range, events))?;
        Ok(receiver)
    }
}

fn lease_of(client: &Client) -> LeaseId {
    LeaseId(client.session_id().0)
}

/// What a key's last `/` stands behind.
fn folder_of(key: &str) -> &str {
    key.rsplit_once('/')
        .map_or("/", |(folder, _)| if folder.is_empty() { "/" } else { folder })
}

/// The keys of the range, ascending.
async fn children(client: &Client, range: &KeyRange) -> Result<Vec<String>, StoreError> {
    let folder = folder_of(&range.from).to_owned();
    let (synced, listed) = tokio::join!(client.sync(&folder), client.list_children(&folder));
    synced.map_err(store_error)?;
    let names = match listed {
        Ok(names) => names,
        Err(Error::NoNode) => return Ok(Vec::new()),
        Err(error) => return Err(store_error(error)),
    };
    let above = if folder == "/" { "" } else { folder.as_str() };
    let mut keys: Vec<String> = names.into_iter().map(|name| format!("{above}/{name}")).collect();
    keys.retain(|key| range.contains(key));
    keys.sort();
    Ok(keys)
}

fn key_value(
    key: String,
    found: Result<(Vec<u8>, zookeeper_client::Stat), Error>,
) -> Result<Option<KeyValue>, StoreError> {
    match found {
        Ok((value, stat)) => Ok(Some(KeyValue {
            key,
            value,
            version: Version(i64::from(stat.version)),
        })),
        Err(Error::NoNode) => Ok(None),
        Err(error) => Err(store_error(error)),
    }
}

async fn within<F: Future>(longest: Duration, call: F) -> Result<F::Output, StoreError> {
    let late = |_| StoreError::Unavailable(format!("no answer within {} ms", longest.as_millis()));
    tokio::time::timeout(longest, call).await.map_err(late)
}

fn store_error(error: Error) -> StoreError {
    match error {
        Error::NoAuth | Error::AuthFailed | Error::InvalidAcl | Error::BadArguments(_) => {
            StoreError::Refused(error.to_string())
        }
        other => StoreError::Unavailable(other.to_string()),
    }
}

/// A znode's version; another store's would be out of its range, and fits none.
fn znode_version(version: Version) -> i32 {
    i32::try_from(version.0).unwrap_or(i32::MAX)
}

async fn multi(client: &Client, session: &Session, steps: &[Step]) -> Outcome {
    // Once more after the folders of new keys were made.
    for _ in 0..2 {
        let (error, index) = match send(client, session, steps).await {
            Ok(Ok(results)) => return Outcome::Done(versions(steps, results)),
            Ok(Err(MultiWriteError::OperationFailed { index, source })) => (source, index),
            Ok(Err(MultiWriteError::RequestFailed { source })) => {
                return Outcome::Unknown(source.to_string());
            }
            Err(outcome) => return outcome,
        };
        match error {
            Error::NoNode => {}
            Error::BadVersion | Error::NodeExists | Error::NotEmpty => return Outcome::Refused,
            Error::NoAuth | Error::InvalidAcl => {
                return Outcome::Rejected(Rejection::Denied(format!("operation {index}: {error}")));
            }
            Error::QuotaExceeded => return Outcome::Rejected(Rejection::NoSpace),
            other => return Outcome::Unknown(other.to_string()),
        }
        // A key that should exist does not, or the folder of a new key does not.
        match make_folders(client, session, steps).await {
            Ok(true) => {}
            Ok(false) => return Outcome::Refused,
            Err(error) => return Outcome::Unknown(error.to_string()),
        }
    }
    Outcome::Refused
}

/// Whether a folder was missing. It matters to nobody if only this happens.
async fn make_folders(client: &Client, session: &Session, steps: &[Step]) -> Result<bool, StoreError> {
    let mut has_made = false;
    for step in steps {
        let Step::Put {
            key, version: None, ..
        } = step
        else {
            continue;
        };
        let folder = folder_of(key);
        let is_there = folder == "/"
            || within(CALL_MAX, client.check_stat(folder))
                .await?
                .map_err(store_error)?
                .is_some();
        if !is_there {
            let made = within(CALL_MAX, client.mkdir(folder, &session.folder_options())).await?;
            made.map_err(store_error)?;
            has_made = true;
        }
    }
    Ok(has_made)
}

type Sent = Result<Result<Vec<MultiWriteResult>, MultiWriteError>, Outcome>;

async fn send(client: &Client, session: &Session, steps: &[Step]) -> Sent {
    let mut writer = client.new_multi_writer();
    for step in steps {
        let added = match step {
            Step::Check {
                key,
                version: Some(version),
            } => writer.add_check_version(key, znode_version(*version)),
            // made and deleted again: the only way to say that it must not be there
            Step::Check { key, version: None } => writer
                .add_create(key, &[], &session.folder_options())
                .and_then(|()| writer.add_delete(key, None)),
            Step::Put {
                lease: Some(lease), ..
            } if *lease != lease_of(client) => return Err(Outcome::LeaseLost),
            Step::Put {
                key,
                version,
                value,
                lease: Some(_),
            } => {
                // An ephemeral znode stays its maker's, whoever writes to it.
                let deleted = version.map(|version| writer.add_delete(key, Some(znode_version(version))));
                deleted
                    .unwrap_or(Ok(()))
                    .and_then(|()| writer.add_create(key, value, &session.ephemeral_options()))
            }
            Step::Put {
                key,
                version: None,
                value,
                lease: None,
            } => writer.add_create(key, value, &session.folder_options()),
            Step::Put {
                key,
                version: Some(version),
                value,
                lease: None,
            } => writer.add_set_data(key, value, Some(znode_version(*version))),
            Step::Delete { key, version } => writer.add_delete(key, Some(znode_version(*version))),
        };
        if let Err(error) = added {
            return Err(Outcome::Rejected(Rejection::Denied(error.to_string())));
        }
    }
    let commit = writer.commit();
    match tokio::time::timeout(CALL_MAX, commit).await {
        Ok(result) => Ok(result),
        Err(_) => Err(Outcome::Unknown(format!(
            "no answer within {} ms",
            CALL_MAX.as_millis()
        ))),
    }
}

/// One result per step: of the operations that a step became, the last that made a version.
fn versions(steps: &[Step], results: Vec<MultiWriteResult>) -> Vec<Option<Version>> {
    let mut results = results.into_iter();
    let version_of = |result: Option<MultiWriteResult>| match result {
        Some(MultiWriteResult::SetData { stat }) => Some(Version(i64::from(stat.version))),
        // a new znode; its stat may be invalid (ZOOKEEPER-4026)
        Some(MultiWriteResult::Create { .. }) => Some(Version(0)),
        _ => None,
    };
    let mut versions = Vec::with_capacity(steps.len());
    for step in steps {
        let first = results.next();
        versions.push(match step {
            Step::Check { version: None, .. } => {
                results.next();
                None
            }
            Step::Check { version, .. } => *version,
            Step::Put {
                version: Some(_),
                lease: Some(_),
                ..
            } => version_of(results.next()),
            Step::Put { .. } => version_of(first),
            Step::Delete { .. } => None,
        });
    }
    versions
}
