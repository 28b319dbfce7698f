//! Topics that come into being because somebody asks for them.

use std::rc::Rc;

use control::controller::{AutoCreateTopics, Request, Response};
use net::error::ErrorCode;

use super::control_error;
use crate::coordinator::OFFSETS_TOPIC;
use crate::shard::Shard;

/// Creates what is missing, where `auto.create.topics.enable` or the topic being internal allows it, and waits until all
/// shards serve it. Returns the names that were refused, with the code that a metadata answer gives for them.
pub async fn create(shard: &Rc<Shard>, names: Vec<String>) -> Vec<(String, ErrorCode)> {
    let allowed = shard.node.config.topics.auto_create;
    let names: Vec<String> = names
        .into_iter()
        .filter(|name| allowed || name == OFFSETS_TOPIC)
        .collect();
    if names.is_empty() {
        return Vec::new();
    }
    match shard
        .control(Request::AutoCreateTopics(AutoCreateTopics {
            names: names.clone(),
        }))
        .await
    {
        Ok(Response::AutoCreateTopics(results)) => {
            let refused = results
                .into_iter()
                .filter_map(|result| Some((result.name, result.result.err()?)));
            refused
                .map(|(name, error)| (name, control_error::metadata_code(&error)))
                .collect()
        }
        Ok(other) => {
            tracing::error!(?other, "the controller answered a creation with something else");
            names
                .into_iter()
                .map(|name| (name, ErrorCode::UnknownServerError))
                .collect()
        }
        Err(error) => names.into_iter().map(|name| (name, error.code)).collect(),
    }
}
