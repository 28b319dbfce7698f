//! The state of the store: keys, their history, leases. Every change takes a revision, as in etcd.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::Waker;
use std::time::Duration;

use engine::planted::{self, Bug};

use reactor::Instant;

use super::LIMITS;
use super::faults::{Chance, Fate, Faults, Trip};
use crate::store::kv::{
    Change, Found, KeepAlive, KeyRange, KeyValue, LeaseId, Order, Outcome, Rejection, Revision, Step,
    Transaction, Version,
};

/// Changes kept at most; older ones are compacted.
const HISTORY_MAX: usize = 10_000;

struct Entry {
    value: Vec<u8>,
    created: Version,
    version: Version,
    lease: Option<LeaseId>,
}

struct Lease {
    client: i32,
    ttl: Duration,
    deadline: Instant,
}

/// Holds: `history` ascends, all of it after `compacted`; every entry's lease exists.
pub(super) struct World {
    pub(super) faults: Faults,
    chance: Chance,
    entries: BTreeMap<String, Entry>,
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
    history: VecDeque<Change>,
    leases: BTreeMap<LeaseId, Lease>,
    lease_count: i64,
    is_available: bool,
    outage_until: Option<Instant>,
    partitioned: BTreeSet<i32>,
    /// Who waits for the next change.
    watchers: BTreeMap<u64, Waker>,
    watch_count: u64,
    pub(super) transaction_count: u64,
    pub(super) written_bytes: u64,
}

impl World {
    pub(super) fn new(faults: Faults) -> World {
        World {
            chance: Chance::new(faults.seed),
            faults,
            entries: BTreeMap::new(),
            revision: Revision(1),
            compacted: Revision(0),
            history: VecDeque::new(),
            leases: BTreeMap::new(),
            lease_count: 0,
            is_available: true,
            outage_until: None,
            partitioned: BTreeSet::new(),
            watchers: BTreeMap::new(),
            watch_count: 0,
            transaction_count: 0,
            written_bytes: 0,
        }
    }

    /// What happens to the next call of this client, and to the store meanwhile.
    pub(super) fn trip(&mut self, client: i32) -> Trip {
        let faults = self.faults.clone();
        if self.chance.happens(faults.compaction_per_mille) {
            self.compact();
        }
        if self.chance.happens(faults.lease_loss_per_mille) {
            self.revoke_leases(Some(client));
        }
        if self.chance.happens(faults.all_leases_per_mille) {
            self.revoke_leases(None);
        }
        if self.chance.happens(faults.outage_per_mille) {
            let length = self.chance.up_to(faults.outage_max);
            self.outage_until = Some(reactor::now() + length);
        }
        let fate = if self.chance.happens(faults.unknown_per_mille) {
            match self.chance.next() % 3 {
                0 => Fate::Dropped,
                1 => Fate::Done,
                _ => Fate::Late(self.chance.up_to(faults.late_max)),
            }
        } else {
            Fate::Answered
        };
        Trip {
            there: self.chance.up_to(faults.delay_max),
            back: self.chance.up_to(faults.delay_max),
            fate,
        }
    }

    pub(super) fn watch_is_lost(&mut self) -> bool {
        let per_mille = self.faults.watch_loss_per_mille;
        self.chance.happens(per_mille)
    }

    /// Ends what has run out by now.
    pub(super) fn pass_time(&mut self, now: Instant) {
        if self.outage_until.is_some_and(|until| until <= now) {
            self.outage_until = None;
            self.restart_leases(now);
        }
        if !self.has_majority() {
            return;
        }
        let over: Vec<LeaseId> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for lease in over {
            self.revoke(lease);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.leases
            .values()
            .map(|lease| lease.deadline)
            .chain(self.outage_until)
            .min()
    }

    fn has_majority(&self) -> bool {
        self.is_available && self.outage_until.is_none()
    }

    pub(super) fn is_reachable(&self, client: i32) -> bool {
        self.has_majority() && !self.partitioned.contains(&client)
    }

    pub(super) fn set_available(&mut self, now: Instant, is_available: bool) {
        if is_available && !self.is_available {
            self.restart_leases(now);
        }
        self.is_available = is_available;
        self.wake();
    }

    /// As a new leader of etcd does: every lease begins again.
    fn restart_leases(&mut self, now: Instant) {
        for lease in self.leases.values_mut() {
            lease.deadline = now + lease.ttl;
        }
        self.wake();
    }

    pub(super) fn set_partitioned(&mut self, client: i32, is_partitioned: bool) {
        if is_partitioned {
            self.partitioned.insert(client);
        } else {
            self.partitioned.remove(&client);
        }
        self.wake();
    }

    pub(super) fn get(&self, key: &str) -> Option<KeyValue> {
        self.entries.get(key).map(|entry| key_value(key, entry))
    }

    pub(super) fn range(&self, range: &KeyRange, order: Order, limit: usize) -> Found {
        let within = self
            .entries
            .range(range.from.clone()..range.to.clone().max(range.from.clone()));
        let pair = |(key, entry): (&String, &Entry)| key_value(key, entry);
        let entries = match order {
            Order::Ascending => within.take(limit).map(pair).collect(),
            Order::Descending => within.rev().take(limit).map(pair).collect(),
        };
        Found {
            entries,
            revision: self.revision,
        }
    }

    pub(super) fn transact(&mut self, transaction: &Transaction) -> Outcome {
        let steps = &transaction.steps;
        let too_large =
            |step: &Step| matches!(step, Step::Put { value, .. } if value.len() > LIMITS.value_bytes);
        if steps.len() > LIMITS.steps || steps.iter().any(too_large) {
            return Outcome::Rejected(Rejection::TooLarge);
        }
        if !steps.iter().all(|step| self.is_as_expected(step)) && !planted::is(Bug::FenceNotChecked) {
            return Outcome::Refused;
        }
        for step in steps {
            if let Step::Put {
                lease: Some(lease), ..
            } = step
                && !self.leases.contains_key(lease)
            {
                return Outcome::LeaseLost;
            }
        }
        let changes = steps.iter().any(|step| !matches!(step, Step::Check { .. }));
        if changes {
            self.revision = Revision(self.revision.0 + 1);
            self.transaction_count += 1;
        }
        let version = Version(self.revision.0);
        let mut versions = Vec::with_capacity(steps.len());
        for step in steps {
            match step {
                Step::Check { version, .. } => versions.push(*version),
                Step::Put {
                    key, value, lease, ..
                } => {
                    let entry = Entry {
                        value: value.clone(),
                        created: self.entries.get(key).map_or(version, |old| old.created),
                        version,
                        lease: *lease,
                    };
                    self.written_bytes += value.len() as u64;
                    self.record(key, Some(key_value(key, &entry)));
                    self.entries.insert(key.clone(), entry);
                    versions.push(Some(version));
                }
                Step::Delete { key, .. } => {
                    self.entries.remove(key);
                    self.record(key, None);
                    versions.push(None);
                }
            }
        }
        self.wake();
        Outcome::Done(versions)
    }

    fn is_as_expected(&self, step: &Step) -> bool {
        match (self.entries.get(step.key()), step.expected()) {
            (Some(entry), Some(expected)) if self.faults.compares_creation => entry.created <= expected,
            (Some(entry), Some(expected)) => entry.version == expected,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    pub(super) fn delete_range(&mut self, range: &KeyRange) {
        let keys: Vec<String> = self
            .entries
            .range(range.from.clone()..range.to.clone().max(range.from.clone()))
            .map(|(key, _)| key.clone())
            .collect();
        self.delete(keys);
    }

    fn delete(&mut self, keys: Vec<String>) {
        if keys.is_empty() {
            return;
        }
        self.revision = Revision(self.revision.0 + 1);
        for key in keys {
            self.entries.remove(&key);
            self.record(&key, None);
        }
        self.wake();
    }

    fn record(&mut self, key: &str, now: Option<KeyValue>) {
        let revision = self.revision;
        self.history.push_back(Change {
            key: key.to_owned(),
            now,
            revision,
        });
        if self.history.len() > HISTORY_MAX
            && let Some(oldest) = self.history.pop_front()
        {
            self.compact_to(oldest.revision);
        }
    }

    /// What changed in the range after this revision.
    pub(super) fn changes(&self, range: &KeyRange, after: Revision) -> Vec<Change> {
        let first = self.history.partition_point(|change| change.revision <= after);
        let changes = self.history.range(first..);
        changes
            .filter(|change| range.contains(&change.key))
            .cloned()
            .collect()
    }

    pub(super) fn compact(&mut self) {
        self.compact_to(self.revision);
    }

    pub(super) fn compact_to(&mut self, revision: Revision) {
        let revision = revision.min(self.revision);
        self.compacted = self.compacted.max(revision);
        let kept = self.history.partition_point(|change| change.revision <= revision);
        self.history.drain(..kept);
        self.wake();
    }

    pub(super) fn grant(&mut self, now: Instant, client: i32, ttl: Duration) -> LeaseId {
        self.lease_count += 1;
        let id = LeaseId(self.lease_count);
        let lease = Lease {
            client,
            ttl,
            deadline: now + ttl,
        };
        self.leases.insert(id, lease);
        id
    }

    pub(super) fn keep_alive(&mut self, now: Instant, id: LeaseId) -> KeepAlive {
        match self.leases.get_mut(&id) {
            Some(lease) => {
                lease.deadline = now + lease.ttl;
                KeepAlive::Alive
            }
            None => KeepAlive::Lost,
        }
    }

    pub(super) fn revoke_leases(&mut self, client: Option<i32>) {
        let chosen: Vec<LeaseId> = self
            .leases
            .iter()
            .filter(|(_, lease)| client.is_none_or(|client| client == lease.client))
            .map(|(id, _)| *id)
            .collect();
        for lease in chosen {
            self.revoke(lease);
        }
    }

    pub(super) fn revoke(&mut self, lease: LeaseId) {
        if self.leases.remove(&lease).is_none() {
            return;
        }
        let keys: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.lease == Some(lease))
            .map(|(key, _)| key.clone())
            .collect();
        self.delete(keys);
    }

    pub(super) fn backup(&self) -> Vec<(String, Vec<u8>)> {
        let kept = self.entries.iter().filter(|(_, entry)| entry.lease.is_none());
        kept.map(|(key, entry)| (key.clone(), entry.value.clone()))
            .collect()
    }

    /// Watches find their history gone; leases are over.
    pub(super) fn restore(&mut self, backup: &[(String, Vec<u8>)]) {
        self.leases.clear();
        self.revision = Revision(self.revision.0 + 1);
        let version = Version(self.revision.0);
        self.entries = backup
            .iter()
            .map(|(key, value)| {
                let entry = Entry {
                    value: value.clone(),
                    created: version,
                    version,
                    lease: None,
                };
                (key.clone(), entry)
            })
            .collect();
        self.compact();
    }

    pub(super) fn new_watch(&mut self) -> u64 {
        self.watch_count += 1;
        self.watch_count
    }

    pub(super) fn wait(&mut self, watch: u64, waker: &Waker) {
        self.watchers.insert(watch, waker.clone());
    }

    pub(super) fn end_watch(&mut self, watch: u64) {
        self.watchers.remove(&watch);
    }

    fn wake(&mut self) {
        for waker in std::mem::take(&mut self.watchers).into_values() {
            waker.wake();
        }
    }
}

fn key_value(key: &str, entry: &Entry) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: entry.value.clone(),
        version: entry.version,
    }
}
