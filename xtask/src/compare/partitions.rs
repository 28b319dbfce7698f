//! Many partitions, each with little to do.

use super::broker::{Broker, Contender};
use super::figures::Goal;
use super::load::Load;
use super::produce::KAFKA_SYNCED;
use super::session::{Run, Session};
use crate::shell::Done;

/// Requests in which a tick's batches come.
const REQUESTS: u32 = 4;
/// A batch every 10 ms.
const BATCHES_PER_PARTITION: u32 = 100;
/// The value that makes a batch of one record 256 bytes.
const RECORD_BYTES: u32 = 187;

pub fn measure(run: &Run<'_>, session: &mut Session) -> Done {
    let partitions = session.options.scale.partitions;
    let rate = partitions * BATCHES_PER_PARTITION;
    let load = Load::new(&format!(
        "produce --record-bytes {RECORD_BYTES} --batch-records 1 --partitions {partitions} --rate {rate} \
         --connections {REQUESTS} --request-batches {} --acks all",
        partitions.div_ceil(REQUESTS)
    ));
    let name = format!("{partitions} partitions, each a batch of 256 B per 10 ms");
    // the goals are those of 1,000 partitions; --quick has fewer
    let least = f64::from(rate) * 0.9;
    let synced = match run.contender {
        Contender::Kafka => load.clone().topic_config(KAFKA_SYNCED),
        _ => load.clone(),
    };
    let home = run.home(session)?;
    let broker = home.start()?;
    batches(
        run,
        session,
        &broker,
        &synced,
        &format!("{name}, synced"),
        Goal::AtLeast(least),
        Goal::AtMost(5.0),
    )?;
    if run.contender == Contender::Kafka {
        drop(broker);
        drop(home);
        let home = run.home(session)?;
        let broker = home.start()?;
        batches(
            run,
            session,
            &broker,
            &load,
            &format!("{name}, from the page cache"),
            Goal::None,
            Goal::None,
        )?;
    }
    Ok(())
}

fn batches(
    run: &Run<'_>,
    session: &mut Session,
    broker: &Broker<'_>,
    load: &Load,
    name: &str,
    rate: Goal,
    p99: Goal,
) -> Done {
    run.warm(session, broker, load)?;
    let report = run.timed(session, broker, load, "many")?;
    run.add(session, name, "batches/s", rate, report.number("records_per_s")?);
    run.add(
        session,
        name,
        "p50 ms",
        Goal::None,
        report.milliseconds("p50_us")?,
    );
    run.add(session, name, "p99 ms", p99, report.milliseconds("p99_us")?);
    run.add(
        session,
        name,
        "broker CPU us/batch",
        Goal::None,
        report.cpu_us_per_record()?,
    );
    run.add(
        session,
        name,
        "given up unsent",
        Goal::None,
        report.number("unsent")?,
    );
    run.mark(run.row, session, name, "batches/s", &report);
    Ok(())
}
