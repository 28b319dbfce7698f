//! A log that is appended to, read, rolled, emptied, stopped and crashed in any order, against a list of batches.
//!
//! Input: bytes that choose, see `operations`.

#![no_main]

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock};

use libfuzzer_sys::fuzz_target;

/// One reactor for all runs: making one costs more than a run.
struct Worker {
    inputs: SyncSender<Vec<u8>>,
    done: Receiver<()>,
}

static WORKER: OnceLock<Mutex<Worker>> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let worker = WORKER.get_or_init(|| Mutex::new(Worker::start()));
    let worker = worker.lock().expect("a panic ends the process");
    worker.inputs.send(data.to_vec()).expect("the worker waits");
    worker.done.recv().expect("the run ended");
});

impl Worker {
    fn start() -> Worker {
        let (inputs, todo) = sync_channel::<Vec<u8>>(1);
        let (finished, done) = sync_channel(1);
        std::thread::spawn(move || {
            let config = reactor::Config {
                recv_buffer_count: 16,
                ..reactor::Config::default()
            };
            let all = async move {
                while let Ok(data) = todo.recv() {
                    ringlog_fuzz::operations::run(&data).await;
                    finished.send(()).expect("somebody waits");
                }
            };
            reactor::run(config, all).expect("a reactor");
        });
        Worker { inputs, done }
    }
}
