//! The world as programs on its hosts see it, and each fault by itself.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{Ended, World, WorldConfig};
use crate::sim::{Halt, HostId, LinkSpeed, NetConfig, ProcessId};
use crate::{
    Config, File, Listener, OpenMode, Piece, Signal, Socket, background, disk, mailbox, now, oneshot,
    random_u64, shutdown_signal, sleep, spawn, thread, timeout, wall_ms,
};

const PORT: u16 = 9092;
const SECOND: Duration = Duration::from_secs(1);

fn address(host: HostId) -> SocketAddr {
    SocketAddr::new(host.ip(), PORT)
}

fn piece(bytes: &[u8]) -> Vec<Piece> {
    vec![Piece::Bytes(Bytes::copy_from_slice(bytes))]
}

/// Answers everybody with what they send.
async fn echo() {
    let listener = Listener::bind("0.0.0.0:9092".parse().expect("an address")).expect("bound");
    loop {
        let (socket, _) = listener.accept().await.expect("accepted");
        spawn(async move {
            let socket = socket.attach().expect("attached");
            let mut buf = BytesMut::new();
            while let Ok(1..) = socket.recv(&mut buf).await {
                if socket
                    .send(vec![Piece::Bytes(buf.split().freeze())])
                    .await
                    .is_err()
                {
                    return;
                }
            }
        })
        .detach();
    }
}

/// Accepts one connection and never reads from it.
async fn deaf() {
    let listener = Listener::bind("0.0.0.0:9092".parse().expect("an address")).expect("bound");
    let (socket, _) = listener.accept().await.expect("accepted");
    let _socket = socket.attach().expect("attached");
    std::future::pending::<()>().await
}

async fn ask(socket: &Socket, word: &[u8]) -> std::io::Result<Bytes> {
    socket.send(piece(word)).await?;
    let mut buf = BytesMut::new();
    socket.recv_exact(&mut buf, word.len()).await?;
    Ok(buf.freeze())
}

/// What a task saw, for the test to look at.
type Seen<T> = Rc<RefCell<Vec<T>>>;

fn seen<T>() -> (Seen<T>, Seen<T>) {
    let seen = Seen::default();
    (seen.clone(), seen)
}

struct Pair {
    world: World,
    server: HostId,
    client: HostId,
}

fn pair(seed: u64) -> Pair {
    pair_with(WorldConfig::new(seed))
}

fn pair_with(config: WorldConfig) -> Pair {
    let world = World::new(config);
    let (server, client) = (world.add_host("server"), world.add_host("client"));
    Pair {
        world,
        server,
        client,
    }
}

impl Pair {
    fn run(&self, seconds: u64) {
        self.world.run_for(SECOND * seconds as u32).expect("not stuck");
    }

    /// Asks once a tenth of a second and keeps the answers, or how it ended.
    fn asking(&self) -> (ProcessId, Seen<Result<u32, ErrorKind>>) {
        let (answers, told) = seen();
        let server = address(self.server);
        let process = self.world.start(self.client, "asking", async move {
            let socket = match Socket::connect(server).await {
                Ok(socket) => socket,
                Err(error) => return told.borrow_mut().push(Err(error.kind())),
            };
            for n in 0_u32.. {
                match ask(&socket, &n.to_le_bytes()).await {
                    Ok(_) => told.borrow_mut().push(Ok(n)),
                    Err(error) => return told.borrow_mut().push(Err(error.kind())),
                }
                sleep(Duration::from_millis(100)).await;
            }
        });
        (process, answers)
    }
}

#[test]
fn hosts_talk_and_the_same_seed_is_the_same_run() {
    // A failing seed that cannot be replayed is worth little.
    let run = |seed| {
        let pair = pair(seed);
        pair.world.start(pair.server, "echo", echo());
        let server = address(pair.server);
        let clients: Vec<ProcessId> = (0..3)
            .map(|n| {
                pair.world.start(pair.client, &format!("client-{n}"), async move {
                    let socket = Socket::connect(server).await.expect("connected");
                    assert_eq!(socket.peer_addr(), server);
                    for _ in 0..20 {
                        let word = random_u64().to_le_bytes();
                        assert_eq!(ask(&socket, &word).await.expect("answered"), word[..]);
                    }
                })
            })
            .collect();
        pair.run(5);
        for client in clients {
            assert_eq!(pair.world.ended(client), Some(Ended::Returned));
        }
        assert!(pair.world.panics().is_empty(), "{:?}", pair.world.panics());
        pair.world.trace_hash()
    };
    let hashes: Vec<u64> = (0..10).map(run).collect();
    assert_eq!(hashes, (0..10).map(run).collect::<Vec<_>>());
    let distinct: std::collections::BTreeSet<u64> = hashes.into_iter().collect();
    assert_eq!(distinct.len(), 10);
}

#[test]
fn a_process_has_threads() {
    // A broker is several reactors that talk through mailboxes.
    let pair = pair(1);
    let process = pair.world.start(pair.server, "threads", async {
        let (mut to_worker, mut inbox) = mailbox::channel::<oneshot::Sender<u64>>(4);
        let config = Config {
            name: "worker".to_owned(),
            ..Config::default()
        };
        let worker = thread(config, move || async move {
            assert_eq!(
                crate::current().map(|current| current.name).as_deref(),
                Some("threads/worker")
            );
            while let Some(answer) = inbox.recv().await {
                sleep(Duration::from_millis(3)).await;
                let number = background(|| 42).await;
                let _ = answer.send(number);
            }
        })
        .expect("a thread");
        for _ in 0..3 {
            let (sender, receiver) = crate::oneshot();
            to_worker.try_send(sender).map_err(drop).expect("room");
            assert_eq!(receiver.await, Ok(42));
        }
        assert!(!worker.is_finished());
        drop(to_worker);
        worker.ended().await.expect("a good end");
        let fails = thread(Config::default(), || async { panic!("on purpose") }).expect("a thread");
        assert!(fails.ended().await.is_err());
    });
    pair.run(2);
    assert_eq!(pair.world.ended(process), Some(Ended::Returned));
    assert_eq!(pair.world.panics(), ["server: on purpose"]);
}

#[test]
fn a_loopback_listener_is_for_its_host_only() {
    let pair = pair(2);
    let process = pair.world.start(pair.server, "local", async {
        let listener = Listener::bind("127.0.0.1:9092".parse().expect("an address")).expect("bound");
        assert!(Listener::bind("0.0.0.0:9092".parse().expect("an address")).is_err());
        spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let socket = socket.attach().expect("attached");
                socket.send(piece(b"hi")).await.expect("sent");
            }
        })
        .detach();
        let near = crate::resolve("localhost", PORT).await.expect("resolved")[0];
        let socket = Socket::connect(near).await.expect("connected");
        let mut buf = BytesMut::new();
        assert_eq!(socket.recv(&mut buf).await.expect("received"), 2);
        assert_eq!(
            socket.recv(&mut buf).await.expect("the end"),
            0,
            "dropped by its owner"
        );
        std::future::pending::<()>().await
    });
    let (_, answers) = pair.asking();
    pair.run(2);
    assert!(pair.world.is_running(process));
    assert_eq!(*answers.borrow(), [Err(ErrorKind::ConnectionRefused)]);
}

#[test]
fn a_killed_process_ends_its_connections_and_frees_its_ports() {
    let pair = pair(3);
    let (_, refused) = pair.asking();
    pair.run(1);
    assert_eq!(*refused.borrow(), [Err(ErrorKind::ConnectionRefused)]);
    for round in 0..3 {
        let server = pair.world.start(pair.server, "echo", echo());
        pair.run(1);
        let (_, answers) = pair.asking();
        pair.run(2);
        let before = answers.borrow().len();
        assert!(before > 10, "round {round}: {before}");
        pair.world.kill(server);
        assert_eq!(pair.world.ended(server), Some(Ended::Killed));
        pair.run(1);
        let end = answers.borrow().last().cloned();
        assert!(
            matches!(
                end,
                Some(Err(ErrorKind::UnexpectedEof
                    | ErrorKind::ConnectionReset
                    | ErrorKind::BrokenPipe))
            ),
            "{end:?}"
        );
    }
}

#[test]
fn a_power_cut_is_silence_and_then_a_reset() {
    let pair = pair(4);
    pair.world.start(pair.server, "echo", echo());
    pair.run(1);
    let (_, answers) = pair.asking();
    pair.run(1);
    pair.world.power_cut(pair.server);
    let before = answers.borrow().len();
    pair.run(10);
    assert_eq!(answers.borrow().len(), before, "nobody tells the client anything");
    pair.world.start(pair.server, "echo", echo());
    pair.run(5);
    assert_eq!(answers.borrow().last(), Some(&Err(ErrorKind::ConnectionReset)));
    let (_, answers) = pair.asking();
    pair.run(1);
    assert!(answers.borrow().len() > 5, "the new process serves");
}

#[test]
fn a_power_cut_loses_what_was_not_synced_and_a_kill_does_not() {
    let mut lost = 0;
    for seed in 0..40 {
        let pair = pair(seed);
        let path = Path::new("/file");
        let write = |text: &'static [u8]| async move {
            let file = File::open(path, OpenMode::Create).expect("open");
            file.write_all_at(b"synced", 0).expect("written");
            file.sync_data().await.expect("synced");
            disk::sync_dir(Path::new("/")).expect("synced");
            file.write_all_at(text, 6).expect("written");
            std::future::pending::<()>().await
        };
        let process = pair.world.start(pair.server, "writer", write(b"-kept"));
        pair.run(1);
        pair.world.kill(process);
        let disk = pair.world.disk(pair.server);
        assert_eq!(disk.cached(path).expect("there"), b"synced-kept");
        pair.world.power_cut(pair.server);
        let left = disk.cached(path).expect("there");
        assert!(left.starts_with(b"synced"), "{left:?}");
        lost += usize::from(left == b"synced");
    }
    assert!((5..40).contains(&lost), "{lost}");
}

#[test]
fn what_a_partition_held_back_comes_when_it_heals() {
    let pair = pair(5);
    pair.world.start(pair.server, "echo", echo());
    pair.run(1);
    let (_, answers) = pair.asking();
    pair.run(1);
    pair.world.partition(pair.server, pair.client);
    pair.run(1);
    let before = answers.borrow().len();
    let (_, late) = pair.asking();
    pair.run(10);
    assert_eq!(answers.borrow().len(), before);
    assert!(late.borrow().is_empty(), "the connect tries on");
    pair.world.heal();
    pair.run(10);
    let answers = answers.borrow();
    assert!(answers.len() > before + 10, "no answer is lost");
    assert!(answers.iter().zip(0..).all(|(answer, n)| *answer == Ok(n)));
    assert!(late.borrow().len() > 10);
}

#[test]
fn a_connection_that_stood_still_for_too_long_is_reset() {
    let net = NetConfig {
        stall_max: SECOND * 5,
        connect_max: SECOND * 5,
        ..NetConfig::default()
    };
    let pair = pair_with(WorldConfig {
        net,
        ..WorldConfig::new(6)
    });
    pair.world.start(pair.server, "echo", echo());
    pair.run(1);
    let (_, answers) = pair.asking();
    pair.run(1);
    pair.world.partition(pair.server, pair.client);
    let (_, never) = pair.asking();
    pair.run(20);
    assert_eq!(*never.borrow(), [Err(ErrorKind::TimedOut)]);
    pair.world.heal();
    pair.run(1);
    assert_eq!(answers.borrow().last(), Some(&Err(ErrorKind::ConnectionReset)));
}

#[test]
fn one_way_bytes_arrive_and_acknowledgements_do_not() {
    let pair = pair(7);
    let (arrived, count) = seen();
    let (sent, told) = seen();
    pair.world.start(pair.server, "sink", async move {
        let listener = Listener::bind("0.0.0.0:9092".parse().expect("an address")).expect("bound");
        let (socket, _) = listener.accept().await.expect("accepted");
        let socket = socket.attach().expect("attached");
        let mut buf = BytesMut::new();
        while let Ok(n @ 1..) = socket.recv(&mut buf).await {
            count.borrow_mut().push(n);
            buf.clear();
        }
    });
    let server = address(pair.server);
    pair.world.start(pair.client, "source", async move {
        let socket = Socket::connect(server).await.expect("connected");
        sleep(SECOND).await;
        for _ in 0..100 {
            socket.send(piece(&[7; 10_000])).await.expect("sent");
            told.borrow_mut().push(10_000_usize);
        }
    });
    pair.run(1);
    pair.world.block(pair.server, pair.client);
    pair.run(5);
    let (got, put): (usize, usize) = (arrived.borrow().iter().sum(), sent.borrow().iter().sum());
    assert!((200_000..300_000).contains(&got), "{got} arrived");
    assert!(put < 300_000, "{put} sent: the buffer is full");
    pair.world.heal();
    pair.run(5);
    let got: usize = arrived.borrow().iter().sum();
    assert_eq!(got, 1_000_000);
}

#[test]
fn who_does_not_read_makes_the_sender_wait() {
    let pair = pair(8);
    pair.world.start(pair.server, "deaf", deaf());
    let (sent, told) = seen();
    let server = address(pair.server);
    pair.world.start(pair.client, "source", async move {
        let socket = Socket::connect(server).await.expect("connected");
        loop {
            if let Err(error) = socket.send(piece(&[7; 10_000])).await {
                return told.borrow_mut().push(Err(error.kind()));
            }
            told.borrow_mut().push(Ok(()));
        }
    });
    pair.run(5);
    assert_eq!(sent.borrow().len(), 262_144 / 10_000);
    pair.world.power_cut(pair.server);
    pair.run(5);
    pair.world.power_on(pair.server);
    assert_eq!(
        sent.borrow().len(),
        262_144 / 10_000,
        "it does not know, and has nothing to say"
    );
}

#[test]
fn a_stopped_process_does_nothing_and_its_kernel_takes_in() {
    let pair = pair(9);
    let (ticks, tick) = seen();
    let server = pair.world.start(pair.server, "echo", async move {
        spawn(async move {
            loop {
                sleep(Duration::from_millis(100)).await;
                tick.borrow_mut().push(now());
            }
        })
        .detach();
        echo().await
    });
    pair.run(1);
    let (_, answers) = pair.asking();
    pair.run(1);
    pair.world.pause(server);
    let (before, ticked) = (answers.borrow().len(), ticks.borrow().len());
    let (connected, told) = seen();
    let there = address(pair.server);
    pair.world.start(pair.client, "another", async move {
        let socket = Socket::connect(there).await.expect("the kernel answers");
        told.borrow_mut().push("connected");
        ask(&socket, b"word").await.expect("answered later");
        told.borrow_mut().push("answered");
    });
    pair.run(10);
    assert!(answers.borrow().len() <= before + 1);
    assert_eq!(ticks.borrow().len(), ticked);
    assert_eq!(*connected.borrow(), ["connected"]);
    pair.world.resume(server);
    pair.run(2);
    assert!(answers.borrow().len() > before + 10);
    assert!(ticks.borrow().len() > ticked + 10);
    assert_eq!(*connected.borrow(), ["connected", "answered"]);
}

#[test]
fn wall_clocks_jump_and_the_monotonic_clock_does_not() {
    let pair = pair(10);
    let (clocks, told) = seen();
    pair.world.start(pair.server, "clock", async move {
        loop {
            told.borrow_mut().push((now(), wall_ms()));
            sleep(SECOND).await;
        }
    });
    pair.run(1);
    pair.world.set_wall_offset(pair.server, -3_600_000);
    pair.run(2);
    let clocks = clocks.borrow();
    let (first, last) = (clocks[0], clocks[2]);
    assert!(last.0 > first.0);
    assert!((last.1 - first.1 + 3_598_000).abs() < 100, "{clocks:?}");
}

#[test]
fn links_are_slow_hosts_refuse_and_connections_break() {
    let pair = pair(11);
    pair.world.start(pair.server, "echo", echo());
    pair.run(1);
    let slow = Duration::from_millis(400);
    pair.world
        .set_link(pair.client, pair.server, Some(LinkSpeed { min: slow, max: slow }));
    let (_, answers) = pair.asking();
    pair.run(5);
    assert!(
        (5..12).contains(&answers.borrow().len()),
        "{}",
        answers.borrow().len()
    );
    pair.world.reset_connections(pair.client, pair.server);
    pair.run(1);
    assert_eq!(answers.borrow().last(), Some(&Err(ErrorKind::ConnectionReset)));
    pair.world.set_refuses(pair.server, true);
    let (_, refused) = pair.asking();
    pair.run(3);
    assert_eq!(*refused.borrow(), [Err(ErrorKind::ConnectionRefused)]);
    pair.world.heal();
    let (_, answers) = pair.asking();
    pair.run(1);
    assert!(answers.borrow().len() > 5);
}

#[test]
fn a_host_halts_at_an_operation_of_its_disk() {
    for (halt, how) in [(Halt::Kill, Ended::Killed), (Halt::PowerCut, Ended::PowerCut)] {
        let pair = pair(12);
        let reached = Rc::new(Cell::new(0));
        let count = reached.clone();
        let process = pair.world.start(pair.server, "writer", async move {
            sleep(SECOND).await;
            let file = File::open(Path::new("/file"), OpenMode::Create).expect("open");
            for n in 0..10 {
                // told by an error, or not at all
                if file.write_all_at(b"x", n).is_err() {
                    return sleep(SECOND).await;
                }
                count.set(count.get() + 1);
            }
        });
        pair.world.halt_after(pair.server, halt, 4);
        pair.run(3);
        assert_eq!(pair.world.ended(process), Some(how));
        assert_eq!(reached.get(), 3, "creating is one, and three writes");
    }
}

#[test]
fn a_process_is_asked_to_end() {
    let pair = pair(13);
    let process = pair.world.start(pair.server, "polite", async {
        assert_eq!(shutdown_signal().await, Signal::Terminate);
        sleep(SECOND).await;
    });
    pair.run(5);
    assert!(pair.world.is_running(process));
    pair.world.signal(process, Signal::Terminate);
    let deadline = pair.world.now() + SECOND * 10;
    assert_eq!(pair.world.run_until_ended(process, deadline), Ok(true));
    assert_eq!(pair.world.ended(process), Some(Ended::Returned));
}

#[test]
fn shutdown_ends_both_directions_and_close_with_unread_bytes_resets() {
    let pair = pair(14);
    let (outcome, told) = seen();
    pair.world.start(pair.server, "server", async move {
        let listener = Listener::bind("0.0.0.0:9092".parse().expect("an address")).expect("bound");
        let first = listener
            .accept()
            .await
            .expect("accepted")
            .0
            .attach()
            .expect("attached");
        let mut buf = BytesMut::new();
        first.recv_exact(&mut buf, 4).await.expect("what came before");
        let end = first.recv(&mut buf).await.map_err(|e| e.kind());
        told.borrow_mut().push(end);
        let second = listener.accept().await.expect("accepted").0;
        sleep(SECOND).await;
        drop(second);
        std::future::pending::<()>().await
    });
    let server = address(pair.server);
    let (end, client_told) = seen();
    pair.world.start(pair.client, "client", async move {
        let first = Socket::connect(server).await.expect("connected");
        first.send(piece(b"last")).await.expect("sent");
        first.shutdown();
        assert!(first.send(piece(b"no")).await.is_err());
        assert_eq!(first.recv(&mut BytesMut::new()).await.expect("the end"), 0);
        let second = Socket::connect(server).await.expect("connected");
        second.send(piece(b"unread")).await.expect("sent");
        let got = timeout(SECOND * 3, second.recv(&mut BytesMut::new())).await;
        client_told
            .borrow_mut()
            .push(got.expect("an end").map_err(|e| e.kind()));
    });
    pair.run(5);
    assert_eq!(*outcome.borrow(), [Ok(0)]);
    assert_eq!(*end.borrow(), [Err(ErrorKind::ConnectionReset)]);
}

#[test]
fn slices_of_files_are_sent() {
    let pair = pair(15);
    pair.world.start(pair.server, "server", async {
        let file = File::open(Path::new("/file"), OpenMode::Create).expect("open");
        file.write_all_at(b"0123456789", 0).expect("written");
        let listener = Listener::bind("0.0.0.0:9092".parse().expect("an address")).expect("bound");
        let (socket, _) = listener.accept().await.expect("accepted");
        let slice = Piece::File {
            file,
            offset: 2,
            len: 3,
        };
        let pieces = vec![
            Piece::Bytes(Bytes::from_static(b"<")),
            slice,
            Piece::Bytes(Bytes::from_static(b">")),
        ];
        socket
            .attach()
            .expect("attached")
            .send(pieces)
            .await
            .expect("sent");
    });
    let server = address(pair.server);
    let client = pair.world.start(pair.client, "client", async move {
        let socket = Socket::connect(server).await.expect("connected");
        let mut buf = BytesMut::new();
        while socket.recv(&mut buf).await.expect("received") > 0 {}
        assert_eq!(&buf[..], b"<234>");
    });
    pair.run(2);
    assert_eq!(pair.world.ended(client), Some(Ended::Returned));
}

#[test]
fn a_task_that_never_waits_is_told() {
    let pair = pair_with(WorldConfig {
        polls_max: 10_000,
        ..WorldConfig::new(16)
    });
    pair.world.start(pair.server, "busy", async {
        loop {
            crate::yield_now().await;
        }
    });
    let stuck = pair.world.run_for(SECOND * 60).expect_err("stuck");
    assert_eq!(stuck.thread, "busy/main");
}
