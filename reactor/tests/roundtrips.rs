//! What waiting costs, counted in turns of the loop and sleeps instead of time.

mod common;

use std::io::{Read, Write};
use std::time::Duration;

use bytes::BytesMut;
use reactor::{Listener, Metrics, Piece, metrics, sleep};

/// Turns, sleeps, timers set.
fn counts() -> [u64; 3] {
    let Metrics {
        turns,
        sleeps,
        timers,
        ..
    } = metrics();
    [turns, sleeps, timers]
}

on_both! {
    /// A lone client waits for one answer at a time: each must cost one look at the kernel at most. A turn more is a wake-up
    /// for nothing; a timer in between would let the answer wait for the clock.
    async fn a_round_trip_costs_one_turn() {
        const ROUND_TRIPS: u64 = 500;
        let listener = Listener::bind(common::any_port()).expect("bind");
        let address = listener.local_addr();
        let client = std::thread::spawn(move || {
            let mut client = std::net::TcpStream::connect(address).expect("connect");
            client.set_nodelay(true).expect("an option");
            let mut answer = [0; 128];
            for _ in 0..ROUND_TRIPS {
                client.write_all(&[7; 128]).expect("write");
                client.read_exact(&mut answer).expect("read");
            }
        });
        let socket = listener.accept().await.expect("accept").0.attach().expect("attach");
        let before = counts();
        let mut received = BytesMut::new();
        while socket.recv(&mut received).await.expect("recv") > 0 {
            socket.send(vec![Piece::Bytes(received.split().freeze())]).await.expect("send");
        }
        let after = counts();
        client.join().expect("the client ends");
        // a few more: a message may come in two parts, the listener's own events, the end of the stream
        assert!(after[0] - before[0] <= ROUND_TRIPS + 20, "{before:?} {after:?}");
        assert!(after[1] - before[1] <= ROUND_TRIPS + 20, "{before:?} {after:?}");
        assert_eq!(after[2], before[2], "no timer is set");
    }
}

on_both! {
    /// A sleep shorter than a millisecond is one sleep: rounded down it would be spinning, rounded up a sleep too long.
    async fn a_timer_costs_one_sleep() {
        for wait in [Duration::from_micros(50), Duration::from_micros(1500), Duration::from_millis(30)] {
            let before = counts();
            sleep(wait).await;
            let after = counts();
            assert!(after[0] - before[0] <= 4 && after[1] - before[1] <= 4, "{wait:?}: {before:?} {after:?}");
        }
    }
}
