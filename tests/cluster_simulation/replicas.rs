//! The logs of the replicas, as they lie on the disks.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use engine::batch::{BatchHeader, Batches};
use engine::log::epoch_cache::EpochCache;
use engine::types::Offset;
use reactor::sim::SimDisk;
use reactor::sim::seeds::Violation;

use crate::access::TOPIC;
use crate::cluster::Cluster;
use crate::invariants::{EPOCHS_OF_RECORDS, LIVENESS, REPLICAS_AGREE};

/// How long replicas may take to catch up when nothing is broken.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

/// One replica: its batches by base offset, and the offset behind each.
type Log = BTreeMap<i64, (i64, Vec<u8>)>;

/// Waits until every replica has what is below the high watermark, then compares them.
pub fn check(cluster: &mut Cluster) -> Result<(), Violation> {
    let deadline = cluster.world.now() + CATCH_UP_MAX;
    for partition in 0..cluster.plan.partitions {
        let end = cluster.model.with(|state| state.end_of(partition));
        loop {
            let logs = logs(cluster, partition);
            let wanted = cluster.brokers.len().min(3);
            let whole = logs.iter().filter(|(_, log)| end_of(log) >= end).count();
            // one that went another way may be long, and is cut when it fetches next
            let agree = compare(partition, end, &logs).and_then(|()| check_epochs(cluster, partition, &logs));
            if whole >= wanted && agree.is_ok() {
                break;
            }
            if cluster.world.now() >= deadline {
                agree?;
                let ends: Vec<(usize, i64)> =
                    logs.iter().map(|(broker, log)| (*broker, end_of(log))).collect();
                return Err(Violation {
                    invariant: LIVENESS,
                    text: format!("partition {partition} is committed up to {end}, replicas end at {ends:?}"),
                });
            }
            cluster.start_missing();
            let ran = cluster.world.run_for(Duration::from_millis(100));
            ran.map_err(|stuck| Violation {
                invariant: LIVENESS,
                text: stuck.to_string(),
            })?;
        }
    }
    Ok(())
}

fn end_of(log: &Log) -> i64 {
    log.last_key_value().map_or(0, |(_, (end, _))| *end)
}

fn dir(partition: usize) -> String {
    format!("/data/{TOPIC}-{partition}")
}

/// What a checkpoint of leader epochs says of the records that are there is true. It may lack the latest epochs, which a start reads from the
/// records.
fn check_epochs(cluster: &Cluster, partition: usize, logs: &[(usize, Log)]) -> Result<(), Violation> {
    for (broker, log) in logs {
        let disk = cluster.world.disk(cluster.brokers[broker - 1].host);
        let path = Path::new(&dir(partition)).join("leader-epoch-checkpoint");
        let Some(Ok(epochs)) = disk.cached(&path).map(|bytes| EpochCache::parse(&bytes)) else {
            continue;
        };
        for (base, (_, bytes)) in log {
            let Some(found) = BatchHeader::peek(bytes).map(|header| header.leader_epoch()) else {
                continue;
            };
            let is_newer = epochs.latest().is_none_or(|latest| found > latest.epoch);
            let said = epochs.epoch_of(Offset(*base)).filter(|said| *said != found);
            if let Some(said) = said.filter(|_| !is_newer) {
                return Err(Violation {
                    invariant: EPOCHS_OF_RECORDS,
                    text: format!(
                        "partition {partition}: broker {broker} has epoch {found} at {base}, its checkpoint says {said}: {:?}",
                        epochs.entries()
                    ),
                });
            }
        }
    }
    Ok(())
}

/// Of the brokers that have a replica, by number.
fn logs(cluster: &Cluster, partition: usize) -> Vec<(usize, Log)> {
    let mut logs = Vec::new();
    for (index, broker) in cluster.brokers.iter().enumerate() {
        let disk = cluster.world.disk(broker.host);
        let log = read(&disk, Path::new(&dir(partition)));
        if !log.is_empty() {
            logs.push((index + 1, log));
        }
    }
    logs
}

fn read(disk: &SimDisk, dir: &Path) -> Log {
    let mut log = Log::new();
    for name in disk.names(dir) {
        if !name.ends_with(".log") {
            continue;
        }
        let bytes = disk.cached(&dir.join(&name)).unwrap_or_default();
        for batch in Batches::new(&bytes) {
            let Ok(batch) = batch else { break }; // what is reserved behind the end
            let end = batch.next_offset().0;
            log.insert(batch.base_offset().0, (end, batch.bytes().to_vec()));
        }
    }
    log
}

/// Whatever two of them have below the high watermark must be the same.
fn compare(partition: usize, end: i64, logs: &[(usize, Log)]) -> Result<(), Violation> {
    let Some(((first, reference), others)) = logs.split_first() else {
        return Ok(());
    };
    for (broker, log) in others {
        let shared_end = end.min(end_of(reference)).min(end_of(log));
        let below = |log: &Log| {
            let batches = log.iter().filter(|(_, (end, _))| *end <= shared_end);
            batches
                .map(|(base, (end, bytes))| (*base, *end, bytes.clone()))
                .collect::<Vec<_>>()
        };
        let (ours, theirs) = (below(reference), below(log));
        let differing = ours.iter().zip(&theirs).find(|(a, b)| a != b);
        if let Some(((base, end_here, bytes), (other_base, end_there, other_bytes))) = differing {
            let at = bytes.iter().zip(other_bytes).position(|(a, b)| a != b);
            return Err(Violation {
                invariant: REPLICAS_AGREE,
                text: format!(
                    "partition {partition}: brokers {first} and {broker} differ at {base}..{end_here} ({} bytes) and \
                     {other_base}..{end_there} ({} bytes), first in byte {at:?} of the batch; committed up to {end}",
                    bytes.len(),
                    other_bytes.len()
                ),
            });
        }
        if ours.len() != theirs.len() {
            return Err(Violation {
                invariant: REPLICAS_AGREE,
                text: format!(
                    "partition {partition}: below {shared_end} broker {first} has {} batches, {broker} has {}",
                    ours.len(),
                    theirs.len()
                ),
            });
        }
    }
    Ok(())
}
