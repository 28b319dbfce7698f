//! Produce: records into the logs of the partitions that this broker leads.
//!
//! Ordered part, run at the first poll: decode, check, split by owner, append. Free part: wait until the records are on
//! stable storage, join, answer. Requests of one connection reach their partitions in the order in which they came.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use control::image::TopicImage;
use engine::planted::{self, Bug};
use engine::types::Offset;
use net::connection::Reply;
use net::error::ErrorCode;
use net::produce::{
    LeaderIdAndEpoch, ProducePartitionResponse, ProduceRequest, ProduceResponse, ProduceTopic,
    ProduceTopicResponse,
};

use super::{Api, locate};
use crate::dispatch::{Call, Outcome};
use crate::partition::{Origin, Partition};
use crate::produce_error::ProduceError;
use crate::shard::{PartitionKey, Shard, scatter};

/// Versions 0 to 2 are named because librdkafka before 2.11 tests for them (KAFKA-18659), and refused as Kafka does.
pub static API: Api = Api {
    min_served: 3,
    ..Api::new(0, "Produce", (0, 13), |shard, call| Box::pin(answer(shard, call)))
};

const ACKS_NONE: i16 = 0;
const ACKS_ALL: i16 = -1;
const TOPIC_ID_SINCE: i16 = 13;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let (version, correlation_id) = (call.version(), call.request.header.correlation_id);
    let request = ProduceRequest::parse(version, call.take_body())?;
    let acks = request.acks;
    let patience = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let mut slots = Slots::new(request.topics);
    let items = slots.resolve(&shard, version, acks, patience);
    let results = scatter(&shard, items, append).await?;
    let response = slots.fill(&shard, call.listener(), results);
    for partition in response
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .filter(|partition| !partition.error.is_ok())
    {
        shard.metrics.error(&API, partition.error);
    }
    if acks == ACKS_NONE {
        let failed = response
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .any(|partition| !partition.error.is_ok());
        // Without an answer a closed connection is the only way to say it; Kafka does the same.
        return Ok(if failed { Reply::Close } else { Reply::None });
    }
    Ok(Reply::from(response.to_frame(version, correlation_id)))
}

/// The answer's shape, in the order of the request; filled in as the partitions answer.
struct Slots {
    topics: Vec<(ProduceTopicResponse, Vec<(i32, Slot)>)>,
}

enum Slot {
    Records(Option<BytesMut>),
    /// Sent to its owner; answered by the result of this position.
    Asked(usize),
    Refused(ErrorCode),
}

impl Slots {
    fn new(topics: Vec<ProduceTopic>) -> Slots {
        let slots = topics.into_iter().map(|topic| {
            let partitions = topic
                .partitions
                .into_iter()
                .map(|partition| (partition.index, Slot::Records(partition.records)));
            let partitions = partitions.collect();
            (
                ProduceTopicResponse {
                    name: topic.name,
                    topic_id: topic.topic_id,
                    partitions: Vec::new(),
                },
                partitions,
            )
        });
        Slots {
            topics: slots.collect(),
        }
    }

    /// Moves the records of every partition that is led here into a list of work, and refuses the others.
    fn resolve(
        &mut self,
        shard: &Shard,
        version: i16,
        acks: i16,
        patience: Duration,
    ) -> Vec<(PartitionKey, Work)> {
        let image = shard.image();
        let mut items = Vec::new();
        for (topic, slots) in &mut self.topics {
            let found = if version >= TOPIC_ID_SINCE {
                locate::by_id(&image, topic.topic_id)
            } else {
                locate::by_name(&image, &topic.name)
            };
            for (index, slot) in slots {
                let Slot::Records(records) = slot else { continue };
                let checked = found.and_then(|topic| admit(shard, topic, *index, acks));
                *slot = match checked {
                    Ok(key) => {
                        items.push((
                            key,
                            Work {
                                records: records.take(),
                                acks,
                                patience,
                            },
                        ));
                        Slot::Asked(items.len() - 1)
                    }
                    Err(code) => Slot::Refused(code),
                };
            }
        }
        items
    }

    fn fill(
        self,
        shard: &Shard,
        listener: &str,
        results: Vec<Result<Done, ProduceError>>,
    ) -> ProduceResponse {
        let mut results: Vec<Option<Result<Done, ProduceError>>> = results.into_iter().map(Some).collect();
        let mut response = ProduceResponse::default();
        let mut points_elsewhere = false;
        for (mut topic, slots) in self.topics {
            for (index, slot) in slots {
                let answer = match slot {
                    Slot::Asked(position) => match results.get_mut(position).and_then(Option::take) {
                        Some(Ok(done)) => ProducePartitionResponse::appended(
                            index,
                            done.base_offset.0,
                            done.log_append_time_ms,
                            done.log_start_offset.0,
                        ),
                        Some(Err(error)) => error.to_response(index),
                        None => ProducePartitionResponse::refused(index, ErrorCode::UnknownServerError),
                    },
                    Slot::Refused(code) => ProducePartitionResponse::refused(index, code),
                    Slot::Records(_) => {
                        ProducePartitionResponse::refused(index, ErrorCode::UnknownServerError)
                    }
                };
                topic.partitions.push(match answer.error {
                    ErrorCode::NotLeaderOrFollower => {
                        points_elsewhere = true;
                        ProducePartitionResponse {
                            current_leader: leader_of(shard, &topic, index),
                            ..answer
                        }
                    }
                    _ => answer,
                });
            }
            response.topics.push(topic);
        }
        if points_elsewhere {
            response.node_endpoints = shard.node_endpoints(listener);
        }
        response
    }
}

/// What is checked of a partition before any of its bytes is looked at.
fn admit(shard: &Shard, topic: &Arc<TopicImage>, index: i32, acks: i16) -> Result<PartitionKey, ErrorCode> {
    if !(ACKS_ALL..=1).contains(&acks) {
        return Err(ErrorCode::InvalidRequiredAcks);
    }
    if topic.is_internal() {
        // Kafka lets only its own coordinators write there.
        return Err(ErrorCode::InvalidTopicException);
    }
    locate::led_here(shard, topic, index)
}

fn leader_of(shard: &Shard, topic: &ProduceTopicResponse, index: i32) -> Option<LeaderIdAndEpoch> {
    let image = shard.image();
    let topic = image
        .topic(topic.topic_id)
        .or_else(|| image.topic_by_name(&topic.name))?;
    let partition = locate::partition(topic, index)?;
    Some(LeaderIdAndEpoch {
        leader_id: partition.leader?.0,
        leader_epoch: partition.leader_epoch.0,
    })
}

/// The records for one partition.
struct Work {
    records: Option<BytesMut>,
    acks: i16,
    /// How long acks=all may wait for the followers.
    patience: Duration,
}

struct Done {
    base_offset: Offset,
    log_append_time_ms: i64,
    log_start_offset: Offset,
}

/// On the owner's shard: append at once (or in its turn, if the log is not open yet), then wait for the disk.
async fn append(shard: Rc<Shard>, key: PartitionKey, work: Work) -> Result<Done, ProduceError> {
    let partition = shard.partition(&key).await.map_err(ProduceError::Unavailable)?;
    if work.acks == ACKS_ALL {
        partition
            .check_in_sync()
            .map_err(ProduceError::NotEnoughReplicas)?;
    }
    if shard.node.log_dirs.get(partition.dir()).is_full() {
        return Err(ProduceError::NoRoom);
    }
    let records = work
        .records
        .filter(|records| !records.is_empty())
        .ok_or(ProduceError::NoRecords)?;
    let appended = partition
        .append(records, Origin::Client)
        .inspect_err(|_| shard.disk_failed(&partition))?;
    let end = appended.commit_offset();
    if work.acks == ACKS_NONE {
        partition.commit_unawaited();
    } else {
        let began = reactor::now();
        let committed = partition.commit(end).await;
        if committed.is_err() && !partition.leads() {
            return Err(ProduceError::Deposed); // what was cut off is no fault of the disk
        }
        committed.inspect_err(|_| shard.disk_failed(&partition))?;
        let now = reactor::now();
        let took = now.saturating_since(began);
        shard.metrics.sync_latency.borrow_mut().observe(took);
        if work.acks == ACKS_ALL {
            let patience = work.patience.saturating_sub(took);
            // boxed, so that what waits for the disk alone stays small: hundreds of partitions a request do
            if !is_replicated(&partition, end) {
                Box::pin(replicate(&partition, end, patience)).await?;
            }
            partition
                .check_in_sync()
                .map_err(ProduceError::NotEnoughReplicasAfterAppend)?;
        } else if !shard.node.session.is_live(now) {
            // Looked at after the disk: another leader may have been elected while this one was stopped.
            return Err(ProduceError::Deposed);
        }
    }
    Ok(Done {
        base_offset: appended.base_offset,
        log_append_time_ms: appended.log_append_time.0,
        log_start_offset: appended.log_start_offset,
    })
}

fn is_replicated(partition: &Partition, end: Offset) -> bool {
    partition.log.high_watermark() >= end || planted::is(Bug::AcknowledgedByLeaderAlone)
}

/// Waits until all replicas in sync have it. Depends on no clock: who is in sync only the metadata says.
async fn replicate(partition: &Partition, end: Offset, patience: Duration) -> Result<(), ProduceError> {
    reactor::timeout(patience, partition.replicated(end))
        .await
        .map_err(|_| ProduceError::TimedOut)??;
    Ok(())
}
