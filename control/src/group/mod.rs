//! Classic consumer groups: membership, assignments and committed offsets, with Kafka's semantics.
//!
//! # Contract with whoever hosts it
//!
//! One [`GroupShard`] coordinates one partition of `__consumer_offsets`, on the broker that leads that partition.
//! It is pure: no clock, no chance, no IO. The host
//!
//! 1. makes it with [`GroupShard::new`], feeds every record of the partition to [`GroupShard::replay`] and every
//!    transaction marker to [`GroupShard::replay_end_transaction`], in the order of the log up to its end, and calls
//!    [`GroupShard::loaded`]. Requests that come before are answered COORDINATOR_LOAD_IN_PROGRESS.
//! 2. passes events to [`GroupShard::handle`] and then performs [`GroupShard::poll_action`] until it is empty, in
//!    order. Records of all `Append` actions go to the log in that order and contiguously per action.
//! 3. reports appends by ticket: `Committed { up_to }` once records are committed, `AppendFailed` when they are not in
//!    the log and never will be, `CommitTimedOut` when they are but somebody should not wait longer. An append whose
//!    fate is unknown, or of which only a part was written, is no event: the host unloads and loads again.
//! 4. sends a `Tick` by [`GroupShard::next_deadline`].
//! 5. calls [`GroupShard::unload`] when the partition goes to another leader, performs the last answers, and drops it.
//!
//! Every request gets exactly one `Respond` with its token: at once, with the records it depends on, with the
//! rebalance it waits for, or at unloading. Which partition a group belongs to is [`partition_for`].
//!
//! # What is durable
//!
//! Offsets, and for each group the last generation that was logged: the state of a loaded coordinator is what replaying
//! the log makes it. Offsets change when their records commit. The group itself, between its records, is volatile: who
//! waits, whose session ends when, which generation is being formed. That is as in Kafka, where a coordinator that
//! moves forgets a rebalance under way and clients join again. So the living group leads its records: it becomes stable
//! (and hands out assignments) only when the generation's record has committed, but is not rebuilt from it.

mod appends;
mod clock;
mod config;
mod error;
#[allow(clippy::module_inception)] // why: the noun is "group" on both levels
mod group;
mod member;
mod offsets;
mod outbox;
mod partition;
mod per_partition;
pub mod record;
mod refuse;
pub mod request;
pub mod response;
mod rules;
mod shard;
mod subscription;
mod timers;

#[cfg(test)]
mod tests;

pub use clock::{MonotonicMs, Now};
pub use config::GroupConfig;
pub use error::{AppendFailure, ErrorCode};
pub use group::GroupState;
pub use offsets::TransactionResult;
pub use partition::partition_for;
pub use record::{EncodedRecord, Record};
pub use request::*;
pub use response::*;
pub use shard::{Action, Counters, Event, GroupShard, Ticket, Token};
