//! Schedules with a name: what others got wrong, and what this simulation found here. Each says whose mistake it was.

use std::time::Duration;

use bytes::Bytes;
use engine::types::Offset;
use reactor::Instant;
use uuid::Uuid;

use crate::config::Endpoint;
use crate::quorum::*;
use crate::record::{BrokerId, ControllerEpoch, DirectoryId};
use crate::store::SnapshotId;

/// All of them, for the planted bugs.
#[cfg(feature = "planted-bugs")]
pub(super) const SCHEDULES: &[(&str, fn())] = &[
    (
        "a vote is on the disk before it is given",
        vote_is_persisted_first,
    ),
    ("a refused vote is none", refused_vote_is_none),
    (
        "an older epoch's record is not committed by counting",
        older_epoch_waits_for_own,
    ),
    ("a quorum of one goes on where it was", quorum_of_one_restarts),
    (
        "a higher epoch with a shorter log keeps nobody from leading",
        pre_vote_does_not_deadlock,
    ),
    ("a snapshot brings its voters", snapshot_brings_its_voters),
    ("cut off voters are none", cut_off_voters_are_none),
    ("voters change one at a time", voters_change_one_at_a_time),
    (
        "a restarted leader leads a new epoch",
        restarted_leader_leads_anew,
    ),
    (
        "an earlier epoch's Fetch acknowledges nothing",
        stale_fetch_counts_nothing,
    ),
    (
        "a leader that removed itself leads once more",
        removed_leader_leads_once_more,
    ),
    ("a follower with a leader keeps it", pre_vote_needs_silence),
];

const DIRECTORY: u128 = 1000;

fn key(id: i32) -> ReplicaKey {
    ReplicaKey::new(BrokerId(id), DirectoryId(Uuid::from_u128(DIRECTORY + id as u128)))
}

fn voters(ids: &[i32]) -> VoterSet {
    VoterSet::new(ids.iter().map(|id| Voter {
        key: key(*id),
        endpoint: Endpoint {
            host: format!("n{id}"),
            port: 9093,
        },
    }))
}

fn epoch(number: i32) -> ControllerEpoch {
    ControllerEpoch(number)
}

/// A replica that starts with this log: one record per epoch given.
struct Start {
    voters: VoterSet,
    state: ElectionState,
    log: StartingLog,
}

fn start(ids: &[i32], epochs: &[i32]) -> Start {
    let mut log = StartingLog {
        end: Offset(epochs.len() as i64),
        ..StartingLog::default()
    };
    for (offset, number) in epochs.iter().enumerate() {
        if log.epochs.last().is_none_or(|(last, _)| last.0 != *number) {
            log.epochs.push((epoch(*number), Offset(offset as i64)));
        }
    }
    Start {
        voters: voters(ids),
        state: ElectionState {
            epoch: epoch(epochs.last().copied().unwrap_or(0)),
            ..ElectionState::default()
        },
        log,
    }
}

struct Lab {
    now: Instant,
    core: Core,
}

impl Lab {
    fn new(id: i32, start: Start) -> Lab {
        let now = Instant::from_nanos(1_000_000_000);
        let config = CoreConfig {
            node: key(id),
            voters: start.voters,
            timers: Timers::default(),
            seed: 7,
        };
        Lab {
            now,
            core: Core::new(now, config, start.state, start.log),
        }
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.core.step(self.now, event)
    }

    fn ask(&mut self, request: Request) -> Vec<Action> {
        let id = RequestId(1);
        self.step(Event::Asked { id, request })
    }

    /// Lets time pass until it does something.
    fn wait(&mut self) -> Vec<Action> {
        for _ in 0..1000 {
            self.now = self.now.max(self.core.next_deadline());
            let actions = self.step(Event::Tick);
            if !actions.is_empty() {
                return actions;
            }
        }
        panic!("it does nothing any more");
    }

    /// Lets time pass until it asks for votes, of this kind.
    fn wait_for_campaign(&mut self, pre_vote: bool) -> Vec<VoteRequest> {
        for _ in 0..100 {
            let found: Vec<VoteRequest> = votes(&self.wait())
                .into_iter()
                .filter(|vote| vote.pre_vote == pre_vote)
                .collect();
            if !found.is_empty() {
                return found;
            }
        }
        panic!("it does not ask for votes");
    }

    fn vote(&mut self, from: i32, request: &VoteRequest, granted: bool) -> Vec<Action> {
        let response = Response::Vote(VoteResponse {
            view: LeaderView {
                epoch: request.epoch,
                leader: None,
                endpoint: None,
            },
            refusal: None,
            granted,
        });
        self.step(Event::Answered {
            from: BrokerId(from),
            request: Request::Vote(request.clone()),
            response,
        })
    }

    /// Makes it the leader, by the vote of one other.
    fn elect(&mut self, other: i32) {
        let asked = self.wait_for_campaign(true);
        let actions = self.vote(other, &asked[0], true);
        let asked = votes(&actions);
        assert!(!asked[0].pre_vote);
        self.vote(other, &asked[0], true);
        assert!(self.core.is_leader());
    }

    fn fetch(&mut self, from: i32, at: i32, offset: i64, last: i32) -> Vec<Action> {
        self.ask(Request::Fetch(FetchRequest {
            epoch: epoch(at),
            replica: key(from),
            offset: Offset(offset),
            last_epoch: epoch(last),
            high_watermark: Offset(0),
            number: 0,
        }))
    }

    fn written(&mut self) {
        for write in 1..10 {
            self.step(Event::Written { write });
        }
    }

    fn follow(&mut self, at: i32, leader: i32) -> FetchRequest {
        let actions = self.ask(Request::BeginQuorumEpoch(BeginQuorumEpoch {
            epoch: epoch(at),
            leader: BrokerId(leader),
            endpoint: None,
            voter: None,
        }));
        fetches(&actions).pop().expect("it fetches")
    }

    fn answer_fetch(&mut self, from: i32, request: FetchRequest, outcome: FetchOutcome) -> Vec<Action> {
        let response = Response::Fetch(FetchResponse {
            view: LeaderView {
                epoch: request.epoch,
                leader: Some(BrokerId(from)),
                endpoint: None,
            },
            high_watermark: Offset(0),
            outcome,
        });
        self.step(Event::Answered {
            from: BrokerId(from),
            request: Request::Fetch(request),
            response,
        })
    }

    fn change(&mut self, change: VoterChange) -> Option<Result<(), ChangeError>> {
        let id = RequestId(2);
        let actions = self.step(Event::Change { id, change });
        actions.into_iter().find_map(|action| match action {
            Action::AnswerChange { result, .. } => Some(result),
            _ => None,
        })
    }
}

fn votes(actions: &[Action]) -> Vec<VoteRequest> {
    let asks = actions.iter().filter_map(|action| match action {
        Action::Ask {
            request: Request::Vote(vote),
            ..
        } => Some(vote.clone()),
        _ => None,
    });
    asks.collect()
}

fn fetches(actions: &[Action]) -> Vec<FetchRequest> {
    let asks = actions.iter().filter_map(|action| match action {
        Action::Ask {
            request: Request::Fetch(fetch),
            ..
        } => Some(fetch.clone()),
        _ => None,
    });
    asks.collect()
}

fn granted(actions: &[Action]) -> bool {
    actions
        .iter()
        .any(|action| matches!(action, Action::Answer { response: Response::Vote(vote), .. } if vote.granted))
}

fn vote_of(id: i32, at: i32, last: i32, end: i64, pre_vote: bool) -> Request {
    Request::Vote(VoteRequest {
        epoch: epoch(at),
        candidate: key(id),
        voter: None,
        last_epoch: epoch(last),
        end_offset: Offset(end),
        pre_vote,
    })
}

/// The oldest one: a vote that a crash forgets is given twice.
#[test]
fn vote_is_persisted_first() {
    let mut lab = Lab::new(1, start(&[1, 2, 3], &[1]));
    // the epoch is known already: only the vote is new
    lab.ask(vote_of(2, 2, 0, 0, false));
    let actions = lab.ask(vote_of(2, 2, 1, 1, false));
    assert!(granted(&actions));
    assert!(
        matches!(&actions[0], Action::Persist(state) if state.voted == Some(key(2)) && state.epoch == epoch(2)),
        "{actions:?}"
    );
    assert!(!granted(&lab.ask(vote_of(3, 2, 1, 1, false))));
}

/// openraft 0.10.0-alpha.2 counted answers, not votes (fixed by #1220): data was lost.
#[test]
fn refused_vote_is_none() {
    let mut lab = Lab::new(1, start(&[1, 2, 3, 4, 5], &[1]));
    let asked = lab.wait_for_campaign(true);
    for from in 2..=3 {
        lab.vote(from, &asked[0], false);
    }
    assert_eq!(lab.core.epoch(), epoch(1));
}

/// Raft, section 5.4.2, figure 8.
#[test]
fn older_epoch_waits_for_own() {
    let mut lab = Lab::new(1, start(&[1, 2, 3], &[1, 2]));
    lab.elect(2);
    assert_eq!(lab.core.epoch(), epoch(3));
    // two of three have both records, and the leader's own first one is on no disk yet
    lab.fetch(2, 3, 2, 2);
    assert_eq!(lab.core.high_watermark(), Offset(0));
    lab.fetch(2, 3, 3, 3);
    assert_eq!(lab.core.high_watermark(), Offset(0));
    lab.written();
    assert_eq!(lab.core.high_watermark(), Offset(3));
}

/// openraft #1246: a single node did not apply its log again after a restart.
#[test]
fn quorum_of_one_restarts() {
    let mut lab = Lab::new(1, start(&[1], &[1, 1, 1]));
    assert_eq!(lab.core.high_watermark(), Offset(3));
    lab.wait();
    assert!(lab.core.is_leader());
    lab.written();
    assert_eq!(
        (lab.core.epoch(), lab.core.high_watermark()),
        (epoch(2), Offset(4))
    );
}

/// openraft #1796: who has a higher epoch, and too short a log to lead, refused all others for ever.
#[test]
fn pre_vote_does_not_deadlock() {
    let mut behind = start(&[1, 2, 3], &[1]);
    behind.state.epoch = epoch(10);
    let (mut far, mut near) = (Lab::new(1, behind), Lab::new(2, start(&[1, 2, 3], &[1, 5])));
    let asked = near.wait_for_campaign(true);
    let refused = far.ask(Request::Vote(asked[0].clone()));
    assert!(!granted(&refused));
    let response = refused.into_iter().find_map(|action| match action {
        Action::Answer { response, .. } => Some(response),
        _ => None,
    });
    near.step(Event::Answered {
        from: BrokerId(1),
        request: Request::Vote(asked[0].clone()),
        response: response.expect("an answer"),
    });
    assert_eq!(near.core.epoch(), epoch(10));
    let asked = near.wait_for_campaign(true);
    assert!(granted(&far.ask(Request::Vote(asked[0].clone()))));
}

/// openraft #1808: a snapshot left the voters of the log before it in force; two majorities without a common member.
#[test]
fn snapshot_brings_its_voters() {
    let mut begun = start(&[1, 2, 3], &[1]);
    begun.log.voters.push((Offset(0), voters(&[1, 2, 3, 4, 5])));
    let mut lab = Lab::new(1, begun);
    assert_eq!(lab.core.voters().len(), 5);
    let fetch = lab.follow(2, 2);
    let id = SnapshotId {
        end_offset: Offset(50),
        epoch: epoch(2),
    };
    lab.answer_fetch(2, fetch, FetchOutcome::Snapshot(id));
    lab.step(Event::SnapshotInstalled {
        id,
        voters: Some(voters(&[1, 2, 6])),
    });
    assert_eq!(*lab.core.voters(), voters(&[1, 2, 6]));
    assert_eq!(lab.core.high_watermark(), Offset(50));
}

/// A set is in force from where it is in the log, and no longer than it is.
#[test]
fn cut_off_voters_are_none() {
    let mut begun = start(&[1, 2, 3], &[1, 1]);
    begun.log.voters.push((Offset(1), voters(&[1, 2, 3, 4])));
    let mut lab = Lab::new(1, begun);
    assert_eq!(lab.core.voters().len(), 4);
    let fetch = lab.follow(2, 2);
    let diverging = FetchOutcome::Diverging {
        epoch: epoch(1),
        end_offset: Offset(1),
    };
    let actions = lab.answer_fetch(2, fetch, diverging);
    assert!(actions.contains(&Action::Truncate {
        end_offset: Offset(1)
    }));
    assert_eq!(*lab.core.voters(), voters(&[1, 2, 3]));
}

/// Ongaro's correction of 2015: two changes at once, or one before the leader has committed anything, split the quorum.
#[test]
fn voters_change_one_at_a_time() {
    let mut lab = Lab::new(1, start(&[1, 2, 3], &[1]));
    lab.elect(2);
    let remove = |id| VoterChange::Remove(RemoveVoter { key: key(id) });
    assert_eq!(lab.change(remove(3)), Some(Err(ChangeError::NotReady)));
    lab.written();
    lab.fetch(2, 2, 2, 2);
    assert_eq!(lab.core.high_watermark(), Offset(2));
    assert_eq!(lab.change(remove(3)), None);
    assert_eq!(*lab.core.voters(), voters(&[1, 2]));
    assert_eq!(lab.change(remove(2)), Some(Err(ChangeError::NotReady)));
}

/// What it had not synced, others may have: the same offsets of the same epoch would hold two different records.
#[test]
fn restarted_leader_leads_anew() {
    let mut begun = start(&[1, 2, 3], &[1, 2]);
    begun.state.leader = Some(BrokerId(1));
    begun.state.voted = Some(key(1));
    let mut lab = Lab::new(1, begun);
    assert!(!lab.core.is_leader());
    assert_eq!(lab.core.leader(), None);
    // nor has it another vote in that epoch
    assert!(!granted(&lab.ask(vote_of(2, 2, 2, 9, false))));
}

/// What a replica had in an earlier epoch it may have cut off since.
#[test]
fn stale_fetch_counts_nothing() {
    let mut lab = Lab::new(1, start(&[1, 2, 3], &[1, 1]));
    lab.elect(3);
    lab.written();
    assert_eq!(lab.core.epoch(), epoch(2));
    lab.fetch(2, 1, 3, 2);
    assert_eq!(lab.core.high_watermark(), Offset(0));
}

/// Found by seed 66: a leader removed itself and died with that on its disk alone. It took itself for an observer, the others lacked
/// its log: nobody ever led again.
#[test]
fn removed_leader_leads_once_more() {
    let mut begun = start(&[1, 2], &[1, 1]);
    begun.log.voters.push((Offset(1), voters(&[2])));
    let mut lab = Lab::new(1, begun);
    assert!(!lab.core.is_voter());
    lab.elect(2);
    lab.written();
    // itself counts for nothing
    assert_eq!(lab.core.high_watermark(), Offset(0));
    let actions = lab.fetch(2, 2, 3, 2);
    assert_eq!(lab.core.high_watermark(), Offset(3));
    assert!(!lab.core.is_leader());
    assert!(actions.iter().any(|action| matches!(
        action,
        Action::Ask {
            request: Request::EndQuorumEpoch(_),
            ..
        }
    )));
}

/// KIP-996: a replica that was cut off for a while would depose a leader whom all others hear.
#[test]
fn pre_vote_needs_silence() {
    let mut lab = Lab::new(1, start(&[1, 2, 3], &[1]));
    let fetch = lab.follow(2, 2);
    let record = Entry {
        base_offset: Offset(1),
        last_offset: Offset(1),
        epoch: epoch(2),
        voters: None,
        body: Body::Batch(Bytes::from_static(b"record")),
    };
    lab.answer_fetch(2, fetch, FetchOutcome::Records(vec![record]));
    lab.written();
    assert!(!granted(&lab.ask(vote_of(3, 2, 2, 2, true))));
    assert_eq!(lab.core.leader(), Some(BrokerId(2)));
    // its process is known to be dead, or it is silent
    lab.step(Event::Suspect(epoch(2)));
    assert!(granted(&lab.ask(vote_of(3, 2, 2, 2, true))));
    lab.now += Duration::from_secs(1);
    assert!(granted(&lab.ask(vote_of(3, 2, 2, 2, true))));
}
