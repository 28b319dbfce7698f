//! A value per group, topic and partition, in that order, without empty levels.

use std::collections::BTreeMap;

type Topics<T> = BTreeMap<String, BTreeMap<i32, T>>;

pub(super) struct PerPartition<T> {
    groups: BTreeMap<String, Topics<T>>,
}

impl<T> Default for PerPartition<T> {
    fn default() -> Self {
        PerPartition {
            groups: BTreeMap::new(),
        }
    }
}

impl<T> PerPartition<T> {
    pub(super) fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&T> {
        self.groups.get(group)?.get(topic)?.get(&partition)
    }

    pub(super) fn get_mut(&mut self, group: &str, topic: &str, partition: i32) -> Option<&mut T> {
        self.groups.get_mut(group)?.get_mut(topic)?.get_mut(&partition)
    }

    pub(super) fn insert(&mut self, group: &str, topic: &str, partition: i32, value: T) -> Option<T> {
        // why the look-ups first: the names are nearly always there, and `entry` would allocate them every time
        if !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), Topics::new());
        }
        let topics = self.groups.get_mut(group)?;
        if !topics.contains_key(topic) {
            topics.insert(topic.to_owned(), BTreeMap::new());
        }
        topics.get_mut(topic)?.insert(partition, value)
    }

    pub(super) fn remove(&mut self, group: &str, topic: &str, partition: i32) -> Option<T> {
        let topics = self.groups.get_mut(group)?;
        let partitions = topics.get_mut(topic)?;
        let removed = partitions.remove(&partition);
        if partitions.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.groups.remove(group);
        }
        removed
    }

    pub(super) fn contains_group(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// Topics of one group with their partitions, in order.
    pub(super) fn topics_of(&self, group: &str) -> impl Iterator<Item = (&str, &BTreeMap<i32, T>)> {
        self.groups
            .get(group)
            .into_iter()
            .flatten()
            .map(|(topic, partitions)| (topic.as_str(), partitions))
    }

    pub(super) fn of_group(&self, group: &str) -> impl Iterator<Item = (&str, i32, &T)> {
        self.topics_of(group)
            .flat_map(|(topic, partitions)| partitions.iter().map(move |(p, value)| (topic, *p, value)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str, i32, &T)> {
        self.groups.iter().flat_map(|(group, topics)| {
            topics.iter().flat_map(move |(topic, partitions)| {
                partitions
                    .iter()
                    .map(move |(p, value)| (group.as_str(), topic.as_str(), *p, value))
            })
        })
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = (String, String, i32, T)> {
        self.groups.into_iter().flat_map(|(group, topics)| {
            topics.into_iter().flat_map(move |(topic, partitions)| {
                let group = group.clone();
                partitions
                    .into_iter()
                    .map(move |(p, value)| (group.clone(), topic.clone(), p, value))
            })
        })
    }
}
