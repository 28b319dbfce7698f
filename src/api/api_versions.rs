//! ApiVersions: what this broker serves, computed from the table.

use std::rc::Rc;

use bytes::Bytes;
use control::controller::METADATA_VERSION;
use control::image::ClusterImage;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use net::connection::{Reply, Request};
use net::error::ErrorCode;
use net::message;
use net::versions_beyond_crate::{ApiVersionsRequest, ApiVersionsResponse};

use super::reply::text;
use super::{Api, TABLE};
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(18, "ApiVersions", (0, 5), |shard, call| {
    Box::pin(answer(shard, call))
});

/// The one feature: in which format metadata records are written. `transaction.version`, `group.version` and the like would promise
/// APIs that are not in the table, and clients would use them.
const METADATA_VERSION_FEATURE: &str = "metadata.version";
/// The oldest format that is read: Kafka 3.3-IV3, as every Kafka 4 says.
const METADATA_VERSION_MIN: i16 = 7;
const FEATURES_SINCE: i16 = 3;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: ApiVersionsRequest = call.decode()?;
    let mut response = ApiVersionsResponse::default();
    let code = judge(&shard, &request, call.version());
    response.error_code = code.code();
    if code.is_ok() {
        let served_here = TABLE.iter().filter(|api| api.is_served_with(&shard.node.config));
        response.api_keys = served_here.map(|api| served(api)).collect();
        if call.version() >= FEATURES_SINCE {
            add_features(&shard.image(), &mut response);
        }
    }
    call.reply(&response)
}

fn add_features(image: &ClusterImage, response: &mut ApiVersionsResponse) {
    response.supported_features = vec![
        SupportedFeatureKey::default()
            .with_name(text(METADATA_VERSION_FEATURE))
            .with_min_version(METADATA_VERSION_MIN)
            .with_max_version(METADATA_VERSION),
    ];
    let finalized = image.features().iter().map(|(name, level)| {
        FinalizedFeatureKey::default()
            .with_name(text(name.as_str()))
            .with_max_version_level(*level)
            .with_min_version_level(*level)
    });
    response.finalized_features = finalized.collect();
    response.finalized_features_epoch = image.position().offset.0;
}

/// Kafka refuses client names that could not be a metric label, and from version 5 on clients that mean another broker (KIP-1242).
fn judge(shard: &Shard, request: &ApiVersionsRequest, version: i16) -> ErrorCode {
    if version >= 3
        && !(is_label(&request.client_software_name) && is_label(&request.client_software_version))
    {
        return ErrorCode::InvalidRequest;
    }
    let other_cluster = request
        .cluster_id
        .as_deref()
        .is_some_and(|cluster| cluster != shard.node.cluster_id);
    let other_node = request.node_id >= 0 && request.node_id != shard.node.id.0;
    if other_cluster || other_node {
        ErrorCode::RebootstrapRequired
    } else {
        ErrorCode::None
    }
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_label(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(name.chars().next())
        && edge(name.chars().next_back())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
}

fn served(api: &Api) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(api.key)
        .with_min_version(api.min_version)
        .with_max_version(api.max_version)
}

/// The answer to a version of ApiVersions that we do not know: in version 0, with the one entry that lets the client ask again.
pub fn unsupported(request: &Request) -> Reply {
    let response = kafka_protocol::messages::ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(vec![served(&API)]);
    let response = ApiVersionsResponse(response);
    let frame: Result<Bytes, _> = message::encode_response(0, request.header.correlation_id, &response);
    frame.map_or(Reply::Close, Reply::from)
}

#[cfg(test)]
mod tests {
    use super::is_label;

    /// Breaks in production: a client with an ordinary name cannot connect.
    #[test]
    fn client_names_are_judged_as_kafka_judges_them() {
        for good in ["librdkafka", "apache-kafka-java", "2.16.0", "a", "kgo"] {
            assert!(is_label(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "ä", "a_b"] {
            assert!(!is_label(bad), "{bad}");
        }
    }
}
