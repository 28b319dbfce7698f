//! A log to append to and to read from.

use std::path::Path;
use std::rc::Rc;

use bytes::BytesMut;
use engine::batch::{BatchInfo, Codec, Limits, Origin, validate};
use engine::log::{AppendContext, Log, LogConfig, OpenState};
use engine::types::{LeaderEpoch, Timestamp};

/// Runs `main` on a reactor of this thread.
pub fn run<F: Future>(main: F) -> F::Output {
    reactor::run(reactor::Config::default(), main).expect("a reactor")
}

/// The log in `dir`, made if it is not there.
pub async fn open(dir: &Path, state: OpenState) -> Log {
    let config = Rc::new(LogConfig {
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    });
    let (log, _) = Log::open(&dir.join("bench-0"), config, state, None)
        .await
        .expect("a sound log");
    log
}

/// A batch that is appended over and over; the log writes a new offset into it each time.
#[derive(Debug)]
pub struct Producer {
    bytes: BytesMut,
    info: BatchInfo,
    context: AppendContext,
}

impl Producer {
    /// Sends uncompressed batches of about `size_bytes`.
    pub fn new(size_bytes: usize) -> Self {
        let bytes = crate::batch(Codec::None, size_bytes);
        let info = validate(&bytes, &Limits::default()).expect("a valid batch");
        let context = AppendContext {
            leader_epoch: LeaderEpoch(0),
            origin: Origin::Client,
            now: Timestamp(0),
        };
        Producer { bytes, info, context }
    }

    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn append(&mut self, log: &Log) {
        log.append(self.bytes.clone(), &self.info, &self.context)
            .expect("a log that takes batches");
    }
}
