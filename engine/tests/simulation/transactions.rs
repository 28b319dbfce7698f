//! The transactions of one log, as its batches tell them: which are open, how the others ended, and what that means for a record.

use std::collections::BTreeMap;

use engine::batch::ControlRecordType;
use engine::types::{Offset, ProducerId};

use crate::model::Entry;

/// What a batch is to transactions.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its records count as soon as they are there.
    Plain,
    /// Its records count if its transaction is committed.
    Transactional,
    /// It ends its producer's transaction, if one is open.
    Marker(ControlRecordType),
}

/// What became of a batch of records.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Plain,
    Committed,
    Aborted,
    Open,
}

/// A batch of a transaction: base and last offset.
type Span = (Offset, Offset);

/// A transaction without its marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    pub first: Offset,
    pub batches: Vec<Span>,
}

/// A transaction with its marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedTransaction {
    pub id: ProducerId,
    pub first: Offset,
    pub batches: Vec<Span>,
    pub marker: Offset,
    pub kind: ControlRecordType,
    /// Behind what was decided when the marker was there.
    pub stable: Offset,
}

impl EndedTransaction {
    pub fn is_aborted(&self) -> bool {
        self.kind == ControlRecordType::Abort
    }

    pub fn touches(&self, from: Offset, below: Offset) -> bool {
        self.marker >= from && self.first < below
    }
}

#[derive(Clone, Debug, Default)]
pub struct Transactions {
    pub open: BTreeMap<ProducerId, OpenTransaction>,
    /// In the order of their markers.
    pub ended: Vec<EndedTransaction>,
}

impl Transactions {
    pub fn of<'e>(entries: impl Iterator<Item = &'e Entry>) -> Transactions {
        let mut transactions = Transactions::default();
        for entry in entries {
            transactions.note(entry);
        }
        transactions
    }

    pub fn note(&mut self, entry: &Entry) {
        let Some(producer) = entry.producer else { return };
        match entry.role {
            Role::Plain => {}
            Role::Transactional => {
                let open = self.open.entry(producer.id).or_insert(OpenTransaction {
                    first: entry.base,
                    batches: Vec::new(),
                });
                open.batches.push((entry.base, entry.last));
            }
            Role::Marker(kind) => {
                if let Some(open) = self.open.remove(&producer.id) {
                    self.ended.push(EndedTransaction {
                        id: producer.id,
                        first: open.first,
                        batches: open.batches,
                        marker: entry.base,
                        kind,
                        stable: self.first_unstable().unwrap_or(entry.next()),
                    });
                }
            }
        }
    }

    /// Where the oldest open transaction begins.
    pub fn first_unstable(&self) -> Option<Offset> {
        self.open.values().map(|open| open.first).min()
    }

    pub fn fate(&self, entry: &Entry) -> Fate {
        let Some(producer) = entry.producer.filter(|_| entry.role == Role::Transactional) else {
            return Fate::Plain;
        };
        let ended = self
            .ended
            .iter()
            .find(|ended| ended.id == producer.id && ended.first <= entry.base && entry.base < ended.marker);
        match ended {
            Some(ended) if ended.is_aborted() => Fate::Aborted,
            Some(_) => Fate::Committed,
            None => Fate::Open,
        }
    }

    /// Goes by what the log says is open, once that was checked.
    pub fn adopt(&mut self, told: &[(ProducerId, Offset)]) {
        let before = std::mem::take(&mut self.open);
        for (id, first) in told {
            let batches = before.get(id).map(|open| open.batches.clone());
            let open = OpenTransaction {
                first: *first,
                batches: batches.unwrap_or_default(),
            };
            self.open.insert(*id, open);
        }
    }
}
