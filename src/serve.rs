//! `serve` as a story: lock the data, learn the cluster, open the shards, register, listen, wait for the signal, close in order.

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use control::config::{BrokerConfig, CoreList, Endpoint, IoBackend};
use control::record::{BrokerEpoch, BrokerId};
use control::service::{self, ServiceConfig, ServiceFault};
use control::store::StoreConfig;
use futures_util::future::{Either, join_all, select};
use reactor::{BackendChoice, Listener, ThreadHandle};

use crate::admin;
use crate::data_directory::{self, DataDirectory};
use crate::publish::ShardPublisher;
use crate::registration;
use crate::shard::{self, AdvertisedListener, Mesh, Node, Router, Setup, Shard, ShardId};

/// Why the broker does not start, or did not end well. Every line says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{0}")]
    Directory(#[from] data_directory::DirectoryError),
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
    #[error("a shard has stopped; the log above says why")]
    Shard,
}

/// Runs the broker until SIGTERM or SIGINT.
pub fn serve(config: BrokerConfig) -> Result<(), ServeError> {
    let backend = match config.io_backend {
        IoBackend::Auto => BackendChoice::Auto,
        IoBackend::IoUring => BackendChoice::Uring,
        IoBackend::Epoll => BackendChoice::Epoll,
    };
    let main = reactor_config(backend, "main".to_owned(), None);
    reactor::run(main, run(config, backend)).map_err(ServeError::Thread)?
}

fn reactor_config(backend: BackendChoice, name: String, core: Option<usize>) -> reactor::Config {
    reactor::Config {
        backend,
        core,
        name,
        ..reactor::Config::default()
    }
}

async fn run(config: BrokerConfig, backend: BackendChoice) -> Result<(), ServeError> {
    let began = reactor::now();
    // Armed before anything can be stopped half-way.
    let mut signal = pin!(reactor::shutdown_signal());
    let probe = reactor::probe(backend).map_err(ServeError::Backend)?;
    let config = Arc::new(data_directory::adopt_node_id(config)?);
    let directory = DataDirectory::open(&config)?;
    let listeners = listen(&config).await?;
    let admin_listener = listen_admin(&config).await?;
    let cores = cores(&config.cores);
    let Mesh {
        shards: ports,
        main,
        control,
    } = Mesh::new(cores.len());
    let main = Rc::new(main);
    let node = Arc::new(Node {
        id: BrokerId(config.node_id),
        cluster_id: directory.cluster_id().to_owned(),
        broker_epoch: OnceLock::new(),
        directory: directory.path().to_owned(),
        listeners: advertised(&config, &listeners),
        backend: probe.backend,
        config: config.clone(),
    });

    let started = service::start(
        ServiceConfig {
            broker: config.clone(),
            store: StoreConfig::Embedded {
                dir: directory.path().to_owned(),
            },
            cluster_id: directory.cluster_id().to_owned(),
            // One for each shard, and one to register this broker with.
            port_count: cores.len() + 1,
            reactor: reactor_config(backend, "control".to_owned(), None),
        },
        ShardPublisher::new(control),
    )
    .await;
    let started = match started {
        Ok(started) => started,
        Err(refused) => {
            directory.leave_as_found()?;
            return Err(refused.into());
        }
    };
    directory.adopt_checkpoints(&started.image)?;
    directory.put_strays_aside(&started.image)?;
    let mut controller = started.service;
    let mut controller_ports = started.ports;
    let Some(own_port) = controller_ports.pop() else {
        return Err(ServeError::Shard);
    };

    let mut threads = Vec::new();
    let mut opening = Vec::new();
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
        let last_run = directory.last_offsets();
        let config = reactor_config(backend, format!("shard-{index}"), *core);
        threads.push(
            reactor::thread(config, move || shard::run(setup, last_run, opened))
                .map_err(ServeError::Thread)?,
        );
    }
    for is_open in opening {
        is_open.await.map_err(|_| ServeError::Shard)?;
    }
    let epoch = registration::register(own_port.attach(), &node, &directory).await?;
    let _set_once = node.broker_epoch.set(epoch);

    let overflow = main.clone();
    reactor::spawn(async move { overflow.drain_overflow().await }).detach();
    for (name, listener) in listeners {
        reactor::spawn(accept(listener, name, main.clone())).detach();
    }
    if let Some(listener) = admin_listener {
        reactor::spawn(admin::run(listener, node.clone(), main.clone())).detach();
    }
    let checkpoints = reactor::spawn(data_directory::keep_checkpoints(
        directory.clone(),
        config.clone(),
        main.clone(),
    ));
    announce(&node, &probe, cores.len(), reactor::now().saturating_since(began));

    let ended = match select(&mut signal, pin!(controller.ended())).await {
        Either::Left((signal, _)) => {
            tracing::info!(?signal, "stopping");
            Ok(())
        }
        Either::Right((fault, _)) => fault,
    };
    checkpoints.abort();
    stop(&main, threads, &directory, epoch).await?;
    match ended {
        Ok(()) => Ok(controller.stop().await?),
        Err(fault) => Err(fault.into()),
    }
}

/// The one line on standard output that scripts wait for.
fn announce(node: &Node, probe: &reactor::Probe, shard_count: usize, took: Duration) {
    let listeners: Vec<String> = node
        .listeners
        .iter()
        .map(|listener| format!("{}://{}:{}", listener.name, listener.host, listener.port))
        .collect();
    tracing::info!(backend = %probe.backend, reason = probe.reason, shards = shard_count, cluster = node.cluster_id, "serving");
    let mut out = std::io::stdout();
    let line = format!(
        "ringlog ready: node {} on {}, data in {}, {} shards on {} ({}), started in {} ms",
        node.id.0,
        listeners.join(","),
        node.directory.display(),
        shard_count,
        probe.backend,
        probe.reason,
        took.as_millis(),
    );
    // Nobody may be reading it.
    let _printed = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Connections get their last answers, logs are closed, then the directory is marked clean.
async fn stop(
    main: &Rc<Router>,
    threads: Vec<ThreadHandle>,
    directory: &DataDirectory,
    epoch: BrokerEpoch,
) -> Result<(), ServeError> {
    join_all((0..main.shard_count()).map(|index| main.send(ShardId(index), shard::drain))).await;
    let closed = join_all((0..main.shard_count()).map(|index| main.send(ShardId(index), shard::close))).await;
    let clean = closed.iter().all(|closed| matches!(closed, Ok(true)));
    data_directory::write_checkpoints(directory, main).await?;
    if clean {
        directory.mark_clean(epoch)?;
    }
    join_all((0..main.shard_count()).map(|index| main.send(ShardId(index), shard::end))).await;
    for thread in threads {
        thread.join().map_err(ServeError::Thread)?;
    }
    Ok(())
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
    let mut addresses = (host, endpoint.port).to_socket_addrs().map_err(failed)?;
    let address: SocketAddr = addresses
        .next()
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
