//! One request as it arrives, without its length: header, shape check, then the decoder of its API. Every API and
//! version of the tables in `net::shape`; none may panic, and none may allocate by what is merely announced (run with
//! `-malloc_limit_mb=64`).

#![no_main]

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as kafka;
use libfuzzer_sys::fuzz_target;
use net::fetch::FetchRequest;
use net::header::RequestHeader;
use net::message::decode_request;
use net::produce::ProduceRequest;
use net::shape;
use net::versions_beyond_crate as beyond;

fuzz_target!(|data: &[u8]| {
    let mut frame = BytesMut::from(data);
    let Ok(header) = RequestHeader::split_from(&mut frame) else {
        return;
    };
    let version = header.api_version;
    let checked = shape::check(header.api_key, version, &frame);
    let body: Bytes = frame.clone().freeze();
    macro_rules! decode {
        ($($key:literal => $request:ty),* $(,)?) => {
            match header.api_key {
                0 => ProduceRequest::parse(version, frame).map(drop).is_ok(),
                1 => FetchRequest::parse(version, &body).map(drop).is_ok(),
                $($key => decode_request::<$request>(version, body).map(drop).is_ok(),)*
                other => panic!("API {other} is in the tables and not in this target"),
            }
        };
    }
    let decoded = decode! {
        2 => beyond::ListOffsetsRequest,
        3 => kafka::MetadataRequest,
        8 => beyond::OffsetCommitRequest,
        9 => beyond::OffsetFetchRequest,
        10 => kafka::FindCoordinatorRequest,
        11 => kafka::JoinGroupRequest,
        12 => kafka::HeartbeatRequest,
        13 => kafka::LeaveGroupRequest,
        14 => kafka::SyncGroupRequest,
        15 => kafka::DescribeGroupsRequest,
        16 => kafka::ListGroupsRequest,
        18 => beyond::ApiVersionsRequest,
        19 => kafka::CreateTopicsRequest,
        20 => kafka::DeleteTopicsRequest,
        21 => kafka::DeleteRecordsRequest,
        22 => kafka::InitProducerIdRequest,
        23 => kafka::OffsetForLeaderEpochRequest,
        32 => kafka::DescribeConfigsRequest,
        33 => kafka::AlterConfigsRequest,
        34 => kafka::AlterReplicaLogDirsRequest,
        35 => beyond::DescribeLogDirsRequest,
        37 => kafka::CreatePartitionsRequest,
        42 => beyond::DeleteGroupsRequest,
        43 => kafka::ElectLeadersRequest,
        44 => kafka::IncrementalAlterConfigsRequest,
        45 => kafka::AlterPartitionReassignmentsRequest,
        46 => kafka::ListPartitionReassignmentsRequest,
        47 => kafka::OffsetDeleteRequest,
        57 => kafka::UpdateFeaturesRequest,
        60 => kafka::DescribeClusterRequest,
        61 => kafka::DescribeProducersRequest,
        64 => kafka::UnregisterBrokerRequest,
        74 => kafka::ListConfigResourcesRequest,
        75 => kafka::DescribeTopicPartitionsRequest,
    };
    assert!(
        !decoded || checked.is_ok(),
        "nothing is decoded that the shape check refuses"
    );
});
