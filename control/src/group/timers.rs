//! What falls due when: sessions, joins, syncs.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;

use super::clock::MonotonicMs;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    /// A member, or one that was only given a member id, must show itself by then.
    Session { group: Arc<str>, member: Arc<str> },
    /// The join phase ends.
    Join { group: Arc<str> },
    /// Members that have not asked for their assignment are removed.
    Sync { group: Arc<str> },
}

/// At most one deadline per timer. Both views hold the same pairs.
#[derive(Default)]
pub(super) struct Timers {
    by_deadline: BTreeSet<(MonotonicMs, Timer)>,
    deadlines: HashMap<Timer, MonotonicMs>,
}

impl Timers {
    /// Arms the timer, or moves it if it was armed.
    pub(super) fn set(&mut self, timer: Timer, deadline: MonotonicMs) {
        if let Some(before) = self.deadlines.insert(timer.clone(), deadline) {
            self.by_deadline.remove(&(before, timer.clone()));
        }
        self.by_deadline.insert((deadline, timer));
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(deadline) = self.deadlines.remove(timer) {
            self.by_deadline.remove(&(deadline, timer.clone()));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<MonotonicMs> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Takes the earliest timer that is due.
    pub(super) fn pop_due(&mut self, now: MonotonicMs) -> Option<Timer> {
        if self.next_deadline()? > now {
            return None;
        }
        let (_, timer) = self.by_deadline.pop_first()?;
        self.deadlines.remove(&timer);
        Some(timer)
    }

    pub(super) fn clear(&mut self) {
        self.by_deadline.clear();
        self.deadlines.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A heartbeat that failed to move the deadline would throw out living members.
    #[test]
    fn a_timer_has_one_deadline() {
        let timer = Timer::Join { group: "g".into() };
        let mut timers = Timers::default();
        timers.set(timer.clone(), MonotonicMs(10));
        timers.set(timer.clone(), MonotonicMs(20));
        assert_eq!(timers.pop_due(MonotonicMs(19)), None);
        assert_eq!(timers.next_deadline(), Some(MonotonicMs(20)));
        assert_eq!(timers.pop_due(MonotonicMs(20)), Some(timer.clone()));
        timers.set(timer.clone(), MonotonicMs(30));
        timers.cancel(&timer);
        assert_eq!(timers.next_deadline(), None);
    }
}
