//! Reads of what the page cache lacks: around it the first time (see [`crate::reread`]), so that a reader of old data neither evicts what others read now nor
//! makes their thread wait for the disk; and under a budget of the reactor, so that many such readers do not take its
//! memory.
//!
//! `sum of reservations of started reads and of chunks alive <= budget`. Nobody waits for the budget while holding a
//! part of it: reads ahead are only made from what is free, and whoever has bytes sends them first.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::background;
use crate::core;
use crate::direct::Around;
use crate::file::read_up_to;
use crate::follow::Followed;
use crate::metrics::Counters;
use crate::opened::OsFile;
use crate::residency::{self, Residency};
use crate::sync::Reservation;
use crate::sys;
use crate::task::{Task, spawn};

/// Between the measured 256 KiB (780-900 MB/s, one at a time) and 1 MiB (870-1,330 MB/s): with one ahead, a fetch of
/// 1 MiB from one partition overlaps reading and sending.
pub(crate) const READ_BYTES: usize = 512 * 1024;

/// While synced writes wait behind it; see [`crate::device`].
const SHORT_READ_BYTES: usize = READ_BYTES / 2;

/// How long a peer may leave read bytes waiting while other readers wait for the budget. A guess, above the round
/// trips of a continent.
pub(crate) const STALL_MAX: Duration = Duration::from_millis(100);

/// Bytes read, and their part of the budget.
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// Shared by the parts of one read, as its memory is.
    reservation: Rc<Reservation>,
}

impl Chunk {
    /// Takes all but the first `len` bytes off, if there are more.
    pub(crate) fn split_off(&mut self, len: usize) -> Option<Chunk> {
        (len < self.bytes.len()).then(|| Chunk {
            bytes: self.bytes.split_off(len),
            reservation: self.reservation.clone(),
        })
    }
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

/// Up to `len` bytes, fewer only where the file ends.
pub(crate) async fn read(file: &OsFile, offset: u64, len: usize) -> io::Result<Chunk> {
    begin(file, offset, len).await?.done().await
}

/// Starts a read as soon as it is its turn.
pub(crate) async fn begin(file: &OsFile, offset: u64, len: usize) -> io::Result<Started> {
    let around = Around::of(offset, len)?;
    let reservation = match reserve_evicting(around.bytes) {
        Some(reservation) => reservation,
        None => core::current().cold.clone().reserve(around.bytes).await,
    };
    Ok(start(file.clone(), offset, len, reservation))
}

/// Starts a read that will be needed, if the budget allows it now.
pub(crate) fn try_begin(file: &OsFile, offset: u64, len: usize) -> Option<Started> {
    let around = Around::of(offset, len).ok()?;
    Some(start(file.clone(), offset, len, reserve_evicting(around.bytes)?))
}

/// Starts reading what may be asked for next from `offset` on, if the budget has room to spare.
pub(crate) fn follow(file: &OsFile, offset: u64) {
    let core = core::current();
    let truncations = file.truncations();
    let left = file.len().map_or(0, |len| len.saturating_sub(offset));
    let len = window(offset, usize::try_from(left).unwrap_or(usize::MAX));
    if len == 0
        || !core.following.wants(file, offset)
        || residency::of(file, offset, len as u64) != Residency::Missing
    {
        return;
    }
    if let Some(reservation) = core.cold.try_reserve(READ_BYTES) {
        let started = start(file.clone(), offset, len, reservation);
        core.following
            .put(file, truncations, offset, Followed::Started(started));
    }
}

/// What `follow` has got from `offset` on: at least one byte and at most `len`.
pub(crate) async fn followed(file: &OsFile, offset: u64, len: usize) -> Option<Chunk> {
    let core = core::current();
    let (truncations, followed) = core.following.take(file, offset)?;
    let mut chunk = match followed {
        // why not an error: it is nobody's yet, and the read that is asked for will tell
        Followed::Started(started) => started.done().await.ok()?,
        Followed::Read(chunk) => chunk,
    };
    if truncations != file.truncations() || chunk.bytes.is_empty() {
        return None;
    }
    if let Some(rest) = chunk.split_off(len) {
        core.following
            .put(file, truncations, offset + len as u64, Followed::Read(rest));
    }
    Some(chunk)
}

/// What is only kept for later makes room for what is needed now.
fn reserve_evicting(bytes: usize) -> Option<Reservation> {
    let core = core::current();
    loop {
        match core.cold.try_reserve(bytes) {
            None if core.following.evict() => {}
            other => return other,
        }
    }
}

/// Whether somebody waits for the budget.
pub(crate) fn is_contended() -> bool {
    core::with(|core| core.cold.is_awaited()).unwrap_or(false)
}

/// Of a slice of a file, the part to read first: it ends at a block, so that the next begins at one.
pub(crate) fn window(offset: u64, len: usize) -> usize {
    let is_written_to = core::with(|core| core.device.is_written_to()).unwrap_or(false);
    let most = if is_written_to {
        SHORT_READ_BYTES
    } else {
        READ_BYTES
    };
    let skip = (offset % crate::BLOCK_BYTES as u64) as usize;
    len.min(most - skip)
}

fn start(file: OsFile, offset: u64, len: usize, reservation: Reservation) -> Started {
    core::with(|core| Counters::add(&core.counters.cold_reads, 1));
    Started(spawn(async move {
        let place = core::current().device.place();
        let _place = place.await;
        let core = core::current();
        let is_again = file.id().is_ok_and(|id| core.reread.note(id, offset, len));
        let bytes = match file.around_cache() {
            // by the ring, not by a helper: acknowledgements wait for those
            Some(_) if is_again => {
                sys::cache::advise_random(&*file); // no more than is asked for is to come into the cache
                core.filling.clone().read(file, offset, len).await?
            }
            Some(direct) => direct.read(offset, len).await?,
            None => background(move || read_up_to(&file, offset, len)).await?,
        };
        core::with(|core| Counters::add(&core.counters.cold_bytes, bytes.len() as u64));
        Ok(Chunk {
            bytes,
            reservation: Rc::new(reservation),
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
