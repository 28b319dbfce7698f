//! DescribeGroups: state, protocol and members of classic groups.

use std::rc::Rc;

use control::group::{DescribeGroupsRequest as Describe, DescribedGroup as Described, Request, Response};
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

use super::Api;
use super::describe_cluster::OPERATIONS_NOT_ASKED;
use super::reply::{optional, text};
use crate::coordinator;
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(15, "DescribeGroups", (0, 6), |shard, call| {
    Box::pin(answer(shard, call))
});

/// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS as bits by operation code: all that Kafka's GROUP resource knows.
const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

const ERROR_MESSAGE_SINCE: i16 = 6;

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: DescribeGroupsRequest = call.decode()?;
    let mut groups = Vec::with_capacity(request.groups.len());
    for group_id in request.groups {
        let group_id = group_id.to_string();
        let describe = Describe {
            groups: vec![group_id.clone()],
        };
        match coordinator::ask(
            &shard,
            &group_id,
            call.group_context(),
            Request::DescribeGroups(describe),
        )
        .await
        {
            Ok(Response::DescribeGroups(answer)) => groups.extend(answer.groups),
            Ok(other) => return Err(coordinator::confused(&other)),
            Err(error_code) => groups.push(Described {
                group_id,
                error_code,
                ..Described::default()
            }),
        }
    }
    let operations = if request.include_authorized_operations {
        GROUP_OPERATIONS
    } else {
        OPERATIONS_NOT_ASKED
    };
    let with_message = call.version() >= ERROR_MESSAGE_SINCE;
    let groups = groups.into_iter().map(|group| {
        let members = group.members.into_iter().map(|member| {
            DescribedGroupMember::default()
                .with_member_id(text(member.member_id))
                .with_group_instance_id(optional(member.group_instance_id))
                .with_client_id(text(member.client_id))
                .with_client_host(text(member.client_host))
                .with_member_metadata(member.member_metadata)
                .with_member_assignment(member.member_assignment)
        });
        DescribedGroup::default()
            .with_error_code(group.error_code.0)
            .with_error_message(optional(group.error_message.filter(|_| with_message)))
            .with_group_id(GroupId(text(group.group_id)))
            .with_group_state(text(group.group_state))
            .with_protocol_type(text(group.protocol_type))
            .with_protocol_data(text(group.protocol_data))
            .with_members(members.collect())
            .with_authorized_operations(operations)
    });
    call.reply(&DescribeGroupsResponse::default().with_groups(groups.collect()))
}
