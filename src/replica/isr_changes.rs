//! Changes of the ISR that this shard's leaders ask for, gathered into one AlterPartition for all.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use control::controller::{
    AlterPartition, AlterPartitionItem, AlteredPartition, ErrorCode as ControlCode, Request, Response,
};
use control::image::LeaderRecovery;
use control::record::{BrokerEpoch, BrokerId, PartitionEpoch, PartitionId as PartitionIndex};
use engine::replica::{ASK_AGAIN_AFTER, AlterIsr, AlterRefusal};
use reactor::sync::Notify;

use crate::shard::{PartitionKey, Shard};

/// How long others may join a request. A follower that comes back joins the ISRs of all its partitions within moments.
const LINGER: Duration = Duration::from_millis(5);

/// Items per request; the controller writes them in one batch. A guess.
const ITEMS_MAX: usize = 2000;

/// Pause after a request that was not decided; it doubles up to the second.
const RETRY_AFTER: Duration = Duration::from_millis(50);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(1);

/// At most one change per partition: a leader asks for one at a time.
#[derive(Default)]
pub struct IsrChanges {
    wanted: RefCell<HashMap<PartitionKey, AlterIsr>>,
    added: Notify,
}

impl IsrChanges {
    pub fn want(&self, key: PartitionKey, change: AlterIsr) {
        self.wanted.borrow_mut().insert(key, change);
        self.added.notify_one();
    }

    fn take(&self) -> Vec<(PartitionKey, AlterIsr)> {
        let mut wanted = self.wanted.borrow_mut();
        let keys: Vec<PartitionKey> = wanted.keys().take(ITEMS_MAX).copied().collect();
        let taken = keys.into_iter().filter_map(|key| wanted.remove_entry(&key));
        taken.collect()
    }
}

/// Asks the controller as long as the shard lives.
pub(super) async fn run(shard: Rc<Shard>) {
    let changes = shard.replication.isr_changes.clone();
    let mut retry_after = RETRY_AFTER;
    loop {
        changes.added.notified().await;
        reactor::sleep(LINGER).await;
        loop {
            let asked = changes.take();
            if asked.is_empty() {
                break;
            }
            if ask(&shard, &asked).await {
                retry_after = RETRY_AFTER;
                continue;
            }
            reactor::sleep(retry_after).await;
            retry_after = (retry_after * 2).min(RETRY_AFTER_MAX);
            for (key, change) in &asked {
                refused(&shard, key, change, AlterRefusal::Unavailable);
            }
        }
    }
}

/// Whether the controller has decided.
async fn ask(shard: &Rc<Shard>, asked: &[(PartitionKey, AlterIsr)]) -> bool {
    let Some(broker_epoch) = shard.node.session.broker_epoch() else {
        return false;
    };
    let item = |(key, change): &(PartitionKey, AlterIsr)| AlterPartitionItem {
        topic_id: key.topic_id,
        partition: PartitionIndex(key.index),
        leader_epoch: change.leader_epoch,
        partition_epoch: PartitionEpoch(change.partition_epoch.0),
        new_isr: change
            .isr
            .iter()
            .map(|(id, epoch)| (BrokerId(id.0), BrokerEpoch(epoch.0)))
            .collect(),
        leader_recovery: LeaderRecovery::Recovered,
    };
    let request = AlterPartition {
        broker_id: shard.node.id,
        broker_epoch,
        partitions: asked.iter().map(item).collect(),
    };
    let altered = match shard.control(Request::AlterPartition(request)).await {
        Ok(Response::AlterPartition(altered)) => altered,
        Ok(other) => {
            tracing::error!(
                ?other,
                "the controller answered another request than AlterPartition"
            );
            return false;
        }
        Err(error) => {
            tracing::debug!(
                ?error,
                partitions = asked.len(),
                "ISR changes are asked for again: they were not decided"
            );
            return false;
        }
    };
    // What was made is in the image, which has reached the partitions before this answer.
    for (key, change) in asked {
        let of_this =
            |answer: &&AlteredPartition| answer.topic_id == key.topic_id && answer.partition.0 == key.index;
        let why = match altered.iter().find(of_this).map(|answer| &answer.result) {
            Some(Ok(_)) => continue,
            Some(Err(error)) => match error.code {
                ControlCode::INELIGIBLE_REPLICA => AlterRefusal::Ineligible,
                ControlCode::NOT_CONTROLLER => AlterRefusal::Unavailable,
                _ => AlterRefusal::Stale,
            },
            None => AlterRefusal::Stale,
        };
        tracing::debug!(topic_id = %key.topic_id, partition = key.index, ?why, ?change, "an ISR change is refused");
        refused(shard, key, change, why);
    }
    true
}

fn refused(shard: &Rc<Shard>, key: &PartitionKey, change: &AlterIsr, why: AlterRefusal) {
    let Some(partition) = shard.partitions.opened(key) else {
        return;
    };
    partition.isr_change_refused(change, why);
    if why == AlterRefusal::Ineligible {
        // Nobody may fetch from an idle partition, nor anything else happen that it is looked at for.
        let (shard, key) = (shard.clone(), *key);
        reactor::spawn(async move {
            reactor::sleep(ASK_AGAIN_AFTER).await;
            if let Some(partition) = shard.partitions.opened(&key) {
                partition.look_for_lag();
            }
        })
        .detach();
    }
}
