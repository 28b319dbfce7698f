//! CreateTopics: durable and served by every shard before it is answered.

use std::rc::Rc;

use control::config::Detail;
use control::controller::{CreateTopics, CreatedTopic, NamedResult, NewTopic, Request, Response};
use control::record::{BrokerId, PartitionId};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};

use super::Api;
use super::control_error::{ControlError, parts};
use super::reply::{optional, text, topic_name};
use crate::dispatch::{Call, Hangup, Outcome};
use crate::shard::Shard;
use crate::topic_config::view;

pub static API: Api = Api::new(19, "CreateTopics", (2, 7), |shard, call| {
    Box::pin(answer(shard, call))
});

const CONFIGS_SINCE: i16 = 5;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let version = call.version();
    let request: CreateTopicsRequest = call.decode()?;
    let names: Vec<String> = request
        .topics
        .iter()
        .map(|topic| topic.name.to_string())
        .collect();
    let topics = request.topics.into_iter().map(new_topic).collect();
    let create = CreateTopics {
        topics,
        validate_only: request.validate_only,
    };
    let results = match shard.control(Request::CreateTopics(create)).await {
        Ok(Response::CreateTopics(results)) => results,
        Ok(other) => return Err(Hangup::confused(&other)),
        Err(error) => return refuse_all(&call, names, &error),
    };
    let results = results
        .into_iter()
        .map(|result| topic_result(&shard, result, version));
    call.reply(&CreateTopicsResponse::default().with_topics(results.collect()))
}

/// -1 stands for the broker's default, in every version: Kafka leaves it to clients to know that it does so since version 4
/// (KIP-464), and kafkajs relies on it with version 3.
fn new_topic(topic: CreatableTopic) -> NewTopic {
    NewTopic {
        name: topic.name.to_string(),
        partition_count: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .into_iter()
            .map(|assignment| {
                let replicas = assignment
                    .broker_ids
                    .into_iter()
                    .map(|id| BrokerId(id.0))
                    .collect();
                (PartitionId(assignment.partition_index), replicas)
            })
            .collect(),
        configs: topic
            .configs
            .into_iter()
            .map(|config| {
                (
                    config.name.to_string(),
                    config.value.map(|value| value.to_string()),
                )
            })
            .collect(),
    }
}

fn topic_result(shard: &Shard, result: NamedResult<CreatedTopic>, version: i16) -> CreatableTopicResult {
    let answer = CreatableTopicResult::default().with_name(topic_name(&result.name));
    match result.result {
        Ok(created) => {
            let answer = if version >= 7 {
                answer.with_topic_id(created.id)
            } else {
                answer
            };
            if version < CONFIGS_SINCE {
                return answer;
            }
            let image = shard.image();
            let detail = Detail {
                names: None,
                synonyms: false,
                documentation: false,
            };
            let rows = view(&shard.node, &image).describe_topic(&created.configs, detail);
            let configs = rows.into_iter().map(|row| {
                CreatableTopicConfigs::default()
                    .with_name(text(row.name))
                    .with_value(optional(row.value))
                    .with_read_only(row.read_only)
                    .with_config_source(row.source.code())
                    .with_is_sensitive(row.sensitive)
            });
            answer
                .with_num_partitions(created.partition_count as i32)
                .with_replication_factor(created.replication_factor as i16)
                .with_configs(Some(configs.collect()))
        }
        Err(error) => {
            let (code, message) = parts(Err(error.into()));
            let answer = answer.with_error_code(code).with_error_message(message);
            if version < CONFIGS_SINCE {
                return answer;
            }
            answer
                .with_num_partitions(-1)
                .with_replication_factor(-1)
                .with_configs(Some(Vec::new()))
        }
    }
}

fn refuse_all(call: &Call, names: Vec<String>, error: &ControlError) -> Outcome {
    let results = names.into_iter().map(|name| {
        let (code, message) = parts(Err(error.clone()));
        let answer = CreatableTopicResult::default()
            .with_name(topic_name(&name))
            .with_error_code(code)
            .with_error_message(message);
        if call.version() < CONFIGS_SINCE {
            answer
        } else {
            answer.with_configs(Some(Vec::new()))
        }
    });
    call.reply(&CreateTopicsResponse::default().with_topics(results.collect()))
}
