//! DeleteGroups: forgets empty groups and their offsets.

use std::rc::Rc;

use control::group::{DeletableGroupResult as Deleted, DeleteGroupsRequest as Delete, Request, Response};
use net::versions_beyond_crate::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};

use super::Api;
use super::reply::{optional, text};
use crate::coordinator;
use crate::dispatch::{Call, Outcome};
use crate::shard::Shard;

pub static API: Api = Api::new(42, "DeleteGroups", (0, 3), |shard, call| {
    Box::pin(answer(shard, call))
});

async fn answer(shard: Rc<Shard>, mut call: Call) -> Outcome {
    let request: DeleteGroupsRequest = call.decode()?;
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group_id in request.0.groups_names {
        let group_id = group_id.to_string();
        let delete = Delete {
            groups_names: vec![group_id.clone()],
        };
        match coordinator::ask(
            &shard,
            &group_id,
            call.group_context(),
            Request::DeleteGroups(delete),
        )
        .await
        {
            Ok(Response::DeleteGroups(answer)) => results.extend(answer.results),
            Ok(other) => return Err(coordinator::confused(&other)),
            Err(error_code) => results.push(Deleted {
                group_id,
                error_code,
                error_message: None,
            }),
        }
    }
    let results = results.into_iter().map(|result| DeletableGroupResult {
        group_id: text(result.group_id),
        error_code: result.error_code.0,
        error_message: optional(result.error_message),
    });
    call.reply(&DeleteGroupsResponse {
        throttle_time_ms: 0,
        results: results.collect(),
    })
}
