//! UpdateFeatures: raises and lowers the levels at which the cluster works (KIP-584, KIP-778).

use std::rc::Rc;

use control::controller::{FeatureUpdate, NamedResult, Request, Response, UpdateFeatures};
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use super::Api;
use super::control_error::{ControlError, parts};
use super::reply::text;
use crate::dispatch::{Call, Hangup, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(57, "UpdateFeatures", (0, 2), |shard, call| {
    Box::pin(answer(shard, call))
});

/// From then on there is one result for all.
const ONE_RESULT_SINCE: i16 = 2;
const SAFE_DOWNGRADE: i8 = 2;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: UpdateFeaturesRequest = call.decode()?;
    let version = call.version();
    let update = UpdateFeatures {
        updates: request.feature_updates.into_iter().map(feature_update).collect(),
        validate_only: request.validate_only,
    };
    let answered = match shard.control(Request::UpdateFeatures(update)).await {
        Ok(Response::UpdateFeatures(results)) => Ok(results),
        Ok(other) => return Err(Hangup::confused(&other)),
        Err(error) => Err(error),
    };
    call.reply(&response(answered, version))
}

/// Version 0 knew downgrades of one kind only.
fn feature_update(update: FeatureUpdateKey) -> FeatureUpdate {
    FeatureUpdate {
        name: update.feature.to_string(),
        level: update.max_version_level,
        upgrade_type: if update.allow_downgrade {
            SAFE_DOWNGRADE
        } else {
            update.upgrade_type
        },
    }
}

/// All features are updated or none.
fn response(answered: Result<Vec<NamedResult<()>>, ControlError>, version: i16) -> UpdateFeaturesResponse {
    let updated = answered.and_then(|results| {
        let one = |updated: NamedResult<()>| match updated.result {
            Ok(()) => Ok(updated.name),
            Err(error) => Err(of_all(error.into())),
        };
        results.into_iter().map(one).collect::<Result<Vec<String>, _>>()
    });
    match updated {
        Ok(names) if version < ONE_RESULT_SINCE => {
            let results = names
                .into_iter()
                .map(|name| UpdatableFeatureResult::default().with_feature(text(name)));
            UpdateFeaturesResponse::default().with_results(results.collect())
        }
        Ok(_) => UpdateFeaturesResponse::default(),
        Err(error) => {
            let (code, message) = parts(Err(error));
            UpdateFeaturesResponse::default()
                .with_error_code(code)
                .with_error_message(message)
        }
    }
}

fn of_all(error: ControlError) -> ControlError {
    let reason = error.message.unwrap_or_else(|| error.code.name().to_owned());
    ControlError::new(
        error.code,
        format!("The update failed for all features since the following feature had an error: {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::controller::{ApiError, ErrorCode as Refusal};

    fn updated(name: &str, result: Result<(), ApiError>) -> NamedResult<()> {
        NamedResult {
            name: name.to_owned(),
            result,
        }
    }

    /// Breaks in production: kafka-features reports an upgrade as done that was refused.
    #[test]
    fn one_refused_feature_refuses_all() {
        let refusal = ApiError::new(Refusal::INVALID_UPDATE_VERSION, "no such level");
        for version in 0..=2 {
            let results = vec![updated("a", Ok(())), updated("b", Err(refusal.clone()))];
            let response = response(Ok(results), version);
            assert_eq!(response.error_code, 95);
            assert_eq!(
                response.error_message.as_deref(),
                Some(
                    "The update failed for all features since the following feature had an error: no such level"
                )
            );
            assert!(response.results.is_empty());
        }
    }

    /// Breaks in production: an answer of version 2 with results does not encode and the connection is closed.
    #[test]
    fn results_by_feature_end_with_version_1() {
        let results = || Ok(vec![updated("a", Ok(())), updated("b", Ok(()))]);
        assert_eq!(response(results(), 1).results.len(), 2);
        assert_eq!(response(results(), 2), UpdateFeaturesResponse::default());
    }
}
