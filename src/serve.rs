//! `serve` as a story: lock the data, learn the cluster, open the shards, register, listen, wait for the signal, close in order.

use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use control::config::{BrokerConfig, CoreList, Endpoint, IoBackend};
use control::record::{BrokerEpoch, BrokerId, UuidText};
use control::service::{self, CallError, ControllerPort, Figures, ServiceConfig, ServiceFault, Session};
use control::store::{Member, StoreConfig, StoreUrl};
use futures_util::future::{Either, join_all, select, select_all};
use reactor::{BackendChoice, Listener, ThreadHandle};

use crate::address::{self, ListenError};
use crate::admin;
use crate::control_channel;
use crate::log_dirs::{self, Directories, Locked};
use crate::publish::ShardPublisher;
use crate::quorum_wire::{Meeting, QuorumApis};
use crate::registration;
use crate::shard::{self, Mesh, Node, Router, Setup, Shard, ShardId};
use crate::store::{self, StoreConfigError};
use crate::watchdog::Guard;

/// Why the broker does not start, or did not end well. Every line says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{0}")]
    Directory(#[from] log_dirs::DirectoryError),
    #[error("{0}")]
    Controller(#[from] service::StartError),
    #[error("the controller has failed, the broker cannot go on: {0}")]
    ControllerFault(#[from] ServiceFault),
    #[error("the controller refused this broker: {0}")]
    Registration(CallError),
    #[error("{0}")]
    Listen(#[from] ListenError),
    #[error("{0}")]
    Store(#[from] StoreConfigError),
    #[error("ringlog.io.backend: {0}")]
    Backend(std::io::Error),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error("shard {index} has stopped, and its partitions with it; the log above says why")]
    Shard { index: usize },
}

/// Runs the broker until SIGTERM or SIGINT.
pub fn serve(config: BrokerConfig) -> Result<(), ServeError> {
    let backend = match config.io_backend {
        IoBackend::Auto => BackendChoice::Auto,
        IoBackend::IoUring => BackendChoice::Uring,
        IoBackend::Epoll => BackendChoice::Epoll,
    };
    if let Err(error) = reactor::raise_file_limit() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let main = reactor_config(backend, "main".to_owned(), None);
    let patience = watchdog_patience(&config);
    let served = |serving: &Serving| {
        print(&serving.announcement);
        patience.map(|patience| Guard::start(patience, serving.listeners.clone()))
    };
    reactor::run(main, run(config, backend, None, served)).map_err(ServeError::Thread)?
}

/// A broker without others beside it has none: its clients have nowhere to go.
fn watchdog_patience(config: &BrokerConfig) -> Option<Duration> {
    let is_wanted = config.has_watchdog && config.store != StoreUrl::Embedded;
    is_wanted.then(|| Duration::from_millis(config.cluster.session_timeout_ms))
}

/// Of a broker whose clients are served.
#[derive(Debug)]
pub struct Serving {
    /// One line for people.
    pub announcement: String,
    /// Where clients connect.
    pub listeners: Vec<SocketAddr>,
}

/// The one line on standard output that scripts wait for.
fn print(line: &str) {
    let mut out = std::io::stdout();
    // Nobody may be reading it.
    let _printed = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn reactor_config(backend: BackendChoice, name: String, core: Option<usize>) -> reactor::Config {
    reactor::Config {
        backend,
        core,
        name,
        ..reactor::Config::default()
    }
}

/// The life of a broker, on the reactor of its first thread: until it is asked to stop, or cannot go on. `store` is used
/// instead of the configured one: a simulation brings its own. `ready` is called once clients are served; what it gives is held as long
/// as they are.
pub async fn run<G>(
    config: BrokerConfig,
    backend: BackendChoice,
    store: Option<StoreConfig>,
    ready: impl FnOnce(&Serving) -> G,
) -> Result<(), ServeError> {
    let began = reactor::now();
    // Armed before anything can be stopped half-way.
    let mut signal = pin!(reactor::shutdown_signal());
    let probe = reactor::probe(backend).map_err(ServeError::Backend)?;
    let config = Arc::new(log_dirs::adopt_node_id(config)?);
    let locked = Locked::open(&config, config.store.scheme())?;
    let meeting = Meeting::new();
    let store = match store {
        Some(store) => store,
        None => store::configured(&config, locked.first(), meeting)?,
    };
    let listeners = address::listen(&config).await?;
    let admin_listener = address::listen_admin(&config).await?;
    let cores = cores(&config.cores);
    let Mesh {
        shards: ports,
        main,
        control,
    } = Mesh::new(cores.len());
    let main = Rc::new(main);

    let session = Arc::new(Session::default());
    let figures = Arc::new(Figures::default());
    let network = match &store {
        StoreConfig::Embedded { .. } => None,
        StoreConfig::Quorum(_) => Some(control_channel::network(
            control_listener(&config),
            advertised_host(&config),
            QuorumApis { meeting },
        )),
        _ => Some(control_channel::network(
            control_listener(&config),
            advertised_host(&config),
            control_channel::NoApis,
        )),
    };
    let is_cluster = network.is_some();
    let starting = service::start(
        ServiceConfig {
            broker: config.clone(),
            store,
            member: member(&config, &locked),
            // One for each shard, and one for the broker's own affairs.
            port_count: cores.len() + 1,
            reactor: reactor_config(backend, "control".to_owned(), None),
            network,
            session: session.clone(),
            figures: figures.clone(),
        },
        ShardPublisher::new(control),
    );
    let started = match select(&mut signal, Box::pin(starting)).await {
        Either::Left(_) => {
            locked.leave_as_found()?;
            return Ok(());
        }
        Either::Right((started, _)) => started,
    };
    let started = match started {
        Ok(started) => started,
        Err(refused) => {
            locked.leave_as_found()?;
            return Err(refused.into());
        }
    };
    let own = BrokerId(config.node_id);
    let directories = locked.complete(&started.image)?;
    directories.adopt_checkpoints(&started.image, own)?;
    let retention_check_ms = i64::try_from(config.log.retention_check_interval_ms).unwrap_or(i64::MAX);
    let mut last_run = directories.look(&started.image, own, retention_check_ms)?;
    log_dirs::replay_journals(&mut last_run, &started.image, &config).await;
    if let Some(lost) = log_dirs::metadata_lost(directories.set(), &config.store) {
        return Err(lost.into());
    }
    let node = Arc::new(Node {
        id: own,
        cluster_id: directories.cluster_id().to_owned(),
        session: session.clone(),
        control: figures,
        log_dirs: directories.set().clone(),
        listeners: address::advertised(&config, &listeners),
        backend: probe.backend,
        config: config.clone(),
    });
    let mut controller = started.service;
    let mut controller_ports = started.ports;
    let own_port = controller_ports.split_off(cores.len()).pop();
    let Some(own_port) = own_port.map(ControllerPort::attach) else {
        return Err(ServiceFault::ThreadLost.into());
    };

    let mut threads = Vec::new();
    let mut opening = Vec::new();
    let mut ends = Vec::new();
    for (index, ((ports, controller), core)) in
        ports.into_iter().zip(controller_ports).zip(&cores).enumerate()
    {
        let (opened, is_open) = reactor::oneshot();
        opening.push(is_open);
        let setup = Setup {
            node: node.clone(),
            ports,
            controller,
            image: started.image.clone(),
        };
        let last_run = last_run.clone();
        // Told when the thread ends, however it does: it is dropped with it.
        let (alive, end) = reactor::oneshot::<()>();
        ends.push(end);
        let config = reactor_config(backend, format!("shard-{index}"), *core);
        let life = move || async move {
            let _alive = alive;
            shard::run(setup, last_run, opened).await;
        };
        threads.push(reactor::thread(config, life).map_err(ServeError::Thread)?);
    }
    drop(last_run);
    for (index, is_open) in opening.into_iter().enumerate() {
        is_open.await.map_err(|_| ServeError::Shard { index })?;
    }
    let overflow = main.clone();
    reactor::spawn(async move { overflow.drain_overflow().await }).detach();
    reactor::spawn(log_dirs::watch_room(node.log_dirs.clone(), cores.len())).detach();
    let checkpoints = reactor::spawn(log_dirs::keep_checkpoints(
        directories.clone(),
        config.clone(),
        main.clone(),
    ));
    let first_end = select_all(ends.into_iter().map(Box::pin));
    let failed = async {
        let watch = log_dirs::watch(&node.log_dirs, main.clone(), own_port.clone(), node.clone());
        match select(pin!(watch), first_end).await {
            Either::Left((error, _)) => ServeError::Directory(error),
            Either::Right(((_, index, _), _)) => ServeError::Shard { index },
        }
    };
    let bound = listeners.iter().map(|(_, listener)| listener.local_addr());
    let bound = bound.collect();
    let doors = || open_doors(listeners, admin_listener, &node, &main);
    let (registered, is_registered) = reactor::oneshot();
    let joining = Box::pin(controller.join(registration::of(&node, &directories), registered));
    let serving = async {
        if is_cluster {
            // Others may need this broker before it is trusted, to copy from. But not before its shards know that it is a new process:
            // what its predecessor led, it must not lead on in the same epoch, with a log that may be shorter.
            match select(is_registered, joining).await {
                Either::Left((_, joining)) => {
                    doors();
                    joining.await.map_err(ServeError::Registration)?;
                }
                Either::Right((joined, _)) => {
                    joined.map_err(ServeError::Registration)?;
                    doors();
                }
            }
        } else {
            joining.await.map_err(ServeError::Registration)?;
            doors();
        }
        let took = reactor::now().saturating_since(began);
        let _served = ready(&Serving {
            announcement: announcement(&node, &probe, cores.len(), took),
            listeners: bound,
        });
        std::future::pending::<Result<std::convert::Infallible, ServeError>>().await
    };
    let broken = select(Box::pin(failed), Box::pin(serving));
    let ended = match select(&mut signal, select(Box::pin(controller.ended()), broken)).await {
        Either::Left((signal, _)) => {
            tracing::info!(?signal, "stopping");
            Ok(())
        }
        Either::Right((Either::Left((ended, _)), _)) => ended.map_err(ServeError::from),
        Either::Right((Either::Right((Either::Left((failed, _)), _)), _)) => Err(failed),
        Either::Right((Either::Right((Either::Right((Err(refused), _)), _)), _)) => Err(refused),
    };
    if let Err(error) = &ended {
        tracing::error!(%error, "stopping");
    } else if is_cluster {
        controller.leave(HANDOVER_PATIENCE).await;
    }
    checkpoints.abort();
    let epoch = session.broker_epoch().unwrap_or(BrokerEpoch(-1));
    let stopped = stop(&main, threads, &directories, epoch).await;
    ended?;
    stopped?;
    Ok(controller.stop().await?)
}

/// How long the controller may take to hand this broker's leaderships to others when it stops.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(10);

/// Lets clients in.
fn open_doors(
    listeners: Vec<(String, Listener)>,
    admin_listener: Option<Listener>,
    node: &Arc<Node>,
    main: &Rc<Router>,
) {
    for (name, listener) in listeners {
        reactor::spawn(accept(listener, name, main.clone())).detach();
    }
    if let Some(listener) = admin_listener {
        reactor::spawn(admin::run(listener, node.clone(), main.clone())).detach();
    }
}

/// This process, as its cluster has to know it.
fn member(config: &BrokerConfig, locked: &Locked) -> Member {
    Member {
        id: BrokerId(config.node_id),
        incarnation_id: UuidText::new_id(&mut reactor::random_u64),
        // The control thread says where it listens.
        endpoint: Endpoint {
            host: String::new(),
            port: 0,
        },
        log_dirs: locked.directory_ids(),
        cluster_id: locked.cluster_id().map(str::to_owned),
    }
}

/// Where the control thread listens: where it is told to, where the voters of a quorum were told that it does, or at any port
/// of the interface that the first listener has.
fn control_listener(config: &BrokerConfig) -> Endpoint {
    let as_voter = match &config.store {
        StoreUrl::Quorum(voters) => voters.iter().find(|(id, _)| *id == config.node_id),
        StoreUrl::Embedded | StoreUrl::Etcd(_) | StoreUrl::ZooKeeper(_) => None,
    };
    let told = config.control_listener.clone();
    told.or(as_voter.map(|(_, endpoint)| endpoint.clone()))
        .unwrap_or_else(|| Endpoint {
            host: config
                .listeners
                .first()
                .map_or_else(String::new, |listener| listener.endpoint.host.clone()),
            port: 0,
        })
}

/// What the other members are told where the control thread listens on every interface: the host that clients are told.
fn advertised_host(config: &BrokerConfig) -> String {
    let first = config.advertised_listeners.first();
    first
        .filter(|listener| !listener.endpoint.is_wildcard() && !listener.endpoint.host.is_empty())
        .map_or_else(
            || "localhost".to_owned(),
            |listener| listener.endpoint.host.clone(),
        )
}

fn announcement(node: &Node, probe: &reactor::Probe, shard_count: usize, took: Duration) -> String {
    let listeners: Vec<String> = node
        .listeners
        .iter()
        .map(|listener| format!("{}://{}:{}", listener.name, listener.host, listener.port))
        .collect();
    tracing::info!(backend = %probe.backend, reason = probe.reason, shards = shard_count, cluster = node.cluster_id, "serving");
    let directories: Vec<String> = node
        .log_dirs
        .iter()
        .map(|(_, dir)| match dir.is_online() {
            true => dir.path().display().to_string(),
            false => format!("{} (offline)", dir.path().display()),
        })
        .collect();
    let directories = directories.join(",");
    format!(
        "ringlog ready: node {} on {}, data in {}, {} shards on {} ({}), started in {} ms",
        node.id.0,
        listeners.join(","),
        directories,
        shard_count,
        probe.backend,
        probe.reason,
        took.as_millis(),
    )
}

/// Connections get their last answers, logs are closed, then the directories are marked clean.
async fn stop(
    main: &Rc<Router>,
    threads: Vec<ThreadHandle>,
    directories: &Directories,
    epoch: BrokerEpoch,
) -> Result<(), ServeError> {
    join_all((0..main.shard_count()).map(|index| main.send(ShardId(index), shard::drain))).await;
    let closed = join_all((0..main.shard_count()).map(|index| main.send(ShardId(index), shard::close))).await;
    let written = log_dirs::write_checkpoints(directories, main).await;
    // A shard that does not answer has left everything as after a crash.
    if let Ok(unclean) = closed.into_iter().collect::<Result<Vec<_>, _>>()
        && written.is_ok()
    {
        directories.mark_clean(epoch, &unclean.concat())?;
    }
    join_all((0..main.shard_count()).map(|index| main.send(ShardId(index), shard::end))).await;
    for thread in threads {
        thread.join().map_err(ServeError::Thread)?;
    }
    Ok(written?)
}

/// One listener's accept loop: connections go to the shards in turn.
async fn accept(listener: Listener, name: String, main: Rc<Router>) {
    let shard_count = main.shard_count();
    let ended = net::listener::accept_loop(&listener, shard_count, |index, socket, peer| {
        let name = name.clone();
        drop(main.send(ShardId(index), move |shard: Rc<Shard>| {
            shard::adopt(shard, socket, peer, name)
        }));
    })
    .await;
    let Err(error) = ended;
    tracing::error!(%error, listener = name, "the listener has failed; no new connections are taken");
}

/// One shard per core; `None` leaves a thread unpinned, when the machine does not say which cores there are.
fn cores(list: &CoreList) -> Vec<Option<usize>> {
    match list {
        CoreList::Listed(cores) => cores.iter().copied().map(Some).collect(),
        CoreList::Auto => {
            let allowed = reactor::allowed_cores();
            if allowed.is_empty() {
                vec![None]
            } else {
                allowed.into_iter().map(Some).collect()
            }
        }
    }
}
