//! The rules, one file per thing a client or the clock can ask for. Each works on one group and the outbox, or on the
//! shard where it needs offsets or several groups.

pub(super) mod admin;
pub(super) mod commit;
pub(super) mod delete;
pub(super) mod expiry;
pub(super) mod fetch;
pub(super) mod heartbeat;
pub(super) mod join;
pub(super) mod leave;
pub(super) mod rebalance;
pub(super) mod sync;
