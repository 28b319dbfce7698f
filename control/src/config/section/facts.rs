//! The rows held against the `ConfigDef`s of Apache Kafka 4.3.1.

use crate::config::property::{Importance, Owner, Property, Update};
use crate::config::table;

const FACTS: &str = include_str!("../testdata/kafka-4.3.1.tsv");

/// Lower default, bounds and update mode of a row to the notation of the facts.
fn line(owner: &str, row: &Property) -> String {
    let default = match row.differs {
        Some(difference) => difference.kafka_default,
        None => row.default.unwrap_or("unset"),
    };
    let bounds = row.bounds.to_string();
    let importance = match row.importance {
        Importance::High => "high",
        Importance::Medium => "medium",
        Importance::Low => "low",
    };
    let update = match row.update {
        _ if row.internal => "internal",
        _ if owner != "broker" => "-",
        Update::ReadOnly => "read-only",
        Update::PerBroker => "per-broker",
        Update::ClusterWide | Update::DynamicOnly => "cluster-wide",
    };
    let bounds = if bounds.is_empty() { "-" } else { &bounds };
    [
        owner,
        row.name,
        row.kind.name(),
        default,
        bounds,
        importance,
        update,
    ]
    .join("\t")
}

fn owner_of(word: &str) -> Owner {
    match word {
        "broker" => Owner::Broker,
        "topic" => Owner::Topic,
        "group" => Owner::Group,
        other => panic!("{other}"),
    }
}

/// Where Kafka's validator says in its own way what our bounds say, or where Kafka's has a rule that ours has
/// elsewhere.
fn known_difference(fact: &str) -> Option<&'static str> {
    let name = fact.split('\t').nth(1)?;
    match name {
        "listeners" | "listener.security.protocol.map" => Some("read-only here"),
        "authorizer.class.name" => Some("non-null string"),
        "controller.quorum.voters" | "controller.quorum.bootstrap.servers" => Some("non-empty list"),
        "controller.quorum.election.timeout.ms"
        | "controller.quorum.fetch.timeout.ms"
        | "controller.quorum.request.timeout.ms"
        | "controller.quorum.retry.backoff.ms" => Some("0 would elect and ask without a pause"),
        "remote.log.storage.manager.class.name" | "remote.log.metadata.manager.class.name" => {
            Some("non-empty string")
        }
        _ => None,
    }
}

#[test]
fn names_types_defaults_and_bounds_are_those_of_kafka() {
    // An operator's file and a tool's expectations rest on Kafka's table, so ours may not drift from it
    // unnoticed.
    let mut compared = 0;
    let mut different = Vec::new();
    for fact in FACTS.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = fact.split('\t');
        let (Some(owner), Some(name)) = (columns.next(), columns.next()) else {
            panic!("{fact}")
        };
        let Some(row) = table::find(owner_of(owner), name) else {
            assert!(owner == "broker", "{owner} config {name} has no row");
            continue;
        };
        compared += 1;
        let ours = line(owner, row);
        if ours != fact && known_difference(fact).is_none() {
            different.push(format!("Kafka {fact}\nours  {ours}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(compared > 290, "{compared}");
}

#[test]
fn a_row_that_differs_from_kafka_says_why() {
    for section in table::sections() {
        for row in section.rows {
            if let Some(difference) = row.differs {
                assert!(
                    row.default != Some(difference.kafka_default) && !difference.why.is_empty(),
                    "{}",
                    row.name
                );
            }
        }
    }
}
