//! The one type over the backends, and the contract they share.
//!
//! - **Order.** Batches have consecutive offsets; what is read is what was appended, once it is durable, in order, on every
//!   broker.
//! - **Fence.** [`MetaLog::lead`] begins a new controller epoch, greater than every earlier one; appends of an earlier
//!   epoch are refused from then on, and when it answers, [`MetaLog::end_offset`] is past everything that earlier epochs
//!   have appended or ever will.
//! - **Durability.** [`MetaLog::append`] answers when the batch survives the loss of power, of any one machine where the
//!   store has several. After a failed write the embedded log is closed for good ([`LogFault`]); nothing is tried twice.
//! - **No doubt.** An answer is certain: `Ok`, or an error that means that the batch is not and never will be in the log.
//!   Where a store leaves a write in doubt (a timeout, a lost connection), the backend finds out before it answers, however
//!   long the store is away; callers that cannot wait that long give up waiting, not the append.
//! - **Snapshots.** A snapshot says what all records below its offset amount to; records below it may be gone.
//! - **Watch.** [`MetaLog::wait_past`] answers when there is more to read.
//!
//! A handle is cheap to clone and belongs to the reactor it was opened on.

use std::path::PathBuf;

use engine::types::Offset;
use reactor::disk;
use thiserror::Error;
use uuid::Uuid;

use super::batch::LogBatch;
use super::embedded::{EmbeddedMetaLog, LOG_DIR};
use super::error::{AppendError, LogFault, OpenError, ReadError, SnapshotError};
use super::kraft::{QuorumConfig, QuorumMetaLog};
use super::kv::Store;
#[cfg(feature = "etcd")]
use super::kv::etcd::{EtcdConfig, EtcdStore};
use super::kv::memory::MemoryCluster;
#[cfg(feature = "zookeeper")]
use super::kv::zookeeper::{ZooKeeperConfig, ZooKeeperStore};
use super::shared::{self, SharedConfig, StoreMetaLog};
use crate::config::Endpoint;
use crate::image::ClusterImage;
use crate::record::{BrokerId, ControllerEpoch, DirectoryId, Record};

/// Which backend, and where it is.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// On this machine's disk; `dir` is the data directory, the log gets its own below it.
    Embedded { dir: PathBuf },
    #[cfg(feature = "etcd")]
    Etcd { etcd: EtcdConfig, shared: SharedConfig },
    #[cfg(feature = "zookeeper")]
    ZooKeeper {
        zookeeper: ZooKeeperConfig,
        shared: SharedConfig,
    },
    /// The members keep it among themselves.
    Quorum(QuorumConfig),
    /// Of the simulation, and of tests.
    Memory {
        cluster: MemoryCluster,
        shared: SharedConfig,
    },
}

/// This process, as the store and the other members of the cluster have to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: BrokerId,
    /// New for every start of the process.
    pub incarnation_id: Uuid,
    /// Where the other members reach its control thread.
    pub endpoint: Endpoint,
    /// The directories it holds the locks of. A member of the same id with the same directories is a successor: its predecessor
    /// is dead, whatever its lease says. One with other directories is a second broker of the same id.
    pub log_dirs: Vec<DirectoryId>,
    /// Which cluster its data belongs to; `None` when it has none yet.
    pub cluster_id: Option<String>,
}

impl Member {
    /// A member of a cluster that has its id.
    #[cfg(test)]
    pub fn for_tests(id: i32) -> Member {
        Member {
            id: BrokerId(id),
            incarnation_id: Uuid::from_u128(u128::from(id.unsigned_abs()) + 1000),
            endpoint: Endpoint {
                host: "localhost".to_owned(),
                port: 0,
            },
            log_dirs: vec![DirectoryId(Uuid::from_u128(u128::from(id.unsigned_abs()) + 2000))],
            cluster_id: Some("4L6g3nShT-eMCtK--X86sw".to_owned()),
        }
    }
}

/// Who is the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    pub controller: BrokerId,
    pub epoch: ControllerEpoch,
    /// Where its control thread is reached.
    pub endpoint: Endpoint,
}

/// Why a member did not become the controller.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LeadError {
    /// Somebody else was faster, or is alive after all.
    #[error("node {} is the controller in epoch {}", .0.controller, .0.epoch)]
    Taken(Leadership),
    /// The store does not answer, or has not got a majority. Worth another try.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Where a batch came to lie.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
}

/// Names a snapshot: it holds what all records below `end_offset` amount to, the last of them of `epoch`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    pub end_offset: Offset,
    pub epoch: ControllerEpoch,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub id: SnapshotId,
    pub records: Vec<Record>,
}

/// A store that is open.
pub struct Opened {
    pub log: MetaLog,
    pub cluster_id: String,
}

#[derive(Clone)]
pub enum MetaLog {
    Embedded(EmbeddedMetaLog),
    /// On a store that the members share.
    Shared(StoreMetaLog),
    /// On a quorum of the members.
    Quorum(QuorumMetaLog),
}

impl MetaLog {
    /// Opens the store, recovering what a crash left, and enters `member` into its registry, where it stays as long as this
    /// handle lives. A store on other machines is waited for. Answers with the cluster's id, which a new cluster gets here.
    pub async fn open(config: &StoreConfig, member: &Member) -> Result<Opened, OpenError> {
        match config {
            StoreConfig::Embedded { dir } => {
                if let Some(recorded) = shared::recorded_store(dir)? {
                    return Err(OpenError::OtherStore {
                        recorded,
                        configured: "embedded",
                    });
                }
                let log = EmbeddedMetaLog::open(dir, member.clone())?;
                Ok(Opened {
                    log: MetaLog::Embedded(log),
                    cluster_id: member.cluster_id.clone().unwrap_or_default(),
                })
            }
            #[cfg(feature = "etcd")]
            StoreConfig::Etcd { etcd, shared } => {
                let store = start(EtcdStore::start(etcd.clone()))?;
                MetaLog::open_shared(Store::Etcd(store), shared, member).await
            }
            #[cfg(feature = "zookeeper")]
            StoreConfig::ZooKeeper { zookeeper, shared } => {
                let store = start(ZooKeeperStore::start(zookeeper.clone(), shared.lease))?;
                MetaLog::open_shared(Store::ZooKeeper(store), shared, member).await
            }
            StoreConfig::Quorum(config) => {
                if let Some(recorded) = shared::recorded_store(&config.dir)? {
                    return Err(OpenError::OtherStore {
                        recorded,
                        configured: "quorum",
                    });
                }
                let (log, cluster_id) = QuorumMetaLog::open(config, member)?;
                Ok(Opened {
                    log: MetaLog::Quorum(log),
                    cluster_id,
                })
            }
            StoreConfig::Memory { cluster, shared } => {
                let store = Store::Memory(cluster.client(member.id.0));
                MetaLog::open_shared(store, shared, member).await
            }
        }
    }

    /// Whether this member keeps the log on its own disk, and so has to make snapshots of it itself; otherwise the
    /// controller makes them for all.
    pub fn is_local(&self) -> bool {
        match self {
            MetaLog::Embedded(_) | MetaLog::Quorum(_) => true,
            MetaLog::Shared(_) => false,
        }
    }

    async fn open_shared(store: Store, config: &SharedConfig, member: &Member) -> Result<Opened, OpenError> {
        let embedded = config.dir.as_ref().map(|dir| dir.join(LOG_DIR));
        if let Some(path) = embedded.filter(|path| disk::exists(path)) {
            return Err(OpenError::OtherStore {
                recorded: path.display().to_string(),
                configured: store.name(),
            });
        }
        let (log, cluster_id) = StoreMetaLog::open(store, config, member).await?;
        Ok(Opened {
            log: MetaLog::Shared(log),
            cluster_id,
        })
    }

    /// Waits until the log's end is one that the cluster had after this member opened it. What lies in this broker's directories
    /// must not be judged by an earlier state of the cluster: topics that it does not know would be taken for deleted.
    pub async fn caught_up(&self) -> Result<(), LogFault> {
        match self {
            MetaLog::Embedded(_) | MetaLog::Shared(_) => Ok(()),
            MetaLog::Quorum(log) => log.caught_up().await,
        }
    }

    /// The controller, as far as this member knows.
    pub fn controller(&self) -> Option<Leadership> {
        match self {
            MetaLog::Embedded(log) => log.controller(),
            MetaLog::Shared(log) => log.controller(),
            MetaLog::Quorum(log) => log.controller(),
        }
    }

    /// Answers with the controller once it is another one than `seen`, or another epoch.
    pub async fn controller_changed(&self, seen: Option<&Leadership>) -> Option<Leadership> {
        match self {
            MetaLog::Embedded(log) => log.controller_changed(seen).await,
            MetaLog::Shared(log) => log.controller_changed(seen).await,
            MetaLog::Quorum(log) => log.controller_changed(seen).await,
        }
    }

    /// Makes this member the controller in place of `predecessor`, whom the caller believes dead (`None`: there is none): begins an
    /// epoch and makes that durable. By compare-and-set, so it may be tried on mere suspicion; no lease is waited for. A
    /// quorum begins an election, whose winner may be another member.
    pub async fn lead(&self, predecessor: Option<ControllerEpoch>) -> Result<ControllerEpoch, LeadError> {
        match self {
            MetaLog::Embedded(log) => Ok(log.lead().await?),
            MetaLog::Shared(log) => log.lead(predecessor).await,
            MetaLog::Quorum(log) => log.lead(predecessor).await,
        }
    }

    /// Lets another member be the controller: this one stops.
    pub async fn resign(&self, epoch: ControllerEpoch) {
        match self {
            MetaLog::Embedded(_) => {}
            MetaLog::Shared(log) => log.resign(epoch).await,
            MetaLog::Quorum(log) => log.resign(epoch).await,
        }
    }

    /// Appends one batch under the controller's epoch; durable when this answers. At most [`super::BATCH_BYTES_MAX`]
    /// bytes: [`super::Plan`] cuts larger changes.
    pub async fn append(&self, epoch: ControllerEpoch, batch: &[Record]) -> Result<Appended, AppendError> {
        match self {
            MetaLog::Embedded(log) => log.append(epoch, batch).await,
            MetaLog::Shared(log) => log.append(epoch, batch).await,
            MetaLog::Quorum(log) => log.append(epoch, batch).await,
        }
    }

    /// Whole batches from the one that holds `from` on: about `max_bytes` of them, at least one if there is one.
    pub async fn read(&self, from: Offset, max_bytes: usize) -> Result<Vec<LogBatch>, ReadError> {
        match self {
            MetaLog::Embedded(log) => log.read(from, max_bytes),
            MetaLog::Shared(log) => log.read(from, max_bytes).await,
            MetaLog::Quorum(log) => log.read(from, max_bytes),
        }
    }

    /// The latest snapshot, to begin replaying with.
    pub async fn snapshot(&self) -> Result<Option<Snapshot>, OpenError> {
        match self {
            MetaLog::Embedded(log) => log.snapshot(),
            MetaLog::Shared(log) => log.snapshot().await,
            MetaLog::Quorum(log) => log.snapshot(),
        }
    }

    /// Makes a snapshot of `image`, then forgets the records behind it. Appends go on meanwhile.
    pub async fn write_snapshot(&self, image: ClusterImage) -> Result<SnapshotId, SnapshotError> {
        match self {
            MetaLog::Embedded(log) => log.write_snapshot(image).await,
            MetaLog::Shared(log) => log.write_snapshot(image).await,
            MetaLog::Quorum(log) => log.write_snapshot(image).await,
        }
    }

    /// The quorum that elected the last leader, as the log tells; empty when what is left of the log does not.
    pub fn voters(&self) -> Vec<BrokerId> {
        match self {
            MetaLog::Embedded(log) => log.voters(),
            // every member may lead
            MetaLog::Shared(_) => Vec::new(),
            MetaLog::Quorum(log) => log.voters(),
        }
    }

    /// What a cluster that has no records yet was formatted with, if it was.
    pub fn bootstrap_records(&self) -> Result<Option<Vec<Record>>, OpenError> {
        match self {
            MetaLog::Embedded(log) => log.bootstrap_records(),
            MetaLog::Shared(_) => Ok(None),
            MetaLog::Quorum(log) => log.bootstrap_records(),
        }
    }

    /// Bytes of log that a start has to replay after the latest snapshot.
    pub fn bytes_since_snapshot(&self) -> u64 {
        match self {
            MetaLog::Embedded(log) => log.bytes_since_snapshot(),
            MetaLog::Shared(log) => log.bytes_since_snapshot(),
            MetaLog::Quorum(log) => log.bytes_since_snapshot(),
        }
    }

    /// First offset that can be read.
    pub fn start_offset(&self) -> Offset {
        match self {
            MetaLog::Embedded(log) => log.start_offset(),
            MetaLog::Shared(log) => log.start_offset(),
            MetaLog::Quorum(log) => log.start_offset(),
        }
    }

    /// Offset the next batch gets; everything below is durable.
    pub fn end_offset(&self) -> Offset {
        match self {
            MetaLog::Embedded(log) => log.end_offset(),
            MetaLog::Shared(log) => log.end_offset(),
            MetaLog::Quorum(log) => log.end_offset(),
        }
    }

    /// Answers with the end offset once it lies past `offset`.
    pub async fn wait_past(&self, offset: Offset) -> Result<Offset, LogFault> {
        match self {
            MetaLog::Embedded(log) => log.wait_past(offset).await,
            MetaLog::Shared(log) => log.wait_past(offset).await,
            MetaLog::Quorum(log) => log.wait_past(offset).await,
        }
    }
}

#[cfg(any(feature = "etcd", feature = "zookeeper"))]
fn start<T>(started: std::io::Result<T>) -> Result<T, OpenError> {
    started.map_err(|source| OpenError::Io {
        operation: "starting a thread",
        path: PathBuf::from("the store's client"),
        source,
    })
}
