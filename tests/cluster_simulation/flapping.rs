//! What brokers that come and go cost the store: fifty of them, killed and started at random for a simulated minute.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::protocol::StrBytes;
use reactor::sim::Chance;

use crate::access::{Access, TOPIC};
use crate::cluster::Cluster;
use crate::plan::Plan;
use crate::producer::create_topic;

const BROKERS: usize = 50;
const PARTITIONS: usize = 300;
const LENGTH: Duration = Duration::from_secs(60);
/// Mean time between two kills, of any broker.
const KILL_EVERY: Duration = Duration::from_millis(250);
const DOWN_MAX: Duration = Duration::from_secs(5);
const TOPIC_RESOURCE: i8 = 2;
const SET: i8 = 0;

/// Prints what it has cost.
pub fn measure(seed: u64) {
    let began = Instant::now();
    let mut cluster = Cluster::new(seed, Plan::quiet(BROKERS, PARTITIONS), false);
    cluster.start_missing();
    let access = Rc::new(Access::new(cluster.model.clone(), cluster.addresses()));
    let creator = {
        let access = access.clone();
        cluster.start_client("creator", async move { create_topic(&access, 3).await })
    };
    while cluster.world.is_running(creator) {
        cluster.run_for(Duration::from_millis(100));
    }
    let took = Rc::new(RefCell::new(Vec::new()));
    cluster.start_client("changer", change_for_ever(access, took.clone()));
    cluster.run_for(Duration::from_secs(5));
    took.borrow_mut().clear();

    let (transactions_before, bytes_before) = cluster.store.written();
    let kills = kill_and_start(&mut cluster, seed);
    let (transactions, bytes) = cluster.store.written();
    let took = took.borrow();
    let seconds = LENGTH.as_secs_f64();
    println!(
        "{BROKERS} brokers, {PARTITIONS} partitions, {kills} kills in {seconds} s: {:.1} store transactions/s (changes of the probe \
         included), {:.0} bytes/s; a change of configuration through any broker: p50 {:?}, p99 {:?} of {}; took {:.0?}",
        (transactions - transactions_before) as f64 / seconds,
        (bytes - bytes_before) as f64 / seconds,
        part(&took, 0.50),
        part(&took, 0.99),
        took.len(),
        began.elapsed()
    );
}

fn kill_and_start(cluster: &mut Cluster, seed: u64) -> usize {
    let mut chance = Chance::new(seed);
    let mut back = Vec::new();
    let mut kills = 0;
    let end = cluster.world.now() + LENGTH;
    while cluster.world.now() < end {
        cluster.run_for(Duration::from_millis(50));
        let now = cluster.world.now();
        back.retain(|(at, index)| {
            let is_due = *at <= now;
            if is_due {
                cluster.start(*index);
            }
            !is_due
        });
        let index = chance.index(BROKERS);
        let is_struck = chance.below(KILL_EVERY.as_millis() as u64) < 50;
        if is_struck
            && let Some(process) = cluster.brokers[index]
                .process
                .filter(|_| cluster.is_running(index))
        {
            cluster.world.kill(process);
            kills += 1;
            back.push((now + chance.duration_below(DOWN_MAX), index));
        }
    }
    kills
}

/// One change after the other, through any broker that lives.
async fn change_for_ever(access: Rc<Access>, took: Rc<RefCell<Vec<Duration>>>) {
    for number in 0u64.. {
        let retention = AlterableConfig::default()
            .with_name(StrBytes::from_static_str("retention.ms"))
            .with_config_operation(SET)
            .with_value(Some(StrBytes::from_string((86_400_000 + number).to_string())));
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(StrBytes::from_static_str(TOPIC))
            .with_configs(vec![retention]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let broker = access.any_broker();
        // a broker that is down is not what is measured
        if access.client(broker).await.is_ok() {
            let began = reactor::now();
            if let Ok(answer) = access.ask(broker, &request).await
                && answer.responses.iter().all(|response| response.error_code == 0)
            {
                took.borrow_mut().push(reactor::now().saturating_since(began));
            }
        }
        reactor::sleep(Duration::from_millis(50)).await;
    }
}

fn part(took: &[Duration], of: f64) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() as f64 * of) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}
