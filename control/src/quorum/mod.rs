//! KRaft: the quorum that keeps the metadata log where there is no store beside the brokers (KIP-595, KIP-630, KIP-853,
//! KIP-996). Raft, with the log pulled by Fetch instead of pushed.
//!
//! [`Core`] is one replica's rules, without input or output: [`Core::step`] takes the time and what happened, and
//! answers with what to do. What the host owes it, and relies on:
//!
//! - **In order.** Actions are done in the order of the list, lists in the order of their steps.
//! - **Persist first.** [`Action::Persist`] has reached the disk before the actions behind it begin. Failed, all of the
//!   list is dropped and the core put back to what it was before the step: nobody has seen the difference.
//! - **Durable is said, not assumed.** [`Event::Written`] comes after the sync. Nothing counts before.
//! - **A write that fails is the end.** The process starts again to see what is on the disk.
//! - **Answers are optional.** Messages may be lost, doubled, late, out of order.
//! - **Time may stand still or leap**, never go back. Safety depends on no clock, progress does.
//!
//! What always holds, after every step, checked by the simulation in `sim`: one leader an epoch; two logs that hold the
//! same (offset, epoch) are equal up to there; what was committed is in the log of every later leader; what is read
//! below the high watermark is the same everywhere.

mod admin;
mod chance;
mod core;
mod describe;
mod election;
mod entry;
mod event;
mod follower;
mod leader;
mod log_view;
mod membership;
mod message;
pub mod planted;
mod replica;
mod role;
mod timers;
mod voters;

pub use self::core::{Core, CoreConfig, ElectionState, StartingLog};
pub use admin::{AddVoter, ChangeError, RemoveVoter, UpdateVoter, VoterChange};
pub use describe::{Description, ReplicaState};
pub use entry::{Body, ControlRecord, Entry};
pub use event::{Action, Event, NoAnswer, RequestId};
pub use leader::ProposeError;
pub use log_view::LogView;
pub use message::{
    BeginQuorumEpoch, EndQuorumEpoch, FetchOutcome, FetchRequest, FetchResponse, FetchSnapshotRequest,
    FetchSnapshotResponse, LeaderView, PlainResponse, Refusal, Request, Response, SnapshotPart, VoteRequest,
    VoteResponse,
};
pub use replica::ReplicaKey;
pub use timers::Timers;
pub use voters::{Voter, VoterSet, VotersTextError};

#[cfg(test)]
mod sim;
