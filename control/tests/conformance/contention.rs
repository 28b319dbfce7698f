//! Members that depose each other all the time: what was answered must be true.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use control::image::MetadataPosition;
use control::record::{ControllerEpoch, Record};
use control::store::{AppendError, LeadError, LogBatch, MetaLog};
use engine::types::Offset;

use crate::place::{Place, batches, image, topic};

/// The number of the judge's record.
const JUDGES: u64 = 0;

/// In how many epochs they lead at least: with fewer, nobody was deposed in the middle.
const EPOCHS_MIN: usize = 3;

/// What the members were told.
#[derive(Default)]
struct Told {
    /// By number of the record: where it lies, and in which epoch.
    appended: BTreeMap<u64, (Offset, ControllerEpoch)>,
    refused: Vec<u64>,
    /// By epoch: the member who was told that it leads. Where members elect, one may be told twice.
    epochs: BTreeMap<ControllerEpoch, usize>,
    next: u64,
}

impl Told {
    /// Whether the judge has something to judge.
    fn is_enough(&self, rounds: usize) -> bool {
        self.epochs.len() >= EPOCHS_MIN && self.appended.len() >= rounds / 3
    }
}

/// `rounds` or more of leading and appending by each of `members`; then everything that was answered is compared with the log. It ends when
/// enough was appended.
pub async fn duel(place: &Place, members: i32, rounds: usize, with_snapshots: bool) {
    let told = Rc::new(RefCell::new(Told::default()));
    let mut logs = Vec::new();
    for id in 1..=members {
        logs.push(place.open(id).await);
    }
    let tasks: Vec<_> = logs
        .iter()
        .enumerate()
        .map(|(member, log)| {
            let fighter = Fighter {
                log: log.clone(),
                member,
                is_elected: place.is_elected(),
                told: Rc::clone(&told),
            };
            reactor::spawn(fighter.fight(rounds, with_snapshots))
        })
        .collect();
    while place.is_elected() && !tasks.iter().all(reactor::Task::is_finished) {
        depose_somebody(place, &logs[0]).await;
    }
    for task in tasks {
        task.await;
    }
    let (judge, id) = if place.is_elected() {
        (logs[0].clone(), 1)
    } else {
        (place.open(members + 1).await, members + 1)
    };
    // its own epoch: nothing of those before comes after this
    let mut epoch = place.lead(&judge, id).await;
    // One that was not heard for a while may believe that it still leads: what it appends tells.
    while place.is_elected() && judge.append(epoch, &[topic(JUDGES)]).await.is_err() {
        epoch = place.lead(&judge, id).await;
    }
    let told = told.take();
    let all = batches(&judge).await;
    if place.is_elected() {
        each_has_the_same(&logs, &all).await;
    }
    let start = judge.start_offset();
    let mut next = all.first().map_or(start, |first| first.base_offset);
    let mut last_epoch = ControllerEpoch(0);
    let mut found: BTreeMap<u64, (Offset, ControllerEpoch)> = BTreeMap::new();
    for batch in &all {
        assert_eq!(batch.base_offset, next, "a gap");
        assert!(batch.epoch >= last_epoch, "an epoch came back");
        (next, last_epoch) = (batch.last_offset.next(), batch.epoch);
        let records = batch.records.iter().enumerate();
        for (index, record) in records.filter(|(_, record)| number(record) != JUDGES) {
            let offset = Offset(batch.base_offset.0 + index as i64);
            let twice = found.insert(number(record), (offset, batch.epoch));
            assert_eq!(twice, None, "appended twice");
        }
    }
    for (number, place) in &told.appended {
        if place.0 >= start {
            assert_eq!(
                found.get(number),
                Some(place),
                "record {number} was acknowledged; the log begins at {start}, with {:?}, and ends at {next}",
                all.first()
            );
        }
    }
    for number in &told.refused {
        assert_eq!(found.get(number), None, "record {number} was refused");
    }
}

/// Nobody hears the controller for a while: shorter than is noticed, or longer.
async fn depose_somebody(place: &Place, log: &MetaLog) {
    let ms = |below: u64| Duration::from_millis(reactor::random_u64() % below);
    reactor::sleep(ms(60)).await;
    place.silence(log.controller().map(|known| known.controller.0));
    reactor::sleep(ms(300)).await;
    place.silence(None);
}

/// Each keeps a log of its own: of what two of them have, it is the same.
async fn each_has_the_same(logs: &[MetaLog], judged: &[LogBatch]) {
    let Some(last) = judged.last() else { return };
    for log in logs {
        while log.end_offset() <= last.last_offset {
            log.wait_past(log.end_offset()).await.expect("no fault");
        }
        let own = batches(log).await;
        let common = |of: &[LogBatch], start: Offset| -> Vec<LogBatch> {
            let is_common =
                |batch: &&LogBatch| batch.base_offset >= start && batch.last_offset <= last.last_offset;
            of.iter().filter(is_common).cloned().collect()
        };
        let start = own[0].base_offset.max(judged[0].base_offset);
        assert_eq!(common(&own, start), common(judged, start));
    }
}

struct Fighter {
    log: MetaLog,
    member: usize,
    is_elected: bool,
    told: Rc<RefCell<Told>>,
}

impl Fighter {
    async fn fight(self, rounds: usize, with_snapshots: bool) {
        let mut round = 0;
        // The rounds may be over before somebody who is silenced now and then was missed by the others, or before a slow disk has taken much.
        while round < rounds || !self.told.borrow().is_enough(rounds) {
            round += 1;
            let predecessor = self.log.controller().map(|leadership| leadership.epoch);
            match self.log.lead(predecessor).await {
                Ok(epoch) => {
                    let before = self.told.borrow_mut().epochs.insert(epoch, self.member);
                    let is_own = self.is_elected && before == Some(self.member);
                    assert!(before.is_none() || is_own, "an epoch had two controllers");
                    self.append_some(epoch, with_snapshots).await;
                }
                Err(LeadError::Taken(_) | LeadError::Unavailable(_)) => {
                    reactor::sleep(Duration::from_micros(reactor::random_u64() % 3000)).await;
                }
                Err(LeadError::Append(error)) => panic!("{error}"),
            }
        }
    }

    async fn append_some(&self, epoch: ControllerEpoch, with_snapshots: bool) {
        for _ in 0..reactor::random_u64() % 8 + 1 {
            let number = {
                let mut told = self.told.borrow_mut();
                told.next += 1;
                told.next
            };
            match self.log.append(epoch, &[topic(number)]).await {
                Ok(appended) => {
                    self.told
                        .borrow_mut()
                        .appended
                        .insert(number, (appended.base_offset, epoch));
                    if with_snapshots && number % 16 == 0 {
                        let position = MetadataPosition {
                            offset: appended.last_offset,
                            epoch,
                        };
                        let _ = self.log.write_snapshot(image(&[], position)).await;
                    }
                }
                Err(AppendError::Fenced { own, current }) => {
                    assert!(current >= own);
                    self.told.borrow_mut().refused.push(number);
                    return;
                }
                // The batch may be there or not. It takes a snapshot within the time of an election, as here, to know no more than that.
                Err(AppendError::Fault(_)) if self.is_elected && with_snapshots => return,
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
