//! What a document says of DNS, and of a name there.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};

use crate::config::{Object, Reader};
use crate::discovery::registry::identity::Identity;
use crate::discovery::registry::server;

/// The domain name system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Who is asked.
    pub resolver: Resolver,
    /// How long an answer may take.
    pub timeout_ms: u32,
}

/// Who is asked for names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// The host's own resolver. It knows addresses only, no SRV records.
    Host,
    /// A server of DNS over HTTPS (RFC 8484).
    Https {
        /// The cluster of Envoy's that leads to it.
        cluster: String,
        /// The `:authority` of requests to it.
        authority: String,
        /// The path that answers, `/dns-query` by custom.
        path: String,
    },
}

/// A service's name in DNS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameQuery {
    /// The domain name.
    pub name: String,
    /// The records to ask for.
    pub record: Record,
    /// The port of addresses, which A and AAAA records do not have.
    pub port: u16,
}

/// The records to ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Record {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Addresses of either kind.
    Any,
    /// Services: names with ports, priorities and weights (RFC 2782).
    #[default]
    Srv,
}

/// The records that a resolver can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Records {
    /// Addresses alone: of the host's resolver.
    Addresses,
    /// All, services unless something else is asked for.
    All,
}

const FIELDS: [&str; 5] = ["cluster", "authority", "path", "resolver", "timeout_ms"];
const QUERY: [&str; 3] = ["name", "record", "port"];
const RECORDS: [(&str, Record); 4] =
    [("srv", Record::Srv), ("a", Record::A), ("aaaa", Record::Aaaa), ("any", Record::Any)];

fn path(reader: &Reader<'_>) -> Option<String> {
    let text = reader.text(256)?;
    if !text.starts_with('/') || !text.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#') {
        reader.report(format!("{text:?} is not a path, expected one that starts with `/`, without a query"));
        return None;
    }
    Some(text.to_string())
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

// === impl Dns ===

impl Dns {
    /// Reads the field `dns` of a registry.
    #[inline(never)]
    pub(crate) fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&FIELDS)?;
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
        let server = cluster.and_then(|_| server::read(&object));
        let path = object.or("path", "/dns-query".to_string(), path);
        let (cluster, authority) = server?;
        let resolver = Resolver::Https { cluster, authority, path: path? };
        Some(Self { resolver, timeout_ms: timeout_ms? })
    }

    /// Adds all that makes the answer to `query`.
    pub(crate) fn identify(&self, registry: &str, query: &NameQuery, identity: &mut Identity) {
        let mut text = |text: &str| identity.text(text);
        match &self.resolver {
            Resolver::Host => ["names", registry].into_iter().for_each(&mut text),
            Resolver::Https { cluster, authority, path } => {
                ["dns", registry, cluster, authority, path].into_iter().for_each(&mut text);
            }
        }
        text(&query.name);
        // Where a question of Consul has its filter.
        text("");
        identity.bytes(&[query.record as u8]);
        identity.bytes(&query.port.to_le_bytes());
    }
}

// === impl NameQuery ===

impl NameQuery {
    /// Reads the field `dns` of a service that is called `name`.
    pub(crate) fn read(object: &Object<'_>, name: &str, records: Records) -> Option<Self> {
        let usual = if records == Records::All { Record::Srv } else { Record::Any };
        let object = object.inner("dns", &QUERY)?;
        let domain = object.or("name", name.to_string(), domain);
        let record = object.or("record", usual, |r| {
            let record = r.choice(&RECORDS)?;
            if record == Record::Srv && records == Records::Addresses {
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
        Some(Self { name: domain?, record: record?, port })
    }
}

// === impl Records ===

impl Records {
    /// What the field `dns` of a registry can be asked for, whether or not it can be read.
    pub(crate) fn of(reader: &Reader<'_>) -> Self {
        if reader.text_field("resolver").is_some() {
            Self::Addresses
        } else {
            Self::All
        }
    }
}
