//! Time and chance, as the reactor's filling tells them.

use std::cell::RefCell;
use std::ops::{Add, AddAssign};
use std::time::Duration;

use crate::core;

/// A point of the monotonic clock: nanoseconds since some start, comparable within this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates: 2^64 ns are 584 years, which stands for "never".
impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// Now, on the monotonic clock.
pub fn now() -> Instant {
    core::with(|core| core.filling.now()).unwrap_or_else(os_now)
}

/// Now, in ms since 1970; jumps when the machine's clock is set.
pub fn wall_ms() -> i64 {
    core::with(|core| core.filling.wall_ms()).unwrap_or_else(os_wall_ms)
}

/// Not predictable from earlier values (from the kernel's generator), so fit for nonces and ids.
pub fn random_u64() -> u64 {
    core::with(|core| core.filling.random_u64()).unwrap_or_else(os_random_u64)
}

pub(crate) fn os_now() -> Instant {
    let (secs, nanos) = os_clock(libc::CLOCK_MONOTONIC);
    Instant(
        (secs as u64)
            .saturating_mul(1_000_000_000)
            .saturating_add(nanos as u64),
    )
}

pub(crate) fn os_wall_ms() -> i64 {
    let (secs, nanos) = os_clock(libc::CLOCK_REALTIME);
    secs.saturating_mul(1000).saturating_add(nanos / 1_000_000)
}

fn os_clock(clock: libc::clockid_t) -> (i64, i64) {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec to write to. Cannot fail for the two clocks used here.
    unsafe { libc::clock_gettime(clock, &mut time) };
    (time.tv_sec, time.tv_nsec)
}

/// Fetched 64 at a time: one system call is about 200 ns.
const ENTROPY_BYTES: usize = 512;

struct Entropy {
    bytes: [u8; ENTROPY_BYTES],
    used: usize,
}

thread_local! {
    static ENTROPY: RefCell<Entropy> =
        const { RefCell::new(Entropy { bytes: [0; ENTROPY_BYTES], used: ENTROPY_BYTES }) };
}

pub(crate) fn os_random_u64() -> u64 {
    ENTROPY.with(|entropy| {
        let mut entropy = entropy.borrow_mut();
        if entropy.used == ENTROPY_BYTES {
            let mut filled = 0;
            while filled < ENTROPY_BYTES {
                let rest = &mut entropy.bytes[filled..];
                // SAFETY: writes at most `rest.len()` bytes into `rest`.
                let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
                match usize::try_from(n) {
                    Ok(n) => filled += n,
                    // EINTR is the only error for a valid buffer once the kernel's pool is seeded
                    Err(_) => assert_eq!(
                        std::io::Error::last_os_error().kind(),
                        std::io::ErrorKind::Interrupted,
                        "the kernel gives random bytes"
                    ),
                }
            }
            entropy.used = 0;
        }
        let at = entropy.used;
        entropy.used += 8;
        let mut word = [0; 8];
        word.copy_from_slice(&entropy.bytes[at..at + 8]);
        entropy.bytes[at..at + 8].fill(0);
        u64::from_ne_bytes(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A deadline of `Duration::MAX` must mean never, not wrap into the past and fire at once.
    #[test]
    fn instants_saturate() {
        let start = now();
        assert_eq!(start + Duration::MAX, Instant::from_nanos(u64::MAX));
        assert_eq!(
            start.saturating_since(start + Duration::from_secs(1)),
            Duration::ZERO
        );
        assert_eq!(
            (start + Duration::from_secs(1)).saturating_since(start),
            Duration::from_secs(1)
        );
        assert!(now() >= start);
    }

    /// Equal nonces would let one client's exchange be replayed as another's.
    #[test]
    fn random_words_differ_across_refills() {
        let words: std::collections::HashSet<u64> = (0..1000).map(|_| random_u64()).collect();
        assert_eq!(words.len(), 1000);
    }
}
