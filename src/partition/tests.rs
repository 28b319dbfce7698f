use control::config::{BrokerConfig, ConfigView, Overrides, Settings};
use engine::batch::{BatchBuilder, Codec, Compression};
use engine::log::OpenState;

use super::*;

/// A partition of a topic that stores batches uncompressed, at most 2,000 bytes each.
async fn uncompressed(dir: &std::path::Path) -> Partition {
    let (broker, _) = BrokerConfig::from_settings(Settings::default()).unwrap();
    let own = [
        ("compression.type", "uncompressed"),
        ("max.message.bytes", "2000"),
    ];
    let own: Overrides = own
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
    let none = Overrides::new();
    let config = ConfigView::new(&broker, &none, &none).topic(&own);
    let (log, _) = Log::open(&dir.join("t-0"), Rc::default(), OpenState::default(), None)
        .await
        .unwrap();
    let id = PartitionId {
        topic: "t".into(),
        topic_id: Uuid::from_u128(1),
        index: 0,
    };
    Partition::new(id, log, 0, Arc::new(config), 1 << 20)
}

/// A partition to be looked at.
pub async fn partition(dir: &std::path::Path) -> Partition {
    uncompressed(dir).await
}

fn gzipped(value_bytes: usize) -> BatchBuilder {
    let mut batch = BatchBuilder::new(Offset(0)).compression(Compression {
        codec: Codec::Gzip,
        level: None,
    });
    batch.append(Timestamp(reactor::wall_ms()), None, Some(&vec![0; value_bytes]));
    batch
}

/// Breaks in production: a megabyte that is small only as gzip is stored where consumers expect no more than
/// `max.message.bytes`; and the log must be told the size that is stored.
#[test]
fn a_recompressed_batch_keeps_within_max_message_bytes() {
    let temp = tempfile::tempdir().unwrap();
    reactor::run(reactor::Config::default(), async {
        let partition = uncompressed(temp.path()).await;
        let small = partition
            .append(gzipped(1000).build().unwrap(), Origin::Client)
            .unwrap();
        partition.commit(small.commit_offset()).await.unwrap();
        assert!(partition.log.size_bytes() > 1000);
        let large = partition.append(gzipped(100_000).build().unwrap(), Origin::Client);
        assert!(
            matches!(
                large,
                Err(ProduceError::Batch(BatchError::TooLarge { max_bytes: 2000, .. }))
            ),
            "{large:?}"
        );
    })
    .unwrap();
}

/// Breaks in production: one hostile batch keeps read_committed consumers of a partition in front of it for ever.
#[test]
fn a_transactional_batch_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    reactor::run(reactor::Config::default(), async {
        let partition = uncompressed(temp.path()).await;
        let refused = partition.append(gzipped(10).transactional().build().unwrap(), Origin::Client);
        assert!(matches!(refused, Err(ProduceError::Transactional)), "{refused:?}");
        assert_eq!(partition.log.end_offset(), Offset(0));
    })
    .unwrap();
}
/// This broker is 1 of three replicas.
fn facts(leader_epoch: i32, leads: bool, isr: &[i32]) -> RoleFacts {
    let replica = |id: i32| engine::replica::Replica {
        id: ReplicaId(id),
        broker_epoch: Some(BrokerEpoch(i64::from(id))),
        is_active: true,
    };
    RoleFacts {
        own: ReplicaId(1),
        lag_max: Duration::from_secs(30),
        leads,
        state: engine::replica::PartitionState {
            leader_epoch: LeaderEpoch(leader_epoch),
            partition_epoch: engine::types::PartitionEpoch(0),
            replicas: [1, 2, 3].map(replica).to_vec(),
            isr: isr.iter().copied().map(ReplicaId).collect(),
            min_insync: 2,
        },
    }
}

fn fetched(replica: i32, offset: i64) -> FollowerFetch {
    FollowerFetch {
        replica: ReplicaId(replica),
        broker_epoch: BrokerEpoch(i64::from(replica)),
        offset: Offset(offset),
        log_start: Offset(0),
    }
}

fn one_record() -> BytesMut {
    let mut batch = BatchBuilder::new(Offset(0));
    batch.append(Timestamp(reactor::wall_ms()), None, Some(b"value"));
    batch.build().unwrap()
}

/// Breaks in production: acks=all is answered when the leader alone has the record, or by a broker that leads no more; or
/// producers write to a follower.
#[test]
fn producers_wait_for_all_in_sync_and_are_sent_away_when_the_leadership_ends() {
    let temp = tempfile::tempdir().unwrap();
    reactor::run(reactor::Config::default(), async {
        let partition = Rc::new(uncompressed(temp.path()).await);
        partition.take_role(facts(1, true, &[1, 2, 3]));
        let wait = |up_to: i64| {
            let partition = partition.clone();
            reactor::spawn(async move { partition.replicated(Offset(up_to)).await })
        };
        for _ in 0..2 {
            let appended = partition.append(one_record(), Origin::Client).unwrap();
            partition.commit(appended.commit_offset()).await.unwrap();
        }
        assert_eq!(partition.log.high_watermark(), Offset(0));
        let (first, second) = (wait(1), wait(2));
        partition.follower_fetched(fetched(2, 2));
        partition.follower_fetched(fetched(3, 1));
        assert_eq!(first.await, Ok(()));
        assert_eq!(partition.log.high_watermark(), Offset(1));
        assert_eq!(
            partition.take_role(facts(2, false, &[2, 3])),
            RoleChange::BecameFollower
        );
        assert_eq!(second.await, Err(Unacknowledged));
        assert!(matches!(
            partition.append(one_record(), Origin::Client),
            Err(ProduceError::Unavailable(ErrorCode::NotLeaderOrFollower))
        ));
        assert_eq!(
            partition.take_role(facts(1, true, &[1])),
            RoleChange::None,
            "an old image"
        );
    })
    .unwrap();
}

/// Breaks in production: a follower shows consumers what is not committed, or takes records from a leader of the past.
#[test]
fn a_follower_goes_by_the_word_of_its_leader() {
    let temp = tempfile::tempdir().unwrap();
    reactor::run(reactor::Config::default(), async {
        let partition = uncompressed(temp.path()).await;
        partition.take_role(facts(5, false, &[2, 3]));
        let batch = |offset: i64, epoch: i32| {
            let mut batch = one_record();
            batch::assign(&mut batch, Offset(offset), LeaderEpoch(epoch));
            batch
        };
        assert!(
            partition
                .append_as_follower(LeaderEpoch(4), batch(0, 4))
                .is_none()
        );
        for offset in 0..3 {
            let appended = partition.append_as_follower(LeaderEpoch(5), batch(offset, 5));
            appended.unwrap().unwrap();
        }
        let gap = partition.append_as_follower(LeaderEpoch(5), batch(7, 5));
        assert_eq!(
            gap.unwrap().unwrap().base_offset,
            Offset(7),
            "compaction leaves gaps"
        );
        assert!(
            partition
                .append_as_follower(LeaderEpoch(5), batch(2, 5))
                .unwrap()
                .is_err()
        );
        partition.follow_watermarks(LeaderEpoch(5), Offset(8), Offset(0));
        assert_eq!(
            partition.log.high_watermark(),
            Offset(0),
            "nothing is on the disk"
        );
        partition.log.commit(Offset(8)).await.unwrap();
        partition.follow_watermarks(LeaderEpoch(5), Offset(2), Offset(1));
        assert_eq!(
            (partition.log.high_watermark(), partition.log.start_offset()),
            (Offset(2), Offset(1))
        );
        // It is elected: what it knew to be committed stays, the rest is when the others say so.
        assert_eq!(
            partition.take_role(facts(6, true, &[1, 2])),
            RoleChange::BecameLeader
        );
        assert_eq!(partition.log.high_watermark(), Offset(2));
        assert_eq!(partition.leading(Leader::epoch_start), Some(Offset(8)));
        partition.follower_fetched(fetched(2, 8));
        assert_eq!(partition.log.high_watermark(), Offset(8));
    })
    .unwrap();
}

/// Breaks in production: retention takes all records, the broker starts again, and consumers that stand at the end, with the
/// epoch of the last record they had, are told at once and again and again that their log is another one.
#[test]
fn an_empty_log_knows_the_epoch_it_is_led_in() {
    let temp = tempfile::tempdir().unwrap();
    reactor::run(reactor::Config::default(), async {
        let partition = uncompressed(temp.path()).await;
        assert_eq!(
            partition.log.offset_for_leader_epoch(LeaderEpoch(0)),
            Some((LeaderEpoch(0), Offset(0)))
        );
        partition.take_role(RoleFacts::alone(3));
        partition.take_role(RoleFacts::alone(2)); // an older image must not take it back
        assert_eq!(partition.log.latest_epoch(), Some(LeaderEpoch(3)));
    })
    .unwrap();
}
