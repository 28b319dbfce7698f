//! DescribeConfigs: values in force, where they come from, and what they mean.

use std::rc::Rc;

use control::config::{ConfigRow, Detail};
use control::image::{ClusterImage, ConfigResource, ResourceKind};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use net::error::ErrorCode;

use super::Api;
use super::reply::{optional, text};
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;
use crate::topic_config::{overrides, view};

pub static API: Api = Api::new(32, "DescribeConfigs", (1, 4), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: DescribeConfigsRequest = call.decode()?;
    let image = shard.image();
    let results = request.resources.iter().map(|resource| {
        let answer = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match rows(
            &shard,
            &image,
            resource,
            request.include_synonyms,
            request.include_documentation,
        ) {
            Ok(rows) => answer.with_configs(rows.into_iter().map(result).collect()),
            Err((code, message)) => answer
                .with_error_code(code.code())
                .with_error_message(Some(text(message))),
        }
    });
    let results = results.collect();
    call.reply(&DescribeConfigsResponse::default().with_results(results))
}

fn rows(
    shard: &Shard,
    image: &ClusterImage,
    asked: &DescribeConfigsResource,
    synonyms: bool,
    documentation: bool,
) -> Result<Vec<ConfigRow>, (ErrorCode, String)> {
    // Kafka takes an empty list of names for "all", like null.
    let names = asked
        .configuration_keys
        .as_ref()
        .filter(|names| !names.is_empty());
    let names: Option<Vec<&str>> = names.map(|names| names.iter().map(|name| &**name).collect());
    let detail = Detail {
        names: names.as_deref(),
        synonyms,
        documentation,
    };
    let view = view(&shard.node, image);
    let name: &str = &asked.resource_name;
    match ResourceKind::from_id(asked.resource_type) {
        Some(ResourceKind::Topic) => {
            if control::controller::validate_topic_name(name).is_err() {
                return Err((
                    ErrorCode::InvalidTopicException,
                    format!("Topic name '{name}' is not valid."),
                ));
            }
            if image.topic_by_name(name).is_none() {
                return Err((ErrorCode::UnknownTopicOrPartition, String::new()));
            }
            Ok(view.describe_topic(overrides(image, &ConfigResource::topic(name)), detail))
        }
        Some(ResourceKind::Broker) if name.is_empty() => Ok(view.describe_all_brokers(detail)),
        Some(ResourceKind::Broker) => match name.parse::<i32>() {
            Ok(id) if id == shard.node.id.0 => Ok(view.describe_broker(detail)),
            Ok(_) => {
                let own = shard.node.id.0;
                Err((
                    ErrorCode::InvalidRequest,
                    format!("Unexpected broker id, expected {own} or empty string, but received {name}"),
                ))
            }
            Err(_) => Err((
                ErrorCode::InvalidRequest,
                format!("Broker id must be an integer, but it is: {name}"),
            )),
        },
        Some(ResourceKind::Group) if name.is_empty() => Err((
            ErrorCode::InvalidRequest,
            "Group name must not be empty".to_owned(),
        )),
        Some(ResourceKind::Group) => {
            Ok(view.describe_group(overrides(image, &ConfigResource::group(name)), detail))
        }
        Some(kind @ (ResourceKind::BrokerLogger | ResourceKind::ClientMetrics)) => Err((
            ErrorCode::InvalidRequest,
            format!("Resource type {} is not served by this broker", kind.name()),
        )),
        None => Err((
            ErrorCode::InvalidRequest,
            format!("Unsupported resource type: {}", asked.resource_type),
        )),
    }
}

fn result(row: ConfigRow) -> DescribeConfigsResourceResult {
    let synonyms = row.synonyms.into_iter().map(|synonym| {
        DescribeConfigsSynonym::default()
            .with_name(text(synonym.name))
            .with_value(optional(synonym.value))
            .with_source(synonym.source.code())
    });
    DescribeConfigsResourceResult::default()
        .with_name(text(row.name))
        .with_value(optional(row.value))
        .with_read_only(row.read_only)
        .with_config_source(row.source.code())
        .with_is_sensitive(row.sensitive)
        .with_synonyms(synonyms.collect())
        .with_config_type(row.kind_code)
        .with_documentation(row.documentation.map(text))
}
