//! A property's kind and its parsed value, read and printed as Kafka's `ConfigDef` does.

use std::fmt;

/// What a property's value is, with Kafka's words and its codes in DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Boolean,
    String,
    Int,
    Short,
    Long,
    Double,
    List,
    Class,
    Password,
}

impl Kind {
    /// Code of an unknown property in DescribeConfigs.
    pub const UNKNOWN_CODE: i8 = 0;

    /// `configType` of DescribeConfigs v3 and later.
    pub const fn code(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::String => 2,
            Kind::Int => 3,
            Kind::Short => 4,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
            Kind::Class => 8,
            Kind::Password => 9,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Kind::Boolean => "BOOLEAN",
            Kind::String => "STRING",
            Kind::Int => "INT",
            Kind::Short => "SHORT",
            Kind::Long => "LONG",
            Kind::Double => "DOUBLE",
            Kind::List => "LIST",
            Kind::Class => "CLASS",
            Kind::Password => "PASSWORD",
        }
    }
}

/// A parsed value.
#[derive(Clone, PartialEq)]
pub enum Value {
    Boolean(bool),
    /// Short, int or long; within the range of its kind.
    Integer(i64),
    Double(f64),
    /// String or class name.
    Text(String),
    /// Each element once, in the order of first mention.
    List(Vec<String>),
    Password(String),
}

impl Value {
    /// Parses the text of a property; the error is the reason, in Kafka's words.
    pub fn parse(kind: Kind, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match kind {
            Kind::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
            Kind::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
            Kind::Boolean => Err("Expected value to be either true or false".to_owned()),
            Kind::Short => integer(kind, text, i64::from(i16::MIN), i64::from(i16::MAX)),
            Kind::Int => integer(kind, text, i64::from(i32::MIN), i64::from(i32::MAX)),
            Kind::Long => integer(kind, text, i64::MIN, i64::MAX),
            Kind::Double => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Value::Double(number)),
                _ => Err(not_a_number(kind)),
            },
            Kind::String | Kind::Class => Ok(Value::Text(text.to_owned())),
            Kind::Password => Ok(Value::Password(text.to_owned())),
            Kind::List => Ok(Value::List(list(text))),
        }
    }
}

fn integer(kind: Kind, text: &str, min: i64, max: i64) -> Result<Value, String> {
    match text.parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
        _ => Err(not_a_number(kind)),
    }
}

fn not_a_number(kind: Kind) -> String {
    format!("Not a number of type {}", kind.name())
}

/// Splits at commas. An empty text is an empty list; a second mention of an element is dropped, as Kafka 4.2
/// began to do.
fn list(text: &str) -> Vec<String> {
    let mut elements: Vec<String> = Vec::new();
    if text.is_empty() {
        return elements;
    }
    for element in text.split(',').map(str::trim) {
        if !elements.iter().any(|known| known == element) {
            elements.push(element.to_owned());
        }
    }
    elements
}

/// Kafka's text form. A password prints as `[hidden]`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Boolean(value) => write!(f, "{value}"),
            Value::Integer(value) => write!(f, "{value}"),
            Value::Double(value) => f.write_str(&java_double(*value)),
            Value::Text(value) => f.write_str(value),
            Value::List(elements) => f.write_str(&elements.join(",")),
            Value::Password(_) => f.write_str("[hidden]"),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `Double.toString` of Java: plain digits from 0.001 to 10 million, otherwise `1.5E10`.
fn java_double(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: Kind, text: &str) -> String {
        Value::parse(kind, text).map_or_else(|reason| format!("error: {reason}"), |value| value.to_string())
    }

    #[test]
    fn values_are_read_and_printed_as_kafka_does() {
        // Clients compare the text of a described value with what they know from Kafka.
        assert_eq!(shown(Kind::Boolean, " TRUE "), "true");
        assert_eq!(
            shown(Kind::Boolean, "yes"),
            "error: Expected value to be either true or false"
        );
        assert_eq!(shown(Kind::Long, " 12 "), "12");
        assert_eq!(shown(Kind::Int, "99999999999"), "error: Not a number of type INT");
        assert_eq!(shown(Kind::Short, "40000"), "error: Not a number of type SHORT");
        assert_eq!(
            shown(Kind::Long, "9223372036854775808"),
            "error: Not a number of type LONG"
        );
        assert_eq!(shown(Kind::List, "compact , delete,compact"), "compact,delete");
        assert_eq!(shown(Kind::List, ""), "");
        assert_eq!(shown(Kind::Password, "secret"), "[hidden]");
    }

    #[test]
    fn doubles_print_as_java_prints_them() {
        assert_eq!(shown(Kind::Double, "2"), "2.0");
        assert_eq!(shown(Kind::Double, "0.5"), "0.5");
        assert_eq!(
            shown(Kind::Double, "1.7976931348623157E308"),
            "1.7976931348623157E308"
        );
        assert_eq!(shown(Kind::Double, "10000000"), "1.0E7");
        assert_eq!(shown(Kind::Double, "NaN"), "error: Not a number of type DOUBLE");
    }
}
