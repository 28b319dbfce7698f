//! Documents that must not drift: the generated CONFIG.md, links, the commands of the README, and what no committed
//! file may name.

use crate::shell::{self, Done};
use std::path::{Path, PathBuf};

const CONFIG: &str = "docs/CONFIG.md";
const README: &str = "README.md";
/// Its marked commands are typed by `tests/cluster/operations.py`.
const OPERATIONS: &str = "docs/OPERATIONS.md";
const STORES: [&str; 3] = ["etcd", "quorum", "zookeeper"];

/// Paths that exist on one machine only, and package registries, which every machine has its own way to reach.
/// Written in two halves, so that this file may itself be checked.
const FORBIDDEN: [(&str, &str); 10] = [
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/Us", "ers/"),
    ("crates", ".io/"),
    ("static.crates", ".io"),
    ("registry.npmjs", ".org"),
    ("pypi", ".org"),
    ("repo.maven.apache", ".org"),
    ("proxy.golang", ".org"),
];

pub fn check() -> Done {
    let files = committed()?;
    let mut wrong = Vec::new();
    if let Err(why) = config_is_current() {
        wrong.push(why);
    }
    let text = |file| shell::read(&shell::root().join(file));
    wrong.extend(untested_clusters(&text(README)?, &text(OPERATIONS)?));
    for file in &files {
        let Ok(text) = std::fs::read_to_string(shell::root().join(file)) else {
            continue; // binary (goldens, seeds), or deleted in the work tree
        };
        if !is_lock_file(file) {
            wrong.extend(
                forbidden_words(&text).map(|(line, word)| format!("{}:{line} names {word}", file.display())),
            );
        }
        if file.extension().is_some_and(|extension| extension == "md") {
            wrong.extend(broken_links(file, &text));
            wrong.extend(unknown_commands(file, &text));
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("\n  {}", wrong.join("\n  ")))
    }
}

/// Every file git knows or would add.
fn committed() -> Done<Vec<PathBuf>> {
    let names = shell::output(shell::program("git").args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ]))?;
    Ok(names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect())
}

/// Lock files name the registry's index as cargo writes it.
fn is_lock_file(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "lock")
}

fn forbidden_words(text: &str) -> impl Iterator<Item = (usize, String)> {
    let words: Vec<String> = FORBIDDEN
        .iter()
        .map(|(first, second)| format!("{first}{second}"))
        .collect();
    text.lines().enumerate().flat_map(move |(number, line)| {
        words
            .iter()
            .filter(|word| line.contains(word.as_str()))
            .map(|word| (number + 1, word.clone()))
            .collect::<Vec<_>>()
    })
}

// -- docs/CONFIG.md ---------------------------------------------------------------------------------------------------

fn generated_config() -> Done<String> {
    shell::output(shell::cargo().args(["run", "--quiet", "-p", "control", "--example", "config_doc"]))
}

fn config_is_current() -> Done {
    if shell::read(&shell::root().join(CONFIG))? == generated_config()? {
        return Ok(());
    }
    Err(format!(
        "{CONFIG} is not what the property table says: cargo xtask fix"
    ))
}

/// Writes `docs/CONFIG.md` anew.
pub fn write_config() -> Done {
    std::fs::write(shell::root().join(CONFIG), generated_config()?).map_err(|why| format!("{CONFIG}: {why}"))
}

// -- links and commands -----------------------------------------------------------------------------------------------

/// Relative links of a markdown file whose target does not exist.
fn broken_links(file: &Path, text: &str) -> Vec<String> {
    let folder = shell::root()
        .join(file)
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default();
    links(text)
        .filter(|target| {
            !target.contains("://") && !target.starts_with('#') && !target.starts_with("mailto:")
        })
        .filter(|target| !folder.join(target.split('#').next().unwrap_or("")).exists())
        .map(|target| format!("{} links to {target}, which does not exist", file.display()))
        .collect()
}

/// The targets of `[text](target)`, outside of code blocks.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines()
        .filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            in_code ^= fence;
            !in_code && !fence
        })
        .flat_map(|line| {
            line.split("](")
                .skip(1)
                .filter_map(|rest| rest.split([')', ' ']).next())
        })
        .filter(|target| !target.is_empty())
}

/// `cargo xtask WORD` in a document where WORD is no command of ours.
fn unknown_commands(file: &Path, text: &str) -> Vec<String> {
    text.split("cargo xtask ")
        .skip(1)
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                .next()
        })
        .filter(|word| !word.is_empty() && !crate::USAGE.contains(&format!("\n  {word} ")))
        .map(|word| {
            format!(
                "{} tells of `cargo xtask {word}`, which does not exist",
                file.display()
            )
        })
        .collect()
}

/// Stores whose cluster the README does not start with the commands that the tests type.
fn untested_clusters(readme: &str, operations: &str) -> Vec<String> {
    let differs = |store: &&&str| {
        let tested = marked(operations, store);
        tested.is_none() || marked(readme, store) != tested
    };
    STORES
        .iter()
        .filter(differs)
        .map(|store| {
            format!("the commands marked <!-- test {store} --> are not the same in {README} and {OPERATIONS}")
        })
        .collect()
}

/// The block of commands behind a mark.
fn marked<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<!-- test {name} -->\n```sh\n"))?;
    Some(rest.split_once("```")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link that moved away is found by `verify`, not by the next reader.
    #[test]
    fn links_outside_of_code_are_seen() {
        let text =
            "see [one](docs/A.md) and [two](b.md#part)\n```\n[no](code.md)\n```\n[three](https://x.test/)";
        assert_eq!(
            links(text).collect::<Vec<_>>(),
            ["docs/A.md", "b.md#part", "https://x.test/"]
        );
        let broken = broken_links(
            Path::new("README.md"),
            "[gone](docs/NO_SUCH_FILE.md) [there](Cargo.toml)",
        );
        assert_eq!(broken.len(), 1, "{broken:?}");
    }

    #[test]
    fn commands_in_documents_exist() {
        let found = unknown_commands(
            Path::new("x.md"),
            "run `cargo xtask test` or `cargo xtask dance`.",
        );
        assert_eq!(found, ["x.md tells of `cargo xtask dance`, which does not exist"]);
    }

    /// Who types what the README shows gets another cluster than the one that was tested.
    #[test]
    fn commands_of_a_cluster_are_the_tested_ones() {
        let block = |store: &str, command: &str| format!("<!-- test {store} -->\n```sh\n{command}\n```\n");
        let tested: String = STORES.iter().map(|store| block(store, "serve")).collect();
        assert_eq!(untested_clusters(&tested, &tested), Vec::<String>::new());
        let other = block("etcd", "serve") + &block("quorum", "serve --other");
        let found = untested_clusters(&other, &tested);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("test quorum") && found[1].contains("test zookeeper"));
    }

    #[test]
    fn machine_paths_are_seen() {
        let text = format!("fine\nlies in {}{}x", "/wo", "rk/");
        assert_eq!(
            forbidden_words(&text).map(|(line, _)| line).collect::<Vec<_>>(),
            [2]
        );
    }
}
