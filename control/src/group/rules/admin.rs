//! DescribeGroups and ListGroups: looking, not touching.

use crate::group::error::ErrorCode;
use crate::group::group::{Group, GroupState};
use crate::group::request::{DescribeGroupsRequest, ListGroupsRequest, RequestContext};
use crate::group::response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember, ListGroupsResponse, ListedGroup, Response,
};
use crate::group::shard::{GroupShard, Token};

/// First version that is told when a group is not there (KIP-1043); older ones are shown a dead one.
const GROUP_ID_NOT_FOUND_SINCE: i16 = 6;

/// Type of these groups among the others there are since KIP-848.
const GROUP_TYPE: &str = "classic";

pub(in crate::group) fn describe(
    shard: &mut GroupShard,
    token: Token,
    context: &RequestContext,
    request: DescribeGroupsRequest,
) {
    let describe = |id: String| match shard.groups.get(id.as_str()) {
        Some(group) => described(group),
        None => absent(id, context.api_version),
    };
    let groups = request.groups.into_iter().map(describe).collect();
    shard
        .out
        .respond(token, Response::DescribeGroups(DescribeGroupsResponse { groups }));
}

fn absent(group_id: String, api_version: i16) -> DescribedGroup {
    let is_told = api_version >= GROUP_ID_NOT_FOUND_SINCE;
    DescribedGroup {
        error_code: if is_told {
            ErrorCode::GROUP_ID_NOT_FOUND
        } else {
            ErrorCode::NONE
        },
        error_message: is_told.then(|| format!("Group {group_id} not found.")),
        group_state: GroupState::Dead.name().to_owned(),
        group_id,
        ..Default::default()
    }
}

fn described(group: &Group) -> DescribedGroup {
    // what members support and what the group chose agree only once it is stable
    let protocol = group
        .protocol_name
        .as_deref()
        .filter(|_| group.state() == GroupState::Stable);
    DescribedGroup {
        error_code: ErrorCode::NONE,
        error_message: None,
        group_id: group.id.to_string(),
        group_state: group.state().name().to_owned(),
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        protocol_data: protocol.unwrap_or_default().to_owned(),
        members: group
            .members()
            .iter()
            .map(|(id, member)| DescribedGroupMember {
                member_id: id.to_string(),
                group_instance_id: member.group_instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                member_metadata: protocol
                    .and_then(|p| member.metadata(p))
                    .cloned()
                    .unwrap_or_default(),
                member_assignment: member.assignment.clone(),
            })
            .collect(),
    }
}

pub(in crate::group) fn list(shard: &mut GroupShard, token: Token, request: ListGroupsRequest) {
    let names = |filter: &[String], name: &str| {
        filter.is_empty() || filter.iter().any(|f| f.trim().eq_ignore_ascii_case(name))
    };
    let groups = shard
        .groups
        .values()
        .filter(|group| names(&request.states_filter, group.state().name()))
        .filter(|_| names(&request.types_filter, GROUP_TYPE))
        .map(|group| ListedGroup {
            group_id: group.id.to_string(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            group_state: group.state().name().to_owned(),
            group_type: GROUP_TYPE.to_owned(),
        })
        .collect();
    shard.out.respond(
        token,
        Response::ListGroups(ListGroupsResponse {
            error_code: ErrorCode::NONE,
            groups,
        }),
    );
}
