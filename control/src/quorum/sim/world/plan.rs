//! Which faults a schedule has, and how many.

use std::time::Duration;

use reactor::Chance;

/// What goes wrong how often; per mille of the messages, or of the chances a fault has.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: i32,
    pub(crate) voters: i32,
    pub(crate) drop: u64,
    pub(crate) double: u64,
    /// Longest delay of a message.
    pub(crate) delay: Duration,
    /// Longest sync.
    pub(crate) sync: Duration,
    /// Crashes between two actions.
    pub(crate) crash: u64,
    /// Faults that somebody thinks of every 20 ms: crash, restart, partition, pause, full disk, clock.
    pub(crate) faults: u64,
    pub(crate) changes: u64,
    pub(crate) snapshots: u64,
    pub(crate) proposals: u64,
    pub(crate) chaos: Duration,
}

impl Plan {
    /// Drawn by lot: some schedules are gentle and long, others wild.
    pub(crate) fn draw(chance: &mut Chance) -> Plan {
        let mut pick = |choices: &[u64]| choices[chance.below(choices.len() as u64) as usize];
        let voters = pick(&[1, 2, 3, 3, 3, 3, 4, 5]) as i32;
        Plan {
            nodes: voters + pick(&[0, 1, 2]) as i32,
            voters,
            drop: pick(&[0, 10, 100, 300]),
            double: pick(&[0, 20, 100]),
            delay: Duration::from_millis(pick(&[1, 10, 50, 400])),
            sync: Duration::from_millis(pick(&[1, 5, 50, 300])),
            crash: pick(&[0, 1, 5, 20]),
            faults: pick(&[0, 50, 200, 500]),
            changes: pick(&[0, 0, 50, 300]),
            snapshots: pick(&[0, 20, 100]),
            proposals: pick(&[100, 500, 900]),
            chaos: Duration::from_millis(pick(&[1000, 3000, 6000])),
        }
    }
}

/// Hard schedules, where mistakes show soon: crashes within elections, slow disks, little peace.
#[cfg(feature = "planted-bugs")]
pub(crate) fn hard(seed: u64) -> Plan {
    let mut chance = Chance::new(!seed);
    let mut pick = |choices: &[u64]| choices[chance.below(choices.len() as u64) as usize];
    let voters = pick(&[3, 3, 4, 5]) as i32;
    Plan {
        nodes: voters + pick(&[0, 1]) as i32,
        voters,
        drop: pick(&[0, 100, 300]),
        double: pick(&[0, 100]),
        delay: Duration::from_millis(pick(&[10, 50, 200])),
        sync: Duration::from_millis(pick(&[5, 50, 300])),
        crash: pick(&[5, 20, 60]),
        faults: pick(&[300, 600]),
        changes: pick(&[0, 0, 300, 900]),
        snapshots: pick(&[0, 20, 100]),
        proposals: pick(&[100, 300, 700]),
        chaos: Duration::from_millis(pick(&[3000, 6000])),
    }
}
