//! The last offset of every key of a round, in bounded memory.
//!
//! Keys are not stored, only 128 bits of a keyed hash: 24 bytes a key whatever its size (as in Kafka), and 2^64 keys before two
//! of them are likely to be taken for one. The hash key is random for each round, so that nobody can choose such a pair.

use std::hash::{DefaultHasher, Hasher};

use crate::types::Offset;

#[derive(Copy, Clone)]
struct Slot {
    hash: [u64; 2],
    /// `NONE`: the slot is free.
    offset: Offset,
}

const FREE: Slot = Slot {
    hash: [0; 2],
    offset: Offset::NONE,
};
const SLOT_BYTES: usize = size_of::<Slot>();
/// A map that takes no key would make no progress.
const SLOTS_MIN: usize = 16;

/// Open addressing with linear probing, as full as the load factor lets it become.
pub(super) struct OffsetMap {
    slots: Vec<Slot>,
    len: usize,
    len_max: usize,
    hash_keys: [u64; 4],
    end_offset: Offset,
}

impl OffsetMap {
    /// A map that takes at most `bytes`, and no more than `keys_max` keys need, for records from `start` on. Its memory is
    /// there from the start: growing would need half of it again.
    pub(super) fn new(
        bytes: usize,
        load_factor: f64,
        keys_max: u64,
        hash_keys: [u64; 4],
        start: Offset,
    ) -> Self {
        // probing needs free slots to end at
        let load_factor = if load_factor > 0.0 {
            load_factor.min(0.95)
        } else {
            0.95
        };
        let wanted = (keys_max as f64 / load_factor) as usize;
        let slots = (bytes / SLOT_BYTES).min(wanted.saturating_add(1)).max(SLOTS_MIN);
        OffsetMap {
            slots: vec![FREE; slots],
            len: 0,
            len_max: ((slots as f64 * load_factor) as usize).max(1),
            hash_keys,
            end_offset: start,
        }
    }

    /// Everything below is in the map.
    pub(super) fn end_offset(&self) -> Offset {
        self.end_offset
    }

    pub(super) fn advance_to(&mut self, end_offset: Offset) {
        self.end_offset = self.end_offset.max(end_offset);
    }

    /// Offsets come in growing order, so the last one put is the one that stays. False, with nothing changed, when the map is
    /// full; the first key always fits.
    #[must_use]
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        if self.len >= self.len_max {
            return false;
        }
        let hash = self.hash(key);
        let mut at = self.home(hash);
        loop {
            match self.slots.get_mut(at) {
                Some(slot) if slot.offset == Offset::NONE => {
                    *slot = Slot { hash, offset };
                    self.len += 1;
                    return true;
                }
                Some(slot) if slot.hash == hash => {
                    slot.offset = offset;
                    return true;
                }
                Some(_) => at += 1,
                None => at = 0,
            }
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Offset> {
        let hash = self.hash(key);
        let mut at = self.home(hash);
        loop {
            match self.slots.get(at) {
                Some(slot) if slot.offset == Offset::NONE => return None,
                Some(slot) if slot.hash == hash => return Some(slot.offset),
                Some(_) => at += 1,
                None => at = 0,
            }
        }
    }

    /// Where the search for a hash begins: its place in proportion.
    fn home(&self, hash: [u64; 2]) -> usize {
        ((u128::from(hash[0]) * self.slots.len() as u128) >> 64) as usize
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let [a, b, c, d] = self.hash_keys;
        [(a, b), (c, d)].map(|(first, second)| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(first);
            hasher.write_u64(second);
            hasher.write(key);
            hasher.finish()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_each_key_is_known() {
        // A wrong answer here deletes the last value of a key.
        let mut map = OffsetMap::new(64 << 20, 0.9, 50_000, [1, 2, 3, 4], Offset(0));
        for offset in 0..50_000i64 {
            assert!(map.put(format!("key-{}", offset % 20_000).as_bytes(), Offset(offset)));
        }
        assert_eq!(map.len, 20_000);
        for key in 0..20_000i64 {
            let last = if key < 10_000 { key + 40_000 } else { key + 20_000 };
            assert_eq!(map.get(format!("key-{key}").as_bytes()), Some(Offset(last)));
        }
        assert_eq!(map.get(b"other"), None);
        assert_eq!(map.get(b""), None);
    }

    #[test]
    fn memory_is_bounded_and_a_full_map_still_answers() {
        for (bytes, load_factor, keys_max) in [
            (1 << 20, 0.9, u64::MAX),
            (1, 0.9, 100),
            (1 << 20, 7.0, 1000),
            (1 << 20, f64::NAN, 0),
        ] {
            let mut map = OffsetMap::new(bytes, load_factor, keys_max, [1, 2, 3, 4], Offset(0));
            let mut keys = 0u32;
            while map.put(&keys.to_be_bytes(), Offset(keys.into())) {
                keys += 1;
            }
            assert!(keys > 0 && u64::from(keys) < (bytes / SLOT_BYTES) as u64 + 16);
            assert!(map.slots.len() * SLOT_BYTES <= bytes.max(SLOTS_MIN * SLOT_BYTES));
            assert_eq!(
                map.get(&(keys - 1).to_be_bytes()),
                Some(Offset(i64::from(keys) - 1))
            );
            assert_eq!(map.get(&keys.to_be_bytes()), None);
        }
    }
}
