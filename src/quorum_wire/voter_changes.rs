//! AddRaftVoter, RemoveRaftVoter, UpdateRaftVoter (KIP-853).

use control::config::Endpoint;
use control::quorum::{AddVoter, ChangeError, RemoveVoter, ReplicaKey, UpdateVoter, Voter, VoterChange};
use control::record::{BrokerId, DirectoryId};
use kafka_protocol::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse,
    UpdateRaftVoterRequest, UpdateRaftVoterResponse,
};
use kafka_protocol::protocol::StrBytes;
use net::error::ErrorCode;
use uuid::Uuid;

use super::mapping::change_code;
use crate::api::reply::text;

/// One of the three requests: what they have in common.
pub trait RaftVoterRequest: kafka_protocol::protocol::Request {
    fn cluster_id(&self) -> Option<&StrBytes>;

    /// `None` without an address.
    fn change(&self) -> Option<VoterChange>;

    fn response(code: ErrorCode, message: Option<String>) -> Self::Response;
}

/// The outcome on the wire.
pub(super) fn answered<T: RaftVoterRequest>(outcome: Result<(), ChangeError>) -> T::Response {
    match outcome {
        Ok(()) => T::response(ErrorCode::None, None),
        Err(error) => T::response(change_code(&error), Some(error.to_string())),
    }
}

fn key(id: i32, directory: Uuid) -> ReplicaKey {
    ReplicaKey::new(BrokerId(id), DirectoryId(directory))
}

impl RaftVoterRequest for AddRaftVoterRequest {
    fn cluster_id(&self) -> Option<&StrBytes> {
        self.cluster_id.as_ref()
    }

    fn change(&self) -> Option<VoterChange> {
        let listener = self.listeners.first()?;
        let voter = Voter {
            key: key(self.voter_id, self.voter_directory_id),
            endpoint: Endpoint {
                host: listener.host.to_string(),
                port: listener.port,
            },
        };
        Some(VoterChange::Add(AddVoter { voter }))
    }

    fn response(code: ErrorCode, message: Option<String>) -> AddRaftVoterResponse {
        AddRaftVoterResponse::default()
            .with_error_code(code.code())
            .with_error_message(message.map(text))
    }
}

impl RaftVoterRequest for RemoveRaftVoterRequest {
    fn cluster_id(&self) -> Option<&StrBytes> {
        self.cluster_id.as_ref()
    }

    fn change(&self) -> Option<VoterChange> {
        let key = key(self.voter_id, self.voter_directory_id);
        Some(VoterChange::Remove(RemoveVoter { key }))
    }

    fn response(code: ErrorCode, message: Option<String>) -> RemoveRaftVoterResponse {
        RemoveRaftVoterResponse::default()
            .with_error_code(code.code())
            .with_error_message(message.map(text))
    }
}

impl RaftVoterRequest for UpdateRaftVoterRequest {
    fn cluster_id(&self) -> Option<&StrBytes> {
        self.cluster_id.as_ref()
    }

    fn change(&self) -> Option<VoterChange> {
        let listener = self.listeners.first()?;
        let voter = Voter {
            key: key(self.voter_id, self.voter_directory_id),
            endpoint: Endpoint {
                host: listener.host.to_string(),
                port: listener.port,
            },
        };
        Some(VoterChange::Update(UpdateVoter { voter }))
    }

    fn response(code: ErrorCode, _message: Option<String>) -> UpdateRaftVoterResponse {
        UpdateRaftVoterResponse::default().with_error_code(code.code())
    }
}
