//! Fetch of a follower: the leader's side.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use control::record::BrokerId;
use futures_util::future::join_all;
use kafka_protocol::protocol::StrBytes;
use net::connection::Reply;
use net::error::ErrorCode;
use net::fetch::{EpochEndOffset, FetchPartitionResponse, FetchRequest, FetchResponse, FetchTopicResponse};

use super::part::{Answers, Changes, FetcherName, News, Position};
use super::session::Session;
use crate::dispatch::Outcome;
use crate::shard::{PartitionKey, Shard, ShardId};

/// Before this version partitions are not named by their topic's id.
const VERSION_MIN: i16 = 13;
const NEW_SESSION: i32 = 0;

/// What holds for the fetch as a whole.
pub struct FollowerCall {
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: StrBytes,
}

/// Answers a follower. At once if there is something for it, else when there is, or when its time is over.
pub async fn answer(shard: Rc<Shard>, call: FollowerCall, request: FetchRequest) -> Outcome {
    let response = match fetch(&shard, &call, request).await {
        Ok(response) => response,
        Err(error) => empty(error, 0),
    };
    Ok(Reply::Pieces(
        response.into_pieces(call.version, call.correlation_id),
    ))
}

fn empty(error: ErrorCode, session_id: i32) -> FetchResponse {
    FetchResponse {
        throttle_time_ms: 0,
        error,
        session_id,
        topics: Vec::new(),
        node_endpoints: Vec::new(),
    }
}

async fn fetch(
    shard: &Rc<Shard>,
    call: &FollowerCall,
    request: FetchRequest,
) -> Result<FetchResponse, ErrorCode> {
    if call.version < VERSION_MIN {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let name = FetcherName {
        replica: request.replica_id,
        client: call.client_id.to_string(),
    };
    let now = reactor::now();
    let epoch = request.session_epoch;
    let session = if epoch == NEW_SESSION {
        begin(shard, name, request.replica_epoch).await?
    } else {
        shard
            .replication
            .sessions
            .resume(now, &name, request.session_id, epoch)?
    };
    let max_bytes = u32::try_from(request.max_bytes).unwrap_or(0);
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let mut deadline = now + max_wait;
    let ask = Ask {
        shard,
        session: &session,
        max_bytes,
    };
    let mut answers = ask.fetch(split(shard, &request)).await?;
    let mut is_late = false;
    while answers.is_empty() {
        if is_late || session.is_overtaken(epoch) {
            answers = ask.collect(News::Anyway).await?;
            break;
        }
        let armed = session.signal.arm();
        if session.signal.is_raised() {
            answers = ask.collect(News::WithRecords).await?;
            continue;
        }
        let now = reactor::now();
        deadline = deadline.min(now + session.patience(now, max_wait));
        let left = deadline.saturating_since(now);
        is_late = left.is_zero() || reactor::timeout(left, armed).await.is_err();
    }
    Ok(respond(session.id, answers))
}

/// A new session: on every shard it takes the place of the last one of this fetcher.
async fn begin(shard: &Rc<Shard>, name: FetcherName, broker_epoch: i64) -> Result<Rc<Session>, ErrorCode> {
    if shard.image().broker(BrokerId(name.replica)).is_none() {
        return Err(ErrorCode::BrokerIdNotRegistered); // nobody's follower, or one that is registered in a moment
    }
    let sessions = &shard.replication.sessions;
    let home = (shard.id().0, shard.router.shard_count());
    let session = sessions.begin(reactor::now(), name, reactor::random_u64(), home);
    let (name, id, signal) = (session.name.clone(), session.id, session.signal.clone());
    let begun = shard.everywhere(move |shard: Rc<Shard>| async move {
        let own = shard.id().0;
        let is_prompt = shard.node.config.replication.is_rack_aware;
        let parts = &shard.replication.parts;
        parts.begin(own, &name, id, broker_epoch, signal, is_prompt);
    });
    begun.await.map_err(|_| ErrorCode::UnknownServerError)?;
    Ok(session)
}

/// What the request says, by the shard that owns the partitions.
fn split(shard: &Shard, request: &FetchRequest) -> Vec<Changes> {
    let mut changes: Vec<Changes> = (0..shard.router.shard_count())
        .map(|_| Changes::default())
        .collect();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let key = PartitionKey {
                topic_id: topic.topic_id,
                index: partition.index,
            };
            let position = Position {
                leader_epoch: partition.current_leader_epoch,
                offset: partition.fetch_offset,
                last_epoch: partition.last_fetched_epoch,
                log_start: partition.log_start_offset,
                max_bytes: partition.partition_max_bytes,
            };
            changes[shard.owner(&key).0].named.push((key, position));
        }
    }
    for topic in &request.forgotten_topics {
        for index in &topic.partitions {
            let key = PartitionKey {
                topic_id: topic.topic_id,
                index: *index,
            };
            changes[shard.owner(&key).0].forgotten.push(key);
        }
    }
    changes
}

struct Ask<'a> {
    shard: &'a Rc<Shard>,
    session: &'a Rc<Session>,
    max_bytes: u32,
}

impl Ask<'_> {
    /// Tells the shards what the fetch says, and takes what they have. Shards that it says nothing to are asked if they have something.
    async fn fetch(&self, changes: Vec<Changes>) -> Result<Answers, ErrorCode> {
        let mut asked: Vec<_> = changes.into_iter().enumerate().collect();
        asked.retain(|(index, changes)| {
            let says_nothing = changes.named.is_empty() && changes.forgotten.is_empty();
            !says_nothing || self.session.signal.is_raised_by(*index)
        });
        let max_bytes = self.share_of(asked.len());
        let asked = asked
            .into_iter()
            .map(|(index, changes)| self.ask(index, Some(changes), max_bytes, News::WithRecords));
        join(join_all(asked).await)
    }

    async fn collect(&self, news: News) -> Result<Answers, ErrorCode> {
        let mut asked: Vec<_> = (0..self.shard.router.shard_count()).collect();
        asked.retain(|index| news == News::Anyway || self.session.signal.is_raised_by(*index));
        let max_bytes = self.share_of(asked.len());
        let asked = asked
            .into_iter()
            .map(|index| self.ask(index, None, max_bytes, news));
        join(join_all(asked).await)
    }

    /// Of what the answer may hold, what each of so many shards may add to it.
    fn share_of(&self, shards: usize) -> u32 {
        let shards = u32::try_from(shards.max(1)).unwrap_or(u32::MAX);
        self.max_bytes.div_ceil(shards)
    }

    fn ask(
        &self,
        index: usize,
        changes: Option<Changes>,
        max_bytes: u32,
        news: News,
    ) -> impl Future<Output = Result<Answers, ErrorCode>> + use<> {
        let (name, id): (Arc<FetcherName>, i32) = (self.session.name.clone(), self.session.id);
        let asked = self.shard.on(ShardId(index), move |shard: Rc<Shard>| async move {
            let part = shard
                .replication
                .parts
                .get(&name, id)
                .ok_or(ErrorCode::FetchSessionIdNotFound)?;
            Ok(match changes {
                Some(changes) => part.fetch(&shard, changes, max_bytes),
                None => part.collect(&shard, max_bytes, news),
            })
        });
        async move { asked.await.unwrap_or(Err(ErrorCode::UnknownServerError)) }
    }
}

fn join(parts: Vec<Result<Answers, ErrorCode>>) -> Result<Answers, ErrorCode> {
    let mut answers = Answers::new();
    for part in parts {
        let part = part?;
        if answers.is_empty() {
            answers = part;
        } else {
            answers.extend(part);
        }
    }
    Ok(answers)
}

fn respond(session_id: i32, answers: Answers) -> FetchResponse {
    let mut response = empty(ErrorCode::None, session_id);
    for (key, read) in answers {
        let partition = FetchPartitionResponse {
            high_watermark: read.high_watermark,
            last_stable_offset: read.last_stable_offset,
            log_start_offset: read.log_start_offset,
            diverging_epoch: read
                .diverging
                .map(|(epoch, end_offset)| EpochEndOffset { epoch, end_offset }),
            records: read.records,
            ..FetchPartitionResponse::failed(key.index, read.code)
        };
        match response.topics.last_mut() {
            Some(topic) if topic.topic_id == key.topic_id => topic.partitions.push(partition),
            _ => response.topics.push(FetchTopicResponse {
                name: StrBytes::new(),
                topic_id: key.topic_id,
                partitions: vec![partition],
            }),
        }
    }
    response
}
