//! What a shard holds, and where its handlers find it.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use control::config::{BrokerConfig, BrokerDynamic};
use control::controller::{Request, Response};
use control::group::GroupConfig;
use control::image::{ClusterImage, Delta};
use control::record::BrokerId;
use control::service::{CallError, ControllerHandle, Figures as ControlFigures, Session};
use engine::journal::Figures;
use engine::journal::JournalConfig;
use futures_util::future::{Either, join_all};
use net::connection::{Connections, Limits};
use net::error::ErrorCode;
use net::fetch::NodeEndpoint;
use reactor::sync::Budget;

use super::departed::Departed;
use super::flag::Flag;
use super::log_directory::LogDirectory;
use super::moving::Moves;
use super::partitions::Partitions;
use super::router::{Router, ShardGone, ShardId};
use super::scatter::PartitionKey;
use crate::api::control_error::ControlError;
use crate::coordinator::Coordinators;
use crate::dispatch::Dispatch;
use crate::fetch_session::FetchSessions;
use crate::log_dirs::{DirIndex, LogDirs};
use crate::metrics::ShardMetrics;
use crate::producer_ids::ProducerIds;
use crate::replica::Replication;
use crate::topic_config;

/// What all shards of a broker know and nobody changes while it runs.
#[derive(Debug)]
pub struct Node {
    pub id: BrokerId,
    pub cluster_id: String,
    pub config: Arc<BrokerConfig>,
    pub log_dirs: Arc<LogDirs>,
    pub session: Arc<Session>,
    pub control: Arc<ControlFigures>,
    /// Where clients are told to connect, by listener name.
    pub listeners: Vec<AdvertisedListener>,
    pub backend: reactor::Backend,
}

#[derive(Clone, Debug)]
pub struct AdvertisedListener {
    pub name: String,
    pub host: String,
    pub port: u16,
}

/// A broker as a client of one listener reaches it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub id: i32,
    pub host: String,
    pub port: u16,
    pub rack: Option<String>,
    /// Registered, but not trusted with partitions.
    pub is_fenced: bool,
}

/// One core's share of the broker; lives on that core's thread, shared by its tasks.
pub struct Shard {
    pub node: Arc<Node>,
    pub router: Router,
    pub partitions: Partitions,
    pub moves: Moves,
    directories: Vec<LogDirectory>,
    pub coordinators: Coordinators,
    pub fetch_sessions: RefCell<FetchSessions>,
    pub producer_ids: ProducerIds,
    pub replication: Replication,
    pub metrics: ShardMetrics,
    pub ended: Flag,
    connections: OnceCell<Connections<Dispatch>>,
    controller: ControllerHandle,
    image: RefCell<Arc<ClusterImage>>,
    departed: Departed,
    dynamic: RefCell<BrokerDynamic>,
}

impl Shard {
    pub fn new(
        node: Arc<Node>,
        router: Router,
        controller: ControllerHandle,
        image: Arc<ClusterImage>,
    ) -> Rc<Shard> {
        let shard_count = router.shard_count().max(1);
        let slots = (node.config.fetch.session_count as usize).div_ceil(shard_count);
        let dynamic = topic_config::view(&node, &image).dynamic();
        let directories = node.log_dirs.iter().map(|(index, _)| {
            LogDirectory::new(
                index,
                node.log_dirs.clone(),
                router.own().0,
                journal_config(&node),
            )
        });
        let directories = directories.collect();
        let shard = Rc::new(Shard {
            router,
            partitions: Partitions::default(),
            moves: Moves::default(),
            directories,
            coordinators: Coordinators::default(),
            fetch_sessions: RefCell::new(FetchSessions::new(slots)),
            producer_ids: ProducerIds::default(),
            replication: Replication::default(),
            metrics: ShardMetrics::default(),
            ended: Flag::default(),
            connections: OnceCell::new(),
            controller,
            image: RefCell::new(image),
            departed: Departed::default(),
            dynamic: RefCell::new(dynamic),
            node,
        });
        let requests = &shard.node.config.requests;
        let limits = Limits {
            request_bytes_max: requests.request_max_bytes as usize,
            in_flight_max: requests.connection_inflight_count as usize,
            unsent_bytes_max: usize::try_from(requests.connection_unanswered_bytes).unwrap_or(usize::MAX),
            idle_max: requests
                .connection_idle_ms
                .map_or(Duration::MAX, Duration::from_millis),
            ..Limits::default()
        };
        let memory_bytes = usize::try_from(requests.memory_bytes).unwrap_or(usize::MAX);
        let budget = Budget::keeping(
            memory_bytes,
            kept_for_small_requests(memory_bytes, limits.request_bytes_max),
        );
        let service = Rc::new(Dispatch::new(&shard));
        let connections = Connections::new(service, limits, budget, shard.id().0 as u64, shard_count as u64);
        let _set_once = shard.connections.set(connections);
        shard
    }

    /// What this shard has in a directory.
    pub(super) fn directory(&self, dir: DirIndex) -> &LogDirectory {
        &self.directories[dir.index()]
    }

    /// Counts of every journal of this shard.
    pub fn journal_figures(&self) -> Vec<Figures> {
        self.directories
            .iter()
            .filter_map(LogDirectory::figures)
            .collect()
    }

    pub(super) fn directories(&self) -> &[LogDirectory] {
        &self.directories
    }

    /// This shard's client connections.
    pub fn connections(&self) -> Option<&Connections<Dispatch>> {
        self.connections.get()
    }

    /// The dynamic broker configuration in force.
    pub fn dynamic(&self) -> BrokerDynamic {
        self.dynamic.borrow().clone()
    }

    pub fn set_dynamic(&self, dynamic: BrokerDynamic) {
        *self.dynamic.borrow_mut() = dynamic;
    }

    /// What group coordinators must keep to.
    pub fn group_config(&self) -> GroupConfig {
        let (groups, offsets) = (&self.node.config.groups, &self.node.config.offsets);
        GroupConfig {
            min_session_timeout_ms: signed(groups.session_min_ms),
            max_session_timeout_ms: signed(groups.session_max_ms),
            initial_rebalance_delay_ms: signed(groups.initial_rebalance_delay_ms),
            max_size: groups.member_count as usize,
            offset_metadata_max_size: offsets.metadata_max_bytes as usize,
            offsets_retention_ms: i64::try_from(offsets.retention_ms).unwrap_or(i64::MAX),
            offsets_retention_check_interval_ms: offsets.retention_check_interval_ms,
        }
    }

    pub fn id(&self) -> ShardId {
        self.router.own()
    }

    /// The cluster as this shard knows it: of a growing offset, and complete in itself.
    pub fn image(&self) -> Arc<ClusterImage> {
        self.image.borrow().clone()
    }

    /// Works with `image` from now on; `delta` is what changed. Returns the image before.
    pub(super) fn set_image(&self, image: Arc<ClusterImage>, delta: &Delta) -> Arc<ClusterImage> {
        let before = self.image.replace(image.clone());
        self.departed.follow(reactor::now(), &before, &image, delta);
        before
    }

    /// The shard that owns a partition. Neighbouring partitions of a topic lie on different shards, and topics start
    /// at different ones, so that many one-partition topics spread too.
    pub fn owner(&self, key: &PartitionKey) -> ShardId {
        owner(key, self.router.shard_count())
    }

    /// Asks the controller and waits until all shards know what it decided.
    pub async fn control(&self, request: Request) -> Result<Response, ControlError> {
        match self.controller.call(request).await {
            Ok(response) => Ok(response),
            Err(CallError::Refused(error)) => Err(error.into()),
            Err(unavailable) => {
                tracing::warn!(%unavailable, "the controller did not answer");
                let code = match unavailable {
                    CallError::Undecided => ErrorCode::RequestTimedOut,
                    _ => ErrorCode::NotController,
                };
                Err(ControlError::new(code, unavailable.to_string()))
            }
        }
    }

    /// Runs `work` on shard `to`, which may be this one. What goes to another shard is sent now.
    pub fn on<T, F, Fut>(
        self: &Rc<Shard>,
        to: ShardId,
        work: F,
    ) -> impl Future<Output = Result<T, ShardGone>> + use<T, F, Fut>
    where
        T: Send + 'static,
        F: FnOnce(Rc<Shard>) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
    {
        if to == self.id() {
            let here = work(self.clone());
            Either::Left(async move { Ok(here.await) })
        } else {
            Either::Right(self.router.send(to, work))
        }
    }

    /// Runs `work` on every shard, the own one included; answers in shard order.
    pub async fn everywhere<T, F, Fut>(self: &Rc<Shard>, work: F) -> Result<Vec<T>, ShardGone>
    where
        T: Send + 'static,
        F: FnOnce(Rc<Shard>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = T> + 'static,
    {
        let asked = (0..self.router.shard_count()).map(|index| self.on(ShardId(index), work.clone()));
        join_all(asked).await.into_iter().collect()
    }

    /// The live brokers, as a client that came in on `listener` reaches them. Never none: the broker that answers lives.
    pub fn endpoints(&self, listener: &str) -> Vec<Endpoint> {
        let mut endpoints = self.registered_endpoints(listener);
        if endpoints.iter().any(|broker| !broker.is_fenced) {
            endpoints.retain(|broker| !broker.is_fenced);
        } else {
            endpoints.retain(|broker| broker.id == self.node.id.0);
        }
        endpoints
    }

    /// The live brokers and those that were alive a moment ago, see [`Departed`].
    pub fn endpoints_lately(&self, listener: &str) -> Vec<Endpoint> {
        let now = reactor::now();
        let mut endpoints = self.endpoints(listener);
        let others = self.registered_endpoints(listener).into_iter();
        let departed =
            others.filter(|broker| broker.is_fenced && self.departed.is_recent(now, BrokerId(broker.id)));
        endpoints.extend(departed);
        endpoints.sort_by_key(|broker| broker.id);
        endpoints.dedup_by_key(|broker| broker.id);
        endpoints
    }

    /// All registered brokers that have an endpoint for clients of `listener`, by ascending id. This one always has: its first, when
    /// the client's has no advertised address.
    pub fn registered_endpoints(&self, listener: &str) -> Vec<Endpoint> {
        let image = self.image();
        let others = image.brokers().values();
        let others = others.filter(|broker| broker.id != self.node.id);
        let mut endpoints: Vec<Endpoint> = others
            .filter_map(|broker| {
                let endpoint = broker.endpoint(listener)?;
                Some(Endpoint {
                    id: broker.id.0,
                    host: endpoint.host.clone(),
                    port: endpoint.port,
                    rack: broker.rack.clone(),
                    is_fenced: broker.fenced,
                })
            })
            .collect();
        let own = self
            .node
            .listeners
            .iter()
            .find(|advertised| advertised.name == listener)
            .or(self.node.listeners.first());
        endpoints.extend(own.map(|advertised| Endpoint {
            id: self.node.id.0,
            host: advertised.host.clone(),
            port: advertised.port,
            rack: self.node.config.rack.clone(),
            is_fenced: image.broker(self.node.id).is_some_and(|broker| broker.fenced),
        }));
        endpoints.sort_by_key(|broker| broker.id);
        endpoints
    }

    /// The same, in the form that Produce and Fetch answers name leaders in.
    pub fn node_endpoints(&self, listener: &str) -> Vec<NodeEndpoint> {
        let endpoint = |broker: Endpoint| NodeEndpoint {
            node_id: broker.id,
            host: broker.host.into(),
            port: i32::from(broker.port),
            rack: broker.rack.map(Into::into),
        };
        self.endpoints(listener).into_iter().map(endpoint).collect()
    }
}

fn journal_config(node: &Node) -> JournalConfig {
    let limits = &node.config.journal;
    JournalConfig {
        file_bytes: limits.file_bytes,
        files_max: limits.file_count as usize,
        writes_in_flight_max: limits.inflight_write_count as usize,
        ..JournalConfig::default()
    }
}

/// Of the memory for requests: an eighth (a guess), as long as the largest request fits in the rest.
fn kept_for_small_requests(memory_bytes: usize, request_bytes_max: usize) -> usize {
    (memory_bytes / 8).min(memory_bytes.saturating_sub(request_bytes_max))
}

fn signed(amount: u32) -> i32 {
    i32::try_from(amount).unwrap_or(i32::MAX)
}

/// See [`Shard::owner`].
pub fn owner(key: &PartitionKey, shard_count: usize) -> ShardId {
    let topic = key.topic_id.as_u64_pair().1;
    let place = topic.wrapping_add(u64::from(key.index.unsigned_abs())) % shard_count.max(1) as u64;
    ShardId(place as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks in production: one core does all the work, or a partition is looked for on a shard that has not got it.
    #[test]
    fn partitions_of_a_topic_spread_over_all_shards() {
        let topic_id = uuid::Uuid::from_u128(0x1234_5678);
        let owners: std::collections::BTreeSet<usize> = (0..4)
            .map(|index| owner(&PartitionKey { topic_id, index }, 4).0)
            .collect();
        assert_eq!(owners.len(), 4);
    }
}
