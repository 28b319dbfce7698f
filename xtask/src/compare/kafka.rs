//! Apache Kafka as its own start script starts it, one broker that is its own controller.

use crate::shell::{self, Done};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Any id will do; this one is "ringlog-compare1" in base 64.
const CLUSTER_ID: &str = "cmluZ2xvZy1jb21wYXJlMQ";
/// `KAFKA_JVM_PERFORMANCE_OPTS` and the heap of Kafka's start scripts.
const JVM: [&str; 10] = [
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
];
/// What it says when it serves.
pub const READY: &str = "Kafka Server started";

/// Writes the properties and the storage's format. Everything but addresses and single replicas is Kafka's default.
pub fn prepare(jars: &Path, home: &Path, port: u16, controller: u16) -> Done {
    let properties = home.join("server.properties");
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n",
        home.join("data").display()
    );
    fs::write(&properties, text).map_err(|why| format!("{}: {why}", properties.display()))?;
    let mut format = shell::program("java");
    format
        .arg("-Xmx256m")
        .arg("-cp")
        .arg(format!("{}/*", jars.display()));
    format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]);
    shell::output(format.arg(&properties)).map(|_| ())
}

/// Adds the program and its arguments to a command that pins it.
pub fn serve(command: &mut Command, jars: &Path, home: &Path) {
    command.arg("java").args(JVM);
    command.arg("-cp").arg(format!("{}/*", jars.display()));
    command.arg("kafka.Kafka").arg(home.join("server.properties"));
}
