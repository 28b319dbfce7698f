//! An open file of the simulated disk.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::directory::NodeId;
use super::disk::SimDisk;
use super::machine::{FILE_BYTES_MAX, Fallible, Machine};
use crate::sleep;

#[derive(Clone, Debug)]
pub(crate) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) node: NodeId,
    pub(super) boot: u64,
    pub(super) is_writable: bool,
    /// As it was opened, for traces.
    pub(super) name: Arc<str>,
}

impl SimFile {
    pub(super) fn name(&self) -> String {
        self.name.to_string()
    }

    /// Runs `f` on a machine that is alive.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Machine, &SimFile) -> io::Result<T>) -> io::Result<T> {
        let mut machine = self.disk.machine();
        machine.check_alive(self.boot)?;
        f(&mut machine, self)
    }

    pub(crate) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|machine, file| {
            machine.spend();
            let failed = machine.may_fail(Fallible::Read);
            let read = match failed {
                Ok(()) => machine.file(file.node).map(|content| content.read(buf, offset)),
                Err(error) => Err(error),
            };
            let numbers = [offset, buf.len() as u64];
            machine.trace("read", file.node, numbers, || file.name(), &read);
            read
        })
    }

    /// Waits for the disk, then reads up to `len` bytes; fewer where the file ends.
    pub(crate) async fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.wait().await?;
        let available = self.len()?.saturating_sub(offset);
        let len = len.min(usize::try_from(available).unwrap_or(usize::MAX));
        let mut buf = vec![0; len];
        let n = self.read_at(&mut buf, offset)?;
        buf.truncate(n);
        Ok(Bytes::from(buf))
    }

    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|machine, file| {
            let written = file.write(machine, bytes, offset);
            machine.trace.mix_bytes(bytes);
            let numbers = [offset, bytes.len() as u64];
            machine.trace("write", file.node, numbers, || file.name(), &written);
            written
        })
    }

    fn write(&self, machine: &mut Machine, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        machine.begin_operation()?;
        machine.spend();
        let end = offset.saturating_add(bytes.len() as u64);
        if end > FILE_BYTES_MAX {
            return Err(machine.full());
        }
        let offset = offset as usize;
        if let Err(error) = machine.may_fail(Fallible::Write) {
            let written = machine.chance.index(bytes.len() + 1);
            machine.file(self.node)?.write(offset, &bytes[..written]);
            return Err(error);
        }
        let growth = end.saturating_sub(machine.file(self.node)?.cached().len() as u64);
        let room = machine.room_for(growth);
        let written = bytes.len() - ((growth - room) as usize).min(bytes.len());
        machine.file(self.node)?.write(offset, &bytes[..written]);
        if written < bytes.len() {
            return Err(machine.full());
        }
        Ok(())
    }

    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|machine, file| {
            let done = file.change_len(machine, len);
            machine.trace("set_len", file.node, [len, 0], || file.name(), &done);
            done
        })
    }

    fn change_len(&self, machine: &mut Machine, len: u64) -> io::Result<()> {
        self.check_writable()?;
        machine.begin_operation()?;
        machine.spend();
        machine.may_fail(Fallible::Write)?;
        let growth = len.saturating_sub(machine.file(self.node)?.cached().len() as u64);
        if len > FILE_BYTES_MAX || machine.room_for(growth) < growth {
            return Err(machine.full());
        }
        machine.file(self.node)?.set_len(len as usize);
        Ok(())
    }

    /// Finds out whether there is room. What is reserved is not kept for the file: that makes the disk fuller than it must
    /// be, never emptier.
    pub(crate) fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.with(|machine, file| {
            file.check_writable()?;
            machine.spend();
            let end = offset.saturating_add(len);
            let growth = end.saturating_sub(machine.file(file.node)?.cached().len() as u64);
            let room = if end > FILE_BYTES_MAX {
                0
            } else {
                machine.room_for(growth)
            };
            let done = if room < growth {
                Err(machine.full())
            } else {
                Ok(())
            };
            machine.trace("allocate", file.node, [offset, len], || file.name(), &done);
            done
        })
    }

    /// Anybody's guess.
    pub(crate) fn is_resident(&self) -> bool {
        self.with(|machine, _| Ok(machine.chance.coin())).unwrap_or(false)
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        self.with(|machine, file| Ok(machine.file(file.node)?.cached().len() as u64))
    }

    pub(crate) async fn sync_data(&self) -> io::Result<()> {
        let (mark, latency) = self.with(|machine, file| {
            let begun = machine.begin_operation();
            machine.trace("begin sync", file.node, [0; 2], || file.name(), &begun);
            begun?;
            let mark = machine.file(file.node)?.mark();
            Ok((mark, machine.take_latency_ns()))
        })?;
        sleep(Duration::from_nanos(latency)).await;
        self.finish_sync(mark)
    }

    pub(crate) fn sync_data_blocking(&self) -> io::Result<()> {
        let mark = self.with(|machine, file| {
            let latency = machine.take_latency_ns();
            machine.advance_to(machine.now_ns() + latency);
            Ok(machine.file(file.node)?.mark())
        })?;
        self.finish_sync(mark)
    }

    fn finish_sync(&self, mark: u64) -> io::Result<()> {
        self.with(|machine, file| {
            let synced = machine
                .begin_operation()
                .and_then(|()| machine.sync_file(file.node, mark));
            machine.trace("sync", file.node, [mark, 0], || file.name(), &synced);
            synced
        })
    }

    /// See [`crate::File::wait_writeback_blocking`]: nothing becomes durable by it, and a failure it tells is told to nobody else.
    pub(crate) fn wait_writeback(&self) -> io::Result<()> {
        self.with(|machine, file| {
            let written = machine
                .begin_operation()
                .and_then(|()| machine.write_back(file.node));
            machine.trace("wait for write-back", file.node, [0; 2], || file.name(), &written);
            written
        })
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.is_writable {
            return Ok(());
        }
        Err(io::Error::from_raw_os_error(libc::EBADF))
    }

    /// See [`crate::File::drop_clean_pages`]; fails with nothing, as the advice to the kernel does.
    pub(crate) fn drop_clean_pages(&self) {
        let _advice = self.with(|machine, file| {
            machine.file(file.node)?.drop_clean();
            Ok(())
        });
    }

    /// Waits as long as the disk takes for one operation.
    async fn wait(&self) -> io::Result<()> {
        let latency = self.with(|machine, _| Ok(machine.take_latency_ns()))?;
        sleep(Duration::from_nanos(latency)).await;
        Ok(())
    }
}

impl Machine {
    pub(super) fn sync_file(&mut self, node: NodeId, mark: u64) -> io::Result<()> {
        self.write_back_or_lose(node, mark)?;
        self.file(node)?.sync(mark);
        Ok(())
    }

    fn write_back(&mut self, node: NodeId) -> io::Result<()> {
        let mark = self.file(node)?.mark();
        self.write_back_or_lose(node, mark)
    }

    fn write_back_or_lose(&mut self, node: NodeId, mark: u64) -> io::Result<()> {
        if self.file(node)?.is_clean() {
            return Ok(());
        }
        let failed = self.may_fail(Fallible::Sync);
        if failed.is_err() {
            let mut chance = self.chance.clone();
            let evict = chance.coin();
            self.file(node)?.fail_sync(mark, evict, &mut chance);
            self.chance = chance;
        }
        failed
    }
}
