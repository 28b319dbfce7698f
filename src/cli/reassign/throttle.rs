//! The bound on what moves may take of the network, in Kafka's configs: a rate on every broker, and on every topic the replicas that
//! keep to it.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::layout::Move;
use crate::client::{AskError, Cluster, refused, retry, text};

const RATES: [&str; 2] = [
    "leader.replication.throttled.rate",
    "follower.replication.throttled.rate",
];
const LEADERS: &str = "leader.replication.throttled.replicas";
const FOLLOWERS: &str = "follower.replication.throttled.replicas";
/// Kafka's numbers.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;
const SOURCE_TOPIC: i8 = 1;

/// Bounds these moves, before they begin.
pub async fn set(cluster: &Cluster, moves: &[Move], bytes_per_second: u64) -> Result<(), AskError> {
    for (topic, replicas) in throttled_replicas(moves) {
        let configs = [(LEADERS, replicas.leaders), (FOLLOWERS, replicas.followers)];
        let configs = configs.map(|(name, list)| change(name, Some(list.join(","))));
        alter(cluster, TOPIC, &topic, configs.to_vec()).await?;
    }
    for broker in brokers(moves) {
        let rate = bytes_per_second.to_string();
        let configs = RATES.map(|name| change(name, Some(rate.clone())));
        alter(cluster, BROKER, &broker.to_string(), configs.to_vec()).await?;
    }
    Ok(())
}

/// Takes the bounds away: of all brokers, since it is not known any more which took part, and of the topics that have some.
pub async fn clear(cluster: &Cluster) -> Result<(), AskError> {
    for broker in cluster.brokers().into_keys() {
        let configs = RATES.map(|name| change(name, None));
        alter(cluster, BROKER, &broker.to_string(), configs.to_vec()).await?;
    }
    for topic in throttled_topics(cluster).await? {
        let configs = [LEADERS, FOLLOWERS].map(|name| change(name, None));
        alter(cluster, TOPIC, &topic, configs.to_vec()).await?;
    }
    Ok(())
}

/// Of one topic, as `partition:broker`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Throttled {
    /// Who sends: all that have the partition now.
    leaders: Vec<String>,
    /// Who copies.
    followers: Vec<String>,
}

fn throttled_replicas(moves: &[Move]) -> BTreeMap<String, Throttled> {
    let mut topics: BTreeMap<String, Throttled> = BTreeMap::new();
    for moved in moves.iter().filter(|moved| moved.added().next().is_some()) {
        let throttled = topics.entry(moved.topic.clone()).or_default();
        let replica = |id: i32| format!("{}:{id}", moved.index);
        throttled.leaders.extend(moved.from.iter().copied().map(replica));
        throttled.followers.extend(moved.added().map(replica));
    }
    topics
}

fn brokers(moves: &[Move]) -> BTreeSet<i32> {
    let copying = moves.iter().filter(|moved| moved.added().next().is_some());
    copying
        .flat_map(|moved| moved.from.iter().chain(&moved.to))
        .copied()
        .collect()
}

async fn throttled_topics(cluster: &Cluster) -> Result<Vec<String>, AskError> {
    let topics = cluster.topics(None).await?;
    let resources = topics.iter().map(|topic| {
        DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(&topic.name))
            .with_configuration_keys(Some(vec![text(LEADERS), text(FOLLOWERS)]))
    });
    let request = DescribeConfigsRequest::default().with_resources(resources.collect());
    let answer = cluster.ask_any(&request).await?;
    let throttled = answer.results.into_iter().filter(|topic| {
        // one that is deleted meanwhile has none any more
        topic.error_code == 0
            && topic
                .configs
                .iter()
                .any(|config| config.config_source == SOURCE_TOPIC)
    });
    Ok(throttled.map(|topic| topic.resource_name.to_string()).collect())
}

/// `None` takes the config away.
fn change(name: &str, value: Option<String>) -> AlterableConfig {
    AlterableConfig::default()
        .with_name(text(name))
        .with_config_operation(if value.is_some() { SET } else { DELETE })
        .with_value(value.map(|value| text(&value)))
}

/// A broker's own configs go to that broker, which is the only one to take them in Kafka; those of one that is down to any.
async fn alter(
    cluster: &Cluster,
    resource_type: i8,
    name: &str,
    configs: Vec<AlterableConfig>,
) -> Result<(), AskError> {
    let resource = AlterConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(text(name))
        .with_configs(configs);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let broker = match resource_type {
        BROKER => name.parse().ok().filter(|id| cluster.brokers().contains_key(id)),
        _ => None,
    };
    retry(cluster.timeout(), async || {
        let answer = match broker {
            Some(broker) => cluster.ask_broker(broker, &request).await?,
            None => cluster.ask_controller(&request).await?,
        };
        match answer.responses.first() {
            Some(found) => refused(
                format!("configs of {name}"),
                found.error_code,
                found.error_message.as_ref(),
            ),
            None => Err(AskError::Incomplete {
                what: "IncrementalAlterConfigs",
                lacks: name.to_owned(),
            }),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_send_and_those_who_copy_are_named() {
        // A replica that is not named is not bounded; one that is named for nothing slows down its ordinary replication.
        let moved = |index, from: &[i32], to: &[i32]| Move {
            topic: "t".to_owned(),
            index,
            from: from.to_vec(),
            to: to.to_vec(),
            bytes: 0,
        };
        let moves = [
            moved(0, &[1, 2], &[1, 3]),
            moved(1, &[1, 2], &[2, 1]),
            moved(2, &[4], &[5]),
        ];
        let named = throttled_replicas(&moves);
        let expected = Throttled {
            leaders: ["0:1", "0:2", "2:4"].map(str::to_owned).to_vec(),
            followers: ["0:3", "2:5"].map(str::to_owned).to_vec(),
        };
        assert_eq!(named, BTreeMap::from([("t".to_owned(), expected)]));
        assert_eq!(brokers(&moves), BTreeSet::from([1, 2, 3, 4, 5]));
    }
}
