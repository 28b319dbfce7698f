//! What this broker says of itself when it enters the registry.

use control::controller::{FEATURE_RANGES, PreviousShutdown};
use control::image::BrokerImage;
use control::record::{BrokerEndpoint, FeatureRange};
use control::service::{CONTROL_LISTENER, Registration};

use crate::log_dirs::Directories;
use crate::shard::Node;

/// A feature only ringlog has: tells its registrations from Kafka's.
const FEATURE: &str = "ringlog.version";
const FEATURE_LEVEL: i16 = 1;

/// Whether the last broker of this id that registered was ringlog. Earlier versions of it named no features; Kafka's always name
/// some.
pub fn is_ringlogs(broker: &BrokerImage) -> bool {
    broker.features.is_empty() || broker.features.iter().any(|feature| feature.name == FEATURE)
}

/// `control` is where the control thread listens, if it does.
pub fn of(node: &Node, directories: &Directories) -> Registration {
    let endpoints = node.listeners.iter().map(|listener| BrokerEndpoint {
        name: listener.name.clone(),
        host: listener.host.clone(),
        port: listener.port,
        ..BrokerEndpoint::default()
    });
    debug_assert!(
        node.listeners
            .iter()
            .all(|listener| listener.name != CONTROL_LISTENER)
    );
    Registration {
        endpoints: endpoints.collect(),
        // 0: the cluster has not said that all of its brokers have it.
        features: FEATURE_RANGES
            .into_iter()
            .chain([(FEATURE, 0, FEATURE_LEVEL)])
            .map(
                |(name, min_supported_version, max_supported_version)| FeatureRange {
                    name: name.to_owned(),
                    min_supported_version,
                    max_supported_version,
                    ..FeatureRange::default()
                },
            )
            .collect(),
        rack: node.config.rack.clone(),
        log_dirs: directories.online_ids(),
        previous_shutdown: if directories.were_clean() {
            PreviousShutdown::Clean
        } else {
            PreviousShutdown::Unclean
        },
    }
}
