//! A broker that was asleep itself (SIGSTOP, a suspended machine) takes nobody's silence for a death: it deposes no controller when it wakes.

use std::time::Duration;

use reactor::sim::seeds::Violation;

use crate::cluster::Cluster;
use crate::invariants::STEADY;
use crate::metadata;
use crate::plan::{Plan, StoreKind};

pub const SEEDS: u64 = 10;
const ASLEEP: Duration = Duration::from_secs(10);
const AWAKE: Duration = Duration::from_secs(5);

/// Each of three brokers sleeps in turn, the controller among them.
pub fn check(seed: u64) -> Result<(), Violation> {
    let mut cluster = Cluster::new(seed, plan(), false);
    cluster.start_missing();
    run(&mut cluster, AWAKE);
    for index in 0..cluster.brokers.len() {
        let Some(process) = cluster.brokers[index].process else {
            continue;
        };
        cluster.world.pause(process);
        run(&mut cluster, ASLEEP);
        let before = metadata::controller_epoch(&cluster);
        cluster.world.resume(process);
        run(&mut cluster, AWAKE);
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

fn run(cluster: &mut Cluster, length: Duration) {
    cluster.world.run_for(length).expect("the world turns");
    assert_eq!(cluster.world.panics().first(), None);
}

fn plan() -> Plan {
    Plan {
        store: StoreKind::Memory,
        brokers: 3,
        partitions: 3,
        shards: 1,
        producers: 0,
        producer_pause: Duration::ZERO,
        acks_leader_producers: 0,
        readers: 0,
        trouble: Duration::ZERO,
        fault_every: Duration::ZERO,
        kinds: Vec::new(),
        lag_max: Duration::from_secs(30),
        min_insync: 2,
    }
}
