//! What the coming and going of brokers does to the partitions they have.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::decider::Controller;
use super::directories::DirectoryChoice;
use super::partition_change::{Election, PartitionChange};
use super::request::PreviousShutdown;
use crate::config::{ConfigView, ElectionConfig, Overrides};
use crate::image::{BrokerImage, ClusterImage, ConfigResource, PartitionImage, TopicImage};
use crate::record::{BrokerId, DirectoryId, PartitionChangeRecord, PartitionId, Record};

/// Elections in one go of those that nobody waits for, as in Kafka: a store should not be busy with them alone.
pub(super) const ELECTIONS_PER_GO: usize = 1_000;

/// A partition among others.
pub(super) type Found<'a> = (&'a Arc<TopicImage>, PartitionId, &'a Arc<PartitionImage>);

/// Which brokers may lead: the active ones, and what is different in the next image.
#[derive(Copy, Clone, Default)]
pub(super) struct Candidates<'a> {
    /// Fenced, or shutting down, from now on.
    pub without: Option<&'a BTreeSet<BrokerId>>,
    /// Unfenced from now on.
    pub with: Option<BrokerId>,
}

impl Candidates<'_> {
    pub(super) fn may_lead(
        &self,
        image: &ClusterImage,
        partition: &PartitionImage,
        candidate: BrokerId,
    ) -> bool {
        if self.without.is_some_and(|without| without.contains(&candidate)) {
            return false;
        }
        let Some(broker) = image.broker(candidate) else {
            return false;
        };
        (self.with == Some(candidate) || broker.is_active()) && has_directory(broker, partition)
    }
}

/// Whether the broker can use the directory that its replica lies in. The only replica's does not matter: nobody could take its
/// place, and the broker itself says what is wrong with it.
fn has_directory(broker: &BrokerImage, partition: &PartitionImage) -> bool {
    if partition.replicas.len() == 1 {
        return true;
    }
    match partition.directory_of(broker.id) {
        Some(DirectoryId::LOST) => false,
        Some(directory) if !directory.is_reserved() && !broker.log_dirs.is_empty() => {
            broker.log_dirs.contains(&directory)
        }
        Some(_) | None => true,
    }
}

/// The election configs of topics, each resolved once for a row of its partitions.
pub(super) struct ElectionConfigs<'a> {
    image: &'a ClusterImage,
    view: ConfigView<'a>,
    /// Of a topic that overrides nothing.
    default: Option<ElectionConfig>,
    last: Option<(Uuid, ElectionConfig)>,
}

impl<'a> ElectionConfigs<'a> {
    pub(super) fn of(&mut self, topic: &TopicImage) -> ElectionConfig {
        if let Some((id, config)) = self.last
            && id == topic.id
        {
            return config;
        }
        let config = match self.image.config(&ConfigResource::topic(&topic.name)) {
            Some(overrides) => self.view.election(overrides),
            None => *self
                .default
                .get_or_insert_with(|| self.view.election(&Overrides::new())),
        };
        self.last = Some((topic.id, config));
        config
    }

    pub(super) fn change<'p>(&mut self, (topic, id, partition): Found<'p>) -> PartitionChange<'p> {
        let config = self.of(topic);
        let mut change = PartitionChange::new(topic.id, id, partition, config.min_insync_replicas);
        change.election = Election::of_topic(config.unclean_election);
        change
    }
}

impl Controller {
    /// Runs `decide` with what elections depend on.
    pub(super) fn with_election_configs<T>(
        &self,
        image: &ClusterImage,
        decide: impl FnOnce(ElectionConfigs<'_>) -> T,
    ) -> T {
        self.with_config_view(image, |view| {
            decide(ElectionConfigs {
                image,
                view,
                default: None,
                last: None,
            })
        })
    }

    /// Brokers are not trusted any more: they lead nothing, and leave every ISR. One change for a partition, however many of its
    /// replicas go.
    pub(super) fn withdraw(&self, brokers: &BTreeSet<BrokerId>, image: &ClusterImage) -> Vec<Record> {
        self.withdraw_from(brokers, image, |_| true)
    }

    /// The same of some of their partitions only.
    pub(super) fn withdraw_from(
        &self,
        brokers: &BTreeSet<BrokerId>,
        image: &ClusterImage,
        is_meant: impl Fn(&Found<'_>) -> bool,
    ) -> Vec<Record> {
        let candidates = Candidates {
            without: Some(brokers),
            with: None,
        };
        let holds = |partition: &PartitionImage, broker: &BrokerId| {
            partition.isr.contains(broker) || partition.leader == Some(*broker)
        };
        self.with_election_configs(image, |mut configs| {
            let mut records = Vec::new();
            for broker in brokers {
                // Of several brokers that hold a partition the first one counts.
                let first_holder =
                    |partition: &PartitionImage| brokers.iter().find(|other| holds(partition, other));
                let found = image
                    .partitions_of(*broker)
                    .filter(|(_, _, partition)| first_holder(partition) == Some(broker));
                for found in found.filter(|found| is_meant(found)) {
                    let mut change = configs.change(found);
                    change.isr.retain(|member| !brokers.contains(member));
                    records.extend(build(change, image, found, candidates).map(Record::from));
                }
            }
            records
        })
    }

    /// A new process of `broker` has registered: its predecessor leads and follows no more.
    ///
    /// After an unclean end it is no longer eligible either, unless it was the last leader and nobody else is (KIP-966). A
    /// partition that has no other replica it keeps: after an unclean end it goes without leader until the broker is unfenced, and
    /// so gets a new leader epoch, by which consumers notice; after a clean one nothing was lost and nothing is written, so that
    /// a restart does not cost a record per partition.
    pub(super) fn leave(
        &self,
        broker: BrokerId,
        shutdown: PreviousShutdown,
        image: &ClusterImage,
    ) -> Vec<Record> {
        let without = BTreeSet::from([broker]);
        let candidates = Candidates {
            without: Some(&without),
            with: None,
        };
        let was_unclean = shutdown == PreviousShutdown::Unclean;
        self.with_election_configs(image, |mut configs| {
            let mut records = Vec::new();
            for found in image.partitions_of(broker) {
                let partition = found.2;
                let is_only_replica = partition.replicas.len() == 1;
                let is_touched = partition.isr.contains(&broker)
                    || partition.leader == Some(broker)
                    || was_unclean && partition.eligible_leader_replicas.contains(&broker);
                if !is_touched || is_only_replica && !was_unclean {
                    continue;
                }
                let mut change = configs.change(found);
                change.isr.retain(|member| *member != broker);
                if was_unclean && !is_only_replica {
                    change.unclean = Some(broker);
                }
                records.extend(build(change, image, found, candidates).map(Record::from));
            }
            records
        })
    }

    /// A broker is forgotten: nobody waits for what it has.
    pub(super) fn forget(&self, broker: BrokerId, image: &ClusterImage) -> Vec<Record> {
        self.leave(broker, PreviousShutdown::Unclean, image)
    }

    /// `broker` may lead again: it takes the partitions nobody leads and whose records it has.
    ///
    /// With eligible leader replicas (KIP-966) Kafka empties the ISR of a partition whose last replica leaves, even for a
    /// clean stop, and remembers the replica among the eligible ones; after an unclean one only as the last known. A
    /// directory that Kafka stopped cleanly has every partition in that state.
    pub(super) fn arrive(&self, broker: BrokerId, image: &ClusterImage) -> Vec<Record> {
        let candidates = Candidates {
            without: None,
            with: Some(broker),
        };
        self.with_election_configs(image, |mut configs| {
            let leaderless = image
                .partitions_of(broker)
                .filter(|(_, _, partition)| partition.leader.is_none());
            let changes = leaderless.filter_map(|found| {
                let change = configs.change(found);
                build(change, image, found, candidates).map(Record::from)
            });
            changes.collect()
        })
    }

    /// Partitions whose ISR has come to be large enough have no eligible replicas outside of it any more.
    pub(super) fn review_eligible_replicas(&self, image: &ClusterImage) -> Vec<Record> {
        self.with_election_configs(image, |mut configs| {
            let has_eligible =
                partitions(image).filter(|(_, _, partition)| !partition.eligible_leader_replicas.is_empty());
            let changes = has_eligible.filter_map(|found| {
                let change = configs.change(found);
                build(change, image, found, Candidates::default()).map(Record::from)
            });
            changes.collect()
        })
    }

    /// Partitions nobody leads get one of the live replicas, where their topics allow that. Whether that was all of them.
    pub(super) fn elect_unclean_leaders(&self, image: &ClusterImage) -> (Vec<Record>, bool) {
        self.with_election_configs(image, |mut configs| {
            let changes = image.leaderless_partitions().filter_map(|found| {
                let change = configs.change(found);
                let is_allowed = change.election == Election::Unclean;
                let record = is_allowed.then(|| build(change, image, found, Candidates::default()))??;
                tracing::warn!(
                    topic = %found.0.name,
                    partition = found.1.0,
                    leader = record.leader.0,
                    "unclean election of a partition without leader"
                );
                Some(Record::from(record))
            });
            bounded(changes)
        })
    }

    /// Partitions that their first replica does not lead, though it could, get it back. Whether that was all of them.
    pub(super) fn elect_preferred_leaders(&self, image: &ClusterImage) -> (Vec<Record>, bool) {
        self.with_election_configs(image, |mut configs| {
            let changes = partitions(image).filter_map(|found| {
                let partition = found.2;
                let preferred = *partition.replicas.first()?;
                let is_led_by_another = partition.leader.is_some_and(|leader| leader != preferred);
                if !is_led_by_another || !partition.isr.contains(&preferred) {
                    return None;
                }
                let mut change = configs.change(found);
                change.election = Election::Preferred;
                build(change, image, found, Candidates::default()).map(Record::from)
            });
            bounded(changes)
        })
    }
}

/// All of the cluster.
fn partitions(image: &ClusterImage) -> impl Iterator<Item = Found<'_>> {
    image.topics().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(move |(id, partition)| (topic, *id, partition))
    })
}

fn bounded(records: impl Iterator<Item = Record>) -> (Vec<Record>, bool) {
    let mut records = records.fuse();
    let some: Vec<_> = records.by_ref().take(ELECTIONS_PER_GO).collect();
    let is_all = some.len() < ELECTIONS_PER_GO;
    (some, is_all)
}

/// Builds a change that gives no broker a new replica.
pub(super) fn build(
    change: PartitionChange<'_>,
    image: &ClusterImage,
    (_, _, partition): Found<'_>,
    candidates: Candidates<'_>,
) -> Option<PartitionChangeRecord> {
    let may_lead = |broker| candidates.may_lead(image, partition, broker);
    change.build(image, &mut DirectoryChoice::default(), may_lead)
}
