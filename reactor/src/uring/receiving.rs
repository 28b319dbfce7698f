//! The receiving half of a connection: a multishot request fills ring buffers as bytes come; big reads of known size
//! go straight into the caller's buffer instead.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{BufMut, BytesMut};
use io_uring::opcode;
use io_uring::types::Fd;

use super::Driver;
use super::buffers::{Buffer, GROUP};
use super::operation::Operation;
use crate::slab::Key;
use crate::{core, turn};

/// What one `recv` appends at most.
const RECV_BYTES_MAX: usize = 128 * 1024;
/// More than this still to come: two more requests (cancel, one-shot) cost less than the copy. Measured by the design.
const STRAIGHT_BYTES: usize = 32 * 1024;
/// Room made for a straight receive: as much as has come so far, between these. A buffer grows with bytes received.
const ROOM_BYTES_MIN: usize = 64 * 1024;
const ROOM_BYTES_MAX: usize = 1024 * 1024;
/// Unread bytes at which the multishot request is ended, so that the peer feels that nobody reads: while a reader is
/// there, and while none is. One burst (32 buffers) may come on top.
const UNREAD_BYTES_MAX: usize = 256 * 1024;
const UNREAD_BYTES_MAX_ALONE: usize = 64 * 1024;

enum Arrived {
    Lent(Buffer),
    Kept(BytesMut),
}

/// At most one request is in flight: with two the order of bytes would be anybody's guess.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Armed {
    No,
    Many(Key),
    Once(Key),
    /// Called back; its last completion (maybe with bytes) is to come.
    Ending,
}

#[derive(Clone, Copy)]
enum End {
    Eof,
    Error(i32),
}

struct State {
    /// Bytes in the order they came; `unread` is their number.
    arrived: VecDeque<Arrived>,
    unread: usize,
    /// What comes after `arrived`, for good.
    end: Option<End>,
    armed: Armed,
    waker: Option<Waker>,
}

/// Shared by the stream and its request.
pub(super) struct Receiving {
    driver: Rc<Driver>,
    socket: Rc<OwnedFd>,
    state: RefCell<State>,
    has_reader: Cell<bool>,
    is_closed: Cell<bool>,
    is_starved: Cell<bool>,
    is_holder: Cell<bool>,
}

/// How far a `recv_exact` has come.
pub(super) struct Exact {
    left: usize,
    received: usize,
    is_straight: bool,
}

impl Exact {
    pub(super) fn new(n: usize) -> Exact {
        Exact {
            left: n,
            received: 0,
            is_straight: false,
        }
    }
}

/// While it lives somebody receives: what arrives wakes them.
pub(super) struct Reader<'a>(&'a Rc<Receiving>);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let receiving = self.0;
        receiving.has_reader.set(false);
        let waker = {
            let mut state = receiving.state.borrow_mut();
            if let Armed::Once(key) = state.armed {
                // what it has received by then completes into `arrived`
                state.armed = Armed::Ending;
                receiving.driver.cancel(key);
            }
            state.waker.take()
        };
        drop(waker);
        receiving.hold();
    }
}

impl Reader<'_> {
    pub(super) fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        ready!(core::poll_proceed(cx));
        let receiving = self.0;
        let n = receiving.take(buf, RECV_BYTES_MAX);
        if n > 0 {
            return Poll::Ready(Ok(n));
        }
        match receiving.end() {
            Some(End::Eof) => return Poll::Ready(Ok(0)),
            Some(End::Error(code)) => return Poll::Ready(Err(io::Error::from_raw_os_error(code))),
            None => {}
        }
        receiving.wait(cx);
        if receiving.armed() == Armed::No {
            receiving.arm_many()?;
        }
        Poll::Pending
    }

    pub(super) fn poll_recv_exact(
        &self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
        exact: &mut Exact,
    ) -> Poll<io::Result<()>> {
        ready!(core::poll_proceed(cx));
        let receiving = self.0;
        let n = receiving.take(buf, exact.left);
        exact.left -= n;
        exact.received += n;
        if exact.left == 0 {
            return Poll::Ready(Ok(()));
        }
        match receiving.end() {
            Some(End::Eof) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Some(End::Error(code)) => return Poll::Ready(Err(io::Error::from_raw_os_error(code))),
            None => {}
        }
        exact.is_straight |= exact.left > STRAIGHT_BYTES;
        receiving.wait(cx);
        match receiving.armed() {
            Armed::No if exact.is_straight => receiving.arm_once(buf, exact)?,
            Armed::No => receiving.arm_many()?,
            Armed::Many(key) if exact.is_straight => receiving.end_early(key),
            Armed::Many(_) | Armed::Once(_) | Armed::Ending => {}
        }
        Poll::Pending
    }
}

impl Receiving {
    pub(super) fn new(driver: &Rc<Driver>, socket: Rc<OwnedFd>) -> Rc<Receiving> {
        Rc::new(Receiving {
            driver: driver.clone(),
            socket,
            state: RefCell::new(State {
                arrived: VecDeque::new(),
                unread: 0,
                end: None,
                armed: Armed::No,
                waker: None,
            }),
            has_reader: Cell::new(false),
            is_closed: Cell::new(false),
            is_starved: Cell::new(false),
            is_holder: Cell::new(false),
        })
    }

    pub(super) fn reader(self: &Rc<Self>) -> Reader<'_> {
        self.has_reader.set(true);
        Reader(self)
    }

    /// Nobody will receive any more.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        let dropped = {
            let mut state = self.state.borrow_mut();
            if let Armed::Many(key) | Armed::Once(key) = state.armed {
                state.armed = Armed::Ending;
                self.driver.cancel(key);
            }
            (std::mem::take(&mut state.arrived), state.waker.take())
        };
        drop(dropped);
    }

    /// A completion of the multishot request.
    pub(super) fn many_completed(self: &Rc<Self>, result: i32, buffer: Option<Buffer>, is_last: bool) {
        if is_last {
            self.state.borrow_mut().armed = Armed::No;
        }
        match (usize::try_from(result), buffer) {
            (Ok(0), _) => self.ended(End::Eof),
            (Ok(n), Some(buffer)) => self.arrive(Arrived::Lent(buffer), n),
            (Ok(_), None) => self.ended(End::Error(libc::EIO)), // bytes without a buffer: they are lost
            (Err(_), _) if result == -libc::ENOBUFS => {
                self.starve();
                return;
            }
            (Err(_), _) => self.failed(-result),
        }
        self.wake();
    }

    /// The completion of a straight receive.
    pub(super) fn once_completed(self: &Rc<Self>, result: i32, room: BytesMut) {
        self.state.borrow_mut().armed = Armed::No;
        let mut room = room;
        match usize::try_from(result) {
            Ok(0) => self.ended(End::Eof),
            Ok(n) => {
                // SAFETY: `room` was empty, and the kernel has written `n` bytes into its spare capacity.
                unsafe { room.advance_mut(n) };
                self.arrive(Arrived::Kept(room), n);
            }
            Err(_) => self.failed(-result),
        }
        self.wake();
    }

    /// There are buffers again.
    pub(super) fn fed(self: &Rc<Self>) {
        self.is_starved.set(false);
        if !self.has_reader.get() || self.is_closed.get() || self.armed() != Armed::No {
            return;
        }
        if self.arm_many().is_err() {
            self.wake(); // it will see the error itself
        }
    }

    /// Copies lent buffers to the heap, unless a reader is about to take them: the pool is short of them.
    pub(super) fn copy_out(self: &Rc<Self>) {
        self.is_holder.set(false);
        if self.has_reader.get() {
            return;
        }
        let mut state = self.state.borrow_mut();
        let mut copy = BytesMut::with_capacity(state.unread);
        let mut arrived = VecDeque::with_capacity(1);
        for part in state.arrived.drain(..) {
            match part {
                Arrived::Lent(buffer) => copy.extend_from_slice(buffer.bytes()),
                Arrived::Kept(bytes) => copy.extend_from_slice(&bytes),
            }
        }
        if !copy.is_empty() {
            arrived.push_back(Arrived::Kept(copy));
        }
        state.arrived = arrived;
    }

    fn armed(&self) -> Armed {
        self.state.borrow().armed
    }

    fn end(&self) -> Option<End> {
        self.state.borrow().end
    }

    fn ended(&self, end: End) {
        self.state.borrow_mut().end.get_or_insert(end);
    }

    fn failed(&self, code: i32) {
        // called back, or interrupted: the next poll arms again
        if code != libc::ECANCELED && code != libc::EINTR && code != libc::EAGAIN {
            self.ended(End::Error(code));
        }
    }

    fn wait(&self, cx: &mut Context<'_>) {
        self.state.borrow_mut().waker = Some(cx.waker().clone());
    }

    fn wake(&self) {
        let waker = self.state.borrow_mut().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn arrive(self: &Rc<Self>, arrived: Arrived, n: usize) {
        if self.is_closed.get() {
            return;
        }
        let (armed, unread) = {
            let mut state = self.state.borrow_mut();
            state.arrived.push_back(arrived);
            state.unread += n;
            (state.armed, state.unread)
        };
        let max = if self.has_reader.get() {
            UNREAD_BYTES_MAX
        } else {
            UNREAD_BYTES_MAX_ALONE
        };
        if let Armed::Many(key) = armed
            && unread > max
        {
            self.end_early(key);
        }
        self.hold();
    }

    /// Tells the driver whom to ask when buffers are short.
    fn hold(self: &Rc<Self>) {
        let holds_alone = !self.has_reader.get()
            && self
                .state
                .borrow()
                .arrived
                .iter()
                .any(|part| matches!(part, Arrived::Lent(_)));
        if holds_alone && !self.is_holder.replace(true) {
            self.driver.hold(self);
        }
    }

    /// Moves up to `max` arrived bytes to the end of `buf`.
    fn take(&self, buf: &mut BytesMut, max: usize) -> usize {
        let mut state = self.state.borrow_mut();
        let mut taken = 0;
        while taken < max {
            let left = max - taken;
            let Some(part) = state.arrived.front_mut() else {
                break;
            };
            let (n, is_used_up) = match part {
                Arrived::Lent(buffer) => {
                    let n = buffer.bytes().len().min(left);
                    // why a copy: ring buffers are few and must go back, and 16 KiB cost about a microsecond
                    buf.extend_from_slice(&buffer.bytes()[..n]);
                    buffer.advance(n);
                    (n, buffer.bytes().is_empty())
                }
                Arrived::Kept(bytes) => {
                    let n = bytes.len().min(left);
                    // no copy if it lies right behind, as what `arm_once` split off does
                    buf.unsplit(bytes.split_to(n));
                    (n, bytes.is_empty())
                }
            };
            if is_used_up {
                state.arrived.pop_front();
            }
            taken += n;
        }
        state.unread -= taken;
        drop(state);
        turn::charge(taken);
        taken
    }

    fn end_early(&self, key: Key) {
        self.state.borrow_mut().armed = Armed::Ending;
        self.driver.cancel(key);
    }

    fn starve(self: &Rc<Self>) {
        if self.has_reader.get() && !self.is_closed.get() && !self.is_starved.replace(true) {
            self.driver.starve(self);
        }
    }

    fn arm_many(self: &Rc<Self>) -> io::Result<()> {
        self.check_alive()?;
        if self.driver.buffers.free() == 0 {
            self.starve();
            return Ok(());
        }
        let entry = opcode::RecvMulti::new(Fd(self.socket.as_raw_fd()), GROUP).build();
        // SAFETY: names no memory but the buffer ring, which outlives the driver's ring; the descriptor is owned by
        // `self`, which the operation holds.
        let key = unsafe { self.driver.start(entry, Operation::RecvMany(self.clone())) };
        self.state.borrow_mut().armed = Armed::Many(key);
        Ok(())
    }

    fn arm_once(self: &Rc<Self>, buf: &mut BytesMut, exact: &Exact) -> io::Result<()> {
        self.check_alive()?;
        let wanted = exact
            .received
            .clamp(ROOM_BYTES_MIN, ROOM_BYTES_MAX)
            .min(exact.left);
        if buf.capacity() - buf.len() < wanted {
            buf.reserve(wanted);
        }
        // the spare end shares the allocation; `take` joins it to the caller's buffer again without a copy
        let mut room = buf.split_off(buf.len());
        let spare = room.spare_capacity_mut();
        let len = spare.len().min(exact.left).min(ROOM_BYTES_MAX);
        let entry = opcode::Recv::new(Fd(self.socket.as_raw_fd()), spare.as_mut_ptr().cast(), len as u32)
            .flags(libc::MSG_WAITALL)
            .build();
        // SAFETY: `len` bytes fit into the spare capacity of `room`, which the operation owns, and whose heap memory
        // does not move with it; `buf`, the other half, cannot reach it. The descriptor is owned by `self`.
        let key = unsafe {
            self.driver.start(
                entry,
                Operation::RecvOnce {
                    receiving: self.clone(),
                    room,
                },
            )
        };
        self.state.borrow_mut().armed = Armed::Once(key);
        Ok(())
    }

    fn check_alive(&self) -> io::Result<()> {
        if self.driver.is_finished() {
            return Err(io::Error::other("its reactor has ended"));
        }
        Ok(())
    }
}
