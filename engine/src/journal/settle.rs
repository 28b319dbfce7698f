//! Writing behind: what tails hold goes to the segment files, several batches to a write.
//!
//! The journal has made it durable already. Waiting a little turns many small writes into few: 1,000 partitions with a
//! batch every 10 ms need a write each per [`SETTLE_AFTER`] instead of 100,000 a second.

use std::rc::Rc;
use std::time::Duration;

use super::shared::Shared;

/// How long bytes stay in memory only. Longer: fewer writes, and a longer replay after a kill. A guess.
pub(super) const SETTLE_AFTER: Duration = Duration::from_millis(200);
/// Logs written to in a row before others get their turn: some 5 us each.
const LOGS_PER_TURN: usize = 16;

/// Runs until the journal is closed or given up.
pub(super) async fn run(shared: Rc<Shared>) {
    loop {
        if shared.state.borrow().is_closing || shared.fault().is_some() {
            return;
        }
        let unwritten_before = shared.state.borrow().unwritten_bytes;
        let is_urgent = unwritten_before > shared.config.unwritten_bytes_max / 2;
        if shared.state.borrow().unsettled.is_empty() {
            shared.unwritten.notified().await;
            continue;
        }
        if !is_urgent {
            // Not `unwritten`, which rings with every append after a round: then each round would follow the last at once.
            let _rung_or_not = reactor::timeout(SETTLE_AFTER, shared.pressure.notified()).await;
        }
        let count = shared.state.borrow().unsettled.len();
        for number in 1..=count {
            let log = shared.state.borrow_mut().unsettled.pop_front();
            let Some(log) = log else { break };
            if let Some(log) = log.upgrade() {
                log.settle_in_turn();
            }
            if number % LOGS_PER_TURN == 0 {
                reactor::yield_turn().await;
            }
        }
        let went_nowhere = shared.state.borrow().unwritten_bytes >= unwritten_before;
        if is_urgent && went_nowhere {
            reactor::sleep(SETTLE_AFTER).await; // the disk is full, and trying harder makes no room
        }
    }
}
