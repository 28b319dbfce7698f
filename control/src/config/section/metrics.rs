//! Metrics.

use super::reason;
use crate::config::property::{Owner, Section, int, list, long, string};

pub(super) const SECTION: Section = Section {
    title: "Metrics",
    intro: "Kafka's metrics plug-ins. ringlog serves Prometheus metrics on ringlog.admin.listener.",
    owner: Owner::Broker,
    rows: &[
        list("metric.reporters")
            .default("")
            .low()
            .cluster_wide()
            .kafka_default("org.apache.kafka.common.metrics.JmxReporter", "there is no JVM")
            .no_effect(reason::JVM)
            .doc("Java classes that report metrics."),
        int("metrics.num.samples")
            .default("2")
            .at_least(1)
            .low()
            .no_effect(reason::PROMETHEUS)
            .doc("Samples kept per metric."),
        long("metrics.sample.window.ms")
            .default("30000")
            .at_least(1)
            .ms()
            .low()
            .no_effect(reason::PROMETHEUS)
            .doc("Length of one sample."),
        string("metrics.recording.level")
            .default("INFO")
            .low()
            .no_effect(reason::PROMETHEUS)
            .doc("How much is measured."),
        list("kafka.metrics.reporters")
            .default("")
            .low()
            .no_effect(reason::JVM)
            .doc("Java classes that report Yammer metrics."),
        int("kafka.metrics.polling.interval.secs")
            .default("10")
            .at_least(1)
            .seconds()
            .low()
            .no_effect(reason::JVM)
            .doc("How often Yammer reporters poll."),
        int("telemetry.max.bytes")
            .default("1048576")
            .at_least(1)
            .bytes()
            .low()
            .no_effect(reason::NO_TELEMETRY)
            .doc("Largest push of client telemetry."),
    ],
};
