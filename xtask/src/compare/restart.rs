//! From kill -9 under load's end to the first acknowledged record.

use super::caches;
use super::figures::Goal;
use super::load::{FirstAck, Length, Load};
use super::session::{Run, Session};
use crate::shell::Done;

const TOPIC: &str = "history";

pub fn measure(run: &Run<'_>, session: &mut Session) -> Done {
    for bytes in session.options.scale.restart_bytes {
        for is_cold in [false, true] {
            // each from a new log: the first restart has synced what the second would have to recover
            let home = run.home(session)?;
            let broker = home.start()?;
            let load = Load::new("produce --batch-records 64 --partitions 4 --connections 4 --acks all");
            load.run(session, &broker, TOPIC, Length::Records(bytes / 1024))?;
            broker.kill();
            if is_cold {
                caches::drop_caches(home.path())?;
            }
            let probe = FirstAck::begin(session, home.port, TOPIC, 4)?;
            let broker = home.spawn()?;
            let seconds = probe.since_start_of(&broker)?;
            let caches = if is_cold { "dropped" } else { "hot" };
            let name = format!(
                "restart after kill -9, {} GB, caches {caches}",
                bytes as f64 / 1e9
            );
            run.add(
                session,
                &name,
                "s to the first produce",
                Goal::AtMost(1.0),
                seconds,
            );
        }
    }
    Ok(())
}
