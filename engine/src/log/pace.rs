//! Keeping background work to a rate of bytes.

use std::time::Duration;

use reactor::Instant;

/// Longest wait for one slice, for rates near zero.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// Slices of background work: small enough that the thread they share gets round, large enough to be worth a turn.
const SLICE_MIN_BYTES: u64 = 64 << 10;
const SLICE_MAX_BYTES: u64 = 4 << 20;

/// A rate, and when it is used up to.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: f64,
    used_until: Instant,
}

impl Pace {
    /// A rate that is not a positive number is none: then nothing waits.
    pub(crate) fn new(bytes_per_second: f64) -> Pace {
        Pace {
            bytes_per_second,
            used_until: reactor::now(),
        }
    }

    /// Bytes to do in one go: half a second's worth, some milliseconds of a disk of 1 GB/s at most.
    pub(crate) fn slice_bytes(&self) -> u64 {
        if self.is_limited() {
            ((self.bytes_per_second / 2.0) as u64).clamp(SLICE_MIN_BYTES, SLICE_MAX_BYTES)
        } else {
            SLICE_MAX_BYTES
        }
    }

    /// Waits until `bytes` more are within the rate. What was not used in the past does not add up.
    pub(crate) async fn spend(&mut self, bytes: u64) {
        if !self.is_limited() {
            return;
        }
        let now = reactor::now();
        let took = Duration::try_from_secs_f64(bytes as f64 / self.bytes_per_second).unwrap_or(WAIT_MAX);
        self.used_until = self.used_until.max(now) + took.min(WAIT_MAX);
        reactor::sleep(self.used_until.saturating_since(now)).await;
    }

    fn is_limited(&self) -> bool {
        self.bytes_per_second.is_finite() && self.bytes_per_second > 0.0
    }
}
