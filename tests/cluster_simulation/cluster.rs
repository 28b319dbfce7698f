//! The machines of a seed, and the brokers on them.

use std::net::SocketAddr;
use std::time::Duration;

use control::config::{BrokerConfig, Settings};
use control::store::StoreConfig;
use control::store::kv::memory::MemoryCluster;
use control::store::shared::SharedConfig;
use reactor::BackendChoice;
use reactor::sim::{HostId, ProcessId, World, WorldConfig};

use crate::model::Model;
use crate::nemesis;
use crate::plan::{Plan, StoreKind};

pub const PORT: u16 = 9092;
const CONTROL_PORT: u16 = 9093;

pub struct Cluster {
    pub world: World,
    pub plan: Plan,
    pub model: Model,
    pub brokers: Vec<Broker>,
    /// The store beside the brokers, and the machine that breaks it.
    pub store: MemoryCluster,
    store_host: HostId,
    /// One for each client, so that each has its own links.
    clients: Vec<HostId>,
}

pub struct Broker {
    pub host: HostId,
    pub process: Option<ProcessId>,
}

impl Cluster {
    pub fn new(seed: u64, plan: Plan, is_traced: bool) -> Cluster {
        let world = World::new(WorldConfig {
            trace: is_traced,
            ..WorldConfig::new(seed)
        });
        let brokers = (0..plan.brokers)
            .map(|index| Broker {
                host: world.add_host(&format!("broker-{}", index + 1)),
                process: None,
            })
            .collect();
        let store = MemoryCluster::new(nemesis::quick_store());
        Cluster {
            store,
            store_host: world.add_host("store"),
            model: Model::new(plan.partitions),
            world,
            plan,
            brokers,
            clients: Vec::new(),
        }
    }

    /// Lets the world turn; nothing may panic in it.
    pub fn run_for(&mut self, length: Duration) {
        self.world.run_for(length).expect("the world turns");
        assert_eq!(self.world.panics().first(), None);
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        let address = |broker: &Broker| SocketAddr::new(broker.host.ip(), PORT);
        self.brokers.iter().map(address).collect()
    }

    pub fn is_running(&self, index: usize) -> bool {
        self.brokers[index]
            .process
            .is_some_and(|process| self.world.is_running(process))
    }

    pub fn start_missing(&mut self) {
        for index in 0..self.brokers.len() {
            self.start(index);
        }
    }

    /// Starts a broker, unless it runs.
    pub fn start(&mut self, index: usize) {
        if self.is_running(index) {
            return;
        }
        let config = self.config(index);
        let store = match self.plan.store {
            StoreKind::Embedded | StoreKind::Quorum => None,
            StoreKind::Memory => Some(StoreConfig::Memory {
                cluster: self.store.clone(),
                shared: SharedConfig {
                    prefix: "/ringlog".to_owned(),
                    lease: Duration::from_secs(5),
                    dir: Some("/data".into()),
                },
            }),
        };
        let life = async move {
            let ended = ringlog::serve::run(config, BackendChoice::Auto, store, |serving| {
                reactor::sim::trace_line(&serving.announcement);
            });
            match ended.await {
                Ok(()) => reactor::sim::trace_line("the broker has stopped"),
                Err(error) => reactor::sim::trace_line(&format!("the broker ends: {error}")),
            }
        };
        let host = self.brokers[index].host;
        let process = self.world.start(host, &format!("broker-{}", index + 1), life);
        self.brokers[index].process = Some(process);
        self.model.with(|state| state.figures.starts += 1);
    }

    /// Does something to the store, whose clock is the world's: on a machine of the world.
    pub fn at_store(&self, f: impl FnOnce(&MemoryCluster) + 'static) {
        let store = self.store.clone();
        self.world
            .start(self.store_host, "store", async move { f(&store) });
    }

    /// A client on a machine of its own.
    pub fn start_client(&mut self, name: &str, life: impl Future<Output = ()> + 'static) -> ProcessId {
        let host = self.world.add_host(name);
        self.clients.push(host);
        self.world.start(host, name, life)
    }

    fn config(&self, index: usize) -> BrokerConfig {
        let mut settings = Settings::default();
        let cores: Vec<String> = (0..self.plan.shards).map(|core| core.to_string()).collect();
        let replication = self.plan.brokers.min(3);
        let pairs = [
            format!("node.id={}", index + 1),
            format!("listeners=PLAINTEXT://0.0.0.0:{PORT}"),
            format!("advertised.listeners=PLAINTEXT://broker-{}:{PORT}", index + 1),
            format!("ringlog.control.listener=0.0.0.0:{CONTROL_PORT}"),
            "log.dirs=/data".to_owned(),
            format!("ringlog.cores={}", cores.join(",")),
            "ringlog.admin.listener=none".to_owned(),
            "ringlog.journal.file.bytes=1048576".to_owned(),
            "ringlog.journal.file.count=2".to_owned(),
            "ringlog.memory.request.bytes=1048576".to_owned(),
            "message.max.bytes=65536".to_owned(),
            "socket.request.max.bytes=1048576".to_owned(),
            format!("default.replication.factor={replication}"),
            format!("min.insync.replicas={}", self.plan.min_insync),
            format!("replica.lag.time.max.ms={}", self.plan.lag_max.as_millis()),
            format!("replica.fetch.wait.max.ms={}", self.plan.fetch_wait.as_millis()),
            match self.plan.store {
                StoreKind::Embedded => "ringlog.store=embedded".to_owned(),
                StoreKind::Memory => "ringlog.store=etcd://store:2379".to_owned(),
                StoreKind::Quorum => {
                    let voters = (1..=3).map(|id| format!("{id}@broker-{id}:{CONTROL_PORT}"));
                    format!("ringlog.store=quorum://{}", voters.collect::<Vec<_>>().join(","))
                }
            },
        ];
        for pair in pairs {
            settings.add_pair(&pair).expect("a property");
        }
        let (config, _) = BrokerConfig::from_settings(settings).expect("a configuration");
        config
    }
}
