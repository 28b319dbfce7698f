//! Records of topics and their partitions.

use engine::types::LeaderEpoch;
use uuid::Uuid;

use super::ids::{BrokerId, DirectoryId, PartitionEpoch, PartitionId};
use super::schema::message;

/// `leader` of a partition nobody leads.
pub const NO_LEADER: BrokerId = BrokerId(-1);
/// `leader` of a change that leaves the leader as it was.
pub const LEADER_UNCHANGED: BrokerId = BrokerId(-2);
/// `leader_recovery_state` of a change that leaves it as it was.
pub const RECOVERY_STATE_UNCHANGED: i8 = -1;

message! {
    /// A topic exists. Its configs and partitions follow.
    TopicRecord writes 0 highest 0 {
        name: String = String::new(), since 0;
        topic_id: Uuid = Uuid::nil(), since 0;
    }
    tagged {}
}

message! {
    /// A partition exists, in this state.
    PartitionRecord writes 1 highest 2 {
        partition_id: PartitionId = PartitionId(-1), since 0;
        topic_id: Uuid = Uuid::nil(), since 0;
        replicas: Vec<BrokerId> = Vec::new(), since 0;
        isr: Vec<BrokerId> = Vec::new(), since 0;
        removing_replicas: Vec<BrokerId> = Vec::new(), since 0;
        adding_replicas: Vec<BrokerId> = Vec::new(), since 0;
        leader: BrokerId = NO_LEADER, since 0;
        leader_epoch: LeaderEpoch = LeaderEpoch(-1), since 0;
        partition_epoch: PartitionEpoch = PartitionEpoch(-1), since 0;
        /// One per replica, in the order of `replicas`.
        directories: Vec<DirectoryId> = Vec::new(), since 1;
    }
    tagged {
        /// 0 recovered, 1 recovering after an unclean election.
        0 leader_recovery_state: i8 = 0, since 0;
        1 eligible_leader_replicas: Option<Vec<BrokerId>> = None, since 2;
        2 last_known_elr: Option<Vec<BrokerId>> = None, since 2;
    }
}

message! {
    /// What changed in a partition; everything not named stays. A named leader counts the leader epoch up, every
    /// change the partition epoch.
    PartitionChangeRecord writes 1 highest 2 {
        partition_id: PartitionId = PartitionId(-1), since 0;
        topic_id: Uuid = Uuid::nil(), since 0;
    }
    tagged {
        0 isr: Option<Vec<BrokerId>> = None, since 0;
        1 leader: BrokerId = LEADER_UNCHANGED, since 0;
        2 replicas: Option<Vec<BrokerId>> = None, since 0;
        3 removing_replicas: Option<Vec<BrokerId>> = None, since 0;
        4 adding_replicas: Option<Vec<BrokerId>> = None, since 0;
        5 leader_recovery_state: i8 = RECOVERY_STATE_UNCHANGED, since 0;
        6 eligible_leader_replicas: Option<Vec<BrokerId>> = None, since 2;
        7 last_known_elr: Option<Vec<BrokerId>> = None, since 2;
        8 directories: Option<Vec<DirectoryId>> = None, since 1;
    }
}

message! {
    /// A topic is gone with its partitions and configs.
    RemoveTopicRecord writes 0 highest 0 {
        topic_id: Uuid = Uuid::nil(), since 0;
    }
    tagged {}
}

message! {
    /// The eligible leader replicas of a topic, or of all topics when the name is empty, count no longer (KIP-966).
    ClearElrRecord writes 0 highest 0 {
        topic_name: String = String::new(), since 0;
    }
    tagged {}
}
