//! How much of the device a reactor's cold reads take, whose queue its synced writes share.
//!
//! A device serves its queue in order, so a synced write waits for every large read before it. Measured on the virtio disk of
//! docs/PERFORMANCE.md, reads of 512 KiB beside a 16 KiB write every millisecond: 1, 2, 4 and 8 reads at a time bring 0.88, 0.91, 0.95 and
//! 1.0 GB/s, and the write takes 0.9, 1.9, 7 and 15 ms at the median (0.2 ms without them). With one of 256 KiB: 0.85 GB/s and 0.5 ms.
//! A disk that is rented by the byte holds both back when the reads have used up what it grants, for a second and more: so reads pause, too,
//! as long as writes beside them take much longer than alone.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::{Instant, now};
use crate::sync::{Budget, Reservation};
use crate::timers::sleep;

/// Reads at a time while nobody writes.
const READS_MAX: usize = 4;
/// Who wrote so short a while ago writes again. A guess.
const WRITING_FOR: Duration = Duration::from_millis(20);
/// So many times what it takes alone a write may take beside reads, and at least this long. A guess.
const SLOWER_MAX: u32 = 4;
const SLOW_MIN: Duration = Duration::from_millis(2);
/// The pause between two reads. At the longest, reads of 256 KiB still bring 5 MB/s.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Of one reactor.
pub(crate) struct DeviceQueue {
    places: Budget,
    /// When the last synced write began or ended.
    written: Cell<Option<Instant>>,
    /// What a synced write takes while nothing is read; smoothed.
    alone: Cell<Option<Duration>>,
    /// Before the next read. Shared with those that wait for their turn.
    pause: Rc<Cell<Duration>>,
}

impl Default for DeviceQueue {
    fn default() -> DeviceQueue {
        DeviceQueue {
            places: Budget::new(READS_MAX),
            written: Cell::new(None),
            alone: Cell::new(None),
            pause: Rc::default(),
        }
    }
}

/// A synced write on its way.
pub(crate) struct Write {
    began: Instant,
    is_beside_reads: bool,
}

impl DeviceQueue {
    pub(crate) fn begin_write(&self) -> Write {
        let began = now();
        self.written.set(Some(began));
        Write {
            began,
            is_beside_reads: self.is_read(),
        }
    }

    pub(crate) fn end_write(&self, write: Write) {
        let ended = now();
        self.written.set(Some(ended));
        let took = ended.saturating_since(write.began);
        if write.is_beside_reads || self.is_read() {
            self.pause.set(self.pause_after(took));
        } else {
            let alone = self.alone.get().map_or(took, |alone| (alone * 7 + took) / 8);
            self.alone.set(Some(alone));
        }
    }

    /// Longer while writes are slow beside reads, shorter while they are not.
    fn pause_after(&self, took: Duration) -> Duration {
        let slow = (self.alone.get().unwrap_or_default() * SLOWER_MAX).max(SLOW_MIN);
        let pause = self.pause.get();
        if took > slow {
            (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX)
        } else if pause > PAUSE_MIN / 8 {
            pause * 7 / 8
        } else {
            Duration::ZERO
        }
    }

    fn is_read(&self) -> bool {
        self.places.available() < self.places.total()
    }

    /// Whether synced writes wait behind what is read now.
    pub(crate) fn is_written_to(&self) -> bool {
        self.written
            .get()
            .is_some_and(|at| now().saturating_since(at) < WRITING_FOR)
    }

    /// Waits for its turn to read.
    pub(crate) fn place(&self) -> impl Future<Output = Reservation> + use<> {
        let (places, pause) = (self.places.clone(), self.pause.clone());
        let is_written_to = self.is_written_to();
        async move {
            let place = places.reserve(if is_written_to { READS_MAX } else { 1 }).await;
            if is_written_to && !pause.get().is_zero() {
                sleep(pause.get()).await;
            }
            place
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(queue: &DeviceQueue, took: &[u64]) -> Duration {
        for ms in took {
            queue.pause.set(queue.pause_after(Duration::from_millis(*ms)));
        }
        queue.pause.get()
    }

    /// Breaks in production: a consumer of old data takes all that a slow disk grants, and every producer waits for it.
    #[test]
    fn reads_pause_while_writes_are_slow_beside_them() {
        let queue = DeviceQueue::default();
        queue.alone.set(Some(Duration::from_micros(300)));
        assert_eq!(after(&queue, &[1, 1, 2]), Duration::ZERO);
        assert_eq!(after(&queue, &[9]), PAUSE_MIN);
        assert_eq!(after(&queue, &[9; 20]), PAUSE_MAX);
        assert_eq!(after(&queue, &[1; 100]), Duration::ZERO);
    }

    /// Breaks in production: on a disk that is always slow nobody can catch up.
    #[test]
    fn slow_is_what_is_slower_than_alone() {
        let queue = DeviceQueue::default();
        queue.alone.set(Some(Duration::from_millis(10)));
        assert_eq!(after(&queue, &[40; 20]), Duration::ZERO);
        assert_eq!(after(&queue, &[41]), PAUSE_MIN);
    }
}
