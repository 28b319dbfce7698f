//! Why a configuration is refused, in the words Kafka's clients know.

use thiserror::Error;

use super::alter::Resource;

/// Which of Kafka's two error codes a refusal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigErrorKind {
    /// INVALID_CONFIG
    InvalidConfig,
    /// INVALID_REQUEST
    InvalidRequest,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("Invalid value {value} for configuration {name}: {reason}")]
    InvalidValue {
        name: String,
        value: String,
        reason: String,
        /// Kind, range and unit, for messages to an operator.
        allowed: String,
    },
    #[error("Invalid value {value} for configuration {name}: not supported: {why}")]
    Unsupported {
        name: String,
        value: String,
        why: &'static str,
    },
    #[error("Unknown {owner} config name: {name}")]
    UnknownName { owner: &'static str, name: String },
    #[error("Cannot update these configs dynamically: [{}]", names.join(", "))]
    NotDynamic { names: Vec<String> },
    #[error("Cannot update these configs at default cluster level, broker id must be specified: [{}]", names.join(", "))]
    PerBrokerOnly { names: Vec<String> },
    #[error(
        "These security configs can be dynamically updated only per-listener using the listener prefix: [{}]",
        names.join(", ")
    )]
    ListenerPrefixNeeded { names: Vec<String> },
    #[error("Can't {operation} to key {name} because its type is not LIST.")]
    NotAList { operation: &'static str, name: String },
    #[error("Config value {operation} is not allowed for config key: {name}")]
    NotAppendable { operation: String, name: String },
    #[error("Null value not supported for : {name}")]
    NullValue { name: String },
    #[error("Null value not supported for topic configs: {name}")]
    NullTopicConfig { name: String },
    #[error("Error due to duplicate config keys : {name}")]
    DuplicateName { name: String },
    /// Values that are fine each for itself, but not together.
    #[error("{0}")]
    Conflict(String),
}

impl ConfigError {
    /// The code depends on whose configuration it is: Kafka's broker judges broker configs, its controller
    /// the others.
    pub fn kind(&self, resource: Resource) -> ConfigErrorKind {
        let broker = matches!(resource, Resource::Broker | Resource::BrokerDefault);
        match self {
            ConfigError::NullValue { .. } | ConfigError::DuplicateName { .. } => {
                ConfigErrorKind::InvalidRequest
            }
            ConfigError::NotAList { .. }
            | ConfigError::NotAppendable { .. }
            | ConfigError::NullTopicConfig { .. } => ConfigErrorKind::InvalidConfig,
            ConfigError::NotDynamic { .. }
            | ConfigError::PerBrokerOnly { .. }
            | ConfigError::ListenerPrefixNeeded { .. } => ConfigErrorKind::InvalidRequest,
            ConfigError::InvalidValue { .. }
            | ConfigError::Unsupported { .. }
            | ConfigError::UnknownName { .. }
            | ConfigError::Conflict(_)
                if broker =>
            {
                ConfigErrorKind::InvalidRequest
            }
            ConfigError::InvalidValue { .. }
            | ConfigError::Unsupported { .. }
            | ConfigError::UnknownName { .. }
            | ConfigError::Conflict(_) => ConfigErrorKind::InvalidConfig,
        }
    }

    /// What would be allowed, where that is a matter of one property.
    pub fn allowed(&self) -> Option<&str> {
        match self {
            ConfigError::InvalidValue { allowed, .. } => Some(allowed),
            _ => None,
        }
    }
}
