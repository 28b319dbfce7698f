//! Dependencies run as drawn in `docs/ARCHITECTURE.md`. Checked against `cargo metadata`, not against hope.

use crate::shell::{self, Done};
use serde_json::Value;

/// Every package of the workspace, and which of ours it may use. Tools that nothing ships (benches) may use more.
const ARROWS: [(&str, &[&str]); 7] = [
    ("reactor", &[]),
    ("engine", &["reactor"]),
    ("net", &["reactor"]),
    ("control", &["engine", "reactor"]),
    ("ringlog", &["control", "net", "engine", "reactor"]),
    ("ringlog-benches", &["control", "net", "engine", "reactor"]),
    ("xtask", &[]),
];

pub fn check() -> Done {
    let text =
        shell::output(shell::cargo().args(["metadata", "--format-version", "1", "--no-deps", "--offline"]))?;
    let metadata: Value = serde_json::from_str(&text).map_err(|why| format!("cargo metadata: {why}"))?;
    let wrong = violations(&metadata);
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    }
}

fn violations(metadata: &Value) -> Vec<String> {
    let ours: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for package in list(metadata, "packages") {
        let name = text(package, "name");
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("{name} has no arrows: a new wall of the house is a design change, name it in xtask/src/arrows.rs"));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let target = text(dependency, "name");
            if ours.contains(&target) && !allowed.contains(&target) {
                wrong.push(format!(
                    "{name} uses {target}, which no arrow of docs/ARCHITECTURE.md allows"
                ));
            }
        }
    }
    wrong
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Without this check an engine that opens sockets would be found by a reader, late.
    #[test]
    fn an_arrow_against_the_drawing_is_named() {
        let package = |name: &str, uses: &[&str]| json!({ "name": name, "dependencies": uses.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() });
        let good =
            json!({ "packages": [package("engine", &["reactor", "bytes"]), package("reactor", &["libc"])] });
        assert_eq!(violations(&good), Vec::<String>::new());

        let bad = json!({ "packages": [package("reactor", &["engine"]), package("surprise", &[])] });
        let found = violations(&bad);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("reactor uses engine"), "{found:?}");
        assert!(found[1].starts_with("surprise has no arrows"), "{found:?}");
    }
}
