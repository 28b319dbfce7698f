//! Topic configuration.

use super::reason;
use super::synonym;
use crate::config::property::{Owner, Section, boolean, double, int, list, long, same, string};

pub(super) const SECTION: Section = Section {
    title: "Topic configuration",
    intro: "Set per topic when it is created or later; what is not set comes from the broker \
            property named as synonym.",
    owner: Owner::Topic,
    rows: &[
        list("cleanup.policy")
            .default("delete")
            .each_of(&["compact", "delete"])
            .synonyms(&[same("log.cleanup.policy")])
            .doc(
                "What happens to old segments: delete them, compact them by key, both, or (empty) \
                 keep them forever.",
            ),
        string("compression.type")
            .default("producer")
            .one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])
            .synonyms(&[same("compression.type")])
            .doc(
                "Codec in which batches are stored; producer: as they came. Anything else makes the \
                 broker compress again what differs.",
            ),
        int("compression.gzip.level")
            .default("-1")
            .between_or(1, 9, -1)
            .synonyms(&[same("compression.gzip.level")])
            .doc("Level for compression.type gzip; -1: the codec's default."),
        int("compression.lz4.level")
            .default("9")
            .between(1, 17)
            .synonyms(&[same("compression.lz4.level")])
            .doc("Level for compression.type lz4."),
        int("compression.zstd.level")
            .default("3")
            .between(-131072, 22)
            .synonyms(&[same("compression.zstd.level")])
            .doc("Level for compression.type zstd."),
        long("delete.retention.ms")
            .default("86400000")
            .at_least(0)
            .ms()
            .synonyms(&[same("log.cleaner.delete.retention.ms")])
            .doc(
                "How long a tombstone stays in a compacted log, so that a slow reader still sees the \
                 deletion.",
            ),
        long("file.delete.delay.ms")
            .default("60000")
            .at_least(0)
            .ms()
            .synonyms(&[same("log.segment.delete.delay.ms")])
            .doc("Time between a segment's removal from the log and the removal of its files."),
        long("flush.messages")
            .default("9223372036854775807")
            .at_least(1)
            .synonyms(&[same("log.flush.interval.messages")])
            .doc(
                "Records after which a partition is synced. Independent of it, records are synced \
                 before they are acknowledged.",
            ),
        long("flush.ms")
            .default("9223372036854775807")
            .at_least(0)
            .ms()
            .synonyms(synonym::FLUSH_MS)
            .doc("Longest time a record waits for a sync."),
        list("follower.replication.throttled.replicas")
            .default("")
            .throttled_replicas()
            .doc("Replicas whose fetching is throttled, as partition:broker, or * for all."),
        list("leader.replication.throttled.replicas")
            .default("")
            .throttled_replicas()
            .doc("Replicas whose leaders are throttled, as partition:broker, or * for all."),
        int("index.interval.bytes")
            .default("4096")
            .at_least(0)
            .bytes()
            .synonyms(&[same("log.index.interval.bytes")])
            .doc("Bytes of records between two entries of the offset index."),
        int("internal.segment.bytes")
            .bytes()
            .internal()
            .no_effect(reason::TEST_ONLY)
            .doc("Segment size below the ordinary limit, for Kafka's own tests."),
        long("local.retention.bytes")
            .default("-2")
            .at_least(-2)
            .bytes()
            .synonyms(&[same("log.local.retention.bytes")])
            .no_effect(reason::NO_TIERED)
            .doc("Local size beyond which segments that are also in remote storage are deleted here."),
        long("local.retention.ms")
            .default("-2")
            .at_least(-2)
            .ms()
            .synonyms(&[same("log.local.retention.ms")])
            .no_effect(reason::NO_TIERED)
            .doc("Age at which segments that are also in remote storage are deleted here."),
        long("max.compaction.lag.ms")
            .default("9223372036854775807")
            .at_least(1)
            .ms()
            .synonyms(&[same("log.cleaner.max.compaction.lag.ms")])
            .doc("Age at which a record is compacted whatever the ratio."),
        int("max.message.bytes")
            .default("1048588")
            .at_least(0)
            .bytes()
            .synonyms(&[same("message.max.bytes")])
            .doc("Largest record batch, as compressed by the producer."),
        long("message.timestamp.after.max.ms")
            .default("3600000")
            .at_least(0)
            .ms()
            .synonyms(&[same("log.message.timestamp.after.max.ms")])
            .doc("How far in the future a record's time may lie, with CreateTime."),
        long("message.timestamp.before.max.ms")
            .default("9223372036854775807")
            .at_least(0)
            .ms()
            .synonyms(&[same("log.message.timestamp.before.max.ms")])
            .doc("How far in the past a record's time may lie, with CreateTime."),
        string("message.timestamp.type")
            .default("CreateTime")
            .one_of(&["CreateTime", "LogAppendTime"])
            .synonyms(&[same("log.message.timestamp.type")])
            .doc(
                "What a record's time is: when the producer made it (CreateTime) or when the broker \
                 appended it (LogAppendTime).",
            ),
        double("min.cleanable.dirty.ratio")
            .default("0.5")
            .ratio(0.0, 1.0)
            .synonyms(&[same("log.cleaner.min.cleanable.ratio")])
            .doc("Share of a log that must be uncompacted before it is compacted."),
        long("min.compaction.lag.ms")
            .default("0")
            .at_least(0)
            .ms()
            .synonyms(&[same("log.cleaner.min.compaction.lag.ms")])
            .doc("Youngest age at which a record may be compacted away."),
        int("min.insync.replicas")
            .default("1")
            .at_least(1)
            .synonyms(&[same("min.insync.replicas")])
            .doc(
                "Replicas that must have a record before acks=all is answered; with fewer in sync \
                 such produce requests are refused.",
            ),
        boolean("preallocate")
            .default("false")
            .synonyms(&[same("log.preallocate")])
            .doc("Reserve the whole segment on disk when it is created."),
        boolean("remote.log.copy.disable")
            .default("false")
            .no_effect(reason::NO_TIERED)
            .doc("Stop copying segments to remote storage."),
        boolean("remote.log.delete.on.disable")
            .default("false")
            .no_effect(reason::NO_TIERED)
            .doc("Delete remote segments when remote storage is switched off."),
        boolean("remote.storage.enable")
            .default("false")
            .refused_unless_default(reason::NO_TIERED)
            .doc("Keep old segments in remote storage."),
        long("retention.bytes")
            .default("-1")
            .bytes()
            .synonyms(&[same("log.retention.bytes")])
            .doc("Size of a partition beyond which its oldest segments are deleted; -1: no limit."),
        long("retention.ms")
            .default("604800000")
            .at_least(-1)
            .ms()
            .synonyms(synonym::RETENTION_MS)
            .doc("Age at which records are deleted; -1: never."),
        int("segment.bytes")
            .default("1073741824")
            .at_least(1048576)
            .bytes()
            .synonyms(&[same("log.segment.bytes")])
            .doc("Size at which a segment is closed and a new one begun."),
        int("segment.index.bytes")
            .default("10485760")
            .at_least(4)
            .bytes()
            .synonyms(&[same("log.index.size.max.bytes")])
            .doc("Size at which an index is full and its segment is closed."),
        long("segment.jitter.ms")
            .default("0")
            .at_least(0)
            .ms()
            .synonyms(synonym::ROLL_JITTER_MS)
            .doc("Largest random part taken off segment.ms, so that segments do not all roll at once."),
        long("segment.ms")
            .default("604800000")
            .at_least(1)
            .ms()
            .synonyms(synonym::ROLL_MS)
            .doc("Age at which a segment is closed even if it is not full."),
        boolean("unclean.leader.election.enable")
            .default("false")
            .synonyms(&[same("unclean.leader.election.enable")])
            .doc(
                "Allow a replica that is not in sync to become leader, at the price of acknowledged \
                 records.",
            ),
        int("max.decompressed.message.bytes")
            .default("2147483639")
            .at_least(0)
            .bytes()
            .no_effect(reason::DECOMPRESSED)
            .doc("Largest record after decompression. New in Kafka 4.4."),
        long("remote.copy.lag.ms")
            .default("0")
            .at_least(-1)
            .ms()
            .no_effect(reason::NO_TIERED)
            .doc(
                "Age at which a closed segment may be copied to remote storage; 0: at once; -1: \
                 local.retention.ms. New in Kafka 4.4.",
            ),
        long("remote.copy.lag.bytes")
            .default("0")
            .at_least(-1)
            .bytes()
            .no_effect(reason::NO_TIERED)
            .doc(
                "Bytes after a closed segment at which it may be copied to remote storage; 0: at \
                 once; -1: local.retention.bytes. New in Kafka 4.4.",
            ),
        string("ringlog.durability")
            .default("journal")
            .one_of(&["journal", "page-cache"])
            .synonyms(&[same("ringlog.durability")])
            .doc(
                "What an acknowledged record outlives. journal: the loss of power; page-cache: only the \
                 end of the process, as with Kafka, where flush.messages and flush.ms bound the loss.",
            ),
        boolean("errors.deadletterqueue.group.enable")
            .default("false")
            .no_effect(reason::NO_SHARE_GROUPS)
            .doc("Let share groups put undeliverable records here. New in Kafka 4.4."),
    ],
};
