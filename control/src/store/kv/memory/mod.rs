//! A store like etcd within this process, for tests and for the simulation of whole clusters: the same contract, and on demand all that a
//! store can do to its clients ([`Faults`]).
//!
//! A [`MemoryCluster`] is shared by the brokers of a simulation; each has a [`MemoryStore`], its client.

mod faults;
mod watch;
mod world;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub use faults::Faults;
pub use watch::MemoryWatch;

use super::{
    Found, KeepAlive, KeyRange, KeyValue, LeaseId, Limits, Order, Outcome, Revision, StoreError, Transaction,
};
use faults::Fate;
use world::World;

/// As etcd's.
pub(super) const LIMITS: Limits = Limits {
    steps: 128,
    value_bytes: 1400 << 10,
    lease_min: Duration::from_millis(1),
};

/// The servers' side.
#[derive(Clone)]
pub struct MemoryCluster(Arc<Mutex<World>>);

impl fmt::Debug for MemoryCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCluster").finish_non_exhaustive()
    }
}

impl MemoryCluster {
    pub fn new(faults: Faults) -> MemoryCluster {
        MemoryCluster(Arc::new(Mutex::new(World::new(faults))))
    }

    /// The client of one broker; partitions are told by its id.
    pub fn client(&self, id: i32) -> MemoryStore {
        MemoryStore {
            cluster: self.clone(),
            id,
        }
    }

    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// No majority: nobody gets an answer until it is made available again. Leases do not run out meanwhile.
    pub fn set_available(&self, is_available: bool) {
        self.lock().set_available(reactor::now(), is_available);
    }

    /// This client's calls do not arrive, and its leases are not kept alive.
    pub fn set_partitioned(&self, client: i32, is_partitioned: bool) {
        self.lock().set_partitioned(client, is_partitioned);
    }

    /// Forgets all history up to now.
    pub fn compact(&self) {
        self.lock().compact();
    }

    /// What etcd-io/etcd#15247 does.
    pub fn revoke_all_leases(&self) {
        self.lock().revoke_leases(None);
    }

    pub fn revoke_leases_of(&self, client: i32) {
        self.lock().revoke_leases(Some(client));
    }

    /// Transactions that changed something, and the bytes of their values, since the begin.
    pub fn written(&self) -> (u64, u64) {
        let world = self.lock();
        (world.transaction_count, world.written_bytes)
    }

    /// Everything it holds, as a backup of it would.
    pub fn backup(&self) -> Vec<(String, Vec<u8>)> {
        self.lock().backup()
    }

    /// Goes back to what a backup held; everything else is gone.
    pub fn restore(&self, backup: &[(String, Vec<u8>)]) {
        self.lock().restore(backup);
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// One broker's client.
#[derive(Clone)]
pub struct MemoryStore {
    cluster: MemoryCluster,
    id: i32,
}

impl MemoryStore {
    pub(super) async fn get(&self, key: &str) -> Result<Option<KeyValue>, StoreError> {
        self.read(|world| world.get(key)).await
    }

    pub(super) async fn range(
        &self,
        range: &KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Found, StoreError> {
        self.read(|world| world.range(range, order, limit)).await
    }

    async fn read<T>(&self, look: impl FnOnce(&World) -> T) -> Result<T, StoreError> {
        let trip = self.cluster.lock().trip(self.id);
        reactor::sleep(trip.there).await;
        let found = {
            let mut world = self.cluster.lock();
            world.pass_time(reactor::now());
            world.is_reachable(self.id).then(|| look(&world))
        };
        let found = found.filter(|_| trip.fate == Fate::Answered);
        reactor::sleep(trip.back).await;
        found.ok_or_else(unavailable)
    }

    pub(super) async fn transact(&self, transaction: &Transaction) -> Outcome {
        let trip = self.cluster.lock().trip(self.id);
        reactor::sleep(trip.there).await;
        let late = match trip.fate {
            Fate::Answered | Fate::Done => None,
            Fate::Late(delay) => Some(delay),
            Fate::Dropped => return Outcome::Unknown("lost on its way".to_owned()),
        };
        if let Some(delay) = late {
            let (store, transaction) = (self.clone(), transaction.clone());
            reactor::spawn(async move {
                reactor::sleep(delay).await;
                store.apply(&transaction);
            })
            .detach();
            reactor::sleep(trip.back).await;
            return Outcome::Unknown("delayed on its way".to_owned());
        }
        let outcome = self.apply(transaction);
        reactor::sleep(trip.back).await;
        match outcome {
            Some(outcome) if trip.fate == Fate::Answered => outcome,
            Some(_) => Outcome::Unknown("the answer was lost".to_owned()),
            None => Outcome::Unknown("the store is not there".to_owned()),
        }
    }

    fn apply(&self, transaction: &Transaction) -> Option<Outcome> {
        let mut world = self.cluster.lock();
        world.pass_time(reactor::now());
        world.is_reachable(self.id).then(|| world.transact(transaction))
    }

    async fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> Result<T, StoreError> {
        let trip = self.cluster.lock().trip(self.id);
        reactor::sleep(trip.there).await;
        let changed = {
            let mut world = self.cluster.lock();
            world.pass_time(reactor::now());
            let arrives = world.is_reachable(self.id) && trip.fate != Fate::Dropped;
            arrives.then(|| change(&mut world))
        };
        reactor::sleep(trip.back).await;
        changed
            .filter(|_| trip.fate == Fate::Answered)
            .ok_or_else(unavailable)
    }

    pub(super) async fn delete_range(&self, range: &KeyRange) -> Result<(), StoreError> {
        self.change(|world| world.delete_range(range)).await
    }

    pub(super) async fn forget_history(&self, before: Revision) -> Result<(), StoreError> {
        self.change(|world| world.compact_to(before)).await
    }

    pub(super) async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let (now, id) = (reactor::now(), self.id);
        self.change(|world| world.grant(now, id, ttl)).await
    }

    pub(super) async fn keep_alive(&self, lease: LeaseId) -> Result<KeepAlive, StoreError> {
        self.change(|world| world.keep_alive(reactor::now(), lease)).await
    }

    pub(super) fn revoke(&self, lease: LeaseId) {
        let mut world = self.cluster.lock();
        if world.is_reachable(self.id) {
            world.revoke(lease);
        }
    }

    pub(super) fn watch(&self, range: &KeyRange, after: Revision) -> MemoryWatch {
        MemoryWatch::new(self.cluster.clone(), self.id, range.clone(), after)
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("no answer".to_owned())
}
