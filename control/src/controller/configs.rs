//! AlterConfigs and IncrementalAlterConfigs: which resources there are; the values are judged by [`crate::config`].

use std::collections::{BTreeMap, BTreeSet};

use super::decider::{Context, Controller, Decision};
use super::error::{ApiError, ErrorCode};
use super::request::{AlterConfigs, IncrementalAlterConfigs, IncrementalOperation};
use super::response::{AlteredResource, Response};
use super::topic_name;
use crate::config::{Change, Overrides, Resource, Write};
use crate::image::{ClusterImage, ConfigResource, ResourceKind};
use crate::record::{BrokerId, ConfigRecord, Record};

/// Kafka's bound, that of a string with a length of 16 bits.
const VALUE_BYTES_MAX: usize = i16::MAX as usize;

impl Controller {
    pub(super) fn alter_configs(
        &self,
        context: &mut Context<'_>,
        request: AlterConfigs,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        let keys = request.resources.iter();
        let twice = named_twice(keys.map(|resource| (resource.resource_type, resource.name.as_str())));
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(request.resources.len());
        for resource in request.resources {
            let key = (resource.resource_type, resource.name.clone());
            let result =
                self.alter_resource(&key, &twice, image, &mut records, |controller, kind, current| {
                    let pairs = resource.configs.iter();
                    let pairs: Vec<_> = pairs
                        .map(|(name, value)| (name.as_str(), value.as_deref()))
                        .collect();
                    controller
                        .with_config_view(image, |view| view.replace(kind, current, &pairs))
                        .map_err(|error| ApiError::config(&error, kind))
                });
            results.push(altered(key, result));
        }
        if request.validate_only {
            records.clear();
        }
        self.follow_configs(context, image, &mut records)?;
        Ok(Decision {
            response: Response::AlterConfigs(results),
            records,
        })
    }

    pub(super) fn incremental_alter_configs(
        &self,
        context: &mut Context<'_>,
        request: IncrementalAlterConfigs,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        let keys = request.resources.iter();
        let twice = named_twice(keys.map(|resource| (resource.resource_type, resource.name.as_str())));
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(request.resources.len());
        for resource in request.resources {
            let key = (resource.resource_type, resource.name.clone());
            let result =
                self.alter_resource(&key, &twice, image, &mut records, |controller, kind, current| {
                    let changes = changes(&resource.operations)?;
                    controller
                        .with_config_view(image, |view| view.alter(kind, current, &changes))
                        .map_err(|error| ApiError::config(&error, kind))
                });
            results.push(altered(key, result));
        }
        if request.validate_only {
            records.clear();
        }
        self.follow_configs(context, image, &mut records)?;
        Ok(Decision {
            response: Response::IncrementalAlterConfigs(results),
            records,
        })
    }

    /// What elections depend on has changed: who is eligible to lead, and whether partitions without leader may have an unclean one.
    ///
    /// With a lower `min.insync.replicas` the high watermark goes on where it stood still, and who was eligible falls
    /// behind (KIP-966).
    fn follow_configs(
        &self,
        context: &mut Context<'_>,
        image: &ClusterImage,
        records: &mut Vec<Record>,
    ) -> Result<(), ApiError> {
        let sets = |record: &Record, name| matches!(record, Record::Config(config) if config.name == name);
        if records
            .iter()
            .any(|record| sets(record, "unclean.leader.election.enable"))
        {
            context.liveness.unclean_elections().hurry(context.now);
        }
        if records.iter().any(|record| sets(record, "min.insync.replicas")) {
            let next = image.apply(records.iter());
            let (next, _) =
                next.map_err(|error| ApiError::new(ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string()))?;
            records.extend(self.review_eligible_replicas(&next));
        }
        Ok(())
    }

    /// Everything but the values: that the resource is named once, may have configs, and exists.
    fn alter_resource(
        &self,
        key: &(i8, String),
        twice: &BTreeSet<(i8, String)>,
        image: &ClusterImage,
        records: &mut Vec<Record>,
        judge: impl FnOnce(&Controller, Resource, &Overrides) -> Result<Vec<Write>, ApiError>,
    ) -> Result<(), ApiError> {
        if twice.contains(key) {
            return Err(invalid("Each resource must appear at most once."));
        }
        let (resource_type, name) = key;
        let unknown = || invalid(format!("Unknown resource type {resource_type}"));
        let kind = ResourceKind::from_id(*resource_type).ok_or_else(unknown)?;
        let judged_as = match kind {
            ResourceKind::Topic => {
                if name.is_empty() {
                    return Err(invalid("Default topic resources are not allowed."));
                }
                topic_name::validate(name)?;
                Resource::Topic
            }
            ResourceKind::Broker if name.is_empty() => Resource::BrokerDefault,
            ResourceKind::Broker => {
                check_is_broker_id(name)?;
                Resource::Broker
            }
            ResourceKind::Group if name.is_empty() => {
                return Err(invalid("Default group resources are not allowed."));
            }
            ResourceKind::Group => Resource::Group,
            // Log levels live in a process, subscriptions of client metrics come with the API that serves them.
            ResourceKind::BrokerLogger | ResourceKind::ClientMetrics => return Err(unknown()),
        };
        let resource = ConfigResource::new(kind, name);
        let none = Overrides::new();
        let current = image.config(&resource).map_or(&none, |configs| &**configs);
        let writes = judge(self, judged_as, current)?;
        writes
            .iter()
            .filter_map(|write| write.value.as_deref())
            .try_for_each(check_length)?;
        check_exists(judged_as, name, image)?;
        records.extend(
            writes
                .into_iter()
                .map(|write| record(&resource, &write.name, write.value)),
        );
        Ok(())
    }
}

/// Whether there is such a broker is judged after the values. Kafka's brokers take changes of their own configs only, since some
/// are no business of the controller; here the controller judges them all, also those of a broker that is down.
fn check_is_broker_id(name: &str) -> Result<(), ApiError> {
    match name.parse::<i32>() {
        // Under another spelling it would be set and never be found.
        Ok(id) if id.to_string() == name => Ok(()),
        _ => Err(invalid(format!("Node id must be an integer, but it is: {name}"))),
    }
}

fn changes(operations: &[IncrementalOperation]) -> Result<Vec<(&str, Change<'_>)>, ApiError> {
    operations
        .iter()
        .map(|operation| {
            let code = operation.operation;
            let change = Change::from_code(code, operation.value.as_deref())
                .ok_or_else(|| invalid(format!("Unknown operations type {code}")))?;
            Ok((operation.name.as_str(), change))
        })
        .collect()
}

fn check_exists(resource: Resource, name: &str, image: &ClusterImage) -> Result<(), ApiError> {
    match resource {
        Resource::Topic if image.topic_id(name).is_none() => Err(ApiError::new(
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            format!("The topic '{name}' does not exist."),
        )),
        Resource::Broker => {
            let id = name.parse().ok().map(BrokerId);
            match id.and_then(|id| image.broker(id)) {
                Some(_) => Ok(()),
                None => Err(ApiError::new(
                    ErrorCode::BROKER_ID_NOT_REGISTERED,
                    format!("No broker with id {name} found."),
                )),
            }
        }
        Resource::Topic | Resource::BrokerDefault | Resource::Group => Ok(()),
    }
}

pub(super) fn check_length(value: impl AsRef<str>) -> Result<(), ApiError> {
    if value.as_ref().len() <= VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::INVALID_CONFIG,
        format!(
            "The configuration value cannot be added because it exceeds the maximum value size of \
             {VALUE_BYTES_MAX} bytes."
        ),
    ))
}

pub(super) fn record(resource: &ConfigResource, name: &str, value: Option<String>) -> Record {
    ConfigRecord {
        resource_type: resource.kind.id(),
        resource_name: resource.name.to_string(),
        name: name.to_owned(),
        value,
        ..ConfigRecord::default()
    }
    .into()
}

fn named_twice<'a>(resources: impl Iterator<Item = (i8, &'a str)>) -> BTreeSet<(i8, String)> {
    let mut counts: BTreeMap<(i8, &str), usize> = BTreeMap::new();
    for resource in resources {
        *counts.entry(resource).or_default() += 1;
    }
    let twice = counts.into_iter().filter(|(_, count)| *count > 1);
    twice
        .map(|((resource_type, name), _)| (resource_type, name.to_owned()))
        .collect()
}

fn altered((resource_type, name): (i8, String), result: Result<(), ApiError>) -> AlteredResource {
    AlteredResource {
        resource_type,
        name,
        result,
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::INVALID_REQUEST, message)
}
