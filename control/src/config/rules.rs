//! Rules that tie properties together, as Kafka's `KafkaConfig.validateValues`, `LogConfig` and `GroupConfig`
//! have them.

use super::error::ConfigError;
use super::listener::{Listener, ListenerError};
use super::read::Reader;

/// What must hold when a broker starts.
pub(super) fn at_start(broker: &Reader<'_>) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    errors.extend(node(broker).err());
    errors.extend(listeners(broker).err());
    errors.extend(directories(broker).err());
    errors.extend(requests(broker).err());
    errors.extend(heartbeats(broker).err());
    errors.extend(while_running(broker).err());
    errors
}

/// What must hold at start and after each dynamic change.
pub(super) fn while_running(broker: &Reader<'_>) -> Result<(), ConfigError> {
    for name in ["log.retention.ms", "log.retention.minutes", "log.retention.hours"] {
        require(broker.integer(name) != Some(0), || {
            format!("{name} must be unlimited (-1) or, equal or greater than 1")
        })?;
    }
    require(broker.integer("log.roll.ms").is_none_or(|ms| ms >= 1), || {
        "log.roll.ms must be greater than or equal to 1".to_owned()
    })?;
    require(
        broker.integer("log.roll.jitter.ms").is_none_or(|ms| ms >= 0),
        || "log.roll.jitter.ms must be greater than or equal to 0".to_owned(),
    )?;
    at_most(
        broker,
        "log.cleaner.min.compaction.lag.ms",
        "log.cleaner.max.compaction.lag.ms",
    )?;
    let overrides = broker
        .text("max.connections.per.ip.overrides")
        .unwrap_or_default();
    require(
        broker.count("max.connections.per.ip") > 0 || !overrides.is_empty(),
        || {
            "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.".to_owned()
        },
    )
}

/// What must hold between the properties of a topic, its broker's values included.
pub(super) fn topic(topic: &Reader<'_>) -> Result<(), ConfigError> {
    let min = topic.integer("min.compaction.lag.ms").unwrap_or(0);
    let max = topic.integer("max.compaction.lag.ms").unwrap_or(i64::MAX);
    require(min <= max, || {
        format!("conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})")
    })
}

/// What must hold between the properties of a group and the bounds that the broker sets for them.
pub(super) fn group(group: &Reader<'_>, broker: &Reader<'_>) -> Result<(), ConfigError> {
    for (name, min, max) in GROUP_BOUNDS {
        let value = group.integer(name);
        if let Some(min) = min {
            require(value >= broker.integer(min), || {
                format!("{name} must be greater than or equal to {min}")
            })?;
        }
        require(value <= broker.integer(max), || {
            format!("{name} must be less than or equal to {max}")
        })?;
    }
    for protocol in [
        ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"),
        ("share.session.timeout.ms", "share.heartbeat.interval.ms"),
        ("streams.session.timeout.ms", "streams.heartbeat.interval.ms"),
    ] {
        let (session, heartbeat) = protocol;
        require(group.integer(session) > group.integer(heartbeat), || {
            format!("{session} must be greater than {heartbeat}")
        })?;
    }
    Ok(())
}

/// Group property, and the broker properties between which it must lie.
const GROUP_BOUNDS: [(&str, Option<&str>, &str); 13] = [
    (
        "consumer.session.timeout.ms",
        Some("group.consumer.min.session.timeout.ms"),
        "group.consumer.max.session.timeout.ms",
    ),
    (
        "consumer.heartbeat.interval.ms",
        Some("group.consumer.min.heartbeat.interval.ms"),
        "group.consumer.max.heartbeat.interval.ms",
    ),
    (
        "consumer.assignment.interval.ms",
        Some("group.consumer.min.assignment.interval.ms"),
        "group.consumer.max.assignment.interval.ms",
    ),
    (
        "share.session.timeout.ms",
        Some("group.share.min.session.timeout.ms"),
        "group.share.max.session.timeout.ms",
    ),
    (
        "share.heartbeat.interval.ms",
        Some("group.share.min.heartbeat.interval.ms"),
        "group.share.max.heartbeat.interval.ms",
    ),
    (
        "share.assignment.interval.ms",
        Some("group.share.min.assignment.interval.ms"),
        "group.share.max.assignment.interval.ms",
    ),
    (
        "share.record.lock.duration.ms",
        Some("group.share.min.record.lock.duration.ms"),
        "group.share.max.record.lock.duration.ms",
    ),
    (
        "share.delivery.count.limit",
        Some("group.share.min.delivery.count.limit"),
        "group.share.max.delivery.count.limit",
    ),
    (
        "share.partition.max.record.locks",
        Some("group.share.min.partition.max.record.locks"),
        "group.share.max.partition.max.record.locks",
    ),
    (
        "streams.session.timeout.ms",
        Some("group.streams.min.session.timeout.ms"),
        "group.streams.max.session.timeout.ms",
    ),
    (
        "streams.heartbeat.interval.ms",
        Some("group.streams.min.heartbeat.interval.ms"),
        "group.streams.max.heartbeat.interval.ms",
    ),
    (
        "streams.assignment.interval.ms",
        Some("group.streams.min.assignment.interval.ms"),
        "group.streams.max.assignment.interval.ms",
    ),
    (
        "streams.num.standby.replicas",
        None,
        "group.streams.max.standby.replicas",
    ),
];

fn node(broker: &Reader<'_>) -> Result<(), ConfigError> {
    let (node, alias) = (broker.i32("node.id"), broker.i32("broker.id"));
    require(alias == -1 || alias == node, || {
        format!("You must set `node.id` to the same value as `broker.id`: they are {node} and {alias}.")
    })?;
    let roles = broker.list("process.roles").unwrap_or_default();
    require(roles.iter().any(|role| role == "broker"), || {
        "process.roles must contain broker: a ringlog process is always broker and controller.".to_owned()
    })
}

fn directories(broker: &Reader<'_>) -> Result<(), ConfigError> {
    let directories = broker
        .list("log.dirs")
        .or_else(|| broker.list("log.dir"))
        .unwrap_or_default();
    require(
        !directories.is_empty() && directories.iter().all(|directory| !directory.is_empty()),
        || "At least one log directory must be defined via log.dirs or log.dir.".to_owned(),
    )
}

fn requests(broker: &Reader<'_>) -> Result<(), ConfigError> {
    at_most(
        broker,
        "group.min.session.timeout.ms",
        "group.max.session.timeout.ms",
    )?;
    at_most(broker, "socket.request.max.bytes", "ringlog.memory.request.bytes")
}

/// One lost heartbeat is not the end of a broker.
fn heartbeats(broker: &Reader<'_>) -> Result<(), ConfigError> {
    let interval_ms = broker.integer("broker.heartbeat.interval.ms").unwrap_or(0);
    let timeout_ms = broker.integer("broker.session.timeout.ms").unwrap_or(0);
    require(interval_ms >= 1, || {
        format!("broker.heartbeat.interval.ms ({interval_ms}) must be at least 1.")
    })?;
    require(timeout_ms / 2 >= interval_ms, || {
        format!(
            "broker.session.timeout.ms ({timeout_ms}) must be at least twice broker.heartbeat.interval.ms \
             ({interval_ms})."
        )
    })
}

fn listeners(broker: &Reader<'_>) -> Result<(), ConfigError> {
    let configured = parsed(broker, "listeners")?;
    for (index, listener) in configured.iter().enumerate() {
        let earlier = &configured[..index];
        require(!earlier.iter().any(|known| known.name == listener.name), || {
            format!(
                "listeners: each listener must have a different name: {} comes twice.",
                listener.name
            )
        })?;
        let same_address =
            |known: &Listener| listener.endpoint.port != 0 && known.endpoint == listener.endpoint;
        require(!earlier.iter().any(same_address), || {
            format!(
                "listeners: each listener must have a different address: {} comes twice.",
                listener.endpoint
            )
        })?;
    }
    let served = served_listeners(broker);
    require(!served.is_empty(), || {
        "listeners: there must be at least one listener for clients.".to_owned()
    })?;
    let protocols = broker.text("listener.security.protocol.map").unwrap_or_default();
    for listener in &served {
        require_plaintext(&protocols, &listener.name)?;
    }
    let advertised = match broker.list("advertised.listeners") {
        Some(_) => parsed(broker, "advertised.listeners")?,
        None => served.clone(),
    };
    let controllers = controller_names(broker);
    for listener in advertised
        .iter()
        .filter(|listener| !controllers.contains(&listener.name))
    {
        require(served.iter().any(|known| known.name == listener.name), || {
            format!(
                "advertised.listeners: there is no listener named {}.",
                listener.name
            )
        })?;
        require(!listener.endpoint.is_wildcard(), || {
            format!(
                "advertised.listeners cannot use the nonroutable meta-address {}. Use a routable IP address.",
                listener.endpoint.host
            )
        })?;
    }
    Ok(())
}

/// The listeners for clients: all but those of the controller.
pub(super) fn served_listeners(broker: &Reader<'_>) -> Vec<Listener> {
    let controllers = controller_names(broker);
    let mut listeners = parsed(broker, "listeners").unwrap_or_default();
    listeners.retain(|listener| !controllers.contains(&listener.name));
    listeners
}

/// What clients are told, if it is set apart from the listeners.
pub(super) fn advertised_listeners(broker: &Reader<'_>) -> Option<Vec<Listener>> {
    broker.list("advertised.listeners")?;
    let controllers = controller_names(broker);
    let mut listeners = parsed(broker, "advertised.listeners").unwrap_or_default();
    listeners.retain(|listener| !controllers.contains(&listener.name));
    Some(listeners)
}

fn controller_names(broker: &Reader<'_>) -> Vec<String> {
    let names = broker.list("controller.listener.names").unwrap_or_default();
    names.into_iter().map(|name| name.to_ascii_uppercase()).collect()
}

fn parsed(broker: &Reader<'_>, name: &'static str) -> Result<Vec<Listener>, ConfigError> {
    let texts = broker.list(name).unwrap_or_default();
    let listener = |text: &String| {
        Listener::parse(text).map_err(|error: ListenerError| ConfigError::InvalidValue {
            name: name.to_owned(),
            value: text.clone(),
            reason: error.to_string(),
            allowed: "list of NAME://host:port".to_owned(),
        })
    };
    texts.iter().map(listener).collect()
}

fn require_plaintext(protocols: &str, name: &str) -> Result<(), ConfigError> {
    let pairs = protocols.split(',').filter_map(|pair| pair.split_once(':'));
    let protocol = pairs
        .map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, _)| key.eq_ignore_ascii_case(name));
    match protocol {
        Some((_, protocol)) if protocol.eq_ignore_ascii_case("PLAINTEXT") => Ok(()),
        Some((_, protocol)) => Err(ConfigError::Unsupported {
            name: "listeners".to_owned(),
            value: format!("{name} ({protocol})"),
            why: "only PLAINTEXT listeners are served yet",
        }),
        None => Err(ConfigError::Conflict(format!(
            "No security protocol defined for listener {name} in listener.security.protocol.map."
        ))),
    }
}

fn at_most(reader: &Reader<'_>, smaller: &'static str, larger: &'static str) -> Result<(), ConfigError> {
    let (low, high) = (reader.integer(smaller), reader.integer(larger));
    require(low <= high, || {
        let shown =
            |number: Option<i64>| number.map_or_else(|| "unset".to_owned(), |number| number.to_string());
        format!(
            "{smaller} ({}) must be less than or equal to {larger} ({}).",
            shown(low),
            shown(high)
        )
    })
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if holds {
        Ok(())
    } else {
        Err(ConfigError::Conflict(otherwise()))
    }
}
