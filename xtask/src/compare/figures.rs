//! What was measured, and whether it is what was promised.

use super::broker::Contender;
use super::row::Row;

/// What a figure must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// At least that many times Kafka's.
    TimesKafkaAtLeast(f64),
    /// At most that part of Kafka's.
    TimesKafkaAtMost(f64),
    AtLeast(f64),
    AtMost(f64),
    /// Told, not promised.
    None,
}

/// One line of the table.
#[derive(Debug)]
pub struct Figure {
    pub row: Row,
    pub what: String,
    pub unit: &'static str,
    pub goal: Goal,
    values: Vec<(Contender, f64)>,
    /// Whose load had no processor time left in at least one round.
    saturated: Vec<Contender>,
}

impl Figure {
    /// The median over the rounds.
    pub fn median(&self, contender: Contender) -> Option<f64> {
        let mut values: Vec<f64> = self
            .values
            .iter()
            .filter(|(who, _)| *who == contender)
            .map(|(_, value)| *value)
            .collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() % 2 {
            0 => Some((values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0),
            _ => values.get(middle).copied(),
        }
    }

    pub fn is_saturated(&self, contender: Contender) -> bool {
        self.saturated.contains(&contender)
    }

    /// Whether the goal is reached, and what decides it; `None` if there is nothing to judge.
    pub fn verdict(&self) -> Option<(bool, String)> {
        let ours = self.median(Contender::Ringlog)?;
        let against_kafka = || {
            let kafka = self.median(Contender::Kafka)?;
            (kafka > 0.0).then_some(ours / kafka)
        };
        match self.goal {
            Goal::None => None,
            Goal::AtLeast(least) => Some((ours >= least, number(ours))),
            Goal::AtMost(most) => Some((ours <= most, number(ours))),
            Goal::TimesKafkaAtLeast(least) => {
                let ratio = against_kafka()?;
                Some((ratio >= least, format!("{}x", number(ratio))))
            }
            Goal::TimesKafkaAtMost(most) => {
                let ratio = against_kafka()?;
                Some((ratio <= most, format!("{}x", number(ratio))))
            }
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Goal::TimesKafkaAtLeast(times) => write!(out, ">= {}x Kafka", number(*times)),
            Goal::TimesKafkaAtMost(times) => write!(out, "<= {}x Kafka", number(*times)),
            Goal::AtLeast(least) => write!(out, ">= {}", number(*least)),
            Goal::AtMost(most) => write!(out, "<= {}", number(*most)),
            Goal::None => Ok(()),
        }
    }
}

/// Three significant digits, or all that are before the point.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let Some((whole, fraction)) = text.split_once('.') else {
        return grouped(&text);
    };
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    }
}

/// Thousands apart from four digits on.
fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// All lines, in the order in which they were first measured.
#[derive(Debug, Default)]
pub struct Figures {
    pub lines: Vec<Figure>,
}

impl Figures {
    /// Adds a round's value to its line.
    pub fn add(&mut self, row: Row, what: &str, unit: &'static str, goal: Goal, who: Contender, value: f64) {
        self.line(row, what, unit, goal).values.push((who, value));
    }

    pub fn add_saturated(&mut self, row: Row, what: &str, unit: &'static str, who: Contender) {
        self.line(row, what, unit, Goal::None).saturated.push(who);
    }

    fn line(&mut self, row: Row, what: &str, unit: &'static str, goal: Goal) -> &mut Figure {
        let known = |figure: &Figure| figure.row == row && figure.what == what && figure.unit == unit;
        let at = self.lines.iter().position(known).unwrap_or(self.lines.len());
        if at == self.lines.len() {
            self.lines.push(Figure {
                row,
                what: what.to_owned(),
                unit,
                goal,
                values: Vec::new(),
                saturated: Vec::new(),
            });
        }
        &mut self.lines[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(goal: Goal, ours: &[f64], kafka: &[f64]) -> Figure {
        let mut figures = Figures::default();
        for value in ours {
            figures.add(Row::Produce, "x", "MB/s", goal, Contender::Ringlog, *value);
        }
        for value in kafka {
            figures.add(Row::Produce, "x", "MB/s", goal, Contender::Kafka, *value);
        }
        figures.lines.remove(0)
    }

    /// A verdict that is too kind would be found by a customer.
    #[test]
    fn verdicts_compare_medians() {
        let judged = |goal, ours: &[f64], kafka: &[f64]| figure(goal, ours, kafka).verdict();
        let goal = Goal::TimesKafkaAtLeast(1.5);
        assert_eq!(
            judged(goal, &[900.0, 1.0, 800.0], &[500.0]),
            Some((true, "1.6x".into()))
        );
        assert_eq!(
            judged(goal, &[700.0], &[500.0, 500.0]),
            Some((false, "1.4x".into()))
        );
        assert_eq!(judged(goal, &[700.0], &[]), None);
        assert_eq!(
            judged(Goal::AtMost(1.0), &[0.4, 2.0], &[]),
            Some((false, "1.2".into()))
        );
        assert_eq!(judged(Goal::None, &[1.0], &[1.0]), None);
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.0123, 1.0, 1.234, 12.34, 123.4, 1234.0, 1_234_567.0].map(number);
        assert_eq!(
            shown,
            ["0", "0.012", "1", "1.23", "12.3", "123", "1,234", "1,234,567"]
        );
    }
}
