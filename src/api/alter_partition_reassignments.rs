//! AlterPartitionReassignments: begins, changes and cancels moves of partitions to other brokers (KIP-455).

use std::rc::Rc;

use control::controller::{
    AlterPartitionReassignments, ReassignedPartition, Request, Response, TopicReassignments,
};
use control::record::{BrokerId, PartitionId};
use kafka_protocol::messages::alter_partition_reassignments_request::ReassignableTopic;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

use super::Api;
use super::by_topic::by_topic;
use super::control_error::{ControlError, parts};
use super::reply::topic_name;
use crate::dispatch::{Call, Hangup, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(45, "AlterPartitionReassignments", (0, 1), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: AlterPartitionReassignmentsRequest = call.decode()?;
    let alter = AlterPartitionReassignments {
        topics: request.topics.into_iter().map(reassignments).collect(),
        allow_replication_factor_change: request.allow_replication_factor_change,
    };
    let asked = alter.topics.clone();
    let response = AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(alter.allow_replication_factor_change);
    let answered = shard.control(Request::AlterPartitionReassignments(alter)).await;
    let response = match answered {
        Ok(Response::AlterPartitionReassignments(results)) => response.with_responses(topics(results)),
        Ok(other) => return Err(Hangup::confused(&other)),
        Err(error) => {
            let (code, message) = parts(Err(error.clone()));
            response
                .with_error_code(code)
                .with_error_message(message)
                .with_responses(refused(asked, &error))
        }
    };
    call.reply(&response)
}

fn reassignments(topic: ReassignableTopic) -> TopicReassignments {
    let partitions = topic.partitions.into_iter().map(|partition| {
        let replicas = partition
            .replicas
            .map(|replicas| replicas.into_iter().map(|id| BrokerId(id.0)).collect());
        (PartitionId(partition.partition_index), replicas)
    });
    TopicReassignments {
        name: topic.name.to_string(),
        partitions: partitions.collect(),
    }
}

fn topics(results: Vec<ReassignedPartition>) -> Vec<ReassignableTopicResponse> {
    let results = results.into_iter().map(|reassigned| {
        let result = reassigned.result.map_err(ControlError::from);
        (reassigned.topic, partition(reassigned.partition, result))
    });
    by_topic(results)
        .map(|(name, partitions)| {
            ReassignableTopicResponse::default()
                .with_name(topic_name(&name))
                .with_partitions(partitions)
        })
        .collect()
}

/// Every partition asked about has the reason why nothing was done, as in Kafka: not all clients look at the one above them.
fn refused(asked: Vec<TopicReassignments>, error: &ControlError) -> Vec<ReassignableTopicResponse> {
    let topic = |topic: TopicReassignments| {
        let partitions = topic.partitions.iter();
        ReassignableTopicResponse::default()
            .with_name(topic_name(&topic.name))
            .with_partitions(
                partitions
                    .map(|(index, _)| partition(*index, Err(error.clone())))
                    .collect(),
            )
    };
    asked.into_iter().map(topic).collect()
}

fn partition(index: PartitionId, result: Result<(), ControlError>) -> ReassignablePartitionResponse {
    let (code, message) = parts(result);
    ReassignablePartitionResponse::default()
        .with_partition_index(index.0)
        .with_error_code(code)
        .with_error_message(message)
}
