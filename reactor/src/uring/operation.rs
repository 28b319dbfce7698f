//! What the kernel is doing for us, and what it needs to stay alive meanwhile.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::Waker;

use bytes::BytesMut;

use super::listener::Accepting;
use super::receiving::Receiving;
use crate::aligned::AlignedBuf;
use crate::opened::OsFile;

/// Descriptors and memory of a request. A descriptor is kept as long as the request lives: were it closed while the
/// request waits to be submitted, its number could be a stranger's by then.
pub(super) enum Keep {
    Nothing,
    Fd { _fd: Rc<OwnedFd> },
    File { _file: OsFile },
    Read { file: OsFile, buf: BytesMut },
    Aligned { _file: OsFile, buf: AlignedBuf },
}

/// One entry of the driver's slab, there from before the request is pushed until its last completion is taken.
pub(super) enum Operation {
    /// A request with one completion, somebody waiting.
    Waiting { waker: Option<Waker>, keep: Keep },
    /// Completed, not yet fetched by its future.
    Done { result: i32, keep: Keep },
    /// Its future is gone; kept until the kernel is done with the memory.
    Orphan { _keep: Keep },
    /// A multishot receive into the buffer ring.
    RecvMany(Rc<Receiving>),
    /// A receive straight into `room`, which is the spare end of some caller's buffer.
    RecvOnce {
        receiving: Rc<Receiving>,
        room: BytesMut,
    },
    /// A multishot accept.
    Accept(Rc<Accepting>),
    /// The multishot poll that other threads' wakes come through.
    Bell,
}

impl Operation {
    /// A waiting request has completed: keeps the result for its future, gives the waker to wake.
    pub(super) fn done(&mut self, result: i32) -> Option<Waker> {
        let Operation::Waiting { waker, keep } = self else {
            return None;
        };
        let waker = waker.take();
        let keep = std::mem::replace(keep, Keep::Nothing);
        *self = Operation::Done { result, keep };
        waker
    }

    /// A waiting request's future is gone.
    pub(super) fn orphan(&mut self) {
        if let Operation::Waiting { keep, .. } = self {
            *self = Operation::Orphan {
                _keep: std::mem::replace(keep, Keep::Nothing),
            };
        }
    }
}
