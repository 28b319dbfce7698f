//! UpdateFeatures, and features of brokers that register.

use super::*;

const FEATURE: &str = "metadata.version";

fn update(
    cluster: &mut Cluster,
    name: &str,
    level: i16,
    upgrade_type: i8,
    validate_only: bool,
) -> Result<(), String> {
    let request = UpdateFeatures {
        updates: vec![FeatureUpdate {
            name: name.to_owned(),
            level,
            upgrade_type,
        }],
        validate_only,
    };
    match cluster.call(Request::UpdateFeatures(request)) {
        Ok(Response::UpdateFeatures(results)) => {
            assert_eq!(results.len(), 1);
            Ok(())
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!(error.code, ErrorCode::INVALID_UPDATE_VERSION);
            Err(error.message.unwrap_or_default())
        }
    }
}

fn at_level(level: i16) -> Cluster {
    let mut cluster = Cluster::new(1, "");
    cluster.replay(&[FeatureLevelRecord {
        name: FEATURE.to_owned(),
        feature_level: level,
        ..FeatureLevelRecord::default()
    }
    .into()]);
    cluster
}

#[test]
fn the_metadata_version_goes_up() {
    let mut cluster = at_level(20);
    assert_eq!(update(&mut cluster, FEATURE, METADATA_VERSION, 1, true), Ok(()));
    assert_eq!(cluster.image.features().get(FEATURE), Some(&20));
    assert_eq!(update(&mut cluster, FEATURE, METADATA_VERSION, 1, false), Ok(()));
    assert_eq!(cluster.image.features().get(FEATURE), Some(&METADATA_VERSION));
}

#[test]
fn what_nobody_could_work_with_is_refused() {
    let prefix = "The update failed for all features since the following feature had an error: ";
    let refused = |name: &str, level, upgrade_type, reason: &str| {
        let mut cluster = at_level(25);
        let expected = Err(format!("{prefix}{reason}"));
        assert_eq!(update(&mut cluster, name, level, upgrade_type, false), expected);
        assert_eq!(cluster.image.features().get(FEATURE), Some(&25));
    };
    refused(
        FEATURE,
        METADATA_VERSION + 1,
        1,
        "Invalid update version 31 for feature metadata.version. Local controller 1 only supports versions 7-30",
    );
    refused(
        "nonsense",
        1,
        1,
        "Invalid update version 1 for feature nonsense. Local controller 1 does not support this feature.",
    );
    refused(
        FEATURE,
        -1,
        1,
        "Invalid update version -1 for feature metadata.version. A feature version cannot be less than 0.",
    );
    refused(
        FEATURE,
        30,
        0,
        "Invalid update version 30 for feature metadata.version. The controller does not support the given \
         upgrade type.",
    );
    refused(
        FEATURE,
        24,
        1,
        "Invalid update version 24 for feature metadata.version. Can't downgrade the version of this feature \
         without setting the upgrade type to either safe or unsafe downgrade.",
    );
    refused(
        FEATURE,
        30,
        2,
        "Invalid update version 30 for feature metadata.version. Can't downgrade to a newer version.",
    );
    refused(
        FEATURE,
        22,
        2,
        "Invalid metadata.version 22. Refusing to perform the requested downgrade because it might delete metadata \
         information.",
    );
    refused(
        FEATURE,
        22,
        3,
        "Invalid metadata.version 22. Unsafe metadata downgrade is not supported in this version.",
    );
    // where nothing differs in what is written, the way back is open
    assert_eq!(update(&mut at_level(25), FEATURE, 23, 2, false), Ok(()));
}

#[test]
fn a_broker_that_knows_only_older_formats_holds_the_cluster_back_and_is_held_out() {
    let mut cluster = at_level(20);
    let with_range = |id, min, max| RegisterBroker {
        features: vec![FeatureRange {
            name: FEATURE.to_owned(),
            min_supported_version: min,
            max_supported_version: max,
            ..FeatureRange::default()
        }],
        ..registration(id, 1, PreviousShutdown::Clean)
    };
    cluster
        .call(Request::RegisterBroker(with_range(2, 7, 25)))
        .expect("registered");
    assert_eq!(
        update(&mut cluster, FEATURE, 30, 1, false),
        Err(
            "The update failed for all features since the following feature had an error: Invalid update version 30 \
             for feature metadata.version. Broker 2 only supports versions 7-25"
                .to_owned()
        )
    );
    assert_eq!(
        cluster.call(Request::RegisterBroker(with_range(3, 7, 19))),
        Err(ApiError::new(
            ErrorCode::UNSUPPORTED_VERSION,
            "Unable to register because the broker does not support finalized version 20 of metadata.version. The \
             broker wants a version between 7 and 19, inclusive."
        ))
    );
}
