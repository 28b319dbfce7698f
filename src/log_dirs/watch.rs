//! Watching over the directories: what follows when one goes offline.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use control::controller::{AssignDirectories, Request};
use control::service::ControllerHandle;
use control::store::StoreUrl;
use futures_util::future::join_all;

use super::error::DirectoryError;
use super::set::{DirIndex, LogDirs};
use crate::shard::{self, Node, Router, ShardId};

/// How often the main thread looks. The shards themselves know at once.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often a directory is measured that has plenty of room, and how much that is: more than producers fill in that time.
const PLENTY_EVERY: u32 = 10;
const PLENTY_BYTES: u64 = 8 << 30;

/// Keeps looking how much room there is.
pub async fn watch_room(dirs: Arc<LogDirs>, shard_count: usize) {
    let mut rounds = vec![0u32; dirs.len()];
    loop {
        for ((_, dir), rounds) in dirs.online().zip(&mut rounds) {
            if *rounds > 0 {
                *rounds -= 1;
                continue;
            }
            let path = dir.path().to_owned();
            match reactor::background(move || reactor::disk::space(&path)).await {
                Ok(space) => {
                    dir.set_free(space.free, shard_count);
                    if space.free > PLENTY_BYTES {
                        *rounds = PLENTY_EVERY;
                    }
                }
                Err(error) if is_gone(&error) => dir.fail(&error),
                // A disk that does not say how full it is will say so when it is written to.
                Err(_) => {}
            }
        }
        reactor::sleep(LOOK_EVERY).await;
    }
}

/// The directory was taken away, or its disk answers no more.
fn is_gone(error: &std::io::Error) -> bool {
    const EIO: i32 = 5;
    error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(EIO)
}

/// Why the broker cannot go on: the directory with the metadata log has failed, or, where the metadata is elsewhere, all have.
pub fn metadata_lost(dirs: &LogDirs, store: &StoreUrl) -> Option<DirectoryError> {
    let is_elsewhere = match store {
        StoreUrl::Embedded | StoreUrl::Quorum(_) => false,
        StoreUrl::Etcd(_) | StoreUrl::ZooKeeper(_) => true,
    };
    if is_elsewhere && dirs.online().next().is_some() {
        return None;
    }
    let first = dirs.get(DirIndex::FIRST);
    let why = first.failure()?.to_owned();
    let dir = first.path().to_owned();
    Some(DirectoryError::MetadataDirectoryLost { dir, why })
}

/// Tells the shards and the controller of each directory that goes offline; returns when the broker cannot go on, see
/// [`metadata_lost`].
pub async fn watch(
    dirs: &LogDirs,
    main: Rc<Router>,
    controller: ControllerHandle,
    node: Arc<Node>,
) -> DirectoryError {
    let mut offline = dirs.offline_count();
    loop {
        if let Some(lost) = metadata_lost(dirs, &node.config.store) {
            return lost;
        }
        let now = dirs.offline_count();
        if now != offline {
            offline = now;
            let told =
                (0..main.shard_count()).map(|index| main.send(ShardId(index), shard::directories_failed));
            join_all(told).await;
            let failed = dirs.iter().filter(|(_, dir)| !dir.is_online());
            node.session
                .set_offline(failed.filter_map(|(_, dir)| dir.id()).collect());
            let request = AssignDirectories {
                broker_id: node.id,
                broker_epoch: node.session.broker_epoch().unwrap_or_default(),
                online: dirs.online().filter_map(|(_, dir)| dir.id()).collect(),
                assignments: Vec::new(),
            };
            if let Err(error) = controller.call(Request::AssignDirectories(request)).await {
                tracing::error!(%error, "the controller does not know that a directory is offline");
            }
        }
        reactor::sleep(LOOK_EVERY).await;
    }
}
