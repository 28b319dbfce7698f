//! A scrape: samples of all shards, added up by name and labels, written in the Prometheus text format.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Histogram;

/// Label names are fixed by the code, values come from topics, groups and APIs.
type Labels = Vec<(&'static str, String)>;

#[derive(Clone, Debug)]
enum Sample {
    Counter(u64),
    Gauge(f64),
    Histogram(Histogram),
}

#[derive(Clone, Debug)]
struct Family {
    help: &'static str,
    samples: BTreeMap<Labels, Sample>,
}

/// Samples by metric name. Adding a sample that is already there adds the values up.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    families: BTreeMap<&'static str, Family>,
}

impl Snapshot {
    /// A count that only grows. The text format appends `_total` to `name`.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: u64,
    ) {
        match self.slot(name, help, labels, Sample::Counter(0)) {
            Sample::Counter(sum) => *sum += value,
            _ => debug_assert!(false, "{name} is not a counter"),
        }
    }

    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        match self.slot(name, help, labels, Sample::Gauge(0.0)) {
            Sample::Gauge(sum) => *sum += value,
            _ => debug_assert!(false, "{name} is not a gauge"),
        }
    }

    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: &Histogram,
    ) {
        match self.slot(name, help, labels, Sample::Histogram(Histogram::default())) {
            Sample::Histogram(sum) => sum.merge(value),
            _ => debug_assert!(false, "{name} is not a histogram"),
        }
    }

    fn slot(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        zero: Sample,
    ) -> &mut Sample {
        let family = self.families.entry(name).or_insert_with(|| Family {
            help,
            samples: BTreeMap::new(),
        });
        let labels: Labels = labels
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        family.samples.entry(labels).or_insert(zero)
    }

    /// Adds every sample of `other`.
    pub fn merge(&mut self, other: Snapshot) {
        for (name, family) in other.families {
            let mine = self.families.entry(name).or_insert_with(|| Family {
                help: family.help,
                samples: BTreeMap::new(),
            });
            for (labels, sample) in family.samples {
                match (mine.samples.get_mut(&labels), sample) {
                    (Some(Sample::Counter(sum)), Sample::Counter(value)) => *sum += value,
                    (Some(Sample::Gauge(sum)), Sample::Gauge(value)) => *sum += value,
                    (Some(Sample::Histogram(sum)), Sample::Histogram(value)) => sum.merge(&value),
                    (_, sample) => {
                        mine.samples.insert(labels, sample);
                    }
                }
            }
        }
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for (name, family) in &self.families {
            let kind = match family.samples.values().next() {
                Some(Sample::Counter(_)) => MetricType::Counter,
                Some(Sample::Gauge(_)) => MetricType::Gauge,
                Some(Sample::Histogram(_)) => MetricType::Histogram,
                None => continue,
            };
            let mut metric = encoder.encode_descriptor(name, family.help, None, kind)?;
            for (labels, sample) in &family.samples {
                let labels = labels.as_slice();
                let mut one = metric.encode_family(&labels)?;
                match sample {
                    Sample::Counter(value) => one.encode_counter::<NoLabels, _, u64>(value, None)?,
                    Sample::Gauge(value) => one.encode_gauge(value)?,
                    Sample::Histogram(value) => {
                        one.encode_histogram::<NoLabels>(value.sum(), value.count(), &value.buckets(), None)?
                    }
                }
            }
        }
        Ok(())
    }
}

type NoLabels = [(&'static str, &'static str); 0];

/// The Prometheus (OpenMetrics) text of a scrape.
pub fn render(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("ringlog");
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks in production: figures of one shard only, or a scrape that Prometheus refuses.
    #[test]
    fn shards_add_up_and_render_as_text() {
        let mut all = Snapshot::default();
        for _shard in 0..2 {
            let mut one = Snapshot::default();
            one.counter("topic_messages_in", "Records appended.", &[("topic", "a\"b")], 2);
            one.gauge("partitions", "Partitions led.", &[], 3.0);
            let mut took = Histogram::default();
            took.observe(std::time::Duration::from_millis(1));
            one.histogram("request_seconds", "Time to answer.", &[("api", "Fetch")], &took);
            all.merge(one);
        }
        let text = render(all).unwrap();
        assert!(
            text.contains("ringlog_topic_messages_in_total{topic=\"a\\\"b\"} 4"),
            "{text}"
        );
        assert!(text.contains("ringlog_partitions{} 6.0"), "{text}"); // no labels, as the library writes it
        assert!(
            text.contains("ringlog_request_seconds_count{api=\"Fetch\"} 2"),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"));
    }
}
