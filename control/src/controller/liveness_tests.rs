//! Stories of brokers that live, hang and die, told to the millisecond.

use super::*;
use crate::record::{BrokerEpoch, Record, RegisterBrokerRecord};

const SESSION_MS: u64 = 1500;

/// Brokers that are unfenced, and the controller that watches them.
struct Stage {
    liveness: Liveness,
    image: ClusterImage,
    now: Instant,
}

impl Stage {
    fn new(brokers: i32) -> Self {
        let records = (1..=brokers).map(|id| {
            Record::from(RegisterBrokerRecord {
                broker_id: BrokerId(id),
                broker_epoch: BrokerEpoch(i64::from(id)),
                fenced: false,
                ..RegisterBrokerRecord::default()
            })
        });
        let records: Vec<_> = records.collect();
        let (image, _) = ClusterImage::empty("cluster").apply(&records).expect("fits");
        let mut liveness = Liveness::new(&ClusterTiming {
            heartbeat_interval_ms: 100,
            session_timeout_ms: SESSION_MS,
            leader_balance_interval_ms: None,
            unclean_election_interval_ms: 300_000,
        });
        let now = Instant::from_nanos(5_000_000_000);
        liveness.took_over(now, &image, None);
        Stage { liveness, image, now }
    }

    /// Lets `ms` pass, in which `alive` send heartbeats each 100 ms. What is fenced first, and when.
    fn pass(&mut self, ms: u64, alive: &[i32]) -> Option<(u64, Vec<i32>)> {
        for passed in (100..=ms).step_by(100) {
            self.now += Duration::from_millis(100);
            for id in alive {
                self.liveness.heartbeat(self.now, BrokerId(*id), Offset(9));
            }
            let silent = self.silent();
            if !silent.is_empty() {
                return Some((passed, silent));
            }
        }
        None
    }

    fn silent(&mut self) -> Vec<i32> {
        let silent = self.liveness.silent(self.now, &self.image);
        silent.into_iter().map(|id| id.0).collect()
    }

    fn fail(&mut self, id: i32) {
        self.liveness.fenced_for_failure(self.now, BrokerId(id));
    }

    fn is_held(&self, id: i32) -> bool {
        self.liveness.is_held_down(self.now, BrokerId(id))
    }
}

#[test]
fn a_silent_broker_is_fenced_after_its_session() {
    // Later, its partitions would stand still for longer than is promised; earlier, a pause would cost a change of leaders.
    let mut stage = Stage::new(3);
    assert_eq!(stage.pass(60_000, &[1, 2, 3]), None);
    assert_eq!(stage.pass(60_000, &[1, 3]), Some((SESSION_MS, vec![2])));
}

#[test]
fn a_dead_process_is_fenced_at_once_and_one_that_speaks_is_not_dead() {
    let mut stage = Stage::new(3);
    stage.liveness.gone(stage.now, BrokerId(2));
    assert!(!stage.liveness.is_live(stage.now, BrokerId(2)));
    assert!(stage.liveness.next_deadline() <= Some(stage.now));
    assert_eq!(stage.silent(), [2]);
    stage.liveness.heartbeat(stage.now, BrokerId(2), Offset(9));
    assert_eq!(stage.silent(), [0; 0]);
    assert!(stage.liveness.is_live(stage.now, BrokerId(2)));
}

#[test]
fn a_new_controller_gives_everybody_a_whole_session() {
    // It has heard from nobody; fencing all would stop the cluster at each change of controller.
    let mut stage = Stage::new(3);
    assert_eq!(stage.pass(1000, &[]), None);
    stage.liveness.took_over(stage.now, &stage.image, None);
    assert_eq!(stage.pass(60_000, &[1, 2]), Some((SESSION_MS, vec![3])));
}

#[test]
fn many_silent_at_once_get_another_session() {
    // A network that hiccups for two seconds, or a store that stalls everybody, must not move every leader of the cluster.
    let mut stage = Stage::new(6);
    assert_eq!(stage.pass(2500, &[1, 2, 3]), None);
    assert_eq!(stage.pass(1000, &[1, 2, 3, 4, 5, 6]), None);
    assert_eq!(
        stage.pass(60_000, &[1, 2, 3]),
        Some((2 * SESSION_MS, vec![4, 5, 6]))
    );
    // a third of them is not many
    let mut stage = Stage::new(6);
    assert_eq!(stage.pass(60_000, &[1, 2, 3, 4]), Some((SESSION_MS, vec![5, 6])));
}

#[test]
fn those_that_fell_silent_a_little_later_count_too() {
    let mut stage = Stage::new(3);
    assert_eq!(stage.pass(500, &[1, 2]), None);
    // 3 has been silent for 500 ms when 2 follows
    assert_eq!(stage.pass(60_000, &[1]), Some((2 * SESSION_MS - 500, vec![3])));
}

#[test]
fn who_stays_away_when_the_others_return_is_fenced_then() {
    let mut stage = Stage::new(3);
    assert_eq!(stage.pass(1800, &[1]), None);
    assert_eq!(stage.pass(1000, &[1, 2]), Some((100, vec![3])));
}

#[test]
fn the_dead_do_not_count_among_the_silent() {
    // Two of three machines lose power: both are known dead, and nothing is gained by waiting.
    let mut stage = Stage::new(3);
    stage.liveness.gone(stage.now, BrokerId(2));
    stage.liveness.gone(stage.now, BrokerId(3));
    assert_eq!(stage.silent(), [2, 3]);
}

#[test]
fn a_controller_that_slept_does_not_blame_the_others() {
    // It was stopped for ten seconds; the heartbeats it did not read are waiting in its sockets.
    let mut stage = Stage::new(3);
    assert_eq!(stage.pass(1000, &[1, 2, 3]), None);
    stage.now += Duration::from_secs(10);
    assert_eq!(stage.silent(), [0; 0]);
    for id in [1, 2] {
        stage.liveness.heartbeat(stage.now, BrokerId(id), Offset(9));
    }
    // the one that is really away has half a session left
    assert_eq!(
        stage.pass(60_000, &[1, 2]),
        Some((800, vec![3])),
        "rounded up to the next heartbeat"
    );
}

#[test]
fn sleeping_again_and_again_does_not_keep_a_dead_broker_alive() {
    let mut stage = Stage::new(3);
    for _ in 0..2 {
        stage.now += Duration::from_secs(2);
        for id in [1, 2] {
            stage.liveness.heartbeat(stage.now, BrokerId(id), Offset(9));
        }
    }
    assert_eq!(stage.silent(), [3]);
}

#[test]
fn the_deadline_is_the_end_of_the_first_session_or_a_sign_of_life() {
    let mut stage = Stage::new(2);
    let pulse = Duration::from_millis(SESSION_MS / 4);
    assert_eq!(stage.liveness.next_deadline(), Some(stage.now + pulse));
    let mut asked = 0;
    let start = stage.now;
    // Asked when it says so, it fences when it should, and is not asked without end.
    let silent = loop {
        stage.now = stage.liveness.next_deadline().expect("a deadline");
        asked += 1;
        stage.liveness.heartbeat(stage.now, BrokerId(1), Offset(9));
        let silent = stage.silent();
        if !silent.is_empty() {
            break silent;
        }
        assert!(asked < 20);
    };
    assert_eq!(silent, [2]);
    assert_eq!(
        stage.now.saturating_since(start),
        Duration::from_millis(SESSION_MS)
    );
}

#[test]
fn a_deadline_is_never_in_the_past_for_long() {
    // With many silent the sessions have ended, but nothing is to be done yet: the controller must not spin.
    let mut stage = Stage::new(3);
    for _ in 0..100 {
        let deadline = stage.liveness.next_deadline().expect("a deadline");
        stage.now = stage.now.max(deadline);
        if !stage.silent().is_empty() {
            return;
        }
        assert!(stage.liveness.next_deadline() > Some(stage.now));
    }
    panic!("nobody was fenced");
}

#[test]
fn a_broker_that_flaps_is_held_down_for_longer_and_longer() {
    // Each flap moves leaders twice; clients are better off without it for a while.
    let mut stage = Stage::new(1);
    for _ in 0..2 {
        stage.fail(1);
        assert!(!stage.is_held(1));
        stage.now += Duration::from_secs(5);
    }
    for hold_s in [1, 2, 4, 8, 16, 32, 60, 60] {
        stage.fail(1);
        assert!(stage.is_held(1));
        stage.now += Duration::from_millis(hold_s * 1000 - 1);
        assert!(stage.is_held(1), "held for {hold_s} s");
        stage.now += Duration::from_millis(1);
        assert!(!stage.is_held(1), "held for no longer than {hold_s} s");
        stage.now += Duration::from_secs(5);
    }
    // a good minute clears the slate
    stage.now += Duration::from_secs(60);
    stage.fail(1);
    assert!(!stage.is_held(1));
}

#[test]
fn wishes_are_no_failures() {
    // A rolling restart, however fast, holds nobody down.
    let mut stage = Stage::new(1);
    for _ in 0..10 {
        stage.liveness.fenced_at_will(BrokerId(1));
        stage.liveness.unfenced(stage.now, BrokerId(1));
        assert!(!stage.is_held(1));
    }
}

#[test]
fn a_fence_that_did_not_get_into_the_log_is_tried_again() {
    // The store refused the append: the broker must not stay a leader for ever.
    let mut stage = Stage::new(2);
    assert_eq!(stage.pass(60_000, &[1]), Some((SESSION_MS, vec![2])));
    stage.fail(2);
    assert_eq!(stage.pass(60_000, &[1]), Some((SESSION_MS + 100, vec![2])));
}
