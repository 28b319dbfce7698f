//! What the journals have and the segments lack, put there before any log is opened.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use control::config::BrokerConfig;
use control::image::{ClusterImage, ConfigResource, ResourceKind};
use engine::journal::{JournalError, Owner, Replayed, replay};
use engine::types::Offset;

use super::found::{Found, LastOffsets};
use super::set::DirIndex;

/// Replays the journals of every directory. One whose journal cannot be read goes offline; who relies on it finds that out.
pub async fn replay_journals(last: &mut LastOffsets, image: &Arc<ClusterImage>, config: &Arc<BrokerConfig>) {
    let online: Vec<DirIndex> = last.set.online().map(|(index, _)| index).collect();
    let names = image.clone();
    for dir in online {
        let (found, image, config) = (last.found.clone(), image.clone(), config.clone());
        let path = last.set.get(dir).path().to_owned();
        let replayed: Result<Replayed, JournalError> = reactor::background(move || {
            replay(&path, |(topic_id, index)| {
                let topic = image.topic(topic_id)?;
                let found = found.get(&*topic.name)?.get(&index)?;
                // One that was moved away has all it had here.
                (found.dir == dir).then(|| Owner {
                    topic: topic.name.to_string(),
                    state: found.state,
                    is_compacted: is_compacted(&config, &image, &topic.name),
                })
            })
        })
        .await;
        match replayed {
            Ok(replayed) => note(last, named(&names, &replayed.ends), &replayed),
            Err(error) => last.set.get(dir).fail(&error),
        }
    }
}

type Ends = Vec<(Arc<str>, i32, Offset)>;

fn named(image: &ClusterImage, ends: &HashMap<(uuid::Uuid, i32), Offset>) -> Ends {
    let named = ends
        .iter()
        .filter_map(|((topic_id, index), end)| Some((image.topic(*topic_id)?.name.clone(), *index, *end)));
    named.collect()
}

/// What was replayed is synced: the logs need not be checked again from where the checkpoints stand.
fn note(last: &mut LastOffsets, ends: Ends, replayed: &Replayed) {
    if replayed.entries > 0 {
        tracing::info!(
            frames = replayed.frames,
            entries = replayed.entries,
            batches_appended = replayed.batches_appended,
            bytes_appended = replayed.bytes_appended,
            "the journal is replayed"
        );
    }
    if replayed.batches_without_place > 0 || replayed.frames_behind_damage > 0 {
        tracing::error!(
            batches_without_place = replayed.batches_without_place,
            frames_behind_damage = replayed.frames_behind_damage,
            "the journal has holes: the disk has lost what it had acknowledged"
        );
    }
    let found: &mut HashMap<String, BTreeMap<i32, Found>> = Arc::make_mut(&mut last.found);
    for (topic, index, end) in ends {
        let found = found
            .get_mut(&*topic)
            .and_then(|of_topic| of_topic.get_mut(&index));
        if let Some(found) = found {
            found.state.recovery_point = Some(end);
        }
    }
}

fn is_compacted(config: &BrokerConfig, image: &ClusterImage, topic: &str) -> bool {
    let none = control::config::Overrides::new();
    let own = ConfigResource::new(ResourceKind::Broker, &config.node_id.to_string());
    let all = image.config(&ConfigResource::all_brokers());
    let own = image.config(&own);
    let view =
        control::config::ConfigView::new(config, all.map_or(&none, |all| all), own.map_or(&none, |own| own));
    let of_topic = image.config(&ConfigResource::topic(topic));
    view.topic(of_topic.map_or(&none, |own| own))
        .cleanup_policy
        .compact
}
