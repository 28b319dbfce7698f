//! What a store tells of changes.

use reactor::mailbox;

use super::memory::MemoryWatch;
use super::{KeyValue, Revision};

/// A key as it is after a change; `None`: it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    pub now: Option<KeyValue>,
    pub revision: Revision,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// Every change of the range since the last event, in order.
    Changes(Vec<Change>),
    /// Something may have changed.
    Touched,
    /// Nothing further has changed up to here.
    Progress(Revision),
    /// The history that was asked for is gone: read everything, then watch from there. The watch has ended.
    Compacted,
    /// The connection is lost, or was never made. The watch has ended.
    Lost(String),
}

pub enum Watch {
    Channel(mailbox::Receiver<WatchEvent>),
    Memory(MemoryWatch),
}

impl Watch {
    pub async fn next(&mut self) -> WatchEvent {
        match self {
            Watch::Channel(events) => {
                let ended = || WatchEvent::Lost("the client has ended".to_owned());
                events.recv().await.unwrap_or_else(ended)
            }
            Watch::Memory(watch) => watch.next().await,
        }
    }
}
