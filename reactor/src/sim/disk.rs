//! The handle of a simulated disk, for those who test with it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use super::config::{Faults, Halt};
use super::machine::{Counts, Machine};

/// A disk that outlives the runs on it. Clones are the same disk. See the model in [the module's documentation](super).
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Machine>>);

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDisk")
    }
}

impl Default for SimDisk {
    fn default() -> SimDisk {
        SimDisk::new()
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> SimDisk {
        SimDisk(Arc::new(Mutex::new(Machine::new())))
    }

    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        // why: a panic of the program under test must leave the disk to be looked at
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A disk of its own with the same content, as it is now.
    pub fn fork(&self) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(self.machine().clone())))
    }

    /// Whether the machine that ran has ended, or is about to.
    pub fn is_halted(&self) -> bool {
        self.machine().halted.is_some()
    }

    /// Stands for all operations and their results so far, over all runs.
    pub fn trace_hash(&self) -> u64 {
        self.machine().trace.hash()
    }

    /// Takes something of the tested program into the trace: an acknowledgement, a decision.
    pub fn note(&self, text: &str) {
        let mut machine = self.machine();
        machine.trace.mix_bytes(text.as_bytes());
        let now_ns = machine.now_ns();
        machine
            .trace
            .line(|| format!("{:>10}us -- {text}", now_ns / 1000));
    }

    /// Takes the readable lines, of runs with [`super::SimConfig::trace`].
    pub fn take_trace(&self) -> Vec<String> {
        self.machine().trace.take_lines()
    }

    /// Bytes the files may have together; `None`: no bound. Lowering it below what is there removes nothing.
    pub fn set_limit(&self, bytes: Option<u64>) {
        self.machine().set_limit(bytes);
    }

    pub fn used_bytes(&self) -> u64 {
        self.machine().used_bytes()
    }

    /// Goes by other probabilities from now on, until the next run.
    pub fn set_faults(&self, faults: Faults) {
        self.machine().faults = faults;
    }

    /// Halts the machine that runs, at once.
    pub fn halt(&self, halt: Halt) {
        self.machine().halt(halt);
    }

    /// Operations of this run that changed something or synced, see [`super::HaltAfter`].
    pub fn operations(&self) -> u64 {
        self.machine().operations()
    }

    /// Bit rot of a byte of a file, durable and cached. False if there is no such byte.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> bool {
        let mut machine = self.machine();
        let flipped = machine
            .find(path)
            .and_then(|node| machine.file(node))
            .is_ok_and(|content| content.flip_bit(usize::try_from(offset).unwrap_or(usize::MAX), bit));
        machine.counts.bits_flipped += u64::from(flipped);
        flipped
    }

    pub fn counts(&self) -> Counts {
        self.machine().counts
    }

    /// What panicking tasks said, over all runs.
    pub fn panics(&self) -> Vec<String> {
        self.machine().panics.clone()
    }

    /// The cached bytes of a file, without an operation. None if there is no such file.
    pub fn cached(&self, path: &Path) -> Option<Vec<u8>> {
        let mut machine = self.machine();
        let node = machine.find(path).ok()?;
        Some(machine.file(node).ok()?.cached().to_vec())
    }

    /// The bytes of a file that a power cut now would leave at least, without an operation.
    pub fn durable(&self, path: &Path) -> Option<Vec<u8>> {
        let mut machine = self.machine();
        let node = machine.find(path).ok()?;
        Some(machine.file(node).ok()?.durable().to_vec())
    }

    /// The names in a directory, without an operation.
    pub fn names(&self, path: &Path) -> Vec<String> {
        let mut machine = self.machine();
        let Ok(node) = machine.find(path) else {
            return Vec::new();
        };
        machine
            .directory(node)
            .map(|directory| directory.cached().keys().cloned().collect())
            .unwrap_or_default()
    }
}
