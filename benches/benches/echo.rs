//! One round trip of 128 bytes over loopback, served by `reactor` (both fillings) and by tokio-uring: the measured alternative of
//! docs/adr/0001. Client and server sleep and wake once each per round trip, so wake-ups dominate; compare within one run only.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use reactor::{BackendChoice, Listener, Piece};
use tokio_uring::buf::BoundedBuf;

const MESSAGE: [u8; 128] = [7; 128];
const ANY_PORT: &str = "127.0.0.1:0";

fn serve_with_reactor(backend: BackendChoice) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let config = reactor::Config {
            backend,
            ..reactor::Config::default()
        };
        let serve = async move {
            let address = ANY_PORT.parse().expect("a loopback address");
            let listener = Listener::bind(address).expect("a free port");
            tell.send(listener.local_addr()).expect("the bench waits");
            let (socket, _) = listener.accept().await.expect("the bench connects");
            let socket = socket.attach().expect("a reactor's thread");
            let mut received = BytesMut::new();
            while socket.recv(&mut received).await.is_ok_and(|count| count > 0) {
                let answer = received.split().freeze();
                if socket.send(vec![Piece::Bytes(answer)]).await.is_err() {
                    break;
                }
            }
        };
        reactor::run(config, serve).expect("a reactor");
    });
    told.recv().expect("the server starts")
}

fn serve_with_tokio_uring() -> SocketAddr {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        tokio_uring::start(async move {
            let address = ANY_PORT.parse().expect("a loopback address");
            let listener = tokio_uring::net::TcpListener::bind(address).expect("a free port");
            tell.send(listener.local_addr().expect("bound"))
                .expect("the bench waits");
            let (stream, _) = listener.accept().await.expect("the bench connects");
            stream.set_nodelay(true).expect("a socket");
            let mut buffer = vec![0; 4096];
            loop {
                let (read, filled) = stream.read(buffer).await;
                let Ok(count @ 1..) = read else { break };
                let (written, slice) = stream.write_all(filled.slice(..count)).await;
                if written.is_err() {
                    break;
                }
                buffer = slice.into_inner();
            }
        });
    });
    told.recv().expect("the server starts")
}

fn round_trips(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo_128_bytes");
    let servers = [
        ("reactor_io_uring", serve_with_reactor(BackendChoice::Auto)),
        ("reactor_epoll", serve_with_reactor(BackendChoice::Epoll)),
        ("tokio_uring", serve_with_tokio_uring()),
    ];
    for (name, address) in servers {
        let mut client = TcpStream::connect(address).expect("the server listens");
        client.set_nodelay(true).expect("a socket");
        let mut answer = MESSAGE;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                client.write_all(&MESSAGE).expect("the server reads");
                client.read_exact(&mut answer).expect("the server answers");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, round_trips);
criterion_main!(benches);
