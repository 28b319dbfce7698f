//! One watch, on the client's thread.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Event, EventType, WatchOptions, WatchResponse};
use reactor::mailbox::{Full, Sender};

use super::connection::Connection;
use super::key_value;
use crate::store::kv::{CALL_MAX, Change, KeyRange, Revision, WatchEvent};

/// Watches can hang on a connection that lives (etcd-io/etcd#8980), so we ask how far it is, and expect to hear.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// While the receiver is slow.
const FULL_RETRY: Duration = Duration::from_millis(2);

pub(super) async fn run(
    connection: Arc<Connection>,
    range: KeyRange,
    after: Revision,
    mut events: Sender<WatchEvent>,
) {
    let end = follow(&connection, range, after, &mut events).await;
    if let Some(end) = end {
        send(&mut events, end).await;
    }
}

/// Runs until the watch ends, and says how; `None`: nobody listens.
async fn follow(
    connection: &Connection,
    range: KeyRange,
    after: Revision,
    events: &mut Sender<WatchEvent>,
) -> Option<WatchEvent> {
    let (client, turn) = match connection.client().await {
        Ok(found) => found,
        Err(failure) => return Some(WatchEvent::Lost(failure.to_string())),
    };
    let lost = |why: String| {
        connection.move_on(turn);
        Some(WatchEvent::Lost(why))
    };
    let options = WatchOptions::new()
        .with_range(range.to)
        .with_start_revision(after.0.saturating_add(1));
    let mut client = Connection::watch(&client);
    // Opening waits for the server's first word, so for a stopped server, too.
    let opened = tokio::time::timeout(CALL_MAX, client.watch(range.from, Some(options))).await;
    let stream = match opened {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return lost(error.to_string()),
        Err(_) => return lost("no watch in time".to_owned()),
    };
    // The watch lives as long as both halves.
    let (mut requests, mut responses) = stream.split();
    let mut progress = tokio::time::interval(PROGRESS_INTERVAL);
    let mut heard = tokio::time::Instant::now();
    loop {
        let response = tokio::select! {
            response = responses.message() => response,
            _ = progress.tick() => {
                if events.is_closed() {
                    return None;
                }
                if heard.elapsed() > SILENCE_MAX {
                    return lost("the watch is silent".to_owned());
                }
                match tokio::time::timeout(CALL_MAX, requests.request_progress()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => return lost(error.to_string()),
                    Err(_) => return lost("the watch takes no requests".to_owned()),
                }
            }
        };
        heard = tokio::time::Instant::now();
        let event = match response {
            Ok(Some(response)) => event_of(&response),
            Ok(None) => return lost("the stream has ended".to_owned()),
            Err(error) => return lost(error.to_string()),
        };
        let ends = matches!(event, Some(WatchEvent::Compacted | WatchEvent::Lost(_)));
        match event {
            Some(event) if ends => return Some(event),
            Some(event) => {
                if !send(events, event).await {
                    return None;
                }
            }
            None => {}
        }
    }
}

fn event_of(response: &WatchResponse) -> Option<WatchEvent> {
    // Told apart by the revision alone: the reason is empty.
    if response.compact_revision() > 0 {
        return Some(WatchEvent::Compacted);
    }
    if response.canceled() {
        return Some(WatchEvent::Lost(response.cancel_reason().to_owned()));
    }
    if response.created() {
        return None;
    }
    if response.events().is_empty() {
        let revision = response.header().map_or(0, |header| header.revision());
        return Some(WatchEvent::Progress(Revision(revision)));
    }
    let changes: Option<Vec<Change>> = response.events().iter().map(change).collect();
    // a key that is not text, in our folder
    Some(changes.map_or(WatchEvent::Touched, WatchEvent::Changes))
}

fn change(event: &Event) -> Option<Change> {
    let found = event.kv()?;
    let now = match event.event_type() {
        EventType::Put => Some(key_value(found).ok()?),
        EventType::Delete => None,
    };
    Some(Change {
        key: found.key_str().ok()?.to_owned(),
        now,
        revision: Revision(found.mod_revision()),
    })
}

/// False: nobody listens.
async fn send(events: &mut Sender<WatchEvent>, mut event: WatchEvent) -> bool {
    loop {
        match events.try_send(event) {
            Ok(()) => return true,
            Err(Full(_)) if events.is_closed() => return false,
            Err(Full(back)) => event = back,
        }
        tokio::time::sleep(FULL_RETRY).await;
    }
}
