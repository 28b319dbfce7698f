//! The last offset of every key of a round, in bounded memory.
//!
//! Keys are not stored, only 128 bits of a keyed hash: 24 bytes a key whatever its size, and 2^64 keys before two of them
//! are likely to be taken for one. The hash key is random for each round, so that nobody can choose such a pair.

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
const SLOTS_MIN: usize = 1 << 10;

/// Open addressing with linear probing; at most three quarters full.
pub(super) struct OffsetMap {
    slots: Vec<Slot>,
    len: usize,
    len_max: usize,
    hash_keys: [u64; 4],
    end_offset: Offset,
}

impl OffsetMap {
    /// A map that takes at most `bytes`, for records from `start` on.
    pub(super) fn new(bytes: usize, hash_keys: [u64; 4], start: Offset) -> Self {
        OffsetMap {
            slots: vec![FREE; SLOTS_MIN],
            len: 0,
            // Slots double as keys come: half of the budget is the worst a rounding down can cost.
            len_max: (bytes / SLOT_BYTES).max(SLOTS_MIN).next_power_of_two() / 2 / 4 * 3,
            hash_keys,
            end_offset: start,
        }
    }

    /// Whether the keys of another batch fit. The first batch always does.
    pub(super) fn has_room(&self, keys: usize) -> bool {
        self.len == 0 || self.len.saturating_add(keys) <= self.len_max
    }

    /// Everything below is in the map.
    pub(super) fn end_offset(&self) -> Offset {
        self.end_offset
    }

    pub(super) fn advance_to(&mut self, end_offset: Offset) {
        self.end_offset = self.end_offset.max(end_offset);
    }

    /// Offsets come in growing order, so the last one put is the one that stays.
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let hash = self.hash(key);
        if insert(&mut self.slots, Slot { hash, offset }) {
            self.len += 1;
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Offset> {
        let hash = self.hash(key);
        let mask = self.slots.len() - 1;
        let mut at = hash[0] as usize & mask;
        loop {
            match self.slots.get(at) {
                Some(slot) if slot.offset == Offset::NONE => return None,
                Some(slot) if slot.hash == hash => return Some(slot.offset),
                Some(_) => at = (at + 1) & mask,
                None => return None,
            }
        }
    }

    fn grow(&mut self) {
        let mut slots = vec![FREE; self.slots.len() * 2];
        for slot in self.slots.iter().filter(|slot| slot.offset != Offset::NONE) {
            insert(&mut slots, *slot);
        }
        self.slots = slots;
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

/// Whether the key was new.
fn insert(slots: &mut [Slot], slot: Slot) -> bool {
    let mask = slots.len() - 1;
    let mut at = slot.hash[0] as usize & mask;
    loop {
        match slots.get_mut(at) {
            Some(place) if place.offset == Offset::NONE => {
                *place = slot;
                return true;
            }
            Some(place) if place.hash == slot.hash => {
                place.offset = slot.offset;
                return false;
            }
            _ => at = (at + 1) & mask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_each_key_is_known_through_growth() {
        // A wrong answer here deletes the last value of a key.
        let mut map = OffsetMap::new(64 << 20, [1, 2, 3, 4], Offset(0));
        for offset in 0..50_000i64 {
            map.put(format!("key-{}", offset % 20_000).as_bytes(), Offset(offset));
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
    fn memory_is_bounded() {
        let mut map = OffsetMap::new(1 << 20, [1, 2, 3, 4], Offset(0));
        let mut keys = 0u32;
        while map.has_room(1) {
            map.put(&keys.to_be_bytes(), Offset(keys.into()));
            keys += 1;
        }
        assert!(keys > 10_000);
        assert!(map.slots.len() * SLOT_BYTES <= 1 << 20);
    }
}
