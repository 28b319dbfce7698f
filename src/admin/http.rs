//! A GET-only HTTP server on the reactor, for probes and scrapes: parsed by `httparse`, answered, closed.
//!
//! Bounds: [`HEAD_BYTES`] of request head, [`PATIENCE`] to send it, [`CONNECTIONS`] at a time (further ones wait in the
//! listener's backlog).

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reactor::{DetachedSocket, Listener, Piece, Socket};

const HEAD_BYTES: usize = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 64;

/// What a path answers.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

impl Answer {
    pub fn text(status: u16, body: impl Into<String>) -> Answer {
        Answer {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }
}

/// Accepts for ever; `answer` maps a path to its answer, or `None` for 404.
pub async fn serve<F, Fut>(listener: Listener, answer: F)
where
    F: Fn(String) -> Fut + 'static,
    Fut: Future<Output = Option<Answer>> + 'static,
{
    let answer = Rc::new(answer);
    let places = reactor::sync::Budget::new(CONNECTIONS);
    loop {
        let place = places.reserve(1).await;
        match listener.accept().await {
            Ok((socket, _peer)) => {
                let answer = answer.clone();
                reactor::spawn(async move {
                    let _place = place;
                    if let Ok(Err(error)) = reactor::timeout(PATIENCE, converse(socket, &*answer)).await {
                        tracing::debug!(%error, "admin connection");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "admin listener");
                reactor::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse<F, Fut>(socket: DetachedSocket, answer: &F) -> std::io::Result<()>
where
    F: Fn(String) -> Fut,
    Fut: Future<Output = Option<Answer>>,
{
    let socket = socket.attach()?;
    let reply = match read_path(&socket).await? {
        Head::Get(path) => answer(path)
            .await
            .unwrap_or_else(|| Answer::text(404, "not found\n")),
        Head::OtherMethod => Answer::text(405, "only GET is served\n"),
        Head::Malformed => Answer::text(400, "not an HTTP/1.1 request\n"),
    };
    let reason = match reply.status {
        200 => "OK",
        404 => "Not Found",
        405 => "Method Not Allowed",
        503 => "Service Unavailable",
        _ => "Bad Request",
    };
    let head = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        reply.status,
        reply.content_type,
        reply.body.len()
    );
    socket
        .send(vec![
            Piece::Bytes(Bytes::from(head)),
            Piece::Bytes(Bytes::from(reply.body)),
        ])
        .await?;
    socket.shutdown();
    Ok(())
}

enum Head {
    Get(String),
    OtherMethod,
    Malformed,
}

async fn read_path(socket: &Socket) -> std::io::Result<Head> {
    let mut received = BytesMut::new();
    loop {
        if socket.recv(&mut received).await? == 0 || received.len() > HEAD_BYTES {
            return Ok(Head::Malformed);
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&received) {
            Ok(httparse::Status::Partial) => {}
            Ok(httparse::Status::Complete(_)) => {
                let path = request
                    .path
                    .unwrap_or("/")
                    .split('?')
                    .next()
                    .unwrap_or("/")
                    .to_owned();
                return Ok(if request.method == Some("GET") {
                    Head::Get(path)
                } else {
                    Head::OtherMethod
                });
            }
            Err(_) => return Ok(Head::Malformed),
        }
    }
}
