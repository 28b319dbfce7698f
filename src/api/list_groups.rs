//! ListGroups: every group that this broker coordinates, by state and type.

use std::rc::Rc;

use control::group::{ListGroupsRequest as List, Request, Response};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};

use super::Api;
use super::reply::text;
use crate::coordinator;
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(16, "ListGroups", (0, 5), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: ListGroupsRequest = call.decode()?;
    let list = List {
        states_filter: request
            .states_filter
            .iter()
            .map(|state| state.to_string())
            .collect(),
        types_filter: request.types_filter.iter().map(|kind| kind.to_string()).collect(),
    };
    let mut response = ListGroupsResponse::default();
    for answer in coordinator::ask_all(&shard, call.group_context(), Request::ListGroups(list)).await? {
        match answer {
            Ok(Response::ListGroups(part)) => {
                if part.error_code.is_error() {
                    response.error_code = part.error_code.0;
                }
                response.groups.extend(part.groups.into_iter().map(|group| {
                    ListedGroup::default()
                        .with_group_id(GroupId(text(group.group_id)))
                        .with_protocol_type(text(group.protocol_type))
                        .with_group_state(text(group.group_state))
                        .with_group_type(text(group.group_type))
                }));
            }
            Ok(other) => return Err(coordinator::confused(&other)),
            Err(code) => response.error_code = code.0,
        }
    }
    call.reply(&response)
}
