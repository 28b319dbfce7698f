//! Connections, over both fillings.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::{any_port, assert_same, drain, pair, pattern, piece};
use reactor::{BackendChoice, Listener, Piece, Socket, sleep, spawn, timeout};

async fn echo(socket: Socket) {
    let mut buf = BytesMut::new();
    while socket.recv(&mut buf).await.expect("recv") > 0 {
        socket
            .send(vec![Piece::Bytes(buf.split().freeze())])
            .await
            .expect("send");
    }
}

on_both! {
    /// Pipelined requests must come back whole and in order.
    async fn echo_pipelined() {
        let (client, server) = pair().await;
        spawn(echo(server)).detach();
        let sent = pattern(128 * 5_000);
        let writer = spawn({
            let (client, sent) = (client.clone(), sent.clone());
            async move {
                for at in (0..sent.len()).step_by(128) {
                    client.send(vec![Piece::Bytes(sent.slice(at..at + 128))]).await.expect("send");
                }
            }
        });
        let mut got = BytesMut::new();
        while got.len() < sent.len() {
            assert!(client.recv(&mut got).await.expect("recv") > 0);
        }
        writer.await;
        assert_same(&got, &sent);
    }
}

on_both! {
    /// A thousand clients at once: all are accepted, all are served, none of them another's bytes.
    async fn thousand_connections() {
        let listener = Listener::bind(any_port()).expect("bind");
        let address = listener.local_addr();
        let acceptor = spawn(async move {
            for _ in 0..1000 {
                let (socket, _) = listener.accept().await.expect("accept");
                spawn(echo(socket.attach().expect("attach"))).detach();
            }
        });
        let clients: Vec<_> = (0..1000u32).map(|i| spawn(async move {
            let client = Socket::connect(address).await.expect("connect");
            for round in 0..3u32 {
                let word = (i * 7 + round).to_be_bytes();
                client.send(vec![Piece::Bytes(Bytes::copy_from_slice(&word))]).await.expect("send");
                let mut got = BytesMut::new();
                client.recv_exact(&mut got, 4).await.expect("recv");
                assert_eq!(got[..], word);
            }
        })).collect();
        acceptor.await;
        for client in clients {
            client.await;
        }
    }
}

on_both! {
    /// A consumer that stops reading must stop its sender, or the broker's memory is the consumer's to fill.
    async fn slow_reader_holds_the_sender() {
        let (client, server) = pair().await;
        let megabyte = pattern(1 << 20);
        let sent = Rc::new(Cell::new(0));
        let sender = spawn({
            let (sent, megabyte) = (sent.clone(), megabyte.clone());
            async move {
                for _ in 0..64 {
                    server.send(piece(&megabyte)).await.expect("send");
                    sent.set(sent.get() + 1);
                }
                server.shutdown();
            }
        });
        let mut got = BytesMut::new();
        client.recv(&mut got).await.expect("recv"); // arms what receives ahead
        let mut before = u32::MAX;
        while before != sent.get() {
            before = sent.get();
            sleep(Duration::from_millis(50)).await;
        }
        assert!(sent.get() < 64, "64 MiB went to a peer that had read {} bytes", got.len());
        got.extend_from_slice(&drain(&client).await);
        sender.await;
        assert_eq!(got.len(), 64 << 20);
        for part in got.chunks(1 << 20) {
            assert_same(part, &megabyte);
        }
    }
}

on_both! {
    /// A big produce request: header by small receives, body straight into its buffer, the next request behind it.
    async fn exact_receives_large_and_small() {
        let (client, server) = pair().await;
        let sent = pattern(3 * (1 << 20) + 12_345);
        let writer = spawn({
            let sent = sent.clone();
            async move {
                let mut at = 0;
                for step in (1..).map(|i| (i * 7919) % 50_021 + 1) {
                    let end = (at + step).min(sent.len());
                    client.send(vec![Piece::Bytes(sent.slice(at..end))]).await.expect("send");
                    at = end;
                    if at == sent.len() {
                        break;
                    }
                    if step % 3 == 0 {
                        reactor::yield_now().await;
                    }
                }
                client.shutdown();
            }
        });
        let mut got = BytesMut::new();
        for n in [4, 100, 1_500_000, 4, 32 * 1024, 33 * 1024, 1_100_000, 0, 1] {
            let before = got.len();
            server.recv_exact(&mut got, n).await.expect("recv_exact");
            assert_eq!(got.len(), before + n);
        }
        let left = sent.len() - got.len();
        let before = got.len();
        let error = server.recv_exact(&mut got, left + 1).await.expect_err("one byte too many");
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!(got.len(), before + left);
        writer.await;
        assert_same(&got, &sent);
    }
}

on_both! {
    /// A receive dropped by a timeout may hold bytes already taken from the kernel; losing them shifts the stream.
    async fn dropped_receives_lose_nothing() {
        let (client, server) = pair().await;
        let sent = pattern(6 << 20);
        let writer = spawn({
            let sent = sent.clone();
            async move {
                for (i, at) in (0..sent.len()).step_by(60_000).enumerate() {
                    let end = (at + 60_000).min(sent.len());
                    client.send(vec![Piece::Bytes(sent.slice(at..end))]).await.expect("send");
                    if i % 3 == 0 {
                        sleep(Duration::from_micros(200)).await;
                    }
                }
                client.shutdown();
            }
        });
        let mut got = BytesMut::new();
        let mut dropped = 0;
        for round in 0u64.. {
            let patience = Duration::from_micros(round * 37 % 300);
            let left = sent.len() - got.len();
            if left == 0 {
                break;
            }
            let ended = if round % 2 == 0 {
                timeout(patience, server.recv_exact(&mut got, left.min(300_000))).await.is_ok()
            } else {
                timeout(patience, server.recv(&mut got)).await.is_ok()
            };
            dropped += u32::from(!ended);
        }
        assert!(dropped > 0, "no receive was dropped: the test has tested nothing");
        assert_eq!(server.recv(&mut got).await.expect("recv"), 0);
        writer.await;
        assert_same(&got, &sent);
    }
}

on_both! {
    /// A fetch answer: header, file slices, trailer, to a consumer that reads in little bites.
    async fn files_are_sent_whole_to_a_slow_reader() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = reactor::File::open(&dir.path().join("log"), reactor::OpenMode::CreateNew).expect("open");
        let content = pattern(5 << 20);
        file.write_all_at(&content, 0).expect("write");
        let (client, server) = pair().await;
        let sender = spawn(async move {
            let slice = |offset, len| Piece::File { file: file.clone(), offset, len };
            server.send(vec![
                Piece::Bytes(Bytes::from_static(b"head")),
                slice(123, 3 << 20),
                slice(7, 0),
                Piece::Bytes(Bytes::new()),
                slice(0, 1),
                Piece::Bytes(Bytes::from_static(b"tail")),
            ]).await.expect("send");
            let beyond = vec![slice((5 << 20) - 10, 11)];
            let error = server.send(beyond).await.expect_err("the file is one byte short");
            assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
            server.shutdown();
        });
        let mut got = BytesMut::new();
        for _ in 0..20 {
            client.recv_exact(&mut got, 40_000).await.expect("recv");
            sleep(Duration::from_millis(1)).await;
        }
        got.extend_from_slice(&drain(&client).await);
        sender.await;
        let mut want = BytesMut::from(&b"head"[..]);
        want.extend_from_slice(&content[123..123 + (3 << 20)]);
        want.extend_from_slice(&content[..1]);
        want.extend_from_slice(b"tail");
        want.extend_from_slice(&content[(5 << 20) - 10..]);
        assert_same(&got, &want);
    }
}

on_both! {
    /// More pieces than one system call takes, some of them empty, and big ones among small.
    async fn many_pieces_are_gathered_in_order() {
        let (client, server) = pair().await;
        let all = pattern(2 << 20);
        let mut pieces = Vec::new();
        let mut at = 0;
        for i in 0.. {
            let len = if i % 50 == 7 { 300_000 } else { i % 11 * 13 };
            let end = (at + len).min(all.len());
            pieces.push(Piece::Bytes(all.slice(at..end)));
            at = end;
            if at == all.len() {
                break;
            }
        }
        let sender = spawn(async move {
            client.send(Vec::new()).await.expect("nothing is sent at once");
            client.send(pieces).await.expect("send");
            client.shutdown();
        });
        assert_same(&drain(&server).await, &all);
        sender.await;
    }
}

on_both! {
    /// Closing a connection from another task must end its reader and its writer, or they leak.
    async fn shutdown_wakes_both_directions() {
        let (client, server) = pair().await;
        let reader = spawn({
            let server = server.clone();
            async move { server.recv(&mut BytesMut::new()).await }
        });
        let exact = spawn({
            let client = client.clone();
            async move { client.recv_exact(&mut BytesMut::new(), 1 << 20).await }
        });
        let writer = spawn({
            let server = server.clone();
            async move {
                let megabyte = pattern(1 << 20);
                loop {
                    if let Err(e) = server.send(piece(&megabyte)).await {
                        return e;
                    }
                }
            }
        });
        // the client's receive ends after its megabyte; from then on nobody reads, and the writer gets stuck
        exact.await.expect("the megabyte");
        sleep(Duration::from_millis(20)).await;
        assert!(!reader.is_finished() && !writer.is_finished());
        server.shutdown();
        assert_eq!(reader.await.expect("the end of the stream"), 0);
        let _ = writer.await;
    }
}

on_both! {
    /// A client that went away is an error for its connection, not a signal for the process.
    async fn sending_to_a_closed_peer_fails() {
        let (client, server) = pair().await;
        drop(client);
        assert_eq!(server.recv(&mut BytesMut::new()).await.expect("the end"), 0);
        let megabyte = pattern(1 << 20);
        let mut ended = false;
        for _ in 0..100 {
            if server.send(piece(&megabyte)).await.is_err() {
                ended = true;
                break;
            }
        }
        assert!(ended);
    }
}

on_both! {
    /// A dropped socket must close although the kernel holds a receive on it; else descriptors leak.
    async fn dropped_sockets_close() {
        let listener = Listener::bind(any_port()).expect("bind");
        for _ in 0..200 {
            let client = Socket::connect(listener.local_addr()).await.expect("connect");
            let (server, _) = listener.accept().await.expect("accept");
            let server = server.attach().expect("attach");
            let reader = spawn({
                let server = server.clone();
                async move { server.recv(&mut BytesMut::new()).await }
            });
            reactor::yield_now().await;
            reader.abort();
            drop(server);
            assert_eq!(client.recv(&mut BytesMut::new()).await.expect("the end"), 0);
        }
        drop(listener);
        while reactor::metrics().operations > 1 {
            sleep(Duration::from_millis(1)).await; // the kernel gives the last requests back (all but the bell)
        }
    }
}

on_both! {
    async fn a_second_receive_or_send_at_once_is_refused() {
        let (client, _server) = pair().await;
        let first = spawn({
            let client = client.clone();
            async move { client.recv(&mut BytesMut::new()).await }
        });
        reactor::yield_now().await;
        let second = client.recv(&mut BytesMut::new()).await.expect_err("one at a time");
        assert_eq!(second.kind(), std::io::ErrorKind::ResourceBusy);
        first.abort();
        let again = timeout(Duration::from_millis(1), client.recv(&mut BytesMut::new())).await;
        assert!(again.is_err(), "the first gave its place back");
    }
}

on_both! {
    async fn connecting_to_nobody_fails() {
        let address = Listener::bind(any_port()).expect("bind").local_addr();
        sleep(Duration::from_millis(10)).await;
        let error = Socket::connect(address).await.err().expect("refused");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}

on_both! {
    /// A reset must end the connection with an error or an end, never with a receive that waits for ever.
    async fn a_reset_reaches_the_receiver() {
        let (client, server) = pair().await;
        server.send(piece(&pattern(10_000))).await.expect("send");
        drop(client); // unread bytes: the kernel answers with a reset
        let mut buf = BytesMut::new();
        assert!(matches!(server.recv(&mut buf).await, Ok(0) | Err(_)));
    }
}

/// 60 connections share 4 buffers, and half of them have a receive in the kernel but nobody who reads: buffers must go
/// round, nobody may wait for a buffer that a connection without a reader holds, and no byte may be lost.
#[test]
fn scarce_buffers_go_round() {
    let config = reactor::Config {
        recv_buffer_count: 4,
        ..common::config(BackendChoice::Uring)
    };
    common::run_with(config, async {
        let sent = pattern(200_000);
        let mut pairs = Vec::new();
        for _ in 0..60 {
            let (client, server) = pair().await;
            client
                .send(vec![Piece::Bytes(sent.slice(..1))])
                .await
                .expect("send");
            let mut first = BytesMut::new();
            server.recv(&mut first).await.expect("recv"); // from here on the kernel receives ahead
            pairs.push((client, server, first));
        }
        let mut tasks = Vec::new();
        let mut unread = Vec::new();
        for (i, (client, server, mut got)) in pairs.into_iter().enumerate() {
            let sent_here = sent.clone();
            tasks.push(spawn(async move {
                for at in (1..sent_here.len()).step_by(10_000) {
                    let end = (at + 10_000).min(sent_here.len());
                    client
                        .send(vec![Piece::Bytes(sent_here.slice(at..end))])
                        .await
                        .expect("send");
                    reactor::yield_now().await;
                }
                client.shutdown();
            }));
            if i < 30 {
                unread.push((server, got));
                continue;
            }
            let sent = sent.clone();
            tasks.push(spawn(async move {
                sleep(Duration::from_millis(5)).await; // let those without a reader have the buffers first
                got.extend_from_slice(&drain(&server).await);
                assert_same(&got, &sent);
            }));
        }
        for task in tasks {
            task.await;
        }
        for (server, mut got) in unread {
            got.extend_from_slice(&drain(&server).await);
            assert_same(&got, &sent);
        }
        let metrics = reactor::metrics();
        assert_eq!((metrics.buffers_free, metrics.buffers_total), (4, 4));
        assert!(
            metrics.buffers_exhausted > 0,
            "the pool never ran dry: the test has tested nothing"
        );
    });
}

on_both! {
    /// An acceptor's sockets are served elsewhere: attaching must work on another reactor.
    async fn detached_sockets_move_between_reactors() {
        let backend = match reactor::current().expect("a reactor").backend {
            reactor::Backend::Uring => BackendChoice::Uring,
            reactor::Backend::Epoll => BackendChoice::Epoll,
            reactor::Backend::Sim => unreachable!("this test runs on real machines"),
        };
        let (mut give, mut take) = reactor::mailbox::channel::<reactor::DetachedSocket>(16);
        let shard = reactor::thread(common::config(backend), move || async move {
            while let Some(socket) = take.recv().await {
                spawn(echo(socket.attach().expect("attach"))).await;
            }
        }).expect("a thread");
        let listener = Listener::bind(any_port()).expect("bind");
        for i in 0..20u8 {
            let client = Socket::connect(listener.local_addr()).await.expect("connect");
            let (socket, peer) = listener.accept().await.expect("accept");
            assert!(peer.ip().is_loopback());
            give.try_send(socket).expect("room");
            client.send(vec![Piece::Bytes(Bytes::copy_from_slice(&[i; 1000]))]).await.expect("send");
            let mut got = BytesMut::new();
            client.recv_exact(&mut got, 1000).await.expect("recv");
            assert_same(&got, &[i; 1000]);
        }
        drop(give);
        reactor::background(move || shard.join()).await.expect("the shard ends");
    }
}
