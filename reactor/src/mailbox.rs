//! A bounded queue from one thread to one reactor. The sender wakes the receiver's reactor only when it sleeps.

use std::cell::UnsafeCell;
use std::fmt;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use crate::core;

/// Keeps the two ends' counters on cache lines of their own (two lines: x86 fetches pairs).
#[repr(align(128))]
struct Line<T>(T);

/// `head <= tail <= head + capacity`, both counting messages since the start; slots `head..tail` (modulo the ring)
/// hold messages. Only the receiver moves `head`, only the sender `tail`.
struct Ring<T> {
    head: Line<AtomicUsize>,
    tail: Line<AtomicUsize>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    capacity: usize,
    sender_gone: AtomicBool,
    receiver_gone: AtomicBool,
    /// True while `waker` holds one that a sender should take.
    waiting: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

// SAFETY: a slot is written by the sender before it publishes `tail` (Release) and read by the receiver after it saw
// that `tail` (Acquire), and the other way round for `head`; so no slot is touched by two threads at once. The values
// move between threads, hence T: Send.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Ring<T> {
    fn slot(&self, count: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.slots[count & (self.slots.len() - 1)]
    }

    /// After a push or the sender's end. The fence pairs with the one in `register`: either this sees `waiting`, or
    /// the receiver, which looks again after registering, sees the message.
    fn wake_receiver(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) && self.waiting.swap(false, Ordering::AcqRel) {
            let waker = self.lock().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn register(&self, waker: &Waker) {
        {
            let mut slot = self.lock();
            match &mut *slot {
                Some(old) => old.clone_from(waker),
                None => *slot = Some(waker.clone()),
            }
        }
        self.waiting.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let (mut head, tail) = (*self.head.0.get_mut(), *self.tail.0.get_mut());
        while head != tail {
            // SAFETY: slots head..tail hold messages, and with `&mut self` both ends are gone.
            unsafe { (*self.slot(head).get()).assume_init_drop() };
            head = head.wrapping_add(1);
        }
    }
}

/// The one sending end; may move to another thread, cannot be cloned.
pub struct Sender<T> {
    ring: Arc<Ring<T>>,
    /// The sender's own count, and the receiver's as last seen: spares touching the other's cache line.
    tail: usize,
    head_seen: usize,
}

/// The one receiving end; may move to the reactor that will use it.
pub struct Receiver<T> {
    ring: Arc<Ring<T>>,
    head: usize,
    tail_seen: usize,
}

/// No room (or, see [`Sender::is_closed`], nobody to receive); gives the message back.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mailbox is full")
    }
}

/// A mailbox for up to `capacity` messages (at least one).
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let capacity = capacity.max(1);
    let slots = (0..capacity.next_power_of_two())
        .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
        .collect();
    let ring = Arc::new(Ring {
        head: Line(AtomicUsize::new(0)),
        tail: Line(AtomicUsize::new(0)),
        slots,
        capacity,
        sender_gone: AtomicBool::new(false),
        receiver_gone: AtomicBool::new(false),
        waiting: AtomicBool::new(false),
        waker: Mutex::new(None),
    });
    (
        Sender {
            ring: ring.clone(),
            tail: 0,
            head_seen: 0,
        },
        Receiver {
            ring,
            head: 0,
            tail_seen: 0,
        },
    )
}

impl<T: Send> Sender<T> {
    pub fn try_send(&mut self, message: T) -> Result<(), Full<T>> {
        if self.tail.wrapping_sub(self.head_seen) == self.ring.capacity {
            self.head_seen = self.ring.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == self.ring.capacity {
                return Err(Full(message));
            }
        }
        if self.is_closed() {
            return Err(Full(message));
        }
        // SAFETY: fewer than `capacity` messages are in, so this slot is empty and the receiver does not touch it
        // until `tail` below says so; there is one sender, borrowed mutably.
        unsafe { (*self.ring.slot(self.tail).get()).write(message) };
        self.tail = self.tail.wrapping_add(1);
        self.ring.tail.0.store(self.tail, Ordering::Release);
        self.ring.wake_receiver();
        Ok(())
    }

    /// True when the receiver is gone: what is sent now arrives nowhere.
    pub fn is_closed(&self) -> bool {
        self.ring.receiver_gone.load(Ordering::Relaxed)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.ring.sender_gone.store(true, Ordering::Release);
        self.ring.wake_receiver();
    }
}

impl<T> Receiver<T> {
    fn take(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            self.tail_seen = self.ring.tail.0.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        // SAFETY: head < tail, so the slot holds a message the sender has published and will not touch until `head`
        // below says so; reading it out once is a move, as `head` passes it now.
        let message = unsafe { (*self.ring.slot(self.head).get()).assume_init_read() };
        self.head = self.head.wrapping_add(1);
        self.ring.head.0.store(self.head, Ordering::Release);
        Some(message)
    }
}

impl<T: Send> Receiver<T> {
    /// The next message if there is one now.
    pub fn try_recv(&mut self) -> Option<T> {
        self.take()
    }

    /// The next message, or None when the sender is gone and everything it sent has been received.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        ready!(core::poll_proceed(cx));
        if let Some(message) = self.try_recv() {
            return Poll::Ready(Some(message));
        }
        self.ring.register(cx.waker());
        if let Some(message) = self.try_recv() {
            return Poll::Ready(Some(message));
        }
        if self.ring.sender_gone.load(Ordering::Acquire) {
            // why once more: the last message may have come between the look and the farewell
            return Poll::Ready(self.try_recv());
        }
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.ring.receiver_gone.store(true, Ordering::Relaxed);
        let waker = self.ring.lock().take();
        drop(waker);
        // what a message promises its sender (an answer) must end now, not when the sender goes
        while let Some(message) = self.take() {
            drop(message);
        }
    }
}
