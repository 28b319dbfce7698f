//! Connections over real sockets, on each backend this machine has: order, hostile input, limits, shutdown, the client.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiVersionsResponse as CrateApiVersionsResponse, MetadataRequest, MetadataResponse,
    api_versions_response::ApiVersion,
};
use net::client::{Client, ClientError, ClientOptions};
use net::connection::{Connections, Drained, Limits, Reply, Request, Service};
use net::fetch::{FetchPartitionResponse, FetchResponse, FetchTopicResponse};
use net::message::{decode_request, encode_response};
use net::produce::{
    ProducePartition, ProducePartitionResponse, ProduceRequest, ProduceResponse, ProduceTopic,
    ProduceTopicResponse,
};
use net::versions_beyond_crate::{ApiVersionsRequest, ApiVersionsResponse};
use net::{ErrorCode, listener, shape};
use reactor::sync::{Budget, Notify};
use reactor::{BackendChoice, Config, Listener, Piece, Socket};

/// A broker in a few lines. Produce: takes its place at once, answers when told or in reverse order. Metadata: answers
/// with a text of the asked length as cluster id. Fetch: never answers.
#[derive(Default)]
struct Toy {
    /// First bytes of the records, in the order they were taken.
    log: RefCell<Vec<u8>>,
    /// Produce answers wait until this many are there.
    hold_until: RefCell<usize>,
    arrived: Notify,
    fetches: Rc<RefCell<usize>>,
}

struct ToyService(Rc<Toy>);

impl Service for ToyService {
    fn call(&self, request: Request) -> impl Future<Output = Reply> + 'static {
        let toy = self.0.clone();
        let mut request = request;
        let body = std::mem::take(&mut request.body);
        let version = request.header.api_version;
        let correlation_id = request.header.correlation_id;
        let key = request.header.api_key;
        // the ordered part: before the future is polled a second time
        let produced = (key == 0).then(|| toy.take_records(version, body.clone()));
        async move {
            match (key, produced) {
                (_, Some(Some(answer))) => {
                    while toy.log.borrow().len() < *toy.hold_until.borrow() {
                        toy.arrived.notified().await;
                    }
                    answer.map_or(Reply::None, |answer| {
                        answer.to_frame(version, correlation_id).into()
                    })
                }
                (1, _) => {
                    *toy.fetches.borrow_mut() += 1;
                    let _alive = Alive(toy.fetches.clone());
                    std::future::pending().await
                }
                (11, _) => std::future::pending().await,
                (3, _) => metadata(version, correlation_id, body.freeze()),
                (18, _) => api_versions(version, correlation_id, body.freeze()),
                (12, _) => panic!("a handler's bug"),
                _ => Reply::Close,
            }
        }
    }
}

struct Alive(Rc<RefCell<usize>>);

impl Drop for Alive {
    fn drop(&mut self) {
        *self.0.borrow_mut() -= 1;
    }
}

impl Toy {
    fn take_records(&self, version: i16, body: BytesMut) -> Option<Option<ProduceResponse>> {
        let request = ProduceRequest::parse(version, body).ok()?;
        let mut response = ProduceResponse::default();
        for topic in request.topics {
            let mut partitions = Vec::new();
            for partition in topic.partitions {
                self.log.borrow_mut().push(partition.records?[0]);
                let base_offset = self.log.borrow().len() as i64 - 1;
                partitions.push(ProducePartitionResponse::appended(
                    partition.index,
                    base_offset,
                    -1,
                    0,
                ));
            }
            response.topics.push(ProduceTopicResponse {
                name: topic.name,
                topic_id: topic.topic_id,
                partitions,
            });
        }
        self.arrived.notify_waiters();
        Some((request.acks != 0).then_some(response))
    }
}

fn metadata(version: i16, correlation_id: i32, body: Bytes) -> Reply {
    let Ok(request) = decode_request::<MetadataRequest>(version, body) else {
        return Reply::Close;
    };
    let name = request
        .topics
        .and_then(|topics| topics.into_iter().next())
        .and_then(|topic| topic.name);
    let length: usize = name.and_then(|name| name.parse().ok()).unwrap_or(1);
    let id = "x".repeat(length);
    let response = MetadataResponse::default().with_cluster_id(Some(id.into()));
    encode_response(version, correlation_id, &response)
        .unwrap()
        .into()
}

fn api_versions(version: i16, correlation_id: i32, body: Bytes) -> Reply {
    let mut response = CrateApiVersionsResponse::default();
    for api in shape::apis() {
        let range = ApiVersion::default().with_api_key(api.key);
        response.api_keys.push(
            range
                .with_min_version(api.version_min)
                .with_max_version(api.version_max),
        );
    }
    if decode_request::<ApiVersionsRequest>(version, body).is_err() {
        response.error_code = ErrorCode::UnsupportedVersion.code();
        return encode_response(0, correlation_id, &ApiVersionsResponse(response))
            .unwrap()
            .into();
    }
    encode_response(version, correlation_id, &ApiVersionsResponse(response))
        .unwrap()
        .into()
}

struct Broker {
    toy: Rc<Toy>,
    connections: Connections<ToyService>,
    budget: Budget,
    address: SocketAddr,
}

impl Broker {
    fn start(limits: Limits, budget_bytes: usize) -> Broker {
        Broker::start_with(limits, Budget::new(budget_bytes))
    }

    fn start_with(limits: Limits, budget: Budget) -> Broker {
        let toy = Rc::new(Toy::default());
        let connections = Connections::new(Rc::new(ToyService(toy.clone())), limits, budget.clone(), 0, 1);
        let listening = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listening.local_addr();
        let accepting = connections.clone();
        let name: Rc<str> = "PLAINTEXT".into();
        reactor::spawn(async move {
            let hand_out = |_, socket, peer| accepting.serve(socket, peer, &name).unwrap();
            let _ = listener::accept_loop(&listening, 1, hand_out).await;
        })
        .detach();
        Broker {
            toy,
            connections,
            budget,
            address,
        }
    }

    async fn client(&self) -> Client {
        Client::connect(self.address, ClientOptions::default())
            .await
            .unwrap()
    }

    fn closed(&self, label: &str) -> u64 {
        let closed = self.connections.counters().closed();
        closed
            .iter()
            .find(|(name, _)| *name == label)
            .map_or(0, |(_, count)| *count)
    }

    /// Nothing is left over when all clients are gone.
    async fn settled(&self) {
        until(|| self.connections.is_empty()).await;
        assert_eq!(self.connections.counters().connections_open.get(), 0);
        assert_eq!(self.budget.available(), self.budget.total());
    }
}

async fn until(condition: impl Fn() -> bool) {
    let patience = async {
        while !condition() {
            reactor::sleep(Duration::from_millis(1)).await;
        }
    };
    reactor::timeout(Duration::from_secs(60), patience)
        .await
        .expect("does not happen");
}

/// Runs the test on every backend the machine allows.
fn on_each_backend<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for backend in [BackendChoice::Epoll, BackendChoice::Uring] {
        if reactor::probe(backend).is_err() {
            continue; // no io_uring here; epoll is everywhere
        }
        let config = Config {
            backend,
            name: "net-test".into(),
            ..Config::default()
        };
        reactor::run(config, async {
            reactor::timeout(Duration::from_secs(300), test())
                .await
                .expect("stuck")
        })
        .unwrap();
    }
}

fn produce(acks: i16, record: u8) -> ProduceRequest {
    let partition = ProducePartition {
        index: 0,
        records: Some(BytesMut::from(&[record; 100][..])),
    };
    ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 1000,
        topics: vec![ProduceTopic {
            partitions: vec![partition],
            ..ProduceTopic::default()
        }],
    }
}

fn metadata_request(answer_bytes: usize) -> MetadataRequest {
    let topic = kafka_protocol::messages::metadata_request::MetadataRequestTopic::default();
    let name = kafka_protocol::protocol::StrBytes::from_string(answer_bytes.to_string());
    MetadataRequest::default().with_topics(Some(vec![topic.with_name(Some(name.into()))]))
}

#[test]
fn pipelined_produce_is_taken_in_order_and_answered_in_order() {
    on_each_backend(async || {
        let broker = Broker::start(Limits::default(), 1 << 20);
        *broker.toy.hold_until.borrow_mut() = 20; // the first answer waits for the last request
        let client = broker.client().await;
        let mut pending = Vec::new();
        for record in 0..20 {
            pending.push(client.send_produce(produce(-1, record)).await.unwrap().unwrap());
        }
        assert!(client.send_produce(produce(0, 20)).await.unwrap().is_none());
        let after = client.call(&metadata_request(5)).await.unwrap();
        assert_eq!(after.cluster_id.as_deref(), Some("xxxxx"));
        for (offset, pending) in pending.into_iter().enumerate() {
            let answer = pending.answer().await.unwrap();
            assert_eq!(
                answer.responses[0].partition_responses[0].base_offset,
                offset as i64
            );
        }
        assert_eq!(*broker.toy.log.borrow(), (0..=20).collect::<Vec<u8>>());
        drop(client);
        broker.settled().await;
        assert_eq!(broker.closed("peer_closed"), 1);
        assert_eq!(broker.connections.counters().requests.get(), 23);
        assert_eq!(broker.connections.counters().requests_in_flight.get(), 0);
    });
}

/// Sends bytes, ends, and returns all that comes back.
async fn exchange(broker: &Broker, bytes: &[u8]) -> Bytes {
    let socket = Socket::connect(broker.address).await.unwrap();
    // the broker may have closed before all was sent: that is what some of these are about
    let _ = socket
        .send(vec![Piece::Bytes(Bytes::copy_from_slice(bytes))])
        .await;
    let mut answer = BytesMut::new();
    while let Ok(1..) = socket.recv(&mut answer).await {}
    answer.freeze()
}

#[test]
fn hostile_input_closes_its_own_connection_only() {
    on_each_backend(async || {
        let broker = Broker::start(Limits::default(), 1 << 20);
        let bystander = broker.client().await;
        for (bytes, label) in [
            (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "http"),
            (
                &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03],
                "tls",
            ),
            (&[0xff, 0xff, 0xff, 0xff, 0, 0], "frame_negative"),
            (&[0x7f, 0xff, 0xff, 0xff, 0, 0], "frame_too_large"),
            (&[0, 0, 0, 4, 0, 99, 0, 0], "unknown_api"),
            (&[0, 0, 0, 2, 0, 3], "header_malformed"),
            // metadata v1 with 2^31 - 1 topics
            (
                &[
                    0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff,
                ],
                "handler",
            ),
        ] {
            let before = broker.closed(label);
            assert!(exchange(&broker, bytes).await.is_empty(), "{label}");
            until(|| broker.closed(label) == before + 1).await;
        }
        // a frame larger than the whole budget can never be received
        assert!(exchange(&broker, &[0, 0x20, 0, 0]).await.is_empty());
        bystander.call(&metadata_request(1)).await.unwrap();
        drop(bystander);
        broker.settled().await;
    });
}

#[test]
fn a_handler_that_panics_takes_its_connection_along_and_no_other() {
    on_each_backend(async || {
        let broker = Broker::start(Limits::default(), 1 << 20);
        let bystander = broker.client().await;
        let heartbeat = [0, 0, 0, 10, 0, 12, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
        assert!(exchange(&broker, &heartbeat).await.is_empty());
        until(|| broker.closed("handler_failed") == 1).await;
        bystander.call(&metadata_request(1)).await.unwrap();
        drop(bystander);
        broker.settled().await;
    });
}

#[test]
fn acks_0_and_close_at_once_loses_nothing() {
    on_each_backend(async || {
        let broker = Broker::start(
            Limits {
                in_flight_max: 3,
                ..Limits::default()
            },
            1 << 20,
        );
        let socket = Socket::connect(broker.address).await.unwrap();
        let mut pieces = Vec::new();
        for record in 0..50 {
            let header = net::header::RequestHeader {
                api_key: 0,
                api_version: 7,
                correlation_id: 1,
                client_id: "".into(),
            };
            pieces.extend(produce(0, record).to_pieces(7, &header));
        }
        socket.send(pieces).await.unwrap();
        drop(socket);
        until(|| broker.closed("peer_closed") == 1).await;
        broker.settled().await;
        assert_eq!(*broker.toy.log.borrow(), (0..50).collect::<Vec<u8>>());
    });
}

#[test]
fn a_client_that_does_not_read_is_read_no_further() {
    on_each_backend(async || {
        let limits = Limits {
            unsent_bytes_max: 200_000,
            ..Limits::default()
        };
        let broker = Broker::start(limits, 1 << 20);
        let socket = Socket::connect(broker.address).await.unwrap();
        let greedy = socket.clone();
        // thousands of requests for 32 KB each, sent by a client that reads nothing
        let sending = reactor::spawn(async move {
            let mut frame = BytesMut::from(&[0, 0, 0, 21, 0, 3, 0, 2, 0, 0, 0, 1, 0xff, 0xff][..]);
            frame.extend_from_slice(&[0, 0, 0, 1, 0, 5]);
            frame.extend_from_slice(b"30000");
            let frame = frame.freeze();
            for _ in 0..20_000 {
                if greedy.send(vec![Piece::Bytes(frame.clone())]).await.is_err() {
                    return;
                }
            }
        });
        let counters = broker.connections.counters().clone();
        // it comes to a stand
        let mut seen = u64::MAX;
        while seen != counters.requests.get() {
            seen = counters.requests.get();
            reactor::sleep(Duration::from_millis(200)).await;
        }
        assert!(
            seen < 2000,
            "{seen} requests were handled for a client that reads nothing"
        );
        broker.client().await.call(&metadata_request(1)).await.unwrap();
        // and goes on when the client reads
        let mut answers = BytesMut::new();
        while counters.requests.get() < seen + 100 {
            answers.clear();
            assert!(socket.recv(&mut answers).await.unwrap() > 0);
        }
        sending.abort();
        socket.shutdown();
        drop(socket);
        broker.settled().await;
    });
}

#[test]
fn idle_connections_and_half_requests_are_closed() {
    on_each_backend(async || {
        let limits = Limits {
            idle_max: Duration::from_millis(60),
            ..Limits::default()
        };
        let broker = Broker::start(limits, 1 << 20);
        assert!(exchange(&broker, &[]).await.is_empty());
        assert!(exchange(&broker, &[0, 0, 1, 0, 0, 0]).await.is_empty());
        broker.settled().await;
        assert_eq!(broker.closed("idle"), 2);
    });
}

#[test]
fn clients_that_fill_the_memory_with_halves_are_given_up() {
    on_each_backend(async || {
        let limits = Limits {
            memory_wait_max: Duration::from_millis(100),
            ..Limits::default()
        };
        let broker = Broker::start(limits, 64 * 1024);
        let halves = send_halves(&broker, 4, 30_000).await;
        until(|| broker.closed("no_memory") >= 2).await;
        drop(halves);
        until(|| broker.connections.is_empty()).await;
        broker.client().await.call(&metadata_request(1)).await.unwrap();
        broker.settled().await;
    });
}

/// A broker whose memory but for the kept bytes is held by clients that sent half a request each, which it is patient with for so long.
async fn full_of_halves(memory_wait_max: Duration) -> (Broker, Vec<Socket>) {
    let limits = Limits {
        memory_wait_max,
        ..Limits::default()
    };
    let broker = Broker::start_with(limits, Budget::keeping(512 * 1024, 64 * 1024));
    let halves = send_halves(&broker, 20, 40_000).await;
    (broker, halves)
}

/// Clients that sent the first `size_bytes` of a request of 60,000 each.
async fn send_halves(broker: &Broker, count: usize, size_bytes: usize) -> Vec<Socket> {
    let mut halves = Vec::new();
    for _ in 0..count {
        let socket = Socket::connect(broker.address).await.unwrap();
        let mut half = vec![0u8; size_bytes];
        half[..4].copy_from_slice(&60_000i32.to_be_bytes());
        socket.send(vec![Piece::Bytes(half.into())]).await.unwrap();
        halves.push(socket);
    }
    halves
}

#[test]
fn clients_with_halves_do_not_stop_the_others() {
    // Two hundred clients that began a 100 MB request each stopped every client of the broker for a minute.
    on_each_backend(async || {
        // for ever, as far as this test is concerned: who did not overtake them would be stuck
        let (broker, halves) = full_of_halves(Duration::from_secs(3600)).await;
        until(|| broker.budget.available() < 110 * 1024).await;
        let client = broker.client().await;
        client.call(&metadata_request(1)).await.unwrap();
        assert_eq!(broker.closed("no_memory"), 0);
        drop((client, halves));

        // who asks for more than the kept bytes waits a little: the halves are given up, not it
        let (broker, halves) = full_of_halves(Duration::from_millis(100)).await;
        let client = broker.client().await;
        let large = MetadataRequest::default().with_topics(Some(vec![
            kafka_protocol::messages::metadata_request::MetadataRequestTopic::default().with_name(Some(
                kafka_protocol::messages::TopicName("1".repeat(30_000).into()),
            )),
        ]));
        drop(client.call(&large).await);
        until(|| broker.closed("no_memory") >= 1).await;
        client.call(&metadata_request(1)).await.unwrap();
        drop(halves);
        until(|| broker.connections.len() == 1).await;
        drop(client);
        broker.settled().await;
    });
}

#[test]
fn a_fetch_ends_when_its_client_goes() {
    on_each_backend(async || {
        let broker = Broker::start(Limits::default(), 1 << 20);
        let client = broker.client().await;
        let fetch = kafka_protocol::messages::FetchRequest::default();
        let pending = client.send(&fetch).await.unwrap();
        until(|| *broker.toy.fetches.borrow() == 1).await;
        drop(client);
        assert!(matches!(pending.answer().await, Err(ClientError::Lost(_))));
        broker.settled().await;
        assert_eq!(*broker.toy.fetches.borrow(), 0);
    });
}

#[test]
fn a_client_that_goes_while_its_group_gathers_holds_no_descriptor() {
    // 3,000 clients that joined a group and went away held 3,000 descriptors until the rebalance timed out.
    on_each_backend(async || {
        let broker = Broker::start(Limits::default(), 1 << 20);
        let client = broker.client().await;
        let join = kafka_protocol::messages::JoinGroupRequest::default();
        let pending = client.send(&join).await.unwrap();
        until(|| broker.connections.counters().requests_in_flight.get() == 1).await;
        drop(client);
        assert!(matches!(pending.answer().await, Err(ClientError::Lost(_))));
        until(|| broker.connections.is_empty()).await;
    });
}

#[test]
fn draining_answers_what_was_asked_and_cuts_off_what_hangs() {
    on_each_backend(async || {
        let broker = Broker::start(Limits::default(), 1 << 20);
        *broker.toy.hold_until.borrow_mut() = 2;
        let client = broker.client().await;
        let idle = broker.client().await;
        let pending = client.send_produce(produce(-1, 1)).await.unwrap().unwrap();
        let connections = broker.connections.clone();
        until(|| broker.toy.log.borrow().len() == 1).await;
        let draining = reactor::spawn(async move { connections.drain(Duration::from_secs(60)).await });
        until(|| broker.closed("shutdown") == 1).await; // the idle one is gone, the other waits
        *broker.toy.hold_until.borrow_mut() = 1;
        broker.toy.arrived.notify_waiters();
        assert_eq!(pending.answer().await.unwrap().responses.len(), 1);
        assert_eq!(draining.await, Drained { cut_off: 0 });
        assert!(matches!(
            idle.call(&metadata_request(1)).await,
            Err(ClientError::Lost(_))
        ));
        broker.settled().await;

        let broker = Broker::start(Limits::default(), 1 << 20);
        let client = broker.client().await;
        let _hangs = client
            .send(&kafka_protocol::messages::FetchRequest::default())
            .await
            .unwrap();
        until(|| *broker.toy.fetches.borrow() == 1).await;
        assert_eq!(
            broker.connections.drain(Duration::from_millis(50)).await,
            Drained { cut_off: 1 }
        );
        broker.settled().await;
    });
}

#[test]
fn long_requests_arrive_whole() {
    on_each_backend(async || {
        let broker = Broker::start(Limits::default(), 8 << 20);
        let client = broker.client().await;
        let mut request = produce(-1, 42);
        request.topics[0].partitions[0].records = Some(BytesMut::from(&vec![42u8; 5 << 20][..]));
        let answer = client
            .send_produce(request)
            .await
            .unwrap()
            .unwrap()
            .answer()
            .await
            .unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        assert!(broker.connections.counters().bytes_in.get() > 5 << 20);
        drop(client);
        broker.settled().await;
    });
}

#[test]
fn the_client_negotiates_and_says_what_is_wrong() {
    on_each_backend(async || {
        let broker = Broker::start(Limits::default(), 1 << 20);
        let client = broker.client().await;
        assert_eq!(client.version_of::<MetadataRequest>().unwrap(), 13);
        assert_eq!(client.version_of::<ApiVersionsRequest>().unwrap(), 5);
        let unserved = client.version_of::<kafka_protocol::messages::ShareFetchRequest>();
        assert!(matches!(unserved, Err(ClientError::NotServed { api_key: 78 })));
        for version in 0..=5 {
            let answer = client
                .call_at(version, &ApiVersionsRequest::default())
                .await
                .unwrap();
            assert_eq!(answer.api_keys.len(), shape::apis().count(), "v{version}");
        }
        // ports nobody listens on
        let gone = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .unwrap()
            .local_addr();
        let refused = Client::connect(gone, ClientOptions::default()).await;
        assert!(matches!(refused, Err(ClientError::Connect { .. })));
    });
}

#[test]
fn records_travel_from_a_file_to_the_client() {
    on_each_backend(async || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("00.log");
        std::fs::write(&path, b"0123456789").unwrap();
        let file = reactor::File::open(&path, reactor::OpenMode::Read).unwrap();
        let listening = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let response = FetchResponse {
            throttle_time_ms: 0,
            error: ErrorCode::None,
            session_id: 0,
            topics: vec![FetchTopicResponse {
                name: "t".into(),
                topic_id: Default::default(),
                partitions: vec![FetchPartitionResponse {
                    records: vec![
                        Piece::Bytes(Bytes::from_static(b"memory ")),
                        Piece::File {
                            file,
                            offset: 2,
                            len: 5,
                        },
                    ],
                    ..FetchPartitionResponse::failed(0, ErrorCode::None)
                }],
            }],
            node_endpoints: Vec::new(),
        };
        let address = listening.local_addr();
        let receiver = reactor::spawn(async move {
            let socket = Socket::connect(address).await.unwrap();
            let mut bytes = BytesMut::new();
            while socket.recv(&mut bytes).await.unwrap() > 0 {}
            bytes.freeze()
        });
        let (socket, _) = listening.accept().await.unwrap();
        let socket = socket.attach().unwrap();
        socket.send(response.into_pieces(11, 1)).await.unwrap();
        socket.shutdown();
        let mut frame = receiver.await.slice(8..);
        let read: kafka_protocol::messages::FetchResponse =
            kafka_protocol::protocol::Decodable::decode(&mut frame, 11).unwrap();
        assert_eq!(
            read.responses[0].partitions[0].records.as_deref(),
            Some(&b"memory 23456"[..])
        );
    });
}
