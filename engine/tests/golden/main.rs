//! Files as every released version wrote them: today's code reads them, and writes the same bytes.
//!
//! Goldens are added, never edited: a data directory out there looks like one of them. A format that changes gets a new
//! version number and a new golden beside the old one, which is still read. With `RINGLOG_ADD_GOLDENS=1` a missing file is
//! written and its line for [`store::CHECKSUMS`] printed.
//!
//! `metadata-1`, and of `directory-1` the files whose names begin with `ringlog`, are of other crates, and compared by their tests.

mod damaged;
mod directory;
mod journal;
mod partition;
mod store;
