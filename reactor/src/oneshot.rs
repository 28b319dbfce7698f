//! One value, once, from any thread to any reactor.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

enum State<T> {
    Waiting(Option<Waker>),
    Sent(T),
    /// Taken, or one side is gone.
    Closed,
}

/// Both sides touch it a handful of times: a lock without contention is as quick as cleverness and has no proof to get wrong.
struct Shared<T>(Mutex<State<T>>);

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

pub struct Sender<T>(Option<Arc<Shared<T>>>);

pub struct Receiver<T>(Arc<Shared<T>>);

/// The sender went away without sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender was dropped without sending")
    }
}

impl std::error::Error for Dropped {}

pub fn channel<T: Send>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared(Mutex::new(State::Waiting(None))));
    (Sender(Some(shared.clone())), Receiver(shared))
}

impl<T> Sender<T> {
    /// Gives the value back if the receiver is gone.
    pub fn send(mut self, value: T) -> Result<(), T> {
        let Some(shared) = self.0.take() else {
            return Err(value);
        };
        let waker = {
            let mut state = shared.lock();
            match &mut *state {
                State::Waiting(waker) => {
                    let waker = waker.take();
                    *state = State::Sent(value);
                    waker
                }
                State::Sent(_) | State::Closed => return Err(value),
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// True when nobody waits for the value any more.
    pub fn is_closed(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|shared| matches!(&*shared.lock(), State::Closed))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let old = {
            let mut state = shared.lock();
            match &*state {
                State::Waiting(_) => std::mem::replace(&mut *state, State::Closed),
                State::Sent(_) | State::Closed => return,
            }
        };
        if let State::Waiting(Some(waker)) = old {
            waker.wake();
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Dropped>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match &mut *state {
            State::Waiting(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            State::Sent(_) => match std::mem::replace(&mut *state, State::Closed) {
                State::Sent(value) => Poll::Ready(Ok(value)),
                State::Waiting(_) | State::Closed => Poll::Ready(Err(Dropped)),
            },
            State::Closed => Poll::Ready(Err(Dropped)),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // why outside of the lock: the value's drop is code of others
        let old = std::mem::replace(&mut *self.0.lock(), State::Closed);
        drop(old);
    }
}
