//! This member's lease, and what lives under it.

use std::rc::Rc;
use std::time::Duration;

use super::log::{Patience, Shared};
use super::value::{self, Registration};
use crate::store::error::OpenError;
use crate::store::kv::{
    KeepAlive, KeyValue, LeaseId, Outcome, Rejection, Step, Store, StoreError, Transaction, Version,
};
use crate::store::meta_log::Member;

use super::keys::Keys;

/// A lease is kept alive so often within its time.
const KEEP_ALIVES: u32 = 3;
/// After one that brought no answer.
const RETRY: Duration = Duration::from_millis(300);

/// What a registration found.
enum Attempt {
    Registered,
    /// Somebody else of this id, who may be alive.
    Occupied(Registration),
    Again(String),
    LeaseLost,
}

/// Enters `member` under `lease`, in place of its dead predecessor if there is one. Another broker of this id has as long as a lease to
/// prove dead.
pub(super) async fn enter(
    store: &Store,
    keys: &Keys,
    member: &Member,
    lease_ttl: Duration,
) -> Result<LeaseId, OpenError> {
    let deadline = reactor::now() + lease_ttl + lease_ttl / 2;
    let mut patience = Patience::default();
    let mut lease = grant(store, lease_ttl).await?;
    loop {
        match attempt(store, keys, member, lease).await? {
            Attempt::Registered => return Ok(lease),
            Attempt::Occupied(other) if reactor::now() >= deadline => {
                store.revoke(lease);
                return Err(OpenError::DuplicateBroker {
                    id: member.id,
                    incarnation_id: other.incarnation_id,
                    endpoint: other.endpoint,
                });
            }
            Attempt::Occupied(other) => {
                tracing::warn!(
                    id = member.id.0,
                    endpoint = %other.endpoint,
                    "a broker of this id with other log directories is registered: waiting for its lease to end"
                );
                reactor::sleep(lease_ttl / 10).await;
                if !matches!(
                    store.keep_alive(lease).await,
                    Ok(KeepAlive::Alive) | Err(StoreError::Unavailable(_))
                ) {
                    lease = grant(store, lease_ttl).await?;
                }
            }
            Attempt::Again(why) => patience.pause(&why).await,
            Attempt::LeaseLost => lease = grant(store, lease_ttl).await?,
        }
    }
}

async fn grant(store: &Store, lease_ttl: Duration) -> Result<LeaseId, OpenError> {
    let mut patience = Patience::default();
    let ttl = lease_ttl.max(store.limits().lease_min);
    loop {
        match store.grant(ttl).await {
            Ok(lease) => return Ok(lease),
            Err(error @ StoreError::Unavailable(_)) => patience.wait(&error).await,
            Err(error @ StoreError::Refused(_)) => return Err(OpenError::Store(error)),
        }
    }
}

async fn read(store: &Store, key: &str) -> Result<Option<KeyValue>, OpenError> {
    let mut patience = Patience::default();
    loop {
        match store.get(key).await {
            Ok(found) => return Ok(found),
            Err(error @ StoreError::Unavailable(_)) => patience.wait(&error).await,
            Err(error @ StoreError::Refused(_)) => return Err(OpenError::Store(error)),
        }
    }
}

async fn attempt(store: &Store, keys: &Keys, member: &Member, lease: LeaseId) -> Result<Attempt, OpenError> {
    let own = Registration::of(member);
    let key = keys.broker(member.id);
    let found = read(store, &key).await?;
    let mut steps = Vec::new();
    if let Some(found) = &found {
        let other = Registration::decode(&found.value).map_err(|what| OpenError::Value {
            key: key.clone(),
            what,
        })?;
        let is_own = other.incarnation_id == own.incarnation_id;
        if !is_own && !own.succeeds(&other) {
            return Ok(Attempt::Occupied(other));
        }
        if !is_own {
            // Our predecessor is dead, and so is the controller, if it was that.
            let key = keys.controller();
            if let Some(controller) = read(store, &key).await? {
                let leadership =
                    value::decode_controller(&controller.value).map_err(|what| OpenError::Value {
                        key: key.clone(),
                        what,
                    })?;
                if leadership.controller == member.id {
                    steps.push(Step::Delete {
                        key,
                        version: controller.version,
                    });
                }
            }
        }
    }
    steps.push(Step::Put {
        key,
        version: found.map(|found| found.version),
        value: own.encode(),
        lease: Some(lease),
    });
    match store.transact(&Transaction { steps }).await {
        Outcome::Done(_) => Ok(Attempt::Registered),
        Outcome::LeaseLost => Ok(Attempt::LeaseLost),
        // Also when an earlier attempt of ours came in: then the next one finds our own incarnation.
        Outcome::Refused => Ok(Attempt::Again(
            "the registration has changed meanwhile".to_owned(),
        )),
        Outcome::Unknown(why) => Ok(Attempt::Again(why)),
        Outcome::Rejected(Rejection::Denied(why)) => Err(OpenError::Store(StoreError::Refused(why))),
        Outcome::Rejected(rejection) => Ok(Attempt::Again(format!("{rejection:?}"))),
    }
}

/// Keeps the lease alive, and makes a new one when it is lost.
pub(super) async fn run(shared: Rc<Shared>) {
    let interval = shared.lease_ttl / KEEP_ALIVES;
    let mut pause = interval;
    loop {
        let _ = reactor::timeout(pause, shared.renew.notified()).await;
        pause = interval;
        let lease = shared.state.borrow().lease;
        match shared.store.keep_alive(lease).await {
            Ok(KeepAlive::Alive) => shared.restore_controller().await,
            Ok(KeepAlive::Lost) => {
                tracing::warn!("the store has ended this broker's lease: registering anew");
                match enter(&shared.store, &shared.keys, &shared.member, shared.lease_ttl).await {
                    Ok(lease) => {
                        shared.state.borrow_mut().lease = lease;
                        shared.changed.notify_waiters();
                        shared.restore_controller().await;
                    }
                    Err(error) => {
                        shared.fail(
                            "registration",
                            &shared.keys.broker(shared.member.id),
                            &error.to_string(),
                        );
                        return;
                    }
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the lease was not kept alive");
                pause = RETRY.min(interval);
            }
        }
    }
}

impl Shared {
    /// Who is the controller without anybody seeing it, because its lease took the key along, says so again. Its epoch goes on unless
    /// somebody else has begun one: then this is refused.
    async fn restore_controller(self: &Rc<Self>) {
        let (leading, lease) = {
            let state = self.state.borrow();
            (state.leads, state.lease)
        };
        let Some(leading) = leading else { return };
        let key = self.keys.controller();
        let generation = self.state.borrow().generation;
        if !matches!(self.store.get(&key).await, Ok(None)) {
            return;
        }
        let leadership = self.own_leadership(leading.epoch);
        let steps = vec![
            Step::Check {
                key: self.keys.controller_epoch(),
                version: Some(leading.epoch_version),
            },
            Step::Put {
                key,
                version: None,
                value: value::encode_controller(&leadership),
                lease: Some(lease),
            },
        ];
        if let Outcome::Done(versions) = self.store.transact(&Transaction { steps }).await {
            let mut state = self.state.borrow_mut();
            if state.generation == generation {
                let version = versions.get(1).copied().flatten().unwrap_or(Version(-1));
                state.controller = Some((leadership, version));
            }
        }
        // otherwise the next look finds out
    }
}
