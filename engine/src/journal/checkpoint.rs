//! The checkpoint: segments are synced behind the journal, and its files become free.
//!
//! Timeline of the loss that the order prevents: a file of the journal is written over, power fails, and a segment lacks
//! what only that file held. So first the segments of every log with entries below are synced, then `replay_from` moves.
//!
//! It costs no producer anything but the disk's time: the files are synced on a helper thread, one by one while they are few,
//! by one `syncfs` when they are many.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::shared::{Shared, State};
use crate::log::flush::{Flush, FlushError, sync_all};
use crate::log::handle::Inner as LogInner;

/// Logs begun in a row before other tasks get their turn: some 10 us each.
const LOGS_PER_TURN: usize = 16;

/// Runs until the journal is closed or given up.
pub(super) async fn run(shared: Rc<Shared>) {
    loop {
        let is_due = {
            let state = shared.state.borrow();
            if state.is_closing || state.fault().is_some() {
                return;
            }
            state.bytes_since_checkpoint >= shared.config.checkpoint_bytes
        };
        if !is_due {
            // by time, or because somebody asks
            let _asked = reactor::timeout(shared.config.checkpoint_every, shared.checkpoint.notified()).await;
        }
        wait(&shared).await;
    }
}

/// Runs a checkpoint that covers everything appended before the call.
pub(super) async fn wait(shared: &Rc<Shared>) {
    loop {
        let ended = shared.checkpointed.notified();
        if !shared.state.borrow().is_checkpointing {
            break;
        }
        ended.await;
    }
    shared.state.borrow_mut().is_checkpointing = true;
    once(shared).await;
    shared.state.borrow_mut().is_checkpointing = false;
    shared.checkpointed.notify_waiters();
}

async fn once(shared: &Rc<Shared>) {
    let logs: Vec<Rc<LogInner>> = {
        let mut state = shared.state.borrow_mut();
        state.bytes_since_checkpoint = 0;
        state.dirty.retain(|log| log.strong_count() > 0);
        state.dirty.iter().filter_map(std::rc::Weak::upgrade).collect()
    };
    let mut begun: Vec<(Rc<LogInner>, Flush)> = Vec::new();
    for (number, log) in logs.iter().enumerate() {
        // One that is being synced for somebody else, or finds no room, waits for the next checkpoint.
        if let Some(flush) = log.begin_checkpoint() {
            begun.push((log.clone(), flush));
        }
        if number % LOGS_PER_TURN == LOGS_PER_TURN - 1 {
            reactor::yield_turn().await;
        }
    }
    let (logs_begun, mut flushes): (Vec<_>, Vec<_>) = begun.into_iter().unzip();
    if !flushes.is_empty() {
        let file_system = shared.file_system.clone();
        let (flushes, result) = reactor::background_patient(move || {
            let result = sync_all(&mut flushes, &file_system);
            (flushes, result)
        })
        .await;
        finish(shared, &logs_begun, &flushes, &result).await;
    }
    release(shared, &logs);
}

async fn finish(
    shared: &Rc<Shared>,
    logs: &[Rc<LogInner>],
    flushes: &[Flush],
    result: &Result<(), Arc<FlushError>>,
) {
    if let Err(error) = result {
        // Which file it was does not matter: the directory has failed.
        shared.fail(error.operation, error.to_io());
    }
    for (number, (log, flush)) in logs.iter().zip(flushes).enumerate() {
        log.finish_checkpoint(flush, result);
        if number % LOGS_PER_TURN == LOGS_PER_TURN - 1 {
            reactor::yield_turn().await;
        }
    }
}

/// Moves `replay_from` up to the oldest entry that some segment may lack.
fn release(shared: &Rc<Shared>, logs: &[Rc<LogInner>]) {
    let to_come = shared.sequence_to_come();
    let mut oldest = to_come;
    let mut state = shared.state.borrow_mut();
    state.dirty.retain(|log| {
        let Some(log) = log.upgrade() else { return false };
        match log.oldest_sequence() {
            Some(sequence) => {
                oldest = oldest.min(sequence);
                true
            }
            None => {
                log.note_clean();
                false
            }
        }
    });
    if state.fault().is_some() {
        return;
    }
    assert!(oldest >= state.replay_from, "what was synced stays synced");
    if !logs.is_empty() {
        shared.config.checkpoints_done.fetch_add(1, Ordering::Relaxed);
    }
    state.replay_from = oldest;
    state.checkpoints += 1;
    let is_freed = state.files.release(oldest);
    drop(state);
    if is_freed {
        shared.work.notify_one();
    }
}

/// No log has entries that its segments lack.
pub(super) fn is_clean(state: &State) -> bool {
    state.fault().is_none()
        && state
            .dirty
            .iter()
            .filter_map(std::rc::Weak::upgrade)
            .all(|log| log.oldest_sequence().is_none())
}
