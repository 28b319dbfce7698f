//! What must hold of transactions: what is stable, what the log tells of aborted ones, and what a reader of committed records gets.

use std::collections::{BTreeMap, BTreeSet};

use engine::batch::{Batch, ControlRecordType};
use engine::log::{AbortedTransaction, Log, ReadError};
use engine::types::{Offset, ProducerId};

use crate::model::{Dump, LogModel, rows_of};
use crate::transactions::{EndedTransaction, Fate, Role};
use crate::world::World;

pub const STABLE: &str = "the last stable offset is where the oldest open transaction begins";
pub const ABORTED: &str = "the aborted transactions of a range are told";
pub const READ_COMMITTED: &str = "a reader of committed records gets those and no others";
pub const UNDECIDED_STAYS: &str = "compaction leaves open transactions alone";
pub const MARKER_STAYS: &str = "a marker stays as long as its transaction";

/// Open transactions by what the log says, in the order of their producers.
fn told_open(log: &Log) -> Vec<(ProducerId, Offset)> {
    let mut told: Vec<_> = log
        .producers()
        .into_iter()
        .filter_map(|row| Some((row.producer_id, row.current_transaction_start?)))
        .collect();
    told.sort();
    told
}

/// After a start or a cut: the log knows the transactions that its batches tell. From then on the model goes by what it says.
pub fn check_loaded(world: &World, model: &mut LogModel, log: &Log) {
    model.learn_transactions();
    model.loaded_from = model.loaded_from.max(log.start_offset());
    let told = told_open(log);
    if model.tells_transactions() {
        check_open(world, model, &told);
    }
    model.transactions.adopt(&told);
    check_stable(world, model, log);
}

fn check_open(world: &World, model: &LogModel, told: &[(ProducerId, Offset)]) {
    let name = &model.partition;
    for (id, open) in &model.transactions.open {
        let found = told.iter().find(|row| row.0 == *id).map(|row| row.1);
        let is_right = found == Some(open.first)
            || model.may_forget(open, found)
            || found.is_some_and(|found| model.may_reach_back(found, open.first));
        world.require(is_right, STABLE, || {
            format!(
                "{name}: the transaction of producer {id} is open since {}, the log says {found:?}",
                open.first
            )
        });
    }
    for (id, first) in told {
        world.require(model.transactions.open.contains_key(id), STABLE, || {
            format!("{name}: producer {id} has no open transaction, the log says there is one since {first}")
        });
    }
}

pub fn check_stable(world: &World, model: &LogModel, log: &Log) {
    let (start, high_watermark) = (log.start_offset(), log.high_watermark());
    let unstable = model.transactions.first_unstable().unwrap_or(high_watermark);
    let expected = unstable.min(high_watermark).max(start);
    let found = log.last_stable_offset();
    world.require(found == expected || model.rotted, STABLE, || {
        format!(
            "{}: last stable offset {found}, expected {expected}; high watermark {high_watermark}, log start {start}",
            model.partition
        )
    });
}

/// What the log tells of a range: all that touch it, no others. Compaction and the log start may have taken all records of one.
pub fn check_aborted(
    world: &World,
    model: &LogModel,
    log: &Log,
    from: Offset,
    below: Offset,
) -> Result<Vec<AbortedTransaction>, ReadError> {
    let told = log.aborted_transactions(from, below)?;
    if !model.tells_transactions() {
        return Ok(told);
    }
    let name = &model.partition;
    let is_told = |ended: &EndedTransaction, row: &AbortedTransaction| {
        row.producer_id == ended.id && row.last_offset == ended.marker
    };
    let aborted = || model.transactions.ended.iter().filter(|ended| ended.is_aborted());
    for row in &told {
        let ended = aborted().find(|ended| is_told(ended, row));
        let is_right = row.touches(from, below)
            && ended.is_some_and(|ended| {
                let is_exact = row.first_offset == ended.first && row.last_stable_offset == ended.stable;
                let is_later = ended.batches.iter().any(|batch| batch.0 == row.first_offset);
                is_exact
                    || is_later && (model.is_compacted() || model.loaded_from > Offset(0))
                    || model.may_reach_back(row.first_offset, ended.first)
            });
        world.require(is_right, ABORTED, || {
            format!("{name}: from {from} to {below} the log tells {row:?}, the model {ended:?}")
        });
    }
    for ended in aborted().filter(|ended| ended.touches(from, below)) {
        let may_be_gone = model.is_compacted() || ended.first < model.loaded_from;
        let is_there = told.iter().any(|row| is_told(ended, row));
        world.require(is_there || may_be_gone, ABORTED, || {
            format!("{name}: from {from} to {below} the log does not tell {ended:?} but {told:?}")
        });
    }
    Ok(told)
}

/// Base offsets of the batches whose records a consumer shows its application, as Kafka's client does it.
fn shown(batches: &[Batch<'_>], told: &[AbortedTransaction]) -> BTreeSet<Offset> {
    let mut upcoming = told.to_vec();
    upcoming.sort_by_key(|row| std::cmp::Reverse(row.first_offset));
    let mut ongoing = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for batch in batches {
        while let Some(next) = upcoming.pop_if(|next| next.first_offset <= batch.last_offset()) {
            ongoing.insert(next.producer_id);
        }
        let producer = batch.producer().map(|producer| producer.id);
        if batch.attributes().is_control() {
            if is_abort(batch)
                && let Some(id) = producer
            {
                ongoing.remove(&id);
            }
        } else {
            let is_aborted =
                batch.attributes().is_transactional() && producer.is_some_and(|id| ongoing.contains(&id));
            if !is_aborted {
                shown.insert(batch.base_offset());
            }
        }
    }
    shown
}

fn is_abort(marker: &Batch<'_>) -> bool {
    let rows = rows_of(marker).unwrap_or_default();
    let key = rows.first().and_then(|row| row.key.clone());
    key.and_then(|key| ControlRecordType::parse(&key).ok()) == Some(ControlRecordType::Abort)
}

/// What an answer shows to a reader of committed records, with what the log tells beside it.
pub fn check_answer(world: &World, model: &LogModel, batches: &[Batch<'_>], told: &[AbortedTransaction]) {
    if !model.tells_transactions() {
        return;
    }
    let shown = shown(batches, told);
    for batch in batches {
        if batch.attributes().is_control() || batch.record_count() == 0 {
            continue;
        }
        let base = batch.base_offset();
        let Some(entry) = model.appended_at(base) else {
            continue;
        };
        let fate = model.transactions.fate(entry);
        let is_right = match fate {
            Fate::Plain | Fate::Committed => shown.contains(&base),
            Fate::Aborted => !shown.contains(&base),
            Fate::Open => false,
        };
        world.require(is_right, READ_COMMITTED, || {
            format!(
                "{}: the batch at {base} is {fate:?}, shown: {}; told {told:?}",
                model.partition,
                shown.contains(&base)
            )
        });
    }
}

/// After a start: all of the log as readers of committed records get it, and what compaction must have left.
pub fn check_dump(world: &World, model: &LogModel, log: &Log, dump: &Dump) {
    if !model.tells_transactions() {
        return;
    }
    let batches: Vec<Batch<'_>> = dump
        .batches
        .iter()
        .filter_map(|bytes| Batch::only(bytes).ok())
        .collect();
    let (start, stable) = (log.start_offset(), log.last_stable_offset());
    let told = match check_aborted(world, model, log, start, dump.end) {
        Ok(told) => told,
        Err(error) => return world.violate(ABORTED, || format!("{}: {error}", model.partition)),
    };
    if stable > start {
        let decided = batches.partition_point(|batch| batch.base_offset() < stable);
        check_answer(world, model, batches.get(..decided).unwrap_or_default(), &told);
    }
    if model.is_compacted() {
        let served: BTreeMap<Offset, &Batch<'_>> =
            batches.iter().map(|batch| (batch.base_offset(), batch)).collect();
        check_undecided(world, model, dump.start, &served);
        check_markers(world, model, &served);
    }
}

fn check_undecided(world: &World, model: &LogModel, start: Offset, served: &BTreeMap<Offset, &Batch<'_>>) {
    for entry in &model.entries {
        if entry.base < start || model.transactions.fate(entry) != Fate::Open {
            continue;
        }
        let is_whole = served
            .get(&entry.base)
            .is_some_and(|batch| rows_of(batch) == Some(entry.rows()));
        world.require(is_whole, UNDECIDED_STAYS, || {
            format!("{}: the batch at {} lost records", model.partition, entry.base)
        });
    }
}

fn check_markers(world: &World, model: &LogModel, served: &BTreeMap<Offset, &Batch<'_>>) {
    let retention_ms = model.config.delete_retention_ms;
    let now = reactor::wall_ms();
    for ended in &model.transactions.ended {
        let is_there = served
            .get(&ended.marker)
            .is_some_and(|batch| batch.record_count() > 0);
        let has_batches = ended.batches.iter().any(|batch| served.contains_key(&batch.0));
        let marker = model.appended_at(ended.marker);
        let is_young = marker.is_some_and(|marker| {
            matches!(marker.role, Role::Marker(_)) && now < marker.time.0.saturating_add(retention_ms)
        });
        world.require(is_there || !(has_batches || is_young), MARKER_STAYS, || {
            format!(
                "{}: the marker at {} is gone; records of its transaction are there: {has_batches}, it is young: {is_young}",
                model.partition, ended.marker
            )
        });
    }
}
