//! Beginning an epoch, appending under it, ending it.

use std::rc::Rc;
use std::time::Duration;

use engine::types::{Offset, Timestamp};
use uuid::Uuid;

use super::entry;
use super::log::{Accepted, Leading, Patience, Shared, StoreMetaLog};
use super::value::{self, Epoch, Epochs, Head};
use crate::record::{ControllerEpoch, Record};
use crate::store::batch::{self, Control, LogBatch};
use crate::store::error::AppendError;
use crate::store::kv::{KeyValue, Outcome, Rejection, Step, StoreError, Transaction, Version};
use crate::store::meta_log::{Appended, LeadError, Leadership};

/// How long [`StoreMetaLog::lead`] asks a store that is away who leads, before anything is written.
const ASK_MAX: Duration = Duration::from_secs(5);
/// Tries of a resignation that brings no answer. Those who come after find out by themselves.
const RESIGN_TRIES: u32 = 5;

/// Who leads, and where the log ends, as read at about one time.
struct Seen {
    epochs: Epochs,
    epoch_version: Version,
    controller: Option<(Leadership, Version)>,
    head: Head,
    head_version: Version,
}

/// What a transaction came to, once that is certain.
enum Settled {
    Done(Vec<Option<Version>>),
    /// It did not happen in any sending, or happened in an earlier one than the one that was refused.
    Refused,
    LeaseLost,
    Rejected(Rejection),
}

impl StoreMetaLog {
    /// See [`crate::store::MetaLog::lead`].
    pub async fn lead(&self, predecessor: Option<ControllerEpoch>) -> Result<ControllerEpoch, LeadError> {
        let shared = Rc::clone(self.shared());
        // A task of its own: a caller that stops waiting must not leave an attempt in doubt.
        let task = reactor::spawn(async move {
            let _turn = shared.turn().await;
            shared.take_over(predecessor).await
        });
        task.await
    }

    /// See [`crate::store::MetaLog::append`].
    pub async fn append(&self, epoch: ControllerEpoch, records: &[Record]) -> Result<Appended, AppendError> {
        let shared = Rc::clone(self.shared());
        let records = records.to_vec();
        let task = reactor::spawn(async move {
            let _turn = shared.turn().await;
            shared.append(epoch, records).await
        });
        task.await
    }

    /// See [`crate::store::MetaLog::resign`].
    pub async fn resign(&self, epoch: ControllerEpoch) {
        let shared = Rc::clone(self.shared());
        let task = reactor::spawn(async move {
            let _turn = shared.turn().await;
            shared.resign(epoch).await;
        });
        task.await;
    }
}

impl Shared {
    async fn take_over(&self, predecessor: Option<ControllerEpoch>) -> Result<ControllerEpoch, LeadError> {
        let attempt = Uuid::from_u64_pair(reactor::random_u64(), reactor::random_u64());
        let mut patience = Patience::default();
        loop {
            if let Some(fault) = self.state.borrow().fault.clone() {
                return Err(AppendError::Fault(fault).into());
            }
            let seen = reactor::timeout(ASK_MAX, self.look()).await;
            let seen = seen.map_err(|_| LeadError::Unavailable("nobody answers".to_owned()))??;
            if let Some(epoch) = seen.epochs.begun_by(attempt).cloned() {
                if seen.head.offset > epoch.start {
                    return self.lead_found(epoch, seen);
                }
                patience.pause("it happened between two looks").await;
                continue;
            }
            if let Some((leadership, _)) = &seen.controller {
                let is_own = leadership.controller == self.member.id;
                if !is_own && Some(leadership.epoch) != predecessor {
                    let taken = LeadError::Taken(leadership.clone());
                    self.saw_successor(seen);
                    return Err(taken);
                }
            }
            let next = seen.epochs.current().0.checked_add(1);
            let epoch = Epoch {
                epoch: ControllerEpoch(next.ok_or(AppendError::EpochsExhausted)?),
                controller: self.member.id,
                start: seen.head.offset,
                attempt,
            };
            let (transaction, entry) = self.take_over_transaction(&seen, &epoch)?;
            match self.settle(&transaction).await {
                Settled::Done(versions) => return Ok(self.began(epoch, &seen, &versions, entry)),
                // Somebody was faster, or we were without hearing of it: the next look tells.
                Settled::Refused => {}
                Settled::LeaseLost => {
                    self.renew.notify_one();
                    patience.pause("the lease is gone").await;
                }
                Settled::Rejected(rejection) => return Err(refusal(rejection, &entry.value).into()),
            }
        }
    }

    /// Somebody else leads: told at once, not when the watch gets there. Who goes on believing in the one before would campaign against each
    /// successor as it comes.
    fn saw_successor(&self, seen: Seen) {
        {
            let mut state = self.state.borrow_mut();
            if seen.epochs.current() < state.epochs.current() {
                return; // a server that answers from the past
            }
            state.saw_epochs(seen.epochs);
            state.controller = seen.controller;
            state.generation += 1;
        }
        self.changed.notify_waiters();
    }

    fn take_over_transaction(&self, seen: &Seen, epoch: &Epoch) -> Result<(Transaction, Entry), AppendError> {
        let control = Control::LeaderChange {
            leader: self.member.id,
            voters: vec![self.member.id],
        };
        let now = Timestamp(reactor::wall_ms());
        let bytes = batch::encode_control(epoch.start, epoch.epoch, now, &[control])?;
        let entry = Entry {
            batch: LogBatch {
                base_offset: epoch.start,
                last_offset: epoch.start,
                epoch: epoch.epoch,
                timestamp: now,
                records: Vec::new(),
            },
            value: entry::encode(&bytes),
        };
        let leadership = self.own_leadership(epoch.epoch);
        let steps = vec![
            Step::Put {
                key: self.keys.controller_epoch(),
                version: Some(seen.epoch_version),
                value: seen.epochs.with(epoch.clone()).encode(),
                lease: None,
            },
            Step::Put {
                key: self.keys.controller(),
                version: seen.controller.as_ref().map(|(_, version)| *version),
                value: value::encode_controller(&leadership),
                lease: Some(self.state.borrow().lease),
            },
            self.head_step(&entry.head_after(&seen.head), seen.head_version),
            self.entry_step(&entry),
        ];
        Ok((Transaction { steps }, entry))
    }

    pub(super) fn own_leadership(&self, epoch: ControllerEpoch) -> Leadership {
        Leadership {
            controller: self.member.id,
            epoch,
            endpoint: self.member.endpoint.clone(),
        }
    }

    fn head_step(&self, head: &Head, expected: Version) -> Step {
        Step::Put {
            key: self.keys.log_head(),
            version: Some(expected),
            value: head.encode(),
            lease: None,
        }
    }

    fn entry_step(&self, entry: &Entry) -> Step {
        Step::Put {
            key: self.keys.entry(entry.batch.base_offset),
            version: None,
            value: entry.value.clone(),
            lease: None,
        }
    }

    /// Our transaction of taking over has happened.
    fn began(
        &self,
        epoch: Epoch,
        seen: &Seen,
        versions: &[Option<Version>],
        entry: Entry,
    ) -> ControllerEpoch {
        let version = |step: usize| versions.get(step).copied().flatten().unwrap_or(Version(-1));
        let number = epoch.epoch;
        {
            let mut state = self.state.borrow_mut();
            state.jump(&seen.head);
            let head = entry.head_after(&seen.head);
            state.accept(entry.batch, entry.value.len());
            state.epochs = seen.epochs.with(epoch);
            state.controller = Some((self.own_leadership(number), version(1)));
            state.leads = Some(Leading {
                epoch: number,
                epoch_version: version(0),
                head,
                head_version: version(2),
            });
            state.generation += 1;
        }
        self.changed.notify_waiters();
        number
    }

    /// The store says that our attempt has won, which the answer that was lost would have said.
    fn lead_found(&self, own: Epoch, seen: Seen) -> Result<ControllerEpoch, LeadError> {
        let is_current = seen.epochs.current() == own.epoch;
        {
            let mut state = self.state.borrow_mut();
            state.jump(&seen.head);
            state.saw_epochs(seen.epochs);
            if is_current {
                state.leads = Some(Leading {
                    epoch: own.epoch,
                    epoch_version: seen.epoch_version,
                    head: seen.head,
                    head_version: seen.head_version,
                });
            }
            state.controller = seen.controller.clone();
            state.generation += 1;
        }
        self.changed.notify_waiters();
        match seen.controller {
            // if the lease took the key with it, its renewal brings it back
            _ if is_current => Ok(own.epoch),
            Some((leadership, _)) => Err(LeadError::Taken(leadership)),
            None => Err(LeadError::Unavailable("deposed as soon as it began".to_owned())),
        }
    }

    async fn append(&self, epoch: ControllerEpoch, records: Vec<Record>) -> Result<Appended, AppendError> {
        let leading = {
            let state = self.state.borrow();
            if let Some(fault) = &state.fault {
                return Err(fault.clone().into());
            }
            match state.leads {
                Some(leading) if leading.epoch == epoch => leading,
                _ => {
                    return Err(AppendError::Fenced {
                        own: epoch,
                        current: state.epochs.current(),
                    });
                }
            }
        };
        let base = leading.head.offset;
        let now = Timestamp(reactor::wall_ms());
        let bytes = batch::encode(base, epoch, now, &records)?;
        let last = base.saturating_add(records.len() as i64 - 1);
        let entry = Entry {
            batch: LogBatch {
                base_offset: base,
                last_offset: last,
                epoch,
                timestamp: now,
                records,
            },
            value: entry::encode(&bytes),
        };
        let head = entry.head_after(&leading.head);
        let check = Step::Check {
            key: self.keys.controller_epoch(),
            version: Some(leading.epoch_version),
        };
        let steps = vec![
            check,
            self.head_step(&head, leading.head_version),
            self.entry_step(&entry),
        ];
        let head_version = match self.settle(&Transaction { steps }).await {
            Settled::Done(versions) => versions.get(1).copied().flatten(),
            Settled::Refused => self.after_refusal(epoch, &leading, &head).await?,
            Settled::Rejected(rejection) => return Err(refusal(rejection, &entry.value)),
            Settled::LeaseLost => None, // it has none
        };
        {
            let mut state = self.state.borrow_mut();
            let accepted = state.accept(entry.batch, entry.value.len());
            debug_assert!(accepted != Accepted::Gap, "a controller knows its log's end");
            match (&mut state.leads, head_version) {
                (Some(leading), Some(version)) if leading.epoch == epoch => {
                    leading.head = head;
                    leading.head_version = version;
                }
                // it is written, but it was the last
                (leads, _) => *leads = None,
            }
        }
        self.changed.notify_waiters();
        Ok(Appended {
            base_offset: base,
            last_offset: last,
        })
    }

    /// A refused append has happened earlier, or never will. The head's version if it has and we still lead; `None` if it has and we
    /// no longer do.
    async fn after_refusal(
        &self,
        epoch: ControllerEpoch,
        leading: &Leading,
        head: &Head,
    ) -> Result<Option<Version>, AppendError> {
        let key = self.keys.log_head();
        let seen = match self.look().await {
            Ok(seen) => seen,
            Err(error) => return Err(self.fail("append", &key, &error.to_string()).into()),
        };
        if seen.epochs.current() == epoch && seen.epoch_version == leading.epoch_version {
            // Nobody led since, so only our own sendings can have moved the head.
            if seen.head.log_id == head.log_id && seen.head.offset == head.offset {
                return Ok(Some(seen.head_version));
            }
            let cause = format!(
                "the log ends at {}, not at {}: the store went back in time",
                seen.head.offset, head.offset
            );
            return Err(self.fail("append", &key, &cause).into());
        }
        let base = leading.head.offset;
        let happened = match seen.epochs.successor(epoch) {
            // What we wrote lies before what our successor began with, or it never came in.
            Some(successor) => successor.start > base,
            None => {
                let cause = format!(
                    "controller epoch {epoch} is no longer remembered: nobody knows what became of it"
                );
                return Err(self.fail("append", &key, &cause).into());
            }
        };
        let current = seen.epochs.current();
        {
            let mut state = self.state.borrow_mut();
            state.saw_epochs(seen.epochs);
            state.leads = None;
        }
        self.changed.notify_waiters();
        if happened {
            Ok(None)
        } else {
            Err(AppendError::Fenced { own: epoch, current })
        }
    }

    async fn resign(&self, epoch: ControllerEpoch) {
        let (leading, version) = {
            let mut state = self.state.borrow_mut();
            let Some(leading) = state.leads.filter(|leading| leading.epoch == epoch) else {
                return;
            };
            // Nothing more is appended, whatever becomes of the key.
            state.leads = None;
            state.generation += 1;
            let own = state
                .controller
                .as_ref()
                .filter(|(leadership, _)| leadership.epoch == epoch);
            (leading, own.map(|(_, version)| *version))
        };
        self.changed.notify_waiters();
        let Some(version) = version else { return };
        let steps = vec![
            Step::Check {
                key: self.keys.controller_epoch(),
                version: Some(leading.epoch_version),
            },
            Step::Delete {
                key: self.keys.controller(),
                version,
            },
        ];
        let transaction = Transaction { steps };
        let mut patience = Patience::default();
        for _ in 0..RESIGN_TRIES {
            match self.store.transact(&transaction).await {
                Outcome::Done(_) => break,
                Outcome::Unknown(why) => patience.pause(&why).await,
                Outcome::Refused | Outcome::LeaseLost | Outcome::Rejected(_) => break,
            }
        }
        {
            let mut state = self.state.borrow_mut();
            let is_own = state
                .controller
                .as_ref()
                .is_some_and(|(leadership, _)| leadership.epoch == epoch);
            if is_own {
                state.controller = None;
                state.generation += 1;
            }
        }
        self.changed.notify_waiters();
    }

    /// Sends a transaction until its outcome is certain, however long that takes.
    async fn settle(&self, transaction: &Transaction) -> Settled {
        let mut patience = Patience::default();
        let mut in_doubt = false;
        loop {
            match self.store.transact(transaction).await {
                Outcome::Done(versions) => return Settled::Done(versions),
                Outcome::Refused => return Settled::Refused,
                Outcome::LeaseLost => return Settled::LeaseLost,
                // An earlier sending may have come in, or may still.
                Outcome::Rejected(rejection) if in_doubt => patience.pause(&format!("{rejection:?}")).await,
                Outcome::Rejected(rejection) => return Settled::Rejected(rejection),
                Outcome::Unknown(why) => {
                    in_doubt = true;
                    patience.pause(&why).await;
                }
            }
        }
    }

    async fn look(&self) -> Result<Seen, LeadError> {
        // The head first: if the epoch is still ours afterwards, nobody else has moved the head before.
        let head = self.get(&self.keys.log_head()).await;
        let epoch = self.get(&self.keys.controller_epoch()).await;
        let controller = self.get(&self.keys.controller()).await;
        let foreign = |what: &str| LeadError::Unavailable(format!("the store's {what} is not ours or gone"));
        let (epoch, head) = (
            epoch.ok_or_else(|| foreign("controller_epoch"))?,
            head.ok_or_else(|| foreign("log_head"))?,
        );
        let leadership = |found: &KeyValue| {
            value::decode_controller(&found.value).map(|found_value| (found_value, found.version))
        };
        Ok(Seen {
            epochs: Epochs::decode(&epoch.value).map_err(|_| foreign("controller_epoch"))?,
            epoch_version: epoch.version,
            controller: controller
                .as_ref()
                .map(leadership)
                .transpose()
                .map_err(|_| foreign("controller"))?,
            head: Head::decode(&head.value).map_err(|_| foreign("log_head"))?,
            head_version: head.version,
        })
    }
}

/// An entry on its way.
struct Entry {
    batch: LogBatch,
    value: Vec<u8>,
}

impl Entry {
    fn head_after(&self, head: &Head) -> Head {
        Head {
            log_id: head.log_id,
            offset: Offset(self.batch.last_offset.0.saturating_add(1)),
            cost: head.cost + entry::cost(self.value.len()),
        }
    }
}

fn refusal(rejection: Rejection, value: &[u8]) -> AppendError {
    let bytes = value.len();
    match rejection {
        Rejection::NoSpace => AppendError::NoSpace { bytes },
        Rejection::TooLarge => AppendError::TooLarge {
            bytes,
            max: crate::store::BATCH_BYTES_MAX,
        },
        Rejection::Denied(why) => AppendError::Denied(StoreError::Refused(why).to_string()),
    }
}
