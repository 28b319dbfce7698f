//! The service from outside: calls from shards, publishes, restarts, a log that fails.

use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::config::{BrokerConfig, Settings};
use crate::controller::*;
use crate::image::{ClusterImage, Delta};
use crate::store::StoreConfig;
use std::sync::Arc;

/// What was published, in order.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<Vec<(Arc<ClusterImage>, Arc<Delta>)>>>);

impl Published {
    fn count(&self) -> usize {
        self.0.lock().expect("lock").len()
    }

    fn latest_topic_count(&self) -> usize {
        let published = self.0.lock().expect("lock");
        published.last().map_or(0, |(image, _)| image.topic_count())
    }
}

impl Publish for Published {
    async fn publish(&mut self, image: Arc<ClusterImage>, delta: Arc<Delta>) {
        // Shards take their time: answers must wait for them all the same.
        reactor::yield_now().await;
        self.0.lock().expect("lock").push((image, delta));
    }
}

fn config(dir: &Path, port_count: usize, snapshot_bytes: u64) -> ServiceConfig {
    let (mut broker, _) = BrokerConfig::from_settings(Settings::default()).expect("defaults");
    broker.metadata_snapshot_bytes = snapshot_bytes;
    ServiceConfig {
        broker: Arc::new(broker),
        store: StoreConfig::Embedded { dir: dir.to_owned() },
        cluster_id: "4L6g3nShT-eMCtK--X86sw".to_owned(),
        port_count,
        reactor: reactor::Config {
            name: "controller".to_owned(),
            recv_buffer_count: 1,
            ..reactor::Config::default()
        },
    }
}

fn run<F: Future>(future: F) -> F::Output {
    reactor::run(reactor::Config::default(), future).expect("a reactor")
}

async fn started(
    config: ServiceConfig,
    published: &Published,
) -> (ControllerService, Vec<ControllerHandle>, Arc<ClusterImage>) {
    let started = start(config, published.clone()).await.expect("starts");
    let handles = started.ports.into_iter().map(ControllerPort::attach).collect();
    (started.service, handles, started.image)
}

/// Registers and unfences the one broker, as `serve` does.
async fn join(handle: &ControllerHandle, image: &ClusterImage, incarnation: u128) {
    let node_id = crate::record::BrokerId(
        BrokerConfig::from_settings(Settings::default())
            .expect("defaults")
            .0
            .node_id,
    );
    let register = RegisterBroker {
        broker_id: node_id,
        cluster_id: image.cluster_id().to_owned(),
        incarnation_id: uuid::Uuid::from_u128(incarnation),
        endpoints: Vec::new(),
        features: Vec::new(),
        rack: None,
        log_dirs: vec![crate::record::DirectoryId(uuid::Uuid::from_u128(1000))],
        previous_shutdown: PreviousShutdown::Clean,
    };
    let broker_epoch = match handle.call(Request::RegisterBroker(register)).await {
        Ok(Response::RegisterBroker(registered)) => registered.broker_epoch,
        other => panic!("{other:?}"),
    };
    let unfence = UnfenceBroker {
        broker_id: node_id,
        broker_epoch,
    };
    let answer = handle.call(Request::UnfenceBroker(unfence)).await;
    assert_eq!(answer, Ok(Response::UnfenceBroker));
}

fn create(name: &str) -> Request {
    Request::CreateTopics(CreateTopics {
        topics: vec![NewTopic {
            name: name.to_owned(),
            partition_count: 2,
            replication_factor: 1,
            ..NewTopic::default()
        }],
        validate_only: false,
    })
}

fn is_created(response: Result<Response, CallError>) -> bool {
    matches!(response, Ok(Response::CreateTopics(results)) if results[0].result.is_ok())
}

#[test]
fn an_answer_comes_after_every_shard_has_the_image_and_survives_a_restart() {
    // A client that created a topic and writes to it over another connection must not be told it does not exist.
    let dir = tempfile::tempdir().expect("dir");
    let published = Published::default();
    run(async {
        let (service, handles, image) = started(config(dir.path(), 2, 1 << 30), &published).await;
        assert_eq!(image.features().get("metadata.version"), Some(&METADATA_VERSION));
        join(&handles[0], &image, 1).await;
        for number in 0..10 {
            let handle = &handles[number % 2];
            assert!(is_created(handle.call(create(&format!("t{number}"))).await));
            assert_eq!(published.latest_topic_count(), number + 1);
        }
        // refused and read-only requests publish nothing
        let before = published.count();
        assert!(!is_created(handles[0].call(create("t0")).await));
        assert_eq!(published.count(), before);
        service.stop().await.expect("ends well");
        assert_eq!(handles[0].call(create("late")).await, Err(CallError::Stopped));
    });
    run(async {
        let (service, handles, image) = started(config(dir.path(), 1, 1 << 30), &published).await;
        assert_eq!((image.topic_count(), image.partition_count()), (10, 20));
        join(&handles[0], &image, 2).await;
        assert!(is_created(handles[0].call(create("t10")).await));
        service.stop().await.expect("ends well");
    });
}

#[test]
fn calls_that_come_together_are_published_together() {
    // A sync per topic would make a hundred clients wait for a hundred syncs.
    let dir = tempfile::tempdir().expect("dir");
    let published = Published::default();
    run(async {
        let (service, handles, image) = started(config(dir.path(), 1, 1 << 30), &published).await;
        join(&handles[0], &image, 1).await;
        let before = published.count();
        let calls: Vec<_> = (0..200)
            .map(|number| {
                let handle = handles[0].clone();
                reactor::spawn(async move { handle.call(create(&format!("t{number}"))).await })
            })
            .collect();
        for call in calls {
            assert!(is_created(call.await));
        }
        let publishes = published.count() - before;
        assert!(publishes < 200, "{publishes} publishes for 200 calls at once");
        // the deltas name each topic once, and add up to the image
        let all = published.0.lock().expect("lock");
        let created: usize = all.iter().map(|(_, delta)| delta.topics_created().count()).sum();
        assert_eq!(created, 200);
        drop(all);
        service.stop().await.expect("ends well");
    });
}

#[test]
fn a_full_mailbox_refuses_at_once() {
    // Callers that pile up without bound would take the memory of the broker with them.
    let dir = tempfile::tempdir().expect("dir");
    run(async {
        let (service, handles, _) = started(config(dir.path(), 1, 1 << 30), &Published::default()).await;
        // None of these is awaited before all are sent, and there are more than all queues hold.
        let mut calls: Vec<_> = (0..20_000)
            .map(|_| Box::pin(handles[0].call(Request::DeleteTopics(DeleteTopics::default()))))
            .collect();
        let (mut busy, mut waiting) = (0, Vec::new());
        for mut call in calls.drain(..) {
            match std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx))).await {
                std::task::Poll::Ready(Err(CallError::Busy)) => busy += 1,
                std::task::Poll::Ready(other) => panic!("{other:?}"),
                std::task::Poll::Pending => waiting.push(call),
            }
        }
        // How many found room depends on how fast the other thread is; whoever found it is answered.
        assert_eq!(busy + waiting.len(), 20_000);
        for call in waiting {
            assert!(call.await.is_ok());
        }
        service.stop().await.expect("ends well");
    });
}

#[test]
fn a_long_log_becomes_a_snapshot_while_calls_go_on() {
    // A log that only grows would make every start slower than the last.
    let dir = tempfile::tempdir().expect("dir");
    let published = Published::default();
    run(async {
        let (service, handles, image) = started(config(dir.path(), 1, 2_000), &published).await;
        join(&handles[0], &image, 1).await;
        for number in 0..100 {
            assert!(is_created(handles[0].call(create(&format!("t{number}"))).await));
        }
        service.stop().await.expect("ends well");
    });
    let names: Vec<_> = std::fs::read_dir(dir.path().join("__cluster_metadata-0"))
        .expect("log directory")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("name"))
        .collect();
    assert_eq!(
        names.iter().filter(|name| name.ends_with(".checkpoint")).count(),
        1,
        "{names:?}"
    );
    run(async {
        let (service, _, image) = started(config(dir.path(), 1, 2_000), &published).await;
        assert_eq!((image.topic_count(), image.partition_count()), (100, 200));
        service.stop().await.expect("ends well");
    });
}

#[test]
fn a_change_too_large_for_a_batch_survives_a_restart_whole() {
    // It is a metadata transaction of several batches; replay must put it together again.
    let dir = tempfile::tempdir().expect("dir");
    let published = Published::default();
    run(async {
        let (service, handles, image) = started(config(dir.path(), 1, 1 << 30), &published).await;
        join(&handles[0], &image, 1).await;
        let request = Request::CreateTopics(CreateTopics {
            topics: vec![NewTopic {
                name: "large".to_owned(),
                partition_count: 10_000,
                replication_factor: 1,
                ..NewTopic::default()
            }],
            validate_only: false,
        });
        assert!(is_created(handles[0].call(request).await));
        assert!(is_created(handles[0].call(create("small")).await));
        service.stop().await.expect("ends well");
    });
    run(async {
        let (service, _, image) = started(config(dir.path(), 1, 1 << 30), &published).await;
        assert_eq!(image.partition_count(), 10_002);
        service.stop().await.expect("ends well");
    });
}

#[test]
fn a_transaction_nobody_ended_is_aborted_at_the_next_start() {
    // Its records were never acknowledged, and the batches that follow must not count as part of it.
    use crate::record::{BeginTransactionRecord, BrokerId, Record, TopicRecord};
    use crate::store::MetaLog;
    let dir = tempfile::tempdir().expect("dir");
    let store = StoreConfig::Embedded {
        dir: dir.path().to_owned(),
    };
    run(async {
        let log = MetaLog::open(&store).await.expect("opens");
        let epoch = log.lead(BrokerId(1)).await.expect("leads");
        let half = [
            Record::from(BeginTransactionRecord::default()),
            TopicRecord {
                name: "half".to_owned(),
                ..TopicRecord::default()
            }
            .into(),
        ];
        log.append(epoch, &half).await.expect("appends");
    });
    for _ in 0..2 {
        run(async {
            let (service, handles, image) =
                started(config(dir.path(), 1, 1 << 30), &Published::default()).await;
            assert!(image.topic_by_name("half").is_none());
            assert_eq!(image.features().len(), 1);
            drop(handles);
            service.stop().await.expect("ends well");
        });
    }
}

#[test]
fn a_log_that_cannot_be_opened_is_told_to_whoever_starts() {
    // The operator needs the reason, not a thread that is silently gone.
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(dir.path().join("__cluster_metadata-0"), b"a file").expect("write");
    run(async {
        let result = start(config(dir.path(), 1, 1 << 30), Published::default()).await;
        assert!(matches!(result.map(|_| ()), Err(StartError::Open(_))));
    });
}
