//! What may happen to a call on its way, decided by a seed.

use std::time::Duration;

/// How often what goes wrong, in calls out of a thousand.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub seed: u64,
    /// Longest way there and longest way back.
    pub delay_max: Duration,
    /// Calls whose answer is an honest "unknown": a third each was lost, happened, happens later.
    pub unknown_per_mille: u64,
    /// Longest "later".
    pub late_max: Duration,
    /// The whole history is forgotten.
    pub compaction_per_mille: u64,
    /// The lease of whoever calls is revoked; all leases are.
    pub lease_loss_per_mille: u64,
    pub all_leases_per_mille: u64,
    /// A watch ends.
    pub watch_loss_per_mille: u64,
    /// The majority is lost for up to `outage_max`.
    pub outage_per_mille: u64,
    pub outage_max: Duration,
    /// A planted bug, for tests that must find it: versions are compared by when a key was created, which a put over it leaves as it
    /// was. A client of etcd that fences by `create_revision` is such a one.
    pub compares_creation: bool,
}

impl Faults {
    /// Nothing goes wrong, and nothing takes time.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// All of it, often.
    pub fn many(seed: u64) -> Faults {
        Faults {
            seed,
            delay_max: Duration::from_millis(2),
            unknown_per_mille: 100,
            late_max: Duration::from_millis(20),
            compaction_per_mille: 30,
            lease_loss_per_mille: 20,
            all_leases_per_mille: 5,
            watch_loss_per_mille: 50,
            outage_per_mille: 3,
            outage_max: Duration::from_millis(30),
            compares_creation: false,
        }
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    /// It happens, the answer is lost.
    Done,
    /// It happens after this long, and nobody is told.
    Late(Duration),
    /// It never arrives.
    Dropped,
}

#[derive(Copy, Clone, Debug)]
pub(super) struct Trip {
    pub(super) there: Duration,
    pub(super) back: Duration,
    pub(super) fate: Fate,
}

/// SplitMix64 (Steele, Lea, Flood 2014): a seed gives the same faults everywhere.
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn happens(&mut self, per_mille: u64) -> bool {
        per_mille > 0 && self.next() % 1000 < per_mille
    }

    pub(super) fn up_to(&mut self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        match nanos {
            0 => Duration::ZERO,
            nanos => Duration::from_nanos(self.next() % nanos),
        }
    }
}
