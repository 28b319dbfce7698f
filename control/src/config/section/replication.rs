//! Replication.

use super::reason;
use crate::config::property::{Owner, Section, boolean, int, long, string};

pub(super) const SECTION: Section = Section {
    title: "Replication",
    intro: "How followers follow.",
    owner: Owner::Broker,
    rows: &[
        long("replica.high.watermark.checkpoint.interval.ms")
            .default("5000")
            .ms()
            .high()
            .doc("How often the high watermarks are written to disk."),
        long("replica.lag.time.max.ms")
            .default("30000")
            .ms()
            .high()
            .doc("Time a follower may lag before it leaves the set of replicas in sync."),
        int("replica.fetch.max.bytes")
            .default("1048576")
            .at_least(0)
            .bytes()
            .doc("Bytes per partition a follower asks for."),
        int("replica.fetch.min.bytes")
            .default("1")
            .bytes()
            .high()
            .doc("Least bytes a follower waits for."),
        int("replica.fetch.response.max.bytes")
            .default("10485760")
            .at_least(0)
            .bytes()
            .doc("Bytes a follower asks for in one request."),
        int("replica.fetch.wait.max.ms")
            .default("500")
            .ms()
            .high()
            .doc("Longest time a follower's fetch waits for data."),
        int("replica.fetch.backoff.ms")
            .default("1000")
            .at_least(0)
            .ms()
            .doc("Pause after a follower's failed fetch."),
        int("replica.socket.timeout.ms")
            .default("30000")
            .ms()
            .high()
            .doc("Time a follower waits for an answer."),
        int("replica.socket.receive.buffer.bytes")
            .default("65536")
            .bytes()
            .high()
            .no_effect(reason::KERNEL_BUFFERS)
            .doc("Receive buffer of a follower's socket."),
        string("replica.selector.class")
            .doc(
                "Java class that picks the replica a consumer reads from. Of \
                 org.apache.kafka.common.replica.RackAwareReplicaSelector the name alone counts: consumers are sent to a replica of \
                 their rack. Any other leaves them with the leader.",
            ),
        int("num.replica.fetchers")
            .default("1")
            .at_least(1)
            .high()
            .cluster_wide()
            .no_effect(reason::FETCHERS)
            .doc("Fetchers per source broker."),
        boolean("auto.leader.rebalance.enable")
            .default("true")
            .high()
            .doc("Move leaders back to their preferred replicas."),
        long("leader.imbalance.check.interval.seconds")
            .default("300")
            .at_least(1)
            .seconds()
            .high()
            .doc("How often the balance of leaders is checked."),
        long("unclean.leader.election.interval.ms")
            .default("300000")
            .at_least(1)
            .ms()
            .internal()
            .doc("How often partitions without a leader are considered for an unclean election."),
        boolean("follower.fetch.last.tiered.offset.enable")
            .default("false")
            .cluster_wide()
            .no_effect(reason::NO_TIERED)
            .doc("Let an empty follower begin at the last offset in remote storage."),
        int("controller.socket.timeout.ms")
            .default("30000")
            .ms()
            .no_effect(reason::OWN_BOUNDS)
            .doc("Time the controller waits for an answer of a broker."),
    ],
};
