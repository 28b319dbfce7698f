//! One partition at a time: what it was, what was wanted, who is alive, and what becomes of it.

use engine::types::LeaderEpoch;

use super::*;
use crate::record::PartitionEpoch;

const NOBODY: [i32; 0] = [];

fn ids(numbers: &[i32]) -> Vec<BrokerId> {
    numbers.iter().copied().map(BrokerId).collect()
}

fn partition(replicas: &[i32], isr: &[i32], leader: Option<i32>) -> PartitionImage {
    PartitionImage {
        replicas: ids(replicas),
        isr: ids(isr),
        leader: leader.map(BrokerId),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        directories: replicas.iter().map(|_| DirectoryId::UNASSIGNED).collect(),
        ..PartitionImage::default()
    }
}

fn eligible(partition: PartitionImage, eligible: &[i32], last_known: &[i32]) -> PartitionImage {
    PartitionImage {
        eligible_leader_replicas: ids(eligible),
        last_known_elr: ids(last_known),
        ..partition
    }
}

/// The next state, or `None` where nothing changes.
fn change(
    before: &PartitionImage,
    min_insync_replicas: usize,
    alive: &[i32],
    want: impl FnOnce(&mut PartitionChange<'_>),
) -> Option<PartitionImage> {
    let mut change = PartitionChange::new(Uuid::nil(), PartitionId(0), before, min_insync_replicas);
    want(&mut change);
    let record = change.build(
        &ClusterImage::empty("cluster"),
        &mut DirectoryChoice::default(),
        |broker| alive.contains(&broker.0),
    )?;
    Some(before.changed(&record))
}

/// Leader, ISR, eligible, last known.
fn shape(partition: &PartitionImage) -> (Option<i32>, Vec<i32>, Vec<i32>, Vec<i32>) {
    let numbers = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
    (
        partition.leader.map(|leader| leader.0),
        numbers(&partition.isr),
        numbers(&partition.eligible_leader_replicas),
        numbers(&partition.last_known_elr),
    )
}

fn leaves(
    before: &PartitionImage,
    min_insync_replicas: usize,
    alive: &[i32],
    leaving: &[i32],
) -> PartitionImage {
    let after = change(before, min_insync_replicas, alive, |change| {
        change.isr.retain(|member| !leaving.contains(&member.0));
    });
    after.expect("changes")
}

#[test]
fn the_next_leader_is_the_first_replica_in_sync() {
    let before = partition(&[3, 1, 2], &[1, 2, 3], Some(3));
    let after = leaves(&before, 1, &[1, 2], &[3]);
    assert_eq!(shape(&after), (Some(1), vec![1, 2], vec![], vec![]));
    assert_eq!(
        (after.leader_epoch, after.partition_epoch),
        (LeaderEpoch(6), PartitionEpoch(10))
    );
    // a follower's leaving does not depose the leader
    let after = leaves(&before, 1, &[1, 2, 3], &[1]);
    assert_eq!(shape(&after), (Some(3), vec![2, 3], vec![], vec![]));
    assert_eq!(after.leader_epoch, LeaderEpoch(5));
}

#[test]
fn nothing_changes_where_nothing_is_wanted() {
    let before = partition(&[1, 2], &[1, 2], Some(1));
    assert_eq!(change(&before, 2, &[1, 2], |_| ()), None);
    let leaderless = eligible(partition(&[1, 2], &[], None), &[1], &[1]);
    assert_eq!(change(&leaderless, 1, &[2], |_| ()), None);
}

#[test]
fn who_leaves_a_small_isr_stays_eligible() {
    // While the ISR is below min.insync.replicas nothing is acknowledged, so those that left lack nothing.
    let before = partition(&[1, 2, 3], &[1, 2, 3], Some(1));
    let two = leaves(&before, 2, &[1, 2], &[3]);
    assert_eq!(shape(&two), (Some(1), vec![1, 2], vec![], vec![]));
    let one = leaves(&two, 2, &[2], &[1]);
    assert_eq!(shape(&one), (Some(2), vec![2], vec![1], vec![]));
    let none = leaves(&one, 2, &NOBODY, &[2]);
    assert_eq!(shape(&none), (None, vec![], vec![1, 2], vec![2]));
    // 3 left when there were enough: it lacks records, and may not lead
    assert_eq!(change(&none, 2, &[3], |_| ()), None);
    let back = change(&none, 2, &[1, 3], |_| ()).expect("elected");
    assert_eq!(shape(&back), (Some(1), vec![1], vec![2], vec![]));
    assert_eq!(back.leader_recovery, LeaderRecovery::Recovered);
    let grown = change(&back, 2, &[1, 3], |change| change.isr = ids(&[1, 3])).expect("changes");
    assert_eq!(
        shape(&grown),
        (Some(1), vec![1, 3], vec![], vec![]),
        "the high watermark goes on, and 2 falls behind"
    );
}

#[test]
fn all_leave_at_once_and_the_first_to_return_leads_alone() {
    // With one replica enough, the one that leads acknowledges: the other is eligible no more.
    let before = partition(&[1, 2], &[1, 2], Some(1));
    let none = leaves(&before, 1, &NOBODY, &[1, 2]);
    assert_eq!(shape(&none), (None, vec![], vec![1, 2], vec![1]));
    let back = change(&none, 1, &[2], |_| ()).expect("elected");
    assert_eq!(shape(&back), (Some(2), vec![2], vec![], vec![]));
}

#[test]
fn an_unclean_end_makes_ineligible_and_the_last_leader_is_all_that_is_left() {
    let before = partition(&[1, 2], &[2], Some(2));
    let lost = change(&before, 1, &[1], |change| {
        change.isr.clear();
        change.unclean = Some(BrokerId(2));
    });
    let lost = lost.expect("changes");
    assert_eq!(shape(&lost), (None, vec![], vec![], vec![2]));
    assert_eq!(change(&lost, 1, &[1], |_| ()), None, "1 lacks records");
    let back = change(&lost, 1, &[1, 2], |_| ()).expect("elected");
    assert_eq!(shape(&back), (Some(2), vec![2], vec![], vec![]));
    assert_eq!(back.leader_recovery, LeaderRecovery::Recovering);
}

#[test]
fn eligible_replicas_go_before_the_last_leader() {
    let before = eligible(partition(&[1, 2, 3], &[], None), &[2], &[1]);
    assert_eq!(change(&before, 2, &[1, 3], |_| ()), None, "2 has everything");
    let after = change(&before, 2, &[1, 2], |_| ()).expect("elected");
    assert_eq!(shape(&after), (Some(2), vec![2], vec![], vec![]));
}

#[test]
fn an_unclean_election_is_held_only_where_asked_for_and_is_marked() {
    let before = eligible(partition(&[1, 2, 3], &[], None), &[1], &[1]);
    let unclean = |change: &mut PartitionChange<'_>| change.election = Election::Unclean;
    assert_eq!(change(&before, 1, &[3], |_| ()), None);
    let after = change(&before, 1, &[3], unclean).expect("elected");
    assert_eq!(shape(&after), (Some(3), vec![3], vec![], vec![]));
    assert_eq!(after.leader_recovery, LeaderRecovery::Recovering);
    // a replica that has the records is chosen before
    let after = change(&before, 1, &[1, 3], unclean).expect("elected");
    assert_eq!(shape(&after), (Some(1), vec![1], vec![], vec![]));
    assert_eq!(after.leader_recovery, LeaderRecovery::Recovered);
}

#[test]
fn an_only_replica_keeps_its_place() {
    let before = partition(&[1], &[1], Some(1));
    let after = leaves(&before, 1, &NOBODY, &[1]);
    assert_eq!(shape(&after), (None, vec![1], vec![], vec![]));
    let back = change(&after, 1, &[1], |_| ()).expect("elected");
    assert_eq!(shape(&back), (Some(1), vec![1], vec![], vec![]));
    assert_eq!(back.leader_recovery, LeaderRecovery::Recovered);
}

#[test]
fn more_required_than_there_are_replicas_is_all_of_them() {
    // min.insync.replicas=3 of a topic with two replicas must not make ELR members of replicas that fall behind.
    let before = partition(&[1, 2], &[1, 2], Some(1));
    let after = leaves(&before, 3, &[1], &[2]);
    assert_eq!(shape(&after), (Some(1), vec![1], vec![2], vec![]));
    let after = change(&after, 3, &[1, 2], |change| change.isr = ids(&[1, 2])).expect("changes");
    assert_eq!(shape(&after), (Some(1), vec![1, 2], vec![], vec![]));
}

#[test]
fn a_preferred_election_moves_the_leader_only_to_one_in_sync() {
    let preferred = |change: &mut PartitionChange<'_>| change.election = Election::Preferred;
    let before = partition(&[1, 2], &[2, 1], Some(2));
    let after = change(&before, 1, &[1, 2], preferred).expect("elected");
    assert_eq!(shape(&after), (Some(1), vec![2, 1], vec![], vec![]));
    assert_eq!(change(&before, 1, &[2], preferred), None);
    let lagging = partition(&[1, 2], &[2], Some(2));
    assert_eq!(change(&lagging, 1, &[1, 2], preferred), None);
}

#[test]
fn a_reassignment_ends_when_its_target_is_in_sync() {
    let before = PartitionImage {
        adding_replicas: ids(&[3, 4]),
        removing_replicas: ids(&[1, 2]),
        ..partition(&[3, 4, 1, 2], &[1, 2, 3], Some(1))
    };
    let not_yet = change(&before, 1, &[1, 2, 3, 4], |change| {
        change.isr = ids(&[1, 2, 3, 4])
    });
    let done = not_yet.expect("changes");
    assert_eq!(shape(&done), (Some(3), vec![3, 4], vec![], vec![]));
    assert_eq!(done.replicas, ids(&[3, 4]));
    assert_eq!(done.directories.len(), 2);
    assert!(done.adding_replicas.is_empty() && done.removing_replicas.is_empty());
    // one of them lags: both sets stay
    let after = change(&before, 1, &[1, 2, 3, 4], |change| change.isr = ids(&[1, 3])).expect("changes");
    assert_eq!(after.replicas, before.replicas);
    assert_eq!(after.leader, Some(BrokerId(1)));
}

#[test]
fn a_replica_taken_away_costs_a_leader_epoch() {
    // Its fetches in flight must be refused, or its acknowledgement would count.
    let before = PartitionImage {
        removing_replicas: ids(&[2]),
        ..partition(&[1, 2], &[1, 2], Some(1))
    };
    let after = change(&before, 1, &[1, 2], |_| ()).expect("changes");
    assert_eq!(shape(&after), (Some(1), vec![1], vec![], vec![]));
    assert_eq!((after.replicas, after.leader_epoch), (ids(&[1]), LeaderEpoch(6)));
}
