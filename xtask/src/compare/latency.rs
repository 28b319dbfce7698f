//! End to end at a rate that does not wait for the broker.

use super::broker::Broker;
use super::figures::Goal;
use super::load::Load;
use super::session::{Run, Session};
use crate::shell::Done;

/// Records per second, and the records that Kafka's clients put into one batch of `batch.size` = 16 KiB.
const RATE: u32 = 10_000;
const BATCH_RECORDS_MAX: u32 = 15;
const NAME: &str = "end to end, 10,000 records/s of 1 KiB, open loop";

/// One producer connection that does not linger: what is due when a request may be sent goes into one batch.
pub fn stream() -> Load {
    Load::new(&format!(
        "latency --rate {RATE} --record-bytes 1024 --coalesce {BATCH_RECORDS_MAX} --connections 1 --partitions 1 --acks all"
    ))
}

pub fn measure(run: &Run<'_>, session: &mut Session) -> Done {
    let home = run.home(session)?;
    let broker: Broker<'_> = home.start()?;
    let load = stream();
    run.warm(session, &broker, &load)?;
    let report = run.timed(session, &broker, &load, "stream")?;
    let mut add = |unit, goal, value| run.add(session, NAME, unit, goal, value);
    add(
        "p50 ms",
        Goal::TimesKafkaAtMost(0.5),
        report.milliseconds("p50_us")?,
    );
    add(
        "p99 ms",
        Goal::TimesKafkaAtMost(1.0 / 3.0),
        report.milliseconds("p99_us")?,
    );
    add(
        "p99.9 ms",
        Goal::TimesKafkaAtMost(0.2),
        report.milliseconds("p999_us")?,
    );
    add(
        "broker CPU us/record",
        Goal::TimesKafkaAtMost(1.0 / 3.0),
        report.cpu_us_per_record()?,
    );
    add("load's core busy %", Goal::None, report.load_busy() * 100.0);
    run.mark(run.row, session, NAME, "p99.9 ms", &report);
    Ok(())
}
