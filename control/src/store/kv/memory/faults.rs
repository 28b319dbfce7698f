//! What may happen to a call on its way, decided by a seed.

use std::time::Duration;

use reactor::Chance;

/// How versions are compared. All but the first are planted bugs, for tests that must find them or stand them.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Fence {
    #[default]
    Version,
    /// By when a key was created, which a put over it leaves as it was: a client of etcd that fences by `create_revision`.
    Creation,
    /// Not at all.
    None,
}

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
    /// What a transaction's expected versions are compared with.
    pub fence: Fence,
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
            fence: Fence::Version,
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

/// No number is drawn for what never happens: a plan without a fault goes as if the fault were unknown.
pub(super) fn happens(chance: &mut Chance, per_mille: u64) -> bool {
    per_mille > 0 && chance.below(1000) < per_mille
}
