//! Producers that wait for all replicas in sync: each for an offset of one partition.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use engine::planted::{self, Bug};
use engine::types::Offset;

/// The broker leads the partition no more: whether the records stay is up to the next leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this broker has ceased to lead the partition")]
pub struct Unacknowledged;

/// Who waits for the high watermark. Bounded by the requests in flight.
#[derive(Default)]
pub struct Acknowledgements {
    high_watermark: Cell<Offset>,
    /// Rises when the leadership ends.
    term: Cell<u64>,
    next_ticket: Cell<u64>,
    waiting: RefCell<BTreeMap<(Offset, u64), Waker>>,
}

impl Acknowledgements {
    /// The high watermark has moved.
    pub fn reached(&self, high_watermark: Offset) {
        self.high_watermark.set(high_watermark);
        if self.waiting.borrow().is_empty() {
            return;
        }
        let ready = {
            let mut waiting = self.waiting.borrow_mut();
            let still = waiting.split_off(&(high_watermark.next(), 0));
            std::mem::replace(&mut *waiting, still)
        };
        ready.into_values().for_each(Waker::wake);
    }

    /// All who wait are told that nobody here can say any more.
    pub fn leadership_ended(&self, high_watermark: Offset) {
        self.high_watermark.set(high_watermark);
        self.term.set(self.term.get() + 1);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_values().for_each(Waker::wake);
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Resolves when the high watermark is at `up_to` or beyond.
    pub fn wait(&self, up_to: Offset) -> Acknowledgement<'_> {
        Acknowledgement {
            of: self,
            up_to,
            term: self.term.get(),
            ticket: None,
        }
    }
}

/// See [`Acknowledgements::wait`].
#[must_use = "an acknowledgement does nothing until awaited"]
pub struct Acknowledgement<'a> {
    of: &'a Acknowledgements,
    up_to: Offset,
    term: u64,
    ticket: Option<u64>,
}

impl Future for Acknowledgement<'_> {
    type Output = Result<(), Unacknowledged>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let of = self.of;
        if of.term.get() != self.term && !planted::is(Bug::DeposedAcknowledges) {
            return Poll::Ready(Err(Unacknowledged));
        }
        if of.high_watermark.get() >= self.up_to {
            return Poll::Ready(Ok(()));
        }
        let ticket = *self.ticket.get_or_insert_with(|| {
            let ticket = of.next_ticket.get() + 1; // 0 sorts before all
            of.next_ticket.set(ticket);
            ticket
        });
        of.waiting
            .borrow_mut()
            .insert((self.up_to, ticket), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Acknowledgement<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let gone = self.of.waiting.borrow_mut().remove(&(self.up_to, ticket));
            drop(gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    /// Breaks in production: a producer is answered too early, or never, or by a broker that no longer leads.
    #[test]
    fn each_is_told_when_its_offset_is_reached_or_the_leadership_ends() {
        reactor::run(reactor::Config::default(), async {
            let acknowledgements = Rc::new(Acknowledgements::default());
            let wait = |up_to: i64| {
                let acknowledgements = acknowledgements.clone();
                reactor::spawn(async move { acknowledgements.wait(Offset(up_to)).await })
            };
            let (five, seven, nine) = (wait(5), wait(7), wait(9));
            reactor::yield_now().await;
            acknowledgements.reached(Offset(7));
            assert_eq!((five.await, seven.await), (Ok(()), Ok(())));
            assert!(!acknowledgements.is_empty());
            acknowledgements.leadership_ended(Offset(20));
            assert_eq!(nine.await, Err(Unacknowledged));
            assert!(acknowledgements.is_empty());
            assert_eq!(wait(20).await, Ok(()));
        })
        .unwrap();
    }
}
