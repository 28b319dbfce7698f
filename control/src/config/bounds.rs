//! What values a property allows, and the reason for a refusal in Kafka's words.

use std::fmt;

use super::broker::CoreList;
use super::listener::Endpoint;
use super::value::Value;
use crate::store::StoreUrl;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bounds {
    /// Every value of the kind.
    Any,
    AtLeast(i64),
    /// Both ends allowed.
    Between(i64, i64),
    /// A range, or one value outside it.
    BetweenOr(i64, i64, i64),
    /// A double, both ends allowed.
    Ratio(f64, f64),
    OneOf(&'static [&'static str]),
    OneOfAnyCase(&'static [&'static str]),
    /// Each element of a list; the list may be empty.
    EachOf(&'static [&'static str]),
    /// `*`, or a list of `partition:broker`.
    ThrottledReplicas,
    /// Where a share group begins.
    OffsetReset,
    /// `auto`, or core numbers and ranges such as `0,2-3`.
    Cores,
    /// `host:port`, or `none`.
    EndpointOrNone,
    StoreUrl,
}

/// A refused value: what to show as the value, and why.
pub(super) type Outside = (String, String);

impl Bounds {
    pub(super) fn check(&self, name: &str, value: &Value) -> Result<(), Outside> {
        let refuse = |reason: String| Err((value.to_string(), reason));
        match (*self, value) {
            (Bounds::Any, _) => Ok(()),
            (Bounds::AtLeast(min), Value::Integer(v)) if *v < min => {
                refuse(format!("Value must be at least {min}"))
            }
            (Bounds::Between(min, _), Value::Integer(v)) if *v < min => {
                refuse(format!("Value must be at least {min}"))
            }
            (Bounds::Between(_, max), Value::Integer(v)) if *v > max => {
                refuse(format!("Value must be no more than {max}"))
            }
            (Bounds::BetweenOr(min, max, or), Value::Integer(v)) if !(min..=max).contains(v) && *v != or => {
                refuse(format!("Value must be between {min} and {max} or equal to {or}"))
            }
            (Bounds::Ratio(min, _), Value::Double(v)) if *v < min => {
                refuse(format!("Value must be at least {min}"))
            }
            (Bounds::Ratio(_, max), Value::Double(v)) if *v > max => {
                refuse(format!("Value must be no more than {max}"))
            }
            (Bounds::OneOf(names), Value::Text(v)) if !names.contains(&v.as_str()) => {
                refuse(format!("String must be one of: {}", names.join(", ")))
            }
            (Bounds::OneOfAnyCase(names), Value::Text(v))
                if !names.iter().any(|n| n.eq_ignore_ascii_case(v)) =>
            {
                refuse(format!(
                    "String must be one of (case insensitive): {}",
                    names.join(", ")
                ))
            }
            (Bounds::EachOf(names), Value::List(v)) => {
                match v.iter().find(|e| !names.contains(&e.as_str())) {
                    Some(element) => Err((
                        element.clone(),
                        format!("String must be one of: {}", names.join(", ")),
                    )),
                    None => Ok(()),
                }
            }
            (Bounds::ThrottledReplicas, Value::List(v)) if !throttled_replicas(v) => Err((
                format!("[{}]", v.join(", ")),
                format!(
                    "{name} must be the literal '*' or a list of replicas in the following format: \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],..."
                ),
            )),
            (Bounds::OffsetReset, Value::Text(v)) if !offset_reset(v) => refuse(format!(
                "Invalid value `{v}` for configuration {name}. The value must be either 'earliest', 'latest' or of the \
                 format 'by_duration:<PnDTnHnMn.nS>'."
            )),
            (Bounds::Cores, Value::Text(v)) => CoreList::parse(v).map(drop).or_else(refuse),
            (Bounds::EndpointOrNone, Value::Text(v)) if v != "none" => Endpoint::parse(v)
                .map(drop)
                .or_else(|error| refuse(error.to_string())),
            (Bounds::StoreUrl, Value::Text(v)) => StoreUrl::parse(v)
                .map(drop)
                .or_else(|error| refuse(error.to_string())),
            _ => Ok(()),
        }
    }
}

/// The notation of Kafka's documentation, such as `[1,...,9] or -1`.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bounds::Any => Ok(()),
            Bounds::AtLeast(min) => write!(f, "[{min},...]"),
            Bounds::Between(min, max) => write!(f, "[{min},...,{max}]"),
            Bounds::BetweenOr(min, max, or) => write!(f, "[{min},...,{max}] or {or}"),
            Bounds::Ratio(min, max) => write!(f, "[{min},...,{max}]"),
            Bounds::OneOf(names) | Bounds::EachOf(names) => write!(f, "[{}]", names.join(", ")),
            Bounds::OneOfAnyCase(names) => write!(f, "(case insensitive) [{}]", names.join(", ")),
            Bounds::ThrottledReplicas => f.write_str("[partitionId]:[brokerId],[partitionId]:[brokerId],..."),
            Bounds::OffsetReset => f.write_str("[latest, earliest, by_duration:PnDTnHnMn.nS]"),
            Bounds::Cores => f.write_str("auto or a list such as 0,2-3"),
            Bounds::EndpointOrNone => f.write_str("host:port or none"),
            Bounds::StoreUrl => f.write_str(
                "embedded, etcd://HOST:PORT,..., zookeeper://HOST:PORT,... or quorum://ID@HOST:PORT,...",
            ),
        }
    }
}

fn throttled_replicas(elements: &[String]) -> bool {
    if let [only] = elements
        && only == "*"
    {
        return true;
    }
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    elements.iter().all(|element| {
        element
            .split_once(':')
            .is_some_and(|(partition, broker)| number(partition) && number(broker))
    })
}

fn offset_reset(text: &str) -> bool {
    match text.split_once(':') {
        Some(("by_duration", duration)) => iso_duration(duration),
        Some(_) => false,
        None => text == "latest" || text == "earliest",
    }
}

/// Days, hours, minutes and seconds of ISO 8601, such as `P1DT2H3M4.5S`, not negative; at least one of them.
fn iso_duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['P', 'p']) else {
        return false;
    };
    let (days, time) = match rest.split_once(['T', 't']) {
        Some((days, time)) => (days, Some(time)),
        None => (rest, None),
    };
    let day_parts = parts(days, &['D']);
    let time_parts = time.map(|time| parts(time, &['H', 'M', 'S']).filter(|count| *count > 0));
    match (day_parts, time_parts) {
        (Some(days), None) => days > 0,
        (Some(_), Some(Some(_))) => true,
        _ => false,
    }
}

/// Counts `<number><unit>` pairs whose units come in the given order; only seconds may have a fraction.
fn parts(text: &str, units: &[char]) -> Option<usize> {
    let mut units = units.iter();
    let mut number = String::new();
    let mut count = 0;
    for character in text.chars() {
        if character.is_ascii_digit() || (character == '.' && !number.is_empty() && !number.contains('.')) {
            number.push(character);
            continue;
        }
        let unit = character.to_ascii_uppercase();
        if number.is_empty() || number.ends_with('.') || (number.contains('.') && unit != 'S') {
            return None;
        }
        units.find(|known| **known == unit)?;
        number.clear();
        count += 1;
    }
    number.is_empty().then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_iso_8601() {
        for good in ["PT1H", "P1D", "P1DT2H3M4.5S", "PT0.5S"] {
            assert!(iso_duration(good), "{good}");
        }
        for bad in [
            "", "P", "PT", "1H", "PT1", "PT1M1H", "PT1.5H", "P1DT", "-PT1H", "PT.5S",
        ] {
            assert!(!iso_duration(bad), "{bad}");
        }
    }

    #[test]
    fn throttled_replicas_are_pairs_of_numbers_or_a_star() {
        let list = |text: &str| match Value::parse(super::super::value::Kind::List, text) {
            Ok(Value::List(elements)) => elements,
            other => panic!("{other:?}"),
        };
        assert!(throttled_replicas(&list("")));
        assert!(throttled_replicas(&list("*")));
        assert!(throttled_replicas(&list("0:1,1:2")));
        assert!(!throttled_replicas(&list("0")));
        assert!(!throttled_replicas(&list("*,0:1")));
        assert!(!throttled_replicas(&list("a:1")));
    }
}
