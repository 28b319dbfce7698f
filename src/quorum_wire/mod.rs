//! The quorum of the metadata log on the network: Kafka's KRaft protocol between the control threads of its members.
//!
//! ```text
//! Core asks      -> peers     -> requests (as Kafka's messages) -> net::client -> another member's control listener
//! control listener -> apis    -> requests (back)                -> QuorumServer -> Core answers -> responses
//! ```
//! Operators ask here too (`kafka-metadata-quorum --bootstrap-controller`); who asks a member that does not lead is answered by the
//! one that does, through it.

mod apis;
mod asks;
mod describe;
mod mapping;
mod peers;
mod responses;
mod voter_changes;

pub use apis::QuorumApis;
pub use describe::{at_version as describe_at_version, refused as describe_refused};
pub use peers::{WireNetwork, connect};
pub use voter_changes::RaftVoterRequest;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use control::store::kraft::QuorumServer;
use uuid::Uuid;

/// The topic that the metadata log is, to the protocol.
const TOPIC: &str = "__cluster_metadata";
/// `Uuid.METADATA_TOPIC_ID`
const TOPIC_ID: Uuid = Uuid::from_u128(1);
/// Kafka's default name of its controllers' listener.
const LISTENER: &str = "CONTROLLER";

/// A member's replica as its listener finds it. The listener and the log are made on the main thread without knowing each other, and
/// meet on the control thread, where a replica lives: by number, since one thread has many members in a simulation.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Meeting(u64);

/// What is needed to answer.
#[derive(Clone)]
struct Replica {
    server: QuorumServer,
    cluster_id: String,
}

thread_local! {
    static REPLICAS: RefCell<BTreeMap<u64, Replica>> = const { RefCell::new(BTreeMap::new()) };
}

impl Meeting {
    pub fn new() -> Meeting {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Meeting(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn attach(self, replica: Replica) {
        REPLICAS.with_borrow_mut(|replicas| replicas.insert(self.0, replica));
    }

    fn replica(self) -> Option<Replica> {
        REPLICAS.with_borrow(|replicas| replicas.get(&self.0).cloned())
    }
}

#[cfg(test)]
mod tests;
