//! What of the cluster a client can reach that came in on one listener: leaders with an endpoint there, and replicas that are online.

use std::collections::BTreeMap;

use control::image::{BrokerImage, ClusterImage, PartitionImage};
use control::record::{BrokerId, DirectoryId};
use net::error::ErrorCode;

use crate::shard::Shard;

/// The registered brokers as one listener's clients see them. Made once per request, asked for every partition.
pub struct Reach<'a> {
    brokers: BTreeMap<BrokerId, Seen<'a>>,
}

struct Seen<'a> {
    broker: &'a BrokerImage,
    has_endpoint: bool,
}

impl<'a> Reach<'a> {
    pub fn new(shard: &Shard, image: &'a ClusterImage, listener: &str) -> Reach<'a> {
        Reach::of(image, shard.node.id, listener)
    }

    /// `own` is reached by whoever asks, whatever its listener is called.
    fn of(image: &'a ClusterImage, own: BrokerId, listener: &str) -> Reach<'a> {
        let seen = |broker: &'a BrokerImage| Seen {
            broker,
            has_endpoint: broker.id == own || broker.endpoint(listener).is_some(),
        };
        let brokers = image.brokers().iter();
        Reach {
            brokers: brokers.map(|(id, broker)| (*id, seen(broker))).collect(),
        }
    }

    /// The partition's leader, if the client can connect to it.
    pub fn leader(&self, partition: &PartitionImage) -> Result<BrokerId, ErrorCode> {
        let leader = partition.leader.ok_or(ErrorCode::LeaderNotAvailable)?;
        match self.brokers.get(&leader) {
            None => Err(ErrorCode::LeaderNotAvailable),
            Some(seen) if !seen.has_endpoint => Err(ErrorCode::ListenerNotFound),
            Some(_) => Ok(leader),
        }
    }

    /// Replicas on brokers that are gone or fenced, or in directories that are offline.
    pub fn offline(&self, partition: &PartitionImage) -> Vec<BrokerId> {
        let is_online = |position: usize, replica: &BrokerId| {
            let Some(seen) = self.brokers.get(replica).filter(|_| self.is_live(*replica)) else {
                return false;
            };
            let directory = partition.directories.get(position);
            directory.is_none_or(|directory| is_online(*directory, &seen.broker.log_dirs))
        };
        let replicas = partition.replicas.iter().enumerate();
        replicas
            .filter(|(position, replica)| !is_online(*position, replica))
            .map(|(_, replica)| *replica)
            .collect()
    }

    /// Whether the broker serves clients of the listener.
    pub fn is_live(&self, broker: BrokerId) -> bool {
        let seen = self.brokers.get(&broker);
        seen.is_some_and(|seen| !seen.broker.fenced && seen.has_endpoint)
    }
}

/// Kafka's rule: a directory that is not chosen yet counts as online, and so does any of a broker that named none.
fn is_online(directory: DirectoryId, log_dirs: &[DirectoryId]) -> bool {
    match directory {
        DirectoryId::UNASSIGNED | DirectoryId::MIGRATING => true,
        DirectoryId::LOST => false,
        directory => log_dirs.is_empty() || log_dirs.contains(&directory),
    }
}

#[cfg(test)]
mod tests {
    use control::record::{BrokerEndpoint, BrokerEpoch, Record, RegisterBrokerRecord};
    use uuid::Uuid;

    use super::*;

    const OWN: BrokerId = BrokerId(1);

    /// Broker 1, asked; 2, alive; 3, fenced; 4, alive without the client's listener. 5 is not registered.
    fn image() -> ClusterImage {
        let broker = |id: i32, listener: &str, fenced| {
            Record::from(RegisterBrokerRecord {
                broker_id: BrokerId(id),
                broker_epoch: BrokerEpoch(id.into()),
                end_points: vec![BrokerEndpoint {
                    name: listener.to_owned(),
                    host: "localhost".to_owned(),
                    port: 9092,
                    ..BrokerEndpoint::default()
                }],
                fenced,
                log_dirs: vec![directory(id)],
                ..RegisterBrokerRecord::default()
            })
        };
        let records = [
            broker(1, "INTERNAL", false),
            broker(2, "CLIENTS", false),
            broker(3, "CLIENTS", true),
            broker(4, "INTERNAL", false),
        ];
        ClusterImage::empty("cluster").apply(&records).unwrap().0
    }

    fn directory(id: i32) -> DirectoryId {
        DirectoryId(Uuid::from_u128(1000 + id as u128))
    }

    fn partition(replicas: &[i32], leader: Option<i32>) -> PartitionImage {
        PartitionImage {
            replicas: replicas.iter().copied().map(BrokerId).collect(),
            directories: replicas.iter().copied().map(directory).collect(),
            leader: leader.map(BrokerId),
            ..PartitionImage::default()
        }
    }

    /// Breaks in production: clients are sent to a leader they cannot connect to, or are told of none where there is one.
    #[test]
    fn leaders_are_told_only_where_the_client_can_connect() {
        let image = image();
        let reach = Reach::of(&image, OWN, "CLIENTS");
        let leader = |id| reach.leader(&partition(&[1, 2, 3], id)).map(|leader| leader.0);
        assert_eq!(leader(Some(2)), Ok(2));
        // whoever asks has found this broker's listener
        assert_eq!(leader(Some(1)), Ok(1));
        assert_eq!(leader(Some(4)), Err(ErrorCode::ListenerNotFound));
        assert_eq!(leader(Some(5)), Err(ErrorCode::LeaderNotAvailable));
        assert_eq!(leader(None), Err(ErrorCode::LeaderNotAvailable));
    }

    /// Breaks in production: `--unavailable-partitions` and Java's producers believe in replicas that are gone.
    #[test]
    fn replicas_are_offline_with_their_broker_listener_or_directory() {
        let image = image();
        let reach = Reach::of(&image, OWN, "CLIENTS");
        let offline = |partition: &PartitionImage| {
            let offline = reach.offline(partition).into_iter();
            offline.map(|id| id.0).collect::<Vec<_>>()
        };
        assert_eq!(offline(&partition(&[1, 2, 3, 4, 5], Some(1))), [3, 4, 5]);
        for (lies_in, expected) in [
            (DirectoryId::UNASSIGNED, vec![]),
            (DirectoryId::MIGRATING, vec![]),
            (DirectoryId::LOST, vec![2]),
            (directory(9), vec![2]),
        ] {
            let mut partition = partition(&[1, 2], Some(1));
            partition.directories[1] = lies_in;
            assert_eq!(offline(&partition), expected, "{lies_in:?}");
        }
        // logs from before directories had ids
        let mut partition = partition(&[1, 2], Some(1));
        partition.directories.clear();
        assert!(offline(&partition).is_empty());
    }
}
