//! `docs/CONFIG.md`.

use std::fmt::Write;

use super::property::{Applies, Owner, Property, Section, Update};
use super::table;

/// The whole page. It is checked in; `cargo run -p control --example config_doc > docs/CONFIG.md` renews it.
pub fn markdown() -> String {
    let mut page = String::from(INTRO);
    for section in table::sections() {
        section_table(&mut page, section);
    }
    page
}

const INTRO: &str = "\
# Configuration

<!-- Generated from the property table (control/src/config/section): cargo run -p control --example config_doc -->

`ringlog serve --config FILE` takes Kafka's `server.properties`: Kafka's names, units and defaults (4.4). `--set NAME=VALUE` and
the flags named below go on top. Properties of ringlog begin with `ringlog.`. An unknown name is warned about and ignored; a value
that its property does not allow keeps the broker from starting, and the message names all such values with their lines.

While the broker runs, properties marked *broker* or *all brokers* can be changed with `kafka-configs` or `ringlog config` for one
broker or as the default of all; topic and group properties for each topic and group. The nearer counts: topic or group, then
broker, then all brokers, then file, then default.

*No effect* means: accepted, so that existing files and tools work, but nothing happens, for the reason told. *Refused* means:
anything but the default is an error, because it would promise what does not happen.
";

fn section_table(page: &mut String, section: &Section) {
    // Writing to a String cannot fail.
    let _ = write!(page, "\n## {}\n\n{}\n\n", section.title, section.intro);
    let changes = if section.owner == Owner::Broker {
        "Change"
    } else {
        "Inherits from"
    };
    let _ = writeln!(
        page,
        "| Property | Type | Default | Allowed | {changes} | Meaning |\n|---|---|---|---|---|---|"
    );
    for row in section.rows.iter().filter(|row| !row.internal) {
        let unit = row.unit.name();
        let kind = row.kind.name().to_ascii_lowercase();
        let kind = if unit.is_empty() {
            kind
        } else {
            format!("{kind}, {unit}")
        };
        let change = match section.owner {
            Owner::Broker => change(row).to_owned(),
            Owner::Topic | Owner::Group => row.synonyms.first().map_or_else(String::new, |s| code(s.name)),
        };
        let _ = writeln!(
            page,
            "| {} | {kind} | {} | {} | {change} | {} |",
            code(row.name),
            default(row),
            escaped(&row.bounds.to_string()),
            meaning(row)
        );
    }
}

fn change(row: &Property) -> &'static str {
    match row.update {
        Update::ReadOnly => "restart",
        Update::PerBroker => "broker",
        Update::ClusterWide => "all brokers",
        Update::DynamicOnly => "all brokers, not in a file",
    }
}

fn default(row: &Property) -> String {
    match row.default {
        None => "unset".to_owned(),
        Some("") => "empty".to_owned(),
        Some(text) => code(text),
    }
}

fn meaning(row: &Property) -> String {
    let mut text = String::new();
    match row.applies {
        Applies::Yes => {}
        Applies::AcceptedNoEffect(reason) => text.push_str(&format!("**No effect**: {reason}. ")),
        Applies::RefusedUnlessDefault(reason) => text.push_str(&format!("**Refused**: {reason}. ")),
    }
    text.push_str(row.documentation);
    if let Some(flag) = row.flag {
        text.push_str(&format!(" Flag: {}.", code(flag)));
    }
    if let Some(difference) = row.differs {
        let kafka = match difference.kafka_default {
            "" => "empty".to_owned(),
            "unset" => "unset".to_owned(),
            text => code(text),
        };
        text.push_str(&format!(" (Kafka: {kafka}; {}.)", difference.why));
    }
    if let Some(why) = row.fixed {
        text.push_str(&format!(" (Kafka can change it while running; here not: {why}.)"));
    }
    escaped(&text)
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_page_is_what_the_table_says() {
        let checked_in = include_str!("../../../docs/CONFIG.md");
        assert!(
            checked_in == markdown(),
            "renew it: cargo run -p control --example config_doc > docs/CONFIG.md"
        );
    }
}
