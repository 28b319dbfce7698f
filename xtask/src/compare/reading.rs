//! Consuming: what lies in the page cache, what does not, and what the second does to others.

use super::broker::{Broker, Home};
use super::caches;
use super::figures::Goal;
use super::latency;
use super::load::{Length, Load, warm_up};
use super::session::{Run, Session};
use crate::shell::Done;
use std::time::Duration;

const TOPIC: &str = "history";
/// More of the data than this in the page cache is not cold. Headers and index lookups after the eviction touch some.
const RESIDENT_SHARE_MAX: f64 = 0.02;
/// The stream runs alone first, then the cold reader begins.
const LEAD: Duration = Duration::from_secs(3);
/// About as long as reading 5 GB takes here.
const STREAM: Duration = Duration::from_secs(5);

fn reader() -> Load {
    Load::new("consume --connections 4")
}

/// Fills the topic that is read.
fn fill(session: &Session, broker: &Broker<'_>) -> Done {
    let load =
        Load::new("produce --record-bytes 1024 --batch-records 64 --partitions 4 --connections 4 --acks all");
    let records = Length::Records(session.options.scale.read_bytes / 1024);
    load.run(session, broker, TOPIC, records).map(|_| ())
}

fn warm(run: &Run<'_>, session: &Session, broker: &Broker<'_>) -> Done {
    let length = Length::Seconds(Duration::ZERO, warm_up(session, run.contender));
    Load::new("consume --connections 4 --again")
        .run(session, broker, TOPIC, length)
        .map(|_| ())
}

pub fn hot(run: &Run<'_>, session: &mut Session) -> Done {
    let home = run.home(session)?;
    let broker = home.start()?;
    fill(session, &broker)?;
    warm(run, session, &broker)?;
    let report = run.timed(
        session,
        &broker,
        &Load::new("consume --connections 4 --again"),
        TOPIC,
    )?;
    let name = "consume, hot (page cache)";
    run.add(
        session,
        name,
        "MB/s",
        Goal::TimesKafkaAtLeast(1.0),
        report.number("mb_per_s")?,
    );
    run.add(
        session,
        name,
        "broker CPU s/GB",
        Goal::TimesKafkaAtMost(0.9),
        report.cpu_seconds_per_gb()?,
    );
    run.add(
        session,
        name,
        "load's core busy %",
        Goal::None,
        report.load_busy() * 100.0,
    );
    run.mark(run.row, session, name, "MB/s", &report);
    Ok(())
}

pub fn cold(run: &Run<'_>, session: &mut Session) -> Done {
    let home = run.home(session)?;
    let broker = home.start()?;
    fill(session, &broker)?;
    warm(run, session, &broker)?;
    make_cold(&home)?;
    let report = reader().run(session, &broker, TOPIC, Length::All)?;
    let gb = session.options.scale.read_bytes as f64 / 1e9;
    let name = format!("consume, cold ({gb} GB, not in the page cache)");
    run.add(
        session,
        &name,
        "MB/s",
        Goal::TimesKafkaAtLeast(1.0),
        report.number("mb_per_s")?,
    );
    run.add(
        session,
        &name,
        "broker CPU s/GB",
        Goal::None,
        report.cpu_seconds_per_gb()?,
    );
    run.add(
        session,
        &name,
        "load's core busy %",
        Goal::None,
        report.load_busy() * 100.0,
    );
    run.mark(run.row, session, &name, "MB/s", &report);
    Ok(())
}

/// The reader takes only what the stream's two ends leave of the load's core: what is measured is how they share the
/// broker, not how they share that core.
pub fn neighbour(run: &Run<'_>, session: &mut Session) -> Done {
    let home = run.home(session)?;
    let broker = home.start()?;
    fill(session, &broker)?;
    warm(run, session, &broker)?;
    let stream = latency::stream();
    run.warm(session, &broker, &stream)?;
    make_cold(&home)?;
    let length = Length::Seconds(LEAD, STREAM);
    let alone = stream
        .run(session, &broker, "stream-alone", length)?
        .milliseconds("p999_us")?;
    make_cold(&home)?;
    let running = stream.begin(session, &broker, "stream-beside", length)?;
    std::thread::sleep(LEAD);
    let read = reader()
        .in_background()
        .run(session, &broker, TOPIC, Length::All)?;
    let beside = running.finish()?;
    let name = "10,000 records/s end to end";
    run.add(session, &format!("{name}, alone"), "p99.9 ms", Goal::None, alone);
    let with = beside.milliseconds("p999_us")?;
    run.add(
        session,
        &format!("{name}, beside a cold reader"),
        "p99.9 ms",
        Goal::None,
        with,
    );
    run.add(
        session,
        &format!("{name}, beside against alone"),
        "times",
        Goal::AtMost(1.5),
        with / alone,
    );
    run.add(
        session,
        "the cold reader meanwhile",
        "MB/s",
        Goal::None,
        read.number("mb_per_s")?,
    );
    run.add(
        session,
        "the cold reader meanwhile",
        "s",
        Goal::None,
        read.number("seconds")?,
    );
    run.mark(
        run.row,
        session,
        &format!("{name}, beside a cold reader"),
        "p99.9 ms",
        &beside,
    );
    Ok(())
}

/// Empties the page cache and makes sure that it is.
fn make_cold(home: &Home) -> Done {
    caches::drop_caches(home.path())?;
    let (resident, size) = caches::resident(home.path())?;
    if resident as f64 > size as f64 * RESIDENT_SHARE_MAX {
        return Err(format!(
            "not cold: {resident} of {size} bytes of segments are in the page cache"
        ));
    }
    Ok(())
}
