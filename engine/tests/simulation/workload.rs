//! What a process does with its logs: producers, readers, upkeep, all at once.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use engine::batch::{Batch, Batches, ControlRecordType, Origin, validate};
use engine::log::{
    Absent, AppendContext, AppendError, Durability, Log, ProducerError, Reach, ReadError, ReadSlice,
};
use engine::types::{Offset, ProducerId, Sequence, Timestamp};
use reactor::sim::Chance;

use crate::boot::Boot;
use crate::invariants::{
    ACKED_SURVIVES, FAILED_SYNC, LIVENESS, NOTHING_HALF, ONLY_GROWS, SEQUENCES, TYPED_ERRORS, bytes_of,
    is_rightful,
};
use crate::isolation;
use crate::model::{Draft, Entry, LogModel, Sender, Sequenced};
use crate::transactional;
use crate::transactions::Role;

const PRODUCERS: i64 = 3;

/// Works until all steps are done.
pub async fn run(boot: &Rc<Boot>) {
    let mut tasks = Vec::new();
    for id in 0..PRODUCERS {
        tasks.push(reactor::spawn(produce_steps(boot.clone(), ProducerId(id))));
    }
    tasks.push(reactor::spawn(transactional::steps(boot.clone())));
    tasks.push(reactor::spawn(read_steps(boot.clone())));
    tasks.push(reactor::spawn(upkeep_steps(boot.clone())));
    for task in tasks {
        // a panic is found by what the machine noted of it
        let _ = task.outcome().await;
    }
}

pub fn take_step(boot: &Boot) -> bool {
    let left = boot.steps_left.get();
    if left == 0 || boot.world.is_violated() {
        boot.world.disk.set_limit(None); // whoever waits for room gets it
        return false;
    }
    boot.steps_left.set(left - 1);
    true
}

pub async fn pause(boot: &Boot) {
    let micros = boot.world.chance(|chance| match chance.below(10) {
        0 => chance.below(50_000),
        1..=3 => chance.below(1_000),
        _ => 0,
    });
    if micros > 0 {
        reactor::sleep(Duration::from_micros(micros)).await;
    } else {
        reactor::yield_now().await;
    }
}

/// One of the logs that are open.
pub fn any_log(boot: &Boot) -> Option<(usize, Log)> {
    let number = boot.world.chance(|chance| chance.index(boot.logs.len()));
    let log = boot.logs.get(number)?.clone()?;
    Some((number, log))
}

async fn produce_steps(boot: Rc<Boot>, id: ProducerId) {
    let mut committing = Vec::new();
    while take_step(&boot) {
        if let Some((number, log)) = any_log(&boot) {
            let has_producer = !boot.world.one_in(5);
            let is_retry = boot.world.one_in(10);
            let up_to = if is_retry {
                retry(&boot, number, &log, id)
            } else {
                let sender = if has_producer {
                    Sender::Idempotent(id)
                } else {
                    Sender::Unknown
                };
                append(&boot, number, &log, sender)
            };
            if let Some(up_to) = up_to {
                let waiting = commit(boot.clone(), number, log, up_to);
                if boot.world.one_in(3) {
                    waiting.await;
                } else {
                    committing.push(reactor::spawn(waiting));
                }
            }
        }
        // bursts: several writes of the journal at a time, and rings that fill up
        if boot.world.one_in(8)
            && let Some((number, log)) = any_log(&boot)
        {
            for _ in 0..8 {
                if let Some(promise) = append(&boot, number, &log, Sender::Idempotent(id)) {
                    committing.push(reactor::spawn(commit(boot.clone(), number, log.clone(), promise)));
                }
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

pub fn now() -> Timestamp {
    Timestamp(reactor::wall_ms())
}

/// What a producer waits for.
#[derive(Clone, Copy)]
pub struct Promise {
    /// What the log says is to be committed.
    commit: Offset,
    /// What the producer then believes durable.
    promised: Offset,
    /// How often the log had been cut.
    cuts: u32,
}

/// Appends a new batch of records; what to commit, if it was taken.
pub fn append(boot: &Boot, number: usize, log: &Log, sender: Sender) -> Option<Promise> {
    send(boot, number, log, |model, chance| {
        model.draft(sender, now(), chance)
    })
}

/// The same of any batch.
pub fn send(
    boot: &Boot,
    number: usize,
    log: &Log,
    draft: impl FnOnce(&LogModel, &mut Chance) -> Draft,
) -> Option<Promise> {
    let world = &boot.world;
    let mut model = world.logs[number].borrow_mut();
    if model.is_frozen {
        return None;
    }
    let name = model.partition.clone();
    let draft = world.chance(|chance| draft(&model, chance));
    let context = AppendContext {
        leader_epoch: model.epoch,
        origin: match draft.role {
            Role::Plain | Role::Transactional => Origin::Client,
            Role::Marker(_) => Origin::Coordinator,
        },
        now: now(),
    };
    let base = log.end_offset();
    let was_offline = log.fault().is_some();
    world.require(base == model.end(), ONLY_GROWS, || {
        format!("{name}: the log ends at {base}, the model at {}", model.end())
    });
    let entry = Entry {
        base,
        last: base.saturating_add(draft.info.last_offset_delta.into()),
        epoch: model.epoch,
        stored: draft.stored_at(base, model.epoch, model.append_time(now())),
        sent: Bytes::copy_from_slice(&draft.sent),
        producer: draft.producer,
        role: draft.role,
        time: now(),
    };
    let appended = log.append(draft.sent, &draft.info, &context);
    match appended {
        Ok(appended) => {
            world.count(|figures| figures.appends += 1);
            world
                .disk
                .note(&format!("{name} append {base} to {}{}", entry.last, told(&entry)));
            let is_right =
                appended.base_offset == base && appended.last_offset == entry.last && !appended.duplicate;
            world.require(is_right, ONLY_GROWS, || {
                format!(
                    "{name}: appended at {appended:?}, expected {base}; {:?}, last known {:?}",
                    entry.producer,
                    entry
                        .producer
                        .and_then(|producer| model.producers.get(&producer.id))
                )
            });
            world.require(!was_offline, FAILED_SYNC, || {
                format!("{name}: an append at {base} was taken after the log had failed")
            });
            world.count(|figures| match entry.role {
                Role::Plain => {}
                Role::Transactional => figures.transactional += 1,
                Role::Marker(ControlRecordType::Abort) => figures.aborts += 1,
                Role::Marker(_) => figures.commits += 1,
            });
            model.push(entry);
            isolation::check_stable(world, &model, log);
            Some(Promise {
                commit: appended.commit_offset(),
                promised: appended.last_offset.next(),
                cuts: model.cuts,
            })
        }
        Err(AppendError::DiskFull { .. }) => {
            world.count(|figures| figures.refused_full += 1);
            world.require(world.may_be_full.get(), TYPED_ERRORS, || {
                format!("{name}: there is room, and the disk is said to be full")
            });
            model.ghosts.push(entry);
            None
        }
        Err(AppendError::Offline(fault)) => {
            if !was_offline {
                world.count(|figures| figures.offline += 1);
            }
            boot.check_fault(&fault.to_string());
            model.ghosts.push(entry);
            None
        }
        Err(AppendError::Producer { source, .. }) => {
            world.violate(SEQUENCES, || {
                format!(
                    "{name} at {base}: {source}; last known {:?}",
                    entry
                        .producer
                        .and_then(|producer| model.producers.get(&producer.id))
                )
            });
            None
        }
        Err(error) => {
            world.violate(TYPED_ERRORS, || error.to_string());
            None
        }
    }
}

/// What the trace says of a batch beside its offsets.
fn told(entry: &Entry) -> String {
    match (entry.role, entry.producer) {
        (Role::Plain, _) | (_, None) => String::new(),
        (role, Some(producer)) => format!(", {role:?} of {} epoch {}", producer.id, producer.epoch),
    }
}

/// Sends the producer's last batch once more, or one that leaves a gap.
pub fn retry(boot: &Boot, number: usize, log: &Log, id: ProducerId) -> Option<Promise> {
    let world = &boot.world;
    let model = world.logs[number].borrow();
    let name = model.partition.clone();
    if model.is_frozen {
        return None;
    }
    let last = model.last_of(id)?.clone();
    let known = |producer: &Sequenced| (producer.epoch, producer.last);
    if model.producers.get(&id).map(known) != last.producer.as_ref().map(known) {
        return None; // written before the log start, or in an earlier epoch
    }
    if last.base < log.start_offset() || model.rotted {
        return None; // its state may have gone with its records
    }
    let context = AppendContext {
        leader_epoch: model.epoch,
        origin: Origin::Client,
        now: now(),
    };
    if world.one_in(2) {
        return refuse_gap(boot, log, &last, &context);
    }
    let info = validate(&last.sent, &Default::default()).expect("it was valid");
    match log.append((&last.sent[..]).into(), &info, &context) {
        Ok(appended) => {
            world.count(|figures| figures.duplicates += 1);
            let is_right =
                appended.duplicate && appended.base_offset == last.base && appended.last_offset == last.last;
            world.require(is_right, SEQUENCES, || {
                format!("{name}: the batch at {} again: {appended:?}", last.base)
            });
            is_right.then(|| Promise {
                commit: appended.commit_offset(),
                promised: last.next(),
                cuts: model.cuts,
            })
        }
        Err(AppendError::Offline(fault)) => {
            boot.check_fault(&fault.to_string());
            None
        }
        Err(error) => {
            world.violate(SEQUENCES, || {
                format!("{name}: the batch at {} again: {error}", last.base)
            });
            None
        }
    }
}

fn refuse_gap(boot: &Boot, log: &Log, last: &Entry, context: &AppendContext) -> Option<Promise> {
    let world = &boot.world;
    let producer = last.producer?;
    let mut builder = engine::batch::BatchBuilder::new(Offset(0)).producer(
        producer.id,
        producer.epoch,
        producer.last.advance(7),
    );
    builder.append(now(), Some(b"key-0"), Some(b"gap"));
    let sent = builder.build().expect("a batch");
    let info = validate(&sent, &Default::default()).expect("valid");
    match log.append(sent, &info, context) {
        Err(AppendError::Producer {
            source: ProducerError::OutOfOrderSequence { .. },
            ..
        }) => {}
        Err(AppendError::Offline(fault)) => boot.check_fault(&fault.to_string()),
        other => world.violate(SEQUENCES, || {
            let expected = producer.last.advance(1);
            let found: Sequence = producer.last.advance(7);
            format!(
                "{}: sequence {found} instead of {expected}: {other:?}",
                log.partition()
            )
        }),
    }
    None
}

/// Waits for durability, and notes the promise.
pub async fn commit(boot: Rc<Boot>, number: usize, log: Log, promise: Promise) {
    let had_failed = log.fault().is_some();
    let mut waiting = std::pin::pin!(log.commit(promise.commit));
    let mut seconds = 0;
    let committed = loop {
        match reactor::timeout(Duration::from_secs(1), waiting.as_mut()).await {
            Ok(committed) => break committed,
            // (Finding 12: a commit that waits for segments is not told that its records were cut.)
            Err(_) if boot.world.logs[number].borrow().cuts != promise.cuts => return,
            Err(_) => seconds += 1,
        }
        if seconds > 300 {
            return boot.world.violate(LIVENESS, || {
                format!(
                    "{}: a commit of {} waits for ever",
                    log.partition(),
                    promise.promised
                )
            });
        }
    };
    let up_to = promise.promised;
    let world = &boot.world;
    let mut model = world.logs[number].borrow_mut();
    let name = model.partition.clone();
    match committed {
        // cut meanwhile: nobody is answered
        _ if model.cuts != promise.cuts => {}
        Ok(()) => {
            world.count(|figures| figures.acknowledged += 1);
            world.disk.note(&format!("{name} acknowledged up to {up_to}"));
            world.require(!had_failed, FAILED_SYNC, || {
                format!("{name}: {up_to} was acknowledged after the log had failed")
            });
            match model.config.durability {
                Durability::Journal => model.acked = model.acked.max(up_to),
                Durability::PageCache => model.acked_cached = model.acked_cached.max(up_to),
            }
            model.flushed = model.flushed.max(log.recovery_point());
            if up_to > log.high_watermark() {
                log.set_high_watermark(up_to);
            }
        }
        Err(fault) => boot.check_fault(&fault.to_string()),
    }
}

async fn read_steps(boot: Rc<Boot>) {
    while take_step(&boot) {
        if let Some((number, log)) = any_log(&boot) {
            for _ in 0..ABSENT_MAX {
                match read(&boot, number, &log) {
                    Some(absent) => absent.fetch().await,
                    None => break,
                }
            }
        }
        pause(&boot).await;
    }
}

/// Pages fetched for a reader before it gives up.
const ABSENT_MAX: usize = 8;

/// Whose records a reader gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

/// One look anywhere, as a fetch does it: what the page cache lacks is to be fetched first.
fn read(boot: &Boot, number: usize, log: &Log) -> Option<Absent> {
    let world = &boot.world;
    let model = world.logs[number].borrow();
    if model.is_frozen {
        return None;
    }
    isolation::check_stable(world, &model, log);
    let isolation = world.chance(|chance| {
        if chance.coin() {
            Isolation::ReadCommitted
        } else {
            Isolation::ReadUncommitted
        }
    });
    let start = log.start_offset();
    let below = match isolation {
        Isolation::ReadUncommitted => log.high_watermark(),
        Isolation::ReadCommitted => log.last_stable_offset(),
    };
    let span = (below.0 - start.0).max(0) as u64;
    let from = Offset(start.0 + world.chance(|chance| chance.below(span + 1)) as i64);
    let max_bytes = world.chance(|chance| chance.pick(&[1, 500, 2000, 1 << 20]));
    let told = match log.read_within(Reach::Memory, from, max_bytes, below, true) {
        Ok(slice) => check_slice(boot, &model, log, (from, below), &slice, isolation),
        Err(error) => Err(error),
    };
    match told {
        Ok(()) => {}
        Err(ReadError::Absent(absent)) => return Some(absent),
        Err(ReadError::Offline(fault)) => boot.check_fault(&fault.to_string()),
        Err(ReadError::Io { source, .. }) if !model.rotted => boot.check_fault(&source.to_string()),
        Err(ReadError::Io { .. } | ReadError::Damaged { .. }) if model.rotted => {}
        Err(error) => world.violate(NOTHING_HALF, || error.to_string()),
    }
    None
}

fn check_slice(
    boot: &Boot,
    model: &LogModel,
    log: &Log,
    (from, below): (Offset, Offset),
    slice: &ReadSlice,
    isolation: Isolation,
) -> Result<(), ReadError> {
    let world = &boot.world;
    let bytes = match bytes_of(&slice.pieces) {
        Ok(bytes) => bytes,
        Err(error) => {
            boot.check_fault(&error.to_string());
            return Ok(());
        }
    };
    let mut batches: Vec<Batch<'_>> = Vec::new();
    for batch in Batches::new(&bytes) {
        let checked = batch.and_then(|batch| batch.verify_crc().map(|()| batch));
        match checked {
            Ok(batch) => {
                let is_right = is_rightful(model, &batch, batch.bytes()) && batch.base_offset() < below;
                world.require(is_right || model.rotted, NOTHING_HALF, || {
                    format!(
                        "{}: at {} is no batch that was appended there",
                        model.partition,
                        batch.base_offset()
                    )
                });
                batches.push(batch);
            }
            Err(_) if model.rotted => return Ok(()),
            Err(error) => {
                world.violate(NOTHING_HALF, || {
                    format!("{}: read at {from}: {error}", model.partition)
                });
                return Ok(());
            }
        }
    }
    if isolation == Isolation::ReadCommitted && !batches.is_empty() {
        let told = isolation::check_aborted(world, model, log, from, slice.next_offset)?;
        isolation::check_answer(world, model, &batches, &told);
    }
    Ok(())
}

async fn upkeep_steps(boot: Rc<Boot>) {
    while take_step(&boot) {
        if let Some((number, log)) = any_log(&boot) {
            upkeep(&boot, number, &log).await;
            let mut model = boot.world.logs[number].borrow_mut();
            model.start = model.start.max(log.start_offset());
            if !model.is_frozen {
                model.flushed = model.flushed.max(log.recovery_point());
            }
        }
        pause(&boot).await;
    }
}

async fn upkeep(boot: &Boot, number: usize, log: &Log) {
    let world = &boot.world;
    let failed = match world.chance(|chance| chance.below(11)) {
        0 => {
            world.count(|figures| figures.rolls += 1);
            log.roll(now()).err().map(|fault| fault.to_string())
        }
        1 | 2 => log.maintain(now()).err().map(|fault| fault.to_string()),
        3 | 4 => {
            let retained = log.apply_retention(now());
            world.logs[number].borrow_mut().start = log.start_offset();
            if let Ok(retained) = &retained {
                world.count(|figures| figures.retained += retained.segments_removed as u64);
            }
            retained.err().map(|error| error.to_string())
        }
        5 => {
            let (start, end) = (log.start_offset(), log.high_watermark());
            let span = (end.0 - start.0).max(0) as u64;
            let offset = world.chance(|chance| {
                let of = chance.pick(&[span, span / 2, span / 2]);
                Offset(start.0 + chance.below(of + 1) as i64)
            });
            let deleted = log.delete_records_before(offset);
            world.logs[number].borrow_mut().start = log.start_offset();
            world.count(|figures| figures.deletes += 1);
            deleted.err().map(|error| error.to_string())
        }
        6 | 7 => {
            let compacted = log.compact(now()).await;
            if let Ok(Some(_)) = &compacted {
                world.count(|figures| figures.compactions += 1);
            }
            compacted.err().map(|error| error.to_string())
        }
        8 if world.one_in(3) => truncate(boot, number, log).await,
        8 | 9 => boot.checkpoint().await.err().map(|error| error.to_string()),
        _ => {
            if world.may_be_full.get() {
                let room = world.chance(|chance| chance.pick(&[0, 100, 3000, u64::MAX]));
                let limit = (room < u64::MAX).then(|| world.disk.used_bytes() + room);
                world.disk.set_limit(limit);
            }
            None
        }
    };
    // what was flipped is found by whoever reads it
    if let Some(text) = failed.filter(|_| !world.logs[number].borrow().rotted) {
        boot.check_fault(&text);
    }
}

/// Cuts the log as a follower does whose leader has less.
async fn truncate(boot: &Boot, number: usize, log: &Log) -> Option<String> {
    let world = &boot.world;
    let to = {
        let mut model = world.logs[number].borrow_mut();
        let (start, end) = (log.start_offset(), log.end_offset());
        let span = (end.0 - start.0).max(0) as u64;
        let back = Offset(end.0 - world.chance(|chance| chance.below(span.min(30) + 1)) as i64);
        // as far as a leader agrees that has nothing of the latest epoch, or anywhere
        let agreed = log.latest_epoch_start().filter(|agreed| *agreed >= start);
        let to = agreed.filter(|_| world.one_in(3)).unwrap_or(back);
        // what compaction has seen is never cut: it stays below the high watermark, and a follower keeps all below that
        let to = if model.is_compacted() {
            to.max(log.high_watermark())
        } else {
            to
        };
        // from here on what is cut may be gone or there
        let cut = model.entries.iter().find(|entry| entry.next() > to);
        let bound = cut.map_or(to, |entry| entry.base.min(to));
        model.is_frozen = true;
        model.cuts += 1;
        model.acked = model.acked.min(bound);
        model.acked_cached = model.acked_cached.min(bound);
        model.flushed = model.flushed.min(bound);
        to
    };
    let truncated = log.truncate(to).await;
    {
        let mut model = world.logs[number].borrow_mut();
        let end = match truncated {
            Ok(end) => end,
            Err(error) => return Some(error.to_string()),
        };
        world.count(|figures| figures.cuts += 1);
        world.disk.note(&format!("{} cut at {end}", model.partition));
        world.require(end <= to, ONLY_GROWS, || {
            format!("{}: cut at {to}, ends at {end}", model.partition)
        });
        model.entries.retain(|entry| entry.next() <= end);
        // a log start that divides what is cut goes back
        model.start = log.start_offset();
        model.start_durable = model.start_durable.min(model.start);
        model.recovered_end = model.recovered_end.min(end);
        model.ghosts.clear();
        model.learn_producers(&crate::model::producer_rows(log.producers()));
        isolation::check_loaded(world, &mut model, log);
    }
    // a recovery point behind the cut would be believed when the log has grown past it again
    if let Err(error) = boot.checkpoint().await {
        return Some(error.to_string());
    }
    world.logs[number].borrow_mut().is_frozen = false;
    None
}

/// Every log that is not offline takes an append and makes it durable.
pub async fn prove_life(boot: &Rc<Boot>) {
    let world = &boot.world;
    world.disk.set_limit(None);
    for number in 0..boot.logs.len() {
        let Some(log) = boot.logs[number].clone() else {
            continue;
        };
        let up_to = append(boot, number, &log, Sender::Idempotent(ProducerId(0)));
        world.require(up_to.is_some(), LIVENESS, || {
            format!(
                "{} takes no append: {:?}",
                log.partition(),
                log.fault().map(|fault| fault.to_string())
            )
        });
        let Some(up_to) = up_to else { continue };
        let waited = reactor::timeout(
            Duration::from_secs(60),
            commit(boot.clone(), number, log.clone(), up_to),
        )
        .await;
        let up_to = up_to.promised;
        world.require(waited.is_ok(), LIVENESS, || {
            format!("{} does not commit within a minute", log.partition())
        });
        world.require(log.committed_offset() >= up_to, ACKED_SURVIVES, || {
            format!(
                "{} committed {up_to} and has flushed {}",
                log.partition(),
                log.committed_offset()
            )
        });
    }
}
