//! Node and roles.

use super::reason;
use crate::config::property::{Owner, Section, boolean, int, list, string};

pub(super) const SECTION: Section = Section {
    title: "Node and roles",
    intro: "Who this process is in the cluster.",
    owner: Owner::Broker,
    rows: &[
        int("node.id")
            .default("1")
            .at_least(0)
            .high()
            .kafka_default("unset", "a broker without a configuration file is node 1")
            .flag("--node-id")
            .doc(
                "Number of this node, unique in the cluster. Kept with the data: a data directory \
                 belongs to one node.",
            ),
        int("broker.id")
            .default("-1")
            .high()
            .doc("Older name of node.id. Where both are set they must be equal."),
        string("broker.rack")
            .doc("Rack or availability zone of this node, told to clients in metadata answers."),
        list("process.roles")
            .default("broker,controller")
            .each_of(&["broker", "controller"])
            .high()
            .kafka_default("unset", "there is no other kind of ringlog process")
            .doc(
                "What this process does. Every ringlog process is broker and controller, so the list \
                 must name the broker role.",
            ),
        int("initial.broker.registration.timeout.ms")
            .default("60000")
            .ms()
            .no_effect(reason::PATIENT_START)
            .doc("How long a starting broker waits for the controller to accept its registration."),
        int("broker.heartbeat.interval.ms")
            .default("100")
            .ms()
            .kafka_default("2000", "a broker that stops is to be noticed within two seconds, not ten")
            .doc(
                "Time between two heartbeats of a broker to the controller. They never reach the store, so \
                 that they cost a small message each; a longer one makes a broker's start and its controlled \
                 shutdown slower.",
            ),
        int("broker.session.timeout.ms")
            .default("1000")
            .ms()
            .kafka_default("9000", "the leaders of a broker that hangs are to move within two seconds")
            .doc(
                "Time without heartbeats after which the controller fences a broker: its partitions get other \
                 leaders. A broker whose process is gone is fenced at once. Must be at least twice \
                 broker.heartbeat.interval.ms. Smaller: a hanging broker stalls its partitions for less time, \
                 a pause or a lost packet more easily costs a change of leaders.",
            ),
        boolean("controlled.shutdown.enable")
            .default("true")
            .no_effect(reason::ALWAYS_CONTROLLED)
            .doc("Move leaders away before stopping."),
        list("controller.listener.names")
            .default("")
            .high()
            .kafka_default("unset", "the embedded store needs no listener")
            .doc(
                "Names of listeners that serve the controller quorum. They are known, but not opened: \
                 the controller runs inside this process.",
            ),
        list("controller.quorum.bootstrap.servers")
            .default("")
            .high()
            .no_effect(reason::VOTERS_IN_STORE)
            .doc("Addresses at which a node finds the controller quorum."),
        list("controller.quorum.voters")
            .default("")
            .high()
            .no_effect(reason::VOTERS_IN_STORE)
            .doc("Fixed list of the voters of the controller quorum, as id@host:port."),
        boolean("controller.quorum.auto.join.enable")
            .default("false")
            .low()
            .no_effect(reason::VOTERS_BY_HAND)
            .doc("Let a controller join the set of voters by itself."),
        int("controller.quorum.election.timeout.ms")
            .default("150")
            .at_least(10)
            .ms()
            .high()
            .kafka_default("1000", "members of one cluster answer within milliseconds")
            .doc("Quorum only: how long an election may last before a voter tries another one, after a wait of once to twice this."),
        int("controller.quorum.election.backoff.max.ms")
            .default("1000")
            .at_least(0)
            .ms()
            .high()
            .no_effect(reason::ELECTION_LOTS)
            .doc("Longest pause before a voter tries another election."),
        int("controller.quorum.fetch.timeout.ms")
            .default("500")
            .at_least(20)
            .ms()
            .high()
            .kafka_default("2000", "a controller that hangs is to be replaced within a second")
            .doc("Quorum only: time without an answer of the leader after which a voter becomes a candidate."),
        int("controller.quorum.append.linger.ms")
            .default("25")
            .at_least(0)
            .ms()
            .no_effect(reason::APPENDED_TOGETHER)
            .doc("Time the quorum leader waits for more records before it writes a batch."),
        int("controller.quorum.request.timeout.ms")
            .default("400")
            .at_least(10)
            .ms()
            .kafka_default("2000", "less than controller.quorum.fetch.timeout.ms")
            .doc("Quorum only: time a member waits for an answer of another one."),
        int("controller.quorum.retry.backoff.ms")
            .default("20")
            .at_least(1)
            .ms()
            .low()
            .doc("Quorum only: pause before a failed request to a member is repeated."),
    ],
};
