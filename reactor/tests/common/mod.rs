//! Every test runs over both fillings. Where io_uring is forbidden its half says so and passes.
#![allow(dead_code)] // why: each test binary uses its part

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reactor::{BackendChoice, Config, Listener, Piece, Socket};

/// Only against hanging for ever: no test measures time.
const WATCHDOG: Duration = Duration::from_secs(600);

pub fn run_with<F: Future>(config: Config, test: F) -> Option<F::Output> {
    if let Err(why) = reactor::probe(config.backend) {
        eprintln!("skipped: {why}");
        return None;
    }
    let wanted = config.backend;
    let watched = reactor::timeout(WATCHDOG, async move {
        let backend = reactor::current().expect("a reactor").backend;
        assert_eq!(backend == reactor::Backend::Uring, wanted == BackendChoice::Uring);
        test.await
    });
    Some(
        reactor::run(config, watched)
            .expect("the reactor runs")
            .expect("the test ends"),
    )
}

pub fn config(backend: BackendChoice) -> Config {
    Config {
        backend,
        name: "test".to_owned(),
        ..Config::default()
    }
}

#[macro_export]
macro_rules! on_both {
    ($(#[$doc:meta])* async fn $name:ident() $body:block) => {
        $(#[$doc])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn test() $body

            #[test]
            fn uring() {
                common::run_with(common::config(reactor::BackendChoice::Uring), test());
            }

            #[test]
            fn epoll() {
                common::run_with(common::config(reactor::BackendChoice::Epoll), test());
            }
        }
    };
}

pub fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Two ends of a connection on this reactor.
pub async fn pair() -> (Socket, Socket) {
    let listener = Listener::bind(any_port()).expect("bind");
    let client = Socket::connect(listener.local_addr()).await.expect("connect");
    let (server, _) = listener.accept().await.expect("accept");
    (client, server.attach().expect("attach"))
}

/// Bytes in which every position can be told from its neighbours, also across buffer sizes.
pub fn pattern(len: usize) -> Bytes {
    (0..len)
        .map(|i| ((i * 31) ^ (i >> 8) ^ (i >> 16)) as u8)
        .collect::<Vec<u8>>()
        .into()
}

pub fn piece(bytes: &Bytes) -> Vec<Piece> {
    vec![Piece::Bytes(bytes.clone())]
}

/// Everything until the peer is done.
pub async fn drain(socket: &Socket) -> BytesMut {
    let mut buf = BytesMut::new();
    while socket.recv(&mut buf).await.expect("recv") > 0 {}
    buf
}

/// Not `assert_eq`: a difference in megabytes of bytes should not print megabytes.
#[track_caller]
pub fn assert_same(got: &[u8], want: &[u8]) {
    assert_eq!(got.len(), want.len(), "lengths differ");
    if let Some(at) = (0..got.len()).find(|&i| got[i] != want[i]) {
        panic!("differs first at byte {at}: {} instead of {}", got[at], want[at]);
    }
}
