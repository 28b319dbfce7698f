//! Reading for one fetch: every partition on the shard that owns it, and waiting there when there is too little.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine::log::{AbortedTransaction, Absent, Reach, ReadError, ReadSlice};
use engine::planted::{self, Bug};
use engine::types::{LeaderEpoch, Offset};
use net::error::ErrorCode;
use reactor::Piece;

use crate::api::locate;
use crate::fetch_session::FetchSpec;
use crate::partition::Partition;
use crate::purgatory::FetchWaiter;
use crate::shard::{PartitionKey, Shard, ShardGone, scatter};

/// What a fetch asks for as a whole.
#[derive(Clone, Debug)]
pub struct FetchBounds {
    pub min_bytes: i32,
    pub max_bytes: u32,
    pub max_wait: Duration,
    pub read_committed: bool,
    /// The client's, where consumers are sent to a replica of their rack (KIP-392).
    pub rack: Option<Arc<str>>,
}

impl FetchBounds {
    /// What is worth waiting for: no more than may be answered. 0: answer at once.
    fn wanted_bytes(&self) -> i64 {
        i64::from(self.min_bytes).clamp(0, i64::from(self.max_bytes))
    }
}

/// What one partition answers.
#[derive(Debug)]
pub struct PartitionRead {
    pub code: ErrorCode,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    pub records: Vec<Piece>,
    pub bytes: u32,
    /// With read_committed: transactions whose records may be among `records` and never happened.
    pub aborted: Vec<AbortedTransaction>,
    /// Who the client should read from instead (KIP-392).
    pub preferred_replica: Option<i32>,
    /// Where the client's log and ours part (KIP-595): our (epoch, end offset) of the epoch that it named.
    pub diverging: Option<(i32, i64)>,
    /// See [`is_unsettled`].
    pub is_withheld: bool,
}

impl PartitionRead {
    pub fn refused(code: ErrorCode) -> PartitionRead {
        PartitionRead {
            code,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            records: Vec::new(),
            bytes: 0,
            aborted: Vec::new(),
            preferred_replica: None,
            diverging: None,
            is_withheld: false,
        }
    }

    /// What is known is less than the reader may have been told before.
    fn withhold(&mut self) {
        let refused = PartitionRead::refused(ErrorCode::OffsetNotAvailable);
        *self = PartitionRead {
            is_withheld: true,
            ..refused
        };
    }

    /// Something that the client should hear of now rather than after `max_wait`.
    fn is_urgent(&self) -> bool {
        self.code != ErrorCode::None || self.diverging.is_some() || self.preferred_replica.is_some()
    }
}

/// A partition to read, or why it cannot be.
pub type Target = (Result<PartitionKey, ErrorCode>, FetchSpec);

/// Reads all `targets`; if that is less than `min_bytes` and nothing is urgent, waits for more up to `max_wait`, then reads again.
/// Results come in the order of `targets` and stay within `max_bytes`, but for a first batch that is larger.
///
/// What the second look finds is the answer, however little: of two partitions that hold enough together only one may
/// fit into `max_bytes`, and looking until it were enough would never end, nor let another task run.
pub async fn read(
    shard: &Rc<Shard>,
    targets: &[Target],
    bounds: FetchBounds,
) -> Result<Vec<PartitionRead>, ShardGone> {
    let wanted_bytes = bounds.wanted_bytes();
    if wanted_bytes == 0 || bounds.max_wait.is_zero() || targets.is_empty() {
        return read_once(shard, targets, &bounds, None).await;
    }
    let deadline = reactor::now() + bounds.max_wait;
    let (waiter, woken) = FetchWaiter::new(wanted_bytes);
    let mut reads = read_once(shard, targets, &bounds, Some(waiter.clone())).await?;
    let found: i64 = reads.iter().map(|read| i64::from(read.bytes)).sum();
    if found >= wanted_bytes || reads.iter().any(PartitionRead::is_urgent) {
        let withheld = reads.iter_mut().filter(|read| read.is_withheld);
        withheld.for_each(PartitionRead::withhold);
        return Ok(reads);
    }
    {
        let _waiting = Waiting::new(shard);
        let _woken_or_late = reactor::timeout(deadline.saturating_since(reactor::now()), woken).await;
    }
    read_once(shard, targets, &bounds, None).await
}

/// Counts a waiting fetch, also one that is dropped because its client went.
struct Waiting<'a>(&'a Cell<u64>);

impl Waiting<'_> {
    fn new(shard: &Shard) -> Waiting<'_> {
        let count = &shard.metrics.fetches_waiting;
        count.set(count.get() + 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn read_once(
    shard: &Rc<Shard>,
    targets: &[Target],
    bounds: &FetchBounds,
    waiter: Option<Arc<FetchWaiter>>,
) -> Result<Vec<PartitionRead>, ShardGone> {
    let asked = targets
        .iter()
        .filter_map(|(key, spec)| key.as_ref().ok().map(|key| (*key, *spec)));
    let items = asked
        .map(|(key, spec)| (key, (spec, bounds.clone(), waiter.clone())))
        .collect();
    let mut done = scatter(shard, items, read_partition).await?.into_iter();
    let mut left = bounds.max_bytes;
    let mut has_records = false;
    let mut reads = Vec::with_capacity(targets.len());
    for (key, _) in targets {
        let mut read = match key {
            Ok(_) => done.next().ok_or(ShardGone)?,
            Err(code) => PartitionRead::refused(*code),
        };
        // Each partition was read as if it were alone; what does not fit behind the ones before it is left for the next fetch.
        if read.bytes > left && has_records {
            read.records.clear();
            read.bytes = 0;
        }
        has_records |= read.bytes > 0;
        left = left.saturating_sub(read.bytes);
        reads.push(read);
    }
    Ok(reads)
}

type Ask = (FetchSpec, FetchBounds, Option<Arc<FetchWaiter>>);

/// Pages that are fetched for one read before the shard waits for the disk after all: an index and a header need a few, more only if
/// the page cache has no room left.
const ABSENT_MAX: u32 = 32;

async fn read_partition(shard: Rc<Shard>, key: PartitionKey, (spec, bounds, waiter): Ask) -> PartitionRead {
    let mut tries = 0;
    loop {
        let partition = match shard.partition(&key).await {
            Ok(partition) => partition,
            Err(code) => return PartitionRead::refused(code),
        };
        let closer = bounds
            .rack
            .as_deref()
            .and_then(|rack| closest_replica(&shard, &partition, rack, Offset(spec.fetch_offset)));
        let reach = if tries < ABSENT_MAX {
            Reach::Memory
        } else {
            Reach::Disk
        };
        match read_here(&partition, &spec, &bounds, waiter.clone(), closer, reach) {
            Ok(read) => return read,
            // rare, and large where hundreds of partitions are read at once
            Err(absent) => Box::pin(absent.fetch()).await,
        }
        tries += 1;
    }
}

/// Looks and, in the same breath, registers for what comes after the look: no append can slip between the two.
fn read_here(
    partition: &Partition,
    spec: &FetchSpec,
    bounds: &FetchBounds,
    waiter: Option<Arc<FetchWaiter>>,
    closer: Option<i32>,
    reach: Reach,
) -> Result<PartitionRead, Absent> {
    let ours = partition.leader_epoch();
    if let Err(code) = locate::check_leader_epoch(spec.current_leader_epoch, ours) {
        return Ok(PartitionRead::refused(code));
    }
    let log = &partition.log;
    let mut read = PartitionRead {
        high_watermark: log.high_watermark().0,
        last_stable_offset: log.last_stable_offset().0,
        log_start_offset: log.start_offset().0,
        ..PartitionRead::refused(ErrorCode::None)
    };
    let last_epoch = LeaderEpoch(spec.last_fetched_epoch);
    match diverging_from(partition, last_epoch, Offset(spec.fetch_offset)) {
        Ok(None) => {}
        Ok(diverging) => return Ok(PartitionRead { diverging, ..read }),
        Err(code) => return Ok(PartitionRead { code, ..read }),
    }
    if closer.is_some() {
        read.preferred_replica = closer;
        return Ok(read);
    }
    let below = if bounds.read_committed {
        log.last_stable_offset()
    } else if planted::is(Bug::ReadPastHighWatermark) {
        log.end_offset()
    } else {
        log.high_watermark()
    };
    let max_bytes = bounds.max_bytes.min(u32::try_from(spec.max_bytes).unwrap_or(0));
    let from = Offset(spec.fetch_offset);
    if is_unsettled(partition, from) {
        read.is_withheld = true;
        match waiter {
            Some(waiter) => partition.watch(waiter),
            None => read.withhold(),
        }
        return Ok(read);
    }
    let slice = partition.read(reach, from, max_bytes, below).and_then(|slice| {
        let aborted = if bounds.read_committed && slice.bytes > 0 {
            log.aborted_transactions(from, slice.next_offset)?
        } else {
            Vec::new()
        };
        Ok((slice, aborted))
    });
    match slice {
        Ok((ReadSlice { pieces, bytes, .. }, aborted)) => {
            read.records = pieces;
            read.bytes = bytes;
            read.aborted = aborted;
            if let Some(waiter) = waiter {
                waiter.add(i64::from(bytes));
                if !waiter.is_satisfied() {
                    partition.watch(waiter);
                }
            }
        }
        Err(ReadError::Absent(absent)) => return Err(absent),
        Err(ReadError::OffsetOutOfRange { .. }) => read.code = ErrorCode::OffsetOutOfRange,
        Err(error) => {
            tracing::error!(topic = %partition.id.topic, partition = partition.id.index, %error, "read");
            read.code = match error {
                // Consumers stop with an error that names the offset, and can seek past it; a storage error they would retry
                // for ever.
                ReadError::Damaged { .. } => ErrorCode::CorruptMessage,
                _ => ErrorCode::KafkaStorageError,
            };
        }
    }
    Ok(read)
}

/// A new leader does not know yet how far its predecessor's records were committed. Who stands at the end of what it knows waits until
/// it does: told less than before, a reader would take it for the end of the log (KIP-207 is this for ListOffsets).
fn is_unsettled(partition: &Partition, from: Offset) -> bool {
    let known = partition.log.high_watermark();
    let is_settled = partition
        .leading(|leader| leader.is_alone() || leader.epoch_start() <= known)
        .unwrap_or(true);
    !is_settled && from >= known && from <= partition.log.end_offset()
}

/// The replica that a client in `rack` should read from, if that is another than the leader: in sync, in that rack, and with what is
/// asked for. Of several the one that is furthest. As Kafka's RackAwareReplicaSelector.
fn closest_replica(shard: &Shard, partition: &Partition, rack: &str, offset: Offset) -> Option<i32> {
    if shard.node.config.rack.as_deref() == Some(rack) {
        return None;
    }
    let image = shard.image();
    let is_near = |id: i32| {
        let broker = image.broker(control::record::BrokerId(id));
        broker.is_some_and(|broker| broker.is_active() && broker.rack.as_deref() == Some(rack))
    };
    let furthest = partition.leading(|leader| {
        let near = leader.followers().filter(|follower| {
            follower.is_in_sync
                && follower.offset.is_some_and(|end| end >= offset)
                && follower.log_start.is_some_and(|start| start <= offset)
                && is_near(follower.id.0)
        });
        near.max_by_key(|follower| follower.offset)
            .map(|follower| follower.id.0)
    });
    furthest.flatten()
}

/// The client names the epoch of the last record it has. If that epoch ended here below its position, its log has
/// records that ours has not: it must truncate. If nothing is known of that epoch, nothing can be said of where to truncate to:
/// as in Kafka the position is out of range. (The answer (-1, -1) would mean "nothing diverges", and the client ask for ever.)
pub fn diverging_from(
    partition: &Partition,
    last_epoch: LeaderEpoch,
    offset: Offset,
) -> Result<Option<(i32, i64)>, ErrorCode> {
    if !last_epoch.is_some() {
        return Ok(None);
    }
    match partition.log.offset_for_leader_epoch(last_epoch) {
        None => Err(ErrorCode::OffsetOutOfRange),
        Some(_) if offset < partition.log.start_offset() => Err(ErrorCode::OffsetOutOfRange),
        Some((epoch, end)) if epoch < last_epoch || end < offset => Ok(Some((epoch.0, end.0))),
        Some(_) => Ok(None),
    }
}
