//! UpdateFeatures, and what a broker must be able to do to join (KIP-584).

use super::decider::{Controller, Decision, METADATA_VERSION};
use super::error::{ApiError, ErrorCode};
use super::request::{FeatureUpdate, RegisterBroker, UpdateFeatures};
use super::response::{NamedResult, Response};
use crate::image::ClusterImage;
use crate::record::{FeatureLevelRecord, FeatureRange, Record};

const METADATA_VERSION_FEATURE: &str = "metadata.version";
/// The oldest format of metadata records that is read: Kafka 3.3-IV3, as every Kafka 4 says.
pub const METADATA_VERSION_MIN: i16 = 7;
/// The level of `metadata.version` of a cluster that has not said one, as Kafka counts.
const METADATA_VERSION_UNSAID: i16 = 1;
/// Levels of `metadata.version` that differ from the one before in nothing that is written: going back from them loses nothing
/// (the levels marked so in Kafka's `MetadataVersion`). Of later ones we do not know.
const METADATA_UNCHANGED: [i16; 11] = [9, 10, 12, 16, 18, 19, 20, 21, 22, 24, 25];

/// As on the wire.
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

impl Controller {
    /// All of the updates or none.
    pub(super) fn update_features(
        &self,
        request: UpdateFeatures,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        let mut records = Vec::new();
        for update in &request.updates {
            let judged = self.check_update(update, image);
            judged.map_err(|reason| {
                ApiError::new(
                    ErrorCode::INVALID_UPDATE_VERSION,
                    format!(
                        "The update failed for all features since the following feature had an error: {reason}"
                    ),
                )
            })?;
            records.push(Record::from(FeatureLevelRecord {
                name: update.name.clone(),
                feature_level: update.level,
                ..FeatureLevelRecord::default()
            }));
        }
        if request.validate_only {
            records.clear();
        }
        let results = request.updates.into_iter().map(|update| NamedResult {
            name: update.name,
            result: Ok(()),
        });
        Ok(Decision {
            response: Response::UpdateFeatures(results.collect()),
            records,
        })
    }

    /// The reason against it, in Kafka's words.
    fn check_update(&self, update: &FeatureUpdate, image: &ClusterImage) -> Result<(), String> {
        let FeatureUpdate {
            name,
            level,
            upgrade_type,
        } = update;
        let invalid = |reason: &str| {
            Err(format!(
                "Invalid update version {level} for feature {name}. {reason}"
            ))
        };
        if !matches!(*upgrade_type, UPGRADE | SAFE_DOWNGRADE | UNSAFE_DOWNGRADE) {
            return invalid("The controller does not support the given upgrade type.");
        }
        if *level < 0 {
            return invalid("A feature version cannot be less than 0.");
        }
        let controller = format!("Local controller {}", self.config.node_id);
        let own = (name == METADATA_VERSION_FEATURE).then_some((METADATA_VERSION_MIN, METADATA_VERSION));
        if let Some(reason) = not_supported(*level, &controller, own) {
            return invalid(&reason);
        }
        // Brokers that say nothing are ringlog's own, and can do what we can.
        for broker in image
            .brokers()
            .values()
            .filter(|broker| !broker.features.is_empty())
        {
            let range = broker.features.iter().find(|feature| feature.name == *name);
            let range = range.map(|range| (range.min_supported_version, range.max_supported_version));
            if let Some(reason) = not_supported(*level, &format!("Broker {}", broker.id), range) {
                return invalid(&reason);
            }
        }
        let current = level_of(name, image);
        if *level < current && *upgrade_type == UPGRADE {
            return invalid(
                "Can't downgrade the version of this feature without setting the upgrade type to either safe \
                 or unsafe downgrade.",
            );
        }
        if *level > current && *upgrade_type != UPGRADE {
            return invalid("Can't downgrade to a newer version.");
        }
        let loses_metadata = (level + 1..=current).any(|passed| !METADATA_UNCHANGED.contains(&passed));
        if *level < current && loses_metadata {
            return Err(format!(
                "Invalid metadata.version {level}. {}",
                if *upgrade_type == UNSAFE_DOWNGRADE {
                    "Unsafe metadata downgrade is not supported in this version."
                } else {
                    "Refusing to perform the requested downgrade because it might delete metadata information."
                }
            ));
        }
        Ok(())
    }
}

fn not_supported(level: i16, who: &str, range: Option<(i16, i16)>) -> Option<String> {
    match range {
        Some((min, max)) if min <= level && level <= max => None,
        Some((min, max)) if min == max && max != 0 => Some(format!("{who} only supports versions {min}")),
        Some((min, max)) if max != 0 => Some(format!("{who} only supports versions {min}-{max}")),
        // Every feature can be taken away.
        None if level == 0 => None,
        Some(_) | None => Some(format!("{who} does not support this feature.")),
    }
}

fn level_of(name: &str, image: &ClusterImage) -> i16 {
    let unsaid = if name == METADATA_VERSION_FEATURE {
        METADATA_VERSION_UNSAID
    } else {
        0
    };
    image.features().get(name).copied().unwrap_or(unsaid)
}

/// A broker joins only if it can work at the levels that the cluster is at.
pub(super) fn check_registration(request: &RegisterBroker, image: &ClusterImage) -> Result<(), ApiError> {
    // A broker of ours names none.
    if request.features.is_empty() {
        return Ok(());
    }
    let unlisted = image.features().keys().filter(|name| {
        let is_listed = |feature: &FeatureRange| feature.name == **name;
        !request.features.iter().any(is_listed)
    });
    let unlisted = unlisted.map(|name| (name.as_str(), 0, 0));
    let listed = request.features.iter().map(|feature| {
        let FeatureRange {
            name,
            min_supported_version: min,
            max_supported_version: max,
            ..
        } = feature;
        (name.as_str(), *min, *max)
    });
    for (name, min, max) in listed.chain(unlisted) {
        let level = level_of(name, image);
        if level < min || max < level {
            return Err(ApiError::new(
                ErrorCode::UNSUPPORTED_VERSION,
                format!(
                    "Unable to register because the broker does not support finalized version {level} of {name}. \
                     The broker wants a version between {min} and {max}, inclusive."
                ),
            ));
        }
    }
    Ok(())
}
