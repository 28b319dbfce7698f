//! Bringing the segment file up to the log: what the tail holds and the file lacks is written, many batches at a time.

use std::io;
use std::rc::Rc;

use super::fault::is_shortage;
use super::handle::Inner;
use super::state::State;

/// Batches in one write: half of what the kernel takes.
const SLICES_MAX: usize = 512;

/// Written bytes of one log that are worth an order to the disk.
const WRITEBACK_BYTES: u64 = 256 << 10;

impl State {
    /// Writes what the file lacks. On failure it lacks less or as much; nothing is lost, the tail keeps it.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        let unwritten = self.active.tail.unwritten_bytes();
        if unwritten == 0 {
            return Ok(());
        }
        let file = self.active.segment.file(&self.dir)?;
        let end = self.active.tail.written() + unwritten;
        if end > self.active.allocated_bytes {
            self.allocate_ahead(&file, end);
        }
        while self.active.tail.unwritten_bytes() > 0 {
            let tail = &self.active.tail;
            let mut slices: Vec<io::IoSlice<'_>> = tail.unwritten(SLICES_MAX).map(io::IoSlice::new).collect();
            let bytes = slices.iter().map(|slice| slice.len() as u64).sum();
            file.write_all_vectored_at(&mut slices, tail.written())?;
            self.active.tail.note_written(bytes);
            if let Some(port) = &self.journal {
                port.journal.account_unwritten(0, bytes);
            }
        }
        self.begin_writeback(&file);
        Ok(())
    }
}

impl State {
    /// Hands full stretches to the disk as they come. Were they left to the checkpoint, it would queue tens of megabytes at once, and
    /// the journal's writes would wait behind them: 22 ms at p99 instead of one.
    fn begin_writeback(&mut self, file: &reactor::File) {
        let (from, to) = (self.active.handed_to_disk, self.active.tail.written());
        if self.journal.is_some() && to.saturating_sub(from) >= WRITEBACK_BYTES {
            // Only a hint: what goes wrong with it is told by the sync.
            let _hint = file.start_writeback(from, to - from);
            self.active.handed_to_disk = to;
        }
    }
}

impl Inner {
    /// The journal comes by: writes what the file lacks; lets go of the tail if that was nothing.
    pub(crate) fn settle_in_turn(self: &Rc<Self>) {
        let port = {
            let mut state = self.state.borrow_mut();
            state.active.tail.is_queued = false;
            if state.fault.is_some() {
                state.leave_journal(); // its bytes count no more: nobody will write them
                return;
            }
            if state.active.tail.unwritten_bytes() == 0 {
                state.active.tail.clear_written();
                return;
            }
            match state.settle() {
                Ok(()) => {
                    let kept = state.journal.as_ref().map_or(0, |port| port.journal.kept_bytes());
                    state.active.tail.shrink_to(kept);
                }
                // Stays in memory and in the journal; producers are refused meanwhile.
                Err(error) if is_shortage(&error) => state.is_short_of_room = true,
                Err(error) => {
                    state.fail("write segment", error);
                    state.leave_journal();
                    return;
                }
            }
            state.active.tail.is_queued = true;
            state.journal.clone()
        };
        if let Some(port) = port {
            port.journal.note_unsettled(Rc::downgrade(self));
        }
    }
}
