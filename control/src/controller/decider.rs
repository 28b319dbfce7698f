//! The decider: request and image in, response and records out.

use std::sync::Arc;

use engine::types::Offset;
use reactor::Instant;
use uuid::Uuid;

use super::error::{ApiError, ErrorCode};
use super::internal_topics::InternalTopic;
use super::liveness::Liveness;
use super::request::Request;
use super::response::Response;
use crate::config::{BrokerConfig, ConfigView, Overrides};
use crate::image::{ClusterImage, ConfigResource, ResourceKind};
use crate::record::{FeatureLevelRecord, Record, UuidText};

/// `metadata.version` of a new cluster: 4.3-IV0, the newest production level of the Kafka our records were checked with.
pub const METADATA_VERSION: i16 = 30;

/// Partitions one request may create, as in Kafka (KAFKA-17602): a larger one would hold up everybody else's changes.
pub(super) const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;
/// Records one request may be decided to: the partitions and as many topics and configs.
const RECORDS_PER_REQUEST_MAX: usize = 2 * PARTITIONS_PER_REQUEST_MAX;

/// What a decision may depend on besides request and image, so that the same inputs give the same decision.
pub struct Context<'a> {
    /// Offset the first record decided will get, or a later one: broker epochs come from it and must only grow.
    pub next_offset: Offset,
    /// Source of chance: topic ids, and where placement begins.
    pub random: &'a mut dyn FnMut() -> u64,
    pub now: Instant,
    /// Who is alive. What a decision changes in it, it assumes to get into the log; where it does not, time puts it right.
    pub liveness: &'a mut Liveness,
}

impl Context<'_> {
    pub(super) fn new_id(&mut self) -> Uuid {
        UuidText::new_id(self.random)
    }
}

/// An answer and the records that make it true. Without records nothing changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub response: Response,
    pub records: Vec<Record>,
}

/// The rules, with the static configuration they depend on.
#[derive(Clone, Debug)]
pub struct Controller {
    pub(super) config: Arc<BrokerConfig>,
    pub(super) internal_topics: Vec<InternalTopic>,
}

impl Controller {
    pub fn new(config: Arc<BrokerConfig>) -> Self {
        let internal_topics = InternalTopic::all(&config);
        Controller {
            config,
            internal_topics,
        }
    }

    /// Records that begin a new cluster.
    pub fn bootstrap(&self, image: &ClusterImage) -> Vec<Record> {
        if !image.features().is_empty() {
            return Vec::new();
        }
        vec![
            FeatureLevelRecord {
                name: "metadata.version".to_owned(),
                feature_level: METADATA_VERSION,
                ..FeatureLevelRecord::default()
            }
            .into(),
        ]
    }

    /// Decides one request. An error refuses the request as a whole; items refused for themselves are in the response.
    pub fn decide(
        &self,
        context: &mut Context<'_>,
        request: Request,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        // What a broker's coming and going changes is not the fault of a request, and must not be refused.
        let is_bounded = !matches!(
            request,
            Request::RegisterBroker(_)
                | Request::UnfenceBroker(_)
                | Request::BrokerHeartbeat(_)
                | Request::UnregisterBroker(_)
                | Request::AssignDirectories(_)
                | Request::AlterPartition(_)
        );
        let decision = match request {
            Request::CreateTopics(request) => self.create_topics(context, request, image),
            Request::AutoCreateTopics(request) => self.auto_create_topics(context, request, image),
            Request::DeleteTopics(request) => self.delete_topics(request, image),
            Request::CreatePartitions(request) => self.create_partitions(context, request, image),
            Request::AlterConfigs(request) => self.alter_configs(context, request, image),
            Request::IncrementalAlterConfigs(request) => {
                self.incremental_alter_configs(context, request, image)
            }
            Request::AllocateProducerIds(request) => self.allocate_producer_ids(&request, image),
            Request::RegisterBroker(request) => self.register_broker(context, request, image),
            Request::UnfenceBroker(request) => self.unfence_broker(context, &request, image),
            Request::AssignDirectories(request) => self.assign_directories(request, image),
            Request::BrokerHeartbeat(request) => self.broker_heartbeat(context, &request, image),
            Request::AlterPartition(request) => self.alter_partition(request, image),
            Request::ElectLeaders(request) => Ok(self.elect_leaders(request, image)),
            Request::AlterPartitionReassignments(request) => {
                Ok(self.alter_partition_reassignments(request, image))
            }
            Request::UnregisterBroker(request) => self.unregister_broker(context, &request, image),
            Request::UpdateFeatures(request) => self.update_features(request, image),
        }?;
        if decision.records.len() > RECORDS_PER_REQUEST_MAX && is_bounded {
            return Err(ApiError::new(
                ErrorCode::POLICY_VIOLATION,
                "Unable to perform excessively large batch operation.",
            ));
        }
        Ok(decision)
    }

    /// Runs `judge` with the view of this broker's configuration under the image's dynamic overrides.
    pub(super) fn with_config_view<T>(
        &self,
        image: &ClusterImage,
        judge: impl FnOnce(ConfigView<'_>) -> T,
    ) -> T {
        let none = Overrides::new();
        let node = ConfigResource::new(ResourceKind::Broker, &self.config.node_id.to_string());
        let all_brokers = image.config(&ConfigResource::all_brokers());
        let this_broker = image.config(&node);
        judge(ConfigView::new(
            &self.config,
            all_brokers.map_or(&none, |configs| &**configs),
            this_broker.map_or(&none, |configs| &**configs),
        ))
    }
}
