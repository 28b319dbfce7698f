//! A watch on the store in memory.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::MemoryCluster;
use crate::store::kv::{KeyRange, Revision, WatchEvent};

/// How often it looks at the clock at least: a lease may run out while nobody calls.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

pub struct MemoryWatch {
    cluster: MemoryCluster,
    client: i32,
    id: u64,
    range: KeyRange,
    /// What happened up to here has been told.
    told: Revision,
}

impl MemoryWatch {
    pub(super) fn new(cluster: MemoryCluster, client: i32, range: KeyRange, after: Revision) -> MemoryWatch {
        let id = cluster.lock().new_watch();
        MemoryWatch {
            cluster,
            client,
            id,
            range,
            told: after,
        }
    }

    pub async fn next(&mut self) -> WatchEvent {
        let delay = self.cluster.lock().trip(self.client).back;
        reactor::sleep(delay).await;
        loop {
            let until = {
                let mut world = self.cluster.lock();
                let now = reactor::now();
                world.pass_time(now);
                if !world.is_reachable(self.client) || world.watch_is_lost() {
                    return WatchEvent::Lost("the watch is cut".to_owned());
                }
                if self.told < world.compacted {
                    return WatchEvent::Compacted;
                }
                let changes = world.changes(&self.range, self.told);
                if self.told < world.revision {
                    self.told = world.revision;
                    return if changes.is_empty() {
                        WatchEvent::Progress(self.told)
                    } else {
                        WatchEvent::Changes(changes)
                    };
                }
                let latest = now + LOOK_INTERVAL;
                world
                    .next_deadline()
                    .map_or(latest, |deadline| deadline.min(latest))
            };
            let left = until
                .saturating_since(reactor::now())
                .max(Duration::from_millis(1));
            let _ = reactor::timeout(left, self.changed()).await;
        }
    }

    async fn changed(&mut self) {
        let mut has_waited = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut has_waited, true) {
                return Poll::Ready(());
            }
            let mut world = self.cluster.lock();
            if world.revision > self.told || self.told < world.compacted || !world.is_reachable(self.client) {
                return Poll::Ready(());
            }
            world.wait(self.id, cx.waker());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.cluster.lock().end_watch(self.id);
    }
}
