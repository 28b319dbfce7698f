//! Transactional producers and their coordinator: some transactions open at once, in whatever logs, ended by markers or not at all.

use std::rc::Rc;

use engine::batch::{BatchBuilder, Origin, validate};
use engine::log::{AppendContext, AppendError, Log, ProducerError};
use engine::types::{Offset, ProducerId};

use crate::boot::Boot;
use crate::isolation::READ_COMMITTED;
use crate::model::Sender;
use crate::workload::{Promise, any_log, append, commit, now, pause, retry, send, take_step};

const PRODUCERS: [ProducerId; 3] = [ProducerId(10), ProducerId(11), ProducerId(12)];

pub async fn steps(boot: Rc<Boot>) {
    let mut committing = Vec::new();
    while take_step(&boot) {
        if let Some((number, log)) = any_log(&boot)
            && boot.world.logs[number].borrow().has_transactions
        {
            for promise in step(&boot, number, &log) {
                let waiting = commit(boot.clone(), number, log.clone(), promise);
                committing.push(reactor::spawn(waiting));
            }
        }
        while committing.len() > 4 {
            let _ = committing.remove(0).outcome().await;
        }
        pause(&boot).await;
    }
    for task in committing {
        let _ = task.outcome().await;
    }
}

/// Some batches and markers, or all that is open is ended.
fn step(boot: &Boot, number: usize, log: &Log) -> Vec<Promise> {
    let world = &boot.world;
    let mut promises = Vec::new();
    if world.one_in(8) {
        let open: Vec<ProducerId> = world.logs[number]
            .borrow()
            .transactions
            .open
            .keys()
            .copied()
            .collect();
        promises.extend(open.into_iter().filter_map(|id| end(boot, number, log, id)));
        return promises;
    }
    for _ in 0..world.chance(|chance| chance.pick(&[1, 1, 2, 6])) {
        let (id, choice) = world.chance(|chance| (chance.pick(&PRODUCERS), chance.below(24)));
        let is_open = world.logs[number].borrow().transactions.open.contains_key(&id);
        promises.extend(match choice {
            0 => retry(boot, number, log, id),
            1 if is_open => write_outside(boot, number, log, id),
            // without a transaction it marks nothing
            2 => end(boot, number, log, id),
            3..=12 if is_open => end(boot, number, log, id),
            _ => append(boot, number, log, Sender::Transactional(id)),
        });
    }
    promises
}

fn end(boot: &Boot, number: usize, log: &Log, id: ProducerId) -> Option<Promise> {
    send(boot, number, log, |model, chance| model.marker(id, now(), chance))
}

/// A batch without a transaction, of a producer that has one open: nobody could tell whether its records count.
fn write_outside(boot: &Boot, number: usize, log: &Log, id: ProducerId) -> Option<Promise> {
    let world = &boot.world;
    let model = world.logs[number].borrow();
    let last = model.producers.get(&id)?;
    if model.is_frozen || model.rotted {
        return None;
    }
    let mut builder = BatchBuilder::new(Offset(0)).producer(id, last.epoch, last.last.advance(1));
    builder.append(now(), Some(b"key-0"), Some(b"outside"));
    let sent = builder.build().expect("a batch");
    let info = validate(&sent, &Default::default()).expect("valid");
    let context = AppendContext {
        leader_epoch: model.epoch,
        origin: Origin::Client,
        now: now(),
    };
    match log.append(sent, &info, &context) {
        Err(AppendError::Producer {
            source: ProducerError::TransactionOpen { .. },
            ..
        }) => {}
        Err(AppendError::Offline(fault)) => boot.check_fault(&fault.to_string()),
        other => world.violate(READ_COMMITTED, || {
            format!(
                "{}: producer {id} wrote outside its transaction: {other:?}",
                log.partition()
            )
        }),
    }
    None
}
