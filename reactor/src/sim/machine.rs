//! The state of the simulated machine: what is on its disk, its clock, what goes wrong next.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::chance::Chance;
use super::config::{Faults, Halt, HaltAfter, Latency, SimConfig};
use super::content::{Content, Fate};
use super::direct::InFlight;
use super::directory::{Directory, NodeId};
use super::trace::Trace;

/// What happened so far, over all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations that change something or sync.
    pub operations: u64,
    pub read_errors: u64,
    pub write_errors: u64,
    pub sync_errors: u64,
    pub directory_errors: u64,
    /// Operations refused because the disk was full.
    pub full: u64,
    pub bits_flipped: u64,
    pub slow: u64,
    pub power_cuts: u64,
    pub kills: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(Content),
    Directory(Directory),
}

/// The kinds of operation that fail by chance.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fallible {
    Read,
    Write,
    Sync,
    Directory,
}

pub(super) const ROOT: NodeId = 0;
/// Of a file, so that a bug does not fill the memory of the real machine.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 30;
/// What a disk without a limit claims to hold.
const TOTAL_BYTES: u64 = 1 << 40;
/// Wall clock at the start of the first run.
const WALL_START_MS: i64 = 1_700_000_000_000;
/// Between the end of a run and the start of the next.
const BOOT_NS: u64 = 1_000_000_000;

#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    next_node: NodeId,
    /// Files without a name that may still be open.
    pub(super) unlinked: BTreeSet<NodeId>,
    pub(super) locked: BTreeSet<NodeId>,
    pub(super) in_flight: BTreeMap<u64, InFlight>,
    pub(super) next_in_flight: u64,
    /// Handles of another run (in a world: of another process than the one that runs now) are dead.
    pub(super) boot: u64,
    boots: u64,
    pub(super) chance: Chance,
    pub(super) faults: Faults,
    latency: Latency,
    now_ns: u64,
    wall_offset_ms: i64,
    limit_bytes: Option<u64>,
    /// Operations of this run.
    operations: u64,
    halt_after: Option<HaltAfter>,
    pub(super) halted: Option<Halt>,
    pub(super) trace: Trace,
    pub(super) counts: Counts,
    pub(super) panics: Vec<String>,
}

impl Machine {
    pub(super) fn new() -> Machine {
        Machine {
            nodes: BTreeMap::from([(ROOT, Node::Directory(Directory::default()))]),
            next_node: ROOT + 1,
            unlinked: BTreeSet::new(),
            locked: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            next_in_flight: 0,
            boot: 0,
            boots: 0,
            chance: Chance::new(0),
            faults: Faults::default(),
            latency: Latency::default(),
            now_ns: 0,
            wall_offset_ms: 0,
            limit_bytes: None,
            operations: 0,
            halt_after: None,
            halted: None,
            trace: Trace::default(),
            counts: Counts::default(),
            panics: Vec::new(),
        }
    }

    /// Begins a run.
    pub(super) fn boot(&mut self, config: &SimConfig) {
        self.now_ns += BOOT_NS;
        self.begin(config);
    }

    /// The same at once.
    pub(super) fn begin(&mut self, config: &SimConfig) {
        self.boots += 1;
        self.boot = self.boots;
        self.chance = Chance::new(config.seed);
        self.faults = config.faults;
        self.latency = config.latency;
        self.halt_after = config.halt_after;
        self.operations = 0;
        self.halted = None;
        self.trace.is_readable = config.trace;
        self.trace.mix(self.boot);
        let boot = self.boot;
        self.trace
            .line(|| format!("boot {boot} with seed {}", config.seed));
    }

    /// The process of that boot runs from now on.
    pub(super) fn enter(&mut self, boot: u64, now_ns: u64) {
        self.boot = boot;
        self.advance_to(now_ns);
    }

    /// Halts the machine instead of the operation that comes after so many more.
    pub(super) fn halt_after(&mut self, halt: Halt, operations: u64) {
        let operation = self.operations + operations;
        self.halt_after = Some(HaltAfter { halt, operation });
    }

    pub(super) fn set_wall_offset(&mut self, ms: i64) {
        self.wall_offset_ms = ms;
    }

    pub(super) fn set_latency(&mut self, latency: Latency) {
        self.latency = latency;
    }

    /// Ends the process that runs now. `was_last`: nothing else runs on the machine.
    pub(super) fn end_process(&mut self, was_last: bool) {
        if was_last {
            self.shut_down();
            return;
        }
        self.end_in_flight(Halt::Kill);
        self.halted = None;
    }

    /// Ends a run: a process that ended by itself is to the disk what a killed one is.
    pub(super) fn shut_down(&mut self) {
        let halt = self.halted.unwrap_or(Halt::Kill);
        match self.halted {
            Some(Halt::PowerCut) => self.counts.power_cuts += 1,
            Some(Halt::Kill) => self.counts.kills += 1,
            None => {}
        }
        self.trace.mix(halt as u64);
        let halted = self.halted;
        self.trace.line(|| format!("the run ends: {halted:?}"));
        self.end_in_flight(halt);
        match halt {
            Halt::PowerCut => self.cut_power(),
            Halt::Kill => {
                // what a failed sync lost may now be seen to be lost
                if !self.faults.lost_pages_stay || self.chance.coin() {
                    for node in self.nodes.values_mut() {
                        if let Node::File(content) = node {
                            content.evict_clean();
                        }
                    }
                }
            }
        }
        for node in std::mem::take(&mut self.unlinked) {
            self.forget_if_unnamed(node);
        }
        self.locked.clear();
        self.halted = Some(halt);
    }

    fn cut_power(&mut self) {
        let fate = Fate::any(&mut self.chance);
        for node in self.nodes.values_mut() {
            match node {
                Node::File(content) => content.cut_power(fate, &mut self.chance),
                Node::Directory(directory) => directory.cut_power(&mut self.chance),
            }
        }
        let mut named = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(node) = open.pop() {
            if let Some(Node::Directory(directory)) = self.nodes.get(&node) {
                for child in directory.durable().values() {
                    if named.insert(*child) {
                        open.push(*child);
                    }
                }
            }
        }
        self.nodes.retain(|node, _| named.contains(node));
    }

    /// Drops a file that no directory names, neither on the disk nor in the cache, nor could after a power cut.
    pub(super) fn forget_if_unnamed(&mut self, node: NodeId) {
        let is_named = self.nodes.values().any(|other| match other {
            Node::Directory(directory) => directory.may_name(node),
            Node::File(_) => false,
        });
        if !is_named {
            self.nodes.remove(&node);
        }
    }

    pub(super) fn insert(&mut self, node: Node) -> NodeId {
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        id
    }

    pub(super) fn file(&mut self, node: NodeId) -> io::Result<&mut Content> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(content)) => Ok(content),
            Some(Node::Directory(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(bad_disk()),
        }
    }

    pub(super) fn directory(&mut self, node: NodeId) -> io::Result<&mut Directory> {
        match self.nodes.get_mut(&node) {
            Some(Node::Directory(directory)) => Ok(directory),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(bad_disk()),
        }
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.now_ns
    }

    pub(super) fn wall_ms(&self) -> i64 {
        WALL_START_MS + (self.now_ns / 1_000_000) as i64 + self.wall_offset_ms
    }

    pub(super) fn advance_to(&mut self, ns: u64) {
        self.now_ns = self.now_ns.max(ns);
    }

    /// How long the next operation takes.
    pub(super) fn take_latency_ns(&mut self) -> u64 {
        let Latency {
            min_ns,
            max_ns,
            slow_ppm,
            slow_ns,
        } = self.latency;
        let usual = min_ns + self.chance.below(max_ns.saturating_sub(min_ns).saturating_add(1));
        if self.chance.happens(slow_ppm) {
            self.counts.slow += 1;
            usual + slow_ns
        } else {
            usual
        }
    }

    /// An operation that blocks the thread takes its time.
    pub(super) fn spend(&mut self) {
        // the page cache is a hundred times as quick as the disk behind it
        self.now_ns += self.take_latency_ns() / 100;
    }

    /// The processor is busy for so long.
    pub(super) fn spend_ns(&mut self, ns: u64) {
        self.now_ns += ns;
    }

    /// Before anything that a handle of `boot` does.
    pub(super) fn check_alive(&self, boot: u64) -> io::Result<()> {
        if self.halted.is_some() || boot != self.boot {
            return Err(bad_disk());
        }
        Ok(())
    }

    /// Before every operation that changes something or syncs: counts it, and halts the machine if this is the one.
    pub(super) fn begin_operation(&mut self) -> io::Result<()> {
        if self.halted.is_some() {
            return Err(bad_disk());
        }
        if let Some(after) = self.halt_after
            && after.operation <= self.operations
        {
            self.halt(after.halt);
            return Err(bad_disk());
        }
        self.operations += 1;
        self.counts.operations += 1;
        Ok(())
    }

    pub(super) fn halt(&mut self, halt: Halt) {
        if self.halted.is_none() {
            self.halted = Some(halt);
            let operations = self.operations;
            self.trace
                .line(|| format!("{halt:?} before operation {operations}"));
        }
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations
    }

    /// Whether this operation fails.
    pub(super) fn may_fail(&mut self, kind: Fallible) -> io::Result<()> {
        let faults = self.faults;
        let (ppm, count) = match kind {
            Fallible::Read => (faults.read_error_ppm, &mut self.counts.read_errors),
            Fallible::Write => (faults.write_error_ppm, &mut self.counts.write_errors),
            Fallible::Sync => (faults.sync_error_ppm, &mut self.counts.sync_errors),
            Fallible::Directory => (faults.directory_error_ppm, &mut self.counts.directory_errors),
        };
        if self.chance.happens(ppm) {
            *count += 1;
            return Err(bad_disk());
        }
        Ok(())
    }

    pub(super) fn set_limit(&mut self, limit_bytes: Option<u64>) {
        self.limit_bytes = limit_bytes;
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let sizes = self.nodes.values().map(|node| match node {
            Node::File(content) => content.cached().len() as u64,
            Node::Directory(_) => 0,
        });
        sizes.sum()
    }

    /// Total and free.
    pub(super) fn space(&self) -> (u64, u64) {
        let total = self.limit_bytes.unwrap_or(TOTAL_BYTES);
        (total, total.saturating_sub(self.used_bytes()))
    }

    /// How many of `more` bytes there is room for.
    pub(super) fn room_for(&self, more: u64) -> u64 {
        match self.limit_bytes {
            Some(limit) => limit.saturating_sub(self.used_bytes()).min(more),
            None => more,
        }
    }

    pub(super) fn full(&mut self) -> io::Error {
        self.counts.full += 1;
        io::Error::from_raw_os_error(libc::ENOSPC)
    }

    /// Notes an operation and how it ended.
    pub(super) fn trace<T>(
        &mut self,
        operation: &'static str,
        node: NodeId,
        numbers: [u64; 2],
        name: impl FnOnce() -> String,
        result: &io::Result<T>,
    ) {
        let code = match result {
            Ok(_) => 0,
            Err(error) => 1 + error.raw_os_error().unwrap_or(0) as u64,
        };
        self.trace.mix_bytes(operation.as_bytes());
        for word in [node, numbers[0], numbers[1], code, self.now_ns] {
            self.trace.mix(word);
        }
        let (now_ns, count) = (self.now_ns, self.operations);
        self.trace.line(|| {
            let outcome = match result {
                Ok(_) => String::new(),
                Err(error) => format!(": {error}"),
            };
            format!(
                "{:>10}us #{count} {operation} {} {} {}{outcome}",
                now_ns / 1000,
                name(),
                numbers[0],
                numbers[1]
            )
        });
    }
}

/// What a dead or dying disk answers.
pub(super) fn bad_disk() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}
