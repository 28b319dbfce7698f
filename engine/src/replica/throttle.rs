//! A bound on bytes per second: what moves of partitions may take of the network (`leader.replication.throttled.rate` and its
//! follower's twin).
//!
//! A bucket that fills at the rate and holds what one second brings. How large an answer will be is not known before it is read, so what
//! passed is charged afterwards and may leave a debt; nothing more passes until that is paid. Over any time span, then, no more passes
//! than the rate allows in it and one second more, plus one answer.

use std::time::Duration;

use reactor::Instant;

/// One direction of one broker (or of one shard, with its part of the rate).
#[derive(Debug, Clone)]
pub struct Throttle {
    bytes_per_second: u64,
    /// What may pass, in bytes times [`SCALE`]; at most a second's worth. Negative is debt.
    credit: i128,
    filled: Instant,
}

/// A byte in nanoseconds of a rate of one byte per second: no fraction is lost however often the bucket is filled.
const SCALE: i128 = 1_000_000_000;

/// Kafka's `replication.quota.window.num` (11) less the one that is filled, of a second each.
const UNBOUND_DEBT_S: i128 = 10;

impl Throttle {
    /// Full at first. `u64::MAX`, or Kafka's default of 2^63 - 1, is no bound.
    pub fn new(now: Instant, bytes_per_second: u64) -> Throttle {
        Throttle {
            bytes_per_second,
            credit: i128::from(bytes_per_second) * SCALE,
            filled: now,
        }
    }

    /// Another rate from now on. A debt stays and is paid at the new rate.
    pub fn set_rate(&mut self, now: Instant, bytes_per_second: u64) {
        self.fill(now);
        self.bytes_per_second = bytes_per_second;
        self.credit = self.credit.min(self.capacity());
    }

    pub fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// Whether bytes may pass now.
    pub fn is_open(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.credit > 0
    }

    /// `bytes` have passed. What is not bound by the throttle is charged as well, as Kafka does with replicas that are in sync; but it
    /// leaves no larger debt than [`UNBOUND_DEBT_S`] bring in, which is what Kafka's quota remembers.
    pub fn charge(&mut self, now: Instant, bytes: u64, is_bound: bool) {
        self.fill(now);
        let charged = self.credit - i128::from(bytes) * SCALE;
        self.credit = if is_bound {
            charged
        } else {
            charged.max(self.credit.min(-self.capacity() * UNBOUND_DEBT_S))
        };
    }

    /// When bytes may pass again; `now` if they may already, `None` if never at this rate.
    pub fn opens_at(&mut self, now: Instant) -> Option<Instant> {
        self.fill(now);
        if self.credit > 0 {
            return Some(now);
        }
        if self.bytes_per_second == 0 {
            return None;
        }
        // the first nanosecond after which there is some credit
        let nanos = -self.credit / i128::from(self.bytes_per_second) + 1;
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        Some(now + Duration::from_nanos(nanos))
    }

    /// Asserts: time does not go back (an earlier `now` fills nothing), credit stays within a second's worth.
    fn fill(&mut self, now: Instant) {
        let passed = i128::try_from(now.saturating_since(self.filled).as_nanos()).unwrap_or(i128::MAX);
        self.filled = self.filled.max(now);
        let brought = passed.saturating_mul(i128::from(self.bytes_per_second));
        self.credit = self.credit.saturating_add(brought).min(self.capacity());
    }

    fn capacity(&self) -> i128 {
        i128::from(self.bytes_per_second) * SCALE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * MS)
    }

    /// Breaks in production: a move takes all of the network although it was given a bound, or never ends.
    #[test]
    fn over_time_the_rate_is_kept() {
        for answer_bytes in [1_000u64, 30_000, 1_000_000, 10_000_000] {
            let rate = 500_000;
            let mut throttle = Throttle::new(at(0), rate);
            let mut passed = 0;
            for ms in 0..60_000 {
                if throttle.is_open(at(ms)) {
                    throttle.charge(at(ms), answer_bytes, true);
                    passed += answer_bytes;
                }
            }
            // a minute's worth and the second that the bucket held; an answer more at most
            let most = 61 * rate + answer_bytes;
            assert!(passed <= most, "{answer_bytes}: {passed} of {most}");
            // asked once a millisecond, small answers pass as often as that
            let least = (60 * rate).min(60_000 * answer_bytes) - answer_bytes.min(60 * rate);
            assert!(passed >= least, "{answer_bytes}: {passed}, at least {least}");
        }
    }

    /// Breaks in production: a fetcher that waits for the throttle wakes too early and spins, or too late and wastes what it may take.
    #[test]
    fn it_opens_when_it_says() {
        let mut throttle = Throttle::new(at(0), 1_000);
        assert_eq!(throttle.opens_at(at(0)), Some(at(0)));
        throttle.charge(at(0), 3_500, true);
        let opens = throttle.opens_at(at(0)).unwrap();
        assert!(
            !throttle
                .clone()
                .is_open(Instant::from_nanos(opens.as_nanos() - 1))
        );
        assert!(throttle.is_open(opens));
        assert_eq!(opens.as_nanos() / MS, 2_500);
    }

    /// Breaks in production: a rate of 0, which Kafka takes for "nothing at all", divides by zero.
    #[test]
    fn a_rate_of_nothing_lets_nothing_pass() {
        let mut throttle = Throttle::new(at(0), 0);
        assert!(!throttle.is_open(at(1_000_000)));
        assert_eq!(throttle.opens_at(at(1_000_000)), None);
        throttle.set_rate(at(1_000_000), 10);
        assert!(throttle.is_open(at(1_000_001)));
    }

    /// Breaks in production: the default, no bound, overflows after a long time or a large answer.
    #[test]
    fn no_bound_is_none_for_ever() {
        for rate in [u64::MAX, i64::MAX as u64] {
            let mut throttle = Throttle::new(at(0), rate);
            for year in 0..500 {
                let now = at(year * 31_556_952_000);
                throttle.charge(now, 1 << 50, true);
                assert!(throttle.is_open(now));
            }
        }
    }

    /// Breaks in production: a new rate forgives what the old one let through too much, so that changing it often lifts it.
    #[test]
    fn a_debt_outlives_a_change_of_the_rate() {
        let mut throttle = Throttle::new(at(0), 1_000);
        throttle.charge(at(0), 11_000, true);
        throttle.set_rate(at(0), 5_000);
        assert_eq!(
            throttle.opens_at(at(0)).map(|opens| opens.as_nanos() / MS),
            Some(2_000)
        );
        throttle.set_rate(at(0), 1_000);
        assert!(!throttle.is_open(at(9_000)));
        // and what was saved up at a high rate is not spent at a low one
        let mut throttle = Throttle::new(at(0), 1_000_000);
        throttle.set_rate(at(0), 1_000);
        throttle.charge(at(0), 1_001, true);
        assert!(!throttle.is_open(at(0)));
    }

    /// Breaks in production: replicas in sync take much for an hour, and one that is behind gets nothing for the next hour.
    #[test]
    fn what_is_not_bound_is_forgotten_after_a_while() {
        let mut throttle = Throttle::new(at(0), 1_000);
        for second in 0..3_600 {
            throttle.charge(at(second * 1_000), 50_000, false);
        }
        assert!(!throttle.is_open(at(3_600_000)));
        assert!(throttle.is_open(at(3_600_000 + 10_000)));
        // and does not pay the debt of what is bound
        let mut throttle = Throttle::new(at(0), 1_000);
        throttle.charge(at(0), 31_000, true);
        throttle.charge(at(0), 5_000, false);
        assert!(!throttle.is_open(at(29_000)));
        assert!(throttle.is_open(at(30_001)));
    }
}
