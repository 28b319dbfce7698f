//! What a simulated run is made of.

/// Probabilities of what the disk does wrong, per million operations of that kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Reads that end in EIO.
    pub read_error_ppm: u32,
    /// Writes (and changes of length) that end in EIO.
    pub write_error_ppm: u32,
    /// Syncs of files, directories and file systems that end in EIO, and synced direct writes.
    pub sync_error_ppm: u32,
    /// Creations, renames and removals that end in EIO.
    pub directory_error_ppm: u32,
    /// What a failed sync lost may still be read after a restart of the process, as long as memory is not short. (Otherwise
    /// every restart reads from the disk what counts as clean.)
    pub lost_pages_stay: bool,
}

/// How long operations take on the simulated clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    pub min_ns: u64,
    pub max_ns: u64,
    /// Operations per million that take `slow_ns` more.
    pub slow_ppm: u32,
    pub slow_ns: u64,
}

impl Default for Latency {
    /// About an NVMe drive.
    fn default() -> Latency {
        Latency {
            min_ns: 2_000,
            max_ns: 200_000,
            slow_ppm: 1_000,
            slow_ns: 20_000_000,
        }
    }
}

/// How a machine ends without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Unsynced changes are kept, lost or torn.
    PowerCut,
    /// Everything written stays.
    Kill,
}

/// Halts the machine instead of its operation number `operation` (from 0) of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HaltAfter {
    pub halt: Halt,
    pub operation: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct SimConfig {
    pub seed: u64,
    pub faults: Faults,
    pub latency: Latency,
    pub halt_after: Option<HaltAfter>,
    /// Keep a readable trace; see [`super::SimDisk::take_trace`].
    pub trace: bool,
    /// Polls after which a run counts as stuck.
    pub polls_max: u64,
}

impl SimConfig {
    /// A healthy machine.
    pub fn new(seed: u64) -> SimConfig {
        SimConfig {
            seed,
            faults: Faults::default(),
            latency: Latency::default(),
            halt_after: None,
            trace: false,
            polls_max: 20_000_000,
        }
    }
}
