//! A follower of a partition: where it fetches from, and what it does with what comes.
//!
//! ```text
//! Fetching --answer--> Append          records, high watermark and log start are taken over
//!                      TruncateTo(x)   the leader's log and ours part
//!                      StartOverAt(x)  all that we have is older than all that the leader has
//!                      Commit          we led, and what we wrote last is not on our disk: the answer knows nothing of it
//!  error or throttle--> Paused until
//! ```
//! After each action the shard tells where the log is now ([`Follower::handle_log`]); nothing is fetched in between.
//!
//! | what the leader answers | what we do | why no committed record is lost |
//! |---|---|---|
//! | records from the end of what is on our disk, while our log goes on behind it | put that on the disk, ask again from its end | only a question about all that we have tells whether the leader has it too: what is appended behind a part of it that the leader lacks makes two logs of one |
//! | a diverging epoch (KIP-595) | cut to where that epoch ends here and there, ask again | what the leader has of an epoch and we have too is the same; what is committed it has |
//! | out of range, it begins behind our end | begin anew at its start | what lies before was deleted there |
//! | out of range, it ends before our end | cut to its high watermark | only an unclean election makes such a leader: what it lacks is lost already |

use std::time::Duration;

use reactor::Instant;

use crate::planted::{self, Bug};
use crate::types::{LeaderEpoch, Offset};

/// What a follower must know of its log.
pub trait FollowerLog {
    fn start_offset(&self) -> Offset;
    fn end_offset(&self) -> Offset;
    /// Everything below is on stable storage.
    fn durable_offset(&self) -> Offset;
    fn latest_epoch(&self) -> Option<LeaderEpoch>;
    /// The greatest epoch at or below one, and where it ends here.
    fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)>;
}

impl FollowerLog for crate::log::Log {
    fn start_offset(&self) -> Offset {
        self.start_offset()
    }

    fn end_offset(&self) -> Offset {
        self.end_offset()
    }

    fn durable_offset(&self) -> Offset {
        self.committed_offset()
    }

    fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.latest_epoch()
    }

    fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.offset_for_leader_epoch(epoch)
    }
}

/// What a fetch says of a partition.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FetchPosition {
    /// The end of what is on our disk: the fetch acknowledges everything below.
    pub offset: Offset,
    pub last_epoch: LeaderEpoch,
    pub log_start: Offset,
}

impl FetchPosition {
    pub fn of(log: &impl FollowerLog) -> FetchPosition {
        FetchPosition {
            offset: if planted::is(Bug::FollowerNotDurable) {
                log.end_offset()
            } else {
                log.durable_offset()
            },
            last_epoch: log.latest_epoch().unwrap_or(LeaderEpoch::NONE),
            log_start: log.start_offset(),
        }
    }
}

/// Where the leader's log and ours part: its end of the greatest epoch that it knows at or below ours.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Diverging {
    pub epoch: LeaderEpoch,
    pub end_offset: Offset,
}

/// Why the leader gave nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    OffsetOutOfRange,
    /// It does not lead, or not in this epoch: the metadata will tell, here or there.
    NotLeader,
    Other,
}

/// What the leader answered for the partition, without the records.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    pub refusal: Option<Refusal>,
    pub high_watermark: Offset,
    pub log_start: Offset,
    pub diverging: Option<Diverging>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum FollowerAction {
    /// Append the records, if there are any; then take over the high watermark (as far as the log goes) and the log start.
    Append {
        high_watermark: Offset,
        log_start: Offset,
    },
    TruncateTo(Offset),
    StartOverAt(Offset),
    /// Put on the disk what the log has; take nothing of the answer over.
    Commit,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum FollowerState {
    Fetching,
    /// An action has been given out; its end is awaited.
    Working,
    Paused {
        until: Instant,
    },
}

/// Invariants, asserted: nothing is fetched while an action is under way; a position never lies beyond the log's end; a cut is below
/// the log's end.
#[derive(Debug)]
pub struct Follower {
    leader_epoch: LeaderEpoch,
    pause: Duration,
    state: FollowerState,
    position: FetchPosition,
    action: Option<FollowerAction>,
}

impl Follower {
    /// `pause`: `replica.fetch.backoff.ms`.
    pub fn new(leader_epoch: LeaderEpoch, pause: Duration, position: FetchPosition) -> Follower {
        Follower {
            leader_epoch,
            pause,
            state: FollowerState::Fetching,
            position,
            action: None,
        }
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    pub fn state(&self) -> FollowerState {
        self.state
    }

    pub fn position(&self) -> FetchPosition {
        self.position
    }

    /// From where to fetch; `None`: not now.
    pub fn to_fetch(&self) -> Option<FetchPosition> {
        (self.state == FollowerState::Fetching).then_some(self.position)
    }

    /// Another leader, or the same one in another epoch.
    pub fn handle_epoch(&mut self, leader_epoch: LeaderEpoch) {
        debug_assert!(leader_epoch >= self.leader_epoch);
        self.leader_epoch = leader_epoch;
        if let FollowerState::Paused { .. } = self.state {
            self.state = FollowerState::Fetching;
        }
    }

    /// The leader's answer to a fetch from [`Follower::position`].
    pub fn handle_fetched(&mut self, now: Instant, fetched: &FetchedPartition, log: &impl FollowerLog) {
        debug_assert_eq!(self.state, FollowerState::Fetching);
        let action = match fetched.refusal {
            None => match fetched.diverging.filter(|_| !planted::is(Bug::DivergenceIgnored)) {
                None if log.end_offset() > self.position.offset => Some(FollowerAction::Commit),
                None => Some(FollowerAction::Append {
                    high_watermark: fetched.high_watermark,
                    log_start: fetched.log_start,
                }),
                // We led in an epoch and wrote nothing: there is nothing to cut but the epoch itself.
                Some(diverging)
                    if parting(diverging, log) >= log.end_offset()
                        && log.latest_epoch() > Some(diverging.epoch) =>
                {
                    Some(FollowerAction::TruncateTo(log.end_offset()))
                }
                Some(_) if planted::is(Bug::TruncateByHighWatermark) => cut(fetched.high_watermark, log),
                Some(diverging) => cut(parting(diverging, log), log),
            },
            Some(Refusal::OffsetOutOfRange) if fetched.log_start > log.end_offset() => {
                Some(FollowerAction::StartOverAt(fetched.log_start))
            }
            Some(Refusal::OffsetOutOfRange) if fetched.high_watermark.is_some() => {
                cut(fetched.high_watermark, log)
            }
            Some(Refusal::OffsetOutOfRange | Refusal::NotLeader | Refusal::Other) => None,
        };
        match action {
            Some(action) => {
                self.state = FollowerState::Working;
                self.action = Some(action);
            }
            None => {
                // An action that failed may have changed the log: to ask again as before would get the same answer for ever.
                self.position = FetchPosition::of(log);
                self.pause(now);
            }
        }
    }

    /// The action is done; this is what the log is now.
    pub fn handle_log(&mut self, log: &impl FollowerLog) {
        let position = FetchPosition::of(log);
        assert!(
            position.offset <= log.end_offset() && position.log_start <= log.end_offset(),
            "position {position:?} within the log, which ends at {}",
            log.end_offset()
        );
        self.position = position;
        self.state = FollowerState::Fetching;
        self.action = None;
    }

    /// The action could not be done, or the fetch not be sent.
    pub fn handle_failed(&mut self, now: Instant) {
        self.action = None;
        self.pause(now);
    }

    /// Nothing is to be fetched before `until`: what may be copied in this time has been.
    pub fn handle_throttled(&mut self, until: Instant) {
        if self.state == FollowerState::Fetching {
            self.state = FollowerState::Paused { until };
        }
    }

    fn pause(&mut self, now: Instant) {
        self.state = FollowerState::Paused {
            until: now + self.pause,
        };
    }

    /// The pause may be over.
    pub fn handle_timer(&mut self, now: Instant) {
        if let FollowerState::Paused { until } = self.state
            && until <= now
        {
            self.state = FollowerState::Fetching;
        }
    }

    pub fn poll_action(&mut self) -> Option<FollowerAction> {
        self.action.take()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            FollowerState::Paused { until } => Some(until),
            FollowerState::Fetching | FollowerState::Working => None,
        }
    }
}

/// The end of what both logs have, as far as one answer tells (KIP-101, KIP-279): when we have no record of the leader's epoch, what
/// we have of earlier ones stays, and the next fetch asks about those.
fn parting(diverging: Diverging, log: &impl FollowerLog) -> Offset {
    let end = log.end_offset();
    let leader_end = diverging.end_offset.min(end);
    if !diverging.epoch.is_some() {
        return leader_end;
    }
    match log.end_of_epoch(diverging.epoch) {
        Some((epoch, our_end)) if epoch == diverging.epoch => our_end.min(leader_end),
        Some((_, our_end)) => our_end.min(end),
        None => leader_end,
    }
}

fn cut(to: Offset, log: &impl FollowerLog) -> Option<FollowerAction> {
    if to >= log.end_offset() {
        return None; // nothing to cut: asking again at once would get the same answer
    }
    Some(if to < log.start_offset() {
        FollowerAction::StartOverAt(to)
    } else {
        FollowerAction::TruncateTo(to)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::epoch_cache::EpochCache;

    struct Sketch {
        start: i64,
        durable: i64,
        end: i64,
        epochs: EpochCache,
    }

    impl FollowerLog for Sketch {
        fn start_offset(&self) -> Offset {
            Offset(self.start)
        }
        fn end_offset(&self) -> Offset {
            Offset(self.end)
        }
        fn durable_offset(&self) -> Offset {
            Offset(self.durable)
        }
        fn latest_epoch(&self) -> Option<LeaderEpoch> {
            self.epochs.latest().map(|entry| entry.epoch)
        }
        fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
            self.epochs.end_offset_of(epoch, Offset(self.end))
        }
    }

    fn sketch(start: i64, end: i64, epochs: &[(i32, i64)]) -> Sketch {
        let mut cache = EpochCache::default();
        for (epoch, offset) in epochs {
            cache.assign(LeaderEpoch(*epoch), Offset(*offset));
        }
        Sketch {
            start,
            durable: end,
            end,
            epochs: cache,
        }
    }

    fn answer() -> FetchedPartition {
        FetchedPartition {
            refusal: None,
            high_watermark: Offset(7),
            log_start: Offset(0),
            diverging: None,
        }
    }

    fn after(log: &Sketch, fetched: &FetchedPartition) -> (Option<FollowerAction>, FollowerState) {
        let pause = Duration::from_secs(1);
        let mut follower = Follower::new(LeaderEpoch(9), pause, FetchPosition::of(log));
        follower.handle_fetched(Instant::default(), fetched, log);
        (follower.poll_action(), follower.state())
    }

    fn diverging(epoch: i32, end_offset: i64) -> FetchedPartition {
        FetchedPartition {
            diverging: Some(Diverging {
                epoch: LeaderEpoch(epoch),
                end_offset: Offset(end_offset),
            }),
            ..answer()
        }
    }

    /// Breaks in production: two replicas hold different records at one offset, and consumers read what was never acknowledged
    /// after a failover (KIP-279's examples).
    #[test]
    fn logs_that_part_are_cut_to_what_both_have() {
        let cases = [
            // the leader ended epoch 1 earlier than we
            (sketch(0, 20, &[(1, 0)]), diverging(1, 10), Some(10)),
            // we ended it earlier: all of it stays, the rest of ours is of epochs that the leader has not got
            (sketch(0, 20, &[(1, 0), (2, 10)]), diverging(1, 15), Some(10)),
            // the leader knows an epoch that we do not: what is below it stays
            (sketch(0, 20, &[(1, 0), (4, 10)]), diverging(3, 15), Some(10)),
            // the leader knows none
            (sketch(0, 20, &[(4, 0)]), diverging(-1, 0), Some(0)),
            // we led in epoch 5 and wrote nothing
            (sketch(0, 20, &[(4, 0), (5, 20)]), diverging(4, 20), Some(20)),
            // beyond our end
            (sketch(0, 20, &[(4, 0)]), diverging(4, 30), None),
        ];
        for (number, (log, fetched, cut)) in cases.into_iter().enumerate() {
            let (action, state) = after(&log, &fetched);
            assert_eq!(
                action,
                cut.map(|to| FollowerAction::TruncateTo(Offset(to))),
                "case {number}"
            );
            let is_paused = matches!(state, FollowerState::Paused { .. });
            assert_eq!(is_paused, cut.is_none(), "case {number}: no busy loop");
        }
    }

    /// Breaks in production: a leader is deposed while its disk writes; what the new leader has from there on is taken for a second
    /// copy of what was written here, and the replicas differ (simulation of clusters, seed 1335).
    #[test]
    fn nothing_is_appended_behind_what_the_leader_was_not_asked_about() {
        let mut log = sketch(0, 5, &[(0, 0)]);
        log.durable = 2;
        let mut follower = Follower::new(LeaderEpoch(1), Duration::from_secs(1), FetchPosition::of(&log));
        assert_eq!(
            follower.position().offset,
            Offset(2),
            "what counts is on the disk"
        );
        follower.handle_fetched(Instant::default(), &answer(), &log);
        assert_eq!(follower.poll_action(), Some(FollowerAction::Commit));
        assert_eq!(follower.to_fetch(), None);
        log.durable = 5;
        follower.handle_log(&log);
        follower.handle_fetched(Instant::default(), &diverging(0, 2), &log);
        assert_eq!(
            follower.poll_action(),
            Some(FollowerAction::TruncateTo(Offset(2)))
        );
    }

    /// Breaks in production: a cut is done but for a checkpoint that could not be written; the follower names an epoch that its log has
    /// no more, there is nothing to cut, and it never follows again (simulation of clusters, seed 2128).
    #[test]
    fn after_a_cut_that_failed_half_way_it_asks_from_what_the_log_is() {
        let mut log = sketch(0, 20, &[(4, 0), (5, 20)]);
        let mut follower = Follower::new(LeaderEpoch(6), Duration::from_secs(1), FetchPosition::of(&log));
        let mut now = Instant::default();
        follower.handle_fetched(now, &diverging(4, 25), &log);
        assert_eq!(
            follower.poll_action(),
            Some(FollowerAction::TruncateTo(Offset(20)))
        );
        log.epochs.truncate_from_end(Offset(20));
        follower.handle_failed(now);
        now += Duration::from_secs(1);
        follower.handle_timer(now);
        follower.handle_fetched(now, &diverging(4, 25), &log);
        now += Duration::from_secs(1);
        follower.handle_timer(now);
        let asked = follower.to_fetch().expect("the pause is over");
        assert_eq!((asked.last_epoch, asked.offset), (LeaderEpoch(4), Offset(20)));
    }

    /// Breaks in production: a follower that was away for longer than retention asks for what is gone, for ever.
    #[test]
    fn what_is_out_of_range_is_left_behind() {
        let out_of_range = |start: i64, high_watermark: i64| FetchedPartition {
            refusal: Some(Refusal::OffsetOutOfRange),
            high_watermark: Offset(high_watermark),
            log_start: Offset(start),
            ..answer()
        };
        let log = sketch(3, 20, &[(1, 3)]);
        assert_eq!(
            after(&log, &out_of_range(50, 60)).0,
            Some(FollowerAction::StartOverAt(Offset(50)))
        );
        assert_eq!(
            after(&log, &out_of_range(0, 12)).0,
            Some(FollowerAction::TruncateTo(Offset(12)))
        );
        assert_eq!(
            after(&log, &out_of_range(0, 1)).0,
            Some(FollowerAction::StartOverAt(Offset(1)))
        );
        assert_eq!(after(&log, &out_of_range(-1, -1)).0, None);
    }

    /// Breaks in production: a leader that does not know yet that it is one is asked again as quickly as the network allows.
    #[test]
    fn a_refusal_is_followed_by_a_pause_that_a_new_epoch_ends() {
        let log = sketch(0, 5, &[(1, 0)]);
        let now = Instant::default();
        let mut follower = Follower::new(LeaderEpoch(9), Duration::from_secs(1), FetchPosition::of(&log));
        let refused = FetchedPartition {
            refusal: Some(Refusal::NotLeader),
            ..answer()
        };
        follower.handle_fetched(now, &refused, &log);
        assert_eq!(follower.to_fetch(), None);
        follower.handle_timer(now + Duration::from_millis(999));
        assert_eq!(follower.to_fetch(), None);
        follower.handle_timer(now + Duration::from_secs(1));
        assert_eq!(follower.to_fetch(), Some(FetchPosition::of(&log)));
        follower.handle_fetched(now, &refused, &log);
        follower.handle_epoch(LeaderEpoch(10));
        assert_eq!(follower.to_fetch(), Some(FetchPosition::of(&log)));
        follower.handle_fetched(now, &answer(), &log);
        assert_eq!(follower.to_fetch(), None, "an append is under way");
        follower.handle_log(&log);
        assert!(follower.to_fetch().is_some());
    }
}
