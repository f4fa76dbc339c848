//! Reading where a service is registered, and where else.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;

use crate::config::{Object, Reader};
use crate::discovery::config::policy::Source;
use crate::discovery::config::read_registry::Known;
use crate::discovery::registry::{self, Shape};
use crate::http::matcher::collect;

/// The fields of an entry of `fallback` besides those of the registries.
const FALLBACK: [&str; 2] = ["datacenter", "registry"];

/// The registries that may be named; `None` when that is not known.
pub(crate) type Registries<'a, 'd> = Option<&'a [Known<'d>]>;

/// Reads the source of a service `name` out of its object, and those that stand in for it.
#[inline(never)]
pub(crate) fn all(service: &Object<'_>, name: &str, registries: Registries<'_, '_>) -> Option<Vec<Source>> {
    let first = source(service, name, "the name of a registry", registries);
    let rest = service.or("fallback", Vec::new(), |r| {
        let items = r.items(1..=4, "fallbacks")?;
        let one = |item: &Reader<'_>| fallback(item, service, name, first.as_ref(), registries);
        let rest: Vec<Source> = items.iter().map(one).fold(Some(Vec::new()), collect)?;
        let earlier = |index: usize| first.iter().chain(rest.iter().take(index));
        let twice = rest.iter().zip(&items).enumerate();
        let twice = twice.filter(|(index, (one, _))| earlier(*index).any(|other| other == *one));
        let twice = twice.map(|(_, (_, item))| item.report("is asked already, expected another".to_owned()));
        (twice.count() == 0).then_some(rest)
    });
    let mut all = alloc::vec![first?];
    all.extend(rest?);
    Some(all)
}

fn fallback(
    reader: &Reader<'_>,
    service: &Object<'_>,
    name: &str,
    first: Option<&Source>,
    registries: Registries<'_, '_>,
) -> Option<Source> {
    let fields = [&FALLBACK[..], &registry::FIELDS[..]].concat();
    let object = reader.object(&fields)?;
    let Some(datacenter) = object.optional("datacenter") else {
        return source(&object, name, "the name of a registry, or a `datacenter`", registries);
    };
    let beside = fields.iter().skip(1).find_map(|field| object.optional(field));
    if let Some(beside) = beside {
        beside.report("does not go with `datacenter`, expected only one of them".to_owned());
        return None;
    }
    if shape(service, registries).is_some_and(|shape| !shape.has_datacenters()) {
        datacenter.report("does not go with this registry, expected another `registry`".to_owned());
        return None;
    }
    let query = first?.query.in_datacenter(datacenter.text(256)?.to_owned())?;
    Some(Source { registry: first?.registry, query })
}

/// The registry that an object names, without a word about what is wrong.
fn shape(object: &Object<'_>, registries: Registries<'_, '_>) -> Option<Shape> {
    let name = object.optional("registry")?;
    registries?.iter().find(|known| name.is(known.name))?.shape
}

/// Reads the fields `registry`, `consul`, `dns` and `static`.
fn source(object: &Object<'_>, name: &str, what: &str, registries: Registries<'_, '_>) -> Option<Source> {
    let registry = object.required("registry", what);
    let index = registry.as_ref().zip(registries).and_then(|(reader, registries)| {
        let words: Vec<(&str, usize)> = registries.iter().map(|known| known.name).zip(0..).collect();
        reader.choice(&words)
    });
    let known = index.and_then(|index| registries?.get(index));
    let shape = known.and_then(|known| known.shape);
    let others = registry::FIELDS.iter().filter(|word| shape.is_some_and(|shape| shape.field() != **word));
    let wrong = others.filter_map(|word| object.optional(word)).map(|reader| {
        let right = shape.map_or("", Shape::field);
        reader.report(format!("does not go with this registry, expected `{right}`"));
    });
    (wrong.count() == 0).then_some(())?;
    let kind = known.and_then(|known| known.registry.as_ref()).map(|registry| &registry.kind);
    let query = shape?.read_query(object, name, known?.name, kind);
    Some(Source { registry: index?, query: query? })
}
