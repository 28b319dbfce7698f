//! Incremental fetch sessions (KIP-227): the broker remembers a consumer's partitions between fetches.
//!
//! A session belongs to the shard of the connection that made it. A client that reconnects to another shard gets
//! FETCH_SESSION_ID_NOT_FOUND and starts a full fetch, as after an eviction.
//! Bound: `max.incremental.fetch.session.cache.slots`, shared out evenly over the shards; the session unused for longest goes first,
//! but only when it has been idle for [`MIN_EVICTION_IDLE`], so that a stampede of new sessions cannot starve all.
//! Second bound: [`REMEMBERED_BYTES_MAX`] for all sessions of a shard, since a session may name any number of partitions. A fetch
//! that would need more is served in full, without a session.

use std::collections::HashMap;
use std::time::Duration;

use reactor::Instant;
use uuid::Uuid;

/// Kafka's `min.incremental.fetch.session.eviction.ms`.
const MIN_EVICTION_IDLE: Duration = Duration::from_millis(120_000);

/// What the sessions of one shard may remember: about 250,000 partitions. A guess; Kafka has no bound.
const REMEMBERED_BYTES_MAX: usize = 64 << 20;

/// A partition in a session but for its topic's name, which is kept twice. Measured: 60 sessions of 100,000 take 1.3 GB.
const REMEMBERED_PARTITION_BYTES: usize = 220;

fn remembered_bytes(key: &FetchKey) -> usize {
    let name_bytes = match &key.topic {
        TopicRef::Name(name) => name.len(),
        TopicRef::Id(_) => 0,
    };
    REMEMBERED_PARTITION_BYTES + 2 * name_bytes
}

/// A partition as a fetch names it: by topic id from version 13 on, by name before.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FetchKey {
    pub topic: TopicRef,
    pub partition: i32,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum TopicRef {
    Name(String),
    Id(Uuid),
}

/// What a consumer asked of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchSpec {
    pub fetch_offset: i64,
    pub max_bytes: i32,
    pub current_leader_epoch: i32,
    pub last_fetched_epoch: i32,
    pub log_start_offset: i64,
}

/// What the consumer was last told about a partition; an incremental answer leaves out what has not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LastTold {
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub told: bool,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    /// Fetch order: partitions that had data move to the end, so that none starves under `max_bytes`.
    order: Vec<FetchKey>,
    partitions: HashMap<FetchKey, (FetchSpec, LastTold)>,
    used: Instant,
    /// Sum of [`remembered_bytes`] over the order.
    bytes: usize,
}

/// The session part of a fetch request.
#[derive(Debug)]
pub struct SessionRequest {
    pub session_id: i32,
    pub epoch: i32,
    pub partitions: Vec<(FetchKey, FetchSpec)>,
    pub forgotten: Vec<FetchKey>,
}

/// How a fetch is to be served.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub session_id: i32,
    pub kind: PlanKind,
    pub partitions: Vec<(FetchKey, FetchSpec)>,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum PlanKind {
    /// Answer every partition.
    Full,
    /// Answer the partitions that have data, an error, or changed positions.
    Incremental,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum SessionError {
    NotFound,
    InvalidEpoch,
    TopicIdMix,
}

/// A fetch outside every session: epoch -1.
const FINAL_EPOCH: i32 = -1;
const INITIAL_EPOCH: i32 = 0;

/// The sessions of one shard.
#[derive(Debug)]
pub struct FetchSessions {
    slots: usize,
    sessions: HashMap<i32, Session>,
    /// Sum over the sessions; at most `bytes_max`.
    bytes: usize,
    bytes_max: usize,
}

impl FetchSessions {
    pub fn new(slots: usize) -> FetchSessions {
        FetchSessions {
            slots,
            sessions: HashMap::new(),
            bytes: 0,
            bytes_max: REMEMBERED_BYTES_MAX,
        }
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Resolves a request to the partitions to read. `random` gives the id of a new session.
    pub fn plan(&mut self, now: Instant, request: SessionRequest, random: u64) -> Result<Plan, SessionError> {
        match request.epoch {
            FINAL_EPOCH | INITIAL_EPOCH => {
                self.close(request.session_id);
                let session_id = if request.epoch == FINAL_EPOCH || request.partitions.is_empty() {
                    0
                } else {
                    self.open(now, &request.partitions, random)
                };
                Ok(Plan {
                    session_id,
                    kind: PlanKind::Full,
                    partitions: request.partitions,
                })
            }
            _ => self.resume(now, request),
        }
    }

    fn open(&mut self, now: Instant, partitions: &[(FetchKey, FetchSpec)], random: u64) -> i32 {
        let bytes: usize = partitions.iter().map(|(key, _)| remembered_bytes(key)).sum();
        if !self.make_room(now) || self.bytes.saturating_add(bytes) > self.bytes_max {
            return 0;
        }
        let mut id = ((random as u32) & 0x7fff_ffff) as i32;
        while id == 0 || self.sessions.contains_key(&id) {
            id = id.wrapping_add(1) & 0x7fff_ffff;
        }
        let order = partitions.iter().map(|(key, _)| key.clone()).collect();
        let partitions = partitions
            .iter()
            .map(|(key, spec)| (key.clone(), (*spec, LastTold::default())))
            .collect();
        self.sessions.insert(
            id,
            Session {
                epoch: 1,
                order,
                partitions,
                used: now,
                bytes,
            },
        );
        self.bytes += bytes;
        id
    }

    fn make_room(&mut self, now: Instant) -> bool {
        if self.sessions.len() < self.slots {
            return true;
        }
        let oldest = self
            .sessions
            .iter()
            .min_by_key(|(_, session)| session.used)
            .map(|(id, session)| (*id, session.used));
        match oldest {
            Some((id, used)) if now.saturating_since(used) >= MIN_EVICTION_IDLE => self.close(id),
            _ => false,
        }
    }

    /// True if there was such a session.
    fn close(&mut self, id: i32) -> bool {
        let closed = self.sessions.remove(&id);
        self.bytes -= closed.as_ref().map_or(0, |session| session.bytes);
        closed.is_some()
    }

    fn resume(&mut self, now: Instant, request: SessionRequest) -> Result<Plan, SessionError> {
        let session = self
            .sessions
            .get_mut(&request.session_id)
            .ok_or(SessionError::NotFound)?;
        if request.epoch != session.epoch {
            return Err(SessionError::InvalidEpoch);
        }
        let by_id = |key: &FetchKey| matches!(key.topic, TopicRef::Id(_));
        if let (Some(held), Some((asked, _))) = (session.order.first(), request.partitions.first())
            && by_id(held) != by_id(asked)
        {
            return Err(SessionError::TopicIdMix);
        }
        let new = request
            .partitions
            .iter()
            .filter(|(key, _)| !session.partitions.contains_key(key));
        let new_bytes: usize = new.map(|(key, _)| remembered_bytes(key)).sum();
        if self.bytes.saturating_add(new_bytes) > self.bytes_max {
            // the client starts over with a full fetch, which is then served without a session
            self.close(request.session_id);
            return Err(SessionError::NotFound);
        }
        for (key, spec) in request.partitions {
            match session.partitions.get_mut(&key) {
                Some((held, _)) => *held = spec,
                None => {
                    session.order.push(key.clone());
                    session.partitions.insert(key, (spec, LastTold::default()));
                }
            }
        }
        if !request.forgotten.is_empty() {
            for key in &request.forgotten {
                session.partitions.remove(key);
            }
            session.order.retain(|key| session.partitions.contains_key(key));
        }
        let bytes: usize = session.order.iter().map(remembered_bytes).sum();
        self.bytes = self.bytes + bytes - std::mem::replace(&mut session.bytes, bytes);
        session.epoch = if session.epoch == i32::MAX {
            1
        } else {
            session.epoch + 1
        };
        session.used = now;
        if session.partitions.is_empty() {
            self.close(request.session_id);
            return Ok(Plan {
                session_id: 0,
                kind: PlanKind::Full,
                partitions: Vec::new(),
            });
        }
        let partitions = session
            .order
            .iter()
            .filter_map(|key| session.partitions.get(key).map(|(spec, _)| (key.clone(), *spec)))
            .collect();
        Ok(Plan {
            session_id: request.session_id,
            kind: PlanKind::Incremental,
            partitions,
        })
    }

    /// Notes what a fetch of `session_id` is about to be told of one partition, and says whether an incremental answer
    /// must include it. `news` is true for data and errors.
    pub fn tell(&mut self, session_id: i32, key: &FetchKey, now_told: LastTold, news: bool) -> bool {
        let Some((_, last)) = self
            .sessions
            .get_mut(&session_id)
            .and_then(|session| session.partitions.get_mut(key))
        else {
            return true;
        };
        let changed = *last != now_told;
        *last = now_told;
        news || changed
    }

    /// Partitions that had data go to the end of the order.
    pub fn rotate(&mut self, session_id: i32, had_data: &[FetchKey]) {
        if had_data.is_empty() {
            return;
        }
        if let Some(session) = self.sessions.get_mut(&session_id)
            && had_data.len() < session.order.len()
        {
            let moved: std::collections::HashSet<&FetchKey> = had_data.iter().collect();
            session.order.retain(|key| !moved.contains(key));
            session.order.extend(had_data.iter().cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> FetchKey {
        FetchKey {
            topic: TopicRef::Name("t".into()),
            partition,
        }
    }

    fn spec(fetch_offset: i64) -> FetchSpec {
        FetchSpec {
            fetch_offset,
            max_bytes: 1,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            log_start_offset: -1,
        }
    }

    fn request(session_id: i32, epoch: i32, partitions: &[(i32, i64)], forgotten: &[i32]) -> SessionRequest {
        SessionRequest {
            session_id,
            epoch,
            partitions: partitions
                .iter()
                .map(|(index, offset)| (key(*index), spec(*offset)))
                .collect(),
            forgotten: forgotten.iter().map(|index| key(*index)).collect(),
        }
    }

    /// Breaks in production: consumers with many partitions read wrong offsets or lose partitions between fetches.
    #[test]
    fn a_session_remembers_updates_and_forgets_partitions() {
        let now = reactor::Instant::default();
        let mut sessions = FetchSessions::new(10);
        let full = sessions
            .plan(now, request(0, 0, &[(0, 5), (1, 7)], &[]), 42)
            .unwrap();
        assert_eq!((full.session_id, full.kind), (42, PlanKind::Full));
        let next = sessions
            .plan(now, request(42, 1, &[(1, 8), (2, 0)], &[0]), 0)
            .unwrap();
        assert_eq!(next.kind, PlanKind::Incremental);
        assert_eq!(next.partitions, vec![(key(1), spec(8)), (key(2), spec(0))]);
        assert_eq!(
            sessions.plan(now, request(42, 1, &[], &[]), 0),
            Err(SessionError::InvalidEpoch)
        );
        assert_eq!(
            sessions.plan(now, request(7, 1, &[], &[]), 0),
            Err(SessionError::NotFound)
        );
        sessions.plan(now, request(42, -1, &[], &[]), 0).unwrap();
        assert_eq!(sessions.len(), 0);
    }

    /// Breaks in production: a client that opens sessions in a loop grows the broker's memory, or evicts live ones.
    #[test]
    fn slots_are_a_bound_and_only_idle_sessions_are_evicted() {
        let now = reactor::Instant::default();
        let mut sessions = FetchSessions::new(1);
        assert_eq!(
            sessions
                .plan(now, request(0, 0, &[(0, 0)], &[]), 1)
                .unwrap()
                .session_id,
            1
        );
        assert_eq!(
            sessions
                .plan(now, request(0, 0, &[(0, 0)], &[]), 2)
                .unwrap()
                .session_id,
            0
        );
        let later = now + MIN_EVICTION_IDLE;
        assert_eq!(
            sessions
                .plan(later, request(0, 0, &[(0, 0)], &[]), 3)
                .unwrap()
                .session_id,
            3
        );
        assert_eq!(sessions.len(), 1);
    }

    /// Breaks in production: a client that opens sessions over 100,000 partitions each takes gigabytes.
    #[test]
    fn what_sessions_remember_is_bounded_in_bytes() {
        let now = reactor::Instant::default();
        let mut sessions = FetchSessions::new(10);
        sessions.bytes_max = 3 * remembered_bytes(&key(0));
        assert_eq!(
            sessions
                .plan(now, request(0, 0, &[(0, 0), (1, 0)], &[]), 1)
                .unwrap()
                .session_id,
            1
        );
        assert_eq!(
            sessions
                .plan(now, request(0, 0, &[(0, 0), (1, 0)], &[]), 2)
                .unwrap()
                .session_id,
            0,
            "no room for two more"
        );
        assert_eq!(
            sessions
                .plan(now, request(1, 1, &[(2, 0)], &[0]), 0)
                .unwrap()
                .session_id,
            1
        );
        assert_eq!(
            sessions
                .plan(now, request(1, 2, &[(3, 0)], &[]), 0)
                .unwrap()
                .session_id,
            1,
            "what is forgotten makes room"
        );
        assert_eq!(
            sessions.plan(now, request(1, 3, &[(4, 0)], &[]), 0),
            Err(SessionError::NotFound)
        );
        assert_eq!((sessions.len(), sessions.bytes), (0, 0));
    }

    /// Breaks in production: under a small fetch.max.bytes the first partitions starve the others.
    #[test]
    fn partitions_with_data_move_to_the_end() {
        let now = reactor::Instant::default();
        let mut sessions = FetchSessions::new(1);
        sessions
            .plan(now, request(0, 0, &[(0, 0), (1, 0), (2, 0)], &[]), 9)
            .unwrap();
        sessions.rotate(9, &[key(0)]);
        let plan = sessions.plan(now, request(9, 1, &[], &[]), 0).unwrap();
        let order: Vec<i32> = plan.partitions.iter().map(|(key, _)| key.partition).collect();
        assert_eq!(order, [1, 2, 0]);
    }

    /// Breaks in production: an idle consumer gets every partition in every answer (or misses a new log start).
    #[test]
    fn an_incremental_answer_names_only_what_changed() {
        let now = reactor::Instant::default();
        let mut sessions = FetchSessions::new(1);
        sessions.plan(now, request(0, 0, &[(0, 0)], &[]), 9).unwrap();
        let told = LastTold {
            high_watermark: 3,
            log_start_offset: 0,
            told: true,
        };
        assert!(sessions.tell(9, &key(0), told, false));
        assert!(!sessions.tell(9, &key(0), told, false));
        assert!(sessions.tell(9, &key(0), told, true));
        assert!(sessions.tell(
            9,
            &key(0),
            LastTold {
                log_start_offset: 2,
                ..told
            },
            false
        ));
    }
}
