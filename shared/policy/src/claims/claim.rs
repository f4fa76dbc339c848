//! What a plugin means by its names.

use alloc::string::String;
use alloc::vec::Vec;

/// What a plugin means by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed: a kind and a name, as in the log.
    pub name: String,
    /// What is meant by it, as in the log.
    pub value: String,
    /// A hash of all that is meant by it.
    pub tag: u64,
}

/// A plugin that has claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// Its name.
    pub plugin: String,
    /// A hash of its document.
    pub document: u64,
    /// What it claims.
    pub claims: Vec<Claim>,
}
