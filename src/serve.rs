//! `serve` as a story: lock the data, learn the cluster, open the shards, register, listen, wait for the signal, close in order.

use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use control::config::{BrokerConfig, CoreList, Endpoint, IoBackend};
use control::record::{BrokerEpoch, BrokerId};
use control::service::{self, ControllerPort, ServiceConfig, ServiceFault};
use control::store::{Member, StoreConfig};
use futures_util::future::{Either, join_all, select, select_all};
use reactor::{BackendChoice, Listener, ThreadHandle};
use uuid::Uuid;

use crate::admin;
use crate::log_dirs::{self, Directories, Locked};
use crate::publish::ShardPublisher;
use crate::registration;
use crate::session::Session;
use crate::shard::{self, AdvertisedListener, Mesh, Node, Router, Setup, Shard, ShardId};

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
    Registration(#[from] registration::RegistrationError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
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
    reactor::run(main, run(config, backend, print)).map_err(ServeError::Thread)?
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

/// The life of a broker, on the reactor of its first thread: until it is asked to stop, or cannot go on. `ready` is given a
/// line for people when clients are served.
pub async fn run(
    config: BrokerConfig,
    backend: BackendChoice,
    ready: impl FnOnce(&str),
) -> Result<(), ServeError> {
    let began = reactor::now();
    // Armed before anything can be stopped half-way.
    let mut signal = pin!(reactor::shutdown_signal());
    let probe = reactor::probe(backend).map_err(ServeError::Backend)?;
    let config = Arc::new(log_dirs::adopt_node_id(config)?);
    let locked = Locked::open(&config)?;
    let listeners = listen(&config).await?;
    let admin_listener = listen_admin(&config).await?;
    let cores = cores(&config.cores);
    let Mesh {
        shards: ports,
        main,
        control,
    } = Mesh::new(cores.len());
    let main = Rc::new(main);

    let started = service::start(
        ServiceConfig {
            broker: config.clone(),
            store: StoreConfig::Embedded {
                dir: locked.first().to_owned(),
            },
            member: Member {
                id: BrokerId(config.node_id),
                incarnation_id: Uuid::from_u64_pair(reactor::random_u64(), reactor::random_u64()),
                endpoint: Endpoint {
                    host: String::new(),
                    port: 0,
                },
                log_dirs: Vec::new(),
                cluster_id: Some(locked.cluster_id().to_owned()),
            },
            // One for each shard, and one for the broker's own affairs.
            port_count: cores.len() + 1,
            reactor: reactor_config(backend, "control".to_owned(), None),
        },
        ShardPublisher::new(control),
    )
    .await;
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
    if let Some(lost) = log_dirs::metadata_lost(directories.set()) {
        return Err(lost.into());
    }
    let node = Arc::new(Node {
        id: own,
        cluster_id: directories.cluster_id().to_owned(),
        session: Session::default(),
        log_dirs: directories.set().clone(),
        listeners: advertised(&config, &listeners),
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
    let epoch = registration::register(own_port.clone(), &node, &directories).await?;
    node.session.registered(epoch);
    node.session.lives_for_ever();

    let overflow = main.clone();
    reactor::spawn(async move { overflow.drain_overflow().await }).detach();
    for (name, listener) in listeners {
        reactor::spawn(accept(listener, name, main.clone())).detach();
    }
    if let Some(listener) = admin_listener {
        reactor::spawn(admin::run(listener, node.clone(), main.clone())).detach();
    }
    reactor::spawn(log_dirs::watch_room(node.log_dirs.clone(), cores.len())).detach();
    let checkpoints = reactor::spawn(log_dirs::keep_checkpoints(
        directories.clone(),
        config.clone(),
        main.clone(),
    ));
    let took = reactor::now().saturating_since(began);
    ready(&announcement(&node, &probe, cores.len(), took));

    let first_end = select_all(ends.into_iter().map(Box::pin));
    let failed = async {
        let watch = log_dirs::watch(&node.log_dirs, main.clone(), own_port.clone(), (own, epoch));
        match select(pin!(watch), first_end).await {
            Either::Left((error, _)) => ServeError::Directory(error),
            Either::Right(((_, index, _), _)) => ServeError::Shard { index },
        }
    };
    let (controller_ended, failed) = (Box::pin(controller.ended()), Box::pin(failed));
    let ended = match select(&mut signal, select(controller_ended, failed)).await {
        Either::Left((signal, _)) => {
            tracing::info!(?signal, "stopping");
            Ok(())
        }
        Either::Right((Either::Left((ended, _)), _)) => ended.map_err(ServeError::from),
        Either::Right((Either::Right((failed, _)), _)) => Err(failed),
    };
    if let Err(error) = &ended {
        tracing::error!(%error, "stopping");
    }
    checkpoints.abort();
    let stopped = stop(&main, threads, &directories, epoch).await;
    ended?;
    stopped?;
    Ok(controller.stop().await?)
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
        thread.ended().await.map_err(ServeError::Thread)?;
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

async fn listen(config: &BrokerConfig) -> Result<Vec<(String, Listener)>, ServeError> {
    let mut listeners = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        listeners.push((listener.name.clone(), bind(&listener.endpoint).await?));
    }
    Ok(listeners)
}

async fn listen_admin(config: &BrokerConfig) -> Result<Option<Listener>, ServeError> {
    match &config.admin_listener {
        Some(endpoint) => Ok(Some(bind(endpoint).await?)),
        None => Ok(None),
    }
}

/// How long the listener of a killed predecessor may live on: the kernel ends a ring, and with it the accept that holds the
/// socket, some time after the process.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(2);
const BIND_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The first address that the host name stands for; an empty host stands for all addresses of this machine.
async fn bind(endpoint: &Endpoint) -> Result<Listener, ServeError> {
    let host = if endpoint.host.is_empty() {
        "0.0.0.0"
    } else {
        &endpoint.host
    };
    let failed = |source| ServeError::Listen {
        address: format!("{host}:{}", endpoint.port),
        source,
    };
    let addresses = reactor::resolve(host, endpoint.port).await.map_err(failed)?;
    let address: SocketAddr = addresses
        .first()
        .copied()
        .ok_or_else(|| failed(std::io::ErrorKind::AddrNotAvailable.into()))?;
    let give_up = reactor::now() + PREDECESSOR_PATIENCE;
    loop {
        match Listener::bind(address) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && reactor::now() < give_up => {
                reactor::sleep(BIND_AGAIN_AFTER).await;
            }
            bound => return bound.map_err(failed),
        }
    }
}

/// What clients are told: the advertised addresses, with the port that was really bound where 0 was asked for.
fn advertised(config: &BrokerConfig, bound: &[(String, Listener)]) -> Vec<AdvertisedListener> {
    let advertised = config.advertised_listeners.iter().map(|listener| {
        let bound_port = bound
            .iter()
            .find(|(name, _)| *name == listener.name)
            .map(|(_, listener)| listener.local_addr().port());
        let port = if listener.endpoint.port == 0 {
            bound_port.unwrap_or(0)
        } else {
            listener.endpoint.port
        };
        let host = if listener.endpoint.is_wildcard() {
            "localhost".to_owned()
        } else {
            listener.endpoint.host.clone()
        };
        AdvertisedListener {
            name: listener.name.clone(),
            host,
            port,
        }
    });
    advertised.collect()
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
