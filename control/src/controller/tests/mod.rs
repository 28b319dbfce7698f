//! The decider's tables: request against image, answer and records; everything decided is replayed.
//! Here the cluster the tables play on; beside it the tables.

use std::sync::Arc;
use std::time::Duration;

use engine::types::Offset;
use reactor::Instant;
use uuid::Uuid;

use super::*;
use crate::config::{BrokerConfig, Settings};
use crate::image::{ClusterImage, ConfigResource, LeaderRecovery, MetadataPosition, ResourceKind};
use crate::record::*;

mod alter_partition;
mod brokers;
mod configs;
mod directories;
mod elections;
mod features;
mod heartbeats;
mod placement;
mod reassignments;
mod topics;
mod walk;

const CLUSTER: &str = "4L6g3nShT-eMCtK--X86sw";

/// A cluster, as its controller sees it from request to request.
struct Cluster {
    controller: Controller,
    image: ClusterImage,
    next_offset: i64,
    seed: u64,
    now: Instant,
    liveness: Liveness,
}

impl Cluster {
    /// Brokers 1 to `brokers`, registered and unfenced; the controller is broker 1.
    fn new(brokers: i32, properties: &str) -> Self {
        let mut settings = Settings::default();
        let properties = format!("node.id=1\n{properties}");
        settings.add_file(properties.as_bytes()).expect("properties");
        let (config, _) = BrokerConfig::from_settings(settings).expect("config");
        let mut cluster = Cluster {
            now: Instant::from_nanos(1_000_000_000),
            liveness: Liveness::new(&config.cluster),
            controller: Controller::new(Arc::new(config)),
            image: ClusterImage::empty(CLUSTER),
            next_offset: 0,
            seed: 1,
        };
        for id in 1..=brokers {
            let epoch = cluster.register(id, 1, PreviousShutdown::Clean);
            cluster.unfence(id, epoch);
        }
        cluster
    }

    /// Brokers whose racks these are, numbered from 1.
    fn of_racks(racks: &[Option<&str>]) -> Self {
        let mut cluster = Cluster::new(0, "");
        for (id, rack) in (1..).zip(racks) {
            let request = RegisterBroker {
                rack: rack.map(str::to_owned),
                ..registration(id, 1, PreviousShutdown::Clean)
            };
            cluster
                .call(Request::RegisterBroker(request))
                .expect("registered");
            cluster.unfence(id, cluster.epoch(id));
        }
        cluster
    }

    fn epoch(&self, id: i32) -> BrokerEpoch {
        self.image.broker(BrokerId(id)).expect("registered").epoch
    }

    fn is_active(&self, id: i32) -> bool {
        self.image
            .broker(BrokerId(id))
            .is_some_and(|broker| broker.is_active())
    }

    /// As a broker that follows the log closely and wants nothing.
    fn beat(&self, id: i32) -> BrokerHeartbeat {
        BrokerHeartbeat {
            broker_id: BrokerId(id),
            broker_epoch: self.epoch(id),
            metadata_offset: self.image.position().offset,
            want_fence: false,
            want_shutdown: false,
            offline_log_dirs: Vec::new(),
        }
    }

    fn heartbeat(&mut self, request: BrokerHeartbeat) -> Result<BrokerStatus, ApiError> {
        match self.call(Request::BrokerHeartbeat(request))? {
            Response::BrokerHeartbeat(status) => Ok(status),
            other => panic!("{other:?}"),
        }
    }

    /// Does what time demands; how many records that took.
    fn tick(&mut self) -> usize {
        let mut random = || 0;
        let mut context = Context {
            next_offset: Offset(self.next_offset),
            random: &mut random,
            now: self.now,
            liveness: &mut self.liveness,
        };
        let records = self.controller.tick(&mut context, &self.image);
        self.replay(&records);
        records.len()
    }

    /// Lets time pass, in which `alive` send heartbeats and nobody else does.
    fn pass(&mut self, ms: u64, alive: &[i32]) {
        for _ in 0..ms / 100 {
            self.now += Duration::from_millis(100);
            for id in alive {
                self.heartbeat(self.beat(*id)).expect("a registered broker");
            }
            self.tick();
        }
    }

    /// The broker's process dies, and is known to be dead.
    fn kill(&mut self, id: i32) {
        self.liveness.gone(self.now, BrokerId(id));
        self.tick();
    }

    /// Leader, ISR, eligible replicas of a topic's partition.
    fn shape(&self, topic: &str, partition: i32) -> (Option<i32>, Vec<i32>, Vec<i32>) {
        let partition = self.partition(topic, partition);
        let numbers = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
        (
            partition.leader.map(|leader| leader.0),
            numbers(&partition.isr),
            numbers(&partition.eligible_leader_replicas),
        )
    }

    /// Asks for an ISR as the partition's leader would, knowing all there is to know.
    fn ask_isr(&self, topic: &str, partition: i32, isr: &[i32]) -> AlterPartition {
        let state = self.partition(topic, partition);
        let leader = state.leader.expect("led").0;
        AlterPartition {
            broker_id: BrokerId(leader),
            broker_epoch: self.epoch(leader),
            partitions: vec![AlterPartitionItem {
                topic_id: self.image.topic_id(topic).expect("topic"),
                partition: PartitionId(partition),
                leader_epoch: state.leader_epoch,
                partition_epoch: state.partition_epoch,
                new_isr: isr.iter().map(|id| (BrokerId(*id), self.epoch(*id))).collect(),
                leader_recovery: LeaderRecovery::Recovered,
            }],
        }
    }

    fn alter_partition(&mut self, request: AlterPartition) -> Result<PartitionState, ApiError> {
        match self.call(Request::AlterPartition(request))? {
            Response::AlterPartition(mut results) => results.remove(0).result,
            other => panic!("{other:?}"),
        }
    }

    fn set_isr(&mut self, topic: &str, partition: i32, isr: &[i32]) {
        let request = self.ask_isr(topic, partition, isr);
        self.alter_partition(request).expect("altered");
    }

    /// Decides and replays, as the service does.
    fn call(&mut self, request: Request) -> Result<Response, ApiError> {
        let seed = &mut self.seed;
        let mut random = || {
            *seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            *seed ^ *seed >> 29
        };
        let mut context = Context {
            next_offset: Offset(self.next_offset),
            random: &mut random,
            now: self.now,
            liveness: &mut self.liveness,
        };
        let decision = self.controller.decide(&mut context, request, &self.image)?;
        self.replay(&decision.records);
        Ok(decision.response)
    }

    fn replay(&mut self, records: &[Record]) {
        self.next_offset += records.len() as i64;
        let (image, _) = self.image.apply(records).expect("decisions fit the image");
        self.image = image.at(MetadataPosition {
            offset: Offset(self.next_offset - 1),
            epoch: ControllerEpoch(0),
        });
    }

    fn register(&mut self, id: i32, incarnation: u128, previous_shutdown: PreviousShutdown) -> BrokerEpoch {
        let request = registration(id, incarnation, previous_shutdown);
        match self.call(Request::RegisterBroker(request)) {
            Ok(Response::RegisterBroker(registered)) => registered.broker_epoch,
            other => panic!("{other:?}"),
        }
    }

    fn unfence(&mut self, id: i32, broker_epoch: BrokerEpoch) {
        let request = UnfenceBroker {
            broker_id: BrokerId(id),
            broker_epoch,
        };
        assert_eq!(
            self.call(Request::UnfenceBroker(request)),
            Ok(Response::UnfenceBroker)
        );
    }

    fn create(&mut self, topics: Vec<NewTopic>) -> Vec<NamedResult<CreatedTopic>> {
        let request = CreateTopics {
            topics,
            validate_only: false,
        };
        match self.call(Request::CreateTopics(request)) {
            Ok(Response::CreateTopics(results)) => results,
            other => panic!("{other:?}"),
        }
    }

    fn create_one(&mut self, topic: NewTopic) -> Result<CreatedTopic, ApiError> {
        self.create(vec![topic]).remove(0).result
    }

    fn grow(&mut self, topics: Vec<NewPartitions>) -> Vec<NamedResult<()>> {
        let request = CreatePartitions {
            topics,
            validate_only: false,
        };
        match self.call(Request::CreatePartitions(request)) {
            Ok(Response::CreatePartitions(results)) => results,
            other => panic!("{other:?}"),
        }
    }

    fn delete(&mut self, topics: Vec<TopicSelector>) -> Vec<DeletedTopic> {
        match self.call(Request::DeleteTopics(DeleteTopics { topics })) {
            Ok(Response::DeleteTopics(results)) => results,
            other => panic!("{other:?}"),
        }
    }

    fn alter(
        &mut self,
        kind: i8,
        name: &str,
        operations: &[(&str, i8, Option<&str>)],
    ) -> Result<(), ApiError> {
        let operations = operations
            .iter()
            .map(|(name, operation, value)| IncrementalOperation {
                name: (*name).to_owned(),
                operation: *operation,
                value: value.map(str::to_owned),
            })
            .collect();
        let request = IncrementalAlterConfigs {
            resources: vec![IncrementalAlterConfigsResource {
                resource_type: kind,
                name: name.to_owned(),
                operations,
            }],
            validate_only: false,
        };
        match self.call(Request::IncrementalAlterConfigs(request)) {
            Ok(Response::IncrementalAlterConfigs(mut results)) => results.remove(0).result,
            other => panic!("{other:?}"),
        }
    }

    fn partition(&self, topic: &str, partition: i32) -> &crate::image::PartitionImage {
        let id = self.image.topic_id(topic).expect("topic");
        self.image
            .partition(id, PartitionId(partition))
            .expect("partition")
    }

    fn config(&self, kind: ResourceKind, resource: &str, name: &str) -> Option<&str> {
        let configs = self.image.config(&ConfigResource::new(kind, resource))?;
        configs.get(name).map(String::as_str)
    }
}

fn registration(id: i32, incarnation: u128, previous_shutdown: PreviousShutdown) -> RegisterBroker {
    RegisterBroker {
        broker_id: BrokerId(id),
        cluster_id: CLUSTER.to_owned(),
        incarnation_id: Uuid::from_u128(incarnation),
        endpoints: Vec::new(),
        features: Vec::new(),
        rack: None,
        log_dirs: vec![directory(id)],
        previous_shutdown,
        known_epoch: Some(BrokerEpoch(i64::MAX)), // all that there is
    }
}

fn directory(broker: i32) -> DirectoryId {
    DirectoryId(Uuid::from_u128(1000 + broker as u128))
}

fn new_topic(name: &str, partition_count: i32, replication_factor: i16) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partition_count,
        replication_factor,
        ..NewTopic::default()
    }
}

fn by_hand(name: &str, assignments: &[(i32, &[i32])]) -> NewTopic {
    NewTopic {
        assignments: assignments
            .iter()
            .map(|(number, brokers)| (PartitionId(*number), ids(brokers)))
            .collect(),
        ..new_topic(name, -1, -1)
    }
}

fn with_config(topic: NewTopic, name: &str, value: Option<&str>) -> NewTopic {
    NewTopic {
        configs: vec![(name.to_owned(), value.map(str::to_owned))],
        ..topic
    }
}

fn ids(brokers: &[i32]) -> Vec<BrokerId> {
    brokers.iter().copied().map(BrokerId).collect()
}

fn named(name: &str) -> TopicSelector {
    TopicSelector {
        name: Some(name.to_owned()),
        id: Uuid::nil(),
    }
}

fn identified(id: Uuid) -> TopicSelector {
    TopicSelector { name: None, id }
}

fn more(name: &str, count: i32) -> NewPartitions {
    NewPartitions {
        name: name.to_owned(),
        count,
        assignments: None,
    }
}
