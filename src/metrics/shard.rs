//! What one shard counts about requests and connections. Plain cells: only the shard itself writes them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use net::error::ErrorCode;

use super::{Histogram, Snapshot, Upkeep};
use crate::api;

/// One API's row.
#[derive(Debug, Default)]
pub struct ApiFigures {
    latency: Histogram,
    errors: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
pub struct ShardMetrics {
    /// By position in `api::TABLE`.
    apis: RefCell<Vec<ApiFigures>>,
    pub sync_latency: RefCell<Histogram>,
    pub unknown_requests: Cell<u64>,
    pub fetches_waiting: Cell<u64>,
    pub upkeep: Upkeep,
}

impl ShardMetrics {
    /// A request of `api` was answered `took` after its last byte had arrived.
    pub fn answered(&self, api: &api::Api, took: Duration) {
        self.with_api(api, |figures| figures.latency.observe(took));
    }

    /// An answer carried `code`, on its top level or for one of its parts.
    pub fn error(&self, api: &api::Api, code: ErrorCode) {
        self.with_api(api, |figures| {
            *figures.errors.entry(code.name()).or_default() += 1
        });
    }

    fn with_api(&self, api: &api::Api, count: impl FnOnce(&mut ApiFigures)) {
        let mut apis = self.apis.borrow_mut();
        if apis.is_empty() {
            apis.resize_with(api::TABLE.len(), ApiFigures::default);
        }
        let row = api::TABLE.iter().position(|row| row.key == api.key);
        if let Some(figures) = row.and_then(|row| apis.get_mut(row)) {
            count(figures);
        }
    }

    pub fn collect(&self, out: &mut Snapshot) {
        for (api, figures) in api::TABLE.iter().zip(self.apis.borrow().iter()) {
            let labels = [("api", api.name)];
            out.histogram(
                "request_seconds",
                "Time from a request's last byte to its answer, per API.",
                &labels,
                &figures.latency,
            );
            for (code, count) in &figures.errors {
                let labels = [("api", api.name), ("code", *code)];
                out.counter(
                    "request_errors",
                    "Error codes in answers, per API.",
                    &labels,
                    *count,
                );
            }
        }
        self.upkeep.collect(out);
        let sync = self.sync_latency.borrow();
        out.histogram(
            "sync_seconds",
            "Time from an append to its bytes being on stable storage.",
            &[],
            &sync,
        );
        out.counter(
            "unknown_requests",
            "Requests of an API or version that is not served.",
            &[],
            self.unknown_requests.get(),
        );
        out.gauge(
            "fetches_waiting",
            "Fetches that wait for data (purgatory).",
            &[],
            self.fetches_waiting.get() as f64,
        );
    }
}
