//! A broker that was asleep itself (SIGSTOP, a suspended machine) takes nobody's silence for a death: it deposes no controller when it wakes.

use std::time::Duration;

use reactor::sim::seeds::Violation;

use crate::cluster::Cluster;
use crate::invariants::STEADY;
use crate::metadata;
use crate::plan::Plan;

pub const SEEDS: u64 = 10;
const ASLEEP: Duration = Duration::from_secs(10);
const AWAKE: Duration = Duration::from_secs(5);

/// Each of three brokers sleeps in turn, the controller among them.
pub fn check(seed: u64) -> Result<(), Violation> {
    let mut cluster = Cluster::new(seed, Plan::quiet(3, 3), false);
    cluster.start_missing();
    cluster.run_for(AWAKE);
    for index in 0..cluster.brokers.len() {
        let Some(process) = cluster.brokers[index].process else {
            continue;
        };
        cluster.world.pause(process);
        cluster.run_for(ASLEEP);
        let before = metadata::controller_epoch(&cluster);
        cluster.world.resume(process);
        cluster.run_for(AWAKE);
        let after = metadata::controller_epoch(&cluster);
        if before != after {
            return Err(Violation {
                invariant: STEADY,
                text: format!(
                    "seed {seed}: broker {} woke, and {before:?} became {after:?}",
                    index + 1
                ),
            });
        }
    }
    Ok(())
}
