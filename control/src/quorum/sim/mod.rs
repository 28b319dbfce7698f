//! The quorum under a seeded network, disks that lose what was not synced, and operators who change the voters.
//!
//! `QUORUM_SEEDS=100000` runs more; `QUORUM_SEED=17` runs one, and prints what happened if it fails.

mod check;
mod node;
mod regressions;
mod world;

use world::World;

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("QUORUM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("QUORUM_SEEDS").unwrap_or(default),
    }
}

#[cfg(not(feature = "planted-bugs"))]
#[test]
fn nothing_committed_is_ever_lost_or_changed() {
    // The cluster's metadata would differ from broker to broker, or forget what a client was promised.
    let (mut elections, mut committed) = (0, 0);
    for seed in seeds(3000) {
        let mut world = World::new(seed, None);
        if std::env::var("QUORUM_SEED").is_ok() {
            world.trace = Some(Vec::new());
        }
        if let Err(what) = world.run() {
            for line in world.trace.iter().flatten() {
                println!("{line}");
            }
            panic!("seed {seed}: {what}");
        }
        elections += world.checker.elections;
        committed += world.checker.committed_end.0;
    }
    println!("{elections} elections, {committed} records committed");
    assert!(elections > 0 && committed > 0);
}

#[cfg(feature = "planted-bugs")]
#[test]
fn planted_bugs_are_found() {
    use crate::quorum::planted::{Bug, plant};
    // A simulation that finds nothing proves nothing.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut unseen = Vec::new();
    for bug in Bug::ALL {
        plant(Some(*bug));
        let scheduled = regressions::SCHEDULES
            .iter()
            .find(|(_, schedule)| std::panic::catch_unwind(schedule).is_err());
        if let Some((name, _)) = scheduled {
            println!("{bug:?}: schedule: {name}");
            continue;
        }
        let found = seeds(1000).find_map(|seed| {
            let run = std::panic::catch_unwind(|| World::new(seed, Some(world::hard(seed))).run());
            match run {
                Ok(Ok(())) => None,
                Ok(Err(what)) => Some((seed, what)),
                Err(_) => Some((seed, "an assertion failed".to_owned())),
            }
        });
        match found {
            Some((seed, what)) => println!("{bug:?}: seed {seed}: {what:.120}"),
            None => unseen.push(*bug),
        }
    }
    plant(None);
    std::panic::set_hook(hook);
    assert!(unseen.is_empty(), "not found: {unseen:?}");
}
