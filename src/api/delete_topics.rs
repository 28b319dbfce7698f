//! DeleteTopics: by name, or from version 6 on by id.

use std::rc::Rc;

use control::controller::{DeleteTopics, DeletedTopic, Request, Response, TopicSelector};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use uuid::Uuid;

use super::Api;
use super::control_error::{ControlError, parts};
use super::reply::topic_name;
use crate::dispatch::{Call, Hangup, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(20, "DeleteTopics", (1, 6), |shard, call| {
    Box::pin(answer(shard, call))
});

const IDS_SINCE: i16 = 6;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let version = call.version();
    let request: DeleteTopicsRequest = call.decode()?;
    let topics: Vec<TopicSelector> = if version >= IDS_SINCE {
        let select =
            |topic: kafka_protocol::messages::delete_topics_request::DeleteTopicState| TopicSelector {
                name: topic.name.map(|name| name.to_string()),
                id: topic.topic_id,
            };
        request.topics.into_iter().map(select).collect()
    } else {
        request
            .topic_names
            .iter()
            .map(|name| TopicSelector {
                name: Some(name.to_string()),
                id: Uuid::nil(),
            })
            .collect()
    };
    let deleted: Vec<(Option<String>, Uuid, Result<(), ControlError>)> = match shard
        .control(Request::DeleteTopics(DeleteTopics {
            topics: topics.clone(),
        }))
        .await
    {
        Ok(Response::DeleteTopics(results)) => results
            .into_iter()
            .map(|DeletedTopic { name, id, result }| (name, id, result.map_err(Into::into)))
            .collect(),
        Ok(other) => return Err(Hangup::confused(&other)),
        Err(error) => topics
            .into_iter()
            .map(|topic| (topic.name, topic.id, Err(error.clone())))
            .collect(),
    };
    let results = deleted.into_iter().map(|(name, id, result)| {
        let (code, message) = parts(result);
        let answer = DeletableTopicResult::default().with_error_code(code);
        let answer = if version >= 5 {
            answer.with_error_message(message)
        } else {
            answer
        };
        if version >= IDS_SINCE {
            answer
                .with_name(name.map(|name| topic_name(&name)))
                .with_topic_id(id)
        } else {
            answer.with_name(Some(topic_name(&name.unwrap_or_default())))
        }
    });
    call.reply(&DeleteTopicsResponse::default().with_responses(results.collect()))
}
