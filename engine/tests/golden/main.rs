//! Files as every released version wrote them: today's code reads them, and writes the same bytes.
//!
//! Goldens are added, never edited: a data directory out there looks like one of them. A format that changes gets a new
//! version number and a new golden beside the old one, which is still read. With `RINGLOG_ADD_GOLDENS=1` a missing file is
//! written and its line for [`store::CHECKSUMS`] printed.

mod directory;
mod journal;
mod partition;
mod store;
