//! The conversations about moves: what is on its way, begin, cancel, and who leads afterwards.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, ElectLeadersRequest, ListPartitionReassignmentsRequest,
    TopicName,
};
use net::ErrorCode;
use net::client::ClientError;

use super::assignment::Assignment;
use crate::client::{AskError, Cluster, refused, retry, text};

/// Partitions by topic and index.
pub type Key = (String, i32);

/// A partition on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ongoing {
    /// All that hold it now, the ones to come and the ones to go.
    pub replicas: Vec<i32>,
    pub adding: Vec<i32>,
    pub removing: Vec<i32>,
}

/// What became of each partition of a request.
pub type Outcomes = Vec<(Key, Result<(), AskError>)>;

/// Partitions in one request: Kafka's controller refuses more than some thousands of changes at once.
const PARTITIONS_PER_REQUEST: usize = 1_000;
/// Kafka's number of an election of the preferred leader.
const PREFERRED: i8 = 0;

/// What is on its way, of `keys` or of all partitions.
pub async fn ongoing(cluster: &Cluster, keys: Option<&[Key]>) -> Result<BTreeMap<Key, Ongoing>, AskError> {
    let asked = keys.map(|keys| {
        let topics = by_topic(keys.iter().map(|key| (key.0.clone(), key.1)));
        topics
            .map(|(topic, partitions)| {
                ListPartitionReassignmentsTopics::default()
                    .with_name(TopicName(text(&topic)))
                    .with_partition_indexes(partitions)
            })
            .collect()
    });
    let request = ListPartitionReassignmentsRequest::default()
        .with_topics(asked)
        .with_timeout_ms(cluster.timeout().as_millis() as i32);
    let answer = retry(cluster.timeout(), async || {
        let answer = cluster.ask_any(&request).await?;
        refused("reassignments", answer.error_code, answer.error_message.as_ref())?;
        Ok(answer)
    })
    .await?;
    let ids = |brokers: Vec<BrokerId>| brokers.into_iter().map(|id| id.0).collect();
    let mut ongoing = BTreeMap::new();
    for topic in answer.topics {
        for partition in topic.partitions {
            let key = (topic.name.0.to_string(), partition.partition_index);
            let found = Ongoing {
                replicas: ids(partition.replicas),
                adding: ids(partition.adding_replicas),
                removing: ids(partition.removing_replicas),
            };
            ongoing.insert(key, found);
        }
    }
    Ok(ongoing)
}

/// Begins the moves.
pub async fn start(cluster: &Cluster, assignments: &[Assignment]) -> Result<Outcomes, AskError> {
    let wanted = assignments.iter().map(|assignment| {
        let key = (assignment.topic.clone(), assignment.partition);
        (key, Some(assignment.replicas.clone()))
    });
    alter(cluster, wanted.collect()).await
}

/// Takes moves back. What nothing happens to is no failure.
pub async fn cancel(cluster: &Cluster, keys: &[Key]) -> Result<Outcomes, AskError> {
    let mut outcomes = alter(cluster, keys.iter().map(|key| (key.clone(), None)).collect()).await?;
    for (_, result) in &mut outcomes {
        if result
            .as_ref()
            .is_err_and(|error| error.code() == Some(ErrorCode::NoReassignmentInProgress))
        {
            *result = Ok(());
        }
    }
    Ok(outcomes)
}

async fn alter(cluster: &Cluster, wanted: Vec<(Key, Option<Vec<i32>>)>) -> Result<Outcomes, AskError> {
    let mut outcomes = Outcomes::new();
    for part in wanted.chunks(PARTITIONS_PER_REQUEST) {
        let partitions = part.iter().map(|((topic, index), replicas)| {
            let replicas = replicas
                .as_ref()
                .map(|replicas| replicas.iter().copied().map(BrokerId).collect());
            let partition = ReassignablePartition::default()
                .with_partition_index(*index)
                .with_replicas(replicas);
            (topic.clone(), partition)
        });
        let topics = by_topic(partitions).map(|(topic, partitions)| {
            ReassignableTopic::default()
                .with_name(TopicName(text(&topic)))
                .with_partitions(partitions)
        });
        let request = AlterPartitionReassignmentsRequest::default()
            .with_topics(topics.collect())
            .with_timeout_ms(cluster.timeout().as_millis() as i32);
        let answer = retry(cluster.timeout(), async || {
            let answer = cluster.ask_controller(&request).await?;
            refused("reassignment", answer.error_code, answer.error_message.as_ref())?;
            Ok(answer)
        })
        .await?;
        for topic in answer.responses {
            for partition in topic.partitions {
                let key = (topic.name.0.to_string(), partition.partition_index);
                let what = format!("{}-{}", key.0, key.1);
                let result = refused(what, partition.error_code, partition.error_message.as_ref());
                outcomes.push((key, result));
            }
        }
    }
    Ok(outcomes)
}

/// Lets the first replicas lead. A broker too old to be asked does it by itself, some minutes later.
pub async fn elect_preferred(cluster: &Cluster, keys: &[Key]) -> Result<(), AskError> {
    let topics = by_topic(keys.iter().map(|key| (key.0.clone(), key.1)));
    let topics = topics.map(|(topic, partitions)| {
        TopicPartitions::default()
            .with_topic(TopicName(text(&topic)))
            .with_partitions(partitions)
    });
    let request = ElectLeadersRequest::default()
        .with_election_type(PREFERRED)
        .with_topic_partitions(Some(topics.collect()))
        .with_timeout_ms(cluster.timeout().as_millis() as i32);
    let answer = match cluster.ask_controller(&request).await {
        Err(AskError::Connection(ClientError::NotServed { .. })) => return Ok(()),
        answer => answer?,
    };
    refused("election", answer.error_code, None)
}

/// Neighbours of a topic in one list: a request names each topic once.
pub fn by_topic<T>(items: impl Iterator<Item = (String, T)>) -> impl Iterator<Item = (String, Vec<T>)> {
    let mut topics: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for (topic, item) in items {
        topics.entry(topic).or_default().push(item);
    }
    topics.into_iter()
}
