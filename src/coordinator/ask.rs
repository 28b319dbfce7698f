//! From any shard to the coordinator of a group.

use std::rc::Rc;

use control::group::{ErrorCode, Request, RequestContext, Response, partition_for};
use futures_util::future::join_all;

use super::OFFSETS_TOPIC;
use crate::dispatch::Hangup;
use crate::shard::{PartitionKey, Shard, ShardGone};

/// Asks the coordinator of `group_id`, wherever it lives. An error is what the client is to be told.
pub async fn ask(
    shard: &Rc<Shard>,
    group_id: &str,
    context: RequestContext,
    request: Request,
) -> Result<Response, ErrorCode> {
    let key = {
        let image = shard.image();
        let topic = image
            .topic_by_name(OFFSETS_TOPIC)
            .ok_or(ErrorCode::NOT_COORDINATOR)?;
        PartitionKey {
            topic_id: topic.id,
            index: partition_for(group_id, topic.partition_count() as i32),
        }
    };
    let owner = shard.owner(&key);
    if owner == shard.id() {
        return ask_here(shard.clone(), key.index, context, request).await;
    }
    let answer = shard
        .router
        .send(owner, move |shard| ask_here(shard, key.index, context, request));
    answer.await.unwrap_or(Err(ErrorCode::COORDINATOR_NOT_AVAILABLE))
}

async fn ask_here(
    shard: Rc<Shard>,
    partition: i32,
    context: RequestContext,
    request: Request,
) -> Result<Response, ErrorCode> {
    match shard.coordinators.host(&shard, partition).await {
        Ok(host) => host.request(context, request).await,
        Err(net::error::ErrorCode::UnknownTopicOrPartition | net::error::ErrorCode::NotCoordinator) => {
            Err(ErrorCode::NOT_COORDINATOR)
        }
        Err(_) => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
    }
}

/// Asks every coordinator of this broker; one answer per partition of the offsets topic.
pub async fn ask_all(
    shard: &Rc<Shard>,
    context: RequestContext,
    request: Request,
) -> Result<Vec<Result<Response, ErrorCode>>, ShardGone> {
    let parts = (0..shard.router.shard_count()).map(|index| {
        let (context, request) = (context.clone(), request.clone());
        shard.on(crate::shard::ShardId(index), move |shard: Rc<Shard>| async move {
            let hosts = shard.coordinators.all();
            join_all(
                hosts
                    .iter()
                    .map(|host| host.request(context.clone(), request.clone())),
            )
            .await
        })
    });
    let parts = join_all(parts).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(parts.into_iter().flatten().collect())
}

/// The machine answered another request than the one it was asked: a bug, told in the log, and the connection is closed.
pub fn confused(response: &Response) -> Hangup {
    Hangup::confused(response)
}
