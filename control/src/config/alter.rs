//! The judgement of AlterConfigs and IncrementalAlterConfigs.

use super::describe::ConfigSource;
use super::error::ConfigError;
use super::layers::{Layers, Overrides};
use super::property::{Owner, Property, Update};
use super::read::Reader;
use super::rules;
use super::table;
use super::value::Kind;
use super::view::ConfigView;

/// Whose overrides are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Topic,
    /// One broker.
    Broker,
    /// All brokers: the broker resource with the empty name.
    BrokerDefault,
    Group,
}

impl Resource {
    fn owner(self) -> Owner {
        match self {
            Resource::Topic => Owner::Topic,
            Resource::Group => Owner::Group,
            Resource::Broker | Resource::BrokerDefault => Owner::Broker,
        }
    }
}

/// One operation of IncrementalAlterConfigs. `None`: the protocol's null, which only a deletion may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    Set(Option<&'a str>),
    Delete,
    Append(Option<&'a str>),
    Subtract(Option<&'a str>),
}

impl<'a> Change<'a> {
    /// By the protocol's `configOperation`; `None`: there is no such operation.
    pub fn from_code(operation: i8, value: Option<&'a str>) -> Option<Change<'a>> {
        match operation {
            0 => Some(Change::Set(value)),
            1 => Some(Change::Delete),
            2 => Some(Change::Append(value)),
            3 => Some(Change::Subtract(value)),
            _ => None,
        }
    }
}

/// What a Config record is to say; `None`: the override ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub name: String,
    pub value: Option<String>,
}

impl ConfigView<'_> {
    /// Judges the operations of IncrementalAlterConfigs on one resource, all or none.
    pub fn alter(
        &self,
        resource: Resource,
        current: &Overrides,
        changes: &[(&str, Change<'_>)],
    ) -> Result<Vec<Write>, ConfigError> {
        refuse_twice(changes.iter().map(|(name, _)| *name))?;
        let mut new = current.clone();
        for (name, change) in changes {
            match change {
                Change::Set(Some(value)) => drop(new.insert((*name).to_owned(), (*value).to_owned())),
                Change::Delete => drop(new.remove(*name)),
                Change::Append(Some(value)) => {
                    let mut elements = list(resource, name, "APPEND", current)?;
                    for element in value.split(',').map(str::trim) {
                        if !elements.iter().any(|known| known == element) {
                            elements.push(element.to_owned());
                        }
                    }
                    new.insert((*name).to_owned(), elements.join(","));
                }
                Change::Subtract(Some(value)) => {
                    let mut elements = list(resource, name, "SUBTRACT", current)?;
                    elements.retain(|element| !value.split(',').any(|removed| removed.trim() == element));
                    new.insert((*name).to_owned(), elements.join(","));
                }
                Change::Set(None) | Change::Append(None) | Change::Subtract(None) => {
                    return Err(ConfigError::NullValue {
                        name: (*name).to_owned(),
                    });
                }
            }
        }
        self.judge(resource, current, &new)?;
        Ok(difference(current, &new))
    }

    /// Judges AlterConfigs: the overrides become exactly these.
    pub fn replace(
        &self,
        resource: Resource,
        current: &Overrides,
        configs: &[(&str, Option<&str>)],
    ) -> Result<Vec<Write>, ConfigError> {
        refuse_twice(configs.iter().map(|(name, _)| *name))?;
        let new = not_null(configs, |name| ConfigError::NullValue { name })?;
        self.judge(resource, current, &new)?;
        Ok(difference(current, &new))
    }

    /// Judges the configs of a topic that is to be created, and gives its overrides.
    pub fn create_topic(&self, configs: &[(&str, Option<&str>)]) -> Result<Overrides, ConfigError> {
        let new = not_null(configs, |name| ConfigError::NullTopicConfig { name })?;
        self.judge(Resource::Topic, &Overrides::new(), &new)?;
        Ok(new)
    }

    /// Checks what is new, and then whether everything fits together. An override that was there before is
    /// not judged again by itself: it may stem from another version, and must not stand in the way of its own
    /// correction.
    fn judge(&self, resource: Resource, current: &Overrides, new: &Overrides) -> Result<(), ConfigError> {
        let changed: Vec<(&str, &str)> = new
            .iter()
            .filter(|(name, value)| current.get(*name) != Some(value))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        match resource {
            Resource::Topic => {
                check_known(Owner::Topic, "topic", &changed)?;
                rules::topic(&Reader::of(Owner::Topic, self.layers, new))
            }
            Resource::Group => {
                check_known(Owner::Group, "group", &changed)?;
                rules::group(
                    &Reader::of(Owner::Group, self.layers, new),
                    &Reader::broker(self.layers),
                )
            }
            Resource::Broker | Resource::BrokerDefault => {
                check_broker(resource, &changed)?;
                let source = match resource {
                    Resource::BrokerDefault => ConfigSource::DynamicDefaultBroker,
                    _ => ConfigSource::DynamicBroker,
                };
                let layers: Layers<'_> = self.layers.with(source, new);
                rules::while_running(&Reader::broker(layers))
            }
        }
    }
}

fn refuse_twice<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), ConfigError> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(ConfigError::DuplicateName {
            name: pair[0].to_owned(),
        }),
        None => Ok(()),
    }
}

fn not_null(
    configs: &[(&str, Option<&str>)],
    refusal: impl Fn(String) -> ConfigError,
) -> Result<Overrides, ConfigError> {
    let pair = |(name, value): &(&str, Option<&str>)| match value {
        Some(value) => Ok(((*name).to_owned(), (*value).to_owned())),
        None => Err(refusal((*name).to_owned())),
    };
    configs.iter().map(pair).collect()
}

/// The elements a list operation works on: those of the override, otherwise (as in Kafka) those of the row's
/// default.
fn list(
    resource: Resource,
    name: &str,
    operation: &'static str,
    current: &Overrides,
) -> Result<Vec<String>, ConfigError> {
    let row = table::find(resource.owner(), name).filter(|row| row.kind == Kind::List);
    let Some(row) = row else {
        return Err(match resource {
            Resource::Topic | Resource::Group => ConfigError::NotAList {
                operation,
                name: name.to_owned(),
            },
            Resource::Broker | Resource::BrokerDefault => ConfigError::NotAppendable {
                operation: operation.to_ascii_lowercase(),
                name: name.to_owned(),
            },
        });
    };
    let text = current
        .get(name)
        .map(String::as_str)
        .or(row.default)
        .unwrap_or_default();
    Ok(text
        .split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
        .map(str::to_owned)
        .collect())
}

fn difference(current: &Overrides, new: &Overrides) -> Vec<Write> {
    let set = new
        .iter()
        .filter(|(name, value)| current.get(*name) != Some(value));
    let ended = current.keys().filter(|name| !new.contains_key(*name));
    set.map(|(name, value)| Write {
        name: name.clone(),
        value: Some(value.clone()),
    })
    .chain(ended.map(|name| Write {
        name: name.clone(),
        value: None,
    }))
    .collect()
}

fn check_known(owner: Owner, word: &'static str, changed: &[(&str, &str)]) -> Result<(), ConfigError> {
    for (name, _) in changed {
        if table::find(owner, name).is_none() {
            return Err(ConfigError::UnknownName {
                owner: word,
                name: (*name).to_owned(),
            });
        }
    }
    check_values(owner, changed)
}

fn check_values(owner: Owner, changed: &[(&str, &str)]) -> Result<(), ConfigError> {
    for (name, value) in changed {
        if let Some(row) = table::find(owner, name) {
            row.parse(value)?;
        }
    }
    Ok(())
}

/// Names that no row has are kept without judgement, as Kafka does for plug-ins.
fn check_broker(resource: Resource, changed: &[(&str, &str)]) -> Result<(), ConfigError> {
    let matching = |wanted: &dyn Fn(&Property) -> bool| -> Vec<String> {
        let rows = changed
            .iter()
            .filter(|(name, _)| table::find(Owner::Broker, name).is_some_and(wanted));
        rows.map(|(name, _)| (*name).to_owned()).collect()
    };
    // Secrets would lie in the metadata log in clear, for nothing: what they are for is not served.
    let tls = |row: &Property| row.name.starts_with("ssl.") && row.update != Update::ReadOnly;
    let mut fixed = matching(&|row| row.update == Update::ReadOnly || (row.is_sensitive() && !tls(row)));
    let per_listener = changed
        .iter()
        .filter(|(name, _)| table::listener_override(name).is_some());
    fixed.extend(per_listener.map(|(name, _)| (*name).to_owned()));
    if !fixed.is_empty() {
        return Err(ConfigError::NotDynamic { names: fixed });
    }
    let tls = matching(&tls);
    if !tls.is_empty() {
        return Err(ConfigError::ListenerPrefixNeeded { names: tls });
    }
    check_values(Owner::Broker, changed)?;
    let per_broker = matching(&|row| row.update == Update::PerBroker);
    if resource == Resource::BrokerDefault && !per_broker.is_empty() {
        return Err(ConfigError::PerBrokerOnly { names: per_broker });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
