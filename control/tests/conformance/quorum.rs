//! A quorum of one, and of three over a network in memory. How replicas fail and come back has its own tests beside the driver.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use control::quorum::{Timers, VoterSet};
use control::store::StoreConfig;
use control::store::kraft::{Cut, LocalNetwork, QuorumConfig, QuorumMetaLog};
use tempfile::TempDir;

use crate::contention::duel;
use crate::place::{Election, Place, member, run};
use crate::suite;

fn port(id: i32) -> u16 {
    9000 + u16::try_from(id).expect("an id")
}

/// Voters, each with a directory of its own.
struct Voters {
    dirs: Vec<TempDir>,
    voters: VoterSet,
    cut: Cut,
    timers: Timers,
    /// The last voter where no test has opened it: two of three elect nobody when one of them is silent.
    witness: RefCell<Option<QuorumMetaLog>>,
}

impl Voters {
    fn new(count: i32, cut: Cut) -> Voters {
        LocalNetwork::forget();
        let names: Vec<String> = (1..=count)
            .map(|id| format!("{id}@localhost:{}", port(id)))
            .collect();
        Voters {
            dirs: names.iter().map(|_| tempfile::tempdir().expect("dir")).collect(),
            voters: VoterSet::parse(&names.join(",")).expect("voters"),
            cut,
            timers: Timers::default(),
            witness: RefCell::new(None),
        }
    }

    /// Whoever leads goes on though the machine stands still for a while. Where somebody is to be missed this is waited for.
    fn patient(mut self) -> Voters {
        self.timers.fetch = Duration::from_secs(3);
        self
    }

    fn config(&self, id: i32) -> QuorumConfig {
        QuorumConfig {
            dir: self.dirs[id as usize - 1].path().to_owned(),
            voters: self.voters.clone(),
            timers: self.timers.clone(),
            network: Arc::new(LocalNetwork::at(port(id))),
        }
    }

    fn place(self) -> Place {
        let own = Rc::new(self);
        let voters = Rc::clone(&own);
        let place = Place::new(own.dirs.len(), move |id| StoreConfig::Quorum(voters.config(id)));
        if own.dirs.len() > 1 {
            place.elected(own)
        } else {
            place
        }
    }
}

impl Election for Voters {
    fn prepare(&self, id: i32) {
        let last = self.dirs.len() as i32;
        let mut witness = self.witness.borrow_mut();
        if id == last {
            *witness = None;
        } else if witness.is_none() {
            let opened = QuorumMetaLog::open(&self.config(last), &member(last, 0));
            *witness = Some(opened.expect("opens").0);
        }
    }

    fn silence(&self, id: Option<i32>) {
        LocalNetwork::cut(id.map(|id| (port(id), self.cut)));
    }
}

#[test]
fn a_quorum_of_one_keeps_the_contract() {
    run(suite::one_member(&Voters::new(1, Cut::Refused).place()));
}

#[test]
fn a_quorum_of_three_keeps_the_contract() {
    // Who is refused is dead for certain; who is silent may come back any moment, and believe that it leads.
    for cut in [Cut::Refused, Cut::Silent] {
        run(suite::two_members(&Voters::new(3, cut).patient().place()));
    }
}

#[test]
fn what_the_leaders_of_a_quorum_answered_is_true() {
    // A leader that nobody hears appends to its own log for a while; none of that may be answered with yes, or come back.
    for (cut, with_snapshots) in [(Cut::Refused, false), (Cut::Silent, true)] {
        run(duel(&Voters::new(3, cut).place(), 3, 60, with_snapshots));
    }
}
