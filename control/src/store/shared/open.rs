//! Opening: whose store it is, whether it is the one we know, and our entry into it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use engine::log::partition_metadata::to_base64;
use engine::types::Offset;
use uuid::Uuid;

use super::follow;
use super::keys::Keys;
use super::log::{Patience, Shared, State, StoreMetaLog};
use super::position::{Position, PositionFile};
use super::registration;
use super::value::{self, Epochs, Head, SnapshotHead};
use crate::record::UuidText;
use crate::store::error::OpenError;
use crate::store::kv::{KeyRange, KeyValue, Order, Outcome, Rejection, Step, Store, StoreError, Transaction};
use crate::store::meta_log::Member;

/// How a store is used, whichever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedConfig {
    /// Before each key.
    pub prefix: String,
    /// How long the store keeps a silent member registered.
    pub lease: Duration,
    /// The data directory: how far the log was followed is noted there. `None`: nowhere.
    pub dir: Option<PathBuf>,
}

/// Keys looked at to find out whether anybody else uses the prefix.
const FOREIGN_KEYS: usize = 100;

impl StoreMetaLog {
    /// See [`crate::store::MetaLog::open`]. The cluster's id comes with it.
    pub async fn open(
        store: Store,
        config: &SharedConfig,
        member: &Member,
    ) -> Result<(Self, String), OpenError> {
        let keys = Keys::new(&config.prefix);
        let known = match &config.dir {
            Some(dir) => Position::load(dir)?,
            None => None,
        };
        if let Some(known) = &known
            && known.store != store.name()
        {
            return Err(OpenError::OtherStore {
                recorded: known.store.clone(),
                configured: store.name(),
            });
        }
        let cluster_id = cluster_id(&store, &keys, member, known.as_ref()).await?;
        let (head, epochs) = log(&store, &keys, known.as_ref()).await?;
        let snapshot = match read(&store, &keys.snapshot_head()).await? {
            Some(found) => {
                let head = SnapshotHead::decode(&found.value);
                let head = head.map_err(|what| OpenError::Value {
                    key: keys.snapshot_head(),
                    what,
                })?;
                Some((head, found.version))
            }
            None => None,
        };
        let lease = registration::enter(&store, &keys, member, config.lease).await?;
        let state = State {
            end_offset: head.offset,
            end_cost: head.cost,
            log_id: head.log_id,
            cached: VecDeque::new(),
            cached_bytes: 0,
            epochs,
            controller: None,
            leads: None,
            snapshot,
            lease,
            fault: None,
            generation: 0,
        };
        let shared = Rc::new(Shared::new(store, keys, member.clone(), config.lease, state));
        let after = shared.catch_up().await.map_err(|fault| OpenError::Value {
            key: fault.path.display().to_string(),
            what: super::ValueError::Content(fault.cause.to_string()),
        })?;
        let mut tasks = vec![
            reactor::spawn(follow::run(Rc::clone(&shared), after)),
            reactor::spawn(registration::run(Rc::clone(&shared))),
        ];
        let position = config.dir.as_deref().map(PositionFile::new);
        if let Some(position) = &position {
            tasks.push(reactor::spawn(position.clone().run(Rc::clone(&shared))));
        }
        Ok((StoreMetaLog::new(shared, tasks, position), cluster_id))
    }
}

/// Reads the cluster's id, or founds the cluster.
async fn cluster_id(
    store: &Store,
    keys: &Keys,
    member: &Member,
    known: Option<&Position>,
) -> Result<String, OpenError> {
    let key = keys.cluster_id();
    let mut patience = Patience::default();
    loop {
        if let Some(found) = read(store, &key).await? {
            let found =
                value::decode_cluster_id(&found.value).map_err(|what| OpenError::Value { key, what })?;
            return match &member.cluster_id {
                Some(own) if *own != found => Err(OpenError::OtherCluster {
                    own: own.clone(),
                    found,
                }),
                _ => Ok(found),
            };
        }
        if let Some(foreign) = foreign_key(store, keys).await? {
            // or the cluster was founded since the first look
            if read(store, &key).await?.is_some() {
                continue;
            }
            return Err(OpenError::ForeignKeys { key: foreign });
        }
        if let Some(known) = known {
            return Err(OpenError::WentBack {
                own: known.end_offset,
                found: Offset::ZERO,
            });
        }
        let id = match &member.cluster_id {
            Some(id) => id.clone(),
            None => to_base64(new_id()),
        };
        match store.transact(&foundation(keys, &id)).await {
            // What became of it is read, whatever was said.
            Outcome::Done(_) | Outcome::Refused => {}
            Outcome::Unknown(why) => patience.pause(&why).await,
            Outcome::Rejected(Rejection::Denied(why)) => {
                return Err(OpenError::Store(StoreError::Refused(why)));
            }
            Outcome::Rejected(rejection) => patience.pause(&format!("{rejection:?}")).await,
            Outcome::LeaseLost => {}
        }
    }
}

fn foundation(keys: &Keys, id: &str) -> Transaction {
    let head = Head {
        log_id: new_id(),
        offset: Offset::ZERO,
        cost: 0,
    };
    let values = [
        (keys.cluster_id(), value::encode_cluster_id(id)),
        (keys.controller_epoch(), Epochs::default().encode()),
        (keys.log_head(), head.encode()),
    ];
    let steps = values.map(|(key, value)| Step::Put {
        key,
        version: None,
        value,
        lease: None,
    });
    Transaction { steps: steps.into() }
}

/// A key with a value under the prefix. (ZooKeeper has folders too, without values.)
async fn foreign_key(store: &Store, keys: &Keys) -> Result<Option<String>, OpenError> {
    let found = read_range(store, &keys.all(), FOREIGN_KEYS).await?;
    Ok(found
        .into_iter()
        .find(|found| !found.value.is_empty())
        .map(|found| found.key))
}

/// The log's head and epochs, if they are those of the log that we know.
async fn log(store: &Store, keys: &Keys, known: Option<&Position>) -> Result<(Head, Epochs), OpenError> {
    let missing = |key: String| OpenError::Value {
        key,
        what: super::ValueError::Field("the value"),
    };
    let key = keys.log_head();
    let found = read(store, &key).await?.ok_or_else(|| missing(key.clone()))?;
    let head = Head::decode(&found.value).map_err(|what| OpenError::Value { key, what })?;
    let key = keys.controller_epoch();
    let found = read(store, &key).await?.ok_or_else(|| missing(key.clone()))?;
    let epochs = Epochs::decode(&found.value).map_err(|what| OpenError::Value { key, what })?;
    if let Some(known) = known {
        let own = known.end_offset;
        if head.log_id != known.log_id {
            return Err(OpenError::OtherLog { own });
        }
        if head.offset < own {
            return Err(OpenError::WentBack {
                own,
                found: head.offset,
            });
        }
        // Restored, and written since: the records we know were written in another epoch than those that lie there now.
        let there = epochs.at(Offset(own.0 - 1));
        if let (Some(here), Some(there)) = (known.attempt, there)
            && here != there.attempt
        {
            return Err(OpenError::OtherLog { own });
        }
    }
    Ok((head, epochs))
}

/// However long the store is away; not if it does not let us.
async fn read(store: &Store, key: &str) -> Result<Option<KeyValue>, OpenError> {
    let mut patience = Patience::default();
    loop {
        match store.get(key).await {
            Ok(found) => return Ok(found),
            Err(error @ StoreError::Unavailable(_)) => patience.wait(&error).await,
            Err(error @ StoreError::Refused(_)) => return Err(OpenError::Store(error)),
        }
    }
}

async fn read_range(store: &Store, range: &KeyRange, limit: usize) -> Result<Vec<KeyValue>, OpenError> {
    let mut patience = Patience::default();
    loop {
        match store.range(range, Order::Ascending, limit).await {
            Ok(found) => return Ok(found.entries),
            Err(error @ StoreError::Unavailable(_)) => patience.wait(&error).await,
            Err(error @ StoreError::Refused(_)) => return Err(OpenError::Store(error)),
        }
    }
}

fn new_id() -> Uuid {
    UuidText::new_id(&mut reactor::random_u64)
}
