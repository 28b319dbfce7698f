//! The task that follows one leading broker: a connection, a session, one fetch after the other.
//!
//! ```text
//! fetch (what moved) --> answer --> append all --> commit all (one write of the journal) --> fetch (acknowledges them)
//! ```
//! One fetch is on its way at a time: a connection's requests begin one after the other, so a second one would only say early what is old
//! when it is read, and be given again what the first one's answer brings.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use control::record::{BrokerEpoch, BrokerId};
use engine::batch::Batch;
use engine::log::{DiskFault, FollowerAppendError};
use engine::replica::{Diverging, FetchedPartition, FollowerAction, Refusal};
use engine::types::{LeaderEpoch, Offset};
use futures_util::future::{Either, select};
use net::error::ErrorCode;
use net::fetch::{
    REPLICA_FETCH_VERSION, ReplicaFetch, ReplicaFetchPartition, ReplicaFetchResponse, ReplicaFetchedPartition,
};
use net::header::RequestHeader;
use net::shape::ShapeError;
use uuid::Uuid;

use super::fetchers::Fetcher;
use super::link::{Link, LinkError};
use super::repair::repair;
use super::session::is_at_home;
use crate::partition::Partition;
use crate::shard::{PartitionKey, Shard};

/// Why a session with a leader has ended.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{0}")]
    Link(#[from] LinkError),
    #[error("{0}")]
    Misshapen(#[from] ShapeError),
    #[error("the answer to request {found} where {expected} was awaited")]
    OutOfOrder { expected: i32, found: i32 },
    #[error("refused: {}", .0.name())]
    Refused(ErrorCode),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("the metadata knows no address of the leader")]
    NoAddress,
    #[error("this broker is not registered yet")]
    NotRegistered,
    #[error("the leader has registered anew")]
    LeaderRestarted,
}

/// Pause before the leader is tried again; it doubles up to the maximum, and ends when partitions come or go.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(1);

/// How long a fetch waits for records while a log is cut, which is named again only in the fetch after that. A guess: fifty fetches a second
/// while a cut waits for compaction to let go of the log.
const WAIT_WHILE_CUTTING_MS: i32 = 20;

/// How long a new session may take to be told its number.
const OPENING_PATIENCE: Duration = Duration::from_secs(5);

/// Above the records of an answer: what surrounds them, and the one batch that may be larger.
const ANSWER_BYTES_EXTRA: usize = 128 << 20;

/// API key of Fetch.
const FETCH: i16 = 1;

/// Follows as long as the shard lives.
pub(super) async fn run(shard: Rc<Shard>, fetcher: Rc<Fetcher>) {
    let mut pause = AGAIN_AFTER;
    while !fetcher.is_stopped() {
        if fetcher.is_empty() {
            fetcher.wake.notified().await;
            continue;
        }
        let began = reactor::now();
        match session(&shard, &fetcher).await {
            Ok(()) => pause = AGAIN_AFTER,
            // It will be soon.
            Err(FetchError::NotRegistered) => reactor::sleep(AGAIN_AFTER).await,
            Err(error) => {
                tracing::debug!(leader = %fetcher.leader, %error, "following is interrupted");
                if reactor::now().saturating_since(began) > AGAIN_AFTER_MAX {
                    pause = AGAIN_AFTER; // it went well for a while
                }
                let _woken_or_late = reactor::timeout(pause, fetcher.wake.notified()).await;
                pause = (pause * 2).min(AGAIN_AFTER_MAX);
            }
        }
    }
}

/// One connection's life; `Ok` when there is nothing left to follow.
async fn session(shard: &Rc<Shard>, fetcher: &Rc<Fetcher>) -> Result<(), FetchError> {
    let mut conversation = Conversation::begin(shard, fetcher).await?;
    fetcher.begin_session();
    let home = (shard.id().0, shard.router.shard_count());
    // The listener gives connections to its shards in turn: one of the next comes to the shard that has what this one follows.
    for _ in 1..2 * home.1 {
        if is_at_home(conversation.fetch.session_id, home) {
            break;
        }
        conversation = Conversation::begin(shard, fetcher).await?;
    }
    loop {
        let is_over = fetcher.is_empty() && conversation.in_flight.is_none();
        if is_over || fetcher.is_stopped() {
            return Ok(());
        }
        // The leader counts the fetches of one registration; in a new one they are told anew.
        if shard.node.session.broker_epoch().map(|epoch| epoch.0) != Some(conversation.fetch.broker_epoch) {
            return Err(FetchError::NotRegistered);
        }
        // Its earlier life answers no more, and need not have said good-bye.
        if registration_of(shard, fetcher.leader) != Some(conversation.leader) {
            return Err(FetchError::LeaderRestarted);
        }
        conversation.send_if_due().await?;
        match conversation.next_event().await? {
            Event::Changed => {}
            Event::Answer(answer) => take(shard, fetcher, answer).await,
        }
    }
}

enum Event {
    Answer(ReplicaFetchResponse),
    Changed,
}

struct Conversation<'a> {
    shard: &'a Rc<Shard>,
    fetcher: &'a Rc<Fetcher>,
    link: Link,
    /// The life of the leader's broker that the link leads to.
    leader: BrokerEpoch,
    header: RequestHeader,
    fetch: ReplicaFetch,
    /// Correlation id of the fetch that is not answered yet.
    in_flight: Option<i32>,
    patience: Duration,
}

impl Conversation<'_> {
    async fn begin<'a>(
        shard: &'a Rc<Shard>,
        fetcher: &'a Rc<Fetcher>,
    ) -> Result<Conversation<'a>, FetchError> {
        let rules = &shard.node.config.replication;
        let broker_epoch = shard
            .node
            .session
            .broker_epoch()
            .ok_or(FetchError::NotRegistered)?;
        let leader = registration_of(shard, fetcher.leader).ok_or(FetchError::NoAddress)?;
        let (host, port) = {
            let image = shard.image();
            let broker = image.broker(fetcher.leader).ok_or(FetchError::NoAddress)?;
            let endpoint = broker
                .endpoint(&rules.listener)
                .or(broker.endpoints.first())
                .ok_or(FetchError::NoAddress)?;
            (endpoint.host.clone(), endpoint.port)
        };
        let answer_bytes_max = rules.fetch_response_max_bytes as usize + ANSWER_BYTES_EXTRA;
        let link = Link::connect(&host, port, answer_bytes_max).await?;
        let name = format!("ringlog-replica-{}-{}", shard.node.id, shard.id().0);
        let mut conversation = Conversation {
            shard,
            fetcher,
            link,
            leader,
            header: RequestHeader {
                api_key: FETCH,
                api_version: REPLICA_FETCH_VERSION,
                correlation_id: -1,
                client_id: kafka_protocol::protocol::StrBytes::from_string(name),
            },
            fetch: ReplicaFetch {
                replica_id: shard.node.id.0,
                broker_epoch: broker_epoch.0,
                max_wait_ms: wire(rules.fetch_wait_max_ms),
                min_bytes: wire(rules.fetch_min_bytes),
                max_bytes: wire(rules.fetch_response_max_bytes),
                session_id: 0,
                session_epoch: 0,
            },
            in_flight: None,
            patience: Duration::from_millis(rules.socket_timeout_ms.into())
                + Duration::from_millis(rules.fetch_wait_max_ms.into()),
        };
        reactor::timeout(OPENING_PATIENCE, conversation.open_session())
            .await
            .unwrap_or(Err(FetchError::Silent(OPENING_PATIENCE)))?;
        Ok(conversation)
    }

    /// A fetch of nothing, which is answered at once: the session gets its number before anything is named in it.
    async fn open_session(&mut self) -> Result<(), FetchError> {
        let wait = std::mem::take(&mut self.fetch.max_wait_ms);
        self.send(&[], &[]).await?;
        self.fetch.max_wait_ms = wait;
        while let Some(in_flight) = self.in_flight {
            let frame = self.link.receive().await?;
            self.accept(in_flight, frame)?;
        }
        Ok(())
    }

    /// One fetch is always on its way, as long as there is something to follow.
    async fn send_if_due(&mut self) -> Result<(), FetchError> {
        let is_due = self.fetcher.has_changes() || self.fetcher.has_session_partitions();
        if self.in_flight.is_some() || !is_due {
            return Ok(());
        }
        let max_bytes = wire(self.shard.node.config.replication.fetch_max_bytes);
        let closed_until = |key: &PartitionKey| self.shard.copying_closed_until(key);
        let (named, forgotten) = self.fetcher.changes(reactor::now(), max_bytes, closed_until);
        if named.is_empty() && forgotten.is_empty() && !self.fetcher.has_session_partitions() {
            return Ok(());
        }
        let wait = self.fetch.max_wait_ms;
        if self.fetcher.is_cutting() {
            self.fetch.max_wait_ms = wait.min(WAIT_WHILE_CUTTING_MS);
        }
        let sent = self.send(&named, &forgotten).await;
        self.fetch.max_wait_ms = wait;
        sent
    }

    async fn send(
        &mut self,
        named: &[ReplicaFetchPartition],
        forgotten: &[(Uuid, i32)],
    ) -> Result<(), FetchError> {
        self.header.correlation_id = self.header.correlation_id.wrapping_add(1) & i32::MAX;
        let id = self.header.correlation_id;
        let frame = self.fetch.to_frame(&self.header, named, forgotten);
        self.link.send(frame).await?;
        self.in_flight = Some(id);
        self.fetch.session_epoch = match self.fetch.session_epoch {
            i32::MAX => 1,
            epoch => epoch + 1,
        };
        Ok(())
    }

    /// Waits for an answer, or for something to say.
    async fn next_event(&mut self) -> Result<Event, FetchError> {
        let now = reactor::now();
        let until = self
            .fetcher
            .next_deadline(now)
            .map_or(self.patience, |at| at.saturating_since(now).min(self.patience));
        let Some(in_flight) = self.in_flight else {
            let _woken_or_late = reactor::timeout(until, self.fetcher.wake.notified()).await;
            return Ok(Event::Changed);
        };
        let event = {
            let receive = pin!(self.link.receive());
            let changed = pin!(reactor::timeout(until, self.fetcher.wake.notified()));
            match select(receive, changed).await {
                Either::Left((frame, _)) => Some(frame?),
                Either::Right((Err(_), _)) if until >= self.patience => {
                    return Err(FetchError::Silent(self.patience));
                }
                Either::Right(_) => None,
            }
        };
        let Some(frame) = event else {
            return Ok(Event::Changed);
        };
        Ok(Event::Answer(self.accept(in_flight, frame)?))
    }

    /// The answer to the fetch that has none.
    fn accept(&mut self, expected: i32, frame: BytesMut) -> Result<ReplicaFetchResponse, FetchError> {
        let answer = ReplicaFetchResponse::parse(frame)?;
        if answer.correlation_id != expected {
            return Err(FetchError::OutOfOrder {
                expected,
                found: answer.correlation_id,
            });
        }
        self.in_flight = None;
        if !answer.error.is_ok() {
            return Err(FetchError::Refused(answer.error));
        }
        if answer.session_id == 0 {
            return Err(FetchError::Refused(ErrorCode::FetchSessionIdNotFound));
        }
        self.fetch.session_id = answer.session_id;
        Ok(answer)
    }
}

fn registration_of(shard: &Shard, broker: BrokerId) -> Option<BrokerEpoch> {
    shard.image().broker(broker).map(|broker| broker.epoch)
}

fn wire(amount: u32) -> i32 {
    i32::try_from(amount).unwrap_or(i32::MAX)
}

/// Records of one partition that were appended and are to be on the disk before the next fetch.
struct Appended<C> {
    key: PartitionKey,
    partition: Rc<Partition>,
    epoch: LeaderEpoch,
    high_watermark: Offset,
    log_start: Offset,
    bytes: usize,
    commit: C,
}

/// Takes over all that an answer brings. When it returns, what was appended is on the disk.
async fn take(shard: &Rc<Shard>, fetcher: &Rc<Fetcher>, answer: ReplicaFetchResponse) {
    let mut appended = Vec::new();
    for fetched in answer.partitions {
        let key = PartitionKey {
            topic_id: fetched.topic_id,
            index: fetched.index,
        };
        let Some(partition) = open(shard, fetcher, &key, &fetched).await else {
            continue;
        };
        let verdict = judge(&fetched);
        let bytes = fetched.records.len();
        let told = fetcher.with_asked(&key, |follower| {
            follower.handle_fetched(reactor::now(), &verdict, &partition.log);
            (follower.poll_action(), follower.leader_epoch())
        });
        let Some((action, epoch)) = told else { continue };
        match action {
            None => {
                tracing::debug!(topic = %partition.id.topic, partition = key.index, error = fetched.error.name(),
                    "the leader gives nothing");
                fetcher.list(&key);
            }
            Some(FollowerAction::Append {
                high_watermark,
                log_start,
            }) => match append(&partition, epoch, fetched.records) {
                Ok(end) => appended.push(Appended {
                    key,
                    bytes,
                    epoch,
                    high_watermark,
                    log_start,
                    commit: partition.log.commit(end),
                    partition,
                }),
                Err(error) => {
                    tracing::error!(topic = %partition.id.topic, partition = key.index, %error, "replicated records");
                    shard.disk_failed(&partition);
                    fetcher.with(&key, |follower| follower.handle_failed(reactor::now()));
                }
            },
            Some(FollowerAction::Commit) => {
                let result = partition.log.commit(partition.log.end_offset()).await;
                committed(shard, fetcher, &key, &partition, result);
            }
            // On its own: it may wait for who works on the log, and the other partitions must not wait with it.
            Some(action) => {
                let (shard, fetcher) = (shard.clone(), fetcher.clone());
                fetcher.cut_begins();
                reactor::spawn(async move {
                    let repaired = repair(&shard, &partition, epoch, action).await;
                    if let Err(error) = &repaired {
                        tracing::error!(topic = %partition.id.topic, partition = key.index, %error, "cutting a follower's log");
                        shard.disk_failed(&partition);
                    }
                    fetcher.with(&key, |follower| match repaired {
                        Ok(()) => follower.handle_log(&partition.log),
                        Err(_) => follower.handle_failed(reactor::now()),
                    });
                    fetcher.cut_ends();
                    fetcher.wake.notify_one();
                })
                .detach();
            }
        }
    }
    for done in appended {
        commit(shard, fetcher, done).await;
    }
}

/// The partition that an answer is about. A closed log is opened for records only.
async fn open(
    shard: &Rc<Shard>,
    fetcher: &Rc<Fetcher>,
    key: &PartitionKey,
    fetched: &ReplicaFetchedPartition,
) -> Option<Rc<Partition>> {
    if let Some(partition) = shard.partitions.opened(key) {
        if !fetched.records.is_empty() {
            partition.used();
        }
        return Some(partition);
    }
    let is_told_only =
        fetched.error.is_ok() && fetched.records.is_empty() && fetched.diverging_epoch.is_none();
    let has_more_to_delete = fetcher
        .with_asked(key, |follower| {
            fetched.log_start_offset > follower.position().log_start.0
        })
        .unwrap_or(false);
    if is_told_only && !has_more_to_delete {
        shard
            .partitions
            .note_committed(key, Offset(fetched.high_watermark));
        return None;
    }
    match shard.partition(key).await {
        Ok(partition) => Some(partition),
        Err(code) => {
            tracing::debug!(partition = key.index, ?code, "a follower's log does not open");
            fetcher.with(key, |follower| follower.handle_failed(reactor::now()));
            None
        }
    }
}

fn judge(fetched: &ReplicaFetchedPartition) -> FetchedPartition {
    FetchedPartition {
        refusal: match fetched.error {
            ErrorCode::None => None,
            ErrorCode::OffsetOutOfRange => Some(Refusal::OffsetOutOfRange),
            ErrorCode::NotLeaderOrFollower
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::UnknownTopicId
            | ErrorCode::UnknownTopicOrPartition => Some(Refusal::NotLeader),
            _ => Some(Refusal::Other),
        },
        high_watermark: Offset(fetched.high_watermark),
        log_start: Offset(fetched.log_start_offset),
        diverging: fetched.diverging_epoch.map(|diverging| Diverging {
            epoch: LeaderEpoch(diverging.epoch),
            end_offset: Offset(diverging.end_offset),
        }),
    }
}

/// Appends whole batches; returns the end of the log, which is to be committed.
fn append(
    partition: &Partition,
    epoch: LeaderEpoch,
    mut records: BytesMut,
) -> Result<Offset, FollowerAppendError> {
    while !records.is_empty() {
        let size_bytes = Batch::split_first(&records)?.0.size_bytes();
        let batch = records.split_to(size_bytes);
        match partition.append_as_follower(epoch, batch) {
            Some(appended) => appended?,
            None => break, // follows somebody else by now
        };
    }
    Ok(partition.log.end_offset())
}

async fn commit<C>(shard: &Rc<Shard>, fetcher: &Rc<Fetcher>, done: Appended<C>)
where
    C: Future<Output = Result<(), DiskFault>>,
{
    let Appended {
        key,
        partition,
        epoch,
        high_watermark,
        log_start,
        bytes,
        commit,
    } = done;
    let result = commit.await;
    if result.is_ok() {
        partition.follow_watermarks(epoch, high_watermark, log_start);
    }
    committed(shard, fetcher, &key, &partition, result);
    if let Some(until) = shard.copies_not_before(&partition, bytes, high_watermark) {
        fetcher.throttle(&key, until);
    }
}

/// What the log has is on the disk now, or the disk has failed.
fn committed(
    shard: &Rc<Shard>,
    fetcher: &Rc<Fetcher>,
    key: &PartitionKey,
    partition: &Rc<Partition>,
    result: Result<(), DiskFault>,
) {
    match result {
        Ok(()) => {
            // it may lead by now
            partition.advance();
            fetcher.with(key, |follower| follower.handle_log(&partition.log));
        }
        Err(fault) => {
            tracing::error!(topic = %partition.id.topic, partition = key.index, %fault, "commit of replicated records");
            shard.disk_failed(partition);
            fetcher.with(key, |follower| follower.handle_failed(reactor::now()));
        }
    }
}
