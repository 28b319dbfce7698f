//! ListConfigResources: everything that has configurations of its own (KIP-1142).

use std::rc::Rc;

use control::image::ResourceKind;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use net::error::ErrorCode;

use super::Api;
use super::reply::text;
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(74, "ListConfigResources", (0, 1), |shard, call| {
    Box::pin(answer(shard, call))
});

const ALL_KINDS: [ResourceKind; 5] = [
    ResourceKind::Topic,
    ResourceKind::Broker,
    ResourceKind::BrokerLogger,
    ResourceKind::ClientMetrics,
    ResourceKind::Group,
];

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: ListConfigResourcesRequest = call.decode()?;
    // Version 0 knows client metrics only, and this broker has none.
    let asked: Option<Vec<ResourceKind>> = match call.version() {
        0 => Some(vec![ResourceKind::ClientMetrics]),
        _ if request.resource_types.is_empty() => Some(ALL_KINDS.to_vec()),
        _ => request
            .resource_types
            .iter()
            .map(|id| ResourceKind::from_id(*id))
            .collect(),
    };
    let Some(asked) = asked else {
        let response =
            ListConfigResourcesResponse::default().with_error_code(ErrorCode::UnsupportedVersion.code());
        return call.reply(&response);
    };
    let image = shard.image();
    let mut resources = Vec::new();
    let mut push = |kind: ResourceKind, name: &str| {
        resources.push(
            ConfigResource::default()
                .with_resource_type(kind.id())
                .with_resource_name(text(name)),
        );
    };
    for kind in asked {
        match kind {
            ResourceKind::Topic => image.topics().for_each(|topic| push(kind, &topic.name)),
            ResourceKind::Broker | ResourceKind::BrokerLogger => {
                image
                    .brokers()
                    .keys()
                    .for_each(|broker| push(kind, &broker.0.to_string()));
            }
            ResourceKind::Group => {
                let groups = image
                    .configs()
                    .map(|(resource, _)| resource)
                    .filter(|resource| resource.kind == kind);
                groups.for_each(|group| push(kind, &group.name));
            }
            ResourceKind::ClientMetrics => {}
        }
    }
    call.reply(&ListConfigResourcesResponse::default().with_config_resources(resources))
}
