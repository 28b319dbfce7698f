//! What a broker costs that has nothing to do.

use super::broker::Broker;
use super::figures::Goal;
use super::load::FirstAck;
use super::process::{fds, rss_kib};
use super::session::{Run, Session};
use crate::shell::Done;

const TOPIC: &str = "idle";

pub fn partitions(run: &Run<'_>, session: &mut Session) -> Done {
    let count = session.options.scale.idle_partitions;
    let name = format!("{} idle partitions", super::figures::number(count.into()));
    let home = run.home(session)?;
    let broker = home.start()?;
    // the empty broker has served once, too: its first buffers are not the partitions'
    FirstAck::begin(session, home.port, "one", 1)?.since_asked()?;
    let (rss_before, fds_before) = settled(session, &broker)?;

    let created = FirstAck::begin(session, home.port, TOPIC, count)?.since_asked()?;
    run.add(
        session,
        &name,
        "s to create, to a record in the last",
        Goal::AtMost(5.0),
        created,
    );
    let (rss, fds) = settled(session, &broker)?;
    let each = |sum: f64| sum / f64::from(count);
    run.add(
        session,
        &name,
        "KiB of RSS each",
        Goal::AtMost(4.0),
        each(rss - rss_before),
    );
    run.add(
        session,
        &name,
        "fds each",
        Goal::AtMost(0.001),
        each(fds - fds_before),
    );

    broker.stop()?;
    let again = restarted(run, session, &home)?;
    run.add(
        session,
        &name,
        "s to restart after a stop",
        Goal::AtMost(2.0),
        again.0,
    );
    run.add(
        session,
        &name,
        "KiB of RSS each, restarted",
        Goal::AtMost(4.0),
        each(again.1 - rss_before),
    );
    let after_kill = restarted(run, session, &home)?;
    run.add(
        session,
        &name,
        "s to restart after kill -9",
        Goal::AtMost(2.0),
        after_kill.0,
    );
    Ok(())
}

/// Seconds to a record in the last partition, and the memory then; ends by kill -9.
fn restarted(run: &Run<'_>, session: &Session, home: &super::broker::Home) -> Done<(f64, f64)> {
    let probe = FirstAck::begin(session, home.port, TOPIC, 1)?;
    let broker = home.spawn()?;
    let seconds = probe.since_start_of(&broker)?;
    eprintln!("   {} restarted in {seconds:.3} s", run.contender.name());
    let (rss, _) = settled(session, &broker)?;
    broker.kill();
    Ok((seconds, rss))
}

pub fn start(run: &Run<'_>, session: &mut Session) -> Done {
    let home = run.home(session)?;
    let probe = FirstAck::begin(session, home.port, "one", 1)?;
    let broker = home.spawn()?;
    let seconds = probe.since_start_of(&broker)?;
    let (rss, fds) = settled(session, &broker)?;
    let name = "start on an empty directory";
    run.add(
        session,
        name,
        "s to the first acknowledgement",
        Goal::AtMost(0.3),
        seconds,
    );
    run.add(
        session,
        name,
        "MiB of RSS, idle",
        Goal::AtMost(32.0),
        rss / 1024.0,
    );
    run.add(session, name, "fds, idle", Goal::None, fds);
    Ok(())
}

/// Memory and descriptors when all is quiet.
fn settled(session: &Session, broker: &Broker<'_>) -> Done<(f64, f64)> {
    std::thread::sleep(session.options.scale.settle * 2);
    Ok((rss_kib(broker.pid())?, fds(broker.pid())?))
}
