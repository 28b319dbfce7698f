//! The store in memory: well behaved, and as badly as a store may behave.

use std::time::Duration;

use control::record::{BrokerId, DirectoryId};
use control::store::kv::memory::{Faults, Fence, MemoryCluster};
use control::store::shared::SharedConfig;
use control::store::{AppendError, OpenError, StoreConfig};
use uuid::Uuid;

use crate::contention::duel;
use crate::place::{Place, lead, run, see_controller, topic};
use crate::suite;

fn place(cluster: &MemoryCluster, lease: Duration) -> Place {
    let cluster = cluster.clone();
    Place::new(5, move |_| StoreConfig::Memory {
        cluster: cluster.clone(),
        shared: SharedConfig {
            prefix: "/ringlog".to_owned(),
            lease,
            dir: None,
        },
    })
}

const LEASE: Duration = Duration::from_millis(300);
/// Kept though the machine stands still for a while.
const LASTING: Duration = Duration::from_secs(6);

#[test]
fn a_good_store_keeps_the_contract() {
    run(suite::one_member(&place(
        &MemoryCluster::new(Faults::none()),
        LEASE,
    )));
    // who is not deposed leads, and the suite asks what becomes of who is
    run(suite::two_members(&place(
        &MemoryCluster::new(Faults::none()),
        LASTING,
    )));
}

#[test]
fn a_bad_store_keeps_the_contract() {
    for seed in 0..seeds(6) {
        run(suite::one_member(&place(
            &MemoryCluster::new(Faults::many(seed)),
            LEASE,
        )));
    }
}

#[test]
fn two_members_of_a_bad_store_keep_the_contract() {
    for seed in 0..seeds(3) {
        // Without its lease a controller is none, and anybody may lead: what the suite asks of a deposed one says nothing then.
        let cluster = MemoryCluster::new(Faults {
            lease_loss_per_mille: 0,
            all_leases_per_mille: 0,
            ..Faults::many(seed)
        });
        run(suite::two_members(&place(&cluster, LASTING)));
    }
}

#[test]
fn what_a_bad_store_answers_late_or_never_is_found_out() {
    // Each append that was acknowledged is there once, each that was refused is not there, whatever was lost on the way.
    for seed in 0..seeds(20) {
        let cluster = MemoryCluster::new(Faults::many(seed));
        run(duel(&place(&cluster, LEASE), 3, 12, seed % 2 == 0));
    }
}

#[test]
fn the_duel_finds_a_store_without_a_fence() {
    // A test of the test: with this bug two controllers write into one log, and a suite that passes then proves nothing.
    let found = (0..10).any(|seed| {
        let cluster = MemoryCluster::new(Faults {
            fence: Fence::None,
            ..Faults::many(seed)
        });
        // or it never ends, as no history fits any more
        let fight = async {
            let place = place(&cluster, LEASE);
            reactor::timeout(Duration::from_secs(10), duel(&place, 3, 12, false))
                .await
                .is_err()
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(fight))).unwrap_or(true)
    });
    assert!(found);
}

#[test]
fn entries_that_must_be_new_are_a_second_fence() {
    // Were the first to compare creations, a deposed controller would still find the place of its entry taken.
    for seed in 0..seeds(5) {
        let cluster = MemoryCluster::new(Faults {
            fence: Fence::Creation,
            ..Faults::many(seed)
        });
        run(duel(&place(&cluster, LEASE), 3, 12, false));
    }
}

fn seeds(usual: u64) -> u64 {
    std::env::var("SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

#[test]
fn the_loss_of_all_leases_deposes_nobody() {
    // etcd-io/etcd#15247: a store's trouble; a cluster that elected anew for it would make it its own.
    let cluster = MemoryCluster::new(Faults::none());
    let place = place(&cluster, LASTING);
    run(async {
        let (leader, other) = (place.open(1).await, place.open(2).await);
        let epoch = lead(&leader).await;
        see_controller(&other, 1).await;
        cluster.revoke_all_leases();
        assert_eq!(other.controller_changed(other.controller().as_ref()).await, None);
        leader.append(epoch, &[topic(1)]).await.expect("goes on");
        assert_eq!(see_controller(&other, 1).await.epoch, epoch);
        // both are registered again, by the time at which each has asked for its lease
        reactor::sleep(LASTING).await;
        let mut duplicate = place.member(2);
        duplicate.log_dirs = vec![DirectoryId(Uuid::from_u128(77))];
        assert!(matches!(
            place.try_open(&duplicate).await,
            Err(OpenError::DuplicateBroker { .. })
        ));
    });
}

#[test]
fn an_append_waits_for_a_store_without_a_majority() {
    // An error would have to say that it never happens, and nobody knows.
    let cluster = MemoryCluster::new(Faults::none());
    let place = place(&cluster, LEASE);
    run(async {
        let log = place.open(1).await;
        let epoch = lead(&log).await;
        cluster.set_available(false);
        let append = reactor::spawn({
            let log = log.clone();
            async move { log.append(epoch, &[topic(1)]).await }
        });
        reactor::sleep(LEASE * 3).await;
        assert!(!append.is_finished());
        cluster.set_available(true);
        append.await.expect("appends");
    });
}

#[test]
fn a_member_cut_off_from_the_store_is_replaced_and_fenced() {
    // Its lease ends; what it still has on its way is refused when it comes back.
    let cluster = MemoryCluster::new(Faults::none());
    let place = place(&cluster, LEASE);
    run(async {
        let (old, new) = (place.open(1).await, place.open(2).await);
        let first = lead(&old).await;
        let seen = see_controller(&new, 1).await;
        cluster.set_partitioned(1, true);
        let append = reactor::spawn({
            let old = old.clone();
            async move { old.append(first, &[topic(1)]).await }
        });
        assert_eq!(new.controller_changed(Some(&seen)).await, None, "its lease ends");
        let second = new.lead(None).await.expect("leads");
        new.append(second, &[topic(2)]).await.expect("appends");
        cluster.set_partitioned(1, false);
        let fenced = AppendError::Fenced {
            own: first,
            current: second,
        };
        assert_eq!(append.await, Err(fenced));
        assert_eq!(see_controller(&old, 2).await.epoch, second);
    });
}

#[test]
fn a_second_broker_of_an_id_is_refused_and_a_successor_is_not() {
    let cluster = MemoryCluster::new(Faults::none());
    let place = place(&cluster, LASTING);
    run(async {
        let first = place.open(1).await;
        let epoch = lead(&first).await;
        let mut other = place.member(1);
        other.log_dirs = vec![DirectoryId(Uuid::from_u128(77))];
        match place.try_open(&other).await.map(|_| ()) {
            Err(OpenError::DuplicateBroker { id, endpoint, .. }) => {
                assert_eq!((id, endpoint.port), (BrokerId(1), 9001));
            }
            other => panic!("{other:?}"),
        }
        // The same directories: nobody else can hold their locks. And its predecessor is no controller any more.
        let successor = place.open(1).await;
        assert_eq!(successor.controller(), None);
        assert!(successor.lead(None).await.expect("leads") > epoch);
    });
}

#[test]
fn another_clusters_store_and_foreign_keys_are_refused() {
    let cluster = MemoryCluster::new(Faults::none());
    let place = place(&cluster, LEASE);
    run(async {
        drop(place.open(1).await);
        let mut stranger = place.member(2);
        stranger.cluster_id = Some("another".to_owned());
        match place.try_open(&stranger).await.map(|_| ()) {
            Err(OpenError::OtherCluster { own, .. }) => assert_eq!(own, "another"),
            other => panic!("{other:?}"),
        }
        // a broker without data takes the id that it finds
        stranger.cluster_id = None;
        assert_eq!(
            place.try_open(&stranger).await.expect("opens").cluster_id,
            crate::place::CLUSTER_ID
        );
        cluster.restore(&[("/ringlog/something".to_owned(), b"else".to_vec())]);
        match place.try_open(&place.member(3)).await.map(|_| ()) {
            Err(OpenError::ForeignKeys { key }) => assert_eq!(key, "/ringlog/something"),
            other => panic!("{other:?}"),
        }
        cluster.restore(&[("/ringlog/cluster_id".to_owned(), b"ringlog 2\nid=x\n".to_vec())]);
        match place.try_open(&place.member(3)).await.map(|_| ()) {
            Err(OpenError::Value { key, what }) => {
                assert!(what.to_string().contains("ringlog 2"), "{key} {what}")
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_store_restored_from_an_old_backup_is_refused() {
    // Its topics of today are missing there: going on would delete their data.
    let cluster = MemoryCluster::new(Faults::none());
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().to_owned();
    let place = {
        let cluster = cluster.clone();
        Place::new(2, move |_| StoreConfig::Memory {
            cluster: cluster.clone(),
            shared: SharedConfig {
                prefix: "/ringlog".to_owned(),
                lease: LEASE,
                dir: Some(path.clone()),
            },
        })
    };
    let noted = async || {
        // the position is noted when it is opened
        let log = place.open(1).await;
        while !dir.path().join("metadata.store").exists() {
            reactor::sleep(Duration::from_millis(5)).await;
        }
        log
    };
    run(async {
        let log = noted().await;
        let epoch = lead(&log).await;
        log.append(epoch, &[topic(1)]).await.expect("appends");
        let backup = cluster.backup();
        log.append(epoch, &[topic(2)]).await.expect("appends");
        drop(log);
        std::fs::remove_file(dir.path().join("metadata.store")).expect("removes");
        let running = noted().await;
        let now = cluster.backup();
        cluster.restore(&backup);
        // who runs finds out
        let end = running.end_offset();
        assert!(running.wait_past(end).await.is_err());
        drop(running);
        match place.try_open(&place.member(1)).await.map(|_| ()) {
            Err(OpenError::WentBack { own, found }) => assert!(found < own),
            other => panic!("{other:?}"),
        }
        // the same offsets, other records
        std::fs::rename(dir.path().join("metadata.store"), dir.path().join("kept")).expect("renames");
        let other = place.open(1).await;
        let epoch = lead(&other).await;
        for number in 10..20 {
            other.append(epoch, &[topic(number)]).await.expect("appends");
        }
        drop(other);
        std::fs::rename(dir.path().join("kept"), dir.path().join("metadata.store")).expect("renames");
        let opened = place.try_open(&place.member(1)).await.map(|_| ());
        assert!(matches!(opened, Err(OpenError::OtherLog { .. })), "{opened:?}");
        // nothing at all
        cluster.restore(&[]);
        let opened = place.try_open(&place.member(1)).await.map(|_| ());
        assert!(matches!(opened, Err(OpenError::WentBack { .. })), "{opened:?}");
        cluster.restore(&now);
        place
            .try_open(&place.member(1))
            .await
            .expect("the right one opens");
    });
    // and the metadata of this directory is not in an embedded log
    let embedded = StoreConfig::Embedded {
        dir: dir.path().to_owned(),
    };
    let opened = run(control::store::MetaLog::open(&embedded, &place.member(1))).map(|_| ());
    assert!(matches!(opened, Err(OpenError::OtherStore { .. })), "{opened:?}");
}
