//! One member of a group.

use bytes::Bytes;

use super::record::MemberMetadata;
use super::request::JoinGroupProtocol;
use super::shard::Token;

pub(super) struct Member {
    pub(super) group_instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// In the order of preference; names are unique.
    pub(super) protocols: Vec<JoinGroupProtocol>,
    pub(super) assignment: Bytes,
    /// Its parked JoinGroup. Changed through the group only, which counts them.
    pub(super) awaiting_join: Option<Token>,
    /// Its parked SyncGroup.
    pub(super) awaiting_sync: Option<Token>,
    /// It never got an answer to a JoinGroup, so it cannot send heartbeats yet.
    pub(super) is_new: bool,
}

impl Member {
    pub(super) fn is_static(&self) -> bool {
        self.group_instance_id.is_some()
    }

    /// A member that waits for an answer cannot send heartbeats and need not. A new one may have gone away while its
    /// first JoinGroup was parked, so it gets no such credit.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    pub(super) fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.protocols
            .iter()
            .find(|p| p.name == protocol)
            .map(|p| &p.metadata)
    }

    pub(super) fn to_record(
        &self,
        member_id: &str,
        protocol: Option<&str>,
        assignment: Bytes,
    ) -> MemberMetadata {
        MemberMetadata {
            member_id: member_id.to_owned(),
            group_instance_id: self.group_instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout_ms,
            session_timeout: self.session_timeout_ms,
            subscription: protocol
                .and_then(|p| self.metadata(p))
                .cloned()
                .unwrap_or_default(),
            assignment,
        }
    }

    pub(super) fn from_record(record: MemberMetadata, protocol: Option<&str>) -> Member {
        Member {
            group_instance_id: record.group_instance_id,
            client_id: record.client_id,
            client_host: record.client_host,
            // version 0 of the record has no rebalance timeout
            rebalance_timeout_ms: match record.rebalance_timeout {
                -1 => record.session_timeout,
                timeout => timeout,
            },
            session_timeout_ms: record.session_timeout,
            protocols: protocol
                .map(|name| JoinGroupProtocol {
                    name: name.to_owned(),
                    metadata: record.subscription,
                })
                .into_iter()
                .collect(),
            assignment: record.assignment,
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        }
    }
}

/// The protocols a client announced, each name once: a second one of the same name would be counted as another
/// member's support for it.
pub(super) fn distinct(protocols: Vec<JoinGroupProtocol>) -> Vec<JoinGroupProtocol> {
    let mut out: Vec<JoinGroupProtocol> = Vec::with_capacity(protocols.len());
    let mut names = hashbrown::HashSet::with_capacity(protocols.len());
    for protocol in protocols {
        if names.insert(protocol.name.clone()) {
            out.push(protocol);
        }
    }
    out
}
