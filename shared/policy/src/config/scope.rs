//! What keeps documents of one host apart that use the same names.
//!
//! Names of limits, breakers, ramps and services are identities: configurations that use the same one share
//! its cells, so that a reload keeps them. Where the host's users cannot choose what else they share, as in
//! a mesh, a document says to which scope its names belong.

use alloc::format;
use alloc::string::String;

use super::name::{distinct_name, NAME};
use super::{Field, Object, Reader};
use crate::hash::xxh64::xxh64;

/// The field of a document.
pub static SCOPE: Field<str> = Field::of("scope", NAME).or_says("none").says(
    "Keeps the document's names apart: documents share state and metrics under a name only within a scope. \
     Another scope starts anew.",
);

/// The scope of a document; that of a document without the field has no name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    name: String,
    /// What hashes of names begin with; 0 without a name, so that they are as if there were no scopes.
    seed: u64,
}

// === impl Scope ===

impl Scope {
    /// Reads the scope of a document; of a part without its own, that of the whole document.
    #[must_use]
    pub fn read(document: &Object<'_>) -> Option<Self> {
        let own = document.maybe(&SCOPE)?;
        let name = own.or_else(|| document.whole()?.get(&SCOPE));
        Some(name.map(Self::named).unwrap_or_default())
    }

    /// The scope with this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), seed: xxh64(name.as_bytes(), 0) }
    }

    /// The number of 24 bits that keeps the cells of limits, breakers or ramps apart. It comes from the
    /// name, so that adding or reordering them leaves the state of the others where it is.
    #[must_use]
    pub fn number(&self, name: &str) -> u32 {
        u32::try_from(xxh64(name.as_bytes(), self.seed) >> 40).unwrap_or(0)
    }

    /// The name in `field` of an object that stands for a cell, if none of the `earlier` objects has it or
    /// its number.
    #[inline(never)]
    #[must_use]
    pub fn unique_name(
        &self,
        object: &Object<'_>,
        field: &Field<str>,
        earlier: &[Reader<'_>],
    ) -> Option<String> {
        let name = distinct_name(object, field, earlier)?;
        let same = |other: &&str| self.number(other) == self.number(&name);
        if let Some(other) = earlier.iter().filter_map(|other| other.text_of(field)).find(same) {
            object.report_at(field, format!("{name:?} has the same number as {other:?}"), "another name");
            return None;
        }
        Some(name)
    }

    /// A hash that names a cell, within the scope.
    #[must_use]
    pub fn hash(&self, hash: u64) -> u64 {
        if self.name.is_empty() {
            hash
        } else {
            xxh64(&hash.to_le_bytes(), self.seed)
        }
    }

    /// What the names of a policy's metrics begin with, without a dot at the end.
    #[must_use]
    pub fn metrics(&self, policy: &str) -> String {
        if self.name.is_empty() {
            format!("tidegate.{policy}")
        } else {
            format!("tidegate.{policy}.scope.{}", self.name)
        }
    }

    /// What a name of the scope is in the log.
    #[must_use]
    pub fn quoted(&self, name: &str) -> String {
        if self.name.is_empty() {
            format!("`{name}`")
        } else {
            format!("`{name}` of scope `{}`", self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_scope_are_as_they_were() {
        let none = Scope::default();
        assert_eq!(
            (none.number("total"), none.hash(7)),
            (u32::try_from(xxh64(b"total", 0) >> 40).unwrap(), 7)
        );
        assert_eq!(none.metrics("breaker"), "tidegate.breaker");
    }

    #[test]
    fn the_same_name_in_two_scopes_is_two() {
        let scopes = [Scope::default(), Scope::named("a"), Scope::named("b")];
        let all: alloc::collections::BTreeSet<_> =
            scopes.iter().map(|scope| (scope.number("total"), scope.hash(7))).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(Scope::named("a"), scopes[1]);
        assert_eq!(scopes[2].metrics("breaker"), "tidegate.breaker.scope.b");
    }

    #[test]
    fn a_scope_and_a_name_are_not_another_scope_and_name() {
        assert_ne!(Scope::named("ab").number("c"), Scope::named("a").number("bc"));
    }
}
