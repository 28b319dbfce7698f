//! Members that depose each other all the time: what was answered must be true.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use control::image::MetadataPosition;
use control::record::{ControllerEpoch, Record};
use control::store::{AppendError, LeadError, MetaLog};
use engine::types::Offset;

use crate::place::{Place, batches, image, lead, topic};

/// What the members were told.
#[derive(Default)]
struct Told {
    /// By number of the record: where it lies, and in which epoch.
    appended: BTreeMap<u64, (Offset, ControllerEpoch)>,
    refused: Vec<u64>,
    epochs: Vec<ControllerEpoch>,
    next: u64,
}

/// `rounds` of leading and appending by each of `members`; then everything that was answered is compared with the log.
pub async fn duel(place: &Place, members: i32, rounds: usize, with_snapshots: bool) {
    let told = Rc::new(RefCell::new(Told::default()));
    let mut logs = Vec::new();
    for id in 1..=members {
        logs.push(place.open(id).await);
    }
    let tasks: Vec<_> = logs
        .iter()
        .map(|log| reactor::spawn(fight(log.clone(), Rc::clone(&told), rounds, with_snapshots)))
        .collect();
    for task in tasks {
        task.await;
    }
    let judge = place.open(members + 1).await;
    // its own epoch: nothing of those before comes after this
    lead(&judge).await;
    let told = told.borrow();
    let mut epochs = told.epochs.clone();
    epochs.sort();
    epochs.dedup();
    assert_eq!(epochs.len(), told.epochs.len(), "an epoch had two controllers");
    let all = batches(&judge).await;
    let start = judge.start_offset();
    let mut next = all.first().map_or(start, |first| first.base_offset);
    let mut last_epoch = ControllerEpoch(0);
    let mut found: BTreeMap<u64, (Offset, ControllerEpoch)> = BTreeMap::new();
    for batch in &all {
        assert_eq!(batch.base_offset, next, "a gap");
        assert!(batch.epoch >= last_epoch, "an epoch came back");
        (next, last_epoch) = (batch.last_offset.next(), batch.epoch);
        for (index, record) in batch.records.iter().enumerate() {
            let offset = Offset(batch.base_offset.0 + index as i64);
            let twice = found.insert(number(record), (offset, batch.epoch));
            assert_eq!(twice, None, "appended twice");
        }
    }
    for (number, place) in &told.appended {
        if place.0 >= start {
            assert_eq!(found.get(number), Some(place), "record {number} was acknowledged");
        }
    }
    for number in &told.refused {
        assert_eq!(found.get(number), None, "record {number} was refused");
    }
    assert!(
        told.appended.len() >= rounds / 3,
        "only {} appends came in",
        told.appended.len()
    );
}

async fn fight(log: MetaLog, told: Rc<RefCell<Told>>, rounds: usize, with_snapshots: bool) {
    for _ in 0..rounds {
        let predecessor = log.controller().map(|leadership| leadership.epoch);
        let epoch = match log.lead(predecessor).await {
            Ok(epoch) => epoch,
            Err(LeadError::Taken(_) | LeadError::Unavailable(_)) => {
                reactor::sleep(Duration::from_micros(reactor::random_u64() % 3000)).await;
                continue;
            }
            Err(LeadError::Append(error)) => panic!("{error}"),
        };
        told.borrow_mut().epochs.push(epoch);
        for _ in 0..reactor::random_u64() % 8 + 1 {
            let number = {
                let mut told = told.borrow_mut();
                told.next += 1;
                told.next
            };
            match log.append(epoch, &[topic(number)]).await {
                Ok(appended) => {
                    told.borrow_mut()
                        .appended
                        .insert(number, (appended.base_offset, epoch));
                    if with_snapshots && number % 16 == 0 {
                        let position = MetadataPosition {
                            offset: appended.last_offset,
                            epoch,
                        };
                        let _ = log.write_snapshot(image(&[], position)).await;
                    }
                }
                Err(AppendError::Fenced { own, current }) => {
                    assert!(current >= own);
                    told.borrow_mut().refused.push(number);
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn number(record: &Record) -> u64 {
    let Record::Topic(topic) = record else {
        panic!("{record:?}")
    };
    topic
        .name
        .strip_prefix("topic-")
        .and_then(|digits| digits.parse().ok())
        .expect("ours")
}
