//! Following the store: what others append, who leads.

use std::rc::Rc;
use std::time::Duration;

use engine::types::Offset;

use super::log::{Accepted, Patience, Shared};
use super::value::{self, Epochs, Head};
use crate::store::error::LogFault;
use crate::store::kv::{Change, KeyValue, Order, Revision, WatchEvent};

/// A head that seems to have gone back is looked at so often before it is believed: a ZooKeeper server may answer from the past.
const BACKWARD_LOOKS: u32 = 4;
const BACKWARD_PAUSE: Duration = Duration::from_millis(500);
/// Whoever is further behind reads what is asked for, when it is asked for.
const ENTRIES_AT_ONCE: usize = 32;

/// Runs until the log fails.
pub(super) async fn run(shared: Rc<Shared>, mut after: Revision) {
    let mut patience = Patience::default();
    loop {
        let watch = shared.store.watch(&shared.keys.followed(), after).await;
        match watch {
            Ok(mut watch) => loop {
                match watch.next().await {
                    WatchEvent::Changes(changes) => {
                        patience = Patience::default();
                        match shared.apply(&changes) {
                            Ok(Accepted::Next | Accepted::Known) => {}
                            Ok(Accepted::Gap) => break,
                            Err(_) => return,
                        }
                    }
                    WatchEvent::Touched => {
                        patience = Patience::default();
                        if shared.catch_up().await.is_err() {
                            return;
                        }
                    }
                    WatchEvent::Progress(_) => patience = Patience::default(),
                    WatchEvent::Compacted => {
                        tracing::info!("the history of the store that was watched is gone: reading anew");
                        break;
                    }
                    WatchEvent::Lost(why) => {
                        tracing::debug!(why, "watch lost");
                        patience.pause(&why).await;
                        break;
                    }
                }
            },
            Err(error) => patience.wait(&error).await,
        }
        // Always from what is there now: cheaper to reason about than which part of a history was told.
        match shared.catch_up().await {
            Ok(revision) => after = revision,
            Err(_) => return,
        }
    }
}

impl Shared {
    /// Reads who leads and what the log has beyond what is known. Everything after the revision is still to come.
    pub(super) async fn catch_up(&self) -> Result<Revision, LogFault> {
        let mut patience = Patience::default();
        let (generation, known_end) = {
            let state = self.state.borrow();
            (state.generation, state.end_offset)
        };
        let (controller, epoch) = (self.keys.controller(), self.keys.controller_epoch());
        let both = crate::store::kv::KeyRange {
            from: controller.clone(),
            to: format!("{epoch}\0"),
        };
        let found = loop {
            match self.store.range(&both, Order::Ascending, 2).await {
                Ok(found) => break found,
                Err(error) => patience.wait(&error).await,
            }
        };
        let of = |key: &str| found.entries.iter().find(|entry| entry.key == key);
        if let Some(epoch) = of(&epoch) {
            self.saw_epoch_value(epoch)?;
        }
        if self.state.borrow().generation == generation {
            self.saw_controller(of(&controller))?;
        }
        self.read_new_entries(known_end).await?;
        if let Err(error) = self.read_snapshot_head().await {
            return Err(self.fail("read", &self.keys.snapshot_head(), &error.to_string()));
        }
        self.changed.notify_waiters();
        Ok(found.revision)
    }

    /// `known_end` was known before this read began, so a head below it is one of an older store.
    async fn read_new_entries(&self, known_end: Offset) -> Result<(), LogFault> {
        let key = self.keys.log_head();
        let mut looks = 0;
        let head = loop {
            let found = self.get(&key).await.map(|found| Head::decode(&found.value));
            let cause = match found {
                Some(Ok(head)) if head.log_id != self.state.borrow().log_id => {
                    "another log has taken its place".to_owned()
                }
                Some(Ok(head)) if head.offset >= known_end => break head,
                Some(Ok(head)) => format!(
                    "it ends at {}, but reached {known_end}: restored from a backup?",
                    head.offset
                ),
                Some(Err(what)) => what.to_string(),
                None => "it is gone".to_owned(),
            };
            looks += 1;
            if looks >= BACKWARD_LOOKS {
                return Err(self.fail("read", &key, &cause));
            }
            reactor::sleep(BACKWARD_PAUSE).await;
        };
        // Each entry's key is the offset at which the one before ends: no listing is needed.
        for _ in 0..ENTRIES_AT_ONCE {
            let end = self.state.borrow().end_offset;
            if end >= head.offset {
                break;
            }
            let Some(found) = self.get(&self.keys.entry(end)).await else {
                break;
            };
            if self.saw_entry(&found)? == Accepted::Gap {
                break;
            }
        }
        // The rest is read when it is asked for.
        self.state.borrow_mut().jump(&head);
        Ok(())
    }

    /// Takes what a watch told.
    fn apply(&self, changes: &[Change]) -> Result<Accepted, LogFault> {
        let (controller, epoch) = (self.keys.controller(), self.keys.controller_epoch());
        let mut accepted = Accepted::Known;
        for change in changes {
            match &change.now {
                Some(now) if change.key == epoch => self.saw_epoch_value(now)?,
                now if change.key == controller => {
                    self.saw_controller_change(now.as_ref(), change.revision)?
                }
                Some(now) if self.keys.entry_offset(&change.key).is_some() => {
                    accepted = self.saw_entry(now)?;
                    if accepted == Accepted::Gap {
                        break;
                    }
                }
                // entries that a snapshot has made superfluous; keys of a newer version
                _ => {}
            }
        }
        self.changed.notify_waiters();
        Ok(accepted)
    }

    fn saw_entry(&self, found: &KeyValue) -> Result<Accepted, LogFault> {
        match self.decode_entry(found) {
            Ok((batch, bytes)) => Ok(self.state.borrow_mut().accept(batch, bytes)),
            Err(error) => Err(self.fail("read", &found.key, &error.to_string())),
        }
    }

    fn saw_epoch_value(&self, found: &KeyValue) -> Result<(), LogFault> {
        match Epochs::decode(&found.value) {
            Ok(epochs) => {
                self.state.borrow_mut().saw_epochs(epochs);
                Ok(())
            }
            Err(what) => Err(self.fail("read", &found.key, &what.to_string())),
        }
    }

    fn saw_controller(&self, found: Option<&KeyValue>) -> Result<(), LogFault> {
        let leadership = found.map(|found| {
            value::decode_controller(&found.value).map(|leadership| (leadership, found.version))
        });
        match leadership.transpose() {
            Ok(leadership) => {
                self.state.borrow_mut().controller = leadership;
                Ok(())
            }
            Err(what) => Err(self.fail("read", &self.keys.controller(), &what.to_string())),
        }
    }

    /// Of a store with history, where versions and deletions are in one order: what is older than what we know is not news.
    fn saw_controller_change(&self, now: Option<&KeyValue>, revision: Revision) -> Result<(), LogFault> {
        let known = self
            .state
            .borrow()
            .controller
            .as_ref()
            .map(|(_, version)| *version);
        match known {
            Some(known) if revision.0 < known.0 => Ok(()),
            _ => self.saw_controller(now),
        }
    }
}
