//! Records of brokers and controllers.

use uuid::Uuid;

use super::ids::{BrokerEpoch, BrokerId, DirectoryId};
use super::schema::{element, message};

element! {
    /// Where a broker or controller is reached.
    #[derive(serde::Serialize, serde::Deserialize)]
    BrokerEndpoint {
        /// Name of the listener.
        name: String = String::new();
        host: String = String::new();
        port: u16 = 0;
        /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
        security_protocol: i16 = 0;
    }
}

element! {
    /// Levels of a feature that a broker or controller can work at, both ends included.
    #[derive(serde::Serialize, serde::Deserialize)]
    FeatureRange {
        name: String = String::new();
        min_supported_version: i16 = 0;
        max_supported_version: i16 = 0;
    }
}

message! {
    /// A broker process has registered.
    RegisterBrokerRecord writes 3 highest 4 {
        broker_id: BrokerId = BrokerId(0), since 0;
        is_migrating_zk_broker: bool = false, since 2;
        /// Random, new for every start of the process.
        incarnation_id: Uuid = Uuid::nil(), since 0;
        broker_epoch: BrokerEpoch = BrokerEpoch(0), since 0;
        end_points: Vec<BrokerEndpoint> = Vec::new(), since 0;
        features: Vec<FeatureRange> = Vec::new(), since 0;
        rack: Option<String> = None, since 0;
        fenced: bool = true, since 0;
        in_controlled_shutdown: bool = false, since 1;
    }
    tagged {
        0 log_dirs: Vec<DirectoryId> = Vec::new(), since 3;
        1 cordoned_log_dirs: Option<Vec<DirectoryId>> = None, since 4;
    }
}

message! {
    /// A broker is forgotten.
    UnregisterBrokerRecord writes 0 highest 0 {
        broker_id: BrokerId = BrokerId(0), since 0;
        broker_epoch: BrokerEpoch = BrokerEpoch(0), since 0;
    }
    tagged {}
}

message! {
    /// What changed in a registration: -1, 0 and 1 mean "no more", "as before" and "from now on".
    BrokerRegistrationChangeRecord writes 2 highest 3 {
        broker_id: BrokerId = BrokerId(0), since 0;
        broker_epoch: BrokerEpoch = BrokerEpoch(0), since 0;
    }
    tagged {
        0 fenced: i8 = 0, since 0;
        1 in_controlled_shutdown: i8 = 0, since 1;
        2 log_dirs: Vec<DirectoryId> = Vec::new(), since 2;
        3 cordoned_log_dirs: Option<Vec<DirectoryId>> = None, since 3;
    }
}

message! {
    /// The older way of fencing a broker; today [`BrokerRegistrationChangeRecord`] says it.
    FenceBrokerRecord writes 0 highest 0 {
        id: BrokerId = BrokerId(0), since 0;
        epoch: BrokerEpoch = BrokerEpoch(0), since 0;
    }
    tagged {}
}

message! {
    /// The older way of unfencing a broker.
    UnfenceBrokerRecord writes 0 highest 0 {
        id: BrokerId = BrokerId(0), since 0;
        epoch: BrokerEpoch = BrokerEpoch(0), since 0;
    }
    tagged {}
}

message! {
    /// A controller process has registered.
    RegisterControllerRecord writes 0 highest 0 {
        controller_id: BrokerId = BrokerId(0), since 0;
        incarnation_id: Uuid = Uuid::nil(), since 0;
        zk_migration_ready: bool = false, since 0;
        end_points: Vec<BrokerEndpoint> = Vec::new(), since 0;
        features: Vec<FeatureRange> = Vec::new(), since 0;
    }
    tagged {}
}
