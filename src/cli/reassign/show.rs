//! Plans and states as tables.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::assignment::Assignment;
use super::follow::State;
use super::layout::Layout;
use super::load::Load;
use super::ongoing::{Key, Ongoing};
use super::plan::Plan;
use crate::cli::output::{Table, number};

pub fn text(layout: &Layout, plan: &Plan) -> String {
    if plan.moves.is_empty() {
        return format!("{}\n\nnothing to move", brokers_text(layout, plan));
    }
    let copies: u64 = plan.moves.iter().map(|moved| moved.bytes).sum();
    format!(
        "{}\n\n{}\n\n{} partitions, {} to copy",
        moves(plan, |bytes| json!(number::bytes(bytes))),
        brokers_text(layout, plan),
        number::grouped(plan.moves.len() as u64),
        number::bytes(copies),
    )
}

pub fn json(layout: &Layout, plan: &Plan) -> Value {
    let load = |load: Option<&Load>| {
        let load = load.copied().unwrap_or_default();
        json!({
            "bytes": load.bytes.round() as u64,
            "bytes_per_second": load.bytes_per_second.round() as u64,
            "replicas": load.replicas.round() as u64,
            "leaders": load.leaders.round() as u64,
        })
    };
    let brokers = plan.after.keys().map(|id| {
        json!({
            "broker": id,
            "rack": layout.broker(*id).and_then(|broker| broker.rack.clone()),
            "before": load(plan.before.get(id)),
            "after": load(plan.after.get(id)),
        })
    });
    json!({
        "moves": moves(plan, |bytes| json!(bytes)).to_json(),
        "brokers": brokers.collect::<Vec<_>>(),
    })
}

fn moves(plan: &Plan, size: impl Fn(u64) -> Value) -> Table {
    let mut table = Table::new(["TOPIC", "PARTITION", "FROM", "TO", "COPY"]);
    for moved in &plan.moves {
        table.row([
            json!(moved.topic),
            json!(moved.index),
            json!(moved.from),
            json!(moved.to),
            size(moved.bytes),
        ]);
    }
    table
}

fn brokers_text(layout: &Layout, plan: &Plan) -> Table {
    let mut table = Table::new(["BROKER", "RACK", "BYTES", "TRAFFIC/S", "REPLICAS", "LEADERS"]);
    for (id, after) in &plan.after {
        let before = plan.before.get(id).copied().unwrap_or_default();
        let change = |part: fn(&Load) -> f64, text: fn(u64) -> String| {
            let (before, after) = (part(&before).round() as u64, part(after).round() as u64);
            match before == after {
                true => json!(text(after)),
                false => json!(format!("{} -> {}", text(before), text(after))),
            }
        };
        table.row([
            json!(id),
            json!(layout.broker(*id).and_then(|broker| broker.rack.clone())),
            change(|load| load.bytes, number::bytes),
            change(|load| load.bytes_per_second, number::bytes),
            change(|load| load.replicas, number::grouped),
            change(|load| load.leaders, number::grouped),
        ]);
    }
    table
}

pub fn ongoing(ongoing: &BTreeMap<Key, Ongoing>) -> Table {
    let mut table = Table::new(["TOPIC", "PARTITION", "REPLICAS", "ADDING", "REMOVING"]);
    for ((topic, partition), found) in ongoing {
        table.row([
            json!(topic),
            json!(partition),
            json!(found.replicas),
            json!(found.adding),
            json!(found.removing),
        ]);
    }
    table
}

pub fn states(assignments: &[Assignment], states: &[State]) -> Table {
    let mut table = Table::new(["TOPIC", "PARTITION", "WANTED", "NOW", "STATE"]);
    for (assignment, state) in assignments.iter().zip(states) {
        let now = match state {
            State::Done => &assignment.replicas,
            State::Moving { .. } | State::Elsewhere { .. } | State::Gone => &state.replicas().to_vec(),
        };
        table.row([
            json!(assignment.topic),
            json!(assignment.partition),
            json!(assignment.replicas),
            json!(now),
            json!(state.name()),
        ]);
    }
    table
}
