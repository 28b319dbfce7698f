//! What time demands of the controller, without anybody asking.

use std::collections::BTreeSet;

use super::decider::{Context, Controller};
use crate::image::ClusterImage;
use crate::record::{BrokerId, Record};

impl Controller {
    /// Fences brokers that have fallen silent, gives partitions without leader an unclean one where that is allowed, and brings
    /// leaders back to where they belong. The records are one change. When to ask next, [`super::Liveness::next_deadline`] says.
    pub fn tick(&self, context: &mut Context<'_>, image: &ClusterImage) -> Vec<Record> {
        let now = context.now;
        let silent: BTreeSet<BrokerId> = context.liveness.silent(now, image).into_iter().collect();
        let mut records = Vec::new();
        if !silent.is_empty() {
            for broker in &silent {
                tracing::warn!(broker = broker.0, "a broker is fenced: it is silent, or gone");
                context.liveness.fenced_for_failure(now, *broker);
            }
            records.extend(self.fence(&silent, image));
            // The rest is decided with what this leads to.
            return records;
        }
        if context.liveness.unclean_elections().is_due(now) {
            let (elections, is_all) = self.elect_unclean_leaders(image);
            records.extend(elections);
            let timer = context.liveness.unclean_elections();
            if is_all {
                timer.done(now);
            } else {
                timer.done_in_part(now);
            }
        }
        if records.is_empty() && context.liveness.leader_balance().is_due(now) {
            let (elections, is_all) = self.elect_preferred_leaders(image);
            if !elections.is_empty() {
                tracing::info!(
                    partitions = elections.len(),
                    "leaders go back to their first replicas"
                );
            }
            records.extend(elections);
            let timer = context.liveness.leader_balance();
            if is_all {
                timer.done(now);
            } else {
                timer.done_in_part(now);
            }
        }
        records
    }
}
