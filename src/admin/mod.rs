//! The operators' port: `/metrics`, `/health` and `/ready` over plain HTTP/1.1, one request per connection.

mod cluster;
mod http;
mod lag;
mod scrape;

use std::rc::Rc;
use std::sync::Arc;

use reactor::Listener;

use crate::shard::{Node, Router};
use http::Answer;

/// Serves the port for ever. It is opened for requests when the broker is ready, so `/ready` needs no state: before, the
/// connection waits in the backlog.
pub async fn run(listener: Listener, node: Arc<Node>, main: Rc<Router>) {
    http::serve(listener, move |path| answer(path, node.clone(), main.clone())).await;
}

async fn answer(path: String, node: Arc<Node>, main: Rc<Router>) -> Option<Answer> {
    match path.as_str() {
        "/metrics" => Some(match scrape::scrape(&node, &main).await {
            Ok(text) => Answer {
                status: 200,
                content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
                body: text,
            },
            Err(error) => Answer::text(503, format!("{error}\n")),
        }),
        "/health" => Some(health(&main).await),
        "/ready" => Some(Answer::text(200, "ready\n")),
        _ => None,
    }
}

/// Healthy: every shard answers and no partition is offline.
async fn health(main: &Router) -> Answer {
    match scrape::offline_partitions(main).await {
        Ok(0) => Answer::text(200, "ok\n"),
        Ok(offline) => Answer::text(503, format!("{offline} partitions are offline\n")),
        Err(error) => Answer::text(503, format!("{error}\n")),
    }
}
