//! The rows of DescribeConfigs, as Kafka's `ConfigHelper` makes them.
//!
//! One thing looks odd and is Kafka's: the synonyms of a time start at the name that is inherited
//! (`log.retention.ms`). Where only `log.retention.hours` is set, no synonym is told and the source is
//! DEFAULT_CONFIG, though the value is right.

use super::layers::{Layers, Overrides};
use super::property::{Owner, Property, Update};
use super::table;
use super::value::Kind;
use super::view::ConfigView;

/// Where a value comes from; the code of DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigSource {
    DynamicTopic,
    DynamicBroker,
    DynamicDefaultBroker,
    StaticBroker,
    Default,
    Group,
}

impl ConfigSource {
    pub const fn code(self) -> i8 {
        match self {
            ConfigSource::DynamicTopic => 1,
            ConfigSource::DynamicBroker => 2,
            ConfigSource::DynamicDefaultBroker => 3,
            ConfigSource::StaticBroker => 4,
            ConfigSource::Default => 5,
            ConfigSource::Group => 8,
        }
    }
}

/// One configuration of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigRow {
    pub name: String,
    /// `None`: unset, or sensitive.
    pub value: Option<String>,
    pub read_only: bool,
    pub source: ConfigSource,
    pub sensitive: bool,
    /// The strongest first; empty unless asked for.
    pub synonyms: Vec<ConfigSynonym>,
    /// `configType`
    pub kind_code: i8,
    /// Only if asked for.
    pub documentation: Option<&'static str>,
}

impl ConfigRow {
    /// `isDefault` of DescribeConfigs v0.
    pub fn is_default(&self) -> bool {
        self.source == ConfigSource::Default
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    pub name: String,
    pub value: Option<String>,
    pub source: ConfigSource,
}

/// What a request wants to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail<'a> {
    /// `None`: all; Kafka takes an empty list for all too.
    pub names: Option<&'a [&'a str]>,
    pub synonyms: bool,
    pub documentation: bool,
}

impl Detail<'_> {
    fn wants(&self, name: &str) -> bool {
        self.names
            .is_none_or(|names| names.is_empty() || names.contains(&name))
    }

    fn finish(&self, mut rows: Vec<ConfigRow>) -> Vec<ConfigRow> {
        rows.retain(|row| self.wants(&row.name));
        for row in &mut rows {
            if !self.synonyms {
                row.synonyms.clear();
            }
            if !self.documentation {
                row.documentation = None;
            }
        }
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows
    }
}

impl ConfigView<'_> {
    pub fn describe_topic(&self, overrides: &Overrides, detail: Detail<'_>) -> Vec<ConfigRow> {
        self.describe_inheriting(Owner::Topic, ConfigSource::DynamicTopic, overrides, detail)
    }

    pub fn describe_group(&self, overrides: &Overrides, detail: Detail<'_>) -> Vec<ConfigRow> {
        self.describe_inheriting(Owner::Group, ConfigSource::Group, overrides, detail)
    }

    /// This broker, named by its id.
    pub fn describe_broker(&self, detail: Detail<'_>) -> Vec<ConfigRow> {
        let is_set = |name: &str| {
            self.layers
                .iter()
                .any(|(_, overrides)| overrides.contains_key(name))
        };
        let ordinary = |row: &&Property| !row.internal && row.update != Update::DynamicOnly;
        let known = table::rows(Owner::Broker).filter(|row| ordinary(row) || is_set(row.name));
        let mut rows: Vec<ConfigRow> = known.map(|row| self.broker_row(row)).collect();
        let mut unknown: Vec<&String> = self
            .layers
            .iter()
            .flat_map(|(_, overrides)| overrides.keys())
            .collect();
        unknown.retain(|name| table::find(Owner::Broker, name).is_none());
        unknown.sort_unstable();
        unknown.dedup();
        rows.extend(unknown.into_iter().map(|name| unknown_row(&self.layers, name)));
        detail.finish(rows)
    }

    /// All brokers, named by the empty name: only what was set for all of them.
    pub fn describe_all_brokers(&self, detail: Detail<'_>) -> Vec<ConfigRow> {
        let overrides = self.layers.layer(ConfigSource::DynamicDefaultBroker);
        let layers = Layers::started_with(overrides);
        let row = |name: &String| {
            let mut row = match table::find(Owner::Broker, name) {
                Some(row) => ConfigView { layers }.broker_row(row),
                None => unknown_row(&layers, name),
            };
            row.synonyms
                .retain(|synonym| synonym.source == ConfigSource::StaticBroker && synonym.name == *name);
            for synonym in &mut row.synonyms {
                synonym.source = ConfigSource::DynamicDefaultBroker;
            }
            row.source = ConfigSource::DynamicDefaultBroker;
            row
        };
        detail.finish(overrides.keys().map(row).collect())
    }

    fn describe_inheriting(
        &self,
        owner: Owner,
        own_source: ConfigSource,
        overrides: &Overrides,
        detail: Detail<'_>,
    ) -> Vec<ConfigRow> {
        let known = table::rows(owner).filter(|row| !row.internal || overrides.contains_key(row.name));
        let describe = |row: &'static Property| {
            let value = self
                .layers
                .resolve(owner, row, overrides)
                .map(|value| value.to_string());
            let mut synonyms = inherited(&self.layers, row);
            // A group property without a broker property behind it tells its own default; a topic property
            // does not.
            if let (Owner::Group, [], Some(default)) = (owner, row.synonyms, row.default) {
                let (name, value) = (row.name.to_owned(), Some(default.to_owned()));
                synonyms.push(ConfigSynonym {
                    name,
                    value,
                    source: ConfigSource::Default,
                });
            }
            if overrides.contains_key(row.name) {
                let name = row.name.to_owned();
                synonyms.insert(
                    0,
                    ConfigSynonym {
                        name,
                        value: value.clone(),
                        source: own_source,
                    },
                );
            }
            described(row, value, false, synonyms)
        };
        detail.finish(known.map(describe).collect())
    }

    fn broker_row(&self, row: &'static Property) -> ConfigRow {
        let value = self
            .layers
            .resolve(Owner::Broker, row, self.layers.layer(ConfigSource::StaticBroker));
        let names: Vec<&str> = match row.synonyms {
            [] => vec![row.name],
            synonyms => synonyms.iter().map(|synonym| synonym.name).collect(),
        };
        let synonyms = layered(&self.layers, &names, row.name, row.is_sensitive());
        let value = value
            .filter(|_| !row.is_sensitive())
            .map(|value| value.to_string());
        described(row, value, row.update == Update::ReadOnly, synonyms)
    }
}

fn described(
    row: &'static Property,
    value: Option<String>,
    read_only: bool,
    synonyms: Vec<ConfigSynonym>,
) -> ConfigRow {
    ConfigRow {
        name: row.name.to_owned(),
        value,
        read_only,
        source: synonyms
            .first()
            .map_or(ConfigSource::Default, |synonym| synonym.source),
        sensitive: row.is_sensitive(),
        synonyms,
        kind_code: row.kind.code(),
        documentation: Some(row.documentation),
    }
}

/// A property that no row describes might be a secret of some plug-in, so its value is not shown.
fn unknown_row(layers: &Layers<'_>, name: &str) -> ConfigRow {
    let base = table::listener_override(name).and_then(|base| table::find(Owner::Broker, base));
    let sensitive = base.is_none_or(Property::is_sensitive);
    let names: Vec<&str> = [name].into_iter().chain(base.map(|base| base.name)).collect();
    let synonyms = layered(layers, &names, name, sensitive);
    let value = synonyms.first().and_then(|synonym| synonym.value.clone());
    ConfigRow {
        name: name.to_owned(),
        value,
        read_only: true,
        source: synonyms
            .first()
            .map_or(ConfigSource::Default, |synonym| synonym.source),
        sensitive,
        synonyms,
        kind_code: base.map_or(Kind::UNKNOWN_CODE, |base| base.kind.code()),
        documentation: base.map(|base| base.documentation),
    }
}

/// What a topic or group inherits: the synonyms of the broker property behind it.
fn inherited(layers: &Layers<'_>, row: &Property) -> Vec<ConfigSynonym> {
    let names: Vec<&str> = row.synonyms.iter().map(|synonym| synonym.name).collect();
    names.first().map_or_else(Vec::new, |first| {
        layered(layers, &names, first, row.is_sensitive())
    })
}

/// All settings of the names, layer by layer, defaults last, from the first mention of `name` on.
fn layered(layers: &Layers<'_>, names: &[&str], name: &str, sensitive: bool) -> Vec<ConfigSynonym> {
    let entry = |name: &str, value: &str, source| ConfigSynonym {
        name: name.to_owned(),
        value: (!sensitive).then(|| value.to_owned()),
        source,
    };
    let set = layers.iter().flat_map(|(source, overrides)| {
        names
            .iter()
            .filter_map(move |name| Some(entry(name, overrides.get(*name)?, source)))
    });
    let defaults = names.iter().filter_map(|name| {
        let row = table::find(Owner::Broker, name).filter(|row| row.update != Update::DynamicOnly)?;
        Some(entry(name, row.default?, ConfigSource::Default))
    });
    set.chain(defaults)
        .skip_while(|synonym| synonym.name != name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{BrokerConfig, Settings};
    use super::*;

    fn line(resource: &str, row: &ConfigRow) -> String {
        let synonyms: Vec<String> = row
            .synonyms
            .iter()
            .map(|s| {
                format!(
                    "{}={}:{}",
                    s.name,
                    s.value.as_deref().unwrap_or("null"),
                    s.source.code()
                )
            })
            .collect();
        let value = row.value.as_deref().unwrap_or("null");
        let read_only = if row.read_only { "ro" } else { "" };
        let sensitive = if row.sensitive { "sensitive" } else { "" };
        [
            resource,
            &row.name,
            value,
            &row.source.code().to_string(),
            read_only,
            sensitive,
            &row.kind_code.to_string(),
            &synonyms.join(";"),
        ]
        .join("\t")
    }

    /// What Kafka 4.3.1 answered after the settings that its first lines name.
    const KAFKA: &str = include_str!("testdata/describe-4.3.1.tsv");

    fn overrides(resource: &str) -> Overrides {
        let settings = KAFKA
            .lines()
            .filter_map(|line| line.strip_prefix("# set ")?.split_once(' '));
        let own = settings
            .filter(|(of, _)| *of == resource)
            .filter_map(|(_, pair)| pair.split_once('='));
        own.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn rows_are_those_of_kafka() {
        // Admin tools print these rows and decide by their sources; kafka-configs hides what is not dynamic.
        let mut settings = Settings::default();
        let file: String = overrides("file")
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        settings.add_file(file.as_bytes()).unwrap();
        let (broker, _) = BrokerConfig::from_settings(settings).unwrap();
        let (all, this) = (overrides("broker-default"), overrides("broker"));
        let view = ConfigView::new(&broker, &all, &this);
        let detail = Detail {
            synonyms: true,
            ..Detail::default()
        };
        let mut ours: Vec<String> = Vec::new();
        ours.extend(
            view.describe_topic(&Overrides::new(), detail)
                .iter()
                .map(|row| line("topic-plain", row)),
        );
        ours.extend(
            view.describe_topic(&overrides("topic"), detail)
                .iter()
                .map(|row| line("topic", row)),
        );
        ours.extend(
            view.describe_group(&overrides("group"), detail)
                .iter()
                .map(|row| line("group", row)),
        );
        ours.extend(view.describe_broker(detail).iter().map(|row| line("broker", row)));
        ours.extend(
            view.describe_all_brokers(detail)
                .iter()
                .map(|row| line("broker-default", row)),
        );
        let facts = KAFKA.lines().filter(|line| !line.starts_with('#'));
        let mut count = 0;
        for fact in facts {
            assert!(
                ours.iter().any(|line| line == fact),
                "Kafka has\n  {fact}\nwe have\n  {}",
                nearest(&ours, fact)
            );
            count += 1;
        }
        assert!(count > 300, "{count}");
    }

    fn nearest(ours: &[String], fact: &str) -> String {
        let key = |line: &str| line.split('\t').take(2).collect::<Vec<_>>().join("\t");
        ours.iter()
            .find(|line| key(line) == key(fact))
            .cloned()
            .unwrap_or_default()
    }

    #[test]
    fn the_names_of_a_topic_are_those_of_kafka() {
        let (broker, _) = BrokerConfig::from_settings(Settings::default()).unwrap();
        let none = Overrides::new();
        let rows = ConfigView::new(&broker, &none, &none).describe_topic(&none, Detail::default());
        let mut names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        // New in Kafka 4.4, after the version the facts are from.
        let newer = [
            "errors.deadletterqueue.group.enable",
            "max.decompressed.message.bytes",
            "remote.copy.lag.bytes",
            "remote.copy.lag.ms",
        ];
        names.retain(|name| !newer.contains(name) && !name.starts_with("ringlog."));
        let plain = KAFKA
            .lines()
            .filter_map(|line| line.strip_prefix("topic-plain\t")?.split('\t').next());
        assert_eq!(names, plain.collect::<Vec<_>>());
    }

    #[test]
    fn only_what_is_asked_for_is_told() {
        let (broker, _) = BrokerConfig::from_settings(Settings::default()).unwrap();
        let none = Overrides::new();
        let view = ConfigView::new(&broker, &none, &none);
        let names = ["retention.ms", "no.such.name"];
        let detail = Detail {
            names: Some(&names),
            documentation: true,
            ..Detail::default()
        };
        let rows = view.describe_topic(&none, detail);
        assert_eq!(rows.len(), 1);
        assert!(rows[0].documentation.is_some() && rows[0].synonyms.is_empty() && rows[0].is_default());
        let all = Detail {
            names: Some(&[]),
            ..Detail::default()
        };
        assert_eq!(
            view.describe_topic(&none, all),
            view.describe_topic(&none, Detail::default())
        );
    }

    #[test]
    fn secrets_are_never_told() {
        let mut settings = Settings::default();
        settings
            .add_file(b"ssl.key.password=geheim\nplugin.secret=geheim")
            .unwrap();
        let (broker, _) = BrokerConfig::from_settings(settings).unwrap();
        let none = Overrides::new();
        let detail = Detail {
            synonyms: true,
            ..Detail::default()
        };
        let rows = ConfigView::new(&broker, &none, &none).describe_broker(detail);
        assert!(
            rows.iter()
                .any(|row| row.name == "plugin.secret" && row.sensitive)
        );
        assert!(!format!("{rows:?}").contains("geheim"));
    }
}
