//! Consumer lag: how far each group's committed offsets are behind the high watermarks.
//!
//! Committed offsets are with the shard that coordinates the group, high watermarks with the one that owns the partition, so both
//! are asked for and joined here.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use futures_util::future::join_all;

use super::scrape::everywhere;
use crate::metrics::Snapshot;
use crate::shard::{Router, Shard, ShardGone};

/// Groups that a scrape shows; the bound on the series that groups made in a loop can cost.
const GROUPS_MAX: usize = 10_000;

struct Committed {
    group: String,
    topic: String,
    partition: i32,
    offset: i64,
}

pub async fn collect(main: &Router, out: &mut Snapshot) -> Result<(), ShardGone> {
    let mut states: BTreeMap<String, u64> = BTreeMap::new();
    let mut committed = Vec::new();
    for part in join_all(everywhere(main, groups)).await {
        let (counts, offsets) = part?;
        for (state, count) in counts {
            *states.entry(state).or_default() += count;
        }
        committed.extend(offsets);
    }
    for (state, count) in states {
        out.gauge(
            "groups",
            "Consumer groups, by state.",
            &[("state", &state)],
            count as f64,
        );
    }
    if committed.is_empty() {
        return Ok(());
    }
    let mut ends: HashMap<(String, i32), i64> = HashMap::new();
    for part in join_all(everywhere(main, high_watermarks)).await {
        ends.extend(part?);
    }
    let mut lags: BTreeMap<(String, String), i64> = BTreeMap::new();
    for Committed {
        group,
        topic,
        partition,
        offset,
    } in committed
    {
        if let Some(end) = ends.get(&(topic.clone(), partition)) {
            *lags.entry((group, topic)).or_default() += (end - offset).max(0);
        }
    }
    for ((group, topic), lag) in lags.into_iter().take(GROUPS_MAX) {
        let labels = [("group", group.as_str()), ("topic", topic.as_str())];
        out.gauge(
            "group_lag",
            "Records between a group's committed offsets and the high watermarks.",
            &labels,
            lag as f64,
        );
    }
    Ok(())
}

async fn groups(shard: Rc<Shard>) -> (Vec<(String, u64)>, Vec<Committed>) {
    let mut counts = Vec::new();
    let mut offsets = Vec::new();
    for host in shard.coordinators.all() {
        host.inspect(|machine| {
            counts.extend(
                machine
                    .group_counts()
                    .into_iter()
                    .map(|(state, count)| (state.to_string(), count as u64)),
            );
            offsets.extend(
                machine
                    .committed_offsets()
                    .map(|(group, topic, partition, offset)| Committed {
                        group: group.to_owned(),
                        topic: topic.to_owned(),
                        partition,
                        offset: offset.0,
                    }),
            );
        });
    }
    (counts, offsets)
}

/// Of closed logs as well, without opening them.
async fn high_watermarks(shard: Rc<Shard>) -> Vec<((String, i32), i64)> {
    let measured = shard.measured().await;
    let ends = measured.into_iter().map(|partition| {
        let key = (partition.topic.to_string(), partition.index);
        (key, partition.high_watermark)
    });
    ends.collect()
}
