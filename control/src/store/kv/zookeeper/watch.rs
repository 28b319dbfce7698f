//! One watch, on the client's thread: it says that there is something to read.

use std::sync::Arc;
use std::time::Duration;

use reactor::mailbox::Sender;
use zookeeper_client::{AddWatchMode, Client, EventType, PersistentWatcher, SessionState};

use super::session::Session;
use super::{folder_of, store_error, within};
use crate::store::kv::{CALL_MAX, KeyRange, WatchEvent};

/// How often whoever listens is told to look anyway: events may be lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// How soon the end of whoever listens is noticed.
const CLOSED_INTERVAL: Duration = Duration::from_millis(250);

pub(super) async fn run(session: Arc<Session>, range: KeyRange, mut events: Sender<WatchEvent>) {
    let why = match follow(&session, &range, &mut events).await {
        Ok(()) => return,
        Err(why) => why,
    };
    // a full queue says already that there is something to read; its end says the rest
    let _ = events.try_send(WatchEvent::Lost(why));
}

/// Until nobody listens, or the session ends.
async fn follow(session: &Session, range: &KeyRange, events: &mut Sender<WatchEvent>) -> Result<(), String> {
    let client = session.client().await.map_err(|error| error.to_string())?;
    let root = folder_of(&range.from);
    let mut watcher = begin(&client, root).await?;
    let _ = events.try_send(WatchEvent::Touched);
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    let mut closed = tokio::time::interval(CLOSED_INTERVAL);
    loop {
        tokio::select! {
            event = watcher.changed() => {
                let concerns_us = match event.event_type {
                    EventType::Session if event.session_state.is_terminated() => {
                        return Err(event.session_state.to_string());
                    }
                    EventType::Session => {
                        let is_back = event.session_state == SessionState::SyncConnected;
                        if is_back {
                            watcher = begin(&client, root).await?;
                        }
                        is_back
                    }
                    EventType::NodeCreated
                    | EventType::NodeDeleted
                    | EventType::NodeDataChanged
                    | EventType::NodeChildrenChanged => range.contains(&event.path),
                };
                if concerns_us {
                    let _ = events.try_send(WatchEvent::Touched);
                }
            }
            _ = look.tick() => drop(events.try_send(WatchEvent::Touched)),
            _ = closed.tick() => {
                if events.is_closed() {
                    return Ok(());
                }
                if client.state().is_terminated() {
                    return Err(client.state().to_string());
                }
            }
        }
    }
}

/// Asked for again after each reconnection: zookeeper-client 0.11 tells the next server of one-time watches only (`SetWatches`, where
/// persistent ones need `SetWatches2`).
async fn begin(client: &Client, root: &str) -> Result<PersistentWatcher, String> {
    let watching = within(CALL_MAX, client.watch(root, AddWatchMode::PersistentRecursive)).await;
    watching
        .and_then(|watching| watching.map_err(store_error))
        .map_err(|error| error.to_string())
}
