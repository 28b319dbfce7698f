//! ElectLeaders: an operator asks for the first replicas to lead, or for any live ones (KIP-460).

use super::decider::{Controller, Decision};
use super::elections::{self, Candidates, ElectionConfigs, Found};
use super::error::{ApiError, ErrorCode};
use super::partition_change::Election;
use super::request::{ElectLeaders, ElectionType};
use super::response::{ElectedPartition, Response};
use crate::image::ClusterImage;
use crate::record::{PartitionId, Record};

impl Controller {
    pub(super) fn elect_leaders(&self, request: ElectLeaders, image: &ClusterImage) -> Decision {
        let election_type = request.election_type;
        self.with_election_configs(image, |mut configs| {
            let mut records = Vec::new();
            let mut results = Vec::new();
            match request.partitions {
                None => {
                    for topic in image.topics() {
                        for (id, partition) in &topic.partitions {
                            let found = (topic, *id, partition);
                            let result = elect(election_type, found, image, &mut configs, &mut records);
                            // Of all partitions, those are told that something was to be done about.
                            if !matches!(&result, Err(error) if error.code == ErrorCode::ELECTION_NOT_NEEDED)
                            {
                                results.push(ElectedPartition {
                                    topic: topic.name.to_string(),
                                    partition: *id,
                                    result,
                                });
                            }
                        }
                    }
                }
                Some(topics) => {
                    for (topic, partitions) in topics {
                        for partition in partitions {
                            let result = find(&topic, partition, image).and_then(|found| {
                                elect(election_type, found, image, &mut configs, &mut records)
                            });
                            results.push(ElectedPartition {
                                topic: topic.clone(),
                                partition,
                                result,
                            });
                        }
                    }
                }
            }
            Decision {
                response: Response::ElectLeaders(results),
                records,
            }
        })
    }
}

fn find<'a>(topic: &str, partition: PartitionId, image: &'a ClusterImage) -> Result<Found<'a>, ApiError> {
    let unknown = |message| ApiError::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message);
    let found = image
        .topic_by_name(topic)
        .ok_or_else(|| unknown(format!("No such topic as {topic}")))?;
    match found.partitions.get(&partition) {
        Some(state) => Ok((found, partition, state)),
        None => Err(unknown(format!("No such partition as {topic}-{partition}"))),
    }
}

fn elect(
    election_type: ElectionType,
    found: Found<'_>,
    image: &ClusterImage,
    configs: &mut ElectionConfigs<'_>,
    records: &mut Vec<Record>,
) -> Result<(), ApiError> {
    let partition = found.2;
    let is_needed = match election_type {
        ElectionType::Preferred => partition.leader != partition.replicas.first().copied(),
        ElectionType::Unclean => partition.leader.is_none(),
    };
    if !is_needed {
        return Err(ApiError::of(ErrorCode::ELECTION_NOT_NEEDED));
    }
    let mut change = configs.change(found);
    change.election = match election_type {
        ElectionType::Preferred => Election::Preferred,
        ElectionType::Unclean => Election::Unclean,
    };
    match elections::build(change, image, found, Candidates::default()) {
        Some(record) => {
            records.push(Record::from(record));
            Ok(())
        }
        None => Err(ApiError::of(match election_type {
            ElectionType::Preferred => ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
            ElectionType::Unclean => ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE,
        })),
    }
}
