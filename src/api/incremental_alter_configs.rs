//! IncrementalAlterConfigs: sets, deletes, appends to and subtracts from what was set (KIP-339).

use std::rc::Rc;

use control::controller::{
    IncrementalAlterConfigs, IncrementalAlterConfigsResource, IncrementalOperation, Request, Response,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::{Api, altered};
use crate::dispatch::{Call, Hangup, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(44, "IncrementalAlterConfigs", (0, 1), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: IncrementalAlterConfigsRequest = call.decode()?;
    let resources = request
        .resources
        .into_iter()
        .map(|resource| IncrementalAlterConfigsResource {
            resource_type: resource.resource_type,
            name: resource.resource_name.to_string(),
            operations: resource
                .configs
                .into_iter()
                .map(|config| IncrementalOperation {
                    name: config.name.to_string(),
                    operation: config.config_operation,
                    value: config.value.map(|value| value.to_string()),
                })
                .collect(),
        });
    let alter = IncrementalAlterConfigs {
        resources: resources.collect(),
        validate_only: request.validate_only,
    };
    let asked: Vec<(i8, String)> = alter
        .resources
        .iter()
        .map(|resource| (resource.resource_type, resource.name.clone()))
        .collect();
    let answered = match shard.control(Request::IncrementalAlterConfigs(alter)).await {
        Ok(Response::IncrementalAlterConfigs(results)) => Ok(results),
        Ok(other) => return Err(Hangup::confused(&other)),
        Err(error) => Err(error),
    };
    let responses = altered::results(asked, answered).into_iter().map(|altered| {
        AlterConfigsResourceResponse::default()
            .with_resource_type(altered.resource_type)
            .with_resource_name(altered.name)
            .with_error_code(altered.code)
            .with_error_message(altered.message)
    });
    call.reply(&IncrementalAlterConfigsResponse::default().with_responses(responses.collect()))
}
