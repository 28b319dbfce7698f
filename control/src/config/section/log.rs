//! Log.

use super::reason;
use super::synonym;
use crate::config::property::{Owner, Section, boolean, int, list, long, string};

pub(super) const SECTION: Section = Section {
    title: "Log",
    intro: "Where and how partitions are stored.",
    owner: Owner::Broker,
    rows: &[
        list("log.dirs")
            .high()
            .flag("--data-dir")
            .doc("Directories for the data, separated by commas. Each is locked by one process."),
        list("log.dir")
            .default("data")
            .high()
            .kafka_default("/tmp/kafka-logs", "data survives a cleaned /tmp")
            .doc("Directory for the data, where log.dirs is unset."),
        list("cordoned.log.dirs")
            .default("")
            .per_broker()
            .no_effect(reason::CORDON)
            .doc("Directories that get no new partitions."),
        long("log.dir.failure.timeout.ms")
            .default("30000")
            .at_least(1)
            .ms()
            .low()
            .no_effect(reason::DIRECTORY_FAILURES)
            .doc(
                "Time after which a broker stops when it cannot tell the controller about a failed \
                 directory.",
            ),
        int("log.segment.bytes")
            .default("1073741824")
            .at_least(1048576)
            .bytes()
            .high()
            .cluster_wide()
            .doc("Size at which a segment is closed and a new one begun."),
        long("log.roll.ms")
            .ms()
            .high()
            .cluster_wide()
            .synonyms(synonym::ROLL_MS)
            .doc("Age at which a segment is closed even if it is not full; unset: log.roll.hours."),
        int("log.roll.hours")
            .default("168")
            .at_least(1)
            .hours()
            .high()
            .synonyms(synonym::ROLL_MS)
            .doc("Age in hours at which a segment is closed, where log.roll.ms is unset."),
        long("log.roll.jitter.ms")
            .ms()
            .high()
            .cluster_wide()
            .synonyms(synonym::ROLL_JITTER_MS)
            .doc(
                "Largest random part taken off log.roll.ms, so that segments do not all roll at once; \
                 unset: log.roll.jitter.hours.",
            ),
        int("log.roll.jitter.hours")
            .default("0")
            .at_least(0)
            .hours()
            .high()
            .synonyms(synonym::ROLL_JITTER_MS)
            .doc(
                "Largest random part in hours taken off the roll time, where log.roll.jitter.ms is \
                 unset.",
            ),
        int("log.index.interval.bytes")
            .default("4096")
            .at_least(0)
            .bytes()
            .cluster_wide()
            .doc(
                "Bytes of records between two entries of the offset index. Smaller: quicker seeks, \
                 larger index.",
            ),
        int("log.index.size.max.bytes")
            .default("10485760")
            .at_least(4)
            .bytes()
            .cluster_wide()
            .doc("Size at which an index is full and its segment is closed."),
        boolean("log.preallocate")
            .default("false")
            .cluster_wide()
            .doc("Reserve the whole segment on disk when it is created."),
        long("log.flush.interval.messages")
            .default("9223372036854775807")
            .at_least(1)
            .high()
            .cluster_wide()
            .doc(
                "Records after which a partition is synced. Independent of it, records are synced \
                 before they are acknowledged.",
            ),
        long("log.flush.interval.ms")
            .ms()
            .high()
            .cluster_wide()
            .synonyms(synonym::FLUSH_MS)
            .doc("Longest time a record waits for a sync; unset: log.flush.scheduler.interval.ms."),
        long("log.flush.scheduler.interval.ms")
            .default("9223372036854775807")
            .ms()
            .high()
            .doc("Value of log.flush.interval.ms where that is unset."),
        int("log.flush.offset.checkpoint.interval.ms")
            .default("60000")
            .at_least(0)
            .ms()
            .high()
            .doc(
                "How often the recovery points are written, from which a start after a crash checks \
                 the log.",
            ),
        int("log.flush.start.offset.checkpoint.interval.ms")
            .default("60000")
            .at_least(0)
            .ms()
            .high()
            .doc("How often the start offsets of the logs are written."),
        string("log.message.timestamp.type")
            .default("CreateTime")
            .one_of(&["CreateTime", "LogAppendTime"])
            .cluster_wide()
            .doc(
                "What a record's time is: when the producer made it (CreateTime) or when the broker \
                 appended it (LogAppendTime).",
            ),
        long("log.message.timestamp.before.max.ms")
            .default("9223372036854775807")
            .at_least(0)
            .ms()
            .cluster_wide()
            .doc("How far in the past a record's time may lie, with CreateTime."),
        long("log.message.timestamp.after.max.ms")
            .default("3600000")
            .at_least(0)
            .ms()
            .cluster_wide()
            .doc("How far in the future a record's time may lie, with CreateTime."),
        int("producer.id.expiration.ms")
            .default("86400000")
            .at_least(1)
            .ms()
            .low()
            .cluster_wide()
            .doc("Time after its last record at which the state of an idempotent producer is forgotten."),
        int("producer.id.expiration.check.interval.ms")
            .default("600000")
            .at_least(1)
            .ms()
            .low()
            .internal()
            .doc("How often expired producers are looked for."),
    ],
};
