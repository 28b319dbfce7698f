//! What the control records of the metadata log say about the quorum that wrote it.
//!
//! ringlog's own quorum is its one process. A log that Kafka began may name others, and may have been made with a dynamic quorum
//! (`kraft.version` 1, KIP-853), whose voters are in the log and nowhere else: each snapshot has to repeat them, or the Kafka that
//! takes the directory back finds no quorum.

use super::batch::Control;
use crate::record::BrokerId;

/// The latest of each kind. Changed by [`Quorum::replay`] only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Quorum {
    voters: Vec<BrokerId>,
    kraft_version: Option<Box<[u8]>>,
    kraft_voters: Option<Box<[u8]>>,
}

impl Quorum {
    pub(super) fn replay(&mut self, control: &Control) {
        match control {
            Control::LeaderChange { voters, .. } => self.voters.clone_from(voters),
            Control::KraftVersion(value) => self.kraft_version = Some(value.clone()),
            Control::KraftVoters(value) => self.kraft_voters = Some(value.clone()),
            Control::SnapshotHeader { .. } | Control::SnapshotFooter => {}
        }
    }

    /// Who elected the last leader; empty where the log that is left does not tell.
    pub(super) fn voters(&self) -> &[BrokerId] {
        &self.voters
    }

    /// The voters' record, as it was written.
    pub(super) fn kraft_voters(&self) -> Option<&[u8]> {
        self.kraft_voters.as_deref()
    }

    /// What a snapshot has to repeat, in Kafka's order.
    pub(super) fn to_controls(&self) -> Vec<Control> {
        let version = self.kraft_version.iter().cloned().map(Control::KraftVersion);
        let voters = self.kraft_voters.iter().cloned().map(Control::KraftVoters);
        version.chain(voters).collect()
    }
}
