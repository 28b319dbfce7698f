//! Log cleaner.

use super::reason;
use crate::config::property::{Owner, Section, boolean, double, int, long};

pub(super) const SECTION: Section = Section {
    title: "Log cleaner",
    intro: "Compaction of topics with cleanup.policy=compact.",
    owner: Owner::Broker,
    rows: &[
        boolean("log.cleaner.enable").default("true").doc(
            "Run compaction. Without it compacted topics grow without end, the offsets topic \
                 among them.",
        ),
        long("log.cleaner.backoff.ms")
            .default("15000")
            .at_least(0)
            .ms()
            .cluster_wide()
            .doc("Pause when nothing is left to compact."),
        long("log.cleaner.dedupe.buffer.size")
            .default("134217728")
            .bytes()
            .cluster_wide()
            .doc(
                "Memory for the map of keys of one compaction; a log with more keys is compacted in \
                 several passes.",
            ),
        int("log.cleaner.threads")
            .default("1")
            .at_least(0)
            .cluster_wide()
            .no_effect(reason::CLEANER_SHARDS)
            .doc("Threads that compact."),
        int("log.cleaner.io.buffer.size")
            .default("524288")
            .at_least(0)
            .bytes()
            .cluster_wide()
            .no_effect(reason::CLEANER_SHARDS)
            .doc("Memory for the cleaner's reads and writes."),
        double("log.cleaner.io.buffer.load.factor")
            .default("0.9")
            .cluster_wide()
            .doc("How full the map of keys may get. Fuller: fewer passes over a log, longer searches."),
        double("log.cleaner.io.max.bytes.per.second")
            .default("1.7976931348623157E308")
            .bytes_per_second()
            .cluster_wide()
            .doc("Largest rate of the cleaner's reads and writes together; cores share it evenly."),
        double("log.cleaner.min.cleanable.ratio")
            .default("0.5")
            .ratio(0.0, 1.0)
            .cluster_wide()
            .doc(
                "Share of a log that must be uncompacted before it is compacted. Smaller: less space, \
                 more work.",
            ),
        long("log.cleaner.min.compaction.lag.ms")
            .default("0")
            .at_least(0)
            .ms()
            .cluster_wide()
            .doc("Youngest age at which a record may be compacted away."),
        long("log.cleaner.max.compaction.lag.ms")
            .default("9223372036854775807")
            .at_least(1)
            .ms()
            .cluster_wide()
            .doc("Age at which a record is compacted whatever the ratio."),
        long("log.cleaner.delete.retention.ms")
            .default("86400000")
            .at_least(0)
            .ms()
            .cluster_wide()
            .doc("How long a tombstone stays, so that a slow reader still sees the deletion."),
    ],
};
