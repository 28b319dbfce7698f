//! One seed, from beginning to end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use reactor::sim::seeds::{Report, Violation};
use reactor::sim::{ProcessId, Stuck};

use crate::access::Access;
use crate::cluster::Cluster;
use crate::invariants::{LIVENESS, NO_PANIC};
use crate::metadata;
use crate::model::Figures;
use crate::nemesis::Nemesis;
use crate::plan::Plan;
use crate::producer::{Acks, Producer, create_topic};
use crate::reader::Reader;
use crate::replicas;

/// When nothing is broken.
const HEALTHY_MAX: Duration = Duration::from_secs(10);

pub fn run_seed(seed: u64, is_traced: bool) -> Report<Figures> {
    let plan = Plan::of_seed(seed);
    let mut cluster = Cluster::new(seed, plan, is_traced);
    cluster.world.note(&format!("{:?}", cluster.plan));
    let outcome = catch_unwind(AssertUnwindSafe(|| live(seed, &mut cluster)));
    let violation = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(violation)) => Some(violation),
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            Some(Violation {
                invariant: NO_PANIC,
                text: text.unwrap_or_default(),
            })
        }
    };
    let mut figures = cluster.model.with(|state| state.figures.clone());
    figures.polls = cluster.world.polls();
    figures.simulated_ms = cluster.world.now().as_nanos() / 1_000_000;
    Report {
        violation,
        figures,
        trace_hash: cluster.world.trace_hash(),
        trace: cluster.world.take_trace(),
    }
}

fn live(seed: u64, cluster: &mut Cluster) -> Result<(), Violation> {
    cluster.start_missing();
    make_topic(cluster)?;
    let mut clients = start_clients(cluster);

    let mut nemesis = Nemesis::new(seed, cluster.world.now());
    let end = cluster.world.now() + cluster.plan.trouble;
    while cluster.world.now() < end {
        nemesis.act(cluster);
        let until = nemesis.next().min(end);
        step(cluster, until.saturating_since(cluster.world.now()))?;
        metadata::check(cluster)?;
    }
    nemesis.end(cluster);
    check_writes(cluster)?;
    for client in clients.drain(..) {
        cluster.world.kill(client);
    }
    // another write behind them: what they have under way is done or refused when it is acknowledged
    check_writes(cluster)?;
    let access = self::access(cluster);
    let last = cluster.start_client("last-reader", async move {
        Reader::new(1_000, access).read_all().await;
    });
    wait_for(cluster, last, "everything is read")?;
    replicas::check(cluster)?;
    metadata::check(cluster)
}

fn access(cluster: &Cluster) -> Rc<Access> {
    Rc::new(Access::new(cluster.model.clone(), cluster.addresses()))
}

fn start_clients(cluster: &mut Cluster) -> Vec<ProcessId> {
    let mut clients = Vec::new();
    let plan = cluster.plan.clone();
    for number in 0..plan.producers + plan.acks_leader_producers {
        let acks = if number < plan.producers {
            Acks::All
        } else {
            Acks::Leader
        };
        let producer = Producer::new(number as u32, acks, plan.producer_pause, access(cluster));
        clients.push(cluster.start_client(&format!("producer-{number}"), producer.run()));
    }
    for number in 0..plan.readers {
        let reader = Reader::new(number as u32, access(cluster));
        clients.push(cluster.start_client(&format!("reader-{number}"), reader.run()));
    }
    clients
}

/// A topic with as many replicas as three brokers allow, made within [`HEALTHY_MAX`].
pub fn make_topic(cluster: &mut Cluster) -> Result<(), Violation> {
    let access = access(cluster);
    let replicas = cluster.plan.brokers.min(3) as i16;
    let creator = cluster.start_client("creator", async move { create_topic(&access, replicas).await });
    wait_for(cluster, creator, "a topic is made")
}

/// A new producer writes to every partition, within [`HEALTHY_MAX`]. Whoever is down is started.
pub fn check_writes(cluster: &mut Cluster) -> Result<(), Violation> {
    let number = 500 + cluster.world.random_u64() as u32 % 1_000_000;
    let access = access(cluster);
    let partitions = cluster.plan.partitions;
    let probe = cluster.start_client(&format!("probe-{number}"), async move {
        let mut producer = Producer::new(number, Acks::All, Duration::ZERO, access);
        for partition in 0..partitions {
            producer.write(partition, 1).await;
        }
    });
    wait_for(cluster, probe, "every partition takes writes")
}

fn wait_for(cluster: &mut Cluster, process: ProcessId, what: &str) -> Result<(), Violation> {
    let deadline = cluster.world.now() + HEALTHY_MAX;
    while cluster.world.is_running(process) {
        if cluster.world.now() >= deadline {
            return Err(Violation {
                invariant: LIVENESS,
                text: format!("not within {HEALTHY_MAX:?}: {what}"),
            });
        }
        // a broker may end by itself, for example when its disk fails: its supervisor starts it again
        cluster.start_missing();
        let until = (cluster.world.now() + Duration::from_millis(200)).min(deadline);
        let is_stuck = cluster
            .world
            .run_while(until, || cluster.world.is_running(process));
        check(cluster, is_stuck.map(|_| ()))?;
    }
    Ok(())
}

fn step(cluster: &mut Cluster, duration: Duration) -> Result<(), Violation> {
    let outcome = cluster.world.run_for(duration);
    check(cluster, outcome)
}

fn check(cluster: &Cluster, outcome: Result<(), Stuck>) -> Result<(), Violation> {
    if let Some(violation) = cluster.model.violation() {
        return Err(violation);
    }
    if let Some(panic) = cluster.world.panics().first() {
        return Err(Violation {
            invariant: NO_PANIC,
            text: panic.clone(),
        });
    }
    outcome.map_err(|stuck| Violation {
        invariant: LIVENESS,
        text: stuck.to_string(),
    })
}
