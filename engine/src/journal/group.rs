//! A group: the appends that one write makes durable.

use std::task::Waker;

use reactor::AlignedBuf;
use uuid::Uuid;

use super::format::{
    BLOCK_BYTES, ENTRY_HEADER_BYTES, EntryHeader, FRAME_HEADER_BYTES, FrameHeader, entry_bytes,
    write_entry_header,
};

/// A frame being filled. Bytes are copied here once: what the disk takes past the page cache must lie at multiples of 4096,
/// and what producers send does not.
pub(super) struct Group {
    buf: AlignedBuf,
    entry_count: u32,
    /// Who waits for it.
    pub(super) wakers: Vec<Waker>,
}

impl Group {
    /// An empty one with room for `bytes_max` and at least one entry of `body_bytes`.
    pub(super) fn new(bytes_max: usize, body_bytes: usize) -> Group {
        let needed = FRAME_HEADER_BYTES + entry_bytes(body_bytes);
        let mut buf = AlignedBuf::with_capacity(bytes_max.max(needed).next_multiple_of(BLOCK_BYTES));
        buf.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        Group {
            buf,
            entry_count: 0,
            wakers: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.buf.len()
    }

    pub(super) fn has_room(&self, body_bytes: usize) -> bool {
        self.buf.len() + entry_bytes(body_bytes) <= self.buf.capacity()
    }

    pub(super) fn push(&mut self, header: &EntryHeader, body: &[u8]) {
        let mut head = [0; ENTRY_HEADER_BYTES];
        write_entry_header(&mut head, header);
        self.buf.extend_from_slice(&head);
        self.buf.extend_from_slice(body);
        let padding = entry_bytes(body.len()) - ENTRY_HEADER_BYTES - body.len();
        self.buf.extend_from_slice(&[0; 8][..padding]);
        self.entry_count += 1;
    }

    /// Closes the frame; what it returns is ready for the disk.
    pub(super) fn seal(self, journal_id: Uuid, sequence: u64, replay_from: u64) -> (AlignedBuf, Vec<Waker>) {
        let Group {
            mut buf,
            entry_count,
            wakers,
        } = self;
        let header = FrameHeader {
            journal_id,
            sequence,
            replay_from,
            payload_bytes: (buf.len() - FRAME_HEADER_BYTES) as u32, // a group is far smaller than a file
            entry_count,
        };
        let mut head = [0; FRAME_HEADER_BYTES];
        header.write(&mut head);
        buf[..FRAME_HEADER_BYTES].copy_from_slice(&head);
        FrameHeader::seal(&mut buf);
        buf.pad_to_block();
        (buf, wakers)
    }
}
