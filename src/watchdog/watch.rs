//! When the broker counts as one that does not run: a rule without a clock.

/// Fed with beats and turns; says when clients must be kept from the broker, and when no longer.
#[derive(Debug, Default)]
pub struct Watch {
    /// Turns since the last beat; `None` before the first one, since a broker that has not begun cannot have stopped.
    missed: Option<u32>,
    is_stalled: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The broker does not run.
    Stalled,
    /// It runs again.
    Runs,
}

impl Watch {
    pub fn beat(&mut self) -> Option<Change> {
        self.missed = Some(0);
        std::mem::take(&mut self.is_stalled).then_some(Change::Runs)
    }

    /// One turn of the watchdog's own has passed without a beat.
    pub fn turn(&mut self, turns_max: u32) -> Option<Change> {
        let missed = self.missed.as_mut()?;
        *missed = missed.saturating_add(1);
        if *missed < turns_max || self.is_stalled {
            return None;
        }
        self.is_stalled = true;
        Some(Change::Stalled)
    }

    pub fn is_stalled(&self) -> bool {
        self.is_stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_stalls_once_until_its_next_beat() {
        let mut watch = Watch::default();
        for _ in 0..20 {
            assert_eq!(watch.turn(3), None, "it has not begun");
        }
        for _ in 0..2 {
            assert_eq!(watch.beat(), None);
            assert_eq!((watch.turn(3), watch.turn(3)), (None, None));
        }
        assert_eq!(watch.turn(3), Some(Change::Stalled));
        assert!(watch.is_stalled());
        assert_eq!(watch.turn(3), None, "it is known");
        assert_eq!(watch.beat(), Some(Change::Runs));
        assert!(!watch.is_stalled());
        assert_eq!(watch.beat(), None);
    }
}
