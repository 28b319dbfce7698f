//! New cluster images on their way to the shards.

use std::sync::Arc;

use control::image::{ClusterImage, Delta};
use control::service::Publish;
use futures_util::future::join_all;

use crate::shard::{self, Router, ShardId};

/// The control thread's way to the shards.
pub struct ShardPublisher {
    router: Router,
}

impl ShardPublisher {
    pub fn new(router: Router) -> ShardPublisher {
        ShardPublisher { router }
    }
}

impl Publish for ShardPublisher {
    /// Done when every shard has opened, closed and reconfigured what the delta says. A shard that has ended needs no image.
    async fn publish(&mut self, image: Arc<ClusterImage>, delta: Arc<Delta>) {
        let applied = (0..self.router.shard_count()).map(|index| {
            let (image, delta) = (image.clone(), delta.clone());
            self.router
                .send(ShardId(index), move |shard| shard::apply(shard, image, delta))
        });
        let applied: Vec<_> = applied.collect();
        join_all(applied).await;
    }
}
