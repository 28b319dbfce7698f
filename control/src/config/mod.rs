//! Configuration: one table of properties, and everything that is made from it.
//!
//! ```text
//! section/*      the rows: name, kind, default, bounds, scope, synonyms, unit, documentation
//!    |
//!  table         look a row up
//!    |
//! settings  ->  BrokerConfig        what the process was started with (file, --set, flags); never changes
//!    |
//!  view      ->  TopicConfig, GroupConfig, BrokerDynamic    static settings under dynamic overrides, once per change
//!    |
//! describe, alter                   DescribeConfigs rows; the judgement of AlterConfigs and IncrementalAlterConfigs
//! markdown, help                    docs/CONFIG.md and the command line's help
//! ```
//!
//! Names, units and defaults are Kafka's (4.4; facts of 4.3.1 are checked by a test against its
//! `ConfigDef`s). A property that exists in Kafka but does nothing here is accepted and says so; where
//! silence would be dangerous it is refused.

mod alter;
mod bounds;
mod broker;
mod broker_dynamic;
mod describe;
mod election;
mod error;
mod group;
mod help;
mod layers;
mod listener;
mod markdown;
mod properties;
mod property;
mod read;
mod rules;
mod section;
mod settings;
mod table;
mod throttled;
mod topic;
mod value;
mod view;

pub use alter::{Change, Resource, Write};
pub use broker::{
    BrokerConfig, ClusterTiming, CoreList, FetchLimits, GroupLimits, IoBackend, JournalLimits, LogUpkeep,
    OffsetsTopic, QuorumTiming, Replication, RequestLimits, StoreAccess, TopicDefaults,
};
pub use broker_dynamic::BrokerDynamic;
pub use describe::{ConfigRow, ConfigSource, ConfigSynonym, Detail};
pub use election::ElectionConfig;
pub use error::{ConfigError, ConfigErrorKind};
pub use group::GroupConfig;
pub use help::{flag_help, help};
pub use layers::Overrides;
pub use listener::{Endpoint, Listener, ListenerError};
pub use markdown::markdown;
pub use properties::{Entry, PropertiesError, parse as parse_properties};
pub use property::{Applies, Importance, Owner, Property, Section, Unit, Update};
pub use settings::{Origin, Problem, Settings, SettingsError, StartError, Warning};
pub use table::{find, rows, sections};
pub use throttled::ThrottledReplicas;
pub use topic::{CleanupPolicy, Compression, Durability, TimestampType, TopicConfig};
pub use value::{Kind, Value};
pub use view::ConfigView;
