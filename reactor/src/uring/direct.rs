//! Requests on files that own an aligned buffer.

use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use io_uring::types::Fd;
use io_uring::{opcode, squeue};

use super::Driver;
use super::operation::Keep;
use super::request::Request;
use crate::aligned::AlignedBuf;
use crate::direct::Sync;
use crate::opened::OsFile;

/// The kernel moves at most a page less than 2 GiB at once; the caller asks again for the rest.
const TRANSFER_BYTES_MAX: usize = 1 << 30;

impl Driver {
    /// One read into a range of the buffer's capacity.
    pub(crate) async fn read_into(
        self: &Rc<Self>,
        file: OsFile,
        buf: AlignedBuf,
        range: Range<usize>,
        offset: u64,
    ) -> (AlignedBuf, io::Result<usize>) {
        let mut buf = buf;
        let room = &mut buf.all_mut()[range];
        let len = room.len().min(TRANSFER_BYTES_MAX) as u32;
        let entry = opcode::Read::new(Fd(file.as_raw_fd()), room.as_mut_ptr(), len)
            .offset(offset)
            .build();
        // SAFETY: the entry names `len` bytes of `buf`, whose heap memory does not move with it.
        unsafe { self.transfer(entry, file, buf) }.await
    }

    /// One write from a range of the buffer.
    pub(crate) async fn write_from(
        self: &Rc<Self>,
        file: OsFile,
        buf: AlignedBuf,
        range: Range<usize>,
        offset: u64,
        sync: Sync,
    ) -> (AlignedBuf, io::Result<usize>) {
        let bytes = &buf[range];
        let len = bytes.len().min(TRANSFER_BYTES_MAX) as u32;
        let flags = match sync {
            Sync::No => 0,
            Sync::Data => libc::RWF_DSYNC,
        };
        let entry = opcode::Write::new(Fd(file.as_raw_fd()), bytes.as_ptr(), len)
            .offset(offset)
            .rw_flags(flags)
            .build();
        // SAFETY: the entry names `len` bytes of `buf`, whose heap memory does not move with it.
        unsafe { self.transfer(entry, file, buf) }.await
    }

    /// # Safety
    /// `entry` names the descriptor of `file` and memory of `buf` only.
    async unsafe fn transfer(
        self: &Rc<Self>,
        entry: squeue::Entry,
        file: OsFile,
        buf: AlignedBuf,
    ) -> (AlignedBuf, io::Result<usize>) {
        if let Err(e) = self.check_running() {
            return (buf, Err(e));
        }
        // SAFETY: the caller's promise; both are kept until the kernel is done.
        let request = unsafe { Request::begin(self, entry, Keep::Aligned { _file: file, buf }) };
        let (result, keep) = request.await;
        let Keep::Aligned { buf, .. } = keep else {
            unreachable!("a request gives back what it was given to keep")
        };
        (buf, result.map(|n| n as usize))
    }
}
