//! Reading registries.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::config::{plain_name, Object, Reader};
use crate::discovery::config::allow::Allow;
use crate::discovery::config::named;
use crate::discovery::config::policy::{Cache, Consul, Dns, Kind, Registry, Resolver};
use crate::discovery::registry::consul::Consistency;
use crate::discovery::registry::static_list;
use crate::sort;

/// A registry that services may name, whether or not it could be read.
pub(crate) struct Known<'a> {
    pub(crate) name: &'a str,
    /// What it is, as far as the document says.
    pub(crate) shape: Option<Shape>,
    /// `None` when something was reported.
    pub(crate) registry: Option<Registry>,
}

/// What is asked of a registry depends on this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Consul,
    /// The host's resolver.
    Host,
    /// A server of DNS over HTTPS.
    Https,
    Static,
}

const FIELDS: [&str; 4] = ["consul", "dns", "static", "cache"];
const CONSUL: [&str; 11] = [
    "cluster",
    "authority",
    "datacenter",
    "namespace",
    "partition",
    "token",
    "wait_ms",
    "consistency",
    "near",
    "zone_key",
    "timeout_ms",
];
const DNS: [&str; 5] = ["cluster", "authority", "path", "resolver", "timeout_ms"];
const CONSISTENCIES: [(&str, Consistency); 3] = [
    ("default", Consistency::Default),
    ("stale", Consistency::Stale),
    ("consistent", Consistency::Consistent),
];

/// Reads all registries, and puts them in alphabetical order.
#[inline(never)]
pub(crate) fn all<'a>(reader: &Reader<'a>, allow: Option<&Allow>) -> Option<Vec<Known<'a>>> {
    let entries = named(reader, 1..=16, "registries")?;
    let mut all: Vec<Known<'a>> = entries.into_iter().map(|(name, r)| Known::read(name, &r, allow)).collect();
    sort::sort_by(&mut all, &|a, b| a.name.cmp(b.name));
    Some(all)
}

// === impl Known ===

impl<'a> Known<'a> {
    /// Whether a static registry has a service; `None` for others, and where it could not be read.
    pub(crate) fn has(&self, service: &str) -> Option<bool> {
        match &self.registry.as_ref()?.kind {
            Kind::Static(services) => Some(services.iter().any(|(name, _)| name == service)),
            _ => None,
        }
    }

    fn read(name: &'a str, reader: &Reader<'a>, allow: Option<&Allow>) -> Self {
        let plain = plain_name(reader, name);
        let Some(object) = reader.object(&FIELDS) else { return Self { name, shape: None, registry: None } };
        let consul = object.optional("consul").map(|r| (Shape::Consul, Consul::read(&r).map(Kind::Consul)));
        let dns = object.optional("dns").map(|r| {
            let host = r.text_field("resolver").is_some();
            (if host { Shape::Host } else { Shape::Https }, Dns::read(&r).map(Kind::Dns))
        });
        let fixed = object.optional("static");
        let fixed = fixed.map(|r| (Shape::Static, static_list::read(&r, allow).map(Kind::Static)));
        let given: Vec<_> = [consul, dns, fixed].into_iter().flatten().collect();
        let cache = Cache::read(&object);
        let words = "`consul`, `dns`, `static`";
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
                reader.report(format!("{found}, expected one of {words}"));
                Self { name, shape: None, registry: None }
            }
        }
    }
}

/// Whether the rest goes with the kind.
fn sound(object: &Object<'_>, shape: Shape) -> bool {
    let cache = object.optional("cache").filter(|_| shape == Shape::Static);
    let wrong = cache.is_some();
    if let Some(reader) = cache {
        reader.report("does not go with a static registry, expected none: nothing is asked".to_string());
    }
    !wrong
}

/// A name that is part of a path or a query, of a datacenter and the like.
fn name(object: &Object<'_>, field: &str) -> Option<Option<String>> {
    object.or(field, None, |r| r.text(256).map(|text| Some(text.to_string())))
}

/// The cluster that leads to a server, and the authority of requests to it.
fn server(object: &Object<'_>) -> Option<(String, String)> {
    let cluster = object.required("cluster", "the name of a cluster").and_then(|r| r.header_text(256));
    let authority = object.or("authority", cluster.clone(), |r| r.header_text(256).map(Some));
    let authority = authority?;
    Some((cluster?, authority?))
}

// === impl Consul ===

impl Consul {
    #[inline(never)]
    fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&CONSUL)?;
        let server = server(&object);
        let (datacenter, namespace) = (name(&object, "datacenter"), name(&object, "namespace"));
        let partition = name(&object, "partition");
        let token = object.or("token", None, |r| token(r).map(Some));
        let wait_ms = object.or("wait_ms", 55_000, wait_ms);
        let consistency = object.or("consistency", Consistency::Default, |r| r.choice(&CONSISTENCIES));
        let near = name(&object, "near");
        let zone_key = object.or("zone_key", "zone", |r| r.text(256));
        let timeout_ms = object.count("timeout_ms", 5_000, 100, 60_000, "ms");
        let (cluster, authority) = server?;
        Some(Self {
            cluster,
            authority,
            datacenter: datacenter?,
            namespace: namespace?,
            partition: partition?,
            token: token?,
            wait_ms: wait_ms?,
            consistency: consistency?,
            near: near?,
            zone_key: zone_key?.to_string(),
            timeout_ms: timeout_ms?,
        })
    }
}

/// A secret, which no message repeats.
fn token(reader: &Reader<'_>) -> Option<String> {
    let text = reader.text(1024)?;
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        reader.report("is no token, expected visible ASCII without spaces".to_string());
        return None;
    }
    Some(text.to_string())
}

/// Consul's own bounds are a wait of up to ten minutes.
fn wait_ms(reader: &Reader<'_>) -> Option<u32> {
    let ms = reader.integer(0..=600_000, "ms")?;
    if (1..1_000).contains(&ms) {
        reader.report(format!("{ms} ms is out of range, expected 0 or 1000 to 600000 ms"));
        return None;
    }
    u32::try_from(ms).ok()
}

// === impl Dns ===

impl Dns {
    #[inline(never)]
    fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&DNS)?;
        let timeout_ms = object.count("timeout_ms", 2_000, 100, 60_000, "ms");
        if let Some(resolver) = object.optional("resolver") {
            let known = resolver.choice(&[("host", ())]);
            let beside =
                ["cluster", "authority", "path"].into_iter().find_map(|field| object.optional(field));
            if let Some(reader) = &beside {
                reader.report("does not go with `resolver`, expected only one of them".to_string());
            }
            (known.is_some() && beside.is_none()).then_some(())?;
            return Some(Self { resolver: Resolver::Host, timeout_ms: timeout_ms? });
        }
        let cluster = object.required("cluster", "the name of a cluster, or a `resolver`");
        let server = cluster.and_then(|_| server(&object));
        let path = object.or("path", "/dns-query".to_string(), path);
        let (cluster, authority) = server?;
        let resolver = Resolver::Https { cluster, authority, path: path? };
        Some(Self { resolver, timeout_ms: timeout_ms? })
    }
}

fn path(reader: &Reader<'_>) -> Option<String> {
    let text = reader.text(256)?;
    if !text.starts_with('/') || !text.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#') {
        reader.report(format!("{text:?} is not a path, expected one that starts with `/`, without a query"));
        return None;
    }
    Some(text.to_string())
}
