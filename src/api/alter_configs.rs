//! AlterConfigs: the older form, which replaces all that was set (KIP-133).

use std::rc::Rc;

use control::controller::{AlterConfigs, AlterConfigsResource, Request, Response};
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::{Api, altered};
use crate::dispatch::{Call, Hangup, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(33, "AlterConfigs", (0, 2), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: AlterConfigsRequest = call.decode()?;
    let resources = request
        .resources
        .into_iter()
        .map(|resource| AlterConfigsResource {
            resource_type: resource.resource_type,
            name: resource.resource_name.to_string(),
            configs: resource
                .configs
                .into_iter()
                .map(|config| {
                    (
                        config.name.to_string(),
                        config.value.map(|value| value.to_string()),
                    )
                })
                .collect(),
        });
    let alter = AlterConfigs {
        resources: resources.collect(),
        validate_only: request.validate_only,
    };
    let asked: Vec<(i8, String)> = alter
        .resources
        .iter()
        .map(|resource| (resource.resource_type, resource.name.clone()))
        .collect();
    let answered = match shard.control(Request::AlterConfigs(alter)).await {
        Ok(Response::AlterConfigs(results)) => Ok(results),
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
    call.reply(&AlterConfigsResponse::default().with_responses(responses.collect()))
}
