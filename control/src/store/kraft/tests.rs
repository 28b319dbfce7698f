//! Replicas in one process, on real disks, with a network in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::types::Offset;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::config::Endpoint;
use crate::image::{ClusterImage, MetadataPosition};
use crate::quorum::{AddVoter, RemoveVoter, Timers, VoterChange, VoterSet};
use crate::record::{BrokerId, ControllerEpoch, DirectoryId, Record, TopicRecord};
use crate::store::{AppendError, LeadError, Member};

/// On a slow machine, and with what [`timers`] wait.
const SOON: Duration = Duration::from_secs(60);

struct Cluster {
    dirs: Vec<TempDir>,
    voters: VoterSet,
}

impl Cluster {
    fn new(voters: u16, members: u16) -> Cluster {
        LocalNetwork::forget();
        let text: Vec<String> = (1..=voters)
            .map(|id| format!("{id}@localhost:{}", 9000 + id))
            .collect();
        Cluster {
            dirs: (0..members).map(|_| tempfile::tempdir().expect("dir")).collect(),
            voters: VoterSet::parse(&text.join(",")).expect("voters"),
        }
    }

    fn dir(&self, id: u16) -> &Path {
        self.dirs[usize::from(id) - 1].path()
    }

    fn member(id: u16) -> Member {
        Member {
            endpoint: Endpoint {
                host: "localhost".to_owned(),
                port: 9000 + id,
            },
            ..Member::for_tests(i32::from(id))
        }
    }

    fn open(&self, id: u16) -> QuorumMetaLog {
        let config = QuorumConfig {
            dir: self.dir(id).to_owned(),
            voters: self.voters.clone(),
            timers: timers(),
            network: Arc::new(LocalNetwork::at(9000 + id)),
        };
        let (log, _) = QuorumMetaLog::open(&config, &Cluster::member(id)).expect("opens");
        log
    }
}

/// Whoever leads goes on though the machine, or its disk, stands still for a while.
fn timers() -> Timers {
    Timers {
        fetch: Duration::from_secs(3),
        change: SOON,
        ..Timers::default()
    }
}

fn topic(number: u32) -> Record {
    TopicRecord {
        name: format!("topic-{number}"),
        topic_id: Uuid::from_u128(u128::from(number)),
        ..TopicRecord::default()
    }
    .into()
}

fn run<F: Future>(future: F) -> F::Output {
    let limited = async { reactor::timeout(SOON * 5, future).await.expect("in time") };
    reactor::run(reactor::Config::default(), limited).expect("a reactor")
}

fn records(log: &QuorumMetaLog) -> Vec<Record> {
    let mut next = log.start_offset();
    let mut found = Vec::new();
    while next < log.end_offset() {
        let batches = log.read(next, 1000).expect("reads");
        next = batches.last().expect("some").last_offset.next();
        found.extend(batches.into_iter().flat_map(|batch| batch.records));
    }
    found
}

/// Who leads, by its own account.
async fn leader(logs: &[QuorumMetaLog]) -> (usize, ControllerEpoch) {
    let found = async {
        loop {
            for (index, log) in logs.iter().enumerate() {
                let own = log.host().member.id;
                if log.controller().is_some_and(|known| known.controller == own)
                    && let Ok(epoch) = log.lead(None).await
                {
                    return (index, epoch);
                }
            }
            reactor::sleep(Duration::from_millis(1)).await;
        }
    };
    reactor::timeout(SOON, found).await.expect("a leader")
}

async fn until(log: &QuorumMetaLog, end: Offset) {
    let reached = async {
        while log.end_offset() < end {
            log.wait_past(log.end_offset()).await.expect("no fault");
        }
    };
    reactor::timeout(SOON, reached).await.expect("it follows");
}

#[test]
fn three_replicas_agree_and_outlive_their_leader() {
    // The cluster's metadata on each of them, whoever dies.
    let cluster = Cluster::new(3, 3);
    run(async {
        let mut logs: Vec<_> = (1..=3).map(|id| cluster.open(id)).collect();
        let (first, epoch) = leader(&logs).await;
        let mut expected = Vec::new();
        for number in 0..50 {
            let appended = logs[first]
                .append(epoch, &[topic(number)])
                .await
                .expect("appends");
            assert!(logs[first].end_offset() > appended.last_offset);
            expected.push(topic(number));
        }
        let end = logs[first].end_offset();
        for log in &logs {
            until(log, end).await;
            assert_eq!(records(log), expected);
        }
        assert!(matches!(
            logs[(first + 1) % 3].append(epoch, &[topic(99)]).await,
            Err(AppendError::Fenced { .. })
        ));
        // kill -9, as far as the others can tell
        logs.remove(first);
        let (second, next_epoch) = leader(&logs).await;
        assert!(next_epoch > epoch);
        logs[second]
            .append(next_epoch, &[topic(100)])
            .await
            .expect("appends");
        expected.push(topic(100));
        assert_eq!(records(&logs[second]), expected);
        // the dead one comes back, and all of them at once
        let back = cluster.open(first as u16 + 1);
        until(&back, logs[second].end_offset()).await;
        assert_eq!(records(&back), expected);
        drop((back, logs));
        let logs: Vec<_> = (1..=3).map(|id| cluster.open(id)).collect();
        let (third, last_epoch) = leader(&logs).await;
        assert!(last_epoch > next_epoch);
        assert_eq!(records(&logs[third]), expected);
    });
}

#[test]
fn what_a_deposed_leader_appended_is_answered_with_certainty() {
    // An answer in doubt would be a topic that may or may not exist.
    let cluster = Cluster::new(3, 3);
    run(async {
        let logs: Vec<_> = (1..=3).map(|id| cluster.open(id)).collect();
        let (first, epoch) = leader(&logs).await;
        logs[first].append(epoch, &[topic(1)]).await.expect("appends");
        let port = 9001 + first as u16;
        LocalNetwork::cut(Some((port, Cut::Silent)));
        let cut_off = logs[first].clone();
        let lost = reactor::spawn(async move { cut_off.append(epoch, &[topic(2)]).await });
        let others: Vec<_> = logs
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != first)
            .map(|(_, log)| log.clone())
            .collect();
        let (second, next) = leader(&others).await;
        others[second].append(next, &[topic(3)]).await.expect("appends");
        assert!(!lost.is_finished());
        LocalNetwork::cut(None);
        let answer = reactor::timeout(SOON, lost).await.expect("answered");
        assert!(matches!(answer, Err(AppendError::Fenced { .. })), "{answer:?}");
        until(&logs[first], others[second].end_offset()).await;
        assert_eq!(records(&logs[first]), [topic(1), topic(3)]);
    });
}

#[test]
fn a_replica_that_was_away_too_long_takes_the_snapshot() {
    let cluster = Cluster::new(3, 4);
    run(async {
        let logs: Vec<_> = (1..=2).map(|id| cluster.open(id)).collect();
        let (first, epoch) = leader(&logs).await;
        let mut all = Vec::new();
        for round in 0..3 {
            for number in 0..10 {
                let appended = logs[first]
                    .append(epoch, &[topic(round * 10 + number)])
                    .await
                    .expect("appends");
                all.push(topic(round * 10 + number));
                if number == 9 {
                    let (image, _) = ClusterImage::empty("c").apply(&all).expect("fits");
                    let position = MetadataPosition {
                        offset: appended.last_offset,
                        epoch,
                    };
                    let id = logs[first]
                        .write_snapshot(image.at(position))
                        .await
                        .expect("snapshot");
                    assert_eq!(id.end_offset, appended.last_offset.next());
                    assert_eq!(logs[first].bytes_since_snapshot(), 0);
                }
            }
        }
        assert!(logs[first].start_offset() > Offset::ZERO);
        // a voter with an empty disk, and an observer
        for id in [3, 4] {
            let late = cluster.open(id);
            until(&late, logs[first].end_offset()).await;
            let snapshot = late.snapshot().expect("reads").expect("is there");
            assert_eq!(snapshot.records.len(), all.len());
            logs[first]
                .append(epoch, &[topic(1000 + u32::from(id))])
                .await
                .expect("appends");
            until(&late, logs[first].end_offset()).await;
            let observer = late.lead(None).await;
            assert!(matches!(observer, Err(LeadError::Taken(_))), "{observer:?}");
            drop(late);
            let again = cluster.open(id);
            until(&again, logs[first].end_offset()).await;
        }
    });
}

#[test]
fn voters_come_and_go() {
    let cluster = Cluster::new(3, 4);
    run(async {
        let logs: Vec<_> = (1..=4).map(|id| cluster.open(id)).collect();
        let (first, epoch) = leader(&logs).await;
        logs[first].append(epoch, &[topic(1)]).await.expect("appends");
        let fourth = logs[3].host().core.borrow().node();
        let voter = crate::quorum::Voter {
            key: fourth,
            endpoint: Cluster::member(4).endpoint,
        };
        let added = logs[first]
            .server()
            .change_voters(VoterChange::Add(AddVoter { voter }))
            .await;
        assert_eq!(added, Ok(()));
        assert_eq!(logs[first].voters().len(), 4);
        // the leader itself: somebody else leads then, by the new set
        let own = logs[first].host().core.borrow().node();
        let removed = VoterChange::Remove(RemoveVoter { key: own });
        assert_eq!(logs[first].server().change_voters(removed).await, Ok(()));
        let others: Vec<_> = logs
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != first)
            .map(|(_, log)| log.clone())
            .collect();
        let (second, next) = leader(&others).await;
        assert!(next > epoch);
        others[second].append(next, &[topic(2)]).await.expect("appends");
        let mut voters = others[second].voters();
        voters.sort();
        let gone = BrokerId(first as i32 + 1);
        let left: Vec<BrokerId> = (1..=4).map(BrokerId).filter(|id| *id != gone).collect();
        assert_eq!(voters, left);
        let described = others[second].server().describe().expect("it leads");
        assert_eq!(described.voters.len(), 3);
        assert!(
            described
                .voters
                .iter()
                .all(|voter| voter.key.directory != DirectoryId::MIGRATING)
        );
        // after a restart of all, it is the log that tells who votes
        drop((others, logs));
        let logs: Vec<_> = (1..=4).map(|id| cluster.open(id)).collect();
        let (third, _) = leader(&logs).await;
        assert_ne!(third, first);
        assert_eq!(logs[third].voters(), left);
    });
}
