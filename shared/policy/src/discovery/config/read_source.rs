//! Reading where a service is registered, and where else.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::config::{Object, Reader};
use crate::discovery::config::policy::{Query, Record, Source};
use crate::discovery::config::read_registry::{Known, Shape};
use crate::discovery::config::texts;
use crate::http::matcher::collect;

/// What asks a registry, by the kind of it.
const QUERIES: [&str; 3] = ["consul", "dns", "static"];
const FALLBACK: [&str; 5] = ["datacenter", "registry", "consul", "dns", "static"];
const CONSUL: [&str; 4] = ["service", "tags", "filter", "datacenter"];
const DNS: [&str; 3] = ["name", "record", "port"];
const RECORDS: [(&str, Record); 4] =
    [("srv", Record::Srv), ("a", Record::A), ("aaaa", Record::Aaaa), ("any", Record::Any)];

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
    let object = reader.object(&FALLBACK)?;
    let Some(datacenter) = object.optional("datacenter") else {
        return source(&object, name, "the name of a registry, or a `datacenter`", registries);
    };
    let beside = FALLBACK.iter().skip(1).find_map(|field| object.optional(field));
    if let Some(beside) = beside {
        beside.report("does not go with `datacenter`, expected only one of them".to_owned());
        return None;
    }
    if shape(service, registries).is_some_and(|shape| shape != Shape::Consul) {
        datacenter.report("does not go with this registry, expected another `registry`".to_owned());
        return None;
    }
    let query = Query { datacenter: Some(datacenter.text(256)?.to_owned()), ..first?.query.clone() };
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
    let of = |shape: Shape| match shape {
        Shape::Consul => "consul",
        Shape::Host | Shape::Https => "dns",
        Shape::Static => "static",
    };
    let others = QUERIES.iter().filter(|word| shape.is_some_and(|shape| of(shape) != **word));
    let wrong = others.filter_map(|word| object.optional(word)).map(|reader| {
        let right = shape.map_or("", of);
        reader.report(format!("does not go with this registry, expected `{right}`"));
    });
    (wrong.count() == 0).then_some(())?;
    let query = match shape? {
        Shape::Consul => consul(object, name),
        Shape::Host => dns(object, name, Record::Any),
        Shape::Https => dns(object, name, Record::Srv),
        Shape::Static => fixed(object, name, known?),
    };
    Some(Source { registry: index?, query: query? })
}

fn consul(object: &Object<'_>, name: &str) -> Option<Query> {
    let object = object.inner("consul", &CONSUL)?;
    let text = |field: &str, most| object.or(field, None, |r| r.text(most).map(|text| Some(text.to_owned())));
    let service = object.or("service", name, |r| r.text(256));
    let tags = object.or("tags", Vec::new(), |r| texts(r, 16, "tags"));
    let (filter, datacenter) = (text("filter", 1024), text("datacenter", 256));
    Some(Query {
        name: service?.to_owned(),
        tags: tags?.into_iter().map(ToOwned::to_owned).collect(),
        filter: filter?,
        datacenter: datacenter?,
        ..Query::default()
    })
}

/// The host's resolver has addresses only, and its `usual` record is any of them.
fn dns(object: &Object<'_>, name: &str, usual: Record) -> Option<Query> {
    let object = object.inner("dns", &DNS)?;
    let domain = object.or("name", name.to_string(), domain);
    let record = object.or("record", usual, |r| {
        let record = r.choice(&RECORDS)?;
        if record == Record::Srv && usual != Record::Srv {
            r.report("the host's resolver has no SRV records, expected `a`, `aaaa` or `any`".to_owned());
            return None;
        }
        Some(record)
    });
    let port = match record? {
        Record::Srv => {
            if let Some(reader) = object.optional("port") {
                reader.report("an SRV record has a port, expected none".to_owned());
                return None;
            }
            Some(0)
        }
        _ => object.required("port", "an integer, 1 to 65535").and_then(|r| r.integer(1..=65_535, "")),
    };
    let port = u16::try_from(port?).ok()?;
    Some(Query { name: domain?, record: record?, port, ..Query::default() })
}

/// A domain name: labels of up to 63 bytes, 253 together, a dot at the end or not.
fn domain(reader: &Reader<'_>) -> Option<String> {
    let text = reader.text(254)?;
    let plain = text.strip_suffix('.').unwrap_or(text);
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(fits);
    if plain.len() > 253 || !plain.split('.').all(label) {
        reader.report(format!("{text:?} is no domain name, expected labels of letters, digits, `-` and `_`"));
        return None;
    }
    Some(plain.to_owned())
}

fn fixed(object: &Object<'_>, name: &str, known: &Known<'_>) -> Option<Query> {
    let inner = object.inner("static", &["service"])?;
    let service = inner.or("service", name, |r| r.text(256))?;
    if !known.has(service)? {
        let reader = inner.optional("service").or_else(|| object.optional("registry"))?;
        reader.report(format!("has no service {service:?} in {:?}, expected one that is there", known.name));
        return None;
    }
    Some(Query { name: service.to_owned(), ..Query::default() })
}
