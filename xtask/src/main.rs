//! The project's own commands: `cargo xtask COMMAND`. Each file is one of them.

mod arrows;
mod cluster;
mod compare;
mod dataset;
mod documents;
mod fix;
mod fuzz;
mod install;
mod powercut;
mod shell;
mod test;
mod verify;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--quick | --long] [--only NAME]...   install what foreign clients need (in .cache/), run every test
  verify                                     what CI demands of the sources; writes nothing
  fix                                        format, apply clippy's suggestions, regenerate documents
  fuzz-smoke [SECONDS]                       each fuzz target for a short while (default 15 s)
  compare [ROW]... [--quick]                 side by side with Apache Kafka, as markdown tables (`compare help`)
  cluster [ROW]... [--quick]                 three brokers side by side with three-node Kafka (`cluster help`)
  powercut [--rounds N]                      power cuts under load on a real ext4: nothing acknowledged may be lost
  dataset                                    Debian's package indexes as one file in .cache/dataset/
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let done = match command.as_str() {
        "test" => test::run(rest),
        "verify" => verify::run(),
        "fix" => fix::run(),
        "fuzz-smoke" => fuzz::smoke(rest),
        "compare" => compare::run(rest),
        "cluster" => cluster::run(rest),
        "powercut" => powercut::run(rest),
        "dataset" => dataset::run().map(|_| ()),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(format!("no such command: {other}\n\n{USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask {command}: {why}");
            ExitCode::FAILURE
        }
    }
}
