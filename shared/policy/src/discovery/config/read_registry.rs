//! Reading registries.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::config::lists::named;
use crate::config::{plain_name, Object, Reader};
use crate::discovery::config::allow::Allow;
use crate::discovery::config::policy::{Cache, Registry};
use crate::discovery::registry::{self, RegistryKind, Shape};
use crate::sort;

/// A registry that services may name, whether or not it could be read.
pub(crate) struct Known<'a> {
    pub(crate) name: &'a str,
    /// What it is, as far as the document says.
    pub(crate) shape: Option<Shape>,
    /// `None` when something was reported.
    pub(crate) registry: Option<Registry>,
}

const CACHE: &str = "cache";

/// Reads all registries, and puts them in alphabetical order.
#[inline(never)]
pub(crate) fn all<'a>(reader: &Reader<'a>, allow: Option<&Allow>) -> Option<Vec<Known<'a>>> {
    let entries = named(reader, 1..=16, "registries")?;
    let mut all: Vec<Known<'a>> = entries.into_iter().map(|(name, r)| Known::read(name, &r, allow)).collect();
    sort::sort_by(&mut all, &|a, b| a.name.cmp(b.name));
    Some(all)
}

/// Whether the rest goes with the kind.
fn sound(object: &Object<'_>, shape: Shape) -> bool {
    let cache = object.optional(CACHE).filter(|_| !shape.is_asked());
    let wrong = cache.is_some();
    if let Some(reader) = cache {
        reader.report("does not go with a static registry, expected none: nothing is asked".to_string());
    }
    !wrong
}

// === impl Known ===

impl<'a> Known<'a> {
    fn read(name: &'a str, reader: &Reader<'a>, allow: Option<&Allow>) -> Self {
        let plain = plain_name(reader, name);
        let fields = [&registry::FIELDS[..], &[CACHE]].concat();
        let Some(object) = reader.object(&fields) else { return Self { name, shape: None, registry: None } };
        let allowed = |address, port| allow.is_none_or(|allow| allow.has(address, port));
        let kinds = registry::FIELDS.into_iter().filter_map(|field| Some((field, object.optional(field)?)));
        let given: Vec<_> = kinds.map(|(field, r)| RegistryKind::read(field, &r, &allowed)).collect();
        let cache = Cache::read(&object);
        match <[_; 1]>::try_from(given) {
            Ok([(shape, kind)]) => {
                let cache = cache.filter(|_| sound(&object, shape));
                let read = |kind, cache, name: &str| Registry { name: name.into(), kind, cache };
                let registry = match (kind, cache, plain) {
                    (Some(kind), Some(cache), Some(name)) => Some(read(kind, cache, name)),
                    _ => None,
                };
                Self { name, shape: Some(shape), registry }
            }
            Err(given) => {
                let found = if given.is_empty() { "is nothing" } else { "is several things" };
                reader.report(format!("{found}, expected one of {}", registry::FIELDS_TEXT));
                Self { name, shape: None, registry: None }
            }
        }
    }
}
