//! One partition that this shard leads: its log, its high watermark, and the fetches that wait for it.
//!
//! Timeline of an append, which prevents the loss of an acknowledged record and the reading of one that may vanish:
//! append (page cache, offsets given) -> commit (on stable storage) -> high watermark moves -> waiting fetches look ->
//! the producer is answered. Nobody sees a record before it would survive a crash.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use control::config::TopicConfig;
use control::image::ClusterImage;
use control::record::PartitionId as PartitionIndex;
use engine::batch::{self, BatchError, BatchInfo};
use engine::log::{AppendContext, Appended, DiskFault, Log, ReadError, ReadSlice};
use engine::types::{LeaderEpoch, Offset, Timestamp};
use reactor::Instant;
use uuid::Uuid;

use crate::log_dirs::DirIndex;
use crate::produce_error::ProduceError;
use crate::purgatory::{FetchWaiter, Watchers};

/// A partition's name and id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionId {
    pub topic: Arc<str>,
    pub topic_id: Uuid,
    pub index: i32,
}

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Client,
    /// A group coordinator of this broker, writing its own records.
    Coordinator,
}

impl Origin {
    pub fn of_batch(self) -> batch::Origin {
        match self {
            Origin::Client => batch::Origin::Client,
            Origin::Coordinator => batch::Origin::Coordinator,
        }
    }
}

/// Counts for `/metrics`, per topic and shard.
#[derive(Debug, Default)]
pub struct Figures {
    pub bytes_in: Cell<u64>,
    pub messages_in: Cell<u64>,
    pub bytes_out: Cell<u64>,
    pub messages_out: Cell<u64>,
}

/// A partition led by this shard.
pub struct Partition {
    pub id: PartitionId,
    pub log: Log,
    figures: Rc<Figures>,
    dir: DirIndex,
    leader_epoch: Cell<i32>,
    config: RefCell<Arc<TopicConfig>>,
    watchers: RefCell<Watchers>,
    /// (end offset, bytes) of appends above the high watermark, oldest first; bounded by the requests in flight.
    unreadable: RefCell<VecDeque<(Offset, i64)>>,
    max_decompressed_bytes: usize,
    committing_unawaited: Cell<bool>,
    usage: Usage,
    works: Cell<u32>,
    /// What the log was like when it was opened as the last close had left it.
    as_found: Option<Extent>,
}

/// When somebody used the partition last, to the second: a count is cheaper than a clock on the way of every request.
#[derive(Debug)]
struct Usage {
    count: Cell<u64>,
    count_seen: Cell<u64>,
    idle_since: Cell<Instant>,
}

/// See [`Partition::work_on`].
pub struct AtWork<'a>(&'a Cell<u32>);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What any change of a log changes.
#[derive(Debug, PartialEq, Eq)]
struct Extent {
    start: Offset,
    end: Offset,
    cleaned: Option<Offset>,
    latest_epoch: Option<LeaderEpoch>,
    segment_count: usize,
}

impl Extent {
    fn of(log: &Log) -> Extent {
        Extent {
            start: log.start_offset(),
            end: log.end_offset(),
            cleaned: log.cleaned_offset(),
            latest_epoch: log.latest_epoch(),
            segment_count: log.segment_count(),
        }
    }
}

impl Partition {
    pub fn new(
        id: PartitionId,
        log: Log,
        leader_epoch: i32,
        config: Arc<TopicConfig>,
        max_decompressed_bytes: usize,
    ) -> Partition {
        let partition = Partition {
            id,
            log,
            figures: Rc::default(),
            dir: DirIndex::FIRST,
            leader_epoch: Cell::new(leader_epoch),
            config: RefCell::new(config),
            watchers: RefCell::default(),
            unreadable: RefCell::default(),
            max_decompressed_bytes,
            committing_unawaited: Cell::new(false),
            usage: Usage {
                count: Cell::new(0),
                count_seen: Cell::new(0),
                idle_since: Cell::new(reactor::now()),
            },
            works: Cell::new(0),
            as_found: None,
        };
        partition.log.begin_epoch(LeaderEpoch(leader_epoch));
        partition.advance();
        partition
    }

    pub fn in_directory(self, dir: DirIndex) -> Partition {
        Partition { dir, ..self }
    }

    pub fn counted_in(self, figures: Rc<Figures>) -> Partition {
        Partition { figures, ..self }
    }

    /// The files are as [`Log::close`] left them. As long as nothing changes, they need no closing.
    pub fn left_clean(self, clean: bool) -> Partition {
        let as_found = clean.then(|| Extent::of(&self.log));
        Partition { as_found, ..self }
    }

    pub fn dir(&self) -> DirIndex {
        self.dir
    }

    /// Somebody uses it.
    pub fn used(&self) {
        self.usage.count.set(self.usage.count.get() + 1);
    }

    pub fn was_never_used(&self) -> bool {
        self.usage.count.get() == 0
    }

    /// Something that takes long begins to work on the log: as long as this is kept, the partition is not moved.
    pub fn work_on(&self) -> AtWork<'_> {
        self.works.set(self.works.get() + 1);
        AtWork(&self.works)
    }

    pub fn is_worked_on(&self) -> bool {
        self.works.get() > 0
    }

    /// Notes whether it was used since the last look.
    pub fn look(&self) {
        let count = self.usage.count.get();
        if self.usage.count_seen.replace(count) != count {
            self.usage.idle_since.set(reactor::now());
        }
    }

    /// How long nobody has used it, as far as [`Partition::look`] knows.
    pub fn idle_for(&self, now: Instant) -> Duration {
        if self.usage.count_seen.get() != self.usage.count.get() {
            return Duration::ZERO;
        }
        now.saturating_since(self.usage.idle_since.get())
    }

    /// Nothing is on its way to the disk, and nobody waits for records.
    pub fn is_at_rest(&self) -> bool {
        self.log.committed_offset() == self.log.end_offset()
            && self.log.fault().is_none()
            && !self.committing_unawaited.get()
            && self.watchers.borrow_mut().is_empty()
    }

    /// The log can be let go without closing it: its files are as they were found.
    pub fn is_as_found(&self) -> bool {
        self.as_found.as_ref() == Some(&Extent::of(&self.log))
    }

    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch.get()
    }

    pub fn set_leader_epoch(&self, epoch: i32) {
        self.leader_epoch.set(epoch);
        self.log.begin_epoch(LeaderEpoch(epoch));
    }

    pub fn config(&self) -> Arc<TopicConfig> {
        self.config.borrow().clone()
    }

    pub fn set_config(&self, config: Arc<TopicConfig>, log_config: Rc<engine::log::LogConfig>) {
        *self.config.borrow_mut() = config;
        self.log.set_config(log_config);
    }

    /// The ordered part of a produce: checks one batch, gives it offsets, writes it. Synchronous, so that the order of
    /// calls is the order in the log. The caller then awaits [`Partition::commit`] before it answers.
    pub fn append(&self, mut records: BytesMut, origin: Origin) -> Result<Appended, ProduceError> {
        let config = self.config();
        let now = Timestamp(reactor::wall_ms());
        let mut info = batch::validate(&records, &self.limits(&config, now, origin))?;
        if origin == Origin::Client && info.is_transactional {
            return Err(ProduceError::Transactional);
        }
        self.recompress(&mut records, &mut info, &config)?;
        let size = records.len();
        let context = AppendContext {
            leader_epoch: LeaderEpoch(self.leader_epoch.get()),
            origin: origin.of_batch(),
            now,
        };
        let appended = self.log.append(records, &info, &context)?;
        if !appended.duplicate {
            self.unreadable
                .borrow_mut()
                .push_back((appended.commit_offset(), size as i64));
            add(&self.figures.bytes_in, size as u64);
            add(
                &self.figures.messages_in,
                u64::try_from(info.record_count).unwrap_or(0),
            );
        }
        Ok(appended)
    }

    fn limits(&self, config: &TopicConfig, now: Timestamp, origin: Origin) -> batch::Limits {
        crate::topic_config::batch_limits(config, now, origin, self.max_decompressed_bytes)
    }

    /// Gives the batch the codec that the topic demands (invariant 6). As in Kafka it must keep within `max.message.bytes` as it is
    /// stored, too: what was small because it was compressed may not be stored large.
    fn recompress(
        &self,
        records: &mut BytesMut,
        info: &mut BatchInfo,
        config: &TopicConfig,
    ) -> Result<(), ProduceError> {
        let Some(wanted) =
            crate::topic_config::recompression(config).filter(|wanted| wanted.codec != info.codec)
        else {
            return Ok(());
        };
        let (batch, _) = batch::Batch::split_first(records)?;
        *records = batch::recompress(&batch, wanted, self.max_decompressed_bytes)?;
        let max_bytes = config.max_message_bytes as usize;
        if records.len() > max_bytes {
            return Err(BatchError::TooLarge {
                size_bytes: records.len(),
                max_bytes,
            }
            .into());
        }
        info.size_bytes = records.len();
        info.codec = wanted.codec;
        Ok(())
    }

    /// Waits until everything below `up_to` is on stable storage, then lets consumers see it.
    pub async fn commit(&self, up_to: Offset) -> Result<(), DiskFault> {
        let result = self.log.commit(up_to).await;
        match &result {
            Ok(()) => self.advance(),
            Err(_) => self.watchers.borrow_mut().fire_all(),
        }
        result
    }

    /// Commits what was appended for nobody in particular (acks=0): one task per partition however many producers do not wait.
    pub fn commit_unawaited(self: &Rc<Partition>) {
        if self.committing_unawaited.replace(true) {
            return;
        }
        let partition = self.clone();
        let until_all_is_durable = async move {
            while partition.log.committed_offset() < partition.log.end_offset() {
                if let Err(fault) = partition.commit(partition.log.end_offset()).await {
                    tracing::error!(topic = %partition.id.topic, partition = partition.id.index, %fault, "commit");
                    break;
                }
            }
            partition.committing_unawaited.set(false);
        };
        reactor::spawn(until_all_is_durable).detach();
    }

    /// Moves the high watermark up to what is on stable storage and wakes the fetches that this satisfies.
    fn advance(&self) {
        let flushed = self.log.committed_offset();
        if flushed <= self.log.high_watermark() {
            return;
        }
        self.log.set_high_watermark(flushed);
        let mut readable = 0;
        let mut unreadable = self.unreadable.borrow_mut();
        while let Some((end, bytes)) = unreadable.front()
            && *end <= flushed
        {
            readable += bytes;
            unreadable.pop_front();
        }
        drop(unreadable);
        self.watchers.borrow_mut().readable(readable);
    }

    /// Reads whole batches below `below`, at least one if there is any. What it reads counts as sent.
    pub fn read(&self, from: Offset, max_bytes: u32, below: Offset) -> Result<ReadSlice, ReadError> {
        let slice = self.log.read(from, max_bytes, below, true)?;
        add(&self.figures.bytes_out, u64::from(slice.bytes));
        add(
            &self.figures.messages_out,
            u64::try_from(slice.next_offset.0 - from.0).unwrap_or(0),
        );
        Ok(slice)
    }

    /// acks=all needs `min.insync.replicas` copies.
    pub fn check_in_sync(&self, image: &ClusterImage) -> Result<(), ProduceError> {
        let minimum = self.config().min_insync_replicas;
        let in_sync = image
            .partition(self.id.topic_id, PartitionIndex(self.id.index))
            .map_or(0, |partition| partition.isr.len());
        if in_sync < minimum as usize {
            Err(ProduceError::NotEnoughReplicas { in_sync, minimum })
        } else {
            Ok(())
        }
    }

    /// Registers a fetch that found too little; it is told of every byte that becomes readable from now on.
    pub fn watch(&self, waiter: Arc<FetchWaiter>) {
        self.watchers.borrow_mut().watch(waiter);
    }

    /// Lets every waiting fetch look again: the log start moved, the partition is deleted, the directory failed.
    pub fn wake_waiters(&self) {
        self.watchers.borrow_mut().fire_all();
    }
}

pub fn add(cell: &Cell<u64>, n: u64) {
    cell.set(cell.get() + n);
}

#[cfg(test)]
pub mod tests {
    use control::config::{BrokerConfig, ConfigView, Overrides, Settings};
    use engine::batch::{BatchBuilder, Codec, Compression};
    use engine::log::OpenState;

    use super::*;

    /// A partition of a topic that stores batches uncompressed, at most 2,000 bytes each.
    async fn uncompressed(dir: &std::path::Path) -> Partition {
        let (broker, _) = BrokerConfig::from_settings(Settings::default()).unwrap();
        let own = [
            ("compression.type", "uncompressed"),
            ("max.message.bytes", "2000"),
        ];
        let own: Overrides = own
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        let none = Overrides::new();
        let config = ConfigView::new(&broker, &none, &none).topic(&own);
        let (log, _) = Log::open(&dir.join("t-0"), Rc::default(), OpenState::default(), None)
            .await
            .unwrap();
        let id = PartitionId {
            topic: "t".into(),
            topic_id: Uuid::from_u128(1),
            index: 0,
        };
        Partition::new(id, log, 0, Arc::new(config), 1 << 20)
    }

    /// A partition to be looked at.
    pub async fn partition(dir: &std::path::Path) -> Partition {
        uncompressed(dir).await
    }

    fn gzipped(value_bytes: usize) -> BatchBuilder {
        let mut batch = BatchBuilder::new(Offset(0)).compression(Compression {
            codec: Codec::Gzip,
            level: None,
        });
        batch.append(Timestamp(reactor::wall_ms()), None, Some(&vec![0; value_bytes]));
        batch
    }

    /// Breaks in production: a megabyte that is small only as gzip is stored where consumers expect no more than
    /// `max.message.bytes`; and the log must be told the size that is stored.
    #[test]
    fn a_recompressed_batch_keeps_within_max_message_bytes() {
        let temp = tempfile::tempdir().unwrap();
        reactor::run(reactor::Config::default(), async {
            let partition = uncompressed(temp.path()).await;
            let small = partition
                .append(gzipped(1000).build().unwrap(), Origin::Client)
                .unwrap();
            partition.commit(small.commit_offset()).await.unwrap();
            assert!(partition.log.size_bytes() > 1000);
            let large = partition.append(gzipped(100_000).build().unwrap(), Origin::Client);
            assert!(
                matches!(
                    large,
                    Err(ProduceError::Batch(BatchError::TooLarge { max_bytes: 2000, .. }))
                ),
                "{large:?}"
            );
        })
        .unwrap();
    }

    /// Breaks in production: one hostile batch keeps read_committed consumers of a partition in front of it for ever.
    #[test]
    fn a_transactional_batch_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        reactor::run(reactor::Config::default(), async {
            let partition = uncompressed(temp.path()).await;
            let refused = partition.append(gzipped(10).transactional().build().unwrap(), Origin::Client);
            assert!(matches!(refused, Err(ProduceError::Transactional)), "{refused:?}");
            assert_eq!(partition.log.end_offset(), Offset(0));
        })
        .unwrap();
    }
    /// Breaks in production: retention takes all records, the broker starts again, and consumers that stand at the end, with the
    /// epoch of the last record they had, are told at once and again and again that their log is another one.
    #[test]
    fn an_empty_log_knows_the_epoch_it_is_led_in() {
        let temp = tempfile::tempdir().unwrap();
        reactor::run(reactor::Config::default(), async {
            let partition = uncompressed(temp.path()).await;
            assert_eq!(
                partition.log.offset_for_leader_epoch(LeaderEpoch(0)),
                Some((LeaderEpoch(0), Offset(0)))
            );
            partition.set_leader_epoch(3);
            partition.set_leader_epoch(2); // an older image must not take it back
            assert_eq!(partition.log.latest_epoch(), Some(LeaderEpoch(3)));
        })
        .unwrap();
    }
}
