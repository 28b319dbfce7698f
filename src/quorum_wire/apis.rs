//! What the control listener serves of Kafka's protocol when the store is a quorum.

use bytes::{Bytes, BytesMut};
use control::quorum::{Request, Response};
use futures_util::future::LocalBoxFuture;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{
    AddRaftVoterRequest, ApiVersionsResponse as PlainApiVersions, BeginQuorumEpochRequest,
    DescribeClusterRequest, DescribeQuorumRequest, EndQuorumEpochRequest, FetchRequest, FetchSnapshotRequest,
    RemoveRaftVoterRequest, UpdateRaftVoterRequest, VoteRequest,
};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request as Message, StrBytes};
use net::error::ErrorCode;
use net::header::RequestHeader;
use net::message::{decode_request, encode_response};
use net::versions_beyond_crate::{ApiVersionsRequest, ApiVersionsResponse};

use super::voter_changes::{RaftVoterRequest, answered};
use super::{Meeting, Replica, asks, describe, peers, responses};
use crate::control_channel::ControllerApis;

/// Key, lowest and highest version.
const SERVED: [(i16, i16, i16); 11] = [
    // by topic id, with what the follower knows to be committed
    (FetchRequest::KEY, 18, 18),
    (ApiVersionsRequest::KEY, 0, 5),
    // versions 0 know no directories
    (VoteRequest::KEY, 1, 2),
    (BeginQuorumEpochRequest::KEY, 1, 1),
    (EndQuorumEpochRequest::KEY, 1, 1),
    (DescribeQuorumRequest::KEY, 0, 2),
    (FetchSnapshotRequest::KEY, 1, 1),
    (DescribeClusterRequest::KEY, 1, 2),
    (AddRaftVoterRequest::KEY, 0, 0),
    (RemoveRaftVoterRequest::KEY, 0, 0),
    (UpdateRaftVoterRequest::KEY, 0, 0),
];

/// Answers for the replica of this member.
pub struct QuorumApis {
    pub meeting: Meeting,
}

impl ControllerApis for QuorumApis {
    fn answer(&self, frame: BytesMut) -> LocalBoxFuture<'static, Option<Bytes>> {
        let replica = self.meeting.replica();
        Box::pin(async move { answer(replica?, frame).await })
    }
}

/// One request, its header read.
struct Asked {
    header: RequestHeader,
    body: Bytes,
}

impl Asked {
    fn decode<T: Message>(&self) -> Option<T> {
        let decoded = decode_request(self.header.api_version, self.body.clone());
        decoded
            .map_err(|error| tracing::debug!(%error, "a request of a member"))
            .ok()
    }

    fn reply<T: Encodable + HeaderVersion>(&self, response: &T) -> Option<Bytes> {
        let frame = encode_response(self.header.api_version, self.header.correlation_id, response);
        frame
            .map_err(|error| tracing::error!(%error, "an answer that does not fit the protocol"))
            .ok()
    }
}

async fn answer(replica: Replica, mut frame: BytesMut) -> Option<Bytes> {
    let header = RequestHeader::split_from(&mut frame).ok()?;
    let version = header.api_version;
    let asked = Asked {
        header,
        body: frame.freeze(),
    };
    let key = asked.header.api_key;
    let (_, lowest, highest) = SERVED.into_iter().find(|(served, ..)| *served == key)?;
    if !(lowest..=highest).contains(&version) {
        return match key {
            ApiVersionsRequest::KEY => unsupported(&asked),
            _ => None,
        };
    }
    match key {
        FetchRequest::KEY => {
            let request: FetchRequest = asked.decode()?;
            if is_foreign(&replica, request.cluster_id.as_ref()) {
                let code = ErrorCode::InconsistentClusterId.code();
                return asked
                    .reply(&kafka_protocol::messages::FetchResponse::default().with_error_code(code));
            }
            match replica
                .server
                .serve(Request::Fetch(asks::read_fetch(&request)?))
                .await?
            {
                Response::Fetch(response) => asked.reply(&responses::fetch(&response)),
                _ => None,
            }
        }
        ApiVersionsRequest::KEY => {
            let _who: ApiVersionsRequest = asked.decode()?;
            asked.reply(&ApiVersionsResponse(versions(ErrorCode::None)))
        }
        VoteRequest::KEY => {
            let request: VoteRequest = asked.decode()?;
            if is_foreign(&replica, request.cluster_id.as_ref()) {
                let code = ErrorCode::InconsistentClusterId.code();
                return asked.reply(&kafka_protocol::messages::VoteResponse::default().with_error_code(code));
            }
            match replica
                .server
                .serve(Request::Vote(asks::read_vote(&request)?))
                .await?
            {
                Response::Vote(response) => asked.reply(&responses::vote(&response)),
                _ => None,
            }
        }
        BeginQuorumEpochRequest::KEY => {
            let request: BeginQuorumEpochRequest = asked.decode()?;
            if is_foreign(&replica, request.cluster_id.as_ref()) {
                let code = ErrorCode::InconsistentClusterId.code();
                return asked.reply(
                    &kafka_protocol::messages::BeginQuorumEpochResponse::default().with_error_code(code),
                );
            }
            let request = Request::BeginQuorumEpoch(asks::read_begin(&request)?);
            match replica.server.serve(request).await? {
                Response::BeginQuorumEpoch(response) => asked.reply(&responses::begin(&response)),
                _ => None,
            }
        }
        EndQuorumEpochRequest::KEY => {
            let request: EndQuorumEpochRequest = asked.decode()?;
            if is_foreign(&replica, request.cluster_id.as_ref()) {
                let code = ErrorCode::InconsistentClusterId.code();
                return asked.reply(
                    &kafka_protocol::messages::EndQuorumEpochResponse::default().with_error_code(code),
                );
            }
            let request = Request::EndQuorumEpoch(asks::read_end(&request)?);
            match replica.server.serve(request).await? {
                Response::EndQuorumEpoch(response) => asked.reply(&responses::end(&response)),
                _ => None,
            }
        }
        FetchSnapshotRequest::KEY => {
            let request: FetchSnapshotRequest = asked.decode()?;
            if is_foreign(&replica, request.cluster_id.as_ref()) {
                let code = ErrorCode::InconsistentClusterId.code();
                return asked.reply(
                    &kafka_protocol::messages::FetchSnapshotResponse::default().with_error_code(code),
                );
            }
            let request = asks::read_fetch_snapshot(&request)?;
            let id = request.id;
            match replica.server.serve(Request::FetchSnapshot(request)).await? {
                Response::FetchSnapshot(response) => asked.reply(&responses::fetch_snapshot(id, &response)),
                _ => None,
            }
        }
        DescribeQuorumRequest::KEY => {
            let request: DescribeQuorumRequest = asked.decode()?;
            let response = describe_quorum(&replica, &request).await;
            asked.reply(&describe::at_version(response, version))
        }
        DescribeClusterRequest::KEY => {
            let request: DescribeClusterRequest = asked.decode()?;
            let (leader, voters) = (replica.server.leadership(), replica.server.voters());
            let voters = voters
                .into_iter()
                .map(|(id, endpoint)| (id.0, endpoint))
                .collect();
            asked.reply(&describe::controllers(
                &replica.cluster_id,
                leader,
                voters,
                request.endpoint_type,
            ))
        }
        AddRaftVoterRequest::KEY => change::<AddRaftVoterRequest>(&replica, &asked).await,
        RemoveRaftVoterRequest::KEY => change::<RemoveRaftVoterRequest>(&replica, &asked).await,
        UpdateRaftVoterRequest::KEY => change::<UpdateRaftVoterRequest>(&replica, &asked).await,
        _ => None,
    }
}

/// Whether somebody of another cluster asks. Who does not say which is believed, as in Kafka.
fn is_foreign(replica: &Replica, cluster_id: Option<&StrBytes>) -> bool {
    cluster_id.is_some_and(|id| id.as_str() != replica.cluster_id)
}

async fn describe_quorum(
    replica: &Replica,
    request: &DescribeQuorumRequest,
) -> kafka_protocol::messages::DescribeQuorumResponse {
    if let Some(quorum) = replica.server.describe() {
        return describe::described(request, &quorum);
    }
    match ask_leader(replica, request).await {
        Some(response) => response,
        None => describe::refused(ErrorCode::NotLeaderOrFollower),
    }
}

async fn change<T: RaftVoterRequest>(replica: &Replica, asked: &Asked) -> Option<Bytes>
where
    T::Response: Encodable + HeaderVersion,
{
    let request: T = asked.decode()?;
    if is_foreign(replica, request.cluster_id()) {
        let message = format!("this is cluster {}", replica.cluster_id);
        return asked.reply(&T::response(ErrorCode::InconsistentClusterId, Some(message)));
    }
    let Some(change) = request.change() else {
        let message = "a voter needs a listener".to_owned();
        return asked.reply(&T::response(ErrorCode::InvalidRequest, Some(message)));
    };
    let outcome = replica.server.change_voters(change).await;
    if outcome == Err(control::quorum::ChangeError::NotLeader)
        && let Some(response) = ask_leader(replica, &request).await
    {
        return asked.reply(&response);
    }
    asked.reply(&answered::<T>(outcome))
}

/// The leader's answer to a request that only it can answer; `None` when this replica leads, or knows nobody who does.
async fn ask_leader<T: Message>(replica: &Replica, request: &T) -> Option<T::Response> {
    let leader = replica.server.leadership()?;
    if replica.server.is(leader.controller) {
        return None;
    }
    let client = peers::connect(&leader.endpoint).await.ok()?;
    client.call(request).await.ok()
}

fn versions(code: ErrorCode) -> PlainApiVersions {
    let keys = SERVED.into_iter().map(|(key, lowest, highest)| {
        ApiVersion::default()
            .with_api_key(key)
            .with_min_version(lowest)
            .with_max_version(highest)
    });
    PlainApiVersions::default()
        .with_error_code(code.code())
        .with_api_keys(keys.collect())
}

/// In version 0, which everybody reads.
fn unsupported(asked: &Asked) -> Option<Bytes> {
    let response = ApiVersionsResponse(versions(ErrorCode::UnsupportedVersion));
    encode_response(0, asked.header.correlation_id, &response).ok()
}
