//! Time as the coordinator sees it: handed in with every event, never asked for.

use engine::types::Timestamp;

/// Milliseconds of a clock that never goes back. Sessions and rebalances are measured with it, so that a jump of the
/// wall clock expires nobody.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MonotonicMs(pub u64);

impl MonotonicMs {
    /// The moment `ms` later. A negative span, which a client can ask for, counts as none.
    pub fn after_ms(self, ms: i64) -> MonotonicMs {
        MonotonicMs(self.0.saturating_add(u64::try_from(ms).unwrap_or(0)))
    }
}

/// Both clocks at the moment of an event.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Now {
    pub monotonic: MonotonicMs,
    /// Goes into records: commit timestamps, the moment a group became empty.
    pub wall: Timestamp,
}
