//! CreatePartitions: more partitions for a topic.

use std::rc::Rc;

use control::controller::{CreatePartitions, NewPartitions, Request, Response};
use control::record::BrokerId;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::Api;
use super::control_error::{ControlError, parts};
use super::reply::topic_name;
use crate::dispatch::{Call, Hangup, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(37, "CreatePartitions", (0, 3), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: CreatePartitionsRequest = call.decode()?;
    let names: Vec<String> = request
        .topics
        .iter()
        .map(|topic| topic.name.to_string())
        .collect();
    let topics = request.topics.into_iter().map(new_partitions).collect();
    let create = CreatePartitions {
        topics,
        validate_only: request.validate_only,
    };
    let results: Vec<(String, Result<(), ControlError>)> =
        match shard.control(Request::CreatePartitions(create)).await {
            Ok(Response::CreatePartitions(results)) => results
                .into_iter()
                .map(|result| (result.name, result.result.map_err(Into::into)))
                .collect(),
            Ok(other) => return Err(Hangup::confused(&other)),
            Err(error) => names.into_iter().map(|name| (name, Err(error.clone()))).collect(),
        };
    let results = results.into_iter().map(|(name, result)| {
        let (code, message) = parts(result);
        CreatePartitionsTopicResult::default()
            .with_name(topic_name(&name))
            .with_error_code(code)
            .with_error_message(message)
    });
    call.reply(&CreatePartitionsResponse::default().with_results(results.collect()))
}

fn new_partitions(topic: CreatePartitionsTopic) -> NewPartitions {
    let replicas =
        |ids: Vec<kafka_protocol::messages::BrokerId>| ids.into_iter().map(|id| BrokerId(id.0)).collect();
    NewPartitions {
        name: topic.name.to_string(),
        count: topic.count,
        assignments: topic.assignments.map(|assignments| {
            assignments
                .into_iter()
                .map(|assignment| replicas(assignment.broker_ids))
                .collect()
        }),
    }
}
