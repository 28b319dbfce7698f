//! The voters, as they are and as they were at each offset of the log.

use std::collections::BTreeMap;
use std::fmt;

use engine::types::Offset;
use thiserror::Error;

use super::replica::ReplicaKey;
use crate::config::Endpoint;
use crate::record::{BrokerId, DirectoryId};

/// More make every commit slower and nothing safer; Kafka's documentation recommends 3 or 5. Bounds what a line of
/// configuration or a record can make us hold.
const VOTERS_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    pub key: ReplicaKey,
    /// Of its control thread.
    pub endpoint: Endpoint,
}

/// One per node id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoterSet(BTreeMap<BrokerId, Voter>);

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VotersTextError {
    #[error("voter `{0}` is not of the form ID@HOST:PORT")]
    Form(String),
    #[error("voter {0} is listed twice")]
    Twice(BrokerId),
    #[error("{0} voters, 1 to {VOTERS_MAX} may be")]
    Count(usize),
}

impl VoterSet {
    pub fn new(voters: impl IntoIterator<Item = Voter>) -> VoterSet {
        VoterSet(voters.into_iter().map(|voter| (voter.key.id, voter)).collect())
    }

    /// Reads `1@host:port,2@host:port`, as Kafka's `controller.quorum.voters`.
    pub fn parse(text: &str) -> Result<VoterSet, VotersTextError> {
        let mut voters = BTreeMap::new();
        for part in text.split(',') {
            let part = part.trim();
            let form = || VotersTextError::Form(part.to_owned());
            let (id, endpoint) = part.split_once('@').ok_or_else(form)?;
            let id = BrokerId(id.parse().ok().filter(|id| *id >= 0).ok_or_else(form)?);
            let endpoint = Endpoint::parse(endpoint).map_err(|_| form())?;
            let key = ReplicaKey::of(id);
            if voters.insert(id, Voter { key, endpoint }).is_some() {
                return Err(VotersTextError::Twice(id));
            }
        }
        match voters.len() {
            1..=VOTERS_MAX => Ok(VoterSet(voters)),
            count => Err(VotersTextError::Count(count)),
        }
    }

    pub fn contains(&self, key: &ReplicaKey) -> bool {
        self.get(key.id).is_some_and(|voter| voter.key.matches(key))
    }

    pub fn get(&self, id: BrokerId) -> Option<&Voter> {
        self.0.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Voter> {
        self.0.values()
    }

    pub fn ids(&self) -> impl Iterator<Item = BrokerId> {
        self.0.keys().copied()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of them decide.
    pub fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// With this one added, or in place of the one of its id.
    #[must_use]
    pub fn with(&self, voter: Voter) -> VoterSet {
        let mut voters = self.0.clone();
        voters.insert(voter.key.id, voter);
        VoterSet(voters)
    }

    #[must_use]
    pub fn without(&self, id: BrokerId) -> VoterSet {
        let mut voters = self.0.clone();
        voters.remove(&id);
        VoterSet(voters)
    }

    /// With the directories filled in that were not known when the set was written.
    #[must_use]
    pub fn with_directories(&self, known: impl Fn(BrokerId) -> Option<DirectoryId>) -> VoterSet {
        let mut voters = self.0.clone();
        for voter in voters.values_mut().filter(|voter| !voter.key.has_directory()) {
            voter.key.directory = known(voter.key.id).unwrap_or(DirectoryId::MIGRATING);
        }
        VoterSet(voters)
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= VOTERS_MAX
    }
}

/// As `controller.quorum.voters` is written.
impl fmt::Display for VoterSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, voter) in self.0.values().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}@{}", voter.key.id, voter.endpoint)?;
        }
        Ok(())
    }
}

/// Which voters decide, by the log: a set is in force as soon as it is in the log, committed or not, and no longer when
/// it is cut off. Holds: `later` ascends by offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VoterHistory {
    /// In force until the log says otherwise.
    up_front: VoterSet,
    /// Given up front, or by the snapshot.
    base: VoterSet,
    /// The base is from a snapshot of a log that had records of voters.
    base_in_log: bool,
    later: Vec<(Offset, VoterSet)>,
}

impl VoterHistory {
    /// `in_snapshot` are those of the snapshot the log begins with.
    pub(super) fn new(up_front: VoterSet, in_snapshot: Option<VoterSet>) -> VoterHistory {
        VoterHistory {
            base_in_log: in_snapshot.is_some(),
            base: in_snapshot.unwrap_or_else(|| up_front.clone()),
            up_front,
            later: Vec::new(),
        }
    }

    /// That of a log which was replaced by a snapshot.
    pub(super) fn replaced(&self, in_snapshot: Option<VoterSet>) -> VoterHistory {
        VoterHistory::new(self.up_front.clone(), in_snapshot)
    }

    pub(super) fn up_front(&self) -> &VoterSet {
        &self.up_front
    }

    /// Whether the voters are in the log, and so may be changed there: `kraft.version` 1.
    pub(super) fn is_dynamic(&self) -> bool {
        self.base_in_log || !self.later.is_empty()
    }

    pub(super) fn latest(&self) -> &VoterSet {
        self.later.last().map_or(&self.base, |(_, voters)| voters)
    }

    /// Where the latest set is, if it is in the log.
    pub(super) fn latest_offset(&self) -> Option<Offset> {
        self.later.last().map(|(offset, _)| *offset)
    }

    /// The set that all records below `end` amount to; `None` if none of them names voters.
    pub(super) fn at(&self, end: Offset) -> Option<&VoterSet> {
        let count = self.later.partition_point(|(offset, _)| *offset < end);
        match count.checked_sub(1).and_then(|last| self.later.get(last)) {
            Some((_, voters)) => Some(voters),
            None => self.base_in_log.then_some(&self.base),
        }
    }

    /// Whether a replica is in the set in force, or in one before that is perhaps still in force elsewhere: the sets after it are
    /// not known to be committed.
    pub(super) fn may_be_voter(&self, key: &ReplicaKey, committed_end: Offset) -> bool {
        let settled = self.later.partition_point(|(offset, _)| *offset < committed_end);
        let unsettled = self.later.get(settled.saturating_sub(1)..).unwrap_or_default();
        (settled == 0 && self.base.contains(key)) || unsettled.iter().any(|(_, voters)| voters.contains(key))
    }

    pub(super) fn push(&mut self, offset: Offset, voters: VoterSet) {
        debug_assert!(self.latest_offset().is_none_or(|last| last < offset));
        self.later.push((offset, voters));
    }

    pub(super) fn truncate(&mut self, end: Offset) {
        self.later.retain(|(offset, _)| *offset < end);
    }

    pub(super) fn forget_behind(&mut self, start: Offset) {
        while let Some((offset, _)) = self.later.first() {
            if *offset >= start {
                break;
            }
            self.base = self.later.remove(0).1;
            self.base_in_log = true;
        }
    }
}
