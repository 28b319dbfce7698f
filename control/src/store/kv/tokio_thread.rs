//! The one thread on which tokio runs, for clients that know no other home.
//!
//! Not a reactor's thread: nothing of the broker runs here, and the simulation never starts one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::StoreError;

/// Calls on their way to the thread. Who finds it full is told that the store does not answer.
const QUEUE_MAX: usize = 1024;
/// For what was begun before the last handle went: a lease given back.
const FAREWELL: Duration = Duration::from_millis(500);

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A handle; the thread ends when the last one is dropped.
#[derive(Clone)]
pub(super) struct TokioThread {
    jobs: mpsc::Sender<Job>,
}

impl TokioThread {
    pub(super) fn start(name: &str) -> io::Result<TokioThread> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (jobs, mut inbox) = mpsc::channel::<Job>(QUEUE_MAX);
        let main = async move {
            let mut running = JoinSet::new();
            loop {
                tokio::select! {
                    job = inbox.recv() => match job {
                        Some(job) => drop(running.spawn(job)),
                        None => break,
                    },
                    Some(_) = running.join_next() => {}
                }
            }
            let rest = async { while running.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(FAREWELL, rest).await;
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(main))?;
        Ok(TokioThread { jobs })
    }

    /// Runs `future` there and waits for its result; it runs on when nobody waits any more.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = reactor::oneshot();
        self.spawn(async move {
            let _ = answer.send(future.await);
        })?;
        let died = |_| StoreError::Unavailable("the client's thread has ended".to_owned());
        answered.await.map_err(died)
    }

    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Result<(), StoreError> {
        let sent = self.jobs.try_send(Box::pin(future));
        sent.map_err(|_| StoreError::Unavailable(format!("{QUEUE_MAX} calls wait already")))
    }
}
