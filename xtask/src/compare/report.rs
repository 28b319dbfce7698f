//! The tables, for people and for `docs/PERFORMANCE.md`.

use super::broker::Contender;
use super::figures::{Figure, number};
use super::place;
use super::row::Row;
use super::session::Session;
use crate::shell::{self, Done};
use std::fs;
use std::path::Path;

const DOCUMENT: &str = "docs/PERFORMANCE.md";

/// What was measured where: nothing below means anything without it.
pub fn head(session: &Session) -> String {
    let one_line = |program: &str, arguments: &[&str]| {
        let text = shell::output(shell::program(program).args(arguments)).unwrap_or_default();
        text.trim().to_owned()
    };
    let of = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default();
        line.split_once(':')
            .map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kib: f64 = of("/proc/meminfo", "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or(0.0);
    let memory = format!("{:.0} GiB", kib / 1048576.0);
    let quick = match session.options.scale.is_quick {
        true => " **These are --quick runs: they show that it works, not how fast it is.**",
        false => "",
    };
    format!(
        "`{}`: median of {} interleaved rounds; ringlog {}, Kafka 4.3.1; broker on core 0, load on core 1, loopback TCP.{quick}\n\
         Machine: {cores} cores ({}), {memory}, Linux {}; data on {}. {}.\n",
        session.options.line,
        session.options.rounds,
        one_line("git", &["describe", "--always", "--dirty"]),
        of("/proc/cpuinfo", "model name"),
        one_line("uname", &["-r"]),
        place::describe(&session.options.data_dir),
        one_line("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
    )
}

/// The lines of the rows that `wanted` picks.
pub fn table(session: &Session, wanted: impl Fn(Row) -> bool) -> String {
    let figures: Vec<&Figure> = session
        .figures
        .lines
        .iter()
        .filter(|figure| wanted(figure.row))
        .collect();
    let columns: Vec<Contender> = Contender::ALL
        .into_iter()
        .filter(|who| figures.iter().any(|figure| figure.median(*who).is_some()))
        .collect();
    let names: Vec<&str> = columns.iter().map(|who| who.name()).collect();
    let mut out = format!("| what | | {} | target | verdict |\n|---|---|", names.join(" | "));
    out += &"---|".repeat(columns.len() + 2);
    out.push('\n');
    let mut any_saturated = false;
    for figure in figures {
        let cell = |who: &Contender| {
            let star = if figure.is_saturated(*who) { "*" } else { "" };
            figure
                .median(*who)
                .map_or("-".to_owned(), |value| number(value) + star)
        };
        any_saturated |= columns.iter().any(|who| figure.is_saturated(*who));
        let cells: Vec<String> = columns.iter().map(cell).collect();
        let verdict = match figure.verdict() {
            Some((true, what)) => format!("reached: {what}"),
            Some((false, what)) => format!("**missed: {what}**"),
            None => String::new(),
        };
        out += &format!(
            "| {} | {} | {} | {} | {verdict} |\n",
            figure.what,
            figure.unit,
            cells.join(" | "),
            figure.goal
        );
    }
    if any_saturated {
        out += "\n\\* the load's core was saturated: at least this much.\n";
    }
    out
}

/// What else is to be said: what could not be measured, and where time went.
pub fn notes(session: &Session) -> String {
    let mut out = String::new();
    for note in &session.notes {
        out += &format!("- {note}\n");
    }
    out
}

/// Replaces, in the document, what lies between the marks of each row that was measured.
pub fn write(session: &Session) -> Done {
    let path = shell::root().join(DOCUMENT);
    let mut text = shell::read(&path)?;
    text = filled(&text, "head", &head(session))?;
    for row in &session.options.rows {
        // the ceiling has no lines of its own: it is a column of others
        if session.figures.lines.iter().any(|figure| figure.row == *row) {
            text = filled(&text, row.name(), &table(session, |of| of == *row))?;
        }
    }
    save(&path, &text)
}

pub fn save(path: &Path, text: &str) -> Done {
    fs::write(path, text).map_err(|why| format!("{}: {why}", path.display()))
}

fn filled(text: &str, name: &str, content: &str) -> Done<String> {
    let (begin, end) = (format!("<!-- compare {name} -->\n"), "<!-- end -->");
    let parts = text
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{DOCUMENT} has no marks for {name}"))?;
    Ok(format!("{before}{begin}\n{content}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_its_marks_is_replaced() {
        let text = "a\n<!-- compare cold -->\nold\n<!-- end -->\nb\n<!-- compare idle -->\n<!-- end -->\n";
        let text = filled(text, "cold", "new").expect("marks");
        let text = filled(&text, "idle", "too").expect("marks");
        assert_eq!(
            text,
            "a\n<!-- compare cold -->\n\nnew\n<!-- end -->\nb\n<!-- compare idle -->\n\ntoo\n<!-- end -->\n"
        );
        assert!(filled(&text, "small", "x").is_err());
    }

    /// `--write` at the end of an hour must find every section.
    #[test]
    fn the_document_has_a_place_for_every_row() {
        let text = shell::read(&shell::root().join(DOCUMENT)).expect("the document");
        for row in Row::ALL.into_iter().filter(|row| *row != Row::Ceiling) {
            assert!(filled(&text, row.name(), "").is_ok(), "{}", row.name());
        }
        assert!(filled(&text, "head", "").is_ok());
    }
}
