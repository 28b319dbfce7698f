//! Prints `docs/CONFIG.md`, made from the property table.

fn main() {
    print!("{}", control::config::markdown());
}
