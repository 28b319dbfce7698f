//! Transactions.

use super::reason;
use crate::config::property::{Owner, Section, boolean, int, short};

pub(super) const SECTION: Section = Section {
    title: "Transactions",
    intro: "The transaction coordinator and its topic.",
    owner: Owner::Broker,
    rows: &[
        int("transaction.max.timeout.ms")
            .default("900000")
            .at_least(1)
            .ms()
            .high()
            .no_effect(reason::NO_TRANSACTIONS)
            .doc("Longest transaction timeout a producer may ask for."),
        int("transactional.id.expiration.ms")
            .default("604800000")
            .at_least(1)
            .ms()
            .high()
            .no_effect(reason::NO_TRANSACTIONS)
            .doc("Time without use after which a transactional id is forgotten."),
        int("transaction.state.log.num.partitions")
            .default("50")
            .at_least(1)
            .high()
            .no_effect(reason::NO_TRANSACTIONS)
            .doc("Partitions of the transaction state topic."),
        short("transaction.state.log.replication.factor")
            .default("3")
            .at_least(1)
            .high()
            .no_effect(reason::NO_TRANSACTIONS)
            .doc("Replicas of the transaction state topic."),
        int("transaction.state.log.min.isr")
            .default("2")
            .at_least(1)
            .high()
            .no_effect(reason::NO_TRANSACTIONS)
            .doc("In-sync replicas that the transaction state topic needs."),
        int("transaction.state.log.segment.bytes")
            .default("104857600")
            .at_least(1)
            .bytes()
            .high()
            .no_effect(reason::NO_TRANSACTIONS)
            .doc("Segment size of the transaction state topic."),
        int("transaction.state.log.load.buffer.size")
            .default("5242880")
            .at_least(1)
            .bytes()
            .high()
            .no_effect(reason::NO_TRANSACTIONS)
            .doc("Bytes read at a time when transactions are loaded."),
        int("transaction.abort.timed.out.transaction.cleanup.interval.ms")
            .default("10000")
            .at_least(1)
            .ms()
            .low()
            .no_effect(reason::NO_TRANSACTIONS)
            .doc("How often transactions past their timeout are aborted."),
        int("transaction.remove.expired.transaction.cleanup.interval.ms")
            .default("3600000")
            .at_least(1)
            .ms()
            .low()
            .no_effect(reason::NO_TRANSACTIONS)
            .doc("How often expired transactional ids are removed."),
        boolean("transaction.partition.verification.enable")
            .default("true")
            .low()
            .cluster_wide()
            .no_effect(reason::NO_TRANSACTIONS)
            .doc("Check that a partition is part of the transaction before records are appended to it."),
        boolean("transaction.two.phase.commit.enable")
            .default("false")
            .low()
            .no_effect(reason::NO_TRANSACTIONS)
            .doc("Allow transactions whose outcome an outside coordinator decides."),
        int("add.partitions.to.txn.retry.backoff.ms")
            .default("20")
            .at_least(1)
            .ms()
            .high()
            .no_effect(reason::NO_TRANSACTIONS)
            .doc("Pause before the broker tries again to add a partition to a transaction."),
        int("add.partitions.to.txn.retry.backoff.max.ms")
            .default("100")
            .at_least(0)
            .ms()
            .high()
            .no_effect(reason::NO_TRANSACTIONS)
            .doc("Longest time the broker tries to add a partition to a transaction."),
    ],
};
