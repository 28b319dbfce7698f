//! Requests with one completion: waiting for readiness, reading and syncing files.

use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{opcode, squeue};

use super::Driver;
use super::operation::{Keep, Operation};
use crate::opened::OsFile;
use crate::slab::Key;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// A started request. Dropped before it is done, it is called back and its memory kept until the kernel lets go.
pub(super) struct Request {
    driver: Rc<Driver>,
    key: Option<Key>,
}

impl Request {
    /// # Safety
    /// As [`Driver::start`], with `keep` for the operation.
    unsafe fn start(driver: &Rc<Driver>, entry: squeue::Entry, keep: Keep) -> io::Result<Request> {
        driver.check_running()?;
        // SAFETY: the caller's promise.
        Ok(unsafe { Request::begin(driver, entry, keep) })
    }

    /// For who has checked that the reactor still runs, and keeps what it would lose with an error.
    ///
    /// # Safety
    /// As `start`.
    pub(super) unsafe fn begin(driver: &Rc<Driver>, entry: squeue::Entry, keep: Keep) -> Request {
        // SAFETY: the caller's promise.
        let key = unsafe { driver.start(entry, Operation::Waiting { waker: None, keep }) };
        Request {
            driver: driver.clone(),
            key: Some(key),
        }
    }
}

impl Future for Request {
    type Output = (io::Result<u32>, Keep);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let key = self.key.expect("a request is not polled again after it was done");
        let driver = self.driver.clone();
        let mut operations = driver.operations();
        match operations.get_mut(key) {
            Some(Operation::Waiting { waker, .. }) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(Operation::Done { .. }) => match operations.remove(key) {
                Some(Operation::Done { result, keep }) => {
                    self.key = None;
                    let result = u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
                    Poll::Ready((result, keep))
                }
                _ => unreachable!("it was there a line ago"),
            },
            _ => unreachable!("a request's operation stays until it is fetched"),
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut operations = self.driver.operations();
        let done = match operations.get_mut(key) {
            Some(operation @ Operation::Waiting { .. }) => {
                operation.orphan();
                drop(operations);
                self.driver.cancel(key);
                return;
            }
            _ => operations.remove(key),
        };
        drop(operations);
        drop(done);
    }
}

/// The kernel takes lengths as u32 and moves at most 2 GiB at once; in slices a dropped read is also given up sooner.
const READ_BYTES_MAX: usize = 16 * 1024 * 1024;

impl Driver {
    pub(super) fn check_running(&self) -> io::Result<()> {
        if self.is_finished() {
            return Err(io::Error::other("its reactor has ended"));
        }
        Ok(())
    }

    /// Resolves when the descriptor is ready, has failed or was shut down.
    pub(crate) async fn ready(self: &Rc<Self>, fd: &Rc<OwnedFd>, direction: Direction) -> io::Result<()> {
        let events = match direction {
            Direction::Read => libc::POLLIN | libc::POLLRDHUP,
            Direction::Write => libc::POLLOUT,
        };
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), events as u32).build();
        // SAFETY: names no memory; the descriptor is kept.
        let request = unsafe { Request::start(self, entry, Keep::Fd { _fd: fd.clone() })? };
        request.await.0.map(drop)
    }

    pub(crate) async fn sync_data(self: &Rc<Self>, file: OsFile) -> io::Result<()> {
        let entry = opcode::Fsync::new(Fd(file.as_raw_fd()))
            .flags(FsyncFlags::DATASYNC)
            .build();
        // SAFETY: names no memory; the descriptor is kept.
        let request = unsafe { Request::start(self, entry, Keep::File { _file: file })? };
        request.await.0.map(drop)
    }

    pub(crate) async fn read(self: &Rc<Self>, file: OsFile, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut file = file;
        let mut buf = BytesMut::with_capacity(len);
        while buf.len() < len {
            let left = (len - buf.len()).min(READ_BYTES_MAX);
            let at = offset + buf.len() as u64;
            let room = buf.spare_capacity_mut();
            let entry = opcode::Read::new(Fd(file.as_raw_fd()), room.as_mut_ptr().cast(), left as u32)
                .offset(at)
                .build();
            // SAFETY: `left` bytes fit into the spare room of `buf` (its capacity is at least `len`), whose heap memory
            // does not move with it; buffer and descriptor are kept.
            let request = unsafe { Request::start(self, entry, Keep::Read { file, buf })? };
            let (result, keep) = request.await;
            let Keep::Read {
                file: kept_file,
                buf: kept_buf,
            } = keep
            else {
                unreachable!("a request gives back what it was given to keep")
            };
            (file, buf) = (kept_file, kept_buf);
            match result {
                Ok(0) => break,
                // SAFETY: the kernel has written `n <= left` bytes into the spare room.
                Ok(n) => unsafe { buf.advance_mut(n as usize) },
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(buf.freeze())
    }
}
