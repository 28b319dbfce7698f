//! Fetch: records for consumers, by session, as slices of files that are never copied.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::protocol::StrBytes;
use net::connection::Reply;
use net::error::ErrorCode;
use net::fetch::{
    AbortedTransaction, EpochEndOffset, FetchPartitionResponse, FetchRequest, FetchResponse,
    FetchTopicResponse, LeaderIdAndEpoch,
};
use uuid::Uuid;

use super::{Api, locate};
use crate::dispatch::{Call, Outcome};
use crate::fetch_read::{self, FetchBounds, PartitionRead, Target};
use crate::fetch_session::{
    FetchKey, FetchSpec, LastTold, Plan, PlanKind, SessionError, SessionRequest, TopicRef,
};
use crate::replica::{self, FollowerCall};
use crate::shard::Shard;

pub static API: Api = Api::new(1, "Fetch", (4, 18), |shard, call| Box::pin(answer(shard, call)));

const TOPIC_ID_SINCE: i16 = 13;
const READ_COMMITTED: i8 = 1;
/// Consumers may read from followers, too (KIP-392).
const FROM_FOLLOWERS_SINCE: i16 = 11;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let (version, correlation_id) = (call.version(), call.request.header.correlation_id);
    let body = call.take_body().freeze();
    let request = FetchRequest::parse(version, &body)?;
    if request.replica_id >= 0 {
        let follower = FollowerCall {
            version,
            correlation_id,
            client_id: call.request.header.client_id.clone(),
        };
        return replica::answer(shard, follower, request).await;
    }
    let limit = shard.node.config.fetch.answer_max_bytes;
    let bounds = FetchBounds {
        min_bytes: request.min_bytes,
        max_bytes: u32::try_from(request.max_bytes).unwrap_or(0).min(limit),
        max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        read_committed: request.isolation_level == READ_COMMITTED,
        rack: (shard.node.config.replication.is_rack_aware && !request.rack_id.is_empty())
            .then(|| Arc::from(&*request.rack_id)),
    };
    let session = session_request(version, request);
    let planned = shard
        .fetch_sessions
        .borrow_mut()
        .plan(reactor::now(), session, reactor::random_u64());
    let plan = match planned {
        Ok(plan) => plan,
        Err(error) => {
            let response = FetchResponse {
                error: session_error(error),
                ..empty()
            };
            return Ok(Reply::Pieces(response.into_pieces(version, correlation_id)));
        }
    };
    let targets: Vec<Target> = plan
        .partitions
        .iter()
        .map(|(key, spec)| (locate_key(&shard, key, version), *spec))
        .collect();
    let read_committed = bounds.read_committed;
    let mut reads = fetch_read::read(&shard, &targets, bounds).await?;
    // Looked at after the disk: while this broker was stopped another may have been elected, and what was read here truncated.
    if !shard.node.session.is_live(reactor::now()) {
        for read in &mut reads {
            *read = PartitionRead::refused(ErrorCode::NotLeaderOrFollower);
        }
    }
    let mut response = respond(&shard, &plan, reads, read_committed);
    if response
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .any(|partition| partition.current_leader.is_some())
    {
        response.node_endpoints = shard.node_endpoints(call.listener());
    }
    Ok(Reply::Pieces(response.into_pieces(version, correlation_id)))
}

fn empty() -> FetchResponse {
    FetchResponse {
        throttle_time_ms: 0,
        error: ErrorCode::None,
        session_id: 0,
        topics: Vec::new(),
        node_endpoints: Vec::new(),
    }
}

fn session_error(error: SessionError) -> ErrorCode {
    match error {
        SessionError::NotFound => ErrorCode::FetchSessionIdNotFound,
        SessionError::InvalidEpoch => ErrorCode::InvalidFetchSessionEpoch,
        SessionError::TopicIdMix => ErrorCode::FetchSessionTopicIdError,
    }
}

fn session_request(version: i16, request: FetchRequest) -> SessionRequest {
    let topic_ref = |name: &StrBytes, id: Uuid| {
        if version >= TOPIC_ID_SINCE {
            TopicRef::Id(id)
        } else {
            TopicRef::Name(name.to_string())
        }
    };
    let mut partitions = Vec::new();
    for topic in &request.topics {
        let topic_ref = topic_ref(&topic.name, topic.topic_id);
        partitions.extend(topic.partitions.iter().map(|partition| {
            let spec = FetchSpec {
                fetch_offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                log_start_offset: partition.log_start_offset,
            };
            (
                FetchKey {
                    topic: topic_ref.clone(),
                    partition: partition.index,
                },
                spec,
            )
        }));
    }
    let forgotten = request.forgotten_topics.iter().flat_map(|topic| {
        let topic_ref = topic_ref(&topic.name, topic.topic_id);
        topic.partitions.iter().map(move |index| FetchKey {
            topic: topic_ref.clone(),
            partition: *index,
        })
    });
    SessionRequest {
        session_id: request.session_id,
        epoch: request.session_epoch,
        partitions,
        forgotten: forgotten.collect(),
    }
}

fn locate_key(shard: &Shard, key: &FetchKey, version: i16) -> Result<crate::shard::PartitionKey, ErrorCode> {
    let image = shard.image();
    let topic = match &key.topic {
        TopicRef::Name(name) => locate::by_name(&image, name)?,
        TopicRef::Id(id) => locate::by_id(&image, *id)?,
    };
    if version >= FROM_FOLLOWERS_SINCE {
        locate::replicated_here(shard, topic, key.partition)
    } else {
        locate::led_here(shard, topic, key.partition)
    }
}

/// Groups what was read by topic, leaving out what an incremental answer need not repeat.
fn respond(shard: &Shard, plan: &Plan, reads: Vec<PartitionRead>, read_committed: bool) -> FetchResponse {
    let mut sessions = shard.fetch_sessions.borrow_mut();
    let mut response = FetchResponse {
        session_id: plan.session_id,
        ..empty()
    };
    let mut had_data = Vec::new();
    for ((key, _), read) in plan.partitions.iter().zip(reads) {
        if !read.code.is_ok() {
            shard.metrics.error(&API, read.code);
        }
        let told = LastTold {
            high_watermark: read.high_watermark,
            log_start_offset: read.log_start_offset,
            told: true,
        };
        let news = read.bytes > 0
            || !read.code.is_ok()
            || read.diverging.is_some()
            || read.preferred_replica.is_some();
        let told = sessions.tell(plan.session_id, key, told, news);
        if read.bytes > 0 {
            had_data.push(key.clone());
        }
        if told || plan.kind == PlanKind::Full {
            push(shard, &mut response, key, read, read_committed);
        }
    }
    sessions.rotate(plan.session_id, &had_data);
    response
}

fn push(
    shard: &Shard,
    response: &mut FetchResponse,
    key: &FetchKey,
    read: PartitionRead,
    read_committed: bool,
) {
    let (name, topic_id) = match &key.topic {
        TopicRef::Name(name) => (StrBytes::from_string(name.clone()), Uuid::nil()),
        TopicRef::Id(id) => (StrBytes::new(), *id),
    };
    let wrong_leader = matches!(
        read.code,
        ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
    );
    let partition = FetchPartitionResponse {
        high_watermark: read.high_watermark,
        last_stable_offset: read.last_stable_offset,
        log_start_offset: read.log_start_offset,
        diverging_epoch: read
            .diverging
            .map(|(epoch, end_offset)| EpochEndOffset { epoch, end_offset }),
        current_leader: if wrong_leader { leader_of(shard, key) } else { None },
        preferred_read_replica: read.preferred_replica.unwrap_or(-1),
        // As from Kafka: read_committed consumers get a list, be it empty, others none.
        aborted_transactions: (read_committed && read.code.is_ok()).then(|| aborted(&read)),
        records: read.records,
        ..FetchPartitionResponse::failed(key.partition, read.code)
    };
    match response.topics.last_mut() {
        Some(topic) if topic.name == name && topic.topic_id == topic_id => topic.partitions.push(partition),
        _ => response.topics.push(FetchTopicResponse {
            name,
            topic_id,
            partitions: vec![partition],
        }),
    }
}

fn aborted(read: &PartitionRead) -> Vec<AbortedTransaction> {
    let entries = read.aborted.iter().map(|entry| AbortedTransaction {
        producer_id: entry.producer_id.0,
        first_offset: entry.first_offset.0,
    });
    entries.collect()
}

fn leader_of(shard: &Shard, key: &FetchKey) -> Option<LeaderIdAndEpoch> {
    let image = shard.image();
    let topic = match &key.topic {
        TopicRef::Name(name) => image.topic_by_name(name)?,
        TopicRef::Id(id) => image.topic(*id)?,
    };
    let partition = locate::partition(topic, key.partition)?;
    Some(LeaderIdAndEpoch {
        leader_id: partition.leader?.0,
        leader_epoch: partition.leader_epoch.0,
    })
}
