//! One file: its durable bytes, its cached bytes, and the changes between them.

use super::chance::Chance;

/// What a disk writes as a whole.
pub(super) const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes: new } => write_at(bytes, *offset, new),
            Change::SetLen(len) => bytes.resize(*len, 0),
        }
    }
}

fn write_at(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(new);
}

/// What becomes of pending changes: parts of them, in a million.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    kept_ppm: u32,
    torn_ppm: u32,
}

impl Fate {
    /// Anything from "all is lost" to "all is kept".
    pub(super) fn any(chance: &mut Chance) -> Fate {
        Fate {
            kept_ppm: chance.pick(&[0, 100_000, 300_000, 500_000, 900_000]),
            torn_ppm: chance.pick(&[0, 50_000, 100_000]),
        }
    }

    fn of_change(&self, chance: &mut Chance) -> Kept {
        let dice = chance.below(1_000_000) as u32;
        if dice < self.kept_ppm {
            Kept::All
        } else if dice < self.kept_ppm + self.torn_ppm {
            Kept::Some
        } else {
            Kept::None
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    Some,
    None,
}

/// `cached` is `durable` with `pending` applied in order, unless a sync failed: then `cached` may hold what is lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// With growing numbers.
    pending: Vec<(u64, Change)>,
    next: u64,
}

impl Content {
    pub(super) fn cached(&self) -> &[u8] {
        &self.cached
    }

    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    pub(super) fn is_clean(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.cached.len());
        let n = buf.len().min(self.cached.len() - from);
        buf[..n].copy_from_slice(&self.cached[from..from + n]);
        n
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let bytes = bytes.to_vec();
        self.change(Change::Write { offset, bytes });
    }

    pub(super) fn set_len(&mut self, len: usize) {
        if len != self.cached.len() {
            self.change(Change::SetLen(len));
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.pending.push((self.next, change));
        self.next += 1;
    }

    /// Stands for "everything changed so far" in [`Content::sync`].
    pub(super) fn mark(&self) -> u64 {
        self.next
    }

    /// Makes everything before `mark` durable.
    pub(super) fn sync(&mut self, mark: u64) {
        for change in self.take_before(mark) {
            change.apply(&mut self.durable);
        }
    }

    fn take_before(&mut self, mark: u64) -> Vec<Change> {
        let behind = self.pending.partition_point(|(number, _)| *number < mark);
        self.pending.drain(..behind).map(|(_, change)| change).collect()
    }

    /// A sync that fails: each change before `mark` is on the disk or lost, and all of them count as clean. `evict`: reads
    /// no longer see what is lost.
    pub(super) fn fail_sync(&mut self, mark: u64, evict: bool, chance: &mut Chance) {
        let fate = Fate::any(chance);
        let changes = self.take_before(mark);
        settle(&mut self.durable, changes.iter(), fate, chance);
        if evict {
            self.drop_clean();
        }
    }

    /// Reads no longer see what is lost and counts as clean.
    pub(super) fn drop_clean(&mut self) {
        self.cached.clone_from(&self.durable);
        for (_, change) in &self.pending {
            change.apply(&mut self.cached);
        }
    }

    /// A synced direct write that is done.
    pub(super) fn write_through(&mut self, offset: usize, bytes: &[u8]) {
        write_at(&mut self.cached, offset, bytes);
        write_at(&mut self.durable, offset, bytes);
    }

    /// A synced direct write that ended half way: any of its sectors are written.
    pub(super) fn write_torn(&mut self, offset: usize, bytes: &[u8], chance: &mut Chance) {
        let kept_ppm = chance.pick(&[0, 200_000, 500_000, 900_000, 1_000_000]);
        for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            if chance.happens(kept_ppm) {
                self.write_through(offset + number * SECTOR_BYTES, sector);
            }
        }
    }

    pub(super) fn cut_power(&mut self, fate: Fate, chance: &mut Chance) {
        let changes = std::mem::take(&mut self.pending);
        settle(
            &mut self.durable,
            changes.iter().map(|(_, change)| change),
            fate,
            chance,
        );
        self.cached.clone_from(&self.durable);
    }

    /// After a restart without loss of power: what a failed sync lost may be read from the disk again.
    pub(super) fn evict_clean(&mut self) {
        if self.pending.is_empty() {
            self.cached.clone_from(&self.durable);
        }
    }

    pub(super) fn flip_bit(&mut self, offset: usize, bit: u8) -> bool {
        let mask = 1 << (bit % 8);
        let mut flipped = false;
        for bytes in [&mut self.durable, &mut self.cached] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= mask;
                flipped = true;
            }
        }
        flipped
    }
}

/// Applies some of the changes: data sector by sector as the page cache had them, lengths up to some point in order.
fn settle<'a>(
    durable: &mut Vec<u8>,
    changes: impl ExactSizeIterator<Item = &'a Change>,
    fate: Fate,
    chance: &mut Chance,
) {
    let count = changes.len();
    if count == 0 {
        return;
    }
    let lengths_kept = match chance.below(3) {
        0 => 0,
        1 => count,
        _ => chance.index(count + 1),
    };
    let mut image = durable.clone();
    let mut len = durable.len();
    for (number, change) in changes.enumerate() {
        change.apply(&mut image);
        let is_length_kept = number < lengths_kept;
        match change {
            Change::SetLen(new) => {
                if is_length_kept {
                    durable.resize(*new, 0);
                    len = *new;
                }
            }
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                let kept = fate.of_change(chance);
                let mut at = offset / SECTOR_BYTES * SECTOR_BYTES;
                while at < end && kept != Kept::None {
                    let sector_end = (at + SECTOR_BYTES).min(image.len());
                    if kept == Kept::All || chance.coin() {
                        write_at(durable, at, &image[at..sector_end]);
                    }
                    at += SECTOR_BYTES;
                }
                if is_length_kept {
                    len = len.max(end);
                }
            }
        }
    }
    durable.resize(len, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(seed: u64, build: impl Fn(&mut Content)) -> Vec<u8> {
        let mut content = Content::default();
        build(&mut content);
        let mut chance = Chance::new(seed);
        let fate = Fate::any(&mut chance);
        content.cut_power(fate, &mut chance);
        assert_eq!(content.cached(), content.durable());
        assert!(content.is_clean());
        content.durable().to_vec()
    }

    #[test]
    fn what_was_synced_survives_and_what_was_not_has_every_fate() {
        // A disk that never loses or never keeps would hide half of the bugs.
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let bytes = settled(seed, |content| {
                content.write(0, &[1; 1024]);
                content.sync(content.mark());
                content.write(1024, &[2; 1024]);
                content.write(2048, &[3; 1024]);
            });
            assert_eq!(bytes[..1024], [1; 1024]);
            let second = bytes.get(1024..1536).map(|sector| sector[0]);
            let third = bytes.get(1536..2048).map(|sector| sector[0]);
            let fourth = bytes.get(2048..2560).map(|sector| sector[0]);
            outcomes.insert((second, third, fourth));
        }
        assert!(outcomes.contains(&(None, None, None)), "all lost");
        assert!(outcomes.contains(&(Some(2), Some(2), Some(3))), "all kept");
        assert!(outcomes.contains(&(Some(0), Some(0), Some(3))), "reordered");
        assert!(
            outcomes.contains(&(Some(2), Some(0), Some(0))),
            "torn at a sector"
        );
    }

    #[test]
    fn a_sync_covers_what_was_written_before_it_began() {
        let mut content = Content::default();
        content.write(0, b"first");
        let mark = content.mark();
        content.write(5, b"second");
        content.sync(mark);
        assert_eq!(content.durable(), b"first");
        assert_eq!(content.cached(), b"firstsecond");
    }

    #[test]
    fn after_a_failed_sync_the_next_one_succeeds_and_the_data_is_lost() {
        // The kernel's semantics: who tries again acknowledges what is gone.
        let mut lost = 0;
        for seed in 0..100 {
            let mut chance = Chance::new(seed);
            let mut content = Content::default();
            content.write(0, &[7; 512]);
            content.fail_sync(content.mark(), false, &mut chance);
            assert!(content.is_clean());
            assert_eq!(content.cached(), [7; 512]);
            content.sync(content.mark());
            let fate = Fate::any(&mut chance);
            content.cut_power(fate, &mut chance);
            lost += usize::from(content.cached() != [7; 512]);
        }
        assert!((20..100).contains(&lost), "{lost}");
    }

    #[test]
    fn a_truncation_that_was_kept_leaves_zeros_and_not_old_bytes() {
        for seed in 0..200 {
            let bytes = settled(seed, |content| {
                content.write(0, &[9; 600]);
                content.sync(content.mark());
                content.set_len(0);
                content.set_len(600);
            });
            let is_old = bytes == [9; 600];
            assert!(is_old || bytes.is_empty() || bytes == [0; 600], "seed {seed}");
        }
    }
}
