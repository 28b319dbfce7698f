//! Bytes that many want and few may have: a semaphore in order of asking.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

struct Asking {
    bytes: usize,
    waker: Waker,
}

/// `available + reserved == total`, where reserved is the sum of live reservations; `kept <= total`.
struct Shared {
    total: usize,
    /// The last bytes, which only [`Budget::try_overtake`] takes.
    kept: usize,
    available: Cell<usize>,
    next: Cell<u64>,
    /// In order of asking; none of them is overtaken, so a big ask is not starved by small ones.
    asking: RefCell<BTreeMap<u64, Asking>>,
}

/// A byte budget of one reactor. Clones share it.
#[derive(Clone)]
pub struct Budget(Rc<Shared>);

impl Budget {
    pub fn new(bytes: usize) -> Budget {
        Budget::keeping(bytes, 0)
    }

    /// A budget of which the last `kept` bytes are for [`Budget::try_overtake`] alone.
    pub fn keeping(bytes: usize, kept: usize) -> Budget {
        Budget(Rc::new(Shared {
            total: bytes,
            kept: kept.min(bytes),
            available: Cell::new(bytes),
            next: Cell::new(0),
            asking: RefCell::new(BTreeMap::new()),
        }))
    }

    pub fn total(&self) -> usize {
        self.0.total
    }

    /// The most that one can ever reserve.
    pub fn reservable(&self) -> usize {
        self.0.total - self.0.kept
    }

    pub fn available(&self) -> usize {
        self.0.available.get()
    }

    /// Whether somebody waits for bytes.
    pub fn is_awaited(&self) -> bool {
        !self.0.asking.borrow().is_empty()
    }

    /// Waits for its turn and for enough bytes. Asking for more than is reservable gets all of that: one
    /// oversized ask at a time goes through instead of waiting for ever.
    pub async fn reserve(&self, bytes: usize) -> Reservation {
        let bytes = bytes.min(self.reservable());
        let mut place = Place {
            budget: &self.0,
            ticket: None,
        };
        poll_fn(|cx| place.poll(bytes, cx)).await;
        Reservation {
            budget: self.0.clone(),
            bytes,
        }
    }

    /// None if the bytes are not there now or others wait already. As in `reserve`, an ask beyond what is reservable
    /// is for all of that.
    pub fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        let bytes = bytes.min(self.reservable());
        if self.is_awaited() || bytes > self.0.for_all() {
            return None;
        }
        Some(self.take(bytes))
    }

    /// Takes from the kept bytes as well, ahead of all who wait. For asks that are small and must not starve.
    pub fn try_overtake(&self, bytes: usize) -> Option<Reservation> {
        (bytes <= self.0.available.get()).then(|| self.take(bytes))
    }

    fn take(&self, bytes: usize) -> Reservation {
        self.0.available.set(self.0.available.get() - bytes);
        Reservation {
            budget: self.0.clone(),
            bytes,
        }
    }
}

impl Shared {
    fn for_all(&self) -> usize {
        self.available.get().saturating_sub(self.kept)
    }

    /// Wakes the first in line if its bytes are there. It takes them itself, then wakes the next.
    fn wake_first(&self) {
        let asking = self.asking.borrow();
        if let Some((_, first)) = asking.first_key_value()
            && first.bytes <= self.for_all()
        {
            first.waker.wake_by_ref();
        }
    }
}

/// A place in the line, given up when dropped.
struct Place<'a> {
    budget: &'a Shared,
    ticket: Option<u64>,
}

impl Place<'_> {
    fn poll(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<()> {
        let is_first = {
            let asking = self.budget.asking.borrow();
            let first = asking.first_key_value().map(|(ticket, _)| *ticket);
            first == self.ticket
        };
        if is_first && bytes <= self.budget.for_all() {
            self.budget.available.set(self.budget.available.get() - bytes);
            self.leave();
            return Poll::Ready(());
        }
        let ticket = *self.ticket.get_or_insert_with(|| {
            let ticket = self.budget.next.get();
            self.budget.next.set(ticket + 1);
            ticket
        });
        self.budget.asking.borrow_mut().insert(
            ticket,
            Asking {
                bytes,
                waker: cx.waker().clone(),
            },
        );
        Poll::Pending
    }

    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let asking = self.budget.asking.borrow_mut().remove(&ticket);
            drop(asking);
            self.budget.wake_first();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Bytes taken from a [`Budget`]; dropping gives them back.
#[must_use = "a dropped Reservation is given back at once"]
pub struct Reservation {
    budget: Rc<Shared>,
    bytes: usize,
}

impl Reservation {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives part of it back; at most what it holds.
    pub fn release(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.available.set(self.budget.available.get() + bytes);
        debug_assert!(self.budget.available.get() <= self.budget.total);
        self.budget.wake_first();
    }

    /// Makes one of two.
    ///
    /// # Panics
    /// If they come from different budgets.
    pub fn merge(&mut self, mut other: Reservation) {
        assert!(
            Rc::ptr_eq(&self.budget, &other.budget),
            "reservations of different budgets"
        );
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release(self.bytes);
    }
}
