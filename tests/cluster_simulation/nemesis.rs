//! What goes wrong, and when it is well again.

use std::time::Duration;

use control::store::kv::memory;
use reactor::sim::{Chance, Faults, Halt, LinkSpeed};
use reactor::{Instant, Signal};

use crate::cluster::Cluster;
use crate::plan::StoreKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Kill,
    KillAll,
    PowerCut,
    PowerCutAll,
    /// In the middle of what the broker does to its disk.
    PowerCutAtOperation,
    KillAtOperation,
    CleanStop,
    Pause,
    Partition,
    OneWay,
    Isolate,
    SlowLink,
    Resets,
    ClockJump,
    DiskErrors,
    SlowProcessor,
    /// The store has no majority.
    StoreLost,
    /// One broker does not reach the store.
    StorePartition,
    LeasesRevoked,
    /// Calls of the store are slow, lost, done and not answered; its history is forgotten.
    StoreFaults,
}

impl Kind {
    pub const ALL: &[Kind] = &[
        Kind::Kill,
        Kind::KillAll,
        Kind::PowerCut,
        Kind::PowerCutAll,
        Kind::PowerCutAtOperation,
        Kind::KillAtOperation,
        Kind::CleanStop,
        Kind::Pause,
        Kind::Partition,
        Kind::OneWay,
        Kind::Isolate,
        Kind::SlowLink,
        Kind::Resets,
        Kind::ClockJump,
        Kind::DiskErrors,
        Kind::SlowProcessor,
        Kind::StoreLost,
        Kind::StorePartition,
        Kind::LeasesRevoked,
        Kind::StoreFaults,
    ];

    pub fn is_for(self, store: StoreKind) -> bool {
        let needs_several = matches!(
            self,
            Kind::Partition
                | Kind::OneWay
                | Kind::Isolate
                | Kind::SlowLink
                | Kind::Resets
                | Kind::KillAll
                | Kind::PowerCutAll
        );
        let needs_store = matches!(
            self,
            Kind::StoreLost | Kind::StorePartition | Kind::LeasesRevoked | Kind::StoreFaults
        );
        match store {
            StoreKind::Embedded => !needs_several && !needs_store,
            StoreKind::Memory => true,
            StoreKind::Quorum => !needs_store,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::KillAll => "kill-all",
            Kind::PowerCut => "power-cut",
            Kind::PowerCutAll => "power-cut-all",
            Kind::PowerCutAtOperation => "power-cut-at-operation",
            Kind::KillAtOperation => "kill-at-operation",
            Kind::CleanStop => "clean-stop",
            Kind::Pause => "pause",
            Kind::Partition => "partition",
            Kind::OneWay => "one-way",
            Kind::Isolate => "isolate",
            Kind::SlowLink => "slow-link",
            Kind::Resets => "resets",
            Kind::ClockJump => "clock-jump",
            Kind::DiskErrors => "disk-errors",
            Kind::SlowProcessor => "slow-processor",
            Kind::StoreLost => "store-lost",
            Kind::StorePartition => "store-partition",
            Kind::LeasesRevoked => "leases-revoked",
            Kind::StoreFaults => "store-faults",
        }
    }
}

/// A store that is well.
pub fn quick_store() -> memory::Faults {
    memory::Faults {
        delay_max: Duration::from_millis(2),
        ..memory::Faults::none()
    }
}

/// What ends a fault.
#[derive(Clone, Copy, Debug)]
enum Cure {
    Start(usize),
    Resume(usize),
    Unblock(usize, usize),
    FastLink(usize, usize),
    GoodDisk(usize),
    StoreBack,
    StoreReached(usize),
    StoreWell,
}

pub struct Nemesis {
    chance: Chance,
    cures: Vec<(Instant, Cure)>,
    next: Instant,
}

impl Nemesis {
    pub fn new(seed: u64, now: Instant) -> Nemesis {
        Nemesis {
            chance: Chance::new(seed ^ 0x006e_656d_6573_6973),
            cures: Vec::new(),
            next: now,
        }
    }

    /// When something begins or ends next.
    pub fn next(&self) -> Instant {
        let cure = self.cures.iter().map(|(at, _)| *at).min();
        cure.map_or(self.next, |cure| cure.min(self.next))
    }

    /// Does what is due.
    pub fn act(&mut self, cluster: &mut Cluster) {
        let now = cluster.world.now();
        let due: Vec<Cure> = self
            .cures
            .iter()
            .filter(|(at, _)| *at <= now)
            .map(|(_, cure)| *cure)
            .collect();
        self.cures.retain(|(at, _)| *at > now);
        for cure in due {
            self.cure(cluster, cure);
        }
        // whoever died without being asked to comes back as well
        for index in 0..cluster.brokers.len() {
            let is_planned = self
                .cures
                .iter()
                .any(|(_, cure)| matches!(cure, Cure::Start(other) if *other == index));
            if !cluster.is_running(index) && !is_planned {
                self.later(now, 2_000, Cure::Start(index));
            }
        }
        if self.next > now {
            return;
        }
        let every = cluster.plan.fault_every.as_millis() as u64;
        self.next = now + Duration::from_millis(1 + self.chance.below(2 * every));
        if !cluster.plan.kinds.is_empty() {
            let kind = cluster.plan.kinds[self.chance.index(cluster.plan.kinds.len())];
            self.begin(cluster, kind);
        }
    }

    /// Everything is well again.
    pub fn end(&mut self, cluster: &mut Cluster) {
        self.cures.clear();
        cluster.world.heal();
        let ids: Vec<i32> = (1..).take(cluster.brokers.len()).collect();
        cluster.at_store(move |store| {
            store.set_faults(quick_store());
            store.set_available(true);
            ids.iter().for_each(|id| store.set_partitioned(*id, false));
        });
        for index in 0..cluster.brokers.len() {
            let host = cluster.brokers[index].host;
            cluster.world.set_faults(host, Faults::default());
            cluster.world.halt_after(host, Halt::Kill, u64::MAX / 2);
            if let Some(process) = cluster.brokers[index].process {
                cluster.world.resume(process);
            }
        }
        cluster.start_missing();
    }

    fn later(&mut self, now: Instant, ms_max: u64, cure: Cure) {
        let at = now + Duration::from_millis(1 + self.chance.below(ms_max));
        self.cures.push((at, cure));
    }

    fn begin(&mut self, cluster: &mut Cluster, kind: Kind) {
        let now = cluster.world.now();
        let count = cluster.brokers.len();
        let index = self.chance.index(count);
        let other = (index + 1 + self.chance.index((count - 1).max(1))) % count;
        let (host, other_host) = (cluster.brokers[index].host, cluster.brokers[other].host);
        cluster.world.note(&format!("{kind:?} of {}", index + 1));
        cluster
            .model
            .with(|state| *state.figures.faults.entry(kind.name()).or_default() += 1);
        match kind {
            Kind::Kill => self.kill(cluster, index),
            Kind::KillAll => (0..count).for_each(|index| self.kill(cluster, index)),
            Kind::PowerCut => {
                cluster.world.power_cut(host);
                self.later(now, 2_000, Cure::Start(index));
            }
            Kind::PowerCutAll => {
                for index in 0..count {
                    cluster.world.power_cut(cluster.brokers[index].host);
                    self.later(now, 2_000, Cure::Start(index));
                }
            }
            Kind::PowerCutAtOperation => {
                let operations = self.chance.below(100);
                cluster.world.halt_after(host, Halt::PowerCut, operations);
            }
            Kind::KillAtOperation => {
                let operations = self.chance.below(100);
                cluster.world.halt_after(host, Halt::Kill, operations);
            }
            Kind::CleanStop => {
                if let Some(process) = cluster.brokers[index].process {
                    cluster.world.signal(process, Signal::Terminate);
                }
            }
            Kind::Pause => {
                if let Some(process) = cluster.brokers[index].process {
                    cluster.world.pause(process);
                    self.later(now, 4_000, Cure::Resume(index));
                }
            }
            Kind::Partition => {
                cluster.world.partition(host, other_host);
                self.later(now, 4_000, Cure::Unblock(index, other));
            }
            Kind::OneWay => {
                cluster.world.block(host, other_host);
                self.later(now, 4_000, Cure::Unblock(index, other));
            }
            Kind::Isolate => {
                for other in (0..count).filter(|other| *other != index) {
                    cluster.world.partition(host, cluster.brokers[other].host);
                    self.later(now, 4_000, Cure::Unblock(index, other));
                }
            }
            Kind::SlowLink => {
                let min = Duration::from_millis(1 + self.chance.below(200));
                let speed = LinkSpeed { min, max: min * 2 };
                cluster.world.set_link(host, other_host, Some(speed));
                self.later(now, 4_000, Cure::FastLink(index, other));
            }
            Kind::Resets => cluster.world.reset_connections(host, other_host),
            Kind::ClockJump => {
                let ms = self.chance.below(7_200_000) as i64 - 3_600_000;
                cluster.world.set_wall_offset(host, ms);
            }
            Kind::DiskErrors => {
                let ppm = self.chance.pick(&[1_000, 10_000, 100_000]);
                let mut faults = Faults::default();
                match self.chance.below(4) {
                    0 => faults.read_error_ppm = ppm,
                    1 => faults.write_error_ppm = ppm,
                    2 => faults.sync_error_ppm = ppm,
                    _ => faults.directory_error_ppm = ppm,
                }
                cluster.world.set_faults(host, faults);
                self.later(now, 1_000, Cure::GoodDisk(index));
            }
            Kind::SlowProcessor => {
                let ms = 1 + self.chance.below(500);
                cluster.world.stall(host, Duration::from_millis(ms));
            }
            Kind::StoreLost => {
                cluster.at_store(|store| store.set_available(false));
                self.later(now, 4_000, Cure::StoreBack);
            }
            Kind::StorePartition => {
                let id = index as i32 + 1;
                cluster.at_store(move |store| store.set_partitioned(id, true));
                self.later(now, 4_000, Cure::StoreReached(index));
            }
            Kind::LeasesRevoked => cluster.at_store(|store| store.revoke_all_leases()),
            Kind::StoreFaults => {
                let faults = memory::Faults::many(self.chance.next_u64());
                cluster.at_store(move |store| store.set_faults(faults));
                self.later(now, 2_000, Cure::StoreWell);
            }
        }
    }

    fn kill(&mut self, cluster: &mut Cluster, index: usize) {
        if let Some(process) = cluster.brokers[index].process {
            cluster.world.kill(process);
            self.later(cluster.world.now(), 2_000, Cure::Start(index));
        }
    }

    fn cure(&mut self, cluster: &mut Cluster, cure: Cure) {
        let host = |index: usize| cluster.brokers[index].host;
        match cure {
            Cure::Start(index) => cluster.start(index),
            Cure::Resume(index) => {
                if let Some(process) = cluster.brokers[index].process {
                    cluster.world.resume(process);
                }
            }
            Cure::Unblock(a, b) => {
                cluster.world.unblock(host(a), host(b));
                cluster.world.unblock(host(b), host(a));
            }
            Cure::FastLink(a, b) => cluster.world.set_link(host(a), host(b), None),
            Cure::GoodDisk(index) => cluster.world.set_faults(host(index), Faults::default()),
            Cure::StoreBack => cluster.at_store(|store| store.set_available(true)),
            Cure::StoreReached(index) => {
                let id = index as i32 + 1;
                cluster.at_store(move |store| store.set_partitioned(id, false));
            }
            Cure::StoreWell => cluster.at_store(|store| store.set_faults(quick_store())),
        }
    }
}
