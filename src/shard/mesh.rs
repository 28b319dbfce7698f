//! The mailboxes of a broker: one per ordered pair of shards, and one from each helper thread to each shard.

use reactor::mailbox;

use super::router::{MAILBOX_CALLS, Parcel, Router, ShardId};

/// What one shard gets: its way to the others, and what arrives from each of them.
pub struct ShardPorts {
    pub router: Router,
    pub inboxes: Vec<mailbox::Receiver<Parcel>>,
}

/// All ports of a broker.
pub struct Mesh {
    pub shards: Vec<ShardPorts>,
    /// For the main thread: listeners, admin port, shutdown.
    pub main: Router,
    /// For the control thread: images.
    pub control: Router,
}

impl Mesh {
    pub fn new(shard_count: usize) -> Mesh {
        let mut inboxes: Vec<Vec<mailbox::Receiver<Parcel>>> = (0..shard_count).map(|_| Vec::new()).collect();
        let mut routers: Vec<Router> = (0..shard_count + 2)
            .map(|sender| {
                let lanes = (0..shard_count)
                    .map(|receiver| {
                        (sender != receiver).then(|| {
                            let (lane, inbox) = mailbox::channel(MAILBOX_CALLS);
                            inboxes[receiver].push(inbox);
                            lane
                        })
                    })
                    .collect();
                Router::new(ShardId(sender), lanes)
            })
            .collect();
        let helpers = routers.split_off(shard_count);
        let shards = routers
            .into_iter()
            .zip(inboxes)
            .map(|(router, inboxes)| ShardPorts { router, inboxes })
            .collect();
        let [main, control] =
            <[Router; 2]>::try_from(helpers).unwrap_or_else(|_| unreachable!("two helpers were made above"));
        Mesh {
            shards,
            main,
            control,
        }
    }
}
