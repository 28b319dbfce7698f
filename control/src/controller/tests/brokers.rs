//! Brokers: registered, restarted, given partitions and producer ids.

use engine::types::{LeaderEpoch, ProducerId};
use uuid::Uuid;

use super::*;

#[test]
fn replicas_spread_over_brokers() {
    // Leaders on one broker would make it serve all clients.
    let mut cluster = Cluster::new(3, "");
    cluster.create_one(new_topic("t", 9, 2)).expect("created");
    let mut leaders = [0; 3];
    let mut replicas = [0; 3];
    for number in 0..9 {
        let partition = cluster.partition("t", number);
        assert_eq!(partition.replicas.len(), 2);
        assert_ne!(partition.replicas[0], partition.replicas[1]);
        assert_eq!(partition.leader, partition.replicas.first().copied());
        leaders[partition.replicas[0].0 as usize - 1] += 1;
        for replica in &partition.replicas {
            replicas[replica.0 as usize - 1] += 1;
        }
    }
    assert_eq!((leaders, replicas), ([3; 3], [6; 3]));
}

#[test]
fn producer_ids_are_given_out_once_and_to_registered_brokers_only() {
    // Two producers with one id would be taken for one, and each other's records for duplicates.
    let mut cluster = Cluster::new(1, "");
    let epoch = cluster.image.broker(BrokerId(1)).expect("registered").epoch;
    let request = |broker, epoch| {
        Request::AllocateProducerIds(AllocateProducerIds {
            broker_id: BrokerId(broker),
            broker_epoch: epoch,
        })
    };
    for block in 0..3 {
        assert_eq!(
            cluster.call(request(1, epoch)),
            Ok(Response::AllocateProducerIds(ProducerIdBlock {
                first: ProducerId(block * 1000),
                count: 1000
            }))
        );
    }
    for (broker, epoch) in [(1, BrokerEpoch(epoch.0 + 1)), (2, epoch)] {
        let refused = cluster.call(request(broker, epoch)).map_err(|error| error.code);
        assert_eq!(refused, Err(ErrorCode::STALE_BROKER_EPOCH));
    }
}

#[test]
fn a_restarted_broker_gets_a_new_epoch_and_its_partitions_back() {
    // The old process's requests must be told from the new one's; records only this broker has must stay reachable.
    let mut cluster = Cluster::new(1, "");
    cluster.create_one(new_topic("t", 1, 1)).expect("created");
    let first = cluster.image.broker(BrokerId(1)).expect("registered").epoch;
    assert_eq!(
        cluster.register(1, 1, PreviousShutdown::Clean),
        first,
        "the same process asks again"
    );
    assert!(cluster.image.broker(BrokerId(1)).expect("registered").is_active());

    let second = cluster.register(1, 2, PreviousShutdown::Clean);
    assert!(second > first);
    assert!(cluster.image.broker(BrokerId(1)).expect("registered").fenced);
    cluster.unfence(1, second);
    let partition = cluster.partition("t", 0);
    assert_eq!(
        (partition.leader, partition.leader_epoch),
        (Some(BrokerId(1)), LeaderEpoch(0)),
        "a clean restart writes nothing about partitions"
    );

    let third = cluster.register(1, 3, PreviousShutdown::Unclean);
    assert_eq!(cluster.partition("t", 0).leader, None);
    cluster.unfence(1, third);
    let partition = cluster.partition("t", 0);
    assert_eq!(partition.leader, Some(BrokerId(1)));
    assert!(
        partition.leader_epoch > LeaderEpoch(0),
        "consumers check for lost records"
    );
}

#[test]
fn a_partition_that_kafka_left_to_its_eligible_leader_replicas_is_led_again() {
    // A directory that Kafka stopped cleanly has no ISR anywhere: without this nothing of it could be read or written.
    let mut cluster = Cluster::new(1, "");
    cluster.create_one(new_topic("t", 3, 1)).expect("created");
    let topic_id = cluster.image.topic_id("t").expect("created");
    let left = |number, eligible: &[i32], last_known: &[i32]| {
        Record::from(PartitionChangeRecord {
            topic_id,
            partition_id: PartitionId(number),
            isr: Some(Vec::new()),
            leader: NO_LEADER,
            eligible_leader_replicas: Some(ids(eligible)),
            last_known_elr: Some(ids(last_known)),
            ..PartitionChangeRecord::default()
        })
    };
    let changes = [left(0, &[1], &[1]), left(1, &[], &[1]), left(2, &[2], &[1])];
    cluster.image = cluster.image.apply(&changes).expect("fits").0;
    let epoch = cluster.register(1, 2, PreviousShutdown::Clean);
    cluster.unfence(1, epoch);
    for number in 0..2 {
        let partition = cluster.partition("t", number);
        assert_eq!(
            (partition.leader, partition.isr.clone()),
            (Some(BrokerId(1)), ids(&[1]))
        );
        assert!(partition.eligible_leader_replicas.is_empty() && partition.last_known_elr.is_empty());
    }
    // another broker has what was acknowledged
    assert_eq!(cluster.partition("t", 2).leader, None);
}

#[test]
fn others_take_over_from_a_broker_that_restarted() {
    // The leader's log may be behind now; the ISR has everything acknowledged.
    let mut cluster = Cluster::new(2, "");
    cluster
        .create_one(by_hand("t", &[(0, &[1, 2]), (1, &[2, 1])]))
        .expect("created");
    cluster.register(1, 2, PreviousShutdown::Clean);
    for number in 0..2 {
        let partition = cluster.partition("t", number);
        assert_eq!(
            (partition.leader, partition.isr.clone()),
            (Some(BrokerId(2)), ids(&[2]))
        );
    }
    // new topics go to the broker that is left
    cluster.create_one(new_topic("u", 2, 1)).expect("created");
    assert_eq!(cluster.partition("u", 0).replicas, ids(&[2]));
    assert_eq!(cluster.partition("u", 1).replicas, ids(&[2]));
    // with two replicas the fenced one gets one, outside of the ISR
    cluster.create_one(new_topic("v", 1, 2)).expect("created");
    let partition = cluster.partition("v", 0);
    assert_eq!(
        (partition.replicas.clone(), partition.isr.clone()),
        (ids(&[2, 1]), ids(&[2]))
    );
}

#[test]
fn registrations_that_cannot_be_are_refused() {
    // A broker of another cluster, or one whose disk was copied, would mix two logs.
    let mut cluster = Cluster::new(1, "");
    let request = |broker_id, cluster_id: &str, log_dirs: &[DirectoryId]| {
        Request::RegisterBroker(RegisterBroker {
            broker_id: BrokerId(broker_id),
            cluster_id: cluster_id.to_owned(),
            incarnation_id: Uuid::from_u128(9),
            endpoints: Vec::new(),
            features: Vec::new(),
            rack: None,
            log_dirs: log_dirs.to_vec(),
            previous_shutdown: PreviousShutdown::Clean,
            known_epoch: None,
        })
    };
    let own = directory(2);
    let cases = [
        (
            request(2, "other", &[own]),
            ErrorCode::INCONSISTENT_CLUSTER_ID,
            "Expected cluster ID 4L6g3nShT-eMCtK--X86sw, but got cluster ID other",
        ),
        (
            request(2, CLUSTER, &[]),
            ErrorCode::INVALID_REGISTRATION,
            "No directories specified in request",
        ),
        (
            request(2, CLUSTER, &[own, own]),
            ErrorCode::INVALID_REGISTRATION,
            "Duplicate directory ID in request",
        ),
        (
            request(2, CLUSTER, &[DirectoryId::LOST]),
            ErrorCode::INVALID_REGISTRATION,
            "Reserved directory ID in request",
        ),
        (
            request(2, CLUSTER, &[directory(1)]),
            ErrorCode::INVALID_REGISTRATION,
            "Broker 1 is already registered with directory AAAAAAAAAAAAAAAAAAAD6Q",
        ),
    ];
    for (request, code, message) in cases {
        assert_eq!(cluster.call(request), Err(ApiError::new(code, message)));
    }
}

#[test]
fn decisions_depend_on_nothing_but_their_inputs() {
    // The simulation replays a seed; a decision that varied would make every failure unrepeatable.
    let run = || {
        let mut cluster = Cluster::new(3, "");
        cluster.create(
            (0..20)
                .map(|number| new_topic(&format!("t{number}"), 4, 2))
                .collect(),
        );
        cluster.grow(vec![more("t3", 9)]);
        cluster.delete(vec![named("t4")]);
        cluster.register(2, 7, PreviousShutdown::Unclean);
        cluster.image.to_records()
    };
    assert_eq!(run(), run());
}
