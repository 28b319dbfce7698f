//! From one generation to the next: prepare, join, and who is lost on the way.

use std::sync::Arc;

use crate::group::appends::Then;
use crate::group::error::ErrorCode;
use crate::group::group::{Group, GroupState};
use crate::group::outbox::Outbox;
use crate::group::record::Record;
use crate::group::response::{JoinGroupResponse, JoinGroupResponseMember, SyncGroupResponse};
use crate::group::shard::Ticket;
use crate::group::timers::Timer;

/// Starts a rebalance if none is under way, and otherwise ends the join phase if that was all it waited for.
pub(in crate::group) fn prepare_or_complete_join(group: &mut Group, out: &mut Outbox) -> Option<Ticket> {
    if group.can_rebalance() {
        prepare(group, out)
    } else {
        complete_join_if_all_here(group, out)
    }
}

/// Starts a rebalance. A ticket comes back when it was over at once because nobody is left.
pub(in crate::group) fn prepare(group: &mut Group, out: &mut Outbox) -> Option<Ticket> {
    if group.state() == GroupState::CompletingRebalance {
        // whoever waits for the assignment of this generation has to join the next
        reset_assignments(group, out, ErrorCode::REBALANCE_IN_PROGRESS);
    }
    group.pending_syncs.clear();
    out.timers.cancel(&Timer::Sync {
        group: group.id.clone(),
    });

    if group.state() == GroupState::Empty {
        // the first member is seldom the only one: wait for the others instead of rebalancing for each
        let delay = i64::from(out.config.initial_rebalance_delay_ms);
        let remaining = (group.rebalance_timeout_ms() - delay).max(0);
        group.initial_delay = Some((delay, remaining));
        group.new_member_added = false;
        out.timers.set(
            Timer::Join {
                group: group.id.clone(),
            },
            out.deadline(delay),
        );
        group.transition_to(GroupState::PreparingRebalance, out.now.wall);
        return None;
    }
    group.initial_delay = None;
    group.transition_to(GroupState::PreparingRebalance, out.now.wall);
    if group.has_all_members_joined() {
        complete_join(group, out)
    } else {
        wait_for_joins(group, out);
        None
    }
}

/// Ends the join phase when everybody is here. The first rebalance of a group always waits out its delay.
pub(in crate::group) fn complete_join_if_all_here(group: &mut Group, out: &mut Outbox) -> Option<Ticket> {
    let waits_for_joins = group.state() == GroupState::PreparingRebalance;
    let is_first = group.previous_state() == GroupState::Empty;
    if waits_for_joins && !is_first && group.has_all_members_joined() {
        complete_join(group, out)
    } else {
        None
    }
}

/// Ends the join phase: the next generation is whoever joined. Static members stay in it while their session lasts.
/// A ticket comes back when the group became empty, for that goes to the log at once.
fn complete_join(group: &mut Group, out: &mut Outbox) -> Option<Ticket> {
    debug_assert_eq!(group.state(), GroupState::PreparingRebalance);
    out.timers.cancel(&Timer::Join {
        group: group.id.clone(),
    });
    group.initial_delay = None;

    let absent: Vec<Arc<str>> = group
        .members()
        .iter()
        .filter(|(_, m)| m.awaiting_join.is_none() && !m.is_static())
        .map(|(id, _)| id.clone())
        .collect();
    for id in absent {
        drop_member(group, out, &id, ErrorCode::UNKNOWN_MEMBER_ID);
    }

    if !group.members().is_empty() && !group.elect_joined_leader() {
        // only static members that are away: somebody must come, or their sessions must end
        wait_for_joins(group, out);
        return None;
    }
    group.init_next_generation(out.now.wall);
    if group.members().is_empty() {
        tracing::info!(group = %group.id, generation = group.generation, "group is empty");
        return Some(log_generation(group, out));
    }
    tracing::info!(group = %group.id, generation = group.generation, members = group.members().len(), "joined");

    let ids: Vec<Arc<str>> = group.members().keys().cloned().collect();
    for id in &ids {
        let response = current_generation(group, id, ToLeader::Members);
        let token = group.unpark_join(id);
        out.respond_join(token, || response);
        if let Some(member) = group.member_mut(id) {
            member.is_new = false;
            let session_timeout_ms = i64::from(member.session_timeout_ms);
            out.expect_heartbeat(&group.id, id, session_timeout_ms);
        }
    }
    group.pending_syncs = ids.into_iter().collect();
    out.timers.set(
        Timer::Sync {
            group: group.id.clone(),
        },
        out.deadline(group.rebalance_timeout_ms()),
    );
    None
}

fn log_generation(group: &mut Group, out: &mut Outbox) -> Ticket {
    group.logged = true;
    let value = group.to_record(&Default::default());
    out.append(
        vec![Record::GroupMetadata {
            group: group.id.to_string(),
            value: Some(value),
        }],
        Then::Nothing,
    )
}

fn wait_for_joins(group: &Group, out: &mut Outbox) {
    // at least a moment: a member may have asked for none, and time must pass before it is over
    let timeout_ms = group.rebalance_timeout_ms().max(1);
    out.timers.set(
        Timer::Join {
            group: group.id.clone(),
        },
        out.deadline(timeout_ms),
    );
}

pub(in crate::group) fn join_timed_out(group: &mut Group, out: &mut Outbox) {
    if group.state() != GroupState::PreparingRebalance {
        return;
    }
    match group.initial_delay {
        // somebody came: others may, so wait once more, up to the rebalance timeout in all
        Some((delay, remaining)) if group.new_member_added && remaining > 0 => {
            group.new_member_added = false;
            let next = i64::from(out.config.initial_rebalance_delay_ms).min(remaining);
            group.initial_delay = Some((next, (remaining - delay).max(0)));
            out.timers.set(
                Timer::Join {
                    group: group.id.clone(),
                },
                out.deadline(next.max(1)),
            );
        }
        _ => drop(complete_join(group, out)),
    }
}

pub(in crate::group) fn sync_timed_out(group: &mut Group, out: &mut Outbox) {
    let in_generation = matches!(
        group.state(),
        GroupState::CompletingRebalance | GroupState::Stable
    );
    if !in_generation || group.pending_syncs.is_empty() {
        return;
    }
    for id in std::mem::take(&mut group.pending_syncs) {
        drop_member(group, out, &id, ErrorCode::UNKNOWN_MEMBER_ID);
    }
    prepare(group, out);
}

/// What a member is told about the generation there is.
pub(in crate::group) fn current_generation(
    group: &Group,
    member_id: &str,
    to: ToLeader,
) -> JoinGroupResponse {
    let wants_members = to == ToLeader::Members && group.is_leader(member_id);
    JoinGroupResponse {
        error_code: ErrorCode::NONE,
        generation_id: group.generation,
        protocol_type: group.protocol_type.clone(),
        protocol_name: group.protocol_name.clone(),
        leader: group.leader().map(|l| l.to_string()).unwrap_or_default(),
        skip_assignment: false,
        member_id: member_id.to_owned(),
        members: if wants_members {
            members_with_metadata(group)
        } else {
            Vec::new()
        },
    }
}

/// Whether the leader, should it be the one who asks, gets everybody's metadata.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(in crate::group) enum ToLeader {
    Members,
    NoMembers,
}

fn members_with_metadata(group: &Group) -> Vec<JoinGroupResponseMember> {
    let protocol = group.protocol_name.as_deref().unwrap_or_default();
    group
        .members()
        .iter()
        .map(|(id, member)| JoinGroupResponseMember {
            member_id: id.to_string(),
            group_instance_id: member.group_instance_id.clone(),
            metadata: member.metadata(protocol).cloned().unwrap_or_default(),
        })
        .collect()
}

/// Takes the assignments of this generation back and tells everybody who waits for one.
pub(in crate::group) fn reset_assignments(group: &mut Group, out: &mut Outbox, code: ErrorCode) {
    let id = group.id.clone();
    for (member_id, member) in group.members_mut() {
        member.assignment = Default::default();
        if let Some(token) = member.awaiting_sync.take() {
            out.respond_sync(Some(token), || SyncGroupResponse::refused(code));
            out.expect_heartbeat(&id, member_id, i64::from(member.session_timeout_ms));
        }
    }
}

/// Takes a member, or a pending one, out and answers what it had parked.
pub(in crate::group) fn drop_member(
    group: &mut Group,
    out: &mut Outbox,
    member_id: &Arc<str>,
    code: ErrorCode,
) {
    out.expect_no_heartbeat(&group.id, member_id);
    let Some(member) = group.remove(member_id) else {
        return;
    };
    tracing::debug!(group = %group.id, member = %member_id, "member removed");
    // Kafka leaves the member id out here: the client is to start over
    out.respond_join(member.awaiting_join, || JoinGroupResponse::refused("", code));
    out.respond_sync(member.awaiting_sync, || SyncGroupResponse::refused(code));
}
