//! What an operator may change for a running broker, apart from what its topics inherit.

use super::read::Reader;

#[derive(Clone, Debug, PartialEq)]
pub struct BrokerDynamic {
    pub connection_count: u32,
    pub connection_count_per_ip: u32,
    /// Life of an idempotent producer's state after its last record.
    pub producer_id_expiration_ms: u64,
    pub cleaner_backoff_ms: u64,
    /// Memory for the map of keys of one compaction.
    pub cleaner_dedupe_buffer_bytes: u64,
    /// How full that map may get.
    pub cleaner_load_factor: f64,
    /// Of all compactions together, reads and writes.
    pub cleaner_bytes_per_second: f64,
    /// To replicas that are throttled and not in sync.
    pub leader_throttled_bytes_per_second: u64,
    /// By replicas that are throttled.
    pub follower_throttled_bytes_per_second: u64,
}

impl BrokerDynamic {
    pub(super) fn read(reader: &Reader<'_>) -> BrokerDynamic {
        BrokerDynamic {
            connection_count: reader.count("max.connections"),
            connection_count_per_ip: reader.count("max.connections.per.ip"),
            producer_id_expiration_ms: reader.amount("producer.id.expiration.ms"),
            cleaner_backoff_ms: reader.amount("log.cleaner.backoff.ms"),
            cleaner_dedupe_buffer_bytes: reader.amount("log.cleaner.dedupe.buffer.size"),
            cleaner_load_factor: reader.ratio("log.cleaner.io.buffer.load.factor"),
            leader_throttled_bytes_per_second: reader.amount("leader.replication.throttled.rate"),
            follower_throttled_bytes_per_second: reader.amount("follower.replication.throttled.rate"),
            cleaner_bytes_per_second: reader.ratio("log.cleaner.io.max.bytes.per.second"),
        }
    }
}
