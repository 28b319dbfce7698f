//! Log operations against a model: bytes choose what happens to a log, and after every step the log must say what a list of
//! batches says. Crashes are copies of the directory, with the unsynced end cut or overwritten.

mod model;
mod stage;

use engine::types::Offset;

use self::stage::Stage;

/// Steps of one run; more only makes runs slower.
const STEPS_MAX: usize = 60;

/// Bytes that decide, read from the front. When they end, everything is 0 and the run is over.
pub struct Choices<'d> {
    data: &'d [u8],
}

impl<'d> Choices<'d> {
    pub fn new(data: &'d [u8]) -> Self {
        Choices { data }
    }

    fn is_over(&self) -> bool {
        self.data.is_empty()
    }

    fn byte(&mut self) -> u8 {
        match self.data.split_first() {
            Some((first, rest)) => {
                self.data = rest;
                *first
            }
            None => 0,
        }
    }

    /// A number below `sides`.
    fn below(&mut self, sides: usize) -> usize {
        usize::from(self.byte()) % sides.max(1)
    }

    /// A number from 0 to `last`, however great: two bytes choose among 65,536 places in between.
    fn up_to(&mut self, last: i64) -> i64 {
        let choice = i64::from(u16::from_be_bytes([self.byte(), self.byte()]));
        if last < i64::from(u16::MAX) {
            choice % (last.max(0) + 1)
        } else {
            last / i64::from(u16::MAX) * choice
        }
    }
}

/// One run.
///
/// # Panics
/// When log and model disagree.
pub async fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut stage = Stage::open().await;
    for _ in 0..STEPS_MAX {
        if choices.is_over() {
            break;
        }
        match choices.below(16) {
            0..4 => stage.append(&mut choices),
            4 => stage.append_from_producer(&mut choices),
            5 => stage.retry(&mut choices),
            6 | 7 => stage.commit().await,
            8 => stage.roll(),
            9 => stage.delete_records(&mut choices),
            10 => stage.retain(&mut choices),
            11 | 12 => stage.read(&mut choices),
            13 => stage.look_up(&mut choices),
            14 => stage.restart().await,
            _ => stage.crash(&mut choices).await,
        }
        stage.check();
    }
    stage.commit().await;
    stage.read_all(Offset::ZERO);
    stage.restart().await;
    stage.read_all(Offset::ZERO);
    stage.close().await;
}
