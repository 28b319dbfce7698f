//! Every message there and back, and a quorum of one asked through its listener's door.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use control::config::Endpoint;
use control::quorum::{
    BeginQuorumEpoch, EndQuorumEpoch, FetchOutcome, FetchRequest, FetchResponse, FetchSnapshotRequest,
    FetchSnapshotResponse, LeaderView, PlainResponse, Refusal, ReplicaKey, SnapshotPart, Timers, VoteRequest,
    VoteResponse, VoterSet,
};
use control::record::{BrokerId, ControllerEpoch, DirectoryId};
use control::store::kraft::{QuorumConfig, QuorumMetaLog};
use control::store::{Member, SnapshotId};
use engine::types::Offset;
use kafka_protocol::messages as kafka;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::protocol::{Decodable, Encodable, Request};
use net::error::ErrorCode;
use net::header::RequestHeader;
use net::message::decode_request;
use net::wire::Encoding;
use uuid::Uuid;

use super::*;
use crate::control_channel::ControllerApis;

fn key(id: i32) -> ReplicaKey {
    ReplicaKey::new(BrokerId(id), DirectoryId(Uuid::from_u128(500 + id as u128)))
}

fn view() -> LeaderView {
    LeaderView {
        epoch: ControllerEpoch(7),
        leader: Some(BrokerId(2)),
        endpoint: Some(Endpoint {
            host: "n2".to_owned(),
            port: 60_000,
        }),
    }
}

fn asked<T: Request>(version: i16, message: &T) -> T {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes, version).expect("encodes");
    decode_request(version, bytes.freeze()).expect("decodes")
}

fn answered<T: Encodable + Decodable>(version: i16, message: &T) -> T {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes, version).expect("encodes");
    T::decode(&mut bytes.freeze(), version).expect("decodes")
}

#[test]
fn what_is_asked_arrives_as_it_was() {
    // A vote for another epoch or replica than was meant would be given.
    let vote = VoteRequest {
        epoch: ControllerEpoch(3),
        candidate: key(1),
        voter: Some(key(2)),
        last_epoch: ControllerEpoch(2),
        end_offset: Offset(77),
        pre_vote: true,
    };
    assert_eq!(asks::read_vote(&asked(2, &asks::vote("c", &vote))), Some(vote));
    let begin = BeginQuorumEpoch {
        epoch: ControllerEpoch(3),
        leader: BrokerId(1),
        endpoint: view().endpoint,
        voter: Some(key(3)),
    };
    assert_eq!(
        asks::read_begin(&asked(1, &asks::begin("c", &begin))),
        Some(begin)
    );
    let end = EndQuorumEpoch {
        epoch: ControllerEpoch(3),
        leader: BrokerId(1),
        successors: vec![key(3), key(2)],
    };
    assert_eq!(asks::read_end(&asked(1, &asks::end("c", &end))), Some(end));
    let fetch = FetchRequest {
        epoch: ControllerEpoch(3),
        replica: key(2),
        offset: Offset(12),
        last_epoch: ControllerEpoch(1),
        high_watermark: Offset(9),
        number: 0,
    };
    assert_eq!(
        asks::read_fetch(&asked(18, &asks::fetch("c", &fetch))),
        Some(fetch)
    );
    let snapshot = FetchSnapshotRequest {
        epoch: ControllerEpoch(3),
        replica: key(2),
        id: SnapshotId {
            end_offset: Offset(1000),
            epoch: ControllerEpoch(2),
        },
        position: 1 << 40,
    };
    let message = asks::fetch_snapshot("c", &snapshot);
    assert_eq!(asks::read_fetch_snapshot(&asked(1, &message)), Some(snapshot));
}

#[test]
fn what_is_answered_arrives_as_it_was() {
    for (granted, refusal) in [
        (true, None),
        (false, None),
        (false, Some(Refusal::FencedLeaderEpoch)),
    ] {
        let vote = VoteResponse {
            view: view(),
            refusal,
            granted,
        };
        assert_eq!(
            responses::read_vote(&answered(2, &responses::vote(&vote))),
            Some(vote)
        );
    }
    let plain = PlainResponse {
        view: LeaderView {
            epoch: ControllerEpoch(4),
            leader: None,
            endpoint: None,
        },
        refusal: Some(Refusal::InvalidVoterKey),
    };
    assert_eq!(
        responses::read_begin(&answered(1, &responses::begin(&plain))),
        Some(plain.clone())
    );
    assert_eq!(
        responses::read_end(&answered(1, &responses::end(&plain))),
        Some(plain)
    );
    let request = FetchRequest {
        epoch: ControllerEpoch(7),
        replica: key(1),
        offset: Offset(0),
        last_epoch: ControllerEpoch(0),
        high_watermark: Offset(0),
        number: 5,
    };
    let id = SnapshotId {
        end_offset: Offset(30),
        epoch: ControllerEpoch(2),
    };
    for outcome in [
        FetchOutcome::Records(Vec::new()),
        FetchOutcome::Diverging {
            epoch: ControllerEpoch(0),
            end_offset: Offset(0),
        },
        FetchOutcome::Snapshot(id),
        FetchOutcome::Refused(Refusal::NotLeader),
    ] {
        let fetch = FetchResponse {
            view: view(),
            high_watermark: Offset(40),
            outcome,
        };
        let message = answered(18, &responses::fetch(&fetch));
        assert_eq!(responses::read_fetch(&request, &message), Some(fetch));
    }
    for part in [
        Err(Refusal::SnapshotNotFound),
        Ok(SnapshotPart {
            id,
            size_bytes: 100,
            position: 3,
            bytes: Bytes::from_static(b"not whole batches"),
        }),
    ] {
        let snapshot = FetchSnapshotResponse { view: view(), part };
        let message = answered(1, &responses::fetch_snapshot(id, &snapshot));
        assert_eq!(responses::read_fetch_snapshot(&message), Some(snapshot));
    }
}

async fn ask<T: Request>(apis: &QuorumApis, version: i16, message: &T) -> T::Response {
    let header = RequestHeader {
        api_key: T::KEY,
        api_version: version,
        correlation_id: 9,
        client_id: "test".into(),
    };
    let mut frame = BytesMut::new();
    header.write(Encoding::Flexible, &mut frame);
    message.encode(&mut frame, version).expect("encodes");
    let mut answer = apis.answer(frame).await.expect("an answer");
    // length, correlation id, no tags
    answer.advance(4);
    assert_eq!(answer.get_i32(), 9);
    answer.advance(1);
    T::Response::decode(&mut answer, version).expect("decodes")
}

#[test]
fn a_quorum_describes_itself() {
    // `kafka-metadata-quorum` would show nothing, or something else.
    let dir = tempfile::tempdir().expect("dir");
    let meeting = Meeting::new();
    let config = QuorumConfig {
        dir: dir.path().to_owned(),
        voters: VoterSet::parse("1@localhost:9093").expect("a voter"),
        timers: Timers::default(),
        network: Arc::new(WireNetwork { meeting }),
    };
    let member = Member {
        id: BrokerId(1),
        incarnation_id: Uuid::from_u128(77),
        endpoint: Endpoint {
            host: "localhost".to_owned(),
            port: 9093,
        },
        log_dirs: vec![key(1).directory],
        cluster_id: Some("4L6g3nShT-eMCtK--X86sw".to_owned()),
    };
    let apis = QuorumApis { meeting };
    let run = async {
        let (log, _) = QuorumMetaLog::open(&config, &member).expect("opens");
        let epoch = log.lead(None).await.expect("leads");
        let topic = TopicData::default()
            .with_topic_name(kafka::TopicName("__cluster_metadata".into()))
            .with_partitions(vec![PartitionData::default()]);
        let request = kafka::DescribeQuorumRequest::default().with_topics(vec![topic]);
        let quorum = ask(&apis, 2, &request).await;
        assert_eq!(quorum.error_code, 0);
        let partition = &quorum.topics[0].partitions[0];
        assert_eq!((partition.leader_id.0, partition.leader_epoch), (1, epoch.0));
        assert_eq!(partition.high_watermark, log.end_offset().0);
        assert_eq!(partition.current_voters.len(), 1);
        assert_eq!(
            partition.current_voters[0].replica_directory_id,
            key(1).directory.0
        );
        assert_eq!(quorum.nodes[0].listeners[0].port, 9093);
        let remove = kafka::RemoveRaftVoterRequest::default()
            .with_cluster_id(None)
            .with_voter_id(5)
            .with_voter_directory_id(key(5).directory.0);
        let refused = ask(&apis, 0, &remove).await;
        assert_eq!(refused.error_code, ErrorCode::VoterNotFound.code());
        let foreign = asks::vote(
            "another-cluster",
            &VoteRequest {
                epoch: ControllerEpoch(100),
                candidate: key(9),
                voter: None,
                last_epoch: ControllerEpoch(100),
                end_offset: Offset(1 << 40),
                pre_vote: false,
            },
        );
        let refused = ask(&apis, 2, &foreign).await;
        assert_eq!(refused.error_code, ErrorCode::InconsistentClusterId.code());
        assert_eq!(log.controller().expect("still").epoch, epoch);
    };
    let run = async {
        reactor::timeout(Duration::from_secs(60), run)
            .await
            .expect("in time")
    };
    reactor::run(reactor::Config::default(), run).expect("a reactor");
}
