//! ZooKeeper, one server, as Debian packs it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use control::config::Endpoint;
use control::store::StoreConfig;
use control::store::kv::zookeeper::ZooKeeperConfig;
use control::store::shared::SharedConfig;
use engine::types::Offset;

use crate::contention::duel;
use crate::place::{Place, batches, lead, run, see_controller, topic};
use crate::server::{Server, free_port, wanted};
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
        let zookeeper = ZooKeeperConfig {
            endpoints: vec![Endpoint {
                host: "127.0.0.1".to_owned(),
                port: self.port,
            }],
            user: user.map(|(name, password)| (name.to_owned(), password.to_owned())),
        };
        let prefix = prefix.to_owned();
        Place::new(5, move |_| StoreConfig::ZooKeeper {
            zookeeper: zookeeper.clone(),
            shared: SharedConfig {
                prefix: prefix.clone(),
                lease: Duration::from_secs(2),
                dir: None,
            },
        })
    }
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
