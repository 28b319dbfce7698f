//! `cargo xtask fix`: everything `verify` checks that a machine can put right.

use crate::documents;
use crate::shell::{self, Done};

pub fn run() -> Done {
    shell::step("clippy --fix");
    shell::run(shell::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--fix",
        "--allow-dirty",
        "--allow-staged",
    ]))?;
    shell::step("formatting");
    shell::run(shell::cargo().args(["fmt", "--all"]))?;
    shell::step("docs/CONFIG.md");
    documents::write_config()
}
