//! What a broker was started with, typed. It never changes while the process runs.

use std::fmt;
use std::path::PathBuf;

use super::layers::Layers;
use super::listener::Listener;
use super::read::Reader;
use super::rules;
use super::settings::{Origin, Problem, Settings, StartError, Warning};
use crate::store::StoreUrl;

/// The static configuration of a broker, checked: each value is within its bounds and fits the others.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    pub node_id: i32,
    pub rack: Option<String>,
    /// Addresses to listen on; at least one. An empty host means every interface.
    pub listeners: Vec<Listener>,
    /// Addresses told to clients, by listener name. An empty host means the name of this machine, port 0 the
    /// bound port.
    pub advertised_listeners: Vec<Listener>,
    /// At least one.
    pub log_dirs: Vec<PathBuf>,
    pub cores: CoreList,
    /// Address of metrics and health; `None`: not served.
    pub admin_listener: Option<super::Endpoint>,
    /// Of the control thread in a cluster; `None`: any port of the first listener's interface.
    pub control_listener: Option<super::Endpoint>,
    pub store: StoreUrl,
    /// Before every key of a store that has keys.
    pub store_prefix: String,
    pub store_lease_ms: u64,
    pub store_access: StoreAccess,
    pub io_backend: IoBackend,
    /// Whether a second process closes the connections of clients while the broker does not run.
    pub has_watchdog: bool,
    pub requests: RequestLimits,
    pub topics: TopicDefaults,
    pub fetch: FetchLimits,
    pub cluster: ClusterTiming,
    pub quorum: QuorumTiming,
    pub groups: GroupLimits,
    pub offsets: OffsetsTopic,
    pub log: LogUpkeep,
    pub journal: JournalLimits,
    pub replication: Replication,
    /// Bytes of metadata records after which a snapshot is written.
    pub metadata_snapshot_bytes: u64,
    settings: Settings,
}

/// How a store on other machines knows us, and we it. `None`: not configured.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StoreAccess {
    pub etcd_ca_file: Option<PathBuf>,
    pub etcd_certificate_file: Option<PathBuf>,
    pub etcd_key_file: Option<PathBuf>,
    /// Name and password.
    pub etcd_user: Option<(String, String)>,
    pub zookeeper_user: Option<(String, String)>,
}

/// Without the passwords.
impl fmt::Debug for StoreAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreAccess")
            .field("etcd_ca_file", &self.etcd_ca_file)
            .field("etcd_certificate_file", &self.etcd_certificate_file)
            .field("etcd_key_file", &self.etcd_key_file)
            .finish_non_exhaustive()
    }
}

/// Cores that get a thread each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreList {
    /// All that the process may use.
    Auto,
    /// These, by their number in the kernel, ascending.
    Listed(Vec<usize>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoBackend {
    Auto,
    IoUring,
    Epoll,
}

/// What requests and connections may hold.
#[derive(Clone, Debug)]
pub struct RequestLimits {
    /// Largest request frame.
    pub request_max_bytes: u32,
    /// `None`: an idle connection is never closed.
    pub connection_idle_ms: Option<u64>,
    /// Memory per core for requests in flight; at least `request_max_bytes`.
    pub memory_bytes: u64,
    /// Unanswered requests of one connection.
    pub connection_inflight_count: u32,
    /// Unread answers of one connection.
    pub connection_unanswered_bytes: u64,
    /// A produced batch, unpacked.
    pub decompressed_batch_bytes: u32,
}

#[derive(Clone, Debug)]
pub struct TopicDefaults {
    pub auto_create: bool,
    pub deletable: bool,
    pub partition_count: u32,
    pub replication_factor: u32,
    /// Partitions in one answer to DescribeTopicPartitions.
    pub describe_partition_count: u32,
}

#[derive(Clone, Debug)]
pub struct FetchLimits {
    pub answer_max_bytes: u32,
    pub session_count: u32,
}

/// When the controller does what nobody asks for, and when it gives brokers up.
#[derive(Clone, Debug)]
pub struct ClusterTiming {
    /// Between two heartbeats of a broker; at least 1.
    pub heartbeat_interval_ms: u64,
    /// Without a heartbeat; at least two intervals.
    pub session_timeout_ms: u64,
    /// `None`: leaders stay where they are.
    pub leader_balance_interval_ms: Option<u64>,
    pub unclean_election_interval_ms: u64,
}

/// Of the members of a quorum, in milliseconds.
#[derive(Clone, Debug)]
pub struct QuorumTiming {
    pub election_ms: u64,
    pub fetch_ms: u64,
    pub request_ms: u64,
    pub retry_ms: u64,
}

/// Bounds of classic groups.
#[derive(Clone, Debug)]
pub struct GroupLimits {
    pub session_min_ms: u32,
    pub session_max_ms: u32,
    pub initial_rebalance_delay_ms: u32,
    pub member_count: u32,
}

/// `__consumer_offsets`.
#[derive(Clone, Debug)]
pub struct OffsetsTopic {
    pub partition_count: u32,
    pub replication_factor: u32,
    pub segment_bytes: u32,
    /// Largest text attached to a committed offset.
    pub metadata_max_bytes: u32,
    pub commit_timeout_ms: u32,
    pub retention_ms: u64,
    pub retention_check_interval_ms: u64,
}

/// How often the background work of logs is due.
#[derive(Clone, Debug)]
pub struct LogUpkeep {
    pub retention_check_interval_ms: u64,
    pub recovery_checkpoint_interval_ms: u64,
    pub start_offset_checkpoint_interval_ms: u64,
    pub high_watermark_checkpoint_interval_ms: u64,
    pub producer_expiry_check_interval_ms: u64,
    pub cleaner_enabled: bool,
    /// Time without use after which a log is closed.
    pub idle_ms: u64,
    /// `None`: segments are not verified.
    pub scrub_interval_ms: Option<u64>,
    pub scrub_bytes_per_second: u64,
}

/// The journals of one core, one in each directory.
#[derive(Clone, Debug)]
pub struct JournalLimits {
    /// Of one file; a multiple of 4096.
    pub file_bytes: u64,
    pub file_count: u32,
    pub inflight_write_count: u32,
}

/// How followers follow, and what leaders demand of them.
#[derive(Clone, Debug)]
pub struct Replication {
    pub lag_max_ms: u64,
    /// Of one partition, in one answer.
    pub fetch_max_bytes: u32,
    pub fetch_min_bytes: u32,
    pub fetch_response_max_bytes: u32,
    pub fetch_wait_max_ms: u32,
    pub fetch_backoff_ms: u32,
    pub socket_timeout_ms: u32,
    /// Consumers are sent to a replica of their rack (KIP-392).
    pub is_rack_aware: bool,
    /// The name of the listener that brokers reach each other by.
    pub listener: String,
}

impl BrokerConfig {
    /// Checks all settings, so that the operator sees every mistake at once.
    pub fn from_settings(mut settings: Settings) -> Result<(BrokerConfig, Vec<Warning>), StartError> {
        let problems = settings.problems();
        if !problems.is_empty() {
            return Err(StartError { problems });
        }
        let warnings = settings.warnings();
        name_node_twice(&mut settings);
        let errors = rules::at_start(&reader(&settings));
        if !errors.is_empty() {
            let problems = errors
                .into_iter()
                .map(|error| Problem { origin: None, error })
                .collect();
            return Err(StartError { problems });
        }
        Ok((read(settings), warnings))
    }

    /// The same for the node that the data directory belongs to, where the operator has not said which node this is.
    pub fn adopt_node_id(mut self, node_id: i32) -> BrokerConfig {
        let is_set = |name| self.settings.values().contains_key(name);
        if is_set("node.id") || is_set("broker.id") {
            return self;
        }
        for name in ["node.id", "broker.id"] {
            self.settings
                .insert(name.to_owned(), node_id.to_string(), Origin::Derived);
        }
        self.node_id = node_id;
        self
    }

    /// The settings as they were given, for DescribeConfigs.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

fn reader(settings: &Settings) -> Reader<'_> {
    Reader::broker(Layers::started_with(settings.values()))
}

/// Kafka gives node.id and broker.id the same value where only one is set.
fn name_node_twice(settings: &mut Settings) {
    for (set, unset) in [("node.id", "broker.id"), ("broker.id", "node.id")] {
        let value = settings
            .values()
            .get(set)
            .filter(|value| value.trim() != "-1")
            .cloned();
        if let Some(value) = value
            && settings
                .values()
                .get(unset)
                .is_none_or(|value| value.trim() == "-1")
        {
            settings.insert(unset.to_owned(), value, Origin::Derived);
        }
    }
}

fn read(settings: Settings) -> BrokerConfig {
    let reader = reader(&settings);
    let listeners = rules::served_listeners(&reader);
    let first = listeners.first().map(|listener| listener.name.clone());
    let inter_broker = reader
        .text("inter.broker.listener.name")
        .or(first)
        .unwrap_or_default();
    let log_dirs = reader
        .list("log.dirs")
        .or_else(|| reader.list("log.dir"))
        .unwrap_or_default();
    BrokerConfig {
        node_id: reader.i32("node.id"),
        rack: reader.text("broker.rack"),
        advertised_listeners: rules::advertised_listeners(&reader).unwrap_or_else(|| listeners.clone()),
        listeners,
        log_dirs: log_dirs.into_iter().map(PathBuf::from).collect(),
        cores: reader
            .text("ringlog.cores")
            .and_then(|text| CoreList::parse(&text).ok())
            .unwrap_or(CoreList::Auto),
        admin_listener: reader
            .text("ringlog.admin.listener")
            .and_then(|text| super::Endpoint::parse(&text).ok()),
        control_listener: reader
            .text("ringlog.control.listener")
            .and_then(|text| super::Endpoint::parse(&text).ok()),
        store: store(&reader),
        store_prefix: reader.text("ringlog.store.prefix").unwrap_or_default(),
        store_lease_ms: reader.amount("ringlog.store.lease.ms"),
        store_access: store_access(&reader),
        has_watchdog: reader.boolean("ringlog.watchdog.enable"),
        io_backend: match reader.text("ringlog.io.backend").as_deref() {
            Some("io_uring") => IoBackend::IoUring,
            Some("epoll") => IoBackend::Epoll,
            _ => IoBackend::Auto,
        },
        requests: RequestLimits {
            request_max_bytes: reader.count("socket.request.max.bytes"),
            connection_idle_ms: reader
                .limit("connections.max.idle.ms")
                .filter(|idle_ms| *idle_ms > 0),
            memory_bytes: reader.amount("ringlog.memory.request.bytes"),
            connection_inflight_count: reader.count("ringlog.connection.max.inflight"),
            connection_unanswered_bytes: reader.amount("ringlog.connection.max.unanswered.bytes"),
            decompressed_batch_bytes: reader.count("ringlog.max.decompressed.batch.bytes"),
        },
        topics: TopicDefaults {
            auto_create: reader.boolean("auto.create.topics.enable"),
            deletable: reader.boolean("delete.topic.enable"),
            partition_count: reader.count("num.partitions"),
            replication_factor: reader.count("default.replication.factor"),
            describe_partition_count: reader.count("max.request.partition.size.limit"),
        },
        fetch: FetchLimits {
            answer_max_bytes: reader.count("fetch.max.bytes"),
            session_count: reader.count("max.incremental.fetch.session.cache.slots"),
        },
        cluster: ClusterTiming {
            heartbeat_interval_ms: reader.amount("broker.heartbeat.interval.ms"),
            session_timeout_ms: reader.amount("broker.session.timeout.ms"),
            leader_balance_interval_ms: {
                let interval = reader.amount("leader.imbalance.check.interval.seconds");
                let is_enabled = reader.boolean("auto.leader.rebalance.enable");
                is_enabled.then(|| interval.saturating_mul(1000))
            },
            unclean_election_interval_ms: reader.amount("unclean.leader.election.interval.ms"),
        },
        quorum: QuorumTiming {
            election_ms: reader.amount("controller.quorum.election.timeout.ms"),
            fetch_ms: reader.amount("controller.quorum.fetch.timeout.ms"),
            request_ms: reader.amount("controller.quorum.request.timeout.ms"),
            retry_ms: reader.amount("controller.quorum.retry.backoff.ms"),
        },
        groups: GroupLimits {
            session_min_ms: reader.count("group.min.session.timeout.ms"),
            session_max_ms: reader.count("group.max.session.timeout.ms"),
            initial_rebalance_delay_ms: reader.count("group.initial.rebalance.delay.ms"),
            member_count: reader.count("group.max.size"),
        },
        offsets: OffsetsTopic {
            partition_count: reader.count("offsets.topic.num.partitions"),
            replication_factor: reader.count("offsets.topic.replication.factor"),
            segment_bytes: reader.count("offsets.topic.segment.bytes"),
            metadata_max_bytes: reader.count("offset.metadata.max.bytes"),
            commit_timeout_ms: reader.count("offsets.commit.timeout.ms"),
            retention_ms: reader.amount("offsets.retention.minutes") * 60_000,
            retention_check_interval_ms: reader.amount("offsets.retention.check.interval.ms"),
        },
        log: LogUpkeep {
            retention_check_interval_ms: reader.amount("log.retention.check.interval.ms"),
            recovery_checkpoint_interval_ms: reader.amount("log.flush.offset.checkpoint.interval.ms"),
            start_offset_checkpoint_interval_ms: reader
                .amount("log.flush.start.offset.checkpoint.interval.ms"),
            high_watermark_checkpoint_interval_ms: reader
                .amount("replica.high.watermark.checkpoint.interval.ms"),
            producer_expiry_check_interval_ms: reader.amount("producer.id.expiration.check.interval.ms"),
            cleaner_enabled: reader.boolean("log.cleaner.enable"),
            idle_ms: reader.amount("ringlog.log.idle.ms"),
            scrub_interval_ms: reader
                .limit("ringlog.scrub.interval.ms")
                .filter(|interval_ms| *interval_ms > 0),
            scrub_bytes_per_second: reader.amount("ringlog.scrub.bytes.per.second"),
        },
        journal: JournalLimits {
            file_bytes: reader.amount("ringlog.journal.file.bytes") / 4096 * 4096,
            file_count: reader.count("ringlog.journal.file.count"),
            inflight_write_count: reader.count("ringlog.journal.inflight.writes"),
        },
        replication: Replication {
            lag_max_ms: reader.amount("replica.lag.time.max.ms"),
            fetch_max_bytes: reader.count("replica.fetch.max.bytes"),
            fetch_min_bytes: reader.count("replica.fetch.min.bytes"),
            fetch_response_max_bytes: reader.count("replica.fetch.response.max.bytes"),
            fetch_wait_max_ms: reader.count("replica.fetch.wait.max.ms"),
            fetch_backoff_ms: reader.count("replica.fetch.backoff.ms"),
            socket_timeout_ms: reader.count("replica.socket.timeout.ms"),
            is_rack_aware: reader
                .text("replica.selector.class")
                .is_some_and(|class| class.ends_with("RackAwareReplicaSelector")),
            listener: inter_broker,
        },
        metadata_snapshot_bytes: reader.amount("metadata.log.max.record.bytes.between.snapshots"),
        settings,
    }
}

fn store_access(reader: &Reader<'_>) -> StoreAccess {
    let text = |name| reader.text(name).filter(|text| !text.is_empty());
    let user = |name, password| {
        let password = reader.password(password).unwrap_or_default();
        text(name).map(|name| (name, password))
    };
    StoreAccess {
        etcd_ca_file: text("ringlog.etcd.ca.file").map(PathBuf::from),
        etcd_certificate_file: text("ringlog.etcd.certificate.file").map(PathBuf::from),
        etcd_key_file: text("ringlog.etcd.key.file").map(PathBuf::from),
        etcd_user: user("ringlog.etcd.user", "ringlog.etcd.password"),
        zookeeper_user: user("ringlog.zookeeper.user", "ringlog.zookeeper.password"),
    }
}

fn store(reader: &Reader<'_>) -> StoreUrl {
    reader
        .text("ringlog.store")
        .and_then(|text| StoreUrl::parse(&text).ok())
        .unwrap_or(StoreUrl::Embedded)
}

/// Cores that a list may name: the kernel's own limit on x86 (`NR_CPUS`), so that a range cannot size
/// anything.
const CORE_COUNT: usize = 8192;

impl CoreList {
    /// Reads `auto` or a list such as `0,2-3`; the error is the reason.
    pub fn parse(text: &str) -> Result<CoreList, String> {
        if text == "auto" {
            return Ok(CoreList::Auto);
        }
        let mut cores = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.parse::<usize>().ok().filter(|core| *core < CORE_COUNT);
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => cores.extend(first..=last),
                _ => return Err(format!("`{part}` is neither a core nor a range of cores")),
            }
            // A range listed again and again must not grow the list beyond the cores there can be.
            cores.sort_unstable();
            if let Some(twice) = cores.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(format!("core {} is listed twice", twice[0]));
            }
        }
        Ok(CoreList::Listed(cores))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(file: &str) -> Result<(BrokerConfig, Vec<Warning>), StartError> {
        let mut settings = Settings::default();
        settings.add_file(file.as_bytes()).unwrap();
        BrokerConfig::from_settings(settings)
    }

    #[track_caller]
    fn refused(file: &str) -> Vec<String> {
        match start(file) {
            Ok(_) => panic!("accepted: {file}"),
            Err(error) => error.problems.iter().map(ToString::to_string).collect(),
        }
    }

    /// What Kafka's own distribution ships says the same things.
    const SAMPLE: &str = include_str!("testdata/server.properties");

    #[test]
    fn without_settings_a_broker_serves_this_machine() {
        let (config, warnings) = start("").unwrap();
        assert!(warnings.is_empty());
        assert_eq!(config.node_id, 1);
        assert_eq!(config.listeners[0].to_string(), "PLAINTEXT://127.0.0.1:9092");
        assert_eq!(config.advertised_listeners, config.listeners);
        assert_eq!(config.log_dirs, [PathBuf::from("data")]);
        assert_eq!(config.admin_listener.unwrap().to_string(), "127.0.0.1:9644");
        assert_eq!(config.cores, CoreList::Auto);
        assert_eq!(config.requests.request_max_bytes, 104_857_600);
        assert_eq!(config.offsets.retention_ms, 7 * 24 * 3_600_000);
    }

    #[test]
    fn a_server_properties_file_of_kafka_works() {
        // The first thing an operator tries.
        let (config, warnings) = start(SAMPLE).unwrap();
        let listeners: Vec<String> = config.listeners.iter().map(ToString::to_string).collect();
        assert_eq!(
            listeners,
            ["PLAINTEXT://:9092"],
            "the controller's listener is not opened"
        );
        assert_eq!(
            config.advertised_listeners[0].to_string(),
            "PLAINTEXT://broker-1.example:9092"
        );
        assert_eq!(config.node_id, 3);
        assert_eq!(config.settings().values()["broker.id"], "3");
        assert_eq!(
            config.log_dirs,
            [
                PathBuf::from("/var/lib/kafka/a"),
                PathBuf::from("/var/lib/kafka/b")
            ]
        );
        assert_eq!(config.topics.partition_count, 4);
        let unknown: Vec<_> = warnings
            .iter()
            .filter(|w| matches!(w, Warning::Unknown { .. }))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn every_mistake_is_told_with_line_value_and_what_is_allowed() {
        assert_eq!(
            refused("log.segment.bytes=14\nnum.partitions=many\nringlog.io.backend=iocp"),
            [
                "line 1: Invalid value 14 for configuration log.segment.bytes: Value must be at least 1048576 \
                 (allowed: int [1048576,...] bytes)",
                "line 2: Invalid value many for configuration num.partitions: Not a number of type INT \
                 (allowed: int [1,...])",
                "line 3: Invalid value iocp for configuration ringlog.io.backend: String must be one of: auto, io_uring, \
                 epoll (allowed: string [auto, io_uring, epoll])",
            ]
        );
    }

    #[test]
    fn what_would_only_pretend_to_protect_is_refused() {
        // A broker that ignored these would be open where its operator believes it closed.
        for file in [
            "listeners=SSL://:9093",
            "listeners=A://:1\nlistener.security.protocol.map=A:SASL_PLAINTEXT",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "create.topic.policy.class.name=x.Policy",
            "config.providers=file",
            "remote.log.storage.system.enable=true",
            "ringlog.store=etcd://127.0.0.1:2379,zookeeper://127.0.0.1:2181",
            "process.roles=controller",
        ] {
            assert_eq!(refused(file).len(), 1, "{file}");
        }
        assert!(start("authorizer.class.name=\nprocess.roles=broker").is_ok());
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        for file in [
            "node.id=1\nbroker.id=2",
            "listeners=PLAINTEXT://:1,PLAINTEXT://:2",
            "listeners=PLAINTEXT://h:1,B://h:1\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,B:PLAINTEXT",
            "listeners=B://:1",
            "listeners=",
            "listeners=nonsense",
            "listeners=PLAINTEXT://0.0.0.0:9092",
            "listeners=CONTROLLER://:1\ncontroller.listener.names=CONTROLLER",
            "advertised.listeners=B://h:1\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,B:PLAINTEXT",
            "advertised.listeners=PLAINTEXT://0.0.0.0:1",
            "log.dirs=",
            "log.retention.ms=0",
            "log.roll.ms=0",
            "group.min.session.timeout.ms=9\ngroup.max.session.timeout.ms=8",
            "socket.request.max.bytes=209715200",
            "max.connections.per.ip=0",
        ] {
            assert_eq!(refused(file).len(), 1, "{file}: {:?}", refused(file));
        }
    }

    #[test]
    fn both_names_of_the_node_work() {
        assert_eq!(start("broker.id=5").unwrap().0.node_id, 5);
        assert_eq!(start("node.id=5").unwrap().0.node_id, 5);
        assert_eq!(start("node.id=5\nbroker.id=5").unwrap().0.node_id, 5);
    }

    #[test]
    fn core_lists() {
        assert_eq!(CoreList::parse("3,0-1"), Ok(CoreList::Listed(vec![0, 1, 3])));
        for bad in ["", "x", "1-", "2-1", "0,0", "0-99999999999", "0-2,1"] {
            assert!(CoreList::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_node_id_of_a_directory_is_taken_unless_one_is_set() {
        // Started on a directory of node 3 as node 1 a broker would lead none of its partitions.
        let adopted = start("num.partitions=2").unwrap().0.adopt_node_id(3);
        assert_eq!(adopted.node_id, 3);
        assert_eq!(adopted.settings().values()["node.id"], "3");
        assert_eq!(start("node.id=5").unwrap().0.adopt_node_id(3).node_id, 5);
        assert_eq!(start("broker.id=5").unwrap().0.adopt_node_id(3).node_id, 5);
    }
}
