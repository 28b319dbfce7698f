//! Appends that wait to be committed.

use engine::types::Offset;
use reactor::oneshot;

use crate::quorum::Core;
use crate::record::ControllerEpoch;
use crate::store::error::AppendError;
use crate::store::meta_log::Appended;

pub(super) struct PendingAppend {
    pub(super) appended: Appended,
    pub(super) epoch: ControllerEpoch,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
}

/// What became of an append, by what is committed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Committed,
    /// Something of this epoch is committed in its place, or before it: it never will be.
    Never(ControllerEpoch),
    /// A snapshot has taken the place of all that could tell.
    Untold,
}

/// Being deposed decides nothing: the successor may have the batch, or not. The first record of a later epoch that is
/// committed does: epochs ascend along the log.
pub(super) fn fate(core: &Core, committed: Offset, appended: Appended, epoch: ControllerEpoch) -> Fate {
    let log = core.log();
    if appended.base_offset < log.start_offset() && appended.last_offset < committed {
        return Fate::Untold;
    }
    if appended.last_offset < committed {
        return match log.epoch_at(appended.base_offset) {
            Some(found) if found == epoch => Fate::Committed,
            Some(found) => Fate::Never(found),
            None => Fate::Untold,
        };
    }
    let last_committed = log.epoch_before(committed);
    if committed > Offset::ZERO && last_committed > epoch {
        return Fate::Never(last_committed);
    }
    Fate::Open
}
