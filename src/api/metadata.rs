//! Metadata: brokers, topics, partitions and their leaders; creates topics on demand where that is allowed.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use control::image::{ClusterImage, TopicImage};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use net::error::ErrorCode;
use uuid::Uuid;

use super::describe_cluster::{CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED};
use super::reply::{broker_ids, leader_id, text, topic_name};
use super::{Api, auto_create};
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(3, "Metadata", (0, 13), |shard, call| {
    Box::pin(answer(shard, call))
});

/// READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS as bits by operation code: all that
/// Kafka's TOPIC resource knows. Everybody may do everything until ACLs exist.
pub const TOPIC_OPERATIONS: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: MetadataRequest = call.decode()?;
    let version = call.version();
    let asked = match &request.topics {
        // Version 0 cannot say "all" by null: an empty list means it.
        None => Asked::All,
        Some(topics) if topics.is_empty() && version == 0 => Asked::All,
        Some(topics) => Asked::Some(
            topics
                .iter()
                .map(|topic| (topic.name.clone(), topic.topic_id))
                .collect(),
        ),
    };
    let may_create = version < 4 || request.allow_auto_topic_creation;
    let mut topics = match asked {
        Asked::All => shard.image().topics().map(|topic| describe(topic)).collect(),
        Asked::Some(asked) => {
            let missing = missing_names(&shard.image(), &asked);
            let refused = if may_create {
                auto_create::create(&shard, missing).await
            } else {
                Vec::new()
            };
            let refused: HashMap<String, ErrorCode> = refused.into_iter().collect();
            let image = shard.image();
            asked
                .into_iter()
                .map(|(name, id)| describe_asked(&image, name, id, &refused))
                .collect::<Vec<_>>()
        }
    };
    if request.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code == 0) {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let brokers = shard.endpoints(call.listener()).into_iter().map(|broker| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(broker.id))
            .with_host(text(broker.host))
            .with_port(i32::from(broker.port))
            .with_rack(broker.rack.map(text))
    });
    let operations = if request.include_cluster_authorized_operations {
        CLUSTER_OPERATIONS
    } else {
        OPERATIONS_NOT_ASKED
    };
    call.reply(
        &MetadataResponse::default()
            .with_brokers(brokers.collect())
            .with_cluster_id(Some(text(shard.node.cluster_id.as_str())))
            .with_controller_id(BrokerId(shard.node.id.0))
            .with_topics(topics)
            .with_cluster_authorized_operations(operations),
    )
}

enum Asked {
    All,
    Some(Vec<(Option<TopicName>, Uuid)>),
}

/// The topics asked for by name that do not exist, each once.
fn missing_names(image: &ClusterImage, asked: &[(Option<TopicName>, Uuid)]) -> Vec<String> {
    let names = asked
        .iter()
        .filter(|(_, id)| id.is_nil())
        .filter_map(|(name, _)| name.as_ref());
    let missing: HashSet<&str> = names
        .map(|name| &***name)
        .filter(|name| image.topic_by_name(name).is_none())
        .collect();
    missing.into_iter().map(str::to_owned).collect()
}

fn describe_asked(
    image: &ClusterImage,
    name: Option<TopicName>,
    id: Uuid,
    refused: &HashMap<String, ErrorCode>,
) -> MetadataResponseTopic {
    if !id.is_nil() {
        return match image.topic(id) {
            Some(topic) => describe(topic),
            None => unknown(None, id, ErrorCode::UnknownTopicId),
        };
    }
    let Some(name) = name else {
        return unknown(None, id, ErrorCode::InvalidTopicException);
    };
    match image.topic_by_name(&name) {
        Some(topic) => describe(topic),
        None => {
            let code = match refused.get(&**name) {
                Some(code) => *code,
                None if control::controller::validate_topic_name(&name).is_err() => {
                    ErrorCode::InvalidTopicException
                }
                None => ErrorCode::UnknownTopicOrPartition,
            };
            unknown(Some(name), id, code)
        }
    }
}

fn unknown(name: Option<TopicName>, id: Uuid, code: ErrorCode) -> MetadataResponseTopic {
    // Versions before 12 have no null name.
    let name = Some(name.unwrap_or_default());
    MetadataResponseTopic::default()
        .with_error_code(code.code())
        .with_name(name)
        .with_topic_id(id)
        .with_topic_authorized_operations(OPERATIONS_NOT_ASKED)
}

fn describe(topic: &TopicImage) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().map(|(index, partition)| {
        let code = if partition.leader.is_none() {
            ErrorCode::LeaderNotAvailable
        } else {
            ErrorCode::None
        };
        MetadataResponsePartition::default()
            .with_error_code(code.code())
            .with_partition_index(index.0)
            .with_leader_id(leader_id(partition))
            .with_leader_epoch(partition.leader_epoch.0)
            .with_replica_nodes(broker_ids(&partition.replicas))
            .with_isr_nodes(broker_ids(&partition.isr))
    });
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(&topic.name)))
        .with_topic_id(topic.id)
        .with_is_internal(topic.is_internal())
        .with_partitions(partitions.collect())
        .with_topic_authorized_operations(OPERATIONS_NOT_ASKED)
}
