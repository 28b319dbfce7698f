//! Figures for operators: counted per shard without sharing, summed when somebody scrapes.

mod histogram;
mod shard;
mod snapshot;
mod upkeep;

pub use histogram::Histogram;
pub use shard::ShardMetrics;
pub use snapshot::{Snapshot, render};
pub use upkeep::Upkeep;
