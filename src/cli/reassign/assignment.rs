//! Which brokers partitions are to lie on, as Kafka's tools write it: `{"version":1,"partitions":[{"topic":...,"partition":...,"replicas":[...]}]}`.

use serde_json::{Value, json};

use super::layout::Move;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub topic: String,
    pub partition: i32,
    pub replicas: Vec<i32>,
}

const VERSION: i64 = 1;
/// Where Kafka leaves the choice of directory to the broker.
const ANY_DIRECTORY: &str = "any";

impl From<&Move> for Assignment {
    fn from(moved: &Move) -> Assignment {
        Assignment {
            topic: moved.topic.clone(),
            partition: moved.index,
            replicas: moved.to.clone(),
        }
    }
}

pub fn write(assignments: &[Assignment]) -> Value {
    let partitions = assignments.iter().map(|assignment| {
        json!({
            "topic": assignment.topic,
            "partition": assignment.partition,
            "replicas": assignment.replicas,
            "log_dirs": vec![ANY_DIRECTORY; assignment.replicas.len()],
        })
    });
    json!({"version": VERSION, "partitions": partitions.collect::<Vec<_>>()})
}

pub fn parse(text: &str) -> Result<Vec<Assignment>, String> {
    let file: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match file.get("version") {
        None => {}
        Some(version) if version.as_i64() == Some(VERSION) => {}
        Some(version) => return Err(format!("version {version} is not known, only {VERSION}")),
    }
    let partitions = file.get("partitions").and_then(Value::as_array);
    let partitions = partitions.ok_or("there is no list \"partitions\"")?;
    if partitions.is_empty() {
        return Err("the list \"partitions\" is empty".to_owned());
    }
    let mut assignments = Vec::with_capacity(partitions.len());
    for (at, partition) in partitions.iter().enumerate() {
        let assignment = one(partition).map_err(|what| format!("element {at} of \"partitions\": {what}"))?;
        let same =
            |other: &Assignment| (&other.topic, other.partition) == (&assignment.topic, assignment.partition);
        if assignments.iter().any(same) {
            return Err(format!(
                "{}-{} is named twice",
                assignment.topic, assignment.partition
            ));
        }
        assignments.push(assignment);
    }
    Ok(assignments)
}

fn one(partition: &Value) -> Result<Assignment, &'static str> {
    let topic = partition.get("topic").and_then(Value::as_str);
    let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
    let index = partition.get("partition").and_then(number);
    let replicas = partition.get("replicas").and_then(Value::as_array);
    let replicas = replicas.ok_or("no list \"replicas\"")?;
    let replicas: Option<Vec<i32>> = replicas.iter().map(number).collect();
    let replicas = replicas.ok_or("a replica that is no broker id")?;
    if replicas.is_empty() {
        return Err("no replicas");
    }
    if (1..replicas.len()).any(|at| replicas[..at].contains(&replicas[at])) {
        return Err("a broker twice among the replicas");
    }
    let directories = partition.get("log_dirs").and_then(Value::as_array);
    if directories.is_some_and(|dirs| dirs.iter().any(|dir| dir.as_str() != Some(ANY_DIRECTORY))) {
        return Err("log_dirs other than \"any\": this command leaves directories to the brokers");
    }
    Ok(Assignment {
        topic: topic.ok_or("no text \"topic\"")?.to_owned(),
        partition: index.ok_or("no number \"partition\"")?,
        replicas,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(partition: i32, replicas: &[i32]) -> Assignment {
        Assignment {
            topic: "orders".to_owned(),
            partition,
            replicas: replicas.to_vec(),
        }
    }

    #[test]
    fn what_is_written_is_read_by_both_tools() {
        // Kafka's own tool must read our plans, and we the ones it generates.
        let assignments = vec![assignment(0, &[1, 2]), assignment(1, &[3])];
        let text = write(&assignments).to_string();
        assert_eq!(parse(&text), Ok(assignments.clone()));
        assert!(
            text.contains(r#""log_dirs":["any","any"]"#) && text.contains(r#""version":1"#),
            "{text}"
        );
        let kafkas = r#"{"version":1,"partitions":[{"topic":"orders","partition":0,"replicas":[1,2],"log_dirs":["any","any"]},
                         {"topic":"orders","partition":1,"replicas":[3]}]}"#;
        assert_eq!(parse(kafkas), Ok(assignments));
    }

    #[test]
    fn files_that_do_not_say_where_are_refused() {
        let element = |fields: &str| format!(r#"{{"partitions":[{{{fields}}}]}}"#);
        for (text, reason) in [
            ("", "EOF"),
            ("{}", "no list \"partitions\""),
            (r#"{"version":2,"partitions":[]}"#, "version 2"),
            (r#"{"partitions":[]}"#, "is empty"),
            (&element(r#""topic":"t","partition":0"#), "no list \"replicas\""),
            (
                &element(r#""topic":"t","partition":0,"replicas":[]"#),
                "no replicas",
            ),
            (
                &element(r#""topic":"t","partition":0,"replicas":[1,1]"#),
                "twice among",
            ),
            (
                &element(r#""topic":"t","partition":0,"replicas":["1"]"#),
                "no broker id",
            ),
            (&element(r#""partition":0,"replicas":[1]"#), "\"topic\""),
            (
                &element(r#""topic":"t","partition":3000000000,"replicas":[1]"#),
                "\"partition\"",
            ),
            (
                &element(r#""topic":"t","partition":0,"replicas":[1],"log_dirs":["/d"]"#),
                "log_dirs",
            ),
            (
                r#"{"partitions":[{"topic":"t","partition":0,"replicas":[1]},{"topic":"t","partition":0,"replicas":[2]}]}"#,
                "t-0 is named twice",
            ),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }
}
