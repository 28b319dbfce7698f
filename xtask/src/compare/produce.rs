//! Producing as fast as the broker takes it.

use super::broker::Broker;
use super::figures::Goal;
use super::load::{Length, Load, Report};
use super::row::Row;
use super::session::{Run, Session};
use crate::shell::Done;
use std::time::Duration;

/// How often the two policies of the journal row take turns on one broker.
const JOURNAL_TURNS: u32 = 2;
const PAGE_CACHE: &str = "ringlog.durability=page-cache";
const JOURNAL: &str = "ringlog.durability=journal";
/// Kafka's way to put every batch on stable storage before it is acknowledged.
pub const KAFKA_SYNCED: &str = "flush.messages=1";

/// What is promised of a load.
struct Goals {
    mb_per_s: Goal,
    cpu: Goal,
    p999: Goal,
}

const NO_GOALS: Goals = Goals {
    mb_per_s: Goal::None,
    cpu: Goal::None,
    p999: Goal::None,
};

fn batches_of(records: u32) -> Load {
    Load::new(&format!(
        "produce --record-bytes 1024 --batch-records {records} --partitions 4 --connections 4 --in-flight 5 --acks all"
    ))
}

fn name_of(records: u32) -> String {
    format!("produce, 1 KiB records, {records} a batch")
}

pub fn large(run: &Run<'_>, session: &mut Session) -> Done {
    let home = run.home(session)?;
    let broker = home.start()?;
    let goals = Goals {
        mb_per_s: Goal::TimesKafkaAtLeast(1.5),
        cpu: Goal::TimesKafkaAtMost(0.5),
        p999: Goal::TimesKafkaAtMost(0.5),
    };
    bandwidth(run, Row::Produce, session, &broker, 64, &goals)
}

pub fn batches(run: &Run<'_>, session: &mut Session) -> Done {
    let home = run.home(session)?;
    let broker = home.start()?;
    let goals = Goals {
        mb_per_s: Goal::TimesKafkaAtLeast(3.0),
        cpu: Goal::TimesKafkaAtMost(1.0 / 3.0),
        p999: Goal::None,
    };
    bandwidth(run, Row::Batches, session, &broker, 15, &goals)?;
    drop(broker);
    drop(home);
    let home = run.home(session)?;
    let broker = home.start()?;
    let goals = Goals {
        mb_per_s: Goal::TimesKafkaAtLeast(1.1),
        cpu: Goal::TimesKafkaAtMost(0.8),
        p999: Goal::TimesKafkaAtMost(0.2),
    };
    bandwidth(run, Row::Batches, session, &broker, 1000, &goals)
}

fn bandwidth(
    run: &Run<'_>,
    row: Row,
    session: &mut Session,
    broker: &Broker<'_>,
    records: u32,
    goals: &Goals,
) -> Done {
    let load = batches_of(records);
    run.warm(session, broker, &load)?;
    let report = run.timed(session, broker, &load, &format!("batches-of-{records}"))?;
    tell(run, row, session, &name_of(records), &report, goals)
}

fn tell(run: &Run<'_>, row: Row, session: &mut Session, name: &str, report: &Report, goals: &Goals) -> Done {
    let mut add = |unit, goal, value| run.add_to(row, session, name, unit, goal, value);
    add("MB/s", goals.mb_per_s, report.number("mb_per_s")?);
    add("broker CPU s/GB", goals.cpu, report.cpu_seconds_per_gb()?);
    add("p50 ms", Goal::None, report.milliseconds("p50_us")?);
    add("p99 ms", Goal::None, report.milliseconds("p99_us")?);
    add("p99.9 ms", goals.p999, report.milliseconds("p999_us")?);
    add("load's core busy %", Goal::None, report.load_busy() * 100.0);
    run.mark(row, session, name, "MB/s", report);
    Ok(())
}

/// The two policies take turns on one broker, so that both see the same disk.
pub fn journal(run: &Run<'_>, session: &mut Session) -> Done {
    let home = run.home(session)?;
    let broker = home.start()?;
    run.warm(session, &broker, &batches_of(64))?;
    let (mut on, mut off) = (0.0, 0.0);
    let seconds = Length::Seconds(
        Duration::from_secs(1),
        session.options.scale.measured / JOURNAL_TURNS,
    );
    for turn in 0..JOURNAL_TURNS {
        for (policy, sum) in [(JOURNAL, &mut on), (PAGE_CACHE, &mut off)] {
            let load = batches_of(64).topic_config(policy);
            let topic = format!("{}-{turn}", policy.replace('=', "-"));
            let report = load.run(session, &broker, &topic, seconds)?;
            let name = format!("{}, {policy}", name_of(64));
            tell(run, Row::Journal, session, &name, &report, &NO_GOALS)?;
            *sum += report.number("mb_per_s")?;
        }
    }
    run.add(
        session,
        "journal on against off",
        "times",
        Goal::AtLeast(0.9),
        on / off,
    );
    Ok(())
}

fn one_record() -> Load {
    Load::new(
        "produce --record-bytes 1024 --batch-records 1 --partitions 8 --connections 256 --in-flight 1 --acks all",
    )
}

const SMALL: &str = "produce, 1 record of 1 KiB a request, 256 connections, one in flight, synced";

pub fn small(run: &Run<'_>, session: &mut Session) -> Done {
    let home = run.home(session)?;
    let broker = home.start()?;
    let load = match run.contender {
        super::broker::Contender::Kafka => one_record().topic_config(KAFKA_SYNCED),
        _ => one_record(),
    };
    one_by_one(run, session, &broker, &load)
}

fn one_by_one(run: &Run<'_>, session: &mut Session, broker: &Broker<'_>, load: &Load) -> Done {
    run.warm(session, broker, load)?;
    let report = run.timed(session, broker, load, "one-by-one")?;
    let mut add = |unit, goal, value| run.add_to(Row::Small, session, SMALL, unit, goal, value);
    add(
        "records/s",
        Goal::TimesKafkaAtLeast(6.0),
        report.number("records_per_s")?,
    );
    add(
        "p50 ms",
        Goal::TimesKafkaAtMost(0.125),
        report.milliseconds("p50_us")?,
    );
    add(
        "p99.9 ms",
        Goal::TimesKafkaAtMost(0.125),
        report.milliseconds("p999_us")?,
    );
    add(
        "broker CPU us/record",
        Goal::TimesKafkaAtMost(0.25),
        report.cpu_us_per_record()?,
    );
    add("load's core busy %", Goal::None, report.load_busy() * 100.0);
    run.mark(Row::Small, session, SMALL, "records/s", &report);
    Ok(())
}

/// The server no broker can pass, as a column of the lines above.
pub fn ceiling(run: &Run<'_>, session: &mut Session) -> Done {
    if !run.suffix.is_empty() {
        return Ok(()); // it writes nothing: the file system makes no difference
    }
    let home = run.home(session)?;
    let broker = home.start()?;
    for (row, records) in [(Row::Produce, 64), (Row::Batches, 15), (Row::Batches, 1000)] {
        bandwidth(run, row, session, &broker, records, &NO_GOALS)?;
    }
    one_by_one(run, session, &broker, &one_record())
}
