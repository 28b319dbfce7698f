//! The handle: what the contract of the metadata log asks.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine::types::Offset;
use reactor::{Task, disk};
use uuid::Uuid;

use super::disk_task::Op;
use super::election_state;
use super::files::{self, Files};
use super::host::Host;
use super::network::{QuorumNetwork, QuorumServer};
use crate::image::ClusterImage;
use crate::quorum::{Core, CoreConfig, Event, ReplicaKey, Timers, VoterSet};
use crate::record::{BrokerId, ControllerEpoch, DirectoryId, Record, UuidText};
use crate::store::batch::LogBatch;
use crate::store::embedded::{LOG_DIR, recover};
use crate::store::error::{AppendError, LogFault, OpenError, ReadError, SnapshotError};
use crate::store::meta_log::{Appended, LeadError, Leadership, Member, Snapshot, SnapshotId};

/// Where the quorum is.
#[derive(Clone, Debug)]
pub struct QuorumConfig {
    /// The data directory; the log gets its own below it.
    pub dir: PathBuf,
    /// The voters, until the log names others.
    pub voters: VoterSet,
    pub timers: Timers,
    pub network: Arc<dyn QuorumNetwork>,
}

/// How long [`QuorumMetaLog::lead`] waits for an election to end, in election timeouts.
const ELECTIONS_WAITED: u32 = 8;
/// How long a leader that resigns waits for its successor.
const SUCCESSOR_WAIT: Duration = Duration::from_millis(500);

/// Handle of this replica; the last one dropped ends it.
#[derive(Clone)]
pub struct QuorumMetaLog(Rc<Open>);

struct Open {
    host: Rc<Host>,
    election: Duration,
    tasks: [Task<()>; 2],
}

impl Drop for Open {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl QuorumMetaLog {
    /// Opens this member's replica and begins to take part. Answers with the cluster's id too: the member's own, or what
    /// all members make of the voters they were given.
    pub fn open(config: &QuorumConfig, member: &Member) -> Result<(QuorumMetaLog, String), OpenError> {
        let (files, log) = Files::open(config.dir.join(LOG_DIR))?;
        let state = election_state::load(&files.dir)?;
        let directory = member.log_dirs.first().copied().unwrap_or(DirectoryId::MIGRATING);
        let core_config = CoreConfig {
            node: ReplicaKey::new(member.id, directory),
            voters: config.voters.clone(),
            timers: config.timers.clone(),
            seed: reactor::random_u64(),
        };
        let core = Core::new(reactor::now(), core_config, state, log);
        let host = Host::new(member.clone(), core, files);
        let own_id = member.cluster_id.clone();
        let cluster_id = own_id.unwrap_or_else(|| cluster_id_of(&config.voters));
        let server = QuorumServer(Rc::downgrade(&host));
        let peers = config.network.open(server, &cluster_id);
        let _first = host.peers.set(peers);
        let tasks = [
            reactor::spawn(Host::watch_time(Rc::downgrade(&host))),
            reactor::spawn(Host::write_queue(Rc::downgrade(&host))),
        ];
        let election = config.timers.election + config.timers.fetch;
        let log = QuorumMetaLog(Rc::new(Open {
            host,
            election,
            tasks,
        }));
        Ok((log, cluster_id))
    }

    /// Waits until this replica knows everything that was committed before it was opened: until a record of the present leader's epoch
    /// is committed here. Before that its end may be any earlier one, even the log's beginning.
    pub async fn caught_up(&self) -> Result<(), LogFault> {
        let host = self.host();
        loop {
            let changed = host.changed.notified();
            if let Some(fault) = &*host.fault.borrow() {
                return Err(fault.clone());
            }
            {
                let committed = host.committed();
                let core = host.core.borrow();
                if core.leader().is_some()
                    && committed > core.log().start_offset()
                    && core.log().epoch_before(committed) == core.epoch()
                {
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    pub(super) fn host(&self) -> &Host {
        &self.0.host
    }

    /// This replica, for those who ask it.
    pub fn server(&self) -> QuorumServer {
        QuorumServer(Rc::downgrade(&self.0.host))
    }

    pub fn controller(&self) -> Option<Leadership> {
        self.host().controller()
    }

    pub async fn controller_changed(&self, seen: Option<&Leadership>) -> Option<Leadership> {
        loop {
            let changed = self.host().changed.notified();
            let controller = self.controller();
            if controller.as_ref() != seen {
                return controller;
            }
            changed.await;
        }
    }

    /// Waits until an election has a result; begins one if the leader is who the caller believes dead.
    pub async fn lead(&self, predecessor: Option<ControllerEpoch>) -> Result<ControllerEpoch, LeadError> {
        let host = self.host();
        let began = reactor::now();
        if let Some(epoch) = predecessor {
            host.step(Event::Suspect(epoch));
        }
        let decided = async {
            loop {
                let changed = host.changed.notified();
                if let Some(fault) = &*host.fault.borrow() {
                    return Err(AppendError::from(fault.clone()).into());
                }
                {
                    let core = host.core.borrow();
                    // Ready is seen by readers once this disk has it too.
                    let is_shown = core.log().durable() >= core.high_watermark();
                    if core.is_ready() && is_shown {
                        return Ok(core.epoch());
                    }
                    let is_other = core.leader().is_some_and(|leader| leader != host.member.id);
                    let is_alive = predecessor.is_none_or(|epoch| core.epoch() > epoch)
                        || core.has_heard_leader_since(began);
                    if is_other && is_alive {
                        drop(core);
                        if let Some(leadership) = host.controller() {
                            return Err(LeadError::Taken(leadership));
                        }
                    }
                }
                changed.await;
            }
        };
        let patience = self.0.election * ELECTIONS_WAITED;
        reactor::timeout(patience, decided).await.unwrap_or_else(|_| {
            Err(LeadError::Unavailable(
                "the voters of the quorum have not elected a leader".to_owned(),
            ))
        })
    }

    /// Waits a little for the successor: the process may end after this.
    pub async fn resign(&self, epoch: ControllerEpoch) {
        let seen = self.controller();
        self.host().step(Event::Resign(epoch));
        let succeeded = async {
            loop {
                let changed = self.host().changed.notified();
                if self.controller().is_some_and(|now| Some(&now) != seen.as_ref()) {
                    return;
                }
                changed.await;
            }
        };
        if self.host().core.borrow().voters().len() > 1
            && reactor::timeout(SUCCESSOR_WAIT, succeeded).await.is_err()
        {
            tracing::info!(epoch = epoch.0, "no successor yet");
        }
    }

    pub async fn append(&self, epoch: ControllerEpoch, records: &[Record]) -> Result<Appended, AppendError> {
        let answered = self.host().propose(epoch, records)?;
        match answered.await {
            Ok(answer) => answer,
            Err(_) => Err(self.fault("append", "the log was closed").into()),
        }
    }

    fn fault(&self, operation: &'static str, what: &str) -> LogFault {
        let known = self.host().fault.borrow().clone();
        known.unwrap_or_else(|| {
            let dir = self.host().files.borrow().dir.clone();
            LogFault::new(operation, &dir, &std::io::Error::other(what.to_owned()))
        })
    }

    pub fn read(&self, from: Offset, max_bytes: usize) -> Result<Vec<LogBatch>, ReadError> {
        let (log_start, end) = (self.start_offset(), self.end_offset());
        if from < log_start {
            return Err(ReadError::BehindLog { from, log_start });
        }
        if from > end {
            return Err(ReadError::PastEnd { from, end });
        }
        self.host().files.borrow().read(from, end, max_bytes)
    }

    pub fn snapshot(&self) -> Result<Option<Snapshot>, OpenError> {
        self.host().files.borrow().load_snapshot()
    }

    /// Each member makes its own, of what is committed.
    pub async fn write_snapshot(&self, image: ClusterImage) -> Result<SnapshotId, SnapshotError> {
        let host = self.host();
        let position = image.position();
        let id = SnapshotId {
            end_offset: position.offset.next(),
            epoch: position.epoch,
        };
        let end = self.end_offset();
        if id.end_offset > end {
            return Err(SnapshotError::PastEnd {
                offset: id.end_offset,
                end,
            });
        }
        let path = host.files.borrow().snapshot_path(id);
        let io = |operation, source| SnapshotError::Io {
            operation,
            path: path.clone(),
            source,
        };
        if host.files.borrow().snapshot.is_some_and(|known| known >= id) {
            return Ok(id);
        }
        let (done, begun) = reactor::oneshot();
        host.queue.borrow_mut().push_back(Op::Begin {
            done: std::cell::RefCell::new(Some(done)),
        });
        host.queued.notify_waiters();
        match begun.await {
            Ok(begun) => begun.map_err(|source| io("creation", source))?,
            Err(_) => return Err(io("creation", std::io::Error::other("the log was closed"))),
        }
        let voters = host.core.borrow().log().voters_at(id.end_offset).cloned();
        let target = path.clone();
        let written = reactor::background(move || {
            let bytes = files::encode_snapshot(id, voters.as_ref(), &image.to_records())?;
            disk::write_atomic(&target, &bytes).map_err(|source| SnapshotError::Io {
                operation: "write",
                path: target,
                source,
            })
        });
        written.await?;
        // The leader's may have come meanwhile, and be newer.
        if host.files.borrow().snapshot.is_some_and(|known| known >= id) {
            return Ok(id);
        }
        let log_start = host
            .files
            .borrow_mut()
            .snapshot_written(id)
            .map_err(|source| io("removal", source))?;
        host.step(Event::SnapshotWritten { id, log_start });
        Ok(id)
    }

    pub fn voters(&self) -> Vec<BrokerId> {
        self.host().core.borrow().voters().ids().collect()
    }

    pub fn bootstrap_records(&self) -> Result<Option<Vec<Record>>, OpenError> {
        recover::load_bootstrap(&self.host().files.borrow().dir)
    }

    pub fn bytes_since_snapshot(&self) -> u64 {
        self.host().files.borrow().size_bytes()
    }

    pub fn start_offset(&self) -> Offset {
        let host = self.host();
        let start = host.core.borrow().log().start_offset();
        start.max(host.files.borrow().start())
    }

    /// Everything below is committed, and on this disk.
    pub fn end_offset(&self) -> Offset {
        self.host().committed()
    }

    pub async fn wait_past(&self, offset: Offset) -> Result<Offset, LogFault> {
        loop {
            let changed = self.host().changed.notified();
            let end = self.end_offset();
            if end > offset {
                return Ok(end);
            }
            if let Some(fault) = &*self.host().fault.borrow() {
                return Err(fault.clone());
            }
            changed.await;
        }
    }
}

/// The same for all who were given the same voters: a name, 128 bits of FNV-1a over what they were given.
fn cluster_id_of(voters: &VoterSet) -> String {
    let text = voters.to_string();
    let mut bits: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    loop {
        for byte in text.bytes() {
            bits = (bits ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
        // spread over all bits: the multiplication carries upwards only
        let mixed = bits ^ bits.rotate_left(64) ^ bits.rotate_left(31);
        if let Some(id) = UuidText::from_random(mixed) {
            return UuidText(Uuid::from_u128(id.as_u128())).to_string();
        }
    }
}
