//! `cargo xtask compare`: ringlog and Apache Kafka side by side, as markdown tables for `docs/PERFORMANCE.md`.
//!
//! The broker is pinned to core 0, the load (`ringlog bench`) to core 1. Rounds are interleaved - ringlog, Kafka,
//! ringlog, Kafka - because a shared machine drifts; only one broker runs at a time. The tables have medians.
//!
//! [`options`] is the command line, [`row`] the list of what is measured. [`session`] has what all rows use: [`place`]
//! where data lies, [`broker`] a broker there ([`kafka`] is how Kafka is started), [`load`] a run of the load,
//! [`caches`] and [`process`] the machine. The rows themselves: [`produce`], [`latency`], [`reading`],
//! [`partitions`], [`restart`], [`idle`]. [`figures`] judges, [`report`] prints, [`profile`] says where time went.

mod broker;
mod caches;
mod figures;
mod idle;
mod kafka;
mod latency;
mod load;
mod options;
mod partitions;
mod place;
mod process;
mod produce;
mod profile;
mod reading;
mod report;
mod restart;
mod row;
mod session;

pub use place::{LoopImage, remove_leftovers};
pub use process::free_port;
pub use session::release_broker;

use crate::shell::Done;

pub fn run(arguments: &[String]) -> Done {
    let options = options::Options::parse(arguments)?;
    session::Session::open(options)?.run()
}
