//! When which batch is to be sent: fixed before the run, whatever the broker does.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use reactor::Instant;

/// The batches of a run that all lanes share when there is no rate: each takes the next as soon as it can.
#[derive(Debug)]
pub struct Supply {
    left: Cell<u64>,
    until: Option<Instant>,
}

impl Supply {
    pub fn new(batches: u64, until: Option<Instant>) -> Rc<Supply> {
        Rc::new(Supply {
            left: Cell::new(batches),
            until,
        })
    }

    fn take(&self, now: Instant) -> bool {
        if self.left.get() == 0 || self.until.is_some_and(|until| now >= until) {
            return false;
        }
        self.left.set(self.left.get() - 1);
        true
    }
}

/// What a lane is to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send a batch; its latency counts from this time.
    Send {
        intended: Instant,
    },
    /// Too late for this batch, and for all that follow: the run is over.
    GiveUp {
        intended: Instant,
    },
    WaitUntil(Instant),
    Done,
}

/// How long after the end of a run its last batches may still be sent. A broker that cannot keep the rate would
/// otherwise stretch the run without end.
const OVERTIME: Duration = Duration::from_secs(2);

/// The schedule of one lane.
#[derive(Debug)]
pub enum Pace {
    /// Of all batches of the run, this lane has every `lanes`-th, each at its own time.
    Rate {
        start: Instant,
        interval_ns: f64,
        next: u64,
        lanes: u64,
        batches: u64,
        until: Option<Instant>,
    },
    Fast(Rc<Supply>),
}

impl Pace {
    /// The schedule of lane `lane` of `lanes` for `batches_per_s`.
    pub fn at_rate(
        batches_per_s: f64,
        start: Instant,
        (lane, lanes): (usize, usize),
        batches: u64,
        until: Option<Instant>,
    ) -> Pace {
        Pace::Rate {
            start,
            interval_ns: 1e9 / batches_per_s,
            next: lane as u64,
            lanes: lanes as u64,
            batches,
            until,
        }
    }

    /// Takes the next batch if it is due.
    pub fn next(&mut self, now: Instant) -> Next {
        match self {
            Pace::Fast(supply) if supply.take(now) => Next::Send { intended: now },
            Pace::Fast(_) => Next::Done,
            Pace::Rate {
                start,
                interval_ns,
                next,
                lanes,
                batches,
                until,
            } => {
                // from the start each time: adding intervals up would add their rounding up, too
                let intended = *start + Duration::from_nanos((*next as f64 * *interval_ns) as u64);
                if *next >= *batches || until.is_some_and(|until| intended >= until) {
                    return Next::Done;
                }
                if intended > now {
                    return Next::WaitUntil(intended);
                }
                *next += *lanes;
                if until.is_some_and(|until| now >= until + OVERTIME) {
                    return Next::GiveUp { intended };
                }
                Next::Send { intended }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn start() -> Instant {
        Instant::default() + Duration::from_secs(1)
    }

    #[test]
    fn a_stalled_lane_sends_what_was_due_with_the_times_it_was_due_at() {
        // Counting from the real send time instead would hide every stall of the broker.
        let start = start();
        let mut pace = Pace::at_rate(100.0, start, (0, 1), 4, None);
        assert_eq!(pace.next(start), Next::Send { intended: start });
        assert_eq!(pace.next(start), Next::WaitUntil(at(start, 10)));
        let late = at(start, 25);
        assert_eq!(
            pace.next(late),
            Next::Send {
                intended: at(start, 10)
            }
        );
        assert_eq!(
            pace.next(late),
            Next::Send {
                intended: at(start, 20)
            }
        );
        assert_eq!(pace.next(late), Next::WaitUntil(at(start, 30)));
        assert_eq!(
            pace.next(at(start, 99)),
            Next::Send {
                intended: at(start, 30)
            }
        );
        assert_eq!(pace.next(at(start, 99)), Next::Done);
    }

    #[test]
    fn lanes_share_the_rate_without_overlap() {
        let start = start();
        let mut lanes: Vec<Pace> = (0..3)
            .map(|lane| Pace::at_rate(1000.0, start, (lane, 3), 10, None))
            .collect();
        let far = at(start, 1000);
        let mut sent: Vec<Instant> = Vec::new();
        for lane in &mut lanes {
            while let Next::Send { intended } = lane.next(far) {
                sent.push(intended);
            }
        }
        sent.sort();
        assert_eq!(sent, (0..10).map(|ms| at(start, ms)).collect::<Vec<_>>());
    }

    #[test]
    fn time_and_count_end_a_run() {
        let start = start();
        let mut pace = Pace::at_rate(1000.0, start, (0, 1), u64::MAX, Some(at(start, 3)));
        let sent = |pace: &mut Pace, now| {
            let mut count = 0;
            while let Next::Send { .. } = pace.next(now) {
                count += 1;
            }
            count
        };
        assert_eq!(sent(&mut pace, at(start, 1000)), 3);
        let mut pace = Pace::at_rate(1000.0, start, (0, 1), u64::MAX, Some(at(start, 3)));
        assert_eq!(sent(&mut pace, at(start, 1)), 2);
        let late = start + OVERTIME * 2;
        assert_eq!(
            pace.next(late),
            Next::GiveUp {
                intended: at(start, 2)
            }
        );
        assert_eq!(pace.next(late), Next::Done);
        let supply = Supply::new(2, Some(at(start, 5)));
        let (mut one, mut two) = (Pace::Fast(supply.clone()), Pace::Fast(supply));
        assert_eq!(one.next(start), Next::Send { intended: start });
        assert_eq!(two.next(at(start, 5)), Next::Done);
        assert_eq!(
            two.next(at(start, 4)),
            Next::Send {
                intended: at(start, 4)
            }
        );
        assert_eq!(one.next(start), Next::Done);
    }
}
