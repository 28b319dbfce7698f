//! Records of the cluster as a whole: configs, features, producer ids, and the log's own bookkeeping.

use engine::types::ProducerId;

use super::ids::{BrokerEpoch, BrokerId};
use super::schema::message;

message! {
    /// One config of one resource; a null value takes it away.
    ConfigRecord writes 0 highest 0 {
        /// As `ConfigResource.Type`: 2 topic, 4 broker, 16 client metrics, 32 group.
        resource_type: i8 = 0, since 0;
        resource_name: String = String::new(), since 0;
        name: String = String::new(), since 0;
        value: Option<String> = None, since 0;
    }
    tagged {}
}

message! {
    /// The cluster works at this level of a feature; 0 takes it away.
    FeatureLevelRecord writes 0 highest 0 {
        name: String = String::new(), since 0;
        feature_level: i16 = 0, since 0;
    }
    tagged {}
}

message! {
    /// Every producer id below this one is given to some broker.
    ProducerIdsRecord writes 0 highest 0 {
        broker_id: BrokerId = BrokerId(0), since 0;
        broker_epoch: BrokerEpoch = BrokerEpoch(-1), since 0;
        next_producer_id: ProducerId = ProducerId(0), since 0;
    }
    tagged {}
}

message! {
    /// Says nothing; moves the log's end on (KIP-835).
    NoOpRecord writes 0 highest 0 {}
    tagged {}
}

message! {
    /// The records up to the matching end take effect together or not at all (KIP-868).
    BeginTransactionRecord writes 0 highest 0 {}
    tagged {
        0 name: Option<String> = None, since 0;
    }
}

message! {
    /// The records since the begin take effect now.
    EndTransactionRecord writes 0 highest 0 {}
    tagged {}
}

message! {
    /// The records since the begin never take effect.
    AbortTransactionRecord writes 0 highest 0 {}
    tagged {
        0 reason: Option<String> = None, since 0;
    }
}

message! {
    /// Left in logs of clusters that came from ZooKeeper; means nothing any more.
    ZkMigrationStateRecord writes 0 highest 0 {
        zk_migration_state: i8 = 0, since 0;
    }
    tagged {}
}
