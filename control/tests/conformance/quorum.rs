//! A quorum of one. What several members have to agree on has its own tests beside the driver.

use std::rc::Rc;
use std::sync::Arc;

use control::config::Endpoint;
use control::quorum::{NoAnswer, Request, Response, Timers, VoterSet};
use control::store::StoreConfig;
use control::store::kraft::{QuorumConfig, QuorumNetwork, QuorumPeers, QuorumServer};
use futures_util::future::LocalBoxFuture;

use crate::place::{Place, run};
use crate::suite;

#[derive(Debug)]
struct Nobody;

impl QuorumNetwork for Nobody {
    fn open(&self, _server: QuorumServer, _cluster_id: &str) -> Rc<dyn QuorumPeers> {
        Rc::new(Nobody)
    }
}

impl QuorumPeers for Nobody {
    fn ask(&self, _to: &Endpoint, _request: Request) -> LocalBoxFuture<'static, Result<Response, NoAnswer>> {
        Box::pin(async { Err(NoAnswer::Refused) })
    }
}

#[test]
fn a_quorum_of_one_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().to_owned();
    let place = Place::new(1, move |_| {
        StoreConfig::Quorum(QuorumConfig {
            dir: path.clone(),
            voters: VoterSet::parse("1@localhost:9001").expect("a voter"),
            timers: Timers::default(),
            network: Arc::new(Nobody),
        })
    });
    run(suite::one_member(&place));
}
