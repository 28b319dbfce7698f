//! Starting and ending the control thread.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine::types::Offset;
use futures_util::future::{Either, select};
use reactor::{mailbox, oneshot};
use thiserror::Error;

use super::admission::{self, AdmissionError};
use super::board::Board;
use super::figures::Figures;
use super::front::Front;
use super::membership::{Membership, Registration};
use super::peers::{OpenNetwork, Peers};
use super::port::{Call, CallError, ControllerPort, ServiceFault};
use super::queue::Queue;
use super::remote::RemoteCalls;
use super::replay::{ReplayError, replay};
use super::runner::{Publish, Runner};
use super::session::Session;
use super::snapshots::Snapshots;
use super::watch::Watch;
use crate::config::BrokerConfig;
use crate::controller::Controller;
use crate::image::ClusterImage;
use crate::record::BrokerEpoch;
use crate::store::{AppendError, LeadError, Member, MetaLog, OpenError, Opened, ReadError, StoreConfig};

pub struct ServiceConfig {
    pub broker: Arc<BrokerConfig>,
    pub store: StoreConfig,
    /// This process; its endpoint is that of the control listener, if there is one.
    pub member: Member,
    /// How many shards will make calls; each gets a port.
    pub port_count: usize,
    /// Of the control thread.
    pub reactor: reactor::Config,
    /// `None` for a cluster of one broker, which has nobody to talk to.
    pub network: Option<OpenNetwork>,
    pub session: Arc<Session>,
    pub figures: Arc<Figures>,
}

#[derive(Debug, Error)]
pub enum StartError {
    #[error("the metadata log: {0}")]
    Open(#[from] OpenError),
    #[error("the metadata log: {0}")]
    Read(#[from] ReadError),
    #[error("the metadata log: {0}")]
    Lead(#[from] LeadError),
    #[error("{0}")]
    Fault(#[from] ServiceFault),
    #[error("the metadata log has nothing at offset {at} and ends at {end}")]
    Ended { at: Offset, end: Offset },
    #[error("the metadata log does not fit itself: {0}")]
    Replay(#[from] ReplayError),
    #[error("the metadata log: {0}")]
    Admission(#[from] AdmissionError),
    #[error("the control listener: {0}")]
    Network(io::Error),
    #[error("the controller's thread: {0}")]
    Thread(#[from] io::Error),
    #[error("the controller's thread ended while it started")]
    Died,
}

/// A control thread that knows the cluster and takes calls.
pub struct Started {
    pub service: ControllerService,
    /// One per shard.
    pub ports: Vec<ControllerPort>,
    /// What the shards begin with; publishes follow it without a gap.
    pub image: Arc<ClusterImage>,
}

/// Opens the metadata log on a thread of its own and replays it; the only broker of its cluster begins a controller epoch, too.
pub async fn start<P: Publish>(config: ServiceConfig, publish: P) -> Result<Started, StartError> {
    let (ports, mailboxes): (Vec<_>, Vec<_>) = (0..config.port_count).map(|_| ControllerPort::new()).unzip();
    let (started, has_started) = reactor::oneshot();
    let (stop, stopped) = reactor::oneshot();
    let (ended, outcome) = reactor::oneshot();
    let (commands, ordered) = mailbox::channel(COMMANDS);
    let reactor_config = config.reactor.clone();
    let thread = reactor::thread(reactor_config, move || async move {
        match prepare(config, publish).await {
            Ok(prepared) => {
                let image = Arc::new(prepared.runner.seen.image.clone());
                if started.send(Ok(image)).is_ok() {
                    let result = serve(prepared, mailboxes, ordered, stopped).await;
                    let _ = ended.send(result);
                }
            }
            Err(error) => drop(started.send(Err(error))),
        }
    })?;
    let image = has_started.await.map_err(|_| StartError::Died)??;
    let service = ControllerService {
        stop: Some(stop),
        commands,
        outcome,
        thread,
    };
    Ok(Started {
        service,
        ports,
        image,
    })
}

/// Orders of the main thread that may wait.
const COMMANDS: usize = 16;

/// What the main thread asks of the control thread.
pub(super) enum Command {
    Join(
        Registration,
        oneshot::Sender<()>,
        oneshot::Sender<Result<BrokerEpoch, CallError>>,
    ),
    Leave(Duration, oneshot::Sender<()>),
}

pub(super) struct Prepared<P> {
    pub(super) runner: Runner<P>,
    membership: Rc<Membership>,
}

pub(super) async fn prepare<P: Publish>(
    config: ServiceConfig,
    publish: P,
) -> Result<Prepared<P>, StartError> {
    let is_alone = config.network.is_none();
    let mut member = config.member;
    let mut network = None;
    if let Some(open) = config.network {
        let opened = open().await.map_err(StartError::Network)?;
        member.endpoint = opened.endpoint.clone();
        network = Some(opened);
    }
    let Opened { log, cluster_id } = MetaLog::open(&config.store, &member).await?;
    let timing = &config.broker.cluster;
    let session_timeout = Duration::from_millis(timing.session_timeout_ms);
    let heartbeat_every = Duration::from_millis(timing.heartbeat_interval_ms);
    let controller = Controller::new(Arc::clone(&config.broker));
    let board = Rc::new(Board::new(
        member,
        log,
        ClusterImage::empty(&cluster_id),
        config.figures,
    ));
    let queue = Rc::new(Queue::default());
    let watch = Rc::new(Watch::new(board.clone(), controller, timing));
    let peers: Option<Rc<dyn Peers>> = network.as_ref().map(|network| network.peers.clone());
    let front = Rc::new(Front::new(
        board.clone(),
        queue.clone(),
        watch.clone(),
        peers.clone(),
    ));
    let membership = Rc::new(Membership::new(
        board.clone(),
        front.clone(),
        config.session,
        session_timeout,
        heartbeat_every,
    ));
    if let Some((network, peers)) = network.zip(peers) {
        let calls = RemoteCalls::new(board.clone(), front.clone(), watch.clone(), peers);
        // Before the log is known: a quorum finds out about it by being asked.
        (network.serve)(Rc::new(calls));
    }
    board
        .log
        .caught_up()
        .await
        .map_err(AppendError::from)
        .map_err(ServiceFault::from)?;
    let seen = replay(&board.log, &cluster_id).await?;
    if is_alone {
        admission::check(board.me.id, &board.log.voters(), &seen.image)?;
    }
    board.set_image(Arc::new(seen.image.clone()));
    let mut runner = Runner {
        board,
        front,
        queue,
        watch,
        seen,
        publish,
        snapshots: Snapshots::new(config.broker.metadata_snapshot_bytes),
        is_alone,
        has_shards: false,
    };
    if is_alone {
        // No shard is there to be shown anything yet: what taking over changes is in the image that they begin with.
        let epoch = runner.board.log.lead(None).await?;
        runner.take_over(epoch, None).await?;
    }
    Ok(Prepared { runner, membership })
}

pub(super) async fn serve<P: Publish>(
    prepared: Prepared<P>,
    mailboxes: Vec<mailbox::Receiver<Call>>,
    mut ordered: mailbox::Receiver<Command>,
    stopped: oneshot::Receiver<()>,
) -> Result<(), ServiceFault> {
    let Prepared {
        mut runner,
        membership,
    } = prepared;
    runner.has_shards = true;
    for mailbox in mailboxes {
        reactor::spawn(runner.front.clone().serve(mailbox)).detach();
    }
    let is_alone = runner.is_alone;
    if !is_alone {
        let board = runner.board.clone();
        reactor::spawn(async move { board.follow_controller().await }).detach();
    }
    reactor::spawn(async move {
        while let Some(command) = ordered.recv().await {
            let membership = membership.clone();
            reactor::spawn(async move {
                match command {
                    Command::Join(registration, registered, answer) => {
                        let joined = match is_alone {
                            true => membership.join_alone(registration).await,
                            false => membership.join(registration, registered).await,
                        };
                        let _asker_may_be_gone = answer.send(joined);
                    }
                    Command::Leave(patience, answer) => {
                        membership.leave(patience).await;
                        let _asker_may_be_gone = answer.send(());
                    }
                }
            })
            .detach();
        }
    })
    .detach();
    let board = runner.board.clone();
    // The sender is dropped to stop us, also when whoever holds it is gone.
    reactor::spawn(async move {
        let _ = stopped.await;
        board.stop();
    })
    .detach();
    let board = runner.board.clone();
    let out_of_patience = async move {
        board.stopped().await;
        reactor::sleep(STOP_PATIENCE).await;
    };
    match select(Box::pin(runner.run()), Box::pin(out_of_patience)).await {
        Either::Left((ended, _)) => ended,
        // What was on its way is there or not; whoever asked for it was told so. The next start reads what became of it.
        Either::Right(_) => {
            tracing::warn!("ended without an answer of the store");
            Ok(())
        }
    }
}

/// How long a store that does not answer (the others of a quorum may be gone for good) is waited for when the broker stops: as long as callers
/// wait for it. A guess.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The control thread. Dropped, it stops the thread without waiting for it.
pub struct ControllerService {
    stop: Option<oneshot::Sender<()>>,
    commands: mailbox::Sender<Command>,
    outcome: oneshot::Receiver<Result<(), ServiceFault>>,
    thread: reactor::ThreadHandle,
}

impl ControllerService {
    /// Registers the broker and waits until it is trusted with partitions. `registered` is told in between: when every shard knows
    /// what the registration has changed. Before that they know leaderships that were given to an earlier process, whose log may
    /// have had more than this one's.
    pub fn join(
        &mut self,
        registration: Registration,
        registered: oneshot::Sender<()>,
    ) -> impl Future<Output = Result<BrokerEpoch, CallError>> + use<> {
        let (answer, joined) = reactor::oneshot();
        let sent = self
            .commands
            .try_send(Command::Join(registration, registered, answer));
        async move {
            match sent {
                Ok(()) => joined.await.unwrap_or(Err(CallError::Stopped)),
                Err(_) => Err(CallError::Busy),
            }
        }
    }

    /// Controlled shutdown: answers when other brokers lead what this one led, or `patience` has ended.
    pub async fn leave(&mut self, patience: Duration) {
        let (answer, left) = reactor::oneshot();
        if self.commands.try_send(Command::Leave(patience, answer)).is_ok() {
            let _thread_may_be_gone = left.await;
        }
    }

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
