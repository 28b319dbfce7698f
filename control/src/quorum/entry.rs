//! What the log consists of, as far as the quorum looks at it.

use bytes::Bytes;
use engine::types::Offset;

use super::voters::VoterSet;
use crate::record::{BrokerId, ControllerEpoch};

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub epoch: ControllerEpoch,
    /// The voters from here on, if the batch says so.
    pub voters: Option<VoterSet>,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// As it lies in the log.
    Batch(Bytes),
    /// To be put into the log's form by the host.
    Control(Vec<ControlRecord>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// First of every epoch.
    LeaderChange {
        leader: BrokerId,
        voters: Vec<BrokerId>,
        granting: Vec<BrokerId>,
    },
    /// The level of `kraft.version`: from 1 on the voters are in the log.
    KraftVersion(i16),
    Voters(VoterSet),
}

impl Entry {
    pub(super) fn control(base_offset: Offset, epoch: ControllerEpoch, records: Vec<ControlRecord>) -> Entry {
        let voters = records.iter().rev().find_map(|record| match record {
            ControlRecord::Voters(voters) => Some(voters.clone()),
            ControlRecord::LeaderChange { .. } | ControlRecord::KraftVersion(_) => None,
        });
        Entry {
            base_offset,
            last_offset: base_offset.saturating_add(records.len() as i64 - 1),
            epoch,
            voters,
            body: Body::Control(records),
        }
    }
}
