//! The fetch sessions of followers (KIP-227): what the shard that has the connection knows of one. Where its partitions are, see
//! [`super::Part`].

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use net::error::ErrorCode;
use reactor::Instant;

use super::part::FetcherName;
use super::signal::Signal;

/// Sessions of one shard; one per shard of every other broker is in use. Beyond, the one unused for longest goes.
const SESSIONS_MAX: usize = 1024;

pub struct Session {
    pub id: i32,
    pub name: Arc<FetcherName>,
    pub signal: Arc<Signal>,
    /// The epoch that the next fetch carries.
    next_epoch: Cell<i32>,
    used: Cell<Instant>,
    /// When this broker was last given partitions that the follower is to follow.
    given: Cell<Option<Instant>>,
}

/// The first fetch after partitions were given is answered after that. A guess: brokers learn of one change within a few of these.
const NAMES_AFTER: Duration = Duration::from_millis(2);

impl Session {
    /// How long a fetch may wait for records that is asked at `now` for up to `max_wait`.
    ///
    /// What a follower begins to follow it names in its next fetch, and a fetch that waits for other partitions' records keeps it from that:
    /// a new leader would acknowledge nothing for half a second. When the follower will have heard of the change is not known here. So fetches
    /// wait as long again as has passed since: nothing is named later than twice the time it takes to hear of it, and a change costs each
    /// session some nine fetches.
    pub fn patience(&self, now: Instant, max_wait: Duration) -> Duration {
        match self.given.get() {
            Some(given) => max_wait.min(now.saturating_since(given).max(NAMES_AFTER)),
            None => max_wait,
        }
    }

    /// Whether a later fetch of the session has come: then one that waits for records waits for nothing.
    pub fn is_overtaken(&self, epoch: i32) -> bool {
        self.next_epoch.get() != next(epoch)
    }
}

/// Kafka's epochs count from 1 again after the greatest.
fn next(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

/// A number other than 0 that leaves the shard's as remainder.
fn session_id(random: u64, (shard, shard_count): (usize, usize)) -> i32 {
    let count = shard_count.clamp(1, 1 << 16) as i32;
    let rounds = (random as i32 & i32::MAX) / count;
    rounds.clamp(1, i32::MAX / count - 1) * count + shard as i32 % count
}

/// Whether the session with this number lives on the shard `shard` of `shard_count`, if its broker has as many.
pub fn is_at_home(session_id: i32, (shard, shard_count): (usize, usize)) -> bool {
    session_id as usize % shard_count.max(1) == shard
}

#[derive(Default)]
pub struct FollowerSessions {
    sessions: RefCell<HashMap<i32, Rc<Session>>>,
    /// When each replica was last given partitions to follow, for sessions that begin after that.
    given: RefCell<HashMap<i32, Instant>>,
}

impl FollowerSessions {
    /// `home` is this shard's number, and how many there are: the session's number tells it, so that a follower whose broker has as many
    /// shards can see whether its connection has come to the shard that has the partitions which its own shard follows.
    pub fn begin(&self, now: Instant, name: FetcherName, random: u64, home: (usize, usize)) -> Rc<Session> {
        let mut sessions = self.sessions.borrow_mut();
        sessions.retain(|_, session| *session.name != name);
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.values().min_by_key(|session| session.used.get());
            if let Some(id) = oldest.map(|session| session.id) {
                sessions.remove(&id);
            }
        }
        let mut id = session_id(random, home);
        while sessions.contains_key(&id) {
            id = session_id(reactor::random_u64(), home);
        }
        let given = self.given.borrow().get(&name.replica).copied();
        let session = Rc::new(Session {
            id,
            name: Arc::new(name),
            signal: Arc::default(),
            next_epoch: Cell::new(1),
            used: Cell::new(now),
            given: Cell::new(given),
        });
        sessions.insert(id, session.clone());
        session
    }

    /// This broker leads partitions from now on that `followers` have not named yet: their fetches do not wait long, see [`Session::patience`].
    pub fn given_partitions(&self, now: Instant, followers: &BTreeSet<i32>) {
        if followers.is_empty() {
            return;
        }
        let all = followers.iter().map(|replica| (*replica, now));
        self.given.borrow_mut().extend(all);
        for session in self.sessions.borrow().values() {
            if followers.contains(&session.name.replica) {
                session.given.set(Some(now));
                session.signal.fire();
            }
        }
    }

    /// The session of a fetch that carries `epoch`; the fetch before it is answered now, whatever it has got.
    pub fn resume(
        &self,
        now: Instant,
        name: &FetcherName,
        id: i32,
        epoch: i32,
    ) -> Result<Rc<Session>, ErrorCode> {
        let sessions = self.sessions.borrow();
        let session = sessions
            .get(&id)
            .filter(|session| *session.name == *name)
            .ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.next_epoch.get() != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        session.next_epoch.set(next(epoch));
        session.used.set(now);
        session.signal.fire();
        Ok(session.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(replica: i32) -> FetcherName {
        FetcherName {
            replica,
            client: "fetcher-0".to_owned(),
        }
    }

    /// Breaks in production: a follower that connects again is given what its last connection was promised, or two of its fetches
    /// are taken for one.
    #[test]
    fn a_session_is_one_line_of_fetches() {
        let now = Instant::default();
        let sessions = FollowerSessions::default();
        let first = sessions.begin(now, name(2), 7, (0, 1));
        assert_eq!(first.id, 7);
        let resumed = |epoch| sessions.resume(now, &name(2), 7, epoch).map(|session| session.id);
        assert_eq!(resumed(1), Ok(7));
        assert!(!first.is_overtaken(1));
        assert_eq!(resumed(1), Err(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(resumed(2), Ok(7));
        assert!(first.is_overtaken(1));
        assert!(sessions.resume(now, &name(3), 7, 3).is_err(), "another's session");
        sessions.begin(now, name(2), 8, (0, 1));
        assert_eq!(resumed(3), Err(ErrorCode::FetchSessionIdNotFound));
    }

    /// Breaks in production: a new leader acknowledges nothing for half a second, because its followers wait for records of other
    /// partitions; or followers whose leader was given partitions once never wait again.
    #[test]
    fn fetches_wait_as_long_as_partitions_were_not_named() {
        let start = Instant::default();
        let max_wait = Duration::from_millis(500);
        let sessions = FollowerSessions::default();
        let (follower, other) = (
            sessions.begin(start, name(2), 7, (0, 1)),
            sessions.begin(start, name(3), 8, (0, 1)),
        );
        assert_eq!(follower.patience(start, max_wait), max_wait);
        sessions.given_partitions(start, &BTreeSet::from([2]));
        assert_eq!(other.patience(start, max_wait), max_wait);
        let (mut now, mut fetches) = (start, 0);
        while follower.patience(now, max_wait) < max_wait {
            now += follower.patience(now, max_wait);
            fetches += 1;
        }
        assert!(now.saturating_since(start) < 2 * max_wait);
        assert!(fetches < 10, "{fetches}");
    }

    /// Breaks in production: every fetch of a follower is sent on to another core, and back.
    #[test]
    fn the_number_of_a_session_tells_its_shard() {
        for random in [0, 1, 77, u64::MAX, 0x7fff_ffff] {
            for shard in 0..4 {
                let id = session_id(random, (shard, 4));
                assert!(id > 0 && is_at_home(id, (shard, 4)), "{id}");
                assert!(!is_at_home(id, ((shard + 1) % 4, 4)));
            }
            assert!(is_at_home(session_id(random, (0, 1)), (0, 1)));
        }
    }
}
