//! A row of the property table.

use super::bounds::Bounds;
use super::error::ConfigError;
use super::value::{Kind, Value};

/// Who has the property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    Broker,
    Topic,
    Group,
}

/// How a property may change while the broker runs. Topic and group properties always may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Only by a restart.
    ReadOnly,
    /// For one broker at a time.
    PerBroker,
    /// For one broker or as the default of all.
    ClusterWide,
    /// Like `ClusterWide`, but unknown to `server.properties`.
    DynamicOnly,
}

/// Whether setting the property does anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    Yes,
    /// Accepted, so that existing files and tools work; the reason why nothing happens.
    AcceptedNoEffect(&'static str),
    /// Anything but the default is an error, because the operator would rely on what does not happen; the
    /// reason.
    RefusedUnlessDefault(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    High,
    Medium,
    Low,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    None,
    Bytes,
    BytesPerSecond,
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
}

impl Unit {
    pub const fn name(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Bytes => "bytes",
            Unit::BytesPerSecond => "bytes/s",
            Unit::Milliseconds => "ms",
            Unit::Seconds => "s",
            Unit::Minutes => "min",
            Unit::Hours => "h",
        }
    }
}

/// Another name of the same thing, and how many of our units one of its units is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    pub scale: i64,
}

/// A synonym with the same unit.
pub(super) const fn same(name: &'static str) -> Synonym {
    Synonym { name, scale: 1 }
}

/// Where we deliberately differ from Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    pub kafka_default: &'static str,
    pub why: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Property {
    pub name: &'static str,
    pub kind: Kind,
    /// In text form; `None`: unset.
    pub default: Option<&'static str>,
    pub bounds: Bounds,
    pub update: Update,
    /// Why a property that Kafka can change dynamically is read-only here.
    pub fixed: Option<&'static str>,
    /// In order of precedence. For topic and group properties the broker properties they inherit from.
    pub synonyms: &'static [Synonym],
    pub unit: Unit,
    pub importance: Importance,
    pub applies: Applies,
    pub differs: Option<Difference>,
    /// The option of `ringlog serve` that sets it.
    pub flag: Option<&'static str>,
    /// Accepted, but neither documented nor described unless it is set.
    pub internal: bool,
    pub documentation: &'static str,
}

/// Rows that are documented together.
#[derive(Debug)]
pub struct Section {
    pub title: &'static str,
    pub intro: &'static str,
    pub owner: Owner,
    pub rows: &'static [Property],
}

impl Property {
    /// Password values are never shown.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Parses a value and holds it against the bounds.
    pub fn parse(&self, text: &str) -> Result<Value, ConfigError> {
        let value = Value::parse(self.kind, text).map_err(|reason| self.invalid(text.to_owned(), reason))?;
        self.bounds
            .check(self.name, &value)
            .map_err(|(shown, reason)| self.invalid(shown, reason))?;
        if let Applies::RefusedUnlessDefault(why) = self.applies
            && Some(&value) != self.default_value().as_ref()
            && !text.trim().is_empty()
        {
            return Err(ConfigError::Unsupported {
                name: self.name.to_owned(),
                value: value.to_string(),
                why,
            });
        }
        Ok(value)
    }

    pub fn default_value(&self) -> Option<Value> {
        self.default.and_then(|text| Value::parse(self.kind, text).ok())
    }

    /// What is allowed, for messages: kind, range, unit.
    pub fn allowed(&self) -> String {
        let mut text = self.kind.name().to_ascii_lowercase();
        let bounds = self.bounds.to_string();
        for part in [bounds.as_str(), self.unit.name()] {
            if !part.is_empty() {
                text.push(' ');
                text.push_str(part);
            }
        }
        text
    }

    fn invalid(&self, value: String, reason: String) -> ConfigError {
        let value = if self.is_sensitive() {
            "[hidden]".to_owned()
        } else {
            value
        };
        ConfigError::InvalidValue {
            name: self.name.to_owned(),
            value,
            reason,
            allowed: self.allowed(),
        }
    }
}

macro_rules! kinds {
    ($($constructor:ident => $kind:ident),*) => {
        $(pub(super) const fn $constructor(name: &'static str) -> Property { Property::new(name, Kind::$kind) })*
    };
}
kinds!(boolean => Boolean, string => String, int => Int, short => Short, long => Long, double => Double, list => List,
       class => Class, password => Password);

/// A row is written as a chain: kind and name, then what is not ordinary, then the documentation.
impl Property {
    const fn new(name: &'static str, kind: Kind) -> Property {
        Property {
            name,
            kind,
            default: None,
            bounds: Bounds::Any,
            update: Update::ReadOnly,
            fixed: None,
            synonyms: &[],
            unit: Unit::None,
            importance: Importance::Medium,
            applies: Applies::Yes,
            differs: None,
            flag: None,
            internal: false,
            documentation: "",
        }
    }

    pub(super) const fn default(self, text: &'static str) -> Property {
        Property {
            default: Some(text),
            ..self
        }
    }

    pub(super) const fn doc(self, documentation: &'static str) -> Property {
        Property {
            documentation,
            ..self
        }
    }

    const fn bounds(self, bounds: Bounds) -> Property {
        Property { bounds, ..self }
    }

    pub(super) const fn at_least(self, min: i64) -> Property {
        self.bounds(Bounds::AtLeast(min))
    }

    pub(super) const fn between(self, min: i64, max: i64) -> Property {
        self.bounds(Bounds::Between(min, max))
    }

    pub(super) const fn between_or(self, min: i64, max: i64, or: i64) -> Property {
        self.bounds(Bounds::BetweenOr(min, max, or))
    }

    pub(super) const fn ratio(self, min: f64, max: f64) -> Property {
        self.bounds(Bounds::Ratio(min, max))
    }

    pub(super) const fn one_of(self, names: &'static [&'static str]) -> Property {
        self.bounds(Bounds::OneOf(names))
    }

    pub(super) const fn one_of_any_case(self, names: &'static [&'static str]) -> Property {
        self.bounds(Bounds::OneOfAnyCase(names))
    }

    pub(super) const fn each_of(self, names: &'static [&'static str]) -> Property {
        self.bounds(Bounds::EachOf(names))
    }

    pub(super) const fn throttled_replicas(self) -> Property {
        self.bounds(Bounds::ThrottledReplicas)
    }

    pub(super) const fn offset_reset(self) -> Property {
        self.bounds(Bounds::OffsetReset)
    }

    pub(super) const fn cores(self) -> Property {
        self.bounds(Bounds::Cores)
    }

    pub(super) const fn endpoint_or_none(self) -> Property {
        self.bounds(Bounds::EndpointOrNone)
    }

    pub(super) const fn store_url(self) -> Property {
        self.bounds(Bounds::StoreUrl)
    }

    pub(super) const fn ms(self) -> Property {
        Property {
            unit: Unit::Milliseconds,
            ..self
        }
    }

    pub(super) const fn seconds(self) -> Property {
        Property {
            unit: Unit::Seconds,
            ..self
        }
    }

    pub(super) const fn minutes(self) -> Property {
        Property {
            unit: Unit::Minutes,
            ..self
        }
    }

    pub(super) const fn hours(self) -> Property {
        Property {
            unit: Unit::Hours,
            ..self
        }
    }

    pub(super) const fn bytes(self) -> Property {
        Property {
            unit: Unit::Bytes,
            ..self
        }
    }

    pub(super) const fn bytes_per_second(self) -> Property {
        Property {
            unit: Unit::BytesPerSecond,
            ..self
        }
    }

    pub(super) const fn high(self) -> Property {
        Property {
            importance: Importance::High,
            ..self
        }
    }

    pub(super) const fn low(self) -> Property {
        Property {
            importance: Importance::Low,
            ..self
        }
    }

    pub(super) const fn per_broker(self) -> Property {
        Property {
            update: Update::PerBroker,
            ..self
        }
    }

    pub(super) const fn cluster_wide(self) -> Property {
        Property {
            update: Update::ClusterWide,
            ..self
        }
    }

    pub(super) const fn dynamic_only(self) -> Property {
        Property {
            update: Update::DynamicOnly,
            ..self
        }
    }

    pub(super) const fn fixed_here(self, why: &'static str) -> Property {
        Property {
            fixed: Some(why),
            ..self
        }
    }

    pub(super) const fn synonyms(self, synonyms: &'static [Synonym]) -> Property {
        Property { synonyms, ..self }
    }

    pub(super) const fn no_effect(self, why: &'static str) -> Property {
        Property {
            applies: Applies::AcceptedNoEffect(why),
            ..self
        }
    }

    pub(super) const fn refused_unless_default(self, why: &'static str) -> Property {
        Property {
            applies: Applies::RefusedUnlessDefault(why),
            ..self
        }
    }

    pub(super) const fn kafka_default(self, kafka_default: &'static str, why: &'static str) -> Property {
        Property {
            differs: Some(Difference { kafka_default, why }),
            ..self
        }
    }

    pub(super) const fn flag(self, flag: &'static str) -> Property {
        Property {
            flag: Some(flag),
            ..self
        }
    }

    pub(super) const fn internal(self) -> Property {
        Property {
            internal: true,
            ..self
        }
    }
}
