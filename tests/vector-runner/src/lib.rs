//! Runs the test vectors of the algorithms against the policies.
//!
//! A vector file is data that somebody else computed; a [`Claim`] is the code of ours that
//! answers to it. Nothing is skipped in silence: each value of a claimed file must be read
//! ([`data`]), so a field that no claim knows fails the file as surely as a wrong answer.

pub mod claims;
pub mod data;
pub mod formula;
pub mod models;
pub mod sha256;
pub mod throttling;

use std::fmt;

use serde_json::Value;

pub use claims::Claim;
use data::{Fault, Node};

/// A vector file: its name, and its text or why it cannot be read.
#[derive(Clone, Debug)]
pub struct File {
    /// The name, `gcra.json`.
    pub name: String,
    /// What is in it.
    pub text: Result<String, String>,
}

/// What came of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing claims it yet.
    NotRun,
    /// All its cases hold.
    Ran {
        /// How many there are.
        cases: usize,
    },
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A file is wrong, or we are.
    File {
        /// The file.
        name: String,
        /// Where in it, and what.
        fault: Fault,
    },
    /// The folder cannot be read.
    Folder {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Runs all `*.json` of `files` by name, telling each outcome to `say`, up to the first failure.
///
/// # Errors
/// The first wrong answer or malformed file, or that there is no file at all.
pub fn run(folder: &str, mut files: Vec<File>, mut say: impl FnMut(&str, Outcome)) -> Result<(), Failure> {
    files.retain(|file| file.name.ends_with(".json"));
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.is_empty() {
        let reason = "no *.json in it, expected vector files".to_string();
        return Err(Failure::Folder { path: folder.to_string(), reason });
    }
    for file in files {
        match check(&file) {
            Ok(outcome) => say(&file.name, outcome),
            Err(fault) => return Err(Failure::File { name: file.name, fault }),
        }
    }
    Ok(())
}

/// Runs one file.
///
/// # Errors
/// Its first wrong answer, or what is malformed in it.
pub fn check(file: &File) -> Result<Outcome, Fault> {
    let Some(claim) = claims::of(&file.name) else { return Ok(Outcome::NotRun) };
    let malformed = |what| Fault::Malformed { at: String::new(), what };
    let text = file.text.as_ref().map_err(|reason| malformed(format!("cannot be read: {reason}")))?;
    let document: Value =
        serde_json::from_str(text).map_err(|error| malformed(format!("not JSON: {error}")))?;
    let seen = data::Seen::default();
    let cases = claim(&Node::root(&document, &seen))?;
    data::all_seen(&document, &seen)?;
    Ok(Outcome::Ran { cases })
}

// === impl Outcome ===

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRun => f.write_str("not run"),
            Self::Ran { cases } => write!(f, "{cases} cases"),
        }
    }
}

// === impl Failure ===

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, fault } => write!(f, "{name}: {fault}"),
            Self::Folder { path, reason } => write!(f, "{path}: {reason}"),
        }
    }
}
