//! Which names a topic may have.

use super::error::{ApiError, ErrorCode};

/// Room for `-<partition>.<uuid>-delete` in a file name of 255 bytes.
const NAME_CHARS_MAX: usize = 249;

/// Kafka's rule: 1 to 249 of `[a-zA-Z0-9._-]`, and neither `.` nor `..`.
pub fn validate(name: &str) -> Result<(), ApiError> {
    let is_legal = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let reason = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.chars().count() > NAME_CHARS_MAX {
        format!("the length of '{name}' is longer than the max allowed length {NAME_CHARS_MAX}")
    } else if !name.chars().all(is_legal) {
        format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
    } else {
        return Ok(());
    };
    Err(ApiError::new(
        ErrorCode::INVALID_TOPIC_EXCEPTION,
        format!("Topic name is invalid: {reason}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_kafka_does() {
        // A name like "../x" would otherwise become a directory outside of the data directory.
        for good in ["a", "A-b_c.9", "...", &"x".repeat(249)] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        let cases = [
            ("", "Topic name is invalid: the empty string is not allowed"),
            (".", "Topic name is invalid: '.' is not allowed"),
            ("..", "Topic name is invalid: '..' is not allowed"),
            (
                "a/b",
                "Topic name is invalid: 'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
            ),
            (
                "ü",
                "Topic name is invalid: 'ü' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
            ),
        ];
        for (name, message) in cases {
            let error = ApiError::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message);
            assert_eq!(validate(name), Err(error));
        }
        assert!(validate(&"x".repeat(250)).is_err());
    }
}
