//! Direct writes: durable when they resolve, torn when the power goes before.

use std::io;

use super::config::Halt;
use super::directory::NodeId;
use super::file::SimFile;
use super::machine::{FILE_BYTES_MAX, Fallible, Machine, bad_disk};
use crate::{oneshot, sleep, spawn};

/// A direct write the disk has not answered yet.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    boot: u64,
    node: NodeId,
    offset: usize,
    bytes: Vec<u8>,
}

impl Machine {
    fn begin_direct(&mut self, node: NodeId, offset: u64, bytes: &[u8]) -> io::Result<u64> {
        self.begin_operation()?;
        let end = offset.saturating_add(bytes.len() as u64);
        if end > FILE_BYTES_MAX {
            return Err(self.full());
        }
        let growth = end.saturating_sub(self.file(node)?.cached().len() as u64);
        if self.room_for(growth) < growth {
            return Err(self.full());
        }
        self.trace.mix_bytes(bytes);
        let number = self.next_in_flight;
        self.next_in_flight += 1;
        let write = InFlight {
            boot: self.boot,
            node,
            offset: offset as usize,
            bytes: bytes.to_vec(),
        };
        self.in_flight.insert(number, write);
        Ok(number)
    }

    fn finish_direct(&mut self, number: u64) -> io::Result<()> {
        self.begin_operation()?;
        let Some(write) = self.in_flight.remove(&number) else {
            return Err(bad_disk());
        };
        let failed = self
            .may_fail(Fallible::Write)
            .and_then(|()| self.may_fail(Fallible::Sync));
        let mut chance = self.chance.clone();
        let content = self.file(write.node)?;
        match failed {
            Ok(()) => content.write_through(write.offset, &write.bytes),
            Err(_) => content.write_torn(write.offset, &write.bytes, &mut chance),
        }
        self.chance = chance;
        failed
    }

    /// What the machine's end makes of writes in flight.
    pub(super) fn end_in_flight(&mut self, halt: Halt) {
        let mut chance = self.chance.clone();
        for (number, write) in std::mem::take(&mut self.in_flight) {
            if halt == Halt::Kill && write.boot != self.boot {
                // of another process of a world's host
                self.in_flight.insert(number, write);
                continue;
            }
            let Ok(content) = self.file(write.node) else {
                continue;
            };
            match halt {
                Halt::PowerCut => content.write_torn(write.offset, &write.bytes, &mut chance),
                Halt::Kill if chance.coin() => content.write_through(write.offset, &write.bytes),
                Halt::Kill => {}
            }
        }
        self.chance = chance;
    }
}

impl SimFile {
    /// Writes around the page cache. The write goes on when the future is dropped.
    pub(crate) async fn write_synced(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (number, latency) = self.with(|machine, file| {
            let begun = machine.begin_direct(file.node, offset, bytes);
            let numbers = [offset, bytes.len() as u64];
            machine.trace("begin direct write", file.node, numbers, || file.name(), &begun);
            Ok((begun?, machine.take_latency_ns()))
        })?;
        let (sender, receiver) = oneshot::channel();
        let file = self.clone();
        spawn(async move {
            sleep(std::time::Duration::from_nanos(latency)).await;
            let finished = file.with(|machine, file| {
                let finished = machine.finish_direct(number);
                machine.trace(
                    "direct write",
                    file.node,
                    [offset, number],
                    || file.name(),
                    &finished,
                );
                finished
            });
            let _ = sender.send(finished);
        })
        .detach();
        receiver.await.unwrap_or_else(|oneshot::Dropped| Err(bad_disk()))
    }
}
