//! Reads of what the page cache lacks: around it, so that a reader of old data neither evicts what others read now nor
//! makes their thread wait for the disk; and under a budget of the reactor, so that many such readers do not take its
//! memory.
//!
//! `sum of reservations of started reads and of chunks alive <= budget`. Nobody waits for the budget while holding a
//! part of it: reads ahead are only made from what is free, and whoever has bytes sends them first.

use std::io;
use std::time::Duration;

use bytes::Bytes;

use crate::background;
use crate::core;
use crate::direct::Around;
use crate::file::read_up_to;
use crate::metrics::Counters;
use crate::opened::OsFile;
use crate::sync::{Budget, Reservation};
use crate::task::{Task, spawn};

/// Between the measured 256 KiB (780-900 MB/s, one at a time) and 1 MiB (870-1,330 MB/s): with one ahead, a fetch of
/// 1 MiB from one partition overlaps reading and sending.
pub(crate) const READ_BYTES: usize = 512 * 1024;

/// How long a peer may leave read bytes waiting while other readers wait for the budget. A guess, above the round
/// trips of a continent.
pub(crate) const STALL_MAX: Duration = Duration::from_millis(100);

/// Bytes read, and their part of the budget.
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    _reservation: Reservation,
}

/// A read that has its bytes of the budget. Dropped, it goes on to its end (direct reads cannot be called back), and
/// only then gives them back.
pub(crate) struct Started(Task<io::Result<Chunk>>);

impl Started {
    pub(crate) async fn done(self) -> io::Result<Chunk> {
        match self.0.outcome().await {
            Ok(result) => result,
            Err(lost) => Err(io::Error::other(format!("a cold read was lost: {lost}"))),
        }
    }
}

/// Up to `len` bytes, fewer only where the file ends. Waits for its turn.
pub(crate) async fn read(file: &OsFile, offset: u64, len: usize) -> io::Result<Chunk> {
    let around = Around::of(offset, len)?;
    let reservation = budget().reserve(around.bytes).await;
    start(file.clone(), offset, len, reservation).done().await
}

/// Starts a read if the budget allows it now.
pub(crate) fn try_start(file: &OsFile, offset: u64, len: usize) -> Option<Started> {
    let around = Around::of(offset, len).ok()?;
    let reservation = budget().try_reserve(around.bytes)?;
    Some(start(file.clone(), offset, len, reservation))
}

/// Whether somebody waits for the budget.
pub(crate) fn is_contended() -> bool {
    core::with(|core| core.cold.is_awaited()).unwrap_or(false)
}

/// Of a slice of a file, the part to read first: it ends at a block, so that the next begins at one.
pub(crate) fn window(offset: u64, len: usize) -> usize {
    let skip = (offset % crate::BLOCK_BYTES as u64) as usize;
    len.min(READ_BYTES - skip)
}

fn budget() -> Budget {
    core::current().cold.clone()
}

fn start(file: OsFile, offset: u64, len: usize, reservation: Reservation) -> Started {
    core::with(|core| Counters::add(&core.counters.cold_reads, 1));
    Started(spawn(async move {
        let bytes = match file.around_cache() {
            Some(direct) => direct.read(offset, len).await?,
            None => background(move || read_up_to(&file, offset, len)).await?,
        };
        core::with(|core| Counters::add(&core.counters.cold_bytes, bytes.len() as u64));
        Ok(Chunk {
            bytes,
            _reservation: reservation,
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory of a read is counted in whole blocks; windows that straddle them would read blocks twice.
    #[test]
    fn windows_end_at_blocks_and_fit() {
        for offset in [0u64, 1, 4095, 4096, 100_000] {
            let len = window(offset, usize::MAX);
            assert!((offset + len as u64).is_multiple_of(4096));
            let around = Around::of(offset, len).expect("a range");
            assert!(around.bytes <= READ_BYTES && len > 0);
            assert_eq!(window(offset, 10), 10);
        }
    }
}
