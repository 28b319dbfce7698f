//! Metadata: brokers, topics, partitions and their leaders; creates topics on demand where that is allowed.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use control::image::{ClusterImage, PartitionImage, TopicImage};
use control::record::PartitionId;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use net::error::ErrorCode;
use uuid::Uuid;

use super::describe_cluster::{CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED, controller};
use super::reach::Reach;
use super::reply::{broker_ids, text, topic_name};
use super::{Api, auto_create};
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(3, "Metadata", (0, 13), |shard, call| {
    Box::pin(answer(shard, call))
});

/// READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS as bits by operation code: all that
/// Kafka's TOPIC resource knows. Everybody may do everything until ACLs exist.
pub const TOPIC_OPERATIONS: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// What stands for the leader of a partition without one.
pub const NO_LEADER: i32 = -1;

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
        Asked::All => {
            let image = shard.image();
            let view = View::new(&shard, &image, &call);
            image.topics().map(|topic| view.describe(topic)).collect()
        }
        Asked::Some(asked) => {
            let missing = missing_names(&shard.image(), &asked);
            let refused = if may_create {
                auto_create::create(&shard, missing).await
            } else {
                Vec::new()
            };
            let refused: HashMap<String, ErrorCode> = refused.into_iter().collect();
            let image = shard.image();
            let view = View::new(&shard, &image, &call);
            asked
                .into_iter()
                .map(|(name, id)| describe_asked(&view, name, id, &refused))
                .collect::<Vec<_>>()
        }
    };
    if request.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code == 0) {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let controller = controller(&shard.endpoints(call.listener()), shard.node.id);
    let brokers = shard.endpoints_lately(call.listener());
    let brokers = brokers.into_iter().map(|broker| {
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
            .with_controller_id(controller)
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
    view: &View<'_>,
    name: Option<TopicName>,
    id: Uuid,
    refused: &HashMap<String, ErrorCode>,
) -> MetadataResponseTopic {
    if !id.is_nil() {
        return match view.image.topic(id) {
            Some(topic) => view.describe(topic),
            None => unknown(None, id, ErrorCode::UnknownTopicId),
        };
    }
    let Some(name) = name else {
        return unknown(None, id, ErrorCode::InvalidTopicException);
    };
    match view.image.topic_by_name(&name) {
        Some(topic) => view.describe(topic),
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

/// The image as one request of one client is told of it.
struct View<'a> {
    image: &'a ClusterImage,
    reach: Reach<'a>,
    version: i16,
}

/// Version 0 had no other way to say that a replica is gone than to leave it out, with an error.
const ALL_REPLICAS_SINCE: i16 = 1;
/// Before, a leader without an endpoint for the client's listener is a leader not available.
const LISTENER_NOT_FOUND_SINCE: i16 = 6;

impl<'a> View<'a> {
    fn new(shard: &Shard, image: &'a ClusterImage, call: &Call) -> View<'a> {
        View {
            image,
            reach: Reach::new(shard, image, call.listener()),
            version: call.version(),
        }
    }

    fn describe(&self, topic: &TopicImage) -> MetadataResponseTopic {
        let partitions = topic.partitions.iter();
        MetadataResponseTopic::default()
            .with_name(Some(topic_name(&topic.name)))
            .with_topic_id(topic.id)
            .with_is_internal(topic.is_internal())
            .with_partitions(
                partitions
                    .map(|(index, partition)| self.partition(*index, partition))
                    .collect(),
            )
            .with_topic_authorized_operations(OPERATIONS_NOT_ASKED)
    }

    fn partition(&self, index: PartitionId, partition: &PartitionImage) -> MetadataResponsePartition {
        let (replicas, isr) = if self.version < ALL_REPLICAS_SINCE {
            (self.live(&partition.replicas), self.live(&partition.isr))
        } else {
            (broker_ids(&partition.replicas), broker_ids(&partition.isr))
        };
        let are_missing = replicas.len() < partition.replicas.len() || isr.len() < partition.isr.len();
        let (leader, code) = match self.reach.leader(partition) {
            Ok(leader) if are_missing => (leader.0, ErrorCode::ReplicaNotAvailable),
            Ok(leader) => (leader.0, ErrorCode::None),
            Err(ErrorCode::ListenerNotFound) if self.version < LISTENER_NOT_FOUND_SINCE => {
                (NO_LEADER, ErrorCode::LeaderNotAvailable)
            }
            Err(code) => (NO_LEADER, code),
        };
        MetadataResponsePartition::default()
            .with_error_code(code.code())
            .with_partition_index(index.0)
            .with_leader_id(BrokerId(leader))
            .with_leader_epoch(partition.leader_epoch.0)
            .with_replica_nodes(replicas)
            .with_isr_nodes(isr)
            .with_offline_replicas(broker_ids(&self.reach.offline(partition)))
    }

    fn live(&self, replicas: &[control::record::BrokerId]) -> Vec<BrokerId> {
        let live = replicas.iter().filter(|replica| self.reach.is_live(**replica));
        live.map(|replica| BrokerId(replica.0)).collect()
    }
}
