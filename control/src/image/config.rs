//! What configs are set on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Names and values set on one resource.
pub type ConfigMap = BTreeMap<String, String>;

/// Kinds of resources that have configs. Numbers are the wire's (`ConfigResource.Type`).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    Topic,
    Broker,
    /// Log levels of a running process; never in the metadata log.
    BrokerLogger,
    ClientMetrics,
    Group,
}

impl ResourceKind {
    pub fn from_id(id: i8) -> Option<Self> {
        match id {
            2 => Some(ResourceKind::Topic),
            4 => Some(ResourceKind::Broker),
            8 => Some(ResourceKind::BrokerLogger),
            16 => Some(ResourceKind::ClientMetrics),
            32 => Some(ResourceKind::Group),
            _ => None,
        }
    }

    pub fn id(self) -> i8 {
        match self {
            ResourceKind::Topic => 2,
            ResourceKind::Broker => 4,
            ResourceKind::BrokerLogger => 8,
            ResourceKind::ClientMetrics => 16,
            ResourceKind::Group => 32,
        }
    }

    /// Kafka's name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            ResourceKind::Topic => "TOPIC",
            ResourceKind::Broker => "BROKER",
            ResourceKind::BrokerLogger => "BROKER_LOGGER",
            ResourceKind::ClientMetrics => "CLIENT_METRICS",
            ResourceKind::Group => "GROUP",
        }
    }
}

/// One resource with configs. A broker without a name stands for all brokers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    pub kind: ResourceKind,
    pub name: Arc<str>,
}

impl ConfigResource {
    pub fn new(kind: ResourceKind, name: &str) -> Self {
        ConfigResource {
            kind,
            name: name.into(),
        }
    }

    pub fn topic(name: &str) -> Self {
        ConfigResource::new(ResourceKind::Topic, name)
    }

    /// The defaults of all brokers.
    pub fn all_brokers() -> Self {
        ConfigResource::new(ResourceKind::Broker, "")
    }

    pub fn group(name: &str) -> Self {
        ConfigResource::new(ResourceKind::Group, name)
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ConfigResource(type={}, name='{}')",
            self.kind.name(),
            self.name
        )
    }
}
