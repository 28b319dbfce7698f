//! Snapshot files, in Kafka's format (KIP-630).

use std::path::{Path, PathBuf};

use engine::batch::Batches;
use engine::types::{Offset, Timestamp};

use super::segment::parse_digits;
use crate::record::{ControllerEpoch, Record};
use crate::store::batch::{self, Content, Control};
use crate::store::error::{AppendError, OpenError};
use crate::store::meta_log::{Snapshot, SnapshotId};
use crate::store::plan::{Plan, RecordTooLarge};
use crate::store::quorum::Quorum;

const SUFFIX: &str = ".checkpoint";

/// `%020d-%010d.checkpoint`
pub(in crate::store) fn file_name(id: SnapshotId) -> String {
    format!("{:020}-{:010}{SUFFIX}", id.end_offset.0, id.epoch.0)
}

pub(in crate::store) fn parse_file_name(name: &str) -> Option<SnapshotId> {
    let (offset, epoch) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    Some(SnapshotId {
        end_offset: Offset(parse_digits(offset, 20)?),
        epoch: ControllerEpoch(i32::try_from(parse_digits(epoch, 10)?).ok()?),
    })
}

/// What [`disk::write_atomic`](reactor::disk::write_atomic) leaves when it is interrupted.
pub(in crate::store) fn is_unfinished(name: &str) -> bool {
    name.strip_suffix(".tmp")
        .is_some_and(|name| parse_file_name(name).is_some())
}

/// The bytes of a snapshot file.
pub(in crate::store) fn encode(
    id: SnapshotId,
    now: Timestamp,
    quorum: &Quorum,
    records: &[Record],
) -> Result<Vec<u8>, AppendError> {
    let mut header = vec![Control::SnapshotHeader {
        last_contained_timestamp: now,
    }];
    header.extend(quorum.to_controls());
    let mut bytes = batch::encode_control(Offset::ZERO, id.epoch, now, &header)?;
    let mut next = Offset(header.len() as i64);
    let mut plan = Plan::default();
    for record in records {
        plan.push(std::slice::from_ref(record))
            .map_err(|RecordTooLarge { bytes, max, .. }| AppendError::TooLarge { bytes, max })?;
    }
    for records in plan.batches() {
        bytes.extend(batch::encode(next, id.epoch, now, records)?);
        next = next.saturating_add(records.len() as i64);
    }
    bytes.extend(batch::encode_control(
        next,
        id.epoch,
        now,
        &[Control::SnapshotFooter],
    )?);
    Ok(bytes)
}

/// Reads a snapshot file, all of it or nothing: a snapshot stands for records that are gone.
pub(in crate::store) fn decode(
    id: SnapshotId,
    path: &Path,
    bytes: &[u8],
) -> Result<(Snapshot, Quorum), OpenError> {
    let missing = |what| OpenError::Snapshot {
        path: PathBuf::from(path),
        what,
    };
    let (mut records, mut quorum) = (Vec::new(), Quorum::default());
    let (mut has_header, mut has_footer) = (false, false);
    let mut position = 0;
    for batch in Batches::new(bytes) {
        let damaged = |what| OpenError::Damaged {
            path: PathBuf::from(path),
            position,
            what,
        };
        let batch = batch.map_err(|error| damaged(error.into()))?;
        let content = batch::decode(&batch).map_err(damaged)?;
        position += batch.size_bytes() as u64;
        if has_footer {
            return Err(missing("end: batches follow its footer"));
        }
        match content {
            Content::Control(controls) => {
                has_header |= matches!(controls.first(), Some(Control::SnapshotHeader { .. }));
                has_footer |= controls.contains(&Control::SnapshotFooter);
                controls.iter().for_each(|control| quorum.replay(control));
            }
            Content::Records(batch) => records.extend(batch),
        }
        if !has_header {
            return Err(missing("header"));
        }
    }
    if has_footer {
        Ok((Snapshot { id, records }, quorum))
    } else {
        Err(missing("footer"))
    }
}
