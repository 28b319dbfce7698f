//! Topics.

use super::reason;
use crate::config::property::{Owner, Section, boolean, class, int, string};

pub(super) const SECTION: Section = Section {
    title: "Topics",
    intro: "Defaults and rules for topics. Each topic can override those that the topic table lists.",
    owner: Owner::Broker,
    rows: &[
        boolean("auto.create.topics.enable")
            .default("true")
            .high()
            .doc("Create a topic when a client that allows it asks for its metadata."),
        int("num.partitions")
            .default("1")
            .at_least(1)
            .doc("Partitions of a topic that is created without a count."),
        int("default.replication.factor")
            .default("1")
            .doc("Replicas of a topic that is created without a count."),
        boolean("delete.topic.enable")
            .default("true")
            .high()
            .doc("Allow topics to be deleted."),
        int("min.insync.replicas")
            .default("1")
            .at_least(1)
            .high()
            .cluster_wide()
            .doc(
                "Replicas that must have a record before acks=all is answered; with fewer in sync \
                 such produce requests are refused.",
            ),
        int("message.max.bytes")
            .default("1048588")
            .at_least(0)
            .bytes()
            .high()
            .cluster_wide()
            .doc("Largest record batch, as compressed by the producer."),
        string("compression.type")
            .default("producer")
            .one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])
            .high()
            .cluster_wide()
            .doc(
                "Codec in which batches are stored; producer: as they came. Anything else makes the \
                 broker compress again what differs.",
            ),
        int("compression.gzip.level")
            .default("-1")
            .between_or(1, 9, -1)
            .cluster_wide()
            .doc("Level for compression.type gzip; -1: the codec's default."),
        int("compression.lz4.level")
            .default("9")
            .between(1, 17)
            .cluster_wide()
            .doc("Level for compression.type lz4."),
        int("compression.zstd.level")
            .default("3")
            .between(-131072, 22)
            .cluster_wide()
            .doc("Level for compression.type zstd."),
        boolean("unclean.leader.election.enable")
            .default("false")
            .high()
            .cluster_wide()
            .doc(
                "Allow a replica that is not in sync to become leader, at the price of acknowledged \
                 records.",
            ),
        int("max.request.partition.size.limit")
            .default("2000")
            .at_least(1)
            .doc(
                "Largest number of partitions in one answer to DescribeTopicPartitions; the rest is \
                 paged.",
            ),
        class("create.topic.policy.class.name")
            .low()
            .refused_unless_default(reason::JAVA_RULES)
            .doc("Java class that judges requests to create topics."),
        class("alter.config.policy.class.name")
            .low()
            .refused_unless_default(reason::JAVA_RULES)
            .doc("Java class that judges requests to alter configuration."),
    ],
};
