//! Whose configs are meant.

use std::fmt;

use clap::Args;

/// Something that has configs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    Topic(String),
    /// `None` is the default of all brokers.
    Broker(Option<i32>),
    Group(String),
}

/// Exactly one of the three.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ResourceArgs {
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// A broker's id, or "default" for the values all brokers share.
    #[arg(long, value_name = "ID|default", value_parser = parse_broker)]
    broker: Option<BrokerArg>,
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct BrokerArg(Option<i32>);

fn parse_broker(text: &str) -> Result<BrokerArg, String> {
    match text {
        "default" => Ok(BrokerArg(None)),
        id => id
            .parse()
            .map(|id| BrokerArg(Some(id)))
            .map_err(|_| "expected a broker id or \"default\"".to_owned()),
    }
}

impl ResourceArgs {
    pub fn resource(&self) -> Resource {
        match (&self.topic, &self.broker, &self.group) {
            (Some(topic), _, _) => Resource::Topic(topic.clone()),
            (_, Some(broker), _) => Resource::Broker(broker.0),
            // clap sees to it that one of the three is given
            (_, _, group) => Resource::Group(group.clone().unwrap_or_default()),
        }
    }
}

impl Resource {
    /// Kafka's number of the resource type.
    pub fn type_code(&self) -> i8 {
        match self {
            Resource::Topic(_) => 2,
            Resource::Broker(_) => 4,
            Resource::Group(_) => 32,
        }
    }

    pub fn name(&self) -> String {
        match self {
            Resource::Topic(name) | Resource::Group(name) => name.clone(),
            Resource::Broker(Some(id)) => id.to_string(),
            Resource::Broker(None) => String::new(),
        }
    }

    /// The broker that must be asked: only it knows its own static configs.
    pub fn broker(&self) -> Option<i32> {
        match self {
            Resource::Broker(id) => *id,
            Resource::Topic(_) | Resource::Group(_) => None,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Topic(name) => write!(f, "topic {name}"),
            Resource::Broker(Some(id)) => write!(f, "broker {id}"),
            Resource::Broker(None) => f.write_str("all brokers"),
            Resource::Group(name) => write!(f, "group {name}"),
        }
    }
}
