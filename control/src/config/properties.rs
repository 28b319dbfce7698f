//! The syntax of Java's `.properties` files, as `java.util.Properties` reads it.

use thiserror::Error;

/// One property of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number of its first line, from 1.
    pub line: u32,
    pub name: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PropertiesError {
    #[error("line {line}: \\u must be followed by four hexadecimal digits")]
    BadEscape { line: u32 },
}

/// Reads a file's properties in order; a name may come twice. Bytes that are not UTF-8 are taken as Latin-1,
/// as Java does.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, PropertiesError> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    logical_lines(text)
        .into_iter()
        .map(|(line, content)| property(line, &content))
        .collect()
}

/// Joins continued lines; drops comments and blank lines.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(u32, String)> = None;
    for (number, natural) in (1u32..).zip(natural_lines(text)) {
        let natural = natural.trim_start_matches(BLANKS);
        if open.is_none() && (natural.is_empty() || natural.starts_with(['#', '!'])) {
            continue;
        }
        let (first, mut content) = open.take().unwrap_or((number, String::new()));
        let continued = natural.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
        content.push_str(if continued {
            &natural[..natural.len() - 1]
        } else {
            natural
        });
        if continued {
            open = Some((first, content));
        } else {
            lines.push((first, content));
        }
    }
    lines.extend(open);
    lines
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// Splits at `\n`, `\r\n` and `\r`.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// The name ends at the first `=`, `:` or blank that is not escaped.
fn property(line: u32, content: &str) -> Result<Entry, PropertiesError> {
    let mut escaped = false;
    let mut name_end = content.len();
    for (index, character) in content.char_indices() {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if matches!(character, '=' | ':') || BLANKS.contains(&character) {
            name_end = index;
            break;
        }
    }
    let (name, rest) = content.split_at(name_end);
    let rest = rest.trim_start_matches(BLANKS);
    let rest = rest
        .strip_prefix(['=', ':'])
        .unwrap_or(rest)
        .trim_start_matches(BLANKS);
    Ok(Entry {
        line,
        name: unescape(line, name)?,
        value: unescape(line, rest)?,
    })
}

fn unescape(line: u32, text: &str) -> Result<String, PropertiesError> {
    // Java's escapes are UTF-16 units, so a character beyond the first plane comes as two of them.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut buffer = [0u16; 2];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let plain = if character != '\\' {
            character
        } else {
            match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    units.push(hex(line, &mut characters)?);
                    continue;
                }
                Some(other) => other,
                None => continue,
            }
        };
        units.extend_from_slice(plain.encode_utf16(&mut buffer));
    }
    Ok(String::from_utf16_lossy(&units))
}

fn hex(line: u32, characters: &mut std::str::Chars<'_>) -> Result<u16, PropertiesError> {
    let mut unit: u16 = 0;
    for _ in 0..4 {
        let digit = characters
            .next()
            .and_then(|c| c.to_digit(16))
            .ok_or(PropertiesError::BadEscape { line })?;
        // Four digits of four bits fill the sixteen, so nothing is shifted out.
        unit = (unit << 4) | digit as u16;
    }
    Ok(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes())
            .unwrap()
            .into_iter()
            .map(|p| (p.name, p.value))
            .collect()
    }

    #[track_caller]
    fn reads(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn the_syntax_of_java() {
        // A file that Kafka reads must mean the same here.
        reads(
            "a=1\nb = 2 \nc:3\nd 4\ne\n",
            &[("a", "1"), ("b", "2 "), ("c", "3"), ("d", "4"), ("e", "")],
        );
        reads("# a=1\n  ! b=2\n\n\t\nc=3", &[("c", "3")]);
        reads("a=x,\\\n    y,\\\n  z\nb=1", &[("a", "x,y,z"), ("b", "1")]);
        reads("a=x\\\\\nb=1", &[("a", "x\\"), ("b", "1")]);
        reads("a=1\\\n#b\nc=2", &[("a", "1#b"), ("c", "2")]);
        reads("a\\ b\\=c=d\\te\\u0041", &[("a b=c", "d\teA")]);
        reads("a=\\uD83D\\uDE00", &[("a", "\u{1f600}")]);
        reads("a==b=c", &[("a", "=b=c")]);
        reads("a=1\r\nb=2\rc=3", &[("a", "1"), ("b", "2"), ("c", "3")]);
        reads("a=1\\", &[("a", "1")]);
        reads("p=C\\:\\\\x", &[("p", "C:\\x")]);
    }

    #[test]
    fn lines_are_counted_where_the_property_begins() {
        let lines: Vec<u32> = parse(b"#\na=1,\\\n2\nb=3")
            .unwrap()
            .into_iter()
            .map(|p| p.line)
            .collect();
        assert_eq!(lines, [2, 4]);
    }

    #[test]
    fn a_broken_escape_names_its_line() {
        assert_eq!(
            parse(b"a=1\nb=\\u00g0"),
            Err(PropertiesError::BadEscape { line: 2 })
        );
        assert_eq!(parse(b"b=\\u00"), Err(PropertiesError::BadEscape { line: 1 }));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin_1() {
        assert_eq!(parse(b"a=\xe4").unwrap()[0].value, "ä");
        assert_eq!(parse("a=ä".as_bytes()).unwrap()[0].value, "ä");
    }
}
