//! The journal of a shard: one synced write for the appends of all its partitions, before their segments are synced.
//!
//! [`format`](mod@format) draws the files.

pub mod format;
