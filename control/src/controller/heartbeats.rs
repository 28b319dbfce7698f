//! BrokerHeartbeat: a broker is alive, and what becomes of it (KIP-631).
//!
//! ```text
//!  fenced --- caught up, not held down ---> unfenced --- wants to stop, leads ---> in controlled shutdown
//!    ^  \                                      |                                           |
//!    |   wants to stop: may stop               | wants to be fenced, is silent, is gone    | leads nothing, and all know it:
//!    +-----------------------------------------+-------------------------------------------+ may stop
//! ```

use std::collections::BTreeSet;

use super::brokers::change_of;
use super::decider::{Context, Controller, Decision};
use super::error::ApiError;
use super::producer_ids::check_broker_epoch;
use super::request::BrokerHeartbeat;
use super::response::{BrokerStatus, Response};
use crate::image::{ApplyError, BrokerImage, ClusterImage};
use crate::record::{BrokerRegistrationChangeRecord, DirectoryId, Record};

/// What becomes of a broker.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Next {
    Fenced,
    Unfenced,
    InControlledShutdown,
    /// It is fenced, and may end its process.
    MayStop,
}

impl Controller {
    pub(super) fn broker_heartbeat(
        &self,
        context: &mut Context<'_>,
        request: &BrokerHeartbeat,
        image: &ClusterImage,
    ) -> Result<Decision, ApiError> {
        let broker = check_broker_epoch(request.broker_id, request.broker_epoch, image)?;
        let now = context.now;
        context
            .liveness
            .heartbeat(now, broker.id, request.metadata_offset);
        // The epoch is the offset of the registration, or a little past it: the log's end is never too much to ask.
        let registered_at = broker.epoch.0.min(image.position().offset.0);
        let is_caught_up = request.metadata_offset.0 >= registered_at;
        let next = next(context, request, broker, is_caught_up, image);
        let is_alone = image.brokers().len() == 1;
        let mut records = match next {
            Next::Unfenced if broker.fenced => {
                tracing::debug!(broker = broker.id.0, "to be unfenced");
                context.liveness.unfenced(now, broker.id);
                self.unfence(broker, image)
            }
            // A cluster of one stops with it: nobody is left whom the records could tell anything, and a start would be the slower
            // for each of them.
            Next::MayStop if is_alone => Vec::new(),
            Next::Fenced | Next::MayStop if !broker.fenced => {
                tracing::debug!(broker = broker.id.0, "to be fenced at its own wish");
                context.liveness.fenced_at_will(broker.id);
                self.fence(&BTreeSet::from([broker.id]), image)
            }
            Next::InControlledShutdown if !broker.in_controlled_shutdown => {
                tracing::info!(broker = broker.id.0, "a broker begins its controlled shutdown");
                self.begin_shutdown(broker, image)
            }
            Next::Fenced | Next::Unfenced | Next::InControlledShutdown | Next::MayStop => Vec::new(),
        };
        self.take_directories_offline(request, image, &mut records)
            .map_err(|error| ApiError::new(super::ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string()))?;
        Ok(Decision {
            response: Response::BrokerHeartbeat(BrokerStatus {
                is_caught_up,
                is_fenced: matches!(next, Next::Fenced | Next::MayStop),
                should_shut_down: next == Next::MayStop,
            }),
            records,
        })
    }

    fn begin_shutdown(&self, broker: &BrokerImage, image: &ClusterImage) -> Vec<Record> {
        let change = BrokerRegistrationChangeRecord {
            in_controlled_shutdown: 1,
            ..change_of(broker)
        };
        let mut records = vec![Record::from(change)];
        // What only it has, it serves to the end.
        let is_shared = |found: &super::elections::Found<'_>| found.2.replicas.len() > 1;
        records.extend(self.withdraw_from(&BTreeSet::from([broker.id]), image, is_shared));
        records
    }

    /// Directories failed: what lies in them is led by others, if others have it (KIP-858).
    fn take_directories_offline(
        &self,
        request: &BrokerHeartbeat,
        image: &ClusterImage,
        records: &mut Vec<Record>,
    ) -> Result<(), ApplyError> {
        let Some(broker) = image.broker(request.broker_id) else {
            return Ok(());
        };
        let is_offline = |directory: &DirectoryId| request.offline_log_dirs.contains(directory);
        let (offline, online): (Vec<DirectoryId>, Vec<DirectoryId>) =
            broker.log_dirs.iter().copied().partition(is_offline);
        if offline.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            broker = broker.id.0,
            offline = offline.len(),
            online = online.len(),
            "a broker lost directories"
        );
        let next = image.apply(records.iter())?.0;
        let lies_offline = |found: &super::elections::Found<'_>| {
            let directory = found.2.directory_of(broker.id);
            directory.is_some_and(|directory| offline.contains(&directory))
        };
        records.extend(self.withdraw_from(&BTreeSet::from([broker.id]), &next, lies_offline));
        records.push(Record::from(BrokerRegistrationChangeRecord {
            log_dirs: online,
            ..change_of(broker)
        }));
        Ok(())
    }
}

fn next(
    context: &mut Context<'_>,
    request: &BrokerHeartbeat,
    broker: &BrokerImage,
    is_caught_up: bool,
    image: &ClusterImage,
) -> Next {
    if broker.fenced {
        let is_ready = is_caught_up && !context.liveness.is_held_down(context.now, broker.id);
        return match (request.want_shutdown, request.want_fence) {
            (true, _) => Next::MayStop,
            (false, false) if is_ready => Next::Unfenced,
            (false, _) => Next::Fenced,
        };
    }
    let leads = || {
        image
            .partitions_of(broker.id)
            .any(|(_, _, partition)| partition.leader == Some(broker.id) && partition.replicas.len() > 1)
    };
    if broker.in_controlled_shutdown {
        if leads() {
            return Next::InControlledShutdown;
        }
        // Clients learn of the new leaders from any broker, before the old one is gone.
        let told_at = context
            .liveness
            .shutdown_offset(broker.id, image.position().offset);
        let lowest = context.liveness.lowest_active_offset(image);
        return if lowest.is_none_or(|lowest| lowest >= told_at) {
            Next::MayStop
        } else {
            Next::InControlledShutdown
        };
    }
    match (request.want_fence, request.want_shutdown) {
        (false, false) => Next::Unfenced,
        (true, false) => Next::Fenced,
        (true, true) => Next::MayStop,
        (false, true) if leads() => Next::InControlledShutdown,
        (false, true) => Next::MayStop,
    }
}
