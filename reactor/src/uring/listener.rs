//! Accepting by one multishot request.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use io_uring::opcode;
use io_uring::types::Fd;

use super::Driver;
use super::operation::Operation;
use crate::core;
use crate::slab::Key;
use crate::sys::fd::own;

/// Accepted but not fetched: beyond this the request is ended, and clients wait in the kernel's backlog.
const ACCEPTED_MAX: usize = 128;

#[derive(Default)]
struct State {
    accepted: VecDeque<OwnedFd>,
    error: Option<i32>,
    /// The request in flight; `is_ending` when it was called back.
    armed: Option<Key>,
    is_ending: bool,
    waker: Option<Waker>,
}

/// Shared by the listener and its request.
pub(super) struct Accepting {
    socket: OwnedFd,
    driver: Rc<Driver>,
    state: RefCell<State>,
}

pub(crate) struct Listener {
    accepting: Rc<Accepting>,
}

impl Listener {
    pub(crate) fn new(driver: &Rc<Driver>, socket: OwnedFd) -> Listener {
        let state = RefCell::new(State::default());
        Listener {
            accepting: Rc::new(Accepting {
                socket,
                driver: driver.clone(),
                state,
            }),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<OwnedFd> {
        poll_fn(|cx| self.accepting.poll(cx)).await
    }
}

/// The request ends soon after; the socket closes, with what was accepted and not fetched, at its last completion.
impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.end();
    }
}

impl Accepting {
    fn poll(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<io::Result<OwnedFd>> {
        ready!(core::poll_proceed(cx));
        let mut state = self.state.borrow_mut();
        if let Some(socket) = state.accepted.pop_front() {
            return Poll::Ready(Ok(socket));
        }
        if let Some(code) = state.error.take() {
            return Poll::Ready(Err(io::Error::from_raw_os_error(code)));
        }
        if state.armed.is_none() {
            if self.driver.is_finished() {
                return Poll::Ready(Err(io::Error::other("its reactor has ended")));
            }
            let entry = opcode::AcceptMulti::new(Fd(self.socket.as_raw_fd()))
                .flags(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
                .build();
            // SAFETY: names no memory; the descriptor is owned by `self`, which the operation holds.
            state.armed = Some(unsafe { self.driver.start(entry, Operation::Accept(self.clone())) });
            state.is_ending = false;
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn completed(&self, result: i32, is_last: bool) {
        let waker = {
            let mut state = self.state.borrow_mut();
            if is_last {
                state.armed = None;
            }
            match result {
                // SAFETY: a descriptor the kernel has just made for us.
                0.. => state.accepted.push_back(unsafe { own(result) }),
                _ if result == -libc::ECANCELED => {}
                _ => state.error = Some(-result),
            }
            state.waker.take()
        };
        if self.state.borrow().accepted.len() >= ACCEPTED_MAX {
            self.end();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn end(&self) {
        let mut state = self.state.borrow_mut();
        if let Some(key) = state.armed
            && !state.is_ending
        {
            state.is_ending = true;
            self.driver.cancel(key);
        }
    }
}
