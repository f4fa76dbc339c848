//! Reading registries.

use alloc::vec::Vec;

use super::cache::{self, CACHE};
use crate::config::{joined, rules, Def, Group, Object, Reader, Table};
use crate::discovery::config::allow::Allow;
use crate::discovery::config::policy::Registry;
use crate::discovery::registry::{RegistryKind, Shape, KINDS, WORDS};
use crate::sort;

/// A registry that services may name, whether or not it could be read.
pub(super) struct Known<'a> {
    pub(super) name: &'a str,
    /// What it is, as far as the document says.
    pub(super) shape: Option<Shape>,
    /// `None` when something was reported.
    pub(super) registry: Option<Registry>,
}

static FIELDS: [&Def; KINDS.len() + 1] = joined(&[&KINDS, &[CACHE.def()]]);
/// A registry.
pub(super) static REGISTRY: Table =
    Table::new("discovery.registry", &FIELDS).groups(&[Group::one_of(&WORDS, "has no kind")]);

/// Reads all registries, and puts them in alphabetical order.
#[inline(never)]
pub(super) fn all<'a>(entries: Vec<(&'a str, Reader<'a>)>, allow: Option<&Allow>) -> Vec<Known<'a>> {
    let mut all: Vec<Known<'a>> = entries.into_iter().map(|(name, r)| read(name, &r, allow)).collect();
    sort::sort_by(&mut all, &|a, b| a.name.cmp(b.name));
    all
}

fn read<'a>(name: &'a str, reader: &Reader<'a>, allow: Option<&Allow>) -> Known<'a> {
    let allowed = |address, port| allow.is_none_or(|allow| allow.has(address, port));
    let object = reader.object();
    let Some((object, (shape, kind))) = object.and_then(|o| Some((o, RegistryKind::read(&o, &allowed)?)))
    else {
        return Known { name, shape: None, registry: None };
    };
    let sound = sound(&object, shape);
    let cache = cache::read(&object, shape).filter(|_| sound);
    let registry = kind.zip(cache).map(|(kind, cache)| Registry { name: name.into(), kind, cache });
    Known { name, shape: Some(shape), registry }
}

/// Whether the rest goes with the kind.
fn sound(object: &Object<'_>, shape: Shape) -> bool {
    let rules = [(CACHE.def(), !shape.is_asked(), "none: nothing is asked")];
    rules::absent(object, &rules, "does not go with a static registry")
}
