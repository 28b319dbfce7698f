//! A new leader acknowledges before the fetches of its followers have ended that wait for other partitions' records.

use std::time::Duration;

use reactor::sim::seeds::Violation;

use crate::cluster::Cluster;
use crate::plan::Plan;
use crate::seed;

pub const SEEDS: u64 = 10;
/// Longer than every partition may take until it takes writes: whoever waits for such a fetch to end is too late.
const FETCH_WAIT: Duration = Duration::from_secs(60);
/// Until a dead broker's partitions have other leaders, or one that has started is in sync again.
const A_WHILE: Duration = Duration::from_secs(2);

/// Each of three brokers dies in turn and comes back, while nothing is written.
pub fn check(seed: u64) -> Result<(), Violation> {
    let plan = Plan {
        fetch_wait: FETCH_WAIT,
        ..Plan::quiet(3, 3)
    };
    let mut cluster = Cluster::new(seed, plan, false);
    cluster.start_missing();
    seed::make_topic(&mut cluster)?;
    seed::check_writes(&mut cluster)?;
    for index in 0..cluster.brokers.len() {
        let Some(process) = cluster.brokers[index].process else {
            continue;
        };
        cluster.run_for(A_WHILE);
        cluster.world.kill(process);
        cluster.run_for(A_WHILE);
        let told = |violation: Violation| Violation {
            text: format!("seed {seed}: broker {} died; {}", index + 1, violation.text),
            ..violation
        };
        seed::check_writes(&mut cluster).map_err(told)?; // which starts it again
    }
    Ok(())
}
