//! etcd, by itself and as three: its servers run here and are killed here.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use control::config::Endpoint;
use control::store::kv::etcd::{EtcdConfig, EtcdTls};
use control::store::shared::SharedConfig;
use control::store::{AppendError, MetaLog, OpenError, StoreConfig};

use crate::contention::duel;
use crate::place::{Place, batches, lead, run, see_controller, topic};
use crate::server::{Server, free_port, wanted};
use crate::suite;

const PROGRAM: &str = "RINGLOG_TEST_ETCD";

struct Etcd {
    program: PathBuf,
    dir: tempfile::TempDir,
    members: Vec<Member>,
    scheme: &'static str,
    /// More arguments of each.
    more: Vec<String>,
}

struct Member {
    client: u16,
    peer: u16,
    server: Option<Server>,
}

impl Etcd {
    fn start(program: &Path, count: usize) -> Etcd {
        Etcd::start_with(program, count, "http", &[])
    }

    fn start_with(program: &Path, count: usize, scheme: &'static str, more: &[String]) -> Etcd {
        let members = (0..count).map(|_| Member {
            client: free_port(),
            peer: free_port(),
            server: None,
        });
        let mut etcd = Etcd {
            program: program.to_owned(),
            dir: tempfile::tempdir().expect("dir"),
            members: members.collect(),
            scheme,
            more: more.to_vec(),
        };
        for number in 0..count {
            etcd.start_member(number);
        }
        etcd
    }

    fn start_member(&mut self, number: usize) {
        let cluster: Vec<String> = self
            .members
            .iter()
            .enumerate()
            .map(|(number, member)| format!("m{number}=http://127.0.0.1:{}", member.peer))
            .collect();
        let (client, peer) = (self.members[number].client, self.members[number].peer);
        let client = format!("{}://127.0.0.1:{client}", self.scheme);
        let peer = format!("http://127.0.0.1:{peer}");
        let dir = self.dir.path().join(format!("m{number}"));
        let mut command = Command::new(&self.program);
        command
            .args(["--name", &format!("m{number}"), "--data-dir"])
            .arg(dir)
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args([
                "--initial-cluster",
                &cluster.join(","),
                "--initial-cluster-state",
                "new",
            ])
            .args(&self.more);
        let log = self.dir.path().join(format!("m{number}.log"));
        self.members[number].server = Some(Server::start(&mut command, &log));
    }

    fn config(&self) -> EtcdConfig {
        let endpoint = |member: &Member| Endpoint {
            host: "127.0.0.1".to_owned(),
            port: member.client,
        };
        EtcdConfig {
            endpoints: self.members.iter().map(endpoint).collect(),
            tls: None,
            user: None,
        }
    }

    /// A cluster of ours in it.
    fn place(&self, prefix: &str) -> Place {
        place(self.config(), prefix)
    }

    /// `etcdctl`, which lies beside etcd.
    fn etcdctl(&self, arguments: &[&str]) -> String {
        let program = self.program.with_file_name("etcdctl");
        let endpoints: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("127.0.0.1:{}", member.client))
            .collect();
        let mut command = Command::new(program);
        command
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &endpoints.join(",")])
            .args(arguments);
        let output = command.output().expect("etcdctl");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Which member leads.
    fn leader(&self) -> usize {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(120) {
            // endpoint, id, version, size, is leader, ...
            let status = self.etcdctl(&["endpoint", "status", "--write-out", "simple"]);
            for line in status.lines() {
                let words: Vec<&str> = line.split(", ").collect();
                if words.get(4) == Some(&"true") {
                    let at = |member: &Member| words[0].ends_with(&format!(":{}", member.client));
                    return self.members.iter().position(at).expect("one of ours");
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no leader");
    }

    fn server(&mut self, number: usize) -> &mut Server {
        self.members[number].server.as_mut().expect("runs")
    }
}

fn place(config: EtcdConfig, prefix: &str) -> Place {
    let prefix = prefix.to_owned();
    Place::new(5, move |_| StoreConfig::Etcd {
        etcd: config.clone(),
        shared: SharedConfig {
            prefix: prefix.clone(),
            // kept though the machine stands still for a while
            lease: Duration::from_secs(10),
            dir: None,
        },
    })
}

#[test]
fn etcd_keeps_the_contract() {
    let Some(program) = wanted(PROGRAM, "etcd_keeps_the_contract") else {
        return;
    };
    for members in [1, 3, 5] {
        let etcd = Etcd::start(&program, members);
        run(suite::one_member(&etcd.place("/one")));
        run(suite::two_members(&etcd.place("/two")));
        run(duel(&etcd.place("/duel"), 3, 30, true));
        measure(&etcd.place("/figures"), members);
    }
}

/// Figures, not judged: two cores are shared by everybody.
fn measure(place: &Place, members: usize) {
    run(async {
        let (log, follower) = (place.open(1).await, place.open(2).await);
        let epoch = lead(&log).await;
        let mut latencies = Vec::new();
        let mut seen = Vec::new();
        for number in 0..500 {
            let begin = reactor::now();
            let waiting = reactor::spawn({
                let (follower, end) = (follower.clone(), log.end_offset());
                async move {
                    let _ = follower.wait_past(end).await;
                    reactor::now().saturating_since(begin)
                }
            });
            log.append(epoch, &[topic(number)]).await.expect("appends");
            latencies.push(reactor::now().saturating_since(begin));
            seen.push(waiting.await);
        }
        latencies.sort();
        seen.sort();
        let total: Duration = latencies.iter().sum();
        eprintln!(
            "etcd x{members}: {:.0} appends/s, p50 {:?} p99 {:?}; seen by a follower p50 {:?} p99 {:?}",
            latencies.len() as f64 / total.as_secs_f64(),
            latencies[250],
            latencies[495],
            seen[250],
            seen[495]
        );
    });
}

/// Appends one record after the other until told to stop; `count` of them are answered.
async fn append_until(log: MetaLog, stop: Rc<Cell<bool>>, count: Rc<Cell<u64>>) {
    let epoch = lead(&log).await;
    while !stop.get() {
        let number = count.get() + 1;
        log.append(epoch, &[topic(number)]).await.expect("goes on");
        count.set(number);
    }
}

/// Waits for so many answers more.
async fn goes_on(count: &Cell<u64>, more: u64) {
    let enough = count.get() + more;
    let appended = async {
        while count.get() < enough {
            reactor::sleep(Duration::from_millis(10)).await;
        }
    };
    reactor::timeout(Duration::from_secs(120), appended)
        .await
        .expect("appends go on");
}

/// The leader of three fails while a controller appends, and before it is back the others take its place: nothing acknowledged is lost, the
/// controller stays, and a follower sees it all.
fn leader_fails(name: &str, fail: impl FnOnce(&mut Etcd, usize), heal: impl FnOnce(&mut Etcd, usize)) {
    let Some(program) = wanted(PROGRAM, name) else {
        return;
    };
    let more = ["--heartbeat-interval=50", "--election-timeout=500"].map(str::to_owned);
    let mut etcd = Etcd::start_with(&program, 3, "http", &more);
    let place = etcd.place("/ringlog");
    run(async {
        let (log, follower) = (place.open(1).await, place.open(2).await);
        let (stop, count) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
        let appending = reactor::spawn(append_until(log.clone(), Rc::clone(&stop), Rc::clone(&count)));
        goes_on(&count, 10).await;
        let leader = etcd.leader();
        fail(&mut etcd, leader);
        // the first of them may have been on its way back
        goes_on(&count, 10).await;
        reactor::sleep(Duration::from_secs(2)).await;
        heal(&mut etcd, leader);
        reactor::sleep(Duration::from_secs(2)).await;
        goes_on(&count, 10).await;
        stop.set(true);
        appending.await;
        while follower.end_offset() < log.end_offset() {
            follower.wait_past(follower.end_offset()).await.expect("no fault");
        }
        let found = batches(&follower).await;
        assert_eq!(found, batches(&log).await);
        let records: Vec<_> = found.into_iter().flat_map(|batch| batch.records).collect();
        let expected: Vec<_> = (1..=count.get()).map(topic).collect();
        assert_eq!(records, expected);
        see_controller(&follower, 1).await;
    });
}

#[test]
fn etcds_leader_is_killed() {
    leader_fails(
        "etcds_leader_is_killed",
        |etcd, leader| etcd.server(leader).kill(),
        |etcd, leader| etcd.start_existing(leader),
    );
}

#[test]
fn etcds_leader_is_stopped() {
    leader_fails(
        "etcds_leader_is_stopped",
        |etcd, leader| etcd.server(leader).pause(),
        |etcd, leader| etcd.server(leader).resume(),
    );
}

impl Etcd {
    fn start_existing(&mut self, number: usize) {
        // its data directory says which cluster it is in; the flags of a new one are ignored then
        self.start_member(number);
    }
}

#[test]
fn etcd_ends_a_lease_and_nobody_is_deposed() {
    let Some(program) = wanted(PROGRAM, "etcd_ends_a_lease_and_nobody_is_deposed") else {
        return;
    };
    let etcd = Etcd::start(&program, 1);
    let place = etcd.place("/ringlog");
    run(async {
        let (leader, other) = (place.open(1).await, place.open(2).await);
        let epoch = lead(&leader).await;
        see_controller(&other, 1).await;
        for lease in etcd.etcdctl(&["lease", "list"]).lines().skip(1) {
            etcd.etcdctl(&["lease", "revoke", lease.trim()]);
        }
        assert_eq!(other.controller_changed(other.controller().as_ref()).await, None);
        leader.append(epoch, &[topic(1)]).await.expect("goes on");
        assert_eq!(see_controller(&other, 1).await.epoch, epoch);
        let ids = etcd.etcdctl(&["get", "--prefix", "--keys-only", "/ringlog/brokers/ids/"]);
        reactor::sleep(Duration::from_secs(1)).await;
        assert!(ids.contains("/ringlog/brokers/ids/1"), "{ids}");
    });
}

#[test]
fn a_watch_outlives_etcds_compaction() {
    let Some(program) = wanted(PROGRAM, "a_watch_outlives_etcds_compaction") else {
        return;
    };
    let mut etcd = Etcd::start(&program, 1);
    let place = etcd.place("/ringlog");
    run(async {
        let (leader, other) = (place.open(1).await, place.open(2).await);
        let epoch = lead(&leader).await;
        for number in 0..50 {
            leader.append(epoch, &[topic(number)]).await.expect("appends");
        }
        let status = etcd.etcdctl(&["get", "/ringlog/log_head", "--write-out", "fields"]);
        let revision = status
            .lines()
            .find_map(|line| line.strip_prefix("\"Revision\" : "))
            .expect("a revision");
        etcd.etcdctl(&["compact", revision.trim()]);
        // the watches break with the connection, and what they would go on from is compacted
        etcd.server(0).kill();
        etcd.start_existing(0);
        let appended = leader.append(epoch, &[topic(99)]).await.expect("appends");
        other.wait_past(appended.last_offset).await.expect("no fault");
        assert_eq!(batches(&other).await, batches(&leader).await);
    });
}

#[test]
fn a_deposed_controller_is_fenced_by_etcd() {
    let Some(program) = wanted(PROGRAM, "a_deposed_controller_is_fenced_by_etcd") else {
        return;
    };
    let etcd = Etcd::start(&program, 1);
    let place = etcd.place("/ringlog");
    run(async {
        let (old, new) = (place.open(1).await, place.open(2).await);
        let first = lead(&old).await;
        // at the same instant: what was sent before the takeover may come in, or is refused
        for number in 0..50 {
            let append = reactor::spawn({
                let old = old.clone();
                async move { old.append(first, &[topic(number)]).await }
            });
            if number == 25 {
                see_controller(&new, 1).await;
                new.lead(Some(first)).await.expect("takes over");
            }
            match append.await {
                Ok(_) => assert!(number <= 25),
                Err(AppendError::Fenced { .. }) => assert!(number >= 25),
                Err(error) => panic!("{error}"),
            }
        }
    });
}

#[test]
fn users_of_etcd_need_their_password() {
    let Some(program) = wanted(PROGRAM, "users_of_etcd_need_their_password") else {
        return;
    };
    let etcd = Etcd::start(&program, 1);
    etcd.leader();
    etcd.etcdctl(&["user", "add", "root:secret"]);
    etcd.etcdctl(&["user", "grant-role", "root", "root"]);
    etcd.etcdctl(&["auth", "enable"]);
    let config = |password: &str| EtcdConfig {
        user: Some(("root".to_owned(), password.to_owned())),
        ..etcd.config()
    };
    let right = place(config("secret"), "/ringlog");
    run(suite::one_member(&right));
    for wrong in [Some("guess"), None] {
        let wrong = match wrong {
            Some(password) => place(config(password), "/ringlog"),
            None => place(etcd.config(), "/ringlog"),
        };
        let opened = run(async { wrong.try_open(&wrong.member(3)).await.map(|_| ()) });
        assert!(matches!(opened, Err(OpenError::Store(_))), "{opened:?}");
    }
}

#[test]
fn etcd_over_tls_knows_its_clients_by_their_certificates() {
    let Some(program) = wanted(PROGRAM, "etcd_over_tls_knows_its_clients_by_their_certificates") else {
        return;
    };
    let dir = tempfile::tempdir().expect("dir");
    let file = |name: &str| dir.path().join(name);
    certificates(dir.path());
    let path = |name: &str| file(name).display().to_string();
    let more = [
        format!("--cert-file={}", path("server.pem")),
        format!("--key-file={}", path("server.key")),
        format!("--trusted-ca-file={}", path("ca.pem")),
        "--client-cert-auth".to_owned(),
    ];
    let etcd = Etcd::start_with(&program, 1, "https", &more);
    let read = |name: &str| std::fs::read(file(name)).expect("reads");
    let config = EtcdConfig {
        tls: Some(EtcdTls {
            ca: read("ca.pem"),
            identity: Some((read("client.pem"), read("client.key"))),
        }),
        ..etcd.config()
    };
    run(suite::one_member(&place(config.clone(), "/ringlog")));
    // without a certificate nobody is let in: it waits, as for a store that is away
    let stranger = EtcdConfig {
        tls: Some(EtcdTls {
            ca: read("ca.pem"),
            identity: None,
        }),
        ..config
    };
    let stranger = place(stranger, "/ringlog");
    run(async {
        let member = stranger.member(3);
        let opening = stranger.try_open(&member);
        assert!(reactor::timeout(Duration::from_secs(3), opening).await.is_err());
    });
}

/// A certificate authority, a server's certificate for 127.0.0.1 and a client's.
fn certificates(dir: &Path) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .current_dir(dir)
            .args(arguments.split(' '))
            .output()
            .expect("openssl");
        assert!(
            output.status.success(),
            "openssl {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem");
    for (name, more) in [
        (
            "server",
            "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth",
        ),
        ("client", "extendedKeyUsage=clientAuth"),
    ] {
        std::fs::write(dir.join("more"), format!("basicConstraints=CA:FALSE\n{more}\n")).expect("writes");
        openssl(&format!(
            "req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile more -out {name}.pem"
        ));
    }
}
