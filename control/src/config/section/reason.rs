//! Why a property of Kafka does nothing here.

pub(in crate::config) const FETCHERS: &str = "each core follows each other broker through one connection";
pub(in crate::config) const MOVES: &str = "each core moves one partition at a time, as fast as the disks go";
pub(in crate::config) const OWN_BOUNDS: &str =
    "calls between brokers have bounds of their own, of seconds, and are repeated";
pub(in crate::config) const DIRECTORY_FAILURES: &str =
    "every heartbeat tells of directories that cannot be used";
pub(in crate::config) const NO_IDLE_RECORDS: &str = "the metadata log needs no records to be alive";
pub(in crate::config) const PATIENT_START: &str =
    "a broker waits for its store and its controller as long as it takes";
pub(in crate::config) const ALWAYS_CONTROLLED: &str =
    "a broker that stops always hands its leaders over first";
pub(in crate::config) const VOTERS_IN_STORE: &str =
    "ringlog.store=quorum://ID@HOST:PORT,... names the voters";
pub(in crate::config) const ZOOKEEPER_IN_STORE: &str =
    "ringlog.store=zookeeper://HOST:PORT,... names the servers";
pub(in crate::config) const VOTERS_BY_HAND: &str =
    "voters are added by AddRaftVoter (kafka-metadata-quorum add-controller)";
pub(in crate::config) const ELECTION_LOTS: &str = "the pause is drawn by lot within the election's timeout";
pub(in crate::config) const APPENDED_TOGETHER: &str =
    "what waits while an append is under way shares the next one";
pub(in crate::config) const NO_SAMPLES: &str = "throttles count bytes, not samples";
pub(in crate::config) const METADATA_DIR: &str = "the metadata log lies in the first of log.dirs";
pub(in crate::config) const METADATA_SIZE: &str = "the embedded metadata log is cut by snapshots alone";
pub(in crate::config) const THREADS: &str = "one thread per core does everything; see ringlog.cores";
pub(in crate::config) const REQUEST_BUDGET: &str =
    "requests in flight are bounded by ringlog.memory.request.bytes and ringlog.connection.max.inflight";
pub(in crate::config) const KERNEL_BUFFERS: &str = "the kernel sizes socket buffers";
pub(in crate::config) const BACKLOG: &str = "the queue holds 1024 connections";
pub(in crate::config) const NOT_ENFORCED: &str = "not enforced yet";
pub(in crate::config) const CORDON: &str = "directories cannot be cordoned yet";
pub(in crate::config) const CLEANER_SHARDS: &str = "each core compacts its own partitions in the background";
pub(in crate::config) const PURGATORY: &str = "a finished request leaves the waiting room at once";
pub(in crate::config) const OFFSETS_PLAIN: &str = "offsets are stored uncompressed";
pub(in crate::config) const OFFSETS_BUFFER: &str = "buffers follow the size of what is read or written";
pub(in crate::config) const OFFSETS_BATCHING: &str = "commits that arrive together share a write";
pub(in crate::config) const CLASSIC_ONLY: &str = "the classic protocol is the one that is served";
pub(in crate::config) const NO_CONSUMER_PROTOCOL: &str = "the consumer protocol (KIP-848) is not served yet";
pub(in crate::config) const NO_SHARE_GROUPS: &str = "share groups are not served yet";
pub(in crate::config) const NO_STREAMS_GROUPS: &str = "streams groups are not served yet";
pub(in crate::config) const NO_TRANSACTIONS: &str = "transactions are not served yet";
pub(in crate::config) const NO_QUOTAS: &str = "quotas are not served yet";
pub(in crate::config) const NO_TIERED: &str = "tiered storage is not served yet";
pub(in crate::config) const NO_TLS: &str = "TLS is not served yet, and a TLS listener is refused";
pub(in crate::config) const NO_SASL: &str = "SASL is not served yet, and a SASL listener is refused";
pub(in crate::config) const NO_AUTHORIZER: &str = "authorization is not served yet";
pub(in crate::config) const NO_PROVIDERS: &str = "values are taken as they stand";
pub(in crate::config) const JAVA_RULES: &str =
    "a Java class cannot be run, and without it its rules would not hold";
pub(in crate::config) const JVM: &str = "there is no JVM";
pub(in crate::config) const PROMETHEUS: &str = "metrics are Prometheus metrics";
pub(in crate::config) const NO_TELEMETRY: &str = "client telemetry is not served yet";
pub(in crate::config) const TEST_ONLY: &str = "it exists for tests";
pub(in crate::config) const DECOMPRESSED: &str =
    "ringlog.max.decompressed.batch.bytes bounds whole batches instead";
