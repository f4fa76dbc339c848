//! Reading where a service is registered, and where else.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use super::fields;
use super::registry::Known;
use crate::config::{collect, rules, Field, Object, Reader};
use crate::discovery::config::policy::Source;
use crate::discovery::registry::QUERIES;

/// The registries that may be named.
pub(super) type Registries<'a, 'd> = &'a [Known<'d>];

/// Reads the source of a service `name` out of its object, and those that stand in for it.
#[inline(never)]
pub(super) fn all(service: &Object<'_>, name: &str, registries: Registries<'_, '_>) -> Option<Vec<Source>> {
    let first = source(service, &fields::REGISTRY_NAME, name, registries);
    let items = service.items(&fields::FALLBACK);
    let one = |item: &Reader<'_>| fallback(&item.object()?, service, name, first.as_ref(), registries);
    let rest: Vec<Source> = items.iter().map(one).fold(Some(Vec::new()), collect)?;
    let earlier = |index: usize| first.iter().chain(rest.iter().take(index));
    let twice = rest.iter().zip(&items).enumerate();
    let twice = twice.filter(|(index, (one, _))| earlier(*index).any(|other| other == *one));
    let twice = twice.map(|(_, (_, item))| item.report("is asked already".to_owned(), "another"));
    (twice.count() == 0).then_some(())?;
    let mut all = alloc::vec![first?];
    all.extend(rest);
    Some(all)
}

fn fallback(
    object: &Object<'_>,
    service: &Object<'_>,
    name: &str,
    first: Option<&Source>,
    registries: Registries<'_, '_>,
) -> Option<Source> {
    if !object.has(&fields::DATACENTER) {
        return source(object, &fields::FALLBACK_REGISTRY, name, registries);
    }
    let beside = QUERIES.map(|def| (def, true, "only one of them"));
    rules::absent(object, &beside, "does not go with `datacenter`").then_some(())?;
    let known = service.get(&fields::REGISTRY_NAME).and_then(|name| find(name, registries));
    if known.and_then(|(_, known)| known.shape).is_some_and(|shape| !shape.has_datacenters()) {
        let found = "does not go with this registry".to_owned();
        object.report_at(&fields::DATACENTER, found, "another `registry`");
        return None;
    }
    let query = first?.query.in_datacenter(object.get(&fields::DATACENTER)?)?;
    Some(Source { registry: first?.registry, query })
}

/// The registry of this name, and its place.
fn find<'k, 'd>(name: &str, registries: Registries<'k, 'd>) -> Option<(usize, &'k Known<'d>)> {
    registries.iter().enumerate().find(|(_, known)| known.name == name)
}

/// Reads the registry that `field` names, and what is asked there.
fn source(
    object: &Object<'_>,
    field: &Field<str>,
    name: &str,
    registries: Registries<'_, '_>,
) -> Option<Source> {
    let (given, reader) = (object.get(field)?, object.reader(field)?);
    let Some((index, known)) = find(given, registries) else {
        let names: Vec<&str> = registries.iter().map(|known| known.name).collect();
        rules::unknown(object, field, given, &names);
        return None;
    };
    let shape = known.shape?;
    let others = QUERIES.map(|def| (def, def.name != shape.field(), shape.quoted()));
    rules::absent(object, &others, "does not go with this registry").then_some(())?;
    let kind = known.registry.as_ref().map(|registry| &registry.kind);
    let query = shape.read_query(object, name, (&reader, known.name), kind);
    Some(Source { registry: index, query: query? })
}
