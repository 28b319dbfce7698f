//! What goes wrong in a seed: every kind in some of them, none in others, so that rare combinations come up (swarm).

use std::time::Duration;

use engine::batch::TimestampType;
use engine::journal::JournalConfig;
use engine::log::{CleanupPolicy, Durability, LogConfig};
use reactor::sim::{Chance, Faults, Halt, HaltAfter, Latency};

use crate::boot::BootPlan;

/// The mix of one seed.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    pub boots: u32,
    read_errors: bool,
    write_errors: bool,
    sync_errors: bool,
    directory_errors: bool,
    pub full_disk: bool,
    pub bit_rot: bool,
    slow: bool,
    power_cuts: bool,
    kills: bool,
    short_lives: bool,
}

impl Mix {
    pub fn of(chance: &mut Chance) -> Mix {
        Mix {
            boots: 2 + chance.below(4) as u32,
            read_errors: chance.below(6) == 0,
            write_errors: chance.below(6) == 0,
            sync_errors: chance.below(5) == 0,
            directory_errors: chance.below(8) == 0,
            full_disk: chance.below(6) == 0,
            bit_rot: chance.below(12) == 0,
            slow: chance.below(4) == 0,
            power_cuts: chance.below(8) != 0,
            kills: chance.below(2) == 0,
            short_lives: chance.below(3) == 0,
        }
    }

    pub fn latency(&self) -> Latency {
        if self.slow {
            return Latency {
                slow_ppm: 100_000,
                slow_ns: 300_000_000,
                ..Latency::default()
            };
        }
        Latency::default()
    }

    pub fn faults(&self, chance: &mut Chance) -> Faults {
        let mut rate = |on: bool, ppm: u32| if on && chance.coin() { ppm } else { 0 };
        Faults {
            read_error_ppm: rate(self.read_errors, 20_000),
            write_error_ppm: rate(self.write_errors, 20_000),
            sync_error_ppm: rate(self.sync_errors, 40_000),
            directory_error_ppm: rate(self.directory_errors, 20_000),
            lost_pages_stay: true,
        }
    }

    pub fn boot(&self, chance: &mut Chance) -> BootPlan {
        let faults = self.faults(chance);
        BootPlan {
            faults,
            faults_from_start: chance.below(4) == 0,
            steps: if self.short_lives { 10 } else { 100 } + chance.below(60) as u32,
            stop_cleanly: chance.below(3) != 0,
            must_live: faults == Faults::default() && !self.full_disk,
        }
    }

    pub fn halt(&self, chance: &mut Chance) -> Option<HaltAfter> {
        let halt = match chance.below(10) {
            0..=5 if self.power_cuts => Halt::PowerCut,
            6..=7 if self.kills => Halt::Kill,
            _ => return None,
        };
        let up_to = chance.pick(&[10, 40, 100, 300]);
        let operation = chance.below(up_to);
        Some(HaltAfter { halt, operation })
    }
}

/// The journal of the shard, in most seeds.
pub fn journal(chance: &mut Chance) -> Option<JournalConfig> {
    if chance.below(4) == 0 {
        return None;
    }
    Some(JournalConfig {
        file_bytes: chance.pick(&[16, 32, 64]) << 10,
        files_max: chance.pick(&[2, 3, 8]),
        writes_in_flight_max: chance.pick(&[1, 2, 4]),
        group_bytes_max: chance.pick(&[4, 8, 64]) << 10,
        direct_bytes: chance.pick(&[300, 1_000, 64 << 10]),
        direct_behind_bytes: chance.pick(&[200, 64 << 10]),
        backlog_bytes: chance.pick(&[0, 2_000]),
        checkpoint_bytes: chance.pick(&[8, 30, 1 << 20]) << 10,
        checkpoint_every: Duration::from_millis(chance.pick(&[5, 50, 5_000])),
        unwritten_bytes_max: chance.pick(&[4 << 10, 64 << 10, 16 << 20]),
        kept_bytes_max: chance.pick(&[0, 4 << 10, 64 << 20]),
        ..JournalConfig::default()
    })
}

/// The rules of one log.
pub fn config(chance: &mut Chance) -> LogConfig {
    let cleanup_policy = chance.pick(&[
        CleanupPolicy::DELETE,
        CleanupPolicy::DELETE,
        CleanupPolicy::COMPACT,
        CleanupPolicy::COMPACT_DELETE,
    ]);
    LogConfig {
        segment_bytes: chance.pick(&[1_500, 4_000, 10_000, 1 << 20]).max(3_500),
        segment_ms: chance.pick(&[20, 1_000, i64::MAX]),
        segment_jitter_ms: chance.pick(&[0, 10]),
        index_interval_bytes: chance.pick(&[1, 200, 4096]),
        segment_index_bytes: chance.pick(&[64, 10 << 20]),
        retention_ms: chance.pick(&[-1, -1, 200]),
        retention_bytes: chance.pick(&[-1, -1, 8_000]),
        cleanup_policy,
        durability: chance.pick(&[Durability::Journal, Durability::Journal, Durability::PageCache]),
        flush_messages: chance.pick(&[i64::MAX, i64::MAX, 1, 10]),
        flush_ms: chance.pick(&[i64::MAX, 10]),
        message_timestamp_type: chance.pick(&[
            TimestampType::CreateTime,
            TimestampType::CreateTime,
            TimestampType::LogAppendTime,
        ]),
        delete_retention_ms: chance.pick(&[0, 50, 100_000]),
        min_cleanable_dirty_ratio: 0.0,
        file_delete_delay_ms: chance.pick(&[0, 100]),
        preallocate: chance.below(5) == 0,
        producer_id_expiration_ms: i64::MAX,
        cleaner_dedupe_buffer_bytes: chance.pick(&[1 << 10, 1 << 16]),
        ..LogConfig::default()
    }
}
