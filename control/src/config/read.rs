//! Typed access to resolved properties, for the structs that carry them.

use super::layers::{Layers, Overrides};
use super::property::Owner;
use super::table;
use super::value::Value;

/// Reads the properties of one owner by name. Names come from the code, never from outside.
pub(super) struct Reader<'a> {
    owner: Owner,
    layers: Layers<'a>,
    own: &'a Overrides,
}

impl<'a> Reader<'a> {
    pub(super) fn broker(layers: Layers<'a>) -> Reader<'a> {
        // Brokers have no layer above theirs; any overrides do, because `resolve` does not look at them.
        Reader {
            owner: Owner::Broker,
            layers,
            own: layers.layer(super::ConfigSource::StaticBroker),
        }
    }

    pub(super) fn of(owner: Owner, layers: Layers<'a>, own: &'a Overrides) -> Reader<'a> {
        Reader { owner, layers, own }
    }

    pub(super) fn value(&self, name: &'static str) -> Option<Value> {
        let row = table::known(self.owner, name);
        #[cfg(test)]
        tests::note(self.owner, row);
        self.layers.resolve(self.owner, row, self.own)
    }

    pub(super) fn boolean(&self, name: &'static str) -> bool {
        matches!(self.value(name), Some(Value::Boolean(true)))
    }

    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        match self.value(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn password(&self, name: &'static str) -> Option<String> {
        match self.value(name) {
            Some(Value::Password(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self, name: &'static str) -> Option<Vec<String>> {
        match self.value(name) {
            Some(Value::List(elements)) => Some(elements),
            _ => None,
        }
    }

    pub(super) fn ratio(&self, name: &'static str) -> f64 {
        match self.value(name) {
            Some(Value::Double(ratio)) => ratio,
            _ => 0.0,
        }
    }

    /// `None`: unset.
    pub(super) fn integer(&self, name: &'static str) -> Option<i64> {
        match self.value(name) {
            Some(Value::Integer(number)) => Some(number),
            _ => None,
        }
    }

    /// A count or size; a negative one, where the row allows it, is none.
    pub(super) fn count(&self, name: &'static str) -> u32 {
        u32::try_from(self.integer(name).unwrap_or(0).max(0)).unwrap_or(u32::MAX)
    }

    pub(super) fn i32(&self, name: &'static str) -> i32 {
        let number = self.integer(name).unwrap_or(0);
        i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })
    }

    /// A duration or size; a negative one, where the row allows it, is none.
    pub(super) fn amount(&self, name: &'static str) -> u64 {
        self.limit(name).unwrap_or(0)
    }

    /// A duration or size that is unlimited when it is negative.
    pub(super) fn limit(&self, name: &'static str) -> Option<u64> {
        u64::try_from(self.integer(name)?).ok()
    }

    /// A duration or count that is unlimited at Java's largest long.
    pub(super) fn limit_below_max(&self, name: &'static str) -> Option<u64> {
        self.limit(name).filter(|value| *value < i64::MAX as u64)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::super::property::{Applies, Property};
    use super::super::{BrokerConfig, ConfigView, Settings};
    use super::*;

    thread_local! {
        static READ: RefCell<BTreeSet<(&'static str, &'static str)>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(super) fn note(owner: Owner, row: &'static Property) {
        READ.with_borrow_mut(|read| {
            read.insert((word(owner), row.name));
            read.extend(
                row.synonyms
                    .iter()
                    .map(|synonym| (word(Owner::Broker), synonym.name)),
            );
        });
    }

    fn word(owner: Owner) -> &'static str {
        match owner {
            Owner::Broker => "broker",
            Owner::Topic => "topic",
            Owner::Group => "group",
        }
    }

    #[test]
    fn what_is_said_to_apply_is_carried_by_a_typed_struct() {
        // A property that nobody reads must not claim in the documentation that it does something.
        READ.with_borrow_mut(BTreeSet::clear);
        let (broker, _) = BrokerConfig::from_settings(Settings::default()).unwrap();
        let none = Overrides::new();
        let view = ConfigView::new(&broker, &none, &none);
        view.topic(&none);
        view.election(&none);
        view.group(&none);
        view.dynamic();
        let read = READ.with_borrow(BTreeSet::clone);
        let applies = |owner| {
            let rows = table::rows(owner).filter(|row| row.applies == Applies::Yes);
            rows.map(move |row| (word(owner), row.name))
        };
        let claimed: BTreeSet<_> = [Owner::Broker, Owner::Topic, Owner::Group]
            .into_iter()
            .flat_map(applies)
            .collect();
        let unread: Vec<_> = claimed.difference(&read).collect();
        assert!(unread.is_empty(), "claimed, but not read: {unread:?}");
    }
}
