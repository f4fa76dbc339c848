//! What a command leaves behind.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Well = 0,
    /// Problems were found.
    Problems = 1,
    /// Something could not be read.
    Unread = 2,
}

/// What a command prints and how it ended.
pub struct Done {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
    /// How it ended.
    pub outcome: Outcome,
}

// === impl Done ===

impl Done {
    /// A command that did what it was asked.
    #[must_use]
    pub fn well(out: String) -> Self {
        Self { out, err: String::new(), outcome: Outcome::Well }
    }

    /// A command that could not read or find something, and why.
    #[must_use]
    pub fn unread(why: &str) -> Self {
        Self { out: String::new(), err: format!("tidegate: {why}\n"), outcome: Outcome::Unread }
    }
}
