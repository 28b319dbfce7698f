//! A network in memory, for tests: the replicas of one thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use super::network::{QuorumNetwork, QuorumPeers, QuorumServer};
use crate::config::Endpoint;
use crate::quorum::{NoAnswer, Request, Response};

/// What whoever asks a replica that is cut off finds, and what that replica finds when it asks.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// No answer, as behind a cable that is out.
    Silent,
    /// Nobody listens, as after the death of a process.
    Refused,
}

thread_local! {
    /// By port.
    static SERVERS: RefCell<BTreeMap<u16, QuorumServer>> = const { RefCell::new(BTreeMap::new()) };
    static CUT: Cell<Option<(u16, Cut)>> = const { Cell::new(None) };
}

/// The place of one replica in it: its endpoint's port.
#[derive(Debug)]
pub struct LocalNetwork {
    port: u16,
}

impl LocalNetwork {
    pub fn at(port: u16) -> LocalNetwork {
        LocalNetwork { port }
    }

    /// Cuts that one off from all others, and nobody else.
    pub fn cut(one: Option<(u16, Cut)>) {
        CUT.set(one);
    }

    /// Makes this thread's network an empty one.
    pub fn forget() {
        SERVERS.take();
        CUT.take();
    }
}

impl QuorumNetwork for LocalNetwork {
    fn open(&self, server: QuorumServer, _cluster_id: &str) -> Rc<dyn QuorumPeers> {
        SERVERS.with_borrow_mut(|servers| servers.insert(self.port, server));
        Rc::new(LocalPeers { port: self.port })
    }
}

struct LocalPeers {
    port: u16,
}

impl QuorumPeers for LocalPeers {
    fn ask(&self, to: &Endpoint, request: Request) -> LocalBoxFuture<'static, Result<Response, NoAnswer>> {
        let (from, to) = (self.port, to.port);
        Box::pin(async move {
            reactor::yield_now().await;
            pass(from, to, NoAnswer::Refused).await?;
            let server = SERVERS.with_borrow(|servers| servers.get(&to).cloned());
            let server = server.ok_or(NoAnswer::Refused)?;
            if server.0.strong_count() == 0 {
                return Err(NoAnswer::Refused);
            }
            let answer = server.serve(request).await;
            // it has happened, and the answer is lost
            pass(from, to, NoAnswer::Lost).await?;
            answer.ok_or(NoAnswer::Lost)
        })
    }
}

/// Goes on where nothing is cut.
async fn pass(from: u16, to: u16, refusal: NoAnswer) -> Result<(), NoAnswer> {
    match CUT.get() {
        Some((port, Cut::Silent)) if port == from || port == to => std::future::pending().await,
        Some((port, Cut::Refused)) if port == from || port == to => Err(refusal),
        _ => Ok(()),
    }
}
