//! Sizes of logs that are not open: kept from when they were closed, or measured by looking into their directories.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use engine::directory::closed_log;

use super::Shard;
use super::scatter::PartitionKey;
use crate::log_dirs::DirIndex;

/// Directories looked into per trip to a helper thread.
const MEASURED_AT_ONCE: usize = 256;

/// What is known of one partition without opening it.
pub struct Measured {
    pub topic: Arc<str>,
    pub index: i32,
    pub dir: DirIndex,
    pub bytes: u64,
    pub end_offset: i64,
    pub high_watermark: i64,
    /// Its copy on the way to another directory.
    pub future: Option<Future>,
}

pub struct Future {
    pub dir: DirIndex,
    pub bytes: u64,
    /// Everything below is there.
    pub end_offset: i64,
}

impl Shard {
    /// Every partition that has a place. What is not open stays closed.
    pub async fn measured(self: &Rc<Shard>) -> Vec<Measured> {
        self.measure_closed().await;
        let image = self.image();
        let mut measured = Vec::new();
        for key in self.partitions.keys() {
            if let Some(topic) = image.topic(key.topic_id) {
                let future = self.moves.get(&key).map(|moving| Future {
                    dir: moving.to,
                    bytes: moving.copied_bytes.get(),
                    end_offset: moving.copied_to.get(),
                });
                let found = self.partitions.measured(&key, &topic.name);
                measured.extend(found.map(|found| Measured { future, ..found }));
            }
        }
        measured
    }

    /// A size is measured once: it does not change as long as the log is not open.
    async fn measure_closed(self: &Rc<Shard>) {
        let image = self.image();
        let mut unknown: Vec<(PartitionKey, PathBuf)> = Vec::new();
        self.partitions.for_each_cold(|key, place| {
            let is_unknown = place.kept.as_ref().is_some_and(|kept| kept.size_bytes.is_none());
            if is_unknown
                && self.node.log_dirs.get(place.dir).is_online()
                && let Some(topic) = image.topic(key.topic_id)
            {
                unknown.push((*key, self.partition_path(place.dir, &topic.name, key.index)));
            }
        });
        for unknown in unknown.chunks(MEASURED_AT_ONCE) {
            let paths: Vec<PathBuf> = unknown.iter().map(|(_, path)| path.clone()).collect();
            let sizes = reactor::background(move || {
                let sizes = paths.iter().map(|path| closed_log::size_bytes(path).ok());
                sizes.collect::<Vec<Option<u64>>>()
            });
            for ((key, _), size) in unknown.iter().zip(sizes.await) {
                self.partitions.set_size(key, size);
            }
        }
    }
}

impl super::Partitions {
    fn set_size(&self, key: &PartitionKey, size: Option<u64>) {
        use super::partitions::Slot;
        // One that was opened meanwhile knows better.
        if let Some(Slot::Cold(place) | Slot::Offline { place, .. }) = self.slots.borrow_mut().get_mut(key)
            && let Some(kept) = &mut place.kept
        {
            kept.size_bytes = size;
        }
    }

    fn measured(&self, key: &PartitionKey, topic: &Arc<str>) -> Option<Measured> {
        let slots = self.slots.borrow();
        let slot = slots.get(key)?;
        let measured = |dir, bytes, end_offset, high_watermark| Measured {
            topic: topic.clone(),
            index: key.index,
            dir,
            bytes,
            end_offset,
            high_watermark,
            future: None,
        };
        if let Some(partition) = slot.opened() {
            let log = &partition.log;
            return Some(measured(
                partition.dir(),
                log.size_bytes(),
                log.end_offset().0,
                log.high_watermark().0,
            ));
        }
        slot.with_place(|place| {
            let kept = place.kept.as_ref();
            let bytes = kept.and_then(|kept| kept.size_bytes).unwrap_or(0);
            let high_watermark = kept
                .and_then(|kept| kept.high_watermark)
                .map_or(0, |offset| offset.0);
            measured(place.dir, bytes, high_watermark, high_watermark)
        })
    }
}
