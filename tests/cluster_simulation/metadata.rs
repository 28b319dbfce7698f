//! The metadata log, as it lies in the store.

use engine::batch::Batch;
use reactor::sim::seeds::Violation;

use crate::cluster::Cluster;
use crate::invariants::DEPOSED;
use crate::plan::StoreKind;

/// Along the log offsets are consecutive and controller epochs only grow: whoever was deposed has written nothing since.
pub fn check(cluster: &Cluster) -> Result<(), Violation> {
    match cluster.plan.store {
        StoreKind::Embedded => Ok(()), // one controller, on one disk
        StoreKind::Memory => in_store(cluster),
        StoreKind::Quorum => Ok(()), // the voters' logs are compared in the quorum's own simulation
    }
}

fn in_store(cluster: &Cluster) -> Result<(), Violation> {
    let violation = |text: String| Violation {
        invariant: DEPOSED,
        text,
    };
    let (mut epoch, mut next) = (-1, None);
    for (key, value) in cluster.store.backup() {
        if !key.contains("/log/") {
            continue;
        }
        let batch = value
            .get(1..)
            .and_then(|bytes| Batch::only(bytes).ok())
            .ok_or_else(|| violation(format!("{key} is no batch")))?;
        let (own, base) = (batch.leader_epoch().0, batch.base_offset().0);
        if own < epoch {
            return Err(violation(format!(
                "offset {base} is of controller epoch {own}, before it {epoch}"
            )));
        }
        if next.is_some_and(|next| next != base) {
            return Err(violation(format!("after offset {next:?} comes {base}")));
        }
        epoch = own;
        next = Some(batch.next_offset().0);
    }
    Ok(())
}

/// Of whoever appended last.
pub fn controller_epoch(cluster: &Cluster) -> Option<i32> {
    let epoch_of = |value: &[u8]| Some(Batch::only(value.get(1..)?).ok()?.leader_epoch().0);
    let entries = cluster.store.backup().into_iter();
    let mut epochs = entries.filter_map(|(key, value)| epoch_of(&value).filter(|_| key.contains("/log/")));
    epochs.next_back()
}
