//! Times that have a name per unit: the finer unit wins (Kafka: `brokerConfigSynonyms`).

use crate::config::property::{Synonym, same};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

pub(super) const RETENTION_MS: &[Synonym] = &[
    same("log.retention.ms"),
    Synonym {
        name: "log.retention.minutes",
        scale: MINUTE_MS,
    },
    Synonym {
        name: "log.retention.hours",
        scale: HOUR_MS,
    },
];

pub(super) const ROLL_MS: &[Synonym] = &[
    same("log.roll.ms"),
    Synonym {
        name: "log.roll.hours",
        scale: HOUR_MS,
    },
];

pub(super) const ROLL_JITTER_MS: &[Synonym] = &[
    same("log.roll.jitter.ms"),
    Synonym {
        name: "log.roll.jitter.hours",
        scale: HOUR_MS,
    },
];

pub(super) const FLUSH_MS: &[Synonym] = &[
    same("log.flush.interval.ms"),
    same("log.flush.scheduler.interval.ms"),
];
