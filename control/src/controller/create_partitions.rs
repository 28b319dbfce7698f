//! CreatePartitions: a topic grows.

use std::collections::BTreeSet;

use super::create_topics::{all_fenced, check_total, new_by_hand};
use super::decider::{Context, Controller, Decision};
use super::directories::DirectoryChoice;
use super::error::{ApiError, ErrorCode};
use super::placement::{self, Placement};
use super::request::{CreatePartitions, NewPartitions};
use super::response::{NamedResult, Response};
use crate::image::{ClusterImage, PartitionImage};
use crate::record::{PartitionId, Record};

impl Controller {
    pub(super) fn create_partitions(
        &self,
        context: &mut Context<'_>,
        request: CreatePartitions,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<String> = request
            .topics
            .iter()
            .filter(|topic| !seen.insert(topic.name.as_str()))
            .map(|topic| topic.name.clone())
            .collect();
        let total = request.topics.iter().fold(0i64, |total, topic| {
            let existing = image
                .topic_by_name(&topic.name)
                .map_or(0, |topic| topic.partition_count() as i64);
            total.saturating_add((i64::from(topic.count) - existing).max(0))
        });
        check_total(total)?;
        let mut results: Vec<_> = twice
            .iter()
            .map(|name| NamedResult {
                name: name.clone(),
                result: Err(ApiError::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name.")),
            })
            .collect();
        let mut records = Vec::new();
        let mut choice = DirectoryChoice::default();
        for topic in request.topics {
            if twice.contains(&topic.name) {
                continue;
            }
            let result = add_partitions(context, &topic, image, &mut choice, &mut records);
            results.push(NamedResult {
                name: topic.name,
                result,
            });
        }
        if request.validate_only {
            records.clear();
        }
        Ok(Decision {
            response: Response::CreatePartitions(results),
            records,
        })
    }
}

fn add_partitions(
    context: &mut Context<'_>,
    request: &NewPartitions,
    image: &ClusterImage,
    choice: &mut DirectoryChoice,
    records: &mut Vec<Record>,
) -> Result<(), ApiError> {
    let topic = image
        .topic_by_name(&request.name)
        .ok_or_else(|| ApiError::of(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))?;
    let existing = topic.partition_count();
    let invalid = |message: String| Err(ApiError::new(ErrorCode::INVALID_PARTITIONS, message));
    let additional = i64::from(request.count) - existing as i64;
    if additional == 0 {
        return invalid(format!("Topic already has {existing} partition(s)."));
    }
    if additional < 0 {
        return invalid(format!(
            "The topic {} currently has {existing} partition(s); {} would not be an increase.",
            request.name, request.count
        ));
    }
    let additional = additional as usize;
    let replication_factor = topic.replication_factor();
    let partitions: Vec<PartitionImage> = match &request.assignments {
        Some(assignments) if assignments.len() != additional => {
            return Err(ApiError::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                format!(
                    "Attempted to add {additional} additional partition(s), but only {} assignment(s) were \
                     specified.",
                    assignments.len()
                ),
            ));
        }
        Some(assignments) => numbers(existing)
            .zip(assignments)
            .map(|(number, replicas)| {
                placement::check_manual(image, replicas, Some(replication_factor))?;
                new_by_hand(image, number, replicas, choice)
            })
            .collect::<Result<_, _>>()?,
        None => {
            let mut placement = Placement::new(image, (context.random)());
            placement.check(replication_factor)?;
            (existing..existing + additional)
                .map(|number| {
                    placement::new_partition(image, placement.replicas(number, replication_factor), choice)
                        .ok_or_else(|| all_fenced(replication_factor))
                })
                .collect::<Result<_, _>>()?
        }
    };
    let numbered = numbers(existing).zip(&partitions);
    records.extend(numbered.map(|(number, partition)| partition.to_record(topic.id, number).into()));
    Ok(())
}

fn numbers(first: usize) -> impl Iterator<Item = PartitionId> {
    (i32::try_from(first).unwrap_or(i32::MAX)..).map(PartitionId)
}
