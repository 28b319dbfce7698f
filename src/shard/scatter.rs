//! Split and join: work for many partitions, each done by the shard that owns it, answered in the order asked.

use std::future::Future;
use std::hash::Hasher;
use std::rc::Rc;

use futures_util::future::{JoinAll, join_all};
use uuid::Uuid;

use super::Shard;
use super::router::{ShardGone, ShardId};

/// A partition by the identity that survives deletion and re-creation of a topic's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionKey {
    pub topic_id: Uuid,
    pub index: i32,
}

/// For maps by partition. Topic ids are random and nobody chooses them, so little mixing does; and it is the same in every process, so that
/// a simulated shard visits its partitions in the same order whenever a seed is run.
#[derive(Default)]
pub struct KeyHasher(u64);

impl KeyHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.mix(u64::from(*byte));
        }
    }

    fn write_i32(&mut self, number: i32) {
        self.mix(u64::from(number.cast_unsigned()));
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// Runs `work` for every item on the shard that owns its partition.
///
/// The first poll sends all parcels and starts the local items in order, so what `work` does before its first wait
/// happens in the order of calls: that is the ordered part of a produce. Results come in the order of `items`.
pub async fn scatter<I, T, W, Fut>(
    shard: &Rc<Shard>,
    items: Vec<(PartitionKey, I)>,
    work: W,
) -> Result<Vec<T>, ShardGone>
where
    I: Send + 'static,
    T: Send + 'static,
    W: Fn(Rc<Shard>, PartitionKey, I) -> Fut + Copy + Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    let own = shard.router.own();
    if items.iter().all(|(key, _)| shard.owner(key) == own) {
        let started = items
            .into_iter()
            .map(|(key, item)| work(shard.clone(), key, item));
        return Ok(join_bundled(started).await);
    }
    let mut split: Vec<Vec<(usize, PartitionKey, I)>> =
        (0..shard.router.shard_count()).map(|_| Vec::new()).collect();
    let count = items.len();
    for (position, (key, item)) in items.into_iter().enumerate() {
        split[shard.owner(&key).0].push((position, key, item));
    }
    let parts = split
        .into_iter()
        .enumerate()
        .filter(|(_, part)| !part.is_empty())
        .map(|(owner, part)| {
            let owner = ShardId(owner);
            let do_part = move |shard: Rc<Shard>| {
                join_bundled(part.into_iter().map(move |(position, key, item)| {
                    let result = work(shard.clone(), key, item);
                    async move { (position, result.await) }
                }))
            };
            if owner == own {
                Part::Here(do_part(shard.clone()))
            } else {
                Part::There(shard.router.send(owner, do_part))
            }
        });
    let mut results: Vec<Option<T>> = (0..count).map(|_| None).collect();
    for part in join_all(parts.map(Part::join)).await {
        for (position, result) in part? {
            results[position] = Some(result);
        }
    }
    // Every position was sent to exactly one owner, and an owner that fails to answer has ended the call above.
    results
        .into_iter()
        .map(|result| result.ok_or(ShardGone))
        .collect()
}

/// As many as `join_all` keeps side by side. Of more it makes an allocation and a waker each: at 250 partitions a request that was a
/// third of what the request cost.
const BUNDLE: usize = 30;

/// [`join_all`] for futures that become ready together, as those do that wait for one write: a bundle is polled whole.
fn join_bundled<F: Future>(futures: impl Iterator<Item = F>) -> impl Future<Output = Vec<F::Output>> {
    let mut futures = futures.peekable();
    let mut bundles: Vec<JoinAll<F>> = Vec::with_capacity(futures.size_hint().0.div_ceil(BUNDLE));
    while futures.peek().is_some() {
        bundles.push(join_all(futures.by_ref().take(BUNDLE)));
    }
    async move { join_all(bundles).await.into_iter().flatten().collect() }
}

enum Part<H, R> {
    Here(H),
    There(R),
}

impl<H, R> Part<H, R> {
    async fn join<T>(self) -> Result<Vec<(usize, T)>, ShardGone>
    where
        H: Future<Output = Vec<(usize, T)>>,
        R: Future<Output = Result<Vec<(usize, T)>, ShardGone>>,
    {
        match self {
            Part::Here(results) => Ok(results.await),
            Part::There(results) => results.await,
        }
    }
}
