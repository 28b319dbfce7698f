//! What is wrong with a file.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

/// One thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub file: PathBuf,
    /// In bytes from the begin of the file, where the finding has a place.
    pub position: Option<u64>,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A number or state is another one than it must be.
    Differs {
        of: &'static str,
        expected: String,
        found: String,
    },
    /// The bytes cannot be what they must be, and why.
    Unreadable { of: &'static str, why: String },
}

impl Finding {
    pub fn to_json(&self) -> Value {
        let (of, expected, found) = match &self.what {
            What::Differs { of, expected, found } => (of, Some(expected), found),
            What::Unreadable { of, why } => (of, None, why),
        };
        json!({
            "file": self.file.display().to_string(),
            "position": self.position,
            "of": of,
            "expected": expected,
            "found": found,
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if let Some(position) = self.position {
            write!(f, "position {position}: ")?;
        }
        match &self.what {
            What::Differs { of, expected, found } => write!(f, "{of}: expected {expected}, found {found}"),
            What::Unreadable { of, why } => write!(f, "{of}: {why}"),
        }
    }
}

/// The findings of one run.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    pub fn differs(
        &mut self,
        file: &std::path::Path,
        position: u64,
        of: &'static str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) {
        let what = What::Differs {
            of,
            expected: expected.to_string(),
            found: found.to_string(),
        };
        self.0.push(Finding {
            file: file.to_owned(),
            position: Some(position),
            what,
        });
    }

    pub fn unreadable(
        &mut self,
        file: &std::path::Path,
        position: Option<u64>,
        of: &'static str,
        why: impl fmt::Display,
    ) {
        let what = What::Unreadable {
            of,
            why: why.to_string(),
        };
        self.0.push(Finding {
            file: file.to_owned(),
            position,
            what,
        });
    }
}
