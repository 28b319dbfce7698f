//! The service from outside: calls from shards, publishes, restarts, a log that fails.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::config::{BrokerConfig, Settings};
use crate::controller::*;
use crate::image::{ClusterImage, Delta};
use crate::store::kv::memory::{Faults, MemoryCluster};
use crate::store::shared::SharedConfig;
use crate::store::{Member, StoreConfig};
use std::sync::Arc;

/// What was published, in order.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<Vec<Change>>>);

type Change = (Arc<ClusterImage>, Arc<Delta>);

impl Published {
    fn count(&self) -> usize {
        self.0.lock().expect("lock").len()
    }

    fn created_topic_count(&self) -> usize {
        let published = self.0.lock().expect("lock");
        published
            .iter()
            .map(|(_, delta)| delta.topics_created().count())
            .sum()
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
        member: Member::for_tests(1),
        port_count,
        reactor: reactor::Config {
            name: "controller".to_owned(),
            recv_buffer_count: 1,
            ..reactor::Config::default()
        },
        network: None,
        session: Arc::default(),
        figures: Arc::default(),
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
        known_epoch: image.broker(node_id).map(|broker| broker.epoch),
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
        assert_eq!(published.created_topic_count(), 200);
        service.stop().await.expect("ends well");
    });
}

/// Shards that do not answer before the gate opens.
struct Gated(Option<reactor::oneshot::Receiver<()>>);

impl Publish for Gated {
    async fn publish(&mut self, _: Arc<ClusterImage>, _: Arc<Delta>) {
        if let Some(gate) = self.0.take() {
            gate.await.expect("opens");
        }
    }
}

#[test]
fn a_full_mailbox_refuses_at_once() {
    // Callers that pile up without bound would take the memory of the broker with them.
    let dir = tempfile::tempdir().expect("dir");
    run(async {
        let (open, gate) = reactor::oneshot();
        let started = start(config(dir.path(), 1, 1 << 30), Gated(Some(gate)))
            .await
            .expect("starts");
        let handle = started.ports.into_iter().next().expect("a port").attach();
        // the first change waits for the shards, everything after it for the first
        let alter = Request::IncrementalAlterConfigs(IncrementalAlterConfigs {
            resources: vec![IncrementalAlterConfigsResource {
                resource_type: 4,
                operations: vec![IncrementalOperation {
                    name: "log.retention.ms".to_owned(),
                    operation: 0,
                    value: Some("5".to_owned()),
                }],
                ..IncrementalAlterConfigsResource::default()
            }],
            validate_only: false,
        });
        let nothing = Request::DeleteTopics(DeleteTopics::default());
        let requests = std::iter::once(alter).chain(std::iter::repeat_n(nothing, 5_000));
        let (mut busy, mut waiting) = (0, Vec::new());
        for request in requests {
            let mut call = Box::pin(handle.call(request));
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx))).await;
            match polled {
                std::task::Poll::Ready(Err(CallError::Busy)) => busy += 1,
                std::task::Poll::Ready(other) => panic!("{other:?}"),
                std::task::Poll::Pending => waiting.push(call),
            }
        }
        // mailbox, inbox, one call on its way between them, and the group in hand
        assert!(waiting.len() <= 1024 + 1024 + 1 + 256, "{} wait", waiting.len());
        assert!(waiting.len() >= 1024 && busy > 0);
        open.send(()).expect("the gate is there");
        for call in waiting {
            assert!(call.await.is_ok());
        }
        started.service.stop().await.expect("ends well");
    });
}

#[test]
fn a_failed_log_fails_the_calls_and_ends_the_service() {
    // Going on after a failed sync would acknowledge topics that are gone after the next power cut.
    let dir = tempfile::tempdir().expect("dir");
    let published = Published::default();
    run(async {
        let config = config(dir.path(), 1, 1 << 30);
        let prepared = start::prepare(config, published.clone()).await.expect("prepares");
        let crate::store::MetaLog::Embedded(log) = &prepared.runner.board.log else {
            panic!("another store");
        };
        let log = log.clone();
        let image = prepared.runner.seen.image.clone();
        let (_orders, ordered) = reactor::mailbox::channel(1);
        let (port, mailbox) = ControllerPort::new();
        let (_stop, stopped) = reactor::oneshot();
        let service = reactor::spawn(start::serve(prepared, vec![mailbox], ordered, stopped));
        let handle = port.attach();
        join(&handle, &image, 1).await;
        let before = published.count();
        log.plant_failing_sync();
        let answer = handle.call(create("t")).await;
        assert!(
            matches!(answer, Err(CallError::Fault(ServiceFault::Log(_)))),
            "{answer:?}"
        );
        assert!(service.await.is_err());
        assert_eq!(published.count(), before, "no shard works with what may be lost");
    });
}

#[test]
fn a_store_that_is_gone_for_good_does_not_keep_the_service_from_its_end() {
    // The last of three voters cannot write that the others have left; it must end all the same when it is asked to.
    let dir = tempfile::tempdir().expect("dir");
    let published = Published::default();
    let cluster = MemoryCluster::new(Faults::none());
    run(async {
        let mut config = config(dir.path(), 1, 1 << 30);
        config.store = StoreConfig::Memory {
            cluster: cluster.clone(),
            shared: SharedConfig {
                prefix: "/ringlog".to_owned(),
                lease: Duration::from_secs(10),
                dir: None,
            },
        };
        let (service, mut handles, image) = started(config, &published).await;
        let handle = handles.remove(0);
        join(&handle, &image, 1).await;
        cluster.set_available(false);
        let call = reactor::spawn(async move { handle.call(create("t")).await });
        reactor::yield_now().await;
        service.stop().await.expect("an orderly end");
        let answer = call.await;
        let is_open = matches!(answer, Err(CallError::Undecided | CallError::Stopped));
        assert!(is_open, "nobody knows what the store did: {answer:?}");
    });
}

#[test]
fn a_full_disk_refuses_changes_and_nothing_else() {
    // Creating a topic on a full disk ended the broker, and with it all reading.
    let dir = tempfile::tempdir().expect("dir");
    let published = Published::default();
    run(async {
        let config = config(dir.path(), 1, 1 << 30);
        let prepared = start::prepare(config, published.clone()).await.expect("prepares");
        let crate::store::MetaLog::Embedded(log) = &prepared.runner.board.log else {
            panic!("another store");
        };
        let log = log.clone();
        let image = prepared.runner.seen.image.clone();
        let (_orders, ordered) = reactor::mailbox::channel(1);
        let (port, mailbox) = ControllerPort::new();
        let (stop, stopped) = reactor::oneshot();
        let service = reactor::spawn(start::serve(prepared, vec![mailbox], ordered, stopped));
        let handle = port.attach();
        join(&handle, &image, 1).await;
        let before = published.count();
        log.plant_full_disk(true);
        let answer = handle.call(create("t")).await;
        assert!(matches!(answer, Err(CallError::Refused(_))), "{answer:?}");
        assert_eq!(published.count(), before, "nothing has changed");
        log.plant_full_disk(false);
        assert!(is_created(handle.call(create("t")).await));
        let _ = stop.send(());
        assert!(service.await.is_ok());
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
    use crate::record::{BeginTransactionRecord, Record, TopicRecord};
    use crate::store::MetaLog;
    let dir = tempfile::tempdir().expect("dir");
    let store = StoreConfig::Embedded {
        dir: dir.path().to_owned(),
    };
    run(async {
        let log = MetaLog::open(&store, &Member::for_tests(1))
            .await
            .expect("opens")
            .log;
        let epoch = log.lead(None).await.expect("leads");
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
