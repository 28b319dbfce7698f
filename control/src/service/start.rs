//! Starting and ending the controller's thread.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use engine::types::Offset;
use reactor::{mailbox, oneshot};
use thiserror::Error;

use super::admission::{self, AdmissionError};
use super::inbox::Inbox;
use super::port::{Call, ControllerPort, ServiceFault};
use super::replay::{Replayed, abort_transaction, replay};
use super::runner::{Publish, Runner, Snapshots};
use crate::config::BrokerConfig;
use crate::controller::Controller;
use crate::image::{ApplyError, ClusterImage, MetadataPosition, TransactionError};
use crate::record::BrokerId;
use crate::store::{AppendError, LeadError, Member, MetaLog, OpenError, Opened, ReadError, StoreConfig};

pub struct ServiceConfig {
    pub broker: Arc<BrokerConfig>,
    pub store: StoreConfig,
    /// This process.
    pub member: Member,
    /// How many shards will make calls; each gets a port.
    pub port_count: usize,
    /// Of the controller's thread. It has no sockets.
    pub reactor: reactor::Config,
}

#[derive(Debug, Error)]
pub enum StartError {
    #[error("the metadata log: {0}")]
    Open(#[from] OpenError),
    #[error("the metadata log: {0}")]
    Read(#[from] ReadError),
    #[error("the metadata log: {0}")]
    Append(#[from] AppendError),
    #[error("the metadata log: {0}")]
    Lead(#[from] LeadError),
    #[error("the metadata log has nothing at offset {at} and ends at {end}")]
    Ended { at: Offset, end: Offset },
    #[error("the metadata log does not fit itself: {0}")]
    Replay(#[from] ApplyError),
    #[error("the metadata log does not fit itself: {0}")]
    Transaction(#[from] TransactionError),
    #[error("the metadata log: {0}")]
    Admission(#[from] AdmissionError),
    #[error("the controller's thread: {0}")]
    Thread(#[from] io::Error),
    #[error("the controller's thread ended while it started")]
    Died,
}

/// A controller that has replayed its log and takes calls.
pub struct Started {
    pub service: ControllerService,
    /// One per shard.
    pub ports: Vec<ControllerPort>,
    /// What the shards begin with; publishes follow it without a gap.
    pub image: Arc<ClusterImage>,
}

/// Opens the metadata log on a thread of its own, begins a controller epoch and replays the log.
pub async fn start<P: Publish>(config: ServiceConfig, publish: P) -> Result<Started, StartError> {
    let (ports, mailboxes): (Vec<_>, Vec<_>) = (0..config.port_count).map(|_| ControllerPort::new()).unzip();
    let (started, has_started) = reactor::oneshot();
    let (stop, stopped) = reactor::oneshot();
    let (ended, outcome) = reactor::oneshot();
    let reactor_config = config.reactor.clone();
    let thread = reactor::thread(reactor_config, move || async move {
        match prepare(&config, publish).await {
            Ok(runner) => {
                let image = Arc::new(runner.image.clone());
                if started.send(Ok(image)).is_ok() {
                    let result = serve(runner, mailboxes, stopped).await;
                    let _ = ended.send(result);
                }
            }
            Err(error) => drop(started.send(Err(error))),
        }
    })?;
    let image = has_started.await.map_err(|_| StartError::Died)??;
    let service = ControllerService {
        stop: Some(stop),
        outcome,
        thread,
    };
    Ok(Started {
        service,
        ports,
        image,
    })
}

pub(super) async fn prepare<P: Publish>(config: &ServiceConfig, publish: P) -> Result<Runner<P>, StartError> {
    let Opened { log, cluster_id } = MetaLog::open(&config.store, &config.member).await?;
    let node = BrokerId(config.broker.node_id);
    let Replayed {
        image,
        in_transaction,
    } = replay(&log, &cluster_id).await?;
    admission::check(node, &log.voters(), &image)?;
    let epoch = log.lead(None).await?;
    if in_transaction {
        abort_transaction(&log, epoch).await?;
    }
    let mut image = image.at(MetadataPosition {
        offset: Offset(log.end_offset().0 - 1),
        epoch,
    });
    let controller = Controller::new(Arc::clone(&config.broker));
    let mut bootstrap = controller.bootstrap(&image);
    if !bootstrap.is_empty()
        && let Some(formatted) = log.bootstrap_records()?
    {
        bootstrap = formatted;
    }
    if !bootstrap.is_empty() {
        let appended = log.append(epoch, &bootstrap).await?;
        image = image.apply(&bootstrap)?.0.at(MetadataPosition {
            offset: appended.last_offset,
            epoch,
        });
    }
    tracing::info!(
        epoch = epoch.0,
        offset = image.position().offset.0,
        topics = image.topic_count(),
        partitions = image.partition_count(),
        "metadata replayed"
    );
    for (kind, count) in image.kept_without_effect() {
        tracing::warn!(count, "{kind} are kept, but this version does not act on them");
    }
    let snapshots = Snapshots::new(config.broker.metadata_snapshot_bytes);
    Ok(Runner {
        controller,
        log,
        epoch,
        image,
        publish,
        snapshots,
    })
}

pub(super) async fn serve<P: Publish>(
    runner: Runner<P>,
    mailboxes: Vec<mailbox::Receiver<Call>>,
    stopped: oneshot::Receiver<()>,
) -> Result<(), ServiceFault> {
    let inbox = Rc::new(Inbox::default());
    for mailbox in mailboxes {
        reactor::spawn(Rc::clone(&inbox).fill(mailbox)).detach();
    }
    let closing = Rc::clone(&inbox);
    // The sender is dropped to stop us, also when whoever holds it is gone.
    reactor::spawn(async move {
        let _ = stopped.await;
        closing.close();
    })
    .detach();
    runner.run(&inbox).await
}

/// The controller's thread. Dropped, it stops the thread without waiting for it.
pub struct ControllerService {
    stop: Option<oneshot::Sender<()>>,
    outcome: oneshot::Receiver<Result<(), ServiceFault>>,
    thread: reactor::ThreadHandle,
}

impl ControllerService {
    /// Answers when the thread has ended by itself, which it does only when the metadata log failed: the broker cannot
    /// go on. Pending otherwise; for a `select` beside the broker's work.
    pub fn ended(&mut self) -> impl Future<Output = Result<(), ServiceFault>> {
        let outcome = &mut self.outcome;
        async move { outcome.await.unwrap_or(Err(ServiceFault::ThreadLost)) }
    }

    /// Answers the calls that have arrived, makes a snapshot if the log is long, and ends the thread.
    pub async fn stop(mut self) -> Result<(), ServiceFault> {
        drop(self.stop.take());
        let result = self.outcome.await;
        // It sends its outcome last: there is next to nothing left to wait for.
        let joined = self.thread.ended().await;
        match result {
            Ok(outcome) => outcome.and(joined.map_err(|_| ServiceFault::ThreadLost)),
            Err(_) => Err(ServiceFault::ThreadLost),
        }
    }
}
