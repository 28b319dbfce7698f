//! What every backend must do, one member after the other and two at a time.

use std::time::Duration;

use control::image::MetadataPosition;
use control::record::{BrokerId, ControllerEpoch, Record};
use control::store::{AppendError, LeadError, LogBatch, MetaLog, ReadError};
use engine::types::Offset;

use crate::place::{Place, batches, image, lead, records, replayed, see_controller, topic};

/// Long enough for several elections of a real store on a machine that is slow and stands still now and then.
const SOON: Duration = Duration::from_secs(120);

async fn soon<F: Future>(future: F) -> F::Output {
    reactor::timeout(SOON, future).await.expect("in time")
}

/// Everything that one member alone can ask.
pub async fn one_member(place: &Place) {
    appends_are_read_in_order(place).await;
    a_start_finds_what_was_there(place).await;
    what_does_not_fit_is_refused(place).await;
    a_snapshot_stands_for_what_is_behind_it(place).await;
}

/// Everything that takes two.
pub async fn two_members(place: &Place) {
    assert!(place.members_max >= 2);
    a_member_sees_what_another_appends(place).await;
    a_deposed_controller_writes_nothing(place).await;
    one_of_many_leads(place).await;
    a_controller_that_resigns_makes_room(place).await;
}

async fn appends_are_read_in_order(place: &Place) {
    // The image of every broker is what it reads; an order of its own would be a cluster of its own.
    let log = place.open(1).await;
    assert_eq!(log.end_offset(), Offset(0));
    let epoch = soon(log.lead(None)).await.expect("leads");
    assert!(epoch >= ControllerEpoch(1));
    assert_eq!(soon(see_controller(&log, 1)).await.epoch, epoch);
    let mut expected = Vec::new();
    for round in 0..20u64 {
        let before = log.end_offset();
        let waiting = {
            let log = log.clone();
            reactor::spawn(async move { log.wait_past(before).await })
        };
        let batch: Vec<Record> = (0..=round % 3).map(|number| topic(round * 10 + number)).collect();
        let appended = soon(log.append(epoch, &batch)).await.expect("appends");
        assert_eq!(appended.base_offset, before);
        assert_eq!(appended.last_offset, Offset(before.0 + batch.len() as i64 - 1));
        assert_eq!(log.end_offset(), appended.last_offset.next());
        assert!(soon(waiting).await.expect("no fault") > before);
        expected.extend(batch);
    }
    assert_eq!(records(&log).await, expected);
    let all = batches(&log).await;
    let mut next = Offset(0);
    for batch in &all {
        assert_eq!(batch.base_offset, next);
        assert_eq!(batch.epoch, epoch);
        next = batch.last_offset.next();
    }
    assert_eq!(next, log.end_offset());
    for from in 0..next.0 {
        let found: Vec<LogBatch> = log.read(Offset(from), 1).await.expect("reads");
        assert_eq!(found.len(), 1, "from {from}");
        assert!((found[0].base_offset.0..=found[0].last_offset.0).contains(&from));
    }
    assert!(log.read(next, 1).await.expect("reads").is_empty());
    assert!(matches!(
        log.read(next.next(), 1).await,
        Err(ReadError::PastEnd { .. })
    ));
}

async fn a_start_finds_what_was_there(place: &Place) {
    // A restart that forgot an answered append would lose topics; one that took the old epoch would let a ghost of itself write.
    let log = place.open(1).await;
    let before = records(&log).await;
    assert!(!before.is_empty());
    let first = lead(&log).await;
    soon(log.append(first, &[topic(500)])).await.expect("appends");
    drop(log);
    let log = place.open(1).await;
    let mut expected = before;
    expected.push(topic(500));
    assert_eq!(records(&log).await, expected);
    let second = lead(&log).await;
    assert!(second > first);
    let late = soon(log.append(first, &[topic(501)])).await;
    assert!(
        matches!(late, Err(AppendError::Fenced { own, .. }) if own == first),
        "{late:?}"
    );
    assert_eq!(records(&log).await, expected);
}

async fn what_does_not_fit_is_refused(place: &Place) {
    // Refused for certain: the controller goes on with the next decision.
    let log = place.open(1).await;
    let epoch = lead(&log).await;
    let end = log.end_offset();
    assert_eq!(soon(log.append(epoch, &[])).await, Err(AppendError::Empty));
    let large: Vec<Record> = (0..40_000).map(topic).collect();
    let refused = soon(log.append(epoch, &large)).await;
    assert!(
        matches!(refused, Err(AppendError::TooLarge { .. })),
        "{refused:?}"
    );
    let never = ControllerEpoch(epoch.0 + 7);
    assert!(matches!(
        soon(log.append(never, &[topic(1)])).await,
        Err(AppendError::Fenced { .. })
    ));
    assert_eq!(log.end_offset(), end);
    // nearly as much as fits
    let mut most: Vec<Record> = (0..12_000).map(|number| topic(1_000_000 + number)).collect();
    let appended = soon(log.append(epoch, &most)).await.expect("appends");
    let found = log.read(appended.base_offset, 1).await.expect("reads");
    assert_eq!(found[0].records, most);
    most.truncate(1);
    assert_eq!(found[0].records[..1], most);
}

async fn a_snapshot_stands_for_what_is_behind_it(place: &Place) {
    // A start would otherwise replay everything since the cluster was made.
    let log = place.open(1).await;
    let epoch = lead(&log).await;
    for round in 0..3u64 {
        let appended = soon(log.append(epoch, &[topic(2000 + round)]))
            .await
            .expect("appends");
        let position = MetadataPosition {
            offset: appended.last_offset,
            epoch,
        };
        let mut all: Vec<Record> = (0..=round).map(|number| topic(2000 + number)).collect();
        // larger than a chunk of any store
        all.extend((0..40_000).map(|number| topic(10_000 + number)));
        let image = image(&all, position);
        let id = soon(log.write_snapshot(image.clone())).await.expect("snapshot");
        assert_eq!((id.end_offset, id.epoch), (appended.last_offset.next(), epoch));
        let snapshot = soon(log.snapshot()).await.expect("reads").expect("is there");
        assert_eq!(snapshot.id, id);
        assert_eq!(snapshot.records, image.to_records());
        assert_eq!(log.bytes_since_snapshot(), 0);
        soon(log.append(epoch, &[topic(3000 + round)]))
            .await
            .expect("appends");
        assert!(log.bytes_since_snapshot() > 0);
    }
    let start = log.start_offset();
    assert!(start > Offset(0));
    let behind = log.read(Offset(0), 1).await;
    assert!(
        matches!(behind, Err(ReadError::BehindLog { log_start, .. }) if log_start == start),
        "{behind:?}"
    );
    let before = replayed(&log).await;
    drop(log);
    let log = place.open(1).await;
    assert_eq!(replayed(&log).await, before);
    assert_eq!(before.last(), Some(&topic(3002)));
    let past = MetadataPosition {
        offset: log.end_offset(),
        epoch,
    };
    assert!(log.write_snapshot(image(&[], past)).await.is_err());
}

async fn a_member_sees_what_another_appends(place: &Place) {
    // A broker that misses a change would serve old metadata until the next one.
    let (leader, follower) = (place.open(1).await, place.open(2).await);
    let epoch = soon(place.lead(&leader, 1)).await;
    let seen = soon(see_controller(&follower, 1)).await;
    assert_eq!(seen.epoch, epoch);
    assert_eq!(seen.endpoint.port, 9001);
    let mut next = follower.end_offset();
    for number in 0..30 {
        let appended = soon(leader.append(epoch, &[topic(number), topic(number + 1)]))
            .await
            .expect("appends");
        while next <= appended.last_offset {
            let end = soon(follower.wait_past(next)).await.expect("no fault");
            let found = follower.read(next, usize::MAX).await.expect("reads");
            next = found.last().expect("more").last_offset.next();
            assert!(next <= end.max(follower.end_offset()));
        }
    }
    assert_eq!(batches(&follower).await, batches(&leader).await);
}

async fn a_deposed_controller_writes_nothing(place: &Place) {
    // Two controllers that both write would make two clusters of one.
    let (old, new) = (place.open(1).await, place.open(2).await);
    let first = soon(place.lead(&old, 1)).await;
    soon(old.append(first, &[topic(1)])).await.expect("appends");
    // not on a whim
    soon(see_controller(&new, 1)).await;
    match soon(new.lead(None)).await {
        Err(LeadError::Taken(leadership)) => assert_eq!(leadership.epoch, first),
        other => panic!("{other:?}"),
    }
    let stale = ControllerEpoch(first.0 - 1);
    assert!(matches!(
        soon(new.lead(Some(stale))).await,
        Err(LeadError::Taken(_))
    ));
    let second = if place.is_elected() {
        soon(place.lead(&new, 2)).await
    } else {
        soon(new.lead(Some(first))).await.expect("takes over")
    };
    assert!(second > first);
    let end = new.end_offset();
    let late = soon(old.append(first, &[topic(2)])).await;
    match late {
        // one that was silent for long has resigned, and may not have heard yet who came after it
        Err(AppendError::Fenced { own, current }) if place.is_elected() => {
            assert!(own == first && (first..=second).contains(&current));
        }
        Err(AppendError::Fenced { own, current }) => assert_eq!((own, current), (first, second)),
        other => panic!("{other:?}"),
    }
    assert_eq!(new.end_offset(), end);
    soon(new.append(second, &[topic(3)])).await.expect("appends");
    assert_eq!(soon(see_controller(&old, 2)).await.epoch, second);
    soon(old.wait_past(end)).await.expect("no fault");
    assert_eq!(batches(&old).await, batches(&new).await);
    assert_eq!(records(&new).await.last(), Some(&topic(3)));
}

async fn one_of_many_leads(place: &Place) {
    // All standbys suspect a dead controller at the same moment.
    let mut logs = Vec::new();
    for id in 1..=place.members_max.min(5) {
        logs.push(place.open(id as i32).await);
    }
    for round in 0..5u64 {
        let predecessor = loop {
            // as they all know it
            let known: Vec<_> = logs
                .iter()
                .map(|log| log.controller().map(|found| found.epoch))
                .collect();
            match known.iter().all(|epoch| *epoch == known[0]) {
                true => break known[0],
                false => reactor::sleep(Duration::from_millis(5)).await,
            }
        };
        let mut standbys: Vec<MetaLog> = logs.clone();
        if place.is_elected()
            && let Some(dead) = logs[0].controller().map(|known| known.controller.0)
        {
            standbys.remove(dead as usize - 1);
            place.silence(Some(dead));
            // what it said before is heard
            reactor::sleep(Duration::from_millis(5)).await;
        }
        let attempts: Vec<_> = standbys
            .iter()
            .map(|log| {
                let log = log.clone();
                reactor::spawn(async move { log.lead(predecessor).await })
            })
            .collect();
        let mut winners = Vec::new();
        for (log, attempt) in standbys.iter().zip(attempts) {
            match soon(attempt).await {
                Ok(epoch) => winners.push((log, epoch)),
                Err(LeadError::Taken(_) | LeadError::Unavailable(_)) => {}
                Err(LeadError::Append(error)) => panic!("{error}"),
            }
        }
        place.silence(None);
        // Who is the controller already may begin another epoch after somebody's; of the others one has won.
        let (log, epoch) = winners
            .iter()
            .max_by_key(|(_, epoch)| *epoch)
            .expect("somebody leads");
        let appended = soon(log.append(*epoch, &[topic(round)])).await.expect("appends");
        for (other, lost) in winners.iter().filter(|(_, other)| other != epoch) {
            let refused = soon(other.append(*lost, &[topic(999)])).await;
            assert!(matches!(refused, Err(AppendError::Fenced { .. })), "{refused:?}");
        }
        for log in &logs {
            soon(log.wait_past(appended.last_offset)).await.expect("no fault");
        }
    }
    assert!(!records(&logs[0]).await.contains(&topic(999)));
}

async fn a_controller_that_resigns_makes_room(place: &Place) {
    // A controlled shutdown shall not cost the time in which a controller is found dead.
    let (leaving, other) = (place.open(1).await, place.open(2).await);
    let epoch = soon(place.lead(&leaving, 1)).await;
    soon(see_controller(&other, 1)).await;
    soon(leaving.resign(epoch)).await;
    assert!(matches!(
        soon(leaving.append(epoch, &[topic(9)])).await,
        Err(AppendError::Fenced { .. })
    ));
    while other
        .controller()
        .is_some_and(|found| found.controller == BrokerId(1))
    {
        let seen = other.controller();
        soon(other.controller_changed(seen.as_ref())).await;
    }
    let next = soon(place.lead(&other, 2)).await;
    assert!(next > epoch);
    soon(other.append(next, &[topic(10)])).await.expect("appends");
}
