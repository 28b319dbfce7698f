//! Running out of descriptors. Alone in its process, because the limit is the process's.

mod common;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::any_port;
use reactor::{BackendChoice, Listener, Piece, Socket, sleep, spawn};

/// In order: the limit of one test is the other's too.
#[test]
fn descriptors() {
    a_reactors_end_leaves_nothing_open();
    accepting_without_descriptors_waits();
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc").count()
}

/// What a reactor's end leaks, a broker that restarts its shards, or a test suite, runs out of.
fn a_reactors_end_leaves_nothing_open() {
    let before = open_descriptors();
    for backend in [BackendChoice::Uring, BackendChoice::Epoll] {
        for _ in 0..20 {
            let socket = common::run_with(common::config(backend), async {
                let (client, server) = common::pair().await;
                let reader = spawn({
                    let server = server.clone();
                    async move { server.recv_exact(&mut BytesMut::new(), 1 << 20).await }
                });
                client
                    .send(common::piece(&common::pattern(500_000)))
                    .await
                    .expect("send");
                reader.detach();
                let listener = Listener::bind(any_port()).expect("bind");
                spawn(async move { listener.accept().await.map(drop) }).detach();
                sleep(Duration::from_millis(1)).await;
                (client, server) // outlive their reactor
            });
            drop(socket);
        }
    }
    assert_eq!(open_descriptors(), before);
}

fn limit_descriptors(to: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is readable and writable for the calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        let before = limit.rlim_cur;
        limit.rlim_cur = to;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
        before
    }
}

/// Accepting with no descriptor left must wait, not spin (a spinning acceptor starves the connections whose end
/// would heal it), and go on when descriptors are back.
fn accepting_without_descriptors_waits() {
    for backend in [BackendChoice::Uring, BackendChoice::Epoll] {
        common::run_with(common::config(backend), async {
            let listener = Listener::bind(any_port()).expect("bind");
            let mut clients = Vec::new();
            for _ in 0..20 {
                clients.push(Socket::connect(listener.local_addr()).await.expect("connect"));
            }
            let lowest_free = std::fs::File::open("/dev/null").expect("open");
            let highest = std::os::fd::AsRawFd::as_raw_fd(&lowest_free) as u64;
            drop(lowest_free);
            let before = limit_descriptors(highest + 2); // room for two more
            let acceptor = spawn(async move {
                let mut accepted = Vec::new();
                for _ in 0..20 {
                    accepted.push(listener.accept().await.expect("accept").0);
                }
                accepted
            });
            sleep(Duration::from_millis(20)).await;
            let polls = reactor::metrics().turns;
            sleep(Duration::from_millis(500)).await;
            let spent = reactor::metrics().turns - polls;
            assert!(!acceptor.is_finished());
            assert!(spent < 200, "{spent} turns in half a second: the acceptor spins");
            limit_descriptors(before);
            let accepted = acceptor.await;
            assert_eq!(accepted.len(), 20);
            let server = accepted
                .into_iter()
                .next()
                .expect("the first")
                .attach()
                .expect("attach");
            server
                .send(vec![Piece::Bytes(Bytes::from_static(b"hello"))])
                .await
                .expect("send");
            let mut got = BytesMut::new();
            clients[0].recv_exact(&mut got, 5).await.expect("recv");
            assert_eq!(&got[..], b"hello");
        });
    }
}
