//! What a broker is started with: a file, `--set`, flags.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use super::error::ConfigError;
use super::layers::Overrides;
use super::properties::{self, PropertiesError};
use super::property::{Applies, Owner, Update};
use super::section::reason;
use super::table;

/// Where a setting came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Line of the configuration file.
    File(u32),
    /// `--set`
    Set,
    Flag(&'static str),
    /// Follows from another setting.
    Derived,
}

/// Names and values as they were given, unparsed. What is added later replaces what was there.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: Overrides,
    origins: BTreeMap<String, Origin>,
    duplicates: Vec<(String, u32)>,
}

/// A setting that never was one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    #[error(transparent)]
    File(#[from] PropertiesError),
    #[error("--set {given}: must be NAME=VALUE")]
    NotAPair { given: String },
    #[error("{flag}: no property has this flag")]
    UnknownFlag { flag: String },
}

/// Something to tell the operator, who may have expected more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Kafka ignores unknown names too; a slip of the pen would go unnoticed without this.
    Unknown {
        name: String,
        origin: Origin,
        suggestion: Option<&'static str>,
    },
    NoEffect {
        name: String,
        origin: Origin,
        reason: &'static str,
    },
    Duplicate {
        name: String,
        line: u32,
    },
}

/// A setting that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `None`: several settings together.
    pub origin: Option<Origin>,
    pub error: ConfigError,
}

/// Everything that keeps a broker from starting with these settings.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct StartError {
    pub problems: Vec<Problem>,
}

impl Settings {
    /// Adds the content of a `server.properties` file.
    pub fn add_file(&mut self, content: &[u8]) -> Result<(), SettingsError> {
        for entry in properties::parse(content)? {
            if matches!(self.origins.get(&entry.name), Some(Origin::File(_))) {
                self.duplicates.push((entry.name.clone(), entry.line));
            }
            self.insert(entry.name, entry.value, Origin::File(entry.line));
        }
        Ok(())
    }

    /// Adds the argument of `--set`: `NAME=VALUE`.
    pub fn add_pair(&mut self, pair: &str) -> Result<(), SettingsError> {
        let (name, value) = pair
            .split_once('=')
            .filter(|(name, _)| !name.trim().is_empty())
            .ok_or_else(|| SettingsError::NotAPair {
                given: pair.to_owned(),
            })?;
        self.insert(name.trim().to_owned(), value.to_owned(), Origin::Set);
        Ok(())
    }

    /// Adds a flag of `ringlog serve`, such as `--node-id`, by the row that names it.
    pub fn add_flag(&mut self, flag: &str, value: &str) -> Result<(), SettingsError> {
        let row = table::rows(Owner::Broker)
            .find(|row| row.flag == Some(flag))
            .ok_or_else(|| SettingsError::UnknownFlag {
                flag: flag.to_owned(),
            })?;
        // `--listen HOST:PORT` is short for the one protocol that is served.
        let value = match row.name {
            "listeners" if !value.contains("://") => format!("PLAINTEXT://{value}"),
            _ => value.to_owned(),
        };
        self.insert(
            row.name.to_owned(),
            value,
            Origin::Flag(row.flag.unwrap_or_default()),
        );
        Ok(())
    }

    pub(super) fn insert(&mut self, name: String, value: String, origin: Origin) {
        self.origins.insert(name.clone(), origin);
        self.values.insert(name, value);
    }

    pub fn values(&self) -> &Overrides {
        &self.values
    }

    /// Parses every setting by itself.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let parsed = self.values.iter().filter_map(|(name, value)| {
            let row = table::find(Owner::Broker, name)?;
            let error = row.parse(value).err()?;
            Some(Problem {
                origin: self.origins.get(name).copied(),
                error,
            })
        });
        parsed.collect()
    }

    pub(super) fn warnings(&self) -> Vec<Warning> {
        let named = self
            .values
            .iter()
            .filter_map(|(name, value)| self.warning(name, value));
        let twice = self.duplicates.iter().map(|(name, line)| Warning::Duplicate {
            name: name.clone(),
            line: *line,
        });
        named.chain(twice).collect()
    }

    fn warning(&self, name: &str, value: &str) -> Option<Warning> {
        let origin = self.origins.get(name).copied().unwrap_or(Origin::Derived);
        let no_effect = |reason| {
            Some(Warning::NoEffect {
                name: name.to_owned(),
                origin,
                reason,
            })
        };
        match table::find(Owner::Broker, name) {
            Some(row) if row.update == Update::DynamicOnly => no_effect("it can be set dynamically only"),
            Some(row) => match row.applies {
                Applies::Yes | Applies::RefusedUnlessDefault(_) => None,
                Applies::AcceptedNoEffect(_) if row.parse(value).ok() == row.default_value() => None,
                Applies::AcceptedNoEffect(reason) => no_effect(reason),
            },
            None if table::listener_override(name)
                .is_some_and(|base| table::find(Owner::Broker, base).is_some()) =>
            {
                no_effect("properties cannot be set per listener yet")
            }
            None => match FAMILIES.iter().find(|(prefix, _)| name.starts_with(prefix)) {
                Some((_, reason)) => no_effect(reason),
                None => Some(Warning::Unknown {
                    name: name.to_owned(),
                    origin,
                    suggestion: suggestion(name),
                }),
            },
        }
    }
}

/// Properties of Kafka that have no row each, because what they belong to is not served.
const FAMILIES: [(&str, &str); 9] = [
    ("sasl.", reason::NO_SASL),
    ("ssl.", reason::NO_TLS),
    ("remote.", reason::NO_TIERED),
    ("rsm.config.", reason::NO_TIERED),
    ("rlmm.config.", reason::NO_TIERED),
    ("share.", reason::NO_SHARE_GROUPS),
    ("group.share.", reason::NO_SHARE_GROUPS),
    ("controller.quorum.", reason::VOTERS_IN_STORE),
    ("zookeeper.", reason::ZOOKEEPER_IN_STORE),
];

/// What the operator may have meant: the broker property behind a topic's name, or a name that differs by one
/// slip.
fn suggestion(name: &str) -> Option<&'static str> {
    if let Some(topic) = table::find(Owner::Topic, name) {
        return topic.synonyms.first().map(|synonym| synonym.name);
    }
    table::rows(Owner::Broker)
        .map(|row| row.name)
        .find(|known| one_slip(name, known))
}

/// Whether one character inserted, left out or replaced makes one name of the other.
fn one_slip(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let front = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let back = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(x, y)| x == y)
        .count();
    let longest = a.len().max(b.len());
    a.len().abs_diff(b.len()) <= 1 && front + back + 1 >= longest
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(line) => write!(f, "line {line}"),
            Origin::Set => f.write_str("--set"),
            Origin::Flag(flag) => f.write_str(flag),
            Origin::Derived => f.write_str("derived"),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Unknown {
                name,
                origin,
                suggestion,
            } => {
                write!(f, "{name} ({origin}): unknown property, ignored")?;
                suggestion.map_or(Ok(()), |suggestion| write!(f, "; did you mean {suggestion}?"))
            }
            Warning::NoEffect { name, origin, reason } => {
                write!(f, "{name} ({origin}): has no effect: {reason}")
            }
            Warning::Duplicate { name, line } => {
                write!(f, "{name} (line {line}): set before; this one counts")
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = self.origin {
            write!(f, "{origin}: ")?;
        }
        write!(f, "{}", self.error)?;
        self.error
            .allowed()
            .map_or(Ok(()), |allowed| write!(f, " (allowed: {allowed})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_later_counts() {
        let mut settings = Settings::default();
        settings
            .add_file(b"node.id=1\nnum.partitions=2\nlog.dirs=a")
            .unwrap();
        settings.add_pair("num.partitions=3").unwrap();
        settings.add_flag("--node-id", "7").unwrap();
        settings.add_flag("--listen", "0.0.0.0:1").unwrap();
        let value = |name: &str| settings.values().get(name).map(String::as_str);
        assert_eq!(value("node.id"), Some("7"));
        assert_eq!(value("num.partitions"), Some("3"));
        assert_eq!(value("listeners"), Some("PLAINTEXT://0.0.0.0:1"));
        assert_eq!(value("log.dirs"), Some("a"));
    }

    #[test]
    fn what_is_no_setting_is_an_error() {
        let mut settings = Settings::default();
        assert!(matches!(
            settings.add_pair("x"),
            Err(SettingsError::NotAPair { .. })
        ));
        assert!(matches!(
            settings.add_pair("=x"),
            Err(SettingsError::NotAPair { .. })
        ));
        assert!(matches!(
            settings.add_flag("--x", "1"),
            Err(SettingsError::UnknownFlag { .. })
        ));
        assert!(matches!(
            settings.add_file(b"a=\\u1"),
            Err(SettingsError::File(_))
        ));
    }

    #[test]
    fn warnings_name_the_line_and_the_likely_meaning() {
        let mut settings = Settings::default();
        let file = b"num.partition=3\nretention.ms=5\nnum.io.threads=4\nnum.network.threads=3\nfoo.bar=1\n\
                     sasl.oauthbearer.scope=x\nlistener.name.a.max.connections=1\nfoo.bar=2";
        settings.add_file(file).unwrap();
        let warnings: Vec<String> = settings.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings,
            [
                "foo.bar (line 8): unknown property, ignored",
                "listener.name.a.max.connections (line 7): has no effect: properties cannot be set per listener yet",
                "num.io.threads (line 3): has no effect: one thread per core does everything; see ringlog.cores",
                "num.partition (line 1): unknown property, ignored; did you mean num.partitions?",
                "retention.ms (line 2): unknown property, ignored; did you mean log.retention.ms?",
                "sasl.oauthbearer.scope (line 6): has no effect: SASL is not served yet, and a SASL listener is refused",
                "foo.bar (line 8): set before; this one counts",
            ]
        );
    }
}
