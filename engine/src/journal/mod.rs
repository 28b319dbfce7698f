//! The journal of a shard: one synced write for the appends of all its partitions, before their segments are synced.
//!
//! [`format`](mod@format) draws the files, [`scan`] finds the frames of one.

pub mod format;
pub mod scan;
