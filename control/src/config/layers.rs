//! Layers of settings: what is set for this broker over what is set for all, over what it was started with,
//! over defaults.

use std::collections::BTreeMap;

use super::describe::ConfigSource;
use super::property::{Owner, Property};
use super::table;
use super::value::Value;

/// Names and values as they were set, unparsed: those of a file, of a topic, of a group, of a broker.
pub type Overrides = BTreeMap<String, String>;

static NONE: Overrides = BTreeMap::new();

/// The three layers of a broker's settings, the strongest first.
#[derive(Clone, Copy)]
pub(super) struct Layers<'a> {
    layers: [(ConfigSource, &'a Overrides); 3],
}

impl<'a> Layers<'a> {
    pub(super) fn new(
        this_broker: &'a Overrides,
        all_brokers: &'a Overrides,
        started_with: &'a Overrides,
    ) -> Layers<'a> {
        Layers {
            layers: [
                (ConfigSource::DynamicBroker, this_broker),
                (ConfigSource::DynamicDefaultBroker, all_brokers),
                (ConfigSource::StaticBroker, started_with),
            ],
        }
    }

    pub(super) fn started_with(settings: &'a Overrides) -> Layers<'a> {
        Layers::new(&NONE, &NONE, settings)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConfigSource, &'a Overrides)> {
        self.layers.into_iter()
    }

    /// The layers with other overrides of this broker, or of all brokers.
    pub(super) fn with(self, source: ConfigSource, overrides: &'a Overrides) -> Layers<'a> {
        let layers = self
            .layers
            .map(|(known, old)| (known, if known == source { overrides } else { old }));
        Layers { layers }
    }

    pub(super) fn layer(&self, source: ConfigSource) -> &'a Overrides {
        self.iter()
            .find(|(known, _)| *known == source)
            .map_or(&NONE, |(_, overrides)| overrides)
    }

    /// The value a property has. A stored value that its row does not allow (written by another version, say)
    /// is passed over with a warning, as Kafka does: a broker must not fall over what its log holds.
    pub(super) fn resolve(&self, owner: Owner, row: &Property, own: &Overrides) -> Option<Value> {
        match owner {
            Owner::Broker => self.set(row).or_else(|| row.default_value()),
            Owner::Topic | Owner::Group => stored(row, own)
                .or_else(|| self.inherit(row))
                .or_else(|| row.default_value()),
        }
    }

    fn inherit(&self, row: &Property) -> Option<Value> {
        let synonyms = || {
            row.synonyms
                .iter()
                .map(|synonym| (table::known(Owner::Broker, synonym.name), synonym.scale))
        };
        let set = synonyms().find_map(|(broker, scale)| Some((self.set(broker)?, scale)));
        let (value, scale) =
            set.or_else(|| synonyms().find_map(|(broker, scale)| Some((broker.default_value()?, scale))))?;
        Some(scaled(row, value, scale))
    }

    fn set(&self, row: &Property) -> Option<Value> {
        self.iter().find_map(|(_, overrides)| stored(row, overrides))
    }
}

fn stored(row: &Property, overrides: &Overrides) -> Option<Value> {
    match row.parse(overrides.get(row.name)?) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(property = row.name, %error, "stored configuration value passed over");
            None
        }
    }
}

/// Negative times mean no limit, whatever their unit: Kafka makes -1 of them.
fn scaled(row: &Property, value: Value, scale: i64) -> Value {
    match value {
        Value::Integer(number) if number < 0 && (scale != 1 || row.name == "retention.ms") => {
            Value::Integer(-1)
        }
        Value::Integer(number) => Value::Integer(number.saturating_mul(scale)),
        other => other,
    }
}
