//! What is wrong with a configuration, and where.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Where in a document a value stands; prints as `limits[2].per_ms`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

/// One thing that is wrong: where, what was found, what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands. The document as a whole prints as `configuration`.
    pub path: Path,
    /// What was found and what would be right, without the path.
    pub what: String,
}

/// Everything that is wrong with one document; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The problems in document order.
    pub problems: Vec<Problem>,
}

// === impl Path ===

impl Path {
    /// The document itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// The field `name` of the object at this path.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        Self(if self.0.is_empty() { name.to_string() } else { format!("{}.{name}", self.0) })
    }

    /// The item `index` of the list at this path.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "configuration" } else { &self.0 })
    }
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

// === impl ConfigError ===

impl ConfigError {
    /// An error with one problem.
    #[must_use]
    pub fn one(path: Path, what: String) -> Self {
        Self { problems: alloc::vec![Problem { path, what }] }
    }
}

/// One problem a line.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl core::error::Error for ConfigError {}
