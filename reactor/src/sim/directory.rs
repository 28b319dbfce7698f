//! One directory: its durable entries, its cached entries, and the changes between them.

use std::collections::BTreeMap;

use super::chance::Chance;

/// Number of a file or directory; never used again.
pub(super) type NodeId = u64;

pub(super) type Entries = BTreeMap<String, NodeId>;

#[derive(Clone, Debug)]
pub(super) enum EntryChange {
    Link { name: String, node: NodeId },
    Unlink { name: String },
    Rename { from: String, to: String },
}

impl EntryChange {
    fn apply(&self, entries: &mut Entries) {
        match self {
            EntryChange::Link { name, node } => {
                entries.insert(name.clone(), *node);
            }
            EntryChange::Unlink { name } => {
                entries.remove(name);
            }
            EntryChange::Rename { from, to } => {
                if let Some(node) = entries.remove(from) {
                    entries.insert(to.clone(), node);
                }
            }
        }
    }
}

/// `cached` is `durable` with `pending` applied in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    cached: Entries,
    durable: Entries,
    pending: Vec<EntryChange>,
}

impl Directory {
    pub(super) fn cached(&self) -> &Entries {
        &self.cached
    }

    pub(super) fn durable(&self) -> &Entries {
        &self.durable
    }

    pub(super) fn get(&self, name: &str) -> Option<NodeId> {
        self.cached.get(name).copied()
    }

    /// Whether it has an entry for the node, or would have one if only some of what is pending was kept.
    pub(super) fn may_name(&self, node: NodeId) -> bool {
        let is_linked = |change: &EntryChange| matches!(change, EntryChange::Link { node: linked, .. } if *linked == node);
        self.durable.values().any(|child| *child == node)
            || self.cached.values().any(|child| *child == node)
            || self.pending.iter().any(is_linked)
    }

    /// Changes the cached entries. Now and then what is pending reaches the disk by itself.
    pub(super) fn change(&mut self, change: EntryChange, chance: &mut Chance) {
        /// How often. A guess: kernels write metadata every few seconds.
        const WRITE_BACK_PPM: u32 = 100_000;
        change.apply(&mut self.cached);
        self.pending.push(change);
        if chance.happens(WRITE_BACK_PPM) {
            self.keep_some(chance);
        }
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// Makes a random prefix of what is pending durable.
    pub(super) fn keep_some(&mut self, chance: &mut Chance) {
        let kept = chance.index(self.pending.len() + 1);
        for change in self.pending.drain(..kept) {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn cut_power(&mut self, chance: &mut Chance) {
        match chance.below(4) {
            0 => {}
            1 => self.sync(),
            _ => self.keep_some(chance),
        }
        self.pending.clear();
        self.cached.clone_from(&self.durable);
    }
}
