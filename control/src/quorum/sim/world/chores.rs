//! What happens to the machines from outside: operators, power cuts, faults.

use std::time::Duration;

use bytes::Bytes;
use engine::types::Offset;

use super::super::node::Snapshot;
use super::{World, voter};
use crate::quorum::{
    AddVoter, Core, CoreConfig, Event, RemoveVoter, RequestId, Timers, UpdateVoter, VoterChange,
};
use crate::record::BrokerId;
use crate::store::SnapshotId;

impl World {
    pub(in crate::quorum::sim) fn crash(&mut self, id: BrokerId) {
        self.note(|| format!("{id} crashes"));
        let node = self.nodes.get_mut(&id).expect("there");
        node.crash(&mut self.chance);
    }

    pub(in crate::quorum::sim) fn start(&mut self, id: BrokerId) -> Result<(), String> {
        self.note(|| format!("{id} starts"));
        let own_now = self.clock(id);
        let seed = self.chance.next_u64();
        let node = self.nodes.get_mut(&id).expect("there");
        let config = CoreConfig {
            node: node.key,
            voters: self.up_front.clone(),
            timers: Timers::default(),
            seed,
        };
        let snapshot = node.disk.snapshot.as_ref();
        node.applied = snapshot.map_or((Offset::ZERO, 0), |snapshot| {
            (snapshot.id.end_offset, snapshot.state)
        });
        node.incarnation += 1;
        let core = Core::new(
            own_now,
            config,
            node.disk.election.clone(),
            node.disk.starting_log(),
        );
        node.core = Some(core);
        self.act(id, |core| core.step(own_now, Event::Tick))
    }

    pub(super) fn chore(&mut self) -> Result<(), String> {
        let everybody = self.ids();
        for id in everybody {
            let is_due = (self.calm && self.calm_left > 0) || self.one_in(self.plan.proposals);
            if is_due {
                self.propose(id)?;
            }
            if self.one_in(self.plan.snapshots) {
                self.make_snapshot(id)?;
            }
        }
        if self.one_in(self.plan.changes) {
            self.change_voters()?;
        }
        if self.one_in(self.plan.faults) {
            self.fault()?;
        }
        Ok(())
    }

    pub(in crate::quorum::sim) fn propose(&mut self, id: BrokerId) -> Result<(), String> {
        let (own_now, now) = (self.clock(id), self.now);
        let count = 1 + self.chance.below(3) as i64;
        let node = &self.nodes[&id];
        let Some(core) = node.core.as_ref().filter(|core| core.is_leader()) else {
            return Ok(());
        };
        if node.paused_until > now || node.disk_full_until > now || node.writes.len() > 3 {
            return Ok(());
        }
        let (epoch, base) = (core.epoch(), core.log().end());
        self.proposed += 1;
        self.calm_left -= u64::from(self.calm);
        let batch = Bytes::from(self.proposed.to_le_bytes().to_vec());
        let last = base.saturating_add(count - 1);
        self.act(id, |core| {
            core.propose(own_now, epoch, base, last, batch)
                .unwrap_or_default()
        })
    }

    pub(in crate::quorum::sim) fn make_snapshot(&mut self, id: BrokerId) -> Result<(), String> {
        let own_now = self.clock(id);
        let node = self.nodes.get_mut(&id).expect("there");
        let Some(core) = &node.core else {
            return Ok(());
        };
        let end = node.applied.0.min(core.log().durable());
        let Some(entry) = node.disk.entry_at(end.saturating_add(-1)) else {
            return Ok(());
        };
        if entry.last_offset.next() != end || end != node.applied.0 {
            return Ok(());
        }
        let snapshot_id = SnapshotId {
            end_offset: end,
            epoch: entry.epoch,
        };
        let snapshot = Snapshot {
            id: snapshot_id,
            state: node.applied.1,
            voters: core.log().voters_at(end).cloned(),
        };
        self.checker.snapshot(id, &snapshot)?;
        let kept = node
            .disk
            .snapshot
            .as_ref()
            .map_or(Offset::ZERO, |older| older.id.end_offset);
        let log_start = if self.chance.below(2) == 0 { end } else { kept };
        node.disk.snapshot = Some(snapshot);
        node.disk.forget_behind(log_start);
        let event = Event::SnapshotWritten {
            id: snapshot_id,
            log_start,
        };
        self.act(id, |core| core.step(own_now, event))
    }

    pub(in crate::quorum::sim) fn change_voters(&mut self) -> Result<(), String> {
        let leaders: Vec<BrokerId> = self
            .nodes
            .values()
            .filter(|node| node.core.as_ref().is_some_and(Core::is_leader))
            .map(|node| node.id)
            .collect();
        let subject = self.pick();
        let key = self.nodes[&subject].key;
        let kind = self.chance.below(8);
        for id in leaders {
            let core = self.nodes[&id].core.as_ref().expect("leads");
            let voter = voter(subject.0, key.directory);
            let change = if core.voters().contains(&key) {
                match kind {
                    0 => VoterChange::Update(UpdateVoter { voter }),
                    _ => VoterChange::Remove(RemoveVoter { key }),
                }
            } else {
                VoterChange::Add(AddVoter { voter })
            };
            self.next += 1;
            let request = RequestId(self.next);
            self.deliver(id, None, Event::Change { id: request, change })?;
        }
        Ok(())
    }

    fn fault(&mut self) -> Result<(), String> {
        let id = self.pick();
        let other = self.pick();
        match self.chance.below(12) {
            0 | 1 => self.crash(id),
            2..=4 => {
                if !self.nodes[&id].is_up() {
                    self.start(id)?;
                }
            }
            5 => {
                for id in self.ids() {
                    self.crash(id);
                }
            }
            6 => {
                self.blocked.insert((id, other));
            }
            7 => {
                for third in self.ids() {
                    self.blocked.insert((id, third));
                    self.blocked.insert((third, id));
                }
            }
            8 => self.blocked.clear(),
            9 => {
                let pause = Duration::from_millis(self.chance.below(1500));
                self.nodes.get_mut(&id).expect("there").paused_until = self.now + pause;
            }
            10 => {
                let full = Duration::from_millis(self.chance.below(800));
                self.nodes.get_mut(&id).expect("there").disk_full_until = self.now + full;
            }
            _ => {
                let jump = self.chance.below(5_000_000_000);
                self.nodes.get_mut(&id).expect("there").clock_ahead_ns += jump;
                self.schedule(id, Duration::ZERO)?;
            }
        }
        Ok(())
    }
}
