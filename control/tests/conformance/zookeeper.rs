//! ZooKeeper, one server, as Debian packs it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use control::config::Endpoint;
use control::record::{ControllerEpoch, DirectoryId, Record};
use control::store::kv::zookeeper::ZooKeeperConfig;
use control::store::shared::SharedConfig;
use control::store::{AppendError, Appended, MetaLog, OpenError, StoreConfig};
use engine::types::Offset;
use reactor::Task;
use uuid::Uuid;

use crate::contention::duel;
use crate::place::{Place, batches, lead, records, run, see_controller, topic};
use crate::server::{Server, Wire, free_port, wanted};
use crate::suite;

const JAR: &str = "RINGLOG_TEST_ZOOKEEPER";

struct ZooKeeper {
    jar: std::path::PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    server: Option<Server>,
}

impl ZooKeeper {
    fn start(jar: &Path) -> ZooKeeper {
        let mut zookeeper = ZooKeeper {
            jar: jar.to_owned(),
            dir: tempfile::tempdir().expect("dir"),
            port: free_port(),
            server: None,
        };
        zookeeper.start_server();
        zookeeper
    }

    fn start_server(&mut self) {
        let dir = self.dir.path();
        let config = dir.join("zoo.cfg");
        let text = format!(
            "tickTime=250\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\nmaxClientCnxns=0\n",
            dir.join("data").display(),
            self.port
        );
        std::fs::write(&config, text).expect("writes");
        let mut command = Command::new("java");
        command
            .args(["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(&self.jar)
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(&config);
        self.server = Some(Server::start(&mut command, &dir.join("log")));
    }

    fn place(&self, prefix: &str, user: Option<(&str, &str)>) -> Place {
        let port = self.port;
        place(prefix, user, move |_| port)
    }
}

/// Kept though the machine stands still for a while; waited for where sessions are to end. The server grants up to twenty ticks.
const SESSION: Duration = Duration::from_secs(4);

/// Each member finds its server at a port of its own.
fn place(prefix: &str, user: Option<(&str, &str)>, port: impl Fn(i32) -> u16 + 'static) -> Place {
    let prefix = prefix.to_owned();
    let user = user.map(|(name, password)| (name.to_owned(), password.to_owned()));
    Place::new(5, move |id| StoreConfig::ZooKeeper {
        zookeeper: ZooKeeperConfig {
            endpoints: vec![Endpoint {
                host: "127.0.0.1".to_owned(),
                port: port(id),
            }],
            user: user.clone(),
        },
        shared: SharedConfig {
            prefix: prefix.clone(),
            lease: SESSION,
            dir: None,
        },
    })
}

#[test]
fn zookeeper_keeps_the_contract() {
    let Some(jar) = wanted(JAR, "zookeeper_keeps_the_contract") else {
        return;
    };
    let zookeeper = ZooKeeper::start(&jar);
    run(suite::one_member(&zookeeper.place("/one", None)));
    run(suite::two_members(&zookeeper.place("/two", None)));
    run(suite::one_member(
        &zookeeper.place("/three", Some(("ringlog", "secret"))),
    ));
    run(duel(&zookeeper.place("/duel", None), 3, 30, true));
}

/// The session outlives the server's crash; what was appended and answered is there.
#[test]
fn zookeeper_is_killed_and_comes_back() {
    let Some(jar) = wanted(JAR, "zookeeper_is_killed_and_comes_back") else {
        return;
    };
    let mut zookeeper = ZooKeeper::start(&jar);
    let place = zookeeper.place("/deep/down", None);
    run(async {
        let (leader, follower) = (place.open(1).await, place.open(2).await);
        let epoch = lead(&leader).await;
        let appending = reactor::spawn({
            let leader = leader.clone();
            async move {
                for number in 0..200 {
                    leader.append(epoch, &[topic(number)]).await.expect("goes on");
                    reactor::sleep(Duration::from_millis(10)).await;
                }
            }
        });
        reactor::sleep(Duration::from_millis(300)).await;
        zookeeper.server.take();
        reactor::sleep(Duration::from_millis(500)).await;
        zookeeper.start_server();
        appending.await;
        while follower.end_offset() < leader.end_offset() {
            follower.wait_past(follower.end_offset()).await.expect("no fault");
        }
        let found = batches(&follower).await;
        assert_eq!(found, batches(&leader).await);
        let records: Vec<_> = found.into_iter().flat_map(|batch| batch.records).collect();
        assert_eq!(records, (0..200).map(topic).collect::<Vec<_>>());
        assert_eq!(see_controller(&follower, 1).await.epoch, epoch);

        // Told of each, or of some together, and not of all at once when it looks for itself every few seconds: the watch is on the new
        // connection, too.
        const MORE: u64 = 60;
        let end = Offset(follower.end_offset().0 + MORE as i64);
        let telling = reactor::spawn({
            let follower = follower.clone();
            async move {
                let mut times = 0;
                while follower.end_offset() < end {
                    follower.wait_past(follower.end_offset()).await.expect("no fault");
                    times += 1;
                }
                times
            }
        });
        for number in 0..MORE {
            leader
                .append(epoch, &[topic(1000 + number)])
                .await
                .expect("goes on");
            reactor::sleep(Duration::from_millis(20)).await;
        }
        let times = telling.await;
        assert!(times > 10, "told {times} times of {MORE} changes");
    });
}

/// A broker of the same id elsewhere is refused: `id` is registered.
async fn is_registered(place: &Place, id: i32) {
    let mut duplicate = place.member(id);
    duplicate.log_dirs = vec![DirectoryId(Uuid::from_u128(77))];
    let opened = place.try_open(&duplicate).await.map(|_| ());
    assert!(
        matches!(opened, Err(OpenError::DuplicateBroker { .. })),
        "{opened:?}"
    );
}

/// An append that goes on beside its test.
fn begin_append(
    leader: &MetaLog,
    epoch: ControllerEpoch,
    record: Record,
) -> Task<Result<Appended, AppendError>> {
    let leader = leader.clone();
    reactor::spawn(async move { leader.append(epoch, &[record]).await })
}

async fn soon<F: Future>(future: F) -> F::Output {
    reactor::timeout(Duration::from_secs(120), future)
        .await
        .expect("in time")
}

/// Sessions end while their clients live: what hung on them is gone, and no watch of theirs tells what happened meanwhile. A broker that took
/// its new session for the old one would be registered nowhere, and serve the metadata of before.
#[test]
fn sessions_end_and_their_members_go_on() {
    let Some(jar) = wanted(JAR, "sessions_end_and_their_members_go_on") else {
        return;
    };
    let zookeeper = ZooKeeper::start(&jar);
    let wire = Wire::to(zookeeper.port);
    let (direct, wired) = (zookeeper.port, wire.port);
    let place = place("/ringlog", None, move |id| if id == 3 { direct } else { wired });
    run(async {
        let (leader, follower) = (place.open(1).await, place.open(2).await);
        let witness = place.open(3).await;
        let first = lead(&leader).await;
        leader.append(first, &[topic(1)]).await.expect("appends");
        soon(see_controller(&follower, 1)).await;
        soon(see_controller(&witness, 1)).await;

        // Nobody takes the lost leader's place: it goes on in its epoch, and what it was about to append is appended once.
        wire.cut();
        let append = begin_append(&leader, first, topic(2));
        assert_eq!(
            soon(witness.controller_changed(witness.controller().as_ref())).await,
            None
        );
        // the others' as well
        reactor::sleep(SESSION).await;
        assert!(!append.is_finished());
        wire.heal();
        soon(append).await.expect("goes on");
        assert_eq!(soon(see_controller(&witness, 1)).await.epoch, first);
        soon(until(&follower, leader.end_offset())).await;
        assert_eq!(soon(see_controller(&follower, 1)).await.epoch, first);
        for id in [1, 2] {
            soon(is_registered(&place, id)).await;
        }

        // Somebody does: it is fenced, and the follower reads what its watch did not tell.
        wire.cut();
        let append = begin_append(&leader, first, topic(99));
        assert_eq!(
            soon(witness.controller_changed(witness.controller().as_ref())).await,
            None
        );
        let second = witness.lead(None).await.expect("leads");
        for number in 3..50 {
            witness.append(second, &[topic(number)]).await.expect("appends");
        }
        reactor::sleep(SESSION).await;
        wire.heal();
        let fenced = AppendError::Fenced {
            own: first,
            current: second,
        };
        assert_eq!(soon(append).await, Err(fenced));
        for log in [&leader, &follower] {
            soon(until(log, witness.end_offset())).await;
            assert_eq!(soon(see_controller(log, 3)).await.epoch, second);
            assert_eq!(records(log).await, (1..50).map(topic).collect::<Vec<_>>());
        }
        for id in [1, 2] {
            soon(is_registered(&place, id)).await;
        }

        // the new session's watch tells, too: with nothing but the look every three seconds each would wait for the next one
        let mut told = Vec::new();
        for number in 50..60 {
            let begin = reactor::now();
            let appended = witness.append(second, &[topic(number)]).await.expect("appends");
            soon(until(&follower, appended.last_offset.next())).await;
            told.push(reactor::now().saturating_since(begin));
        }
        // not of the longest: the machine may stand still
        told.sort();
        assert!(told[told.len() / 2] < Duration::from_secs(2), "{told:?}");
    });
}

/// The server stands still for longer than a session: whether it ends them then or not, nothing is lost.
#[test]
fn zookeeper_is_stopped_for_longer_than_a_session() {
    let Some(jar) = wanted(JAR, "zookeeper_is_stopped_for_longer_than_a_session") else {
        return;
    };
    let zookeeper = ZooKeeper::start(&jar);
    let place = zookeeper.place("/ringlog", None);
    run(async {
        let (leader, follower) = (place.open(1).await, place.open(2).await);
        let epoch = lead(&leader).await;
        soon(see_controller(&follower, 1)).await;
        for number in 0..3 {
            let server = zookeeper.server.as_ref().expect("runs");
            server.pause();
            let append = begin_append(&leader, epoch, topic(number));
            reactor::sleep(SESSION * 2).await;
            assert!(!append.is_finished());
            server.resume();
            soon(append).await.expect("goes on");
            soon(until(&follower, leader.end_offset())).await;
            assert_eq!(soon(see_controller(&follower, 1)).await.epoch, epoch);
        }
        assert_eq!(records(&follower).await, (0..3).map(topic).collect::<Vec<_>>());
        for id in [1, 2] {
            soon(is_registered(&place, id)).await;
        }
    });
}

async fn until(log: &MetaLog, end: Offset) {
    while log.end_offset() < end {
        log.wait_past(log.end_offset()).await.expect("no fault");
    }
}
