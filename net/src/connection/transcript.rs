//! Conversations with [`Peer`], as a reader would tell them: `<` comes from outside, `>` is what the peer wants done.

use std::fmt::Write;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use reactor::{Instant, Piece};

use super::*;

/// Plays a script against a peer. A step is `< what`, in the past tense of the sender:
/// `frame KEY`, `bytes HEX`, `answer N LENGTH|none|close`, `sent`, `end`, `shutdown`, `wait SECONDS`, `cut` (half a frame).
fn play(limits: Limits, script: &str) -> String {
    let mut now = reactor::now();
    let mut peer = Peer::new(limits, now);
    let mut told = String::new();
    let mut correlation_id = 0;
    for step in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = step.split_whitespace().collect();
        match words[..] {
            ["frame", key] => {
                receive(&mut peer, now, &frame(key.parse().unwrap(), correlation_id));
                correlation_id += 1;
            }
            ["cut"] => receive(&mut peer, now, &[0, 0, 0, 9, 1]),
            ["bytes", hex] => receive(&mut peer, now, &unhex(hex)),
            ["answer", number, what] => {
                let reply = match what {
                    "none" => Reply::None,
                    "close" => Reply::Close,
                    length => Reply::from(Bytes::from(vec![number.as_bytes()[0]; length.parse().unwrap()])),
                };
                peer.handle_answer(now, RequestNumber(number.parse().unwrap()), reply);
            }
            ["sent"] => peer.handle_sent(now),
            ["end"] => {
                let buffer = peer.lend_buffer();
                peer.handle_end(now, buffer);
            }
            ["shutdown"] => peer.handle_shutdown(),
            ["wait", seconds] => {
                now += Duration::from_secs(seconds.parse().unwrap());
                peer.handle_deadline(now);
            }
            _ => panic!("what is {step:?}?"),
        }
        writeln!(told, "< {step}").unwrap();
        act(&mut peer, now, &mut told);
    }
    told
}

fn receive(peer: &mut Peer, now: Instant, bytes: &[u8]) {
    assert!(
        !matches!(peer.reading(), Reading::Paused | Reading::Ended),
        "told to read nothing"
    );
    let mut buffer = peer.lend_buffer();
    buffer.extend_from_slice(bytes);
    peer.handle_received(now, buffer);
}

fn act(peer: &mut Peer, now: Instant, told: &mut String) {
    while let Some(action) = peer.poll_action(now) {
        match action {
            Action::Start(number, frame) => {
                assert_eq!(frame.header.correlation_id as u64, number.0);
                writeln!(told, "> start {} (API {})", number.0, frame.header.api_key)
            }
            Action::Send(pieces) => {
                let text: Vec<String> = pieces.iter().map(text_of).collect();
                writeln!(told, "> send {}", text.join(" "))
            }
            Action::Close(reason) => writeln!(told, "> close: {reason}"),
        }
        .unwrap();
    }
    match peer.reading() {
        Reading::Paused => told.push_str("> (reads nothing)\n"),
        Reading::Exactly(n) => writeln!(told, "> (reads {n} more)").unwrap(),
        Reading::Any | Reading::Ended => {}
    }
}

fn text_of(piece: &Piece) -> String {
    let Piece::Bytes(bytes) = piece else {
        panic!("only bytes here")
    };
    format!("{}x{}", bytes.len(), char::from(bytes[0]))
}

fn frame(key: i16, correlation_id: i32) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i32(10);
    frame.put_i16(key);
    frame.put_i16(0);
    frame.put_i32(correlation_id);
    frame.put_i16(-1);
    frame
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

fn limits() -> Limits {
    Limits {
        in_flight_max: 4,
        unsent_bytes_max: 100,
        request_bytes_max: 1000,
        ..Limits::default()
    }
}

#[track_caller]
fn assert_played(script: &str, expected: &str) {
    let told = play(limits(), script);
    let trimmed = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect()
    };
    assert_eq!(trimmed(&told), trimmed(expected), "\n{told}");
}

#[test]
fn produce_requests_run_together_and_are_answered_in_order() {
    assert_played(
        "frame 0\n frame 0\n frame 0\n answer 2 3\n answer 0 1\n sent\n answer 1 2\n sent",
        "< frame 0
         > start 0 (API 0)
         < frame 0
         > start 1 (API 0)
         < frame 0
         > start 2 (API 0)
         < answer 2 3
         < answer 0 1
         > send 1x0
         < sent
         < answer 1 2
         > send 2x1 3x2
         < sent",
    );
}

#[test]
fn other_requests_run_alone() {
    // A Metadata that overtook a Produce would show a client an old log end; a Produce that overtook a CreateTopics
    // would fail.
    assert_played(
        "frame 0\n frame 3\n frame 0\n answer 0 1\n answer 1 2\n sent\n answer 2 3\n sent\n sent",
        "< frame 0
         > start 0 (API 0)
         < frame 3
         < frame 0
         < answer 0 1
         > send 1x0
         > start 1 (API 3)
         < answer 1 2
         > start 2 (API 0)
         < sent
         > send 2x1
         < answer 2 3
         < sent
         > send 3x2
         < sent",
    );
}

#[test]
fn no_answer_keeps_its_place() {
    assert_played(
        "frame 0\n frame 0\n answer 1 2\n answer 0 none\n sent",
        "< frame 0
         > start 0 (API 0)
         < frame 0
         > start 1 (API 0)
         < answer 1 2
         < answer 0 none
         > send 2x1
         < sent",
    );
}

#[test]
fn too_many_requests_in_flight_stop_the_reading() {
    assert_played(
        "frame 0\n frame 0\n frame 0\n frame 0\n answer 0 1\n sent",
        "< frame 0
         > start 0 (API 0)
         < frame 0
         > start 1 (API 0)
         < frame 0
         > start 2 (API 0)
         < frame 0
         > start 3 (API 0)
         > (reads nothing)
         < answer 0 1
         > send 1x0
         < sent",
    );
}

#[test]
fn unread_answers_stop_the_reading_and_the_starting() {
    assert_played(
        "frame 0\n frame 3\n answer 0 120\n sent",
        "< frame 0
         > start 0 (API 0)
         < frame 3
         < answer 0 120
         > send 120x0
         > (reads nothing)
         < sent
         > start 1 (API 3)",
    );
}

#[test]
fn frames_that_came_together_wait_for_room() {
    let six: String = (0..6).map(|n| format!("0000000a00000000{n:08x}ffff")).collect();
    assert_played(
        &format!("bytes {six}\n answer 0 1\n sent\n answer 1 1\n sent"),
        &format!(
            "< bytes {six}
             > start 0 (API 0)
             > start 1 (API 0)
             > start 2 (API 0)
             > start 3 (API 0)
             > (reads nothing)
             < answer 0 1
             > send 1x0
             > start 4 (API 0)
             > (reads nothing)
             < sent
             > (reads nothing)
             < answer 1 1
             > send 1x1
             > start 5 (API 0)
             > (reads nothing)
             < sent
             > (reads nothing)"
        ),
    );
}

#[test]
fn a_handler_that_closes_lets_earlier_answers_out_and_drops_later_ones() {
    assert_played(
        "frame 0\n frame 0\n frame 0\n answer 1 close\n answer 2 9\n answer 0 1\n sent",
        "< frame 0
         > start 0 (API 0)
         < frame 0
         > start 1 (API 0)
         < frame 0
         > start 2 (API 0)
         < answer 1 close
         < answer 2 9
         < answer 0 1
         > send 1x0
         < sent
         > close: closed by a request's handler",
    );
}

#[test]
fn what_was_sent_before_the_end_is_still_handled() {
    // A producer with acks=0 may send and close at once: its records must be taken.
    let six: String = (0..6).map(|n| format!("0000000a00000000{n:08x}ffff")).collect();
    assert_played(
        &format!(
            "bytes {six}\n end\n answer 0 none\n answer 1 none\n answer 2 none\n answer 3 none\n answer 4 none\n answer 5 none"
        ),
        &format!(
            "< bytes {six}
             > start 0 (API 0)
             > start 1 (API 0)
             > start 2 (API 0)
             > start 3 (API 0)
             > (reads nothing)
             < end
             < answer 0 none
             > start 4 (API 0)
             < answer 1 none
             > start 5 (API 0)
             < answer 2 none
             < answer 3 none
             < answer 4 none
             < answer 5 none
             > close: closed by the peer"
        ),
    );
}

#[test]
fn half_a_request_is_no_request() {
    assert_played(
        "cut\n end",
        "< cut
         > (reads 8 more)
         < end
         > close: closed by the peer in the middle of a request, 5 bytes of it received",
    );
}

#[test]
fn bytes_that_are_no_frame_close_after_earlier_answers() {
    assert_played(
        "frame 0\n bytes ffffffff\n answer 0 1\n sent",
        "< frame 0
         > start 0 (API 0)
         < bytes ffffffff
         < answer 0 1
         > send 1x0
         < sent
         > close: negative frame size -1",
    );
    assert_played(
        "bytes 7fffffff",
        "< bytes 7fffffff\n> close: frame of 2147483647 bytes announced, at most 1000 are allowed",
    );
    assert_played(
        "bytes 474554202f",
        "< bytes 474554202f\n> close: an HTTP request on a Kafka port",
    );
    assert_played(
        "bytes 1603010200",
        "< bytes 1603010200\n> close: a TLS handshake on a plaintext port",
    );
    assert_played(
        "bytes 000000020001",
        "< bytes 000000020001\n> close: header: 2 bytes expected at 2, 0 left",
    );
    assert_played(
        "bytes 0000000400630000",
        "< bytes 0000000400630000\n> close: API key 99 (version 0) is not known",
    );
    assert_played(
        "bytes 00000000",
        "< bytes 00000000\n> close: header: 2 bytes expected at 0, 0 left",
    );
}

#[test]
fn idle_connections_end_and_working_ones_do_not() {
    assert_played("wait 599\n wait 1", "< wait 599\n< wait 1\n> close: idle");
    // a trickle of bytes is no life
    assert_played(
        "cut\n wait 600",
        "< cut\n> (reads 8 more)\n< wait 600\n> close: idle",
    );
    assert_played(
        "frame 1\n wait 700\n answer 0 1\n wait 599\n sent\n wait 600",
        "< frame 1
         > start 0 (API 1)
         < wait 700
         < answer 0 1
         > send 1x0
         < wait 599
         < sent
         < wait 600
         > close: idle",
    );
    // a client that does not read its answer
    assert_played(
        "frame 1\n answer 0 1\n wait 600",
        "< frame 1\n> start 0 (API 1)\n< answer 0 1\n> send 1x0\n< wait 600\n> close: idle",
    );
}

#[test]
fn shutdown_answers_what_was_read() {
    assert_played(
        "frame 0\n frame 3\n shutdown\n answer 0 1\n sent\n answer 1 2\n sent",
        "< frame 0
         > start 0 (API 0)
         < frame 3
         < shutdown
         < answer 0 1
         > send 1x0
         > start 1 (API 3)
         < sent
         < answer 1 2
         > send 2x1
         < sent
         > close: the broker shuts down",
    );
    assert_played("shutdown", "< shutdown\n> close: the broker shuts down");
}
