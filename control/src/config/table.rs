//! Looking rows up.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::property::{Owner, Property, Section};
use super::section;

/// Ordered, not hashed: a hash map made by whoever asks first would make the first run of a simulated seed differ from the next.
static INDEX: LazyLock<BTreeMap<(Owner, &'static str), &'static Property>> = LazyLock::new(|| {
    let rows = section::ALL
        .iter()
        .flat_map(|section| section.rows.iter().map(|row| ((section.owner, row.name), row)));
    rows.collect()
});

/// The sections in the order of the documentation.
pub fn sections() -> &'static [&'static Section] {
    section::ALL
}

pub fn find(owner: Owner, name: &str) -> Option<&'static Property> {
    // A lookup's name need not live as long as the index: the map is covariant in its keys.
    let index: &BTreeMap<(Owner, &str), &'static Property> = &INDEX;
    index.get(&(owner, name)).copied()
}

/// All rows of one owner.
pub fn rows(owner: Owner) -> impl Iterator<Item = &'static Property> {
    section::ALL
        .iter()
        .filter(move |section| section.owner == owner)
        .flat_map(|section| section.rows)
}

/// A row that the code names itself, so that its absence is a bug found by the first test that asks for it.
pub(super) fn known(owner: Owner, name: &'static str) -> &'static Property {
    find(owner, name).unwrap_or_else(|| panic!("no row {name} in the property table of {owner:?}"))
}

/// Splits `listener.name.<listener>.<property>`; the property is the one that the listener overrides.
pub(super) fn listener_override(name: &str) -> Option<&str> {
    let (_, base) = name.strip_prefix("listener.name.")?.split_once('.')?;
    Some(base)
}

#[cfg(test)]
mod tests {
    use super::super::property::Applies;
    use super::super::value::Kind;
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_own_row() {
        // A default that its own bounds refuse could neither be described nor set again.
        for section in sections() {
            for row in section.rows {
                if let Some(text) = row.default {
                    let value = row
                        .parse(text)
                        .unwrap_or_else(|error| panic!("{}: {error}", row.name));
                    assert_eq!(row.default_value(), Some(value.clone()), "{}", row.name);
                    assert_eq!(value.to_string(), text, "{}: not in Kafka's text form", row.name);
                }
            }
        }
    }

    #[test]
    fn every_name_is_unique_for_its_owner() {
        let count: usize = sections().iter().map(|section| section.rows.len()).sum();
        assert_eq!(count, INDEX.len());
    }

    #[test]
    fn every_row_is_documented_and_its_synonyms_exist() {
        for section in sections() {
            for row in section.rows {
                assert!(
                    row.documentation.ends_with('.') && row.documentation.len() > 10,
                    "{}",
                    row.name
                );
                for synonym in row.synonyms {
                    // A time may be a long here and an int there; everything else is of one kind.
                    let number = |kind| matches!(kind, Kind::Int | Kind::Long);
                    let other = known(Owner::Broker, synonym.name).kind;
                    assert!(
                        other == row.kind || (number(other) && number(row.kind)),
                        "{}",
                        row.name
                    );
                }
            }
        }
    }

    #[test]
    fn a_flag_belongs_to_one_property() {
        let mut flags: Vec<_> = rows(Owner::Broker).filter_map(|row| row.flag).collect();
        flags.sort_unstable();
        assert_eq!(
            flags,
            [
                "--admin",
                "--cores",
                "--data-dir",
                "--listen",
                "--node-id",
                "--store"
            ]
        );
    }

    #[test]
    fn a_topic_inherits_what_its_broker_row_says() {
        // A topic row that claims to work while its broker row does not, or the other way round, is a lie in
        // the docs.
        for row in rows(Owner::Topic).chain(rows(Owner::Group)) {
            for synonym in row.synonyms {
                let broker = known(Owner::Broker, synonym.name);
                assert_eq!(
                    row.applies == Applies::Yes,
                    broker.applies == Applies::Yes,
                    "{}",
                    row.name
                );
            }
        }
    }
}
