//! The decider's tables: request against image, answer and records; everything decided is replayed.
//! Here the cluster the tables play on; beside it the tables.

use std::sync::Arc;

use engine::types::Offset;
use reactor::Instant;
use uuid::Uuid;

use super::*;
use crate::config::{BrokerConfig, Settings};
use crate::image::{ClusterImage, ConfigResource, MetadataPosition, ResourceKind};
use crate::record::*;

mod brokers;
mod configs;
mod directories;
mod topics;

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
        let request = RegisterBroker {
            broker_id: BrokerId(id),
            cluster_id: CLUSTER.to_owned(),
            incarnation_id: Uuid::from_u128(incarnation),
            endpoints: Vec::new(),
            features: Vec::new(),
            rack: None,
            log_dirs: vec![directory(id)],
            previous_shutdown,
        };
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
