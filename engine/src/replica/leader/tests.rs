use std::fmt::Write as _;

use super::*;

const LAG: Duration = Duration::from_secs(30);

fn at(ms: u64) -> Instant {
    Instant::default() + Duration::from_millis(ms)
}

fn ends(durable: i64, end: i64) -> LogEnds {
    LogEnds {
        start: Offset(0),
        durable: Offset(durable),
        end: Offset(end),
    }
}

fn state(partition_epoch: i32, isr: &[i32]) -> PartitionState {
    PartitionState {
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(partition_epoch),
        replicas: (1..=3)
            .map(|id| Replica {
                id: ReplicaId(id),
                broker_epoch: Some(BrokerEpoch(100 + i64::from(id))),
                is_active: true,
            })
            .collect(),
        isr: isr.iter().copied().map(ReplicaId).collect(),
        min_insync: 1,
    }
}

fn leader(isr: &[i32]) -> Leader {
    Leader::new(
        at(0),
        ReplicaId(1),
        LAG,
        state(0, isr),
        Offset(0),
        ends(0, 0),
        Offset(0),
    )
}

fn fetch(id: i32, offset: i64) -> FollowerFetch {
    FollowerFetch {
        replica: ReplicaId(id),
        broker_epoch: BrokerEpoch(100 + i64::from(id)),
        offset: Offset(offset),
        log_start: Offset(0),
    }
}

/// What it says, one line per action.
fn said(leader: &mut Leader) -> String {
    let mut text = String::new();
    while let Some(action) = leader.poll_action() {
        match action {
            LeaderAction::HighWatermark(offset) => writeln!(text, "hw {offset}").unwrap(),
            LeaderAction::AlterIsr(alter) => {
                let isr: Vec<String> = alter
                    .isr
                    .iter()
                    .map(|(id, epoch)| format!("{id}@{epoch}"))
                    .collect();
                writeln!(text, "alter {} {}", alter.partition_epoch, isr.join(" ")).unwrap();
            }
        }
    }
    text
}

/// Breaks in production: a producer is told "on all replicas" of a record that only the leader has.
#[test]
fn committed_is_what_every_replica_in_sync_has_on_its_disk() {
    let mut leader = leader(&[1, 2, 3]);
    leader.handle_append(at(1), ends(0, 10));
    leader.handle_fetch(at(2), ends(0, 10), fetch(2, 10));
    leader.handle_fetch(at(2), ends(0, 10), fetch(3, 10));
    assert_eq!(said(&mut leader), "", "the leader's own disk has not got it");
    leader.handle_durable(at(3), ends(10, 12));
    assert_eq!(said(&mut leader), "hw 10\n");
    leader.handle_durable(at(3), ends(12, 12));
    leader.handle_fetch(at(4), ends(12, 12), fetch(2, 12));
    assert_eq!(said(&mut leader), "");
    leader.handle_fetch(at(5), ends(12, 12), fetch(3, 11));
    assert_eq!(said(&mut leader), "hw 11\n");
}

/// Breaks in production: the answer to an AlterPartition is late, the controller elects the member that the leader did not
/// wait for yet, and acknowledged records are gone.
#[test]
fn a_member_asked_for_counts_until_the_metadata_says_otherwise() {
    let mut leader = leader(&[1, 2]);
    leader.handle_append(at(1), ends(0, 10));
    leader.handle_durable(at(1), ends(10, 10));
    leader.handle_fetch(at(1), ends(10, 10), fetch(2, 10));
    // 3 is not there yet: not waited for
    assert_eq!(said(&mut leader), "hw 10\n");
    leader.handle_fetch(at(2), ends(10, 10), fetch(3, 4));
    assert_eq!(said(&mut leader), "", "it lacks what is committed");
    leader.handle_fetch(at(3), ends(10, 10), fetch(3, 10));
    assert_eq!(said(&mut leader), "alter 0 1@101 2@102 3@103\n");
    leader.handle_append(at(4), ends(10, 20));
    leader.handle_durable(at(4), ends(20, 20));
    leader.handle_fetch(at(4), ends(20, 20), fetch(2, 20));
    assert_eq!(said(&mut leader), "", "3 may be a member already");
    leader.handle_refused(at(5), PartitionEpoch(0), AlterRefusal::Stale);
    leader.handle_fetch(at(5), ends(20, 20), fetch(2, 20));
    assert_eq!(said(&mut leader), "");
    leader.handle_state(at(6), ends(20, 20), state(1, &[1, 2, 3]));
    leader.handle_fetch(at(7), ends(20, 20), fetch(3, 20));
    assert_eq!(said(&mut leader), "hw 20\n");
}

/// Breaks in production: with the ISR below min.insync.replicas consumers read, and acks=1 producers believe, what the one
/// replica that is left may lose (KIP-966).
#[test]
fn nothing_is_committed_while_too_few_are_in_sync() {
    let mut leader = leader(&[1]);
    let under = PartitionState {
        min_insync: 2,
        ..state(1, &[1])
    };
    leader.handle_state(at(0), ends(0, 0), under);
    leader.handle_append(at(1), ends(0, 10));
    leader.handle_durable(at(1), ends(10, 10));
    assert_eq!(said(&mut leader), "");
    leader.handle_fetch(at(2), ends(10, 10), fetch(2, 10));
    assert_eq!(said(&mut leader), "alter 1 1@101 2@102\n");
    let back = PartitionState {
        min_insync: 2,
        ..state(2, &[1, 2])
    };
    leader.handle_state(at(3), ends(10, 10), back);
    assert_eq!(said(&mut leader), "hw 10\n");
}

/// Breaks in production: a broker that hangs stops every acks=all producer for ever; or one that is merely slow to fetch
/// while nothing is written is thrown out, and the controller rewrites ISRs all night.
#[test]
fn who_does_not_keep_up_is_asked_out_and_who_is_at_the_end_is_not() {
    let mut leader = leader(&[1, 2, 3]);
    leader.handle_fetch(at(1), ends(0, 0), fetch(2, 0));
    leader.handle_fetch(at(1), ends(0, 0), fetch(3, 0));
    leader.handle_timer(at(100_000), ends(0, 0));
    assert_eq!(said(&mut leader), "", "nothing to fetch");
    leader.handle_append(at(100_000), ends(0, 10));
    leader.handle_durable(at(100_001), ends(10, 10));
    leader.handle_fetch(at(100_001), ends(10, 10), fetch(2, 10));
    assert_eq!(leader.next_deadline(), Some(at(130_000)));
    leader.handle_timer(at(129_000), ends(10, 10));
    assert_eq!(said(&mut leader), "");
    leader.handle_timer(at(130_001), ends(10, 10));
    assert_eq!(said(&mut leader), "alter 0 1@101 2@102\n");
    leader.handle_timer(at(145_000), ends(10, 10));
    assert_eq!(
        said(&mut leader),
        "",
        "one change at a time, and 3 counts until it is out"
    );
    leader.handle_state(at(145_001), ends(10, 10), state(1, &[1, 2]));
    assert_eq!(said(&mut leader), "hw 10\n");
}

/// Breaks in production: under constant load no follower ever is at the end of the log, and all are thrown out.
#[test]
fn who_gets_all_there_was_at_its_last_fetch_keeps_up() {
    let mut leader = leader(&[1, 2]);
    let mut now = 0;
    for step in 1..100 {
        now += 1000;
        leader.handle_append(at(now), ends(step * 10, step * 10 + 5));
        leader.handle_fetch(
            at(now),
            ends(step * 10, step * 10 + 5),
            fetch(2, (step - 1) * 10 + 5),
        );
    }
    leader.handle_timer(at(now), ends(990, 995));
    assert!(!said(&mut leader).contains("alter"));
}

/// Breaks in production: a broker that was killed and has lost its unsynced tail, or another incarnation, comes back as a
/// member on the strength of what its predecessor had (KIP-903); or one that is fenced does, and goes out at once, in a loop.
#[test]
fn only_a_live_broker_in_its_own_registration_joins() {
    let mut leader = leader(&[1]);
    let older = FollowerFetch {
        broker_epoch: BrokerEpoch(7),
        ..fetch(2, 0)
    };
    assert!(!leader.knows(ReplicaId(2), BrokerEpoch(7)));
    assert!(!leader.knows(ReplicaId(9), BrokerEpoch(109)));
    leader.handle_fetch(at(1), ends(0, 0), older);
    assert_eq!(said(&mut leader), "");
    let mut fenced = state(0, &[1]);
    fenced.replicas[1].is_active = false;
    leader.handle_state(at(2), ends(0, 0), fenced);
    leader.handle_fetch(at(2), ends(0, 0), fetch(2, 0));
    assert_eq!(said(&mut leader), "");
    leader.handle_state(at(3), ends(0, 0), state(0, &[1]));
    assert_eq!(said(&mut leader), "alter 0 1@101 2@102\n");
    leader.handle_refused(at(4), PartitionEpoch(0), AlterRefusal::Ineligible);
    leader.handle_fetch(at(4), ends(0, 0), fetch(2, 0));
    assert_eq!(said(&mut leader), "", "not at once again");
    leader.handle_fetch(at(1000), ends(0, 0), fetch(2, 0));
    assert_eq!(said(&mut leader), "alter 0 1@101 2@102\n");
}

/// Breaks in production: a follower that has all below the high watermark but not the start of the leader's epoch may have other
/// records there than the leader.
#[test]
fn who_has_not_reached_the_epoch_does_not_join() {
    let mut leader = Leader::new(
        at(0),
        ReplicaId(1),
        LAG,
        state(0, &[1]),
        Offset(8),
        ends(8, 8),
        Offset(3),
    );
    assert_eq!(said(&mut leader), "hw 8\n");
    let mut other = Leader::new(
        at(0),
        ReplicaId(1),
        LAG,
        PartitionState {
            min_insync: 2,
            ..state(0, &[1])
        },
        Offset(8),
        ends(8, 8),
        Offset(3),
    );
    other.handle_fetch(at(1), ends(8, 8), fetch(2, 5));
    assert_eq!(said(&mut other), "");
    other.handle_fetch(at(1), ends(8, 8), fetch(2, 8));
    assert_eq!(said(&mut other), "alter 0 1@101 2@102\n");
}

/// Breaks in production: under constant load the leader, alone in the ISR, is always a disk write ahead, and no follower
/// ever reaches the high watermark.
#[test]
fn the_high_watermark_waits_for_who_keeps_up() {
    let mut leader = leader(&[1]);
    leader.handle_append(at(1), ends(0, 10));
    leader.handle_fetch(at(1), ends(0, 10), fetch(2, 0));
    said(&mut leader);
    leader.handle_state(at(1), ends(0, 10), state(1, &[1])); // the addition was overtaken
    said(&mut leader);
    leader.handle_append(at(2), ends(10, 20));
    leader.handle_durable(at(2), ends(20, 20));
    leader.handle_fetch(at(3), ends(20, 20), fetch(2, 10));
    assert!(leader.high_watermark() <= Offset(10));
}

/// Breaks in production: DeleteRecords is answered before the followers have deleted.
#[test]
fn the_low_watermark_is_that_of_the_live_replicas() {
    let mut leader = leader(&[1, 2, 3]);
    let log = LogEnds {
        start: Offset(5),
        ..ends(10, 10)
    };
    leader.handle_fetch(
        at(1),
        log,
        FollowerFetch {
            log_start: Offset(5),
            ..fetch(2, 10)
        },
    );
    leader.handle_fetch(
        at(1),
        log,
        FollowerFetch {
            log_start: Offset(2),
            ..fetch(3, 10)
        },
    );
    assert_eq!(leader.low_watermark(), Offset(2));
    let mut fenced = state(0, &[1, 2, 3]);
    fenced.replicas[2].is_active = false;
    leader.handle_state(at(2), log, fenced);
    assert_eq!(leader.low_watermark(), Offset(5));
}
