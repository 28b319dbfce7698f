//! CreateTopics, and topics made because somebody asked for them.

use std::collections::{BTreeMap, BTreeSet};

use super::decider::{Context, Controller, Decision, PARTITIONS_PER_REQUEST_MAX};
use super::directories::DirectoryChoice;
use super::error::{ApiError, ErrorCode};
use super::placement::{self, Placement};
use super::request::{AutoCreateTopics, CreateTopics, NewTopic};
use super::response::{CreatedTopic, NamedResult, Response};
use super::{configs, topic_name};
use crate::config::Resource;
use crate::image::{ClusterImage, ConfigMap, ConfigResource, PartitionImage};
use crate::record::{BrokerId, PartitionId, Record, TopicRecord};

/// The metadata log has the name of a topic and is none.
const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

impl Controller {
    pub(super) fn create_topics(
        &self,
        context: &mut Context<'_>,
        request: CreateTopics,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        self.check_partition_count(&request.topics)?;
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<String> = request
            .topics
            .iter()
            .filter(|topic| !seen.insert(topic.name.as_str()))
            .map(|topic| topic.name.clone())
            .collect();
        let mut taken = Taken::default();
        let mut results = Vec::with_capacity(request.topics.len());
        let mut records = Vec::new();
        for topic in request.topics {
            if twice.contains(&topic.name) {
                continue;
            }
            let result = self.create_topic(context, &topic, image, &mut taken, &mut records);
            results.push(NamedResult {
                name: topic.name,
                result,
            });
        }
        results.extend(twice.into_iter().map(|name| NamedResult {
            name,
            result: Err(ApiError::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name.")),
        }));
        if request.validate_only {
            records.clear();
        }
        Ok(Decision {
            response: Response::CreateTopics(results),
            records,
        })
    }

    pub(super) fn auto_create_topics(
        &self,
        context: &mut Context<'_>,
        request: AutoCreateTopics,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        let names: BTreeSet<String> = request.names.into_iter().collect();
        let topics: Vec<_> = names
            .iter()
            .map(|name| self.shape_on_demand(name, image))
            .collect();
        self.check_partition_count(&topics)?;
        let mut taken = Taken::default();
        let mut results = Vec::with_capacity(topics.len());
        let mut records = Vec::new();
        for topic in topics {
            // Two clients that need the same topic at the same time both get it.
            let result = match existing(&topic.name, image) {
                Some(existing) => Ok(existing),
                None => self.create_topic(context, &topic, image, &mut taken, &mut records),
            };
            results.push(NamedResult {
                name: topic.name,
                result,
            });
        }
        Ok(Decision {
            response: Response::AutoCreateTopics(results),
            records,
        })
    }

    /// A topic nobody described: an internal one as the properties say, any other with the defaults.
    fn shape_on_demand(&self, name: &str, image: &ClusterImage) -> NewTopic {
        match self.internal_topics.iter().find(|topic| topic.name == name) {
            Some(internal) => {
                let live = i16::try_from(image.active_brokers().count()).unwrap_or(i16::MAX);
                let configs = internal.configs.iter();
                NewTopic {
                    name: name.to_owned(),
                    partition_count: internal.partition_count,
                    replication_factor: internal.replication_factor.min(live).max(1),
                    assignments: Vec::new(),
                    configs: configs
                        .map(|(name, value)| (name.clone(), Some(value.clone())))
                        .collect(),
                }
            }
            None => NewTopic {
                name: name.to_owned(),
                partition_count: -1,
                replication_factor: -1,
                ..NewTopic::default()
            },
        }
    }

    fn check_partition_count(&self, topics: &[NewTopic]) -> Result<(), ApiError> {
        let default = i64::from(self.config.topics.partition_count);
        let mut total: i64 = 0;
        for topic in topics {
            total = total.saturating_add(match topic.partition_count {
                _ if !topic.assignments.is_empty() => topic.assignments.len() as i64,
                -1 => default,
                count => i64::from(count.max(0)),
            });
        }
        check_total(total)
    }

    fn create_topic(
        &self,
        context: &mut Context<'_>,
        topic: &NewTopic,
        image: &ClusterImage,
        taken: &mut Taken,
        records: &mut Vec<Record>,
    ) -> Result<CreatedTopic, ApiError> {
        if topic.name == CLUSTER_METADATA_TOPIC {
            return Err(ApiError::new(
                ErrorCode::INVALID_REQUEST,
                format!("Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited."),
            ));
        }
        topic_name::validate(&topic.name)?;
        if image.topic_id(&topic.name).is_some() {
            return Err(ApiError::new(
                ErrorCode::TOPIC_ALREADY_EXISTS,
                format!("Topic '{}' already exists.", topic.name),
            ));
        }
        // Stricter than Kafka, which lets two topics of one request collide.
        if let Some(other) = image
            .colliding_topic(&topic.name)
            .or_else(|| taken.colliding(&topic.name))
        {
            return Err(ApiError::new(
                ErrorCode::INVALID_TOPIC_EXCEPTION,
                format!("Topic '{}' collides with existing topic: {other}", topic.name),
            ));
        }
        let configs = self.check_configs(topic, image)?;
        let partitions = if topic.assignments.is_empty() {
            self.place(context, topic, image, &mut taken.directories)?
        } else {
            place_by_hand(topic, image, &mut taken.directories)?
        };
        let id = context.new_id();
        records.push(Record::from(TopicRecord {
            name: topic.name.clone(),
            topic_id: id,
            ..TopicRecord::default()
        }));
        let resource = ConfigResource::topic(&topic.name);
        let config_records = configs.iter();
        records.extend(
            config_records.map(|(name, value)| configs::record(&resource, name, Some(value.clone()))),
        );
        let replication_factor = partitions.first().map_or(0, |first| first.replicas.len());
        records
            .extend(numbered(&partitions).map(|(number, partition)| partition.to_record(id, number).into()));
        taken.insert(&topic.name);
        Ok(CreatedTopic {
            id,
            partition_count: partitions.len(),
            replication_factor,
            configs,
        })
    }

    fn check_configs(&self, topic: &NewTopic, image: &ClusterImage) -> Result<ConfigMap, ApiError> {
        let pairs: Vec<_> = topic
            .configs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect();
        let configs = self
            .with_config_view(image, |view| view.create_topic(&pairs))
            .map_err(|error| ApiError::config(&error, Resource::Topic))?;
        configs
            .iter()
            .try_for_each(|(_, value)| configs::check_length(value))?;
        Ok(configs)
    }

    fn place(
        &self,
        context: &mut Context<'_>,
        topic: &NewTopic,
        image: &ClusterImage,
        choice: &mut DirectoryChoice,
    ) -> Result<Vec<PartitionImage>, ApiError> {
        let replication_factor = match topic.replication_factor {
            -1 => self.config.topics.replication_factor as usize,
            factor if factor > 0 => factor as usize,
            _ => {
                return Err(ApiError::new(
                    ErrorCode::INVALID_REPLICATION_FACTOR,
                    "Replication factor must be larger than 0, or -1 to use the default value.",
                ));
            }
        };
        let count = match topic.partition_count {
            -1 => self.config.topics.partition_count as usize,
            count if count > 0 => count as usize,
            _ => {
                return Err(ApiError::new(
                    ErrorCode::INVALID_PARTITIONS,
                    "Number of partitions was set to an invalid non-positive value.",
                ));
            }
        };
        let mut placement = Placement::new(image, (context.random)());
        placement.check(replication_factor)?;
        (0..count)
            .map(|number| {
                placement::new_partition(image, placement.replicas(number, replication_factor), choice)
                    .ok_or_else(|| all_fenced(replication_factor))
            })
            .collect()
    }
}

/// What was given out earlier in the same request.
#[derive(Default)]
struct Taken {
    /// Names, under their form with all dots as underscores.
    names: BTreeMap<String, String>,
    directories: DirectoryChoice,
}

impl Taken {
    fn colliding(&self, name: &str) -> Option<&str> {
        self.names.get(&name.replace('.', "_")).map(String::as_str)
    }

    fn insert(&mut self, name: &str) {
        self.names.insert(name.replace('.', "_"), name.to_owned());
    }
}

fn existing(name: &str, image: &ClusterImage) -> Option<CreatedTopic> {
    let topic = image.topic_by_name(name)?;
    let configs = image.config(&ConfigResource::topic(name));
    Some(CreatedTopic {
        id: topic.id,
        partition_count: topic.partition_count(),
        replication_factor: topic.replication_factor(),
        configs: configs.map_or_else(ConfigMap::new, |configs| (**configs).clone()),
    })
}

fn place_by_hand(
    topic: &NewTopic,
    image: &ClusterImage,
    choice: &mut DirectoryChoice,
) -> Result<Vec<PartitionImage>, ApiError> {
    let invalid = |message: &str| Err(ApiError::new(ErrorCode::INVALID_REQUEST, message));
    if topic.replication_factor != -1 {
        return invalid(
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        );
    }
    if topic.partition_count != -1 {
        return invalid("A manual partition assignment was specified, but numPartitions was not set to -1.");
    }
    let mut by_number: BTreeMap<PartitionId, &Vec<BrokerId>> = BTreeMap::new();
    let mut replication_factor = None;
    for (number, replicas) in &topic.assignments {
        if by_number.insert(*number, replicas).is_some() {
            return Err(ApiError::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                format!("Found multiple manual partition assignments for partition {number}"),
            ));
        }
        placement::check_manual(image, replicas, replication_factor)?;
        replication_factor = Some(replicas.len());
    }
    let mut partitions = Vec::with_capacity(by_number.len());
    for (number, replicas) in by_number {
        if number.index() != Some(partitions.len()) {
            return Err(ApiError::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                "partitions should be a consecutive 0-based integer sequence",
            ));
        }
        partitions.push(new_by_hand(image, number, replicas, choice)?);
    }
    Ok(partitions)
}

/// A partition whose replicas were named and checked.
pub(super) fn new_by_hand(
    image: &ClusterImage,
    number: PartitionId,
    replicas: &[BrokerId],
    choice: &mut DirectoryChoice,
) -> Result<PartitionImage, ApiError> {
    placement::new_partition(image, replicas.to_vec(), choice).ok_or_else(|| {
        ApiError::new(
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            format!(
                "All brokers specified in the manual partition assignment for partition {number} are fenced \
                 or in controlled shutdown."
            ),
        )
    })
}

pub(super) fn all_fenced(replication_factor: usize) -> ApiError {
    ApiError::new(
        ErrorCode::INVALID_REPLICATION_FACTOR,
        format!(
            "Unable to replicate the partition {replication_factor} time(s): All brokers are currently fenced \
             or in controlled shutdown."
        ),
    )
}

pub(super) fn check_total(partitions: i64) -> Result<(), ApiError> {
    if partitions <= PARTITIONS_PER_REQUEST_MAX as i64 {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::POLICY_VIOLATION,
        "Excessively large number of partitions per request.",
    ))
}

fn numbered(partitions: &[PartitionImage]) -> impl Iterator<Item = (PartitionId, &PartitionImage)> {
    (0..).map(PartitionId).zip(partitions)
}
