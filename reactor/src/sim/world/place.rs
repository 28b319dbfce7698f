//! Where in the world a thread is: what its door to the network and to other threads needs.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::thread::Thread;
use crate::signal::Signal;
use crate::sim::net::{HostId, Net, ProcessId};

#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) net: Rc<Net>,
    pub(crate) host: HostId,
    pub(crate) process: ProcessId,
    /// Of the process, before the names of its threads.
    pub(crate) name: Rc<str>,
    /// Threads the process has started and the world has not taken over yet.
    pub(super) born: Rc<RefCell<Vec<Rc<Thread>>>>,
    pub(crate) bell: Rc<SignalBell>,
}

/// The signal that asks the process to end.
#[derive(Default)]
pub(crate) struct SignalBell(RefCell<(Option<Signal>, Option<Waker>)>);

impl SignalBell {
    pub(super) fn ring(&self, signal: Signal) {
        let waker = {
            let mut bell = self.0.borrow_mut();
            bell.0 = Some(signal);
            bell.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) async fn wait(&self) -> Signal {
        poll_fn(|cx| {
            let mut bell = self.0.borrow_mut();
            match bell.0.take() {
                Some(signal) => Poll::Ready(signal),
                None => {
                    bell.1 = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
