//! What a document says of DNS, and of a name there.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::config::{choices, rules, Field, Form, Group, Kind, Misfit, Object, Table};
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

/// Who resolves in place of a server.
#[derive(Clone, Copy)]
enum Host {
    /// The host.
    Host,
}

choices!(Host { "host" => Host::Host });
choices!(Record {
    "srv" => Record::Srv,
    "a" => Record::A,
    "aaaa" => Record::Aaaa,
    "any" => Record::Any,
});

static PATH_FORM: Form = Form::new(
    |text| {
        let fits =
            text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
        let expected = "one that starts with `/`, without a query";
        (!fits).then_some(Misfit { found: "is not a path", expected })
    },
    "^/[!-\"$->@-~]*$",
    true,
);
/// A domain name: labels of up to 63 bytes, 253 together, a dot at the end or not.
static DOMAIN: Form = Form::new(
    |text| {
        let plain = text.strip_suffix('.').unwrap_or(text);
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(fits);
        let wrong = plain.len() > 253 || !plain.split('.').all(label);
        wrong.then_some(Misfit {
            found: "is no domain name",
            expected: "labels of letters, digits, `-` and `_`",
        })
    },
    "^[A-Za-z0-9_-]{1,63}(\\.[A-Za-z0-9_-]{1,63})*\\.?$",
    false,
);

static CLUSTER: Field<String> = server::cluster().says("The cluster of Envoy's that leads to the server.");
static PATH: Field<String> = Field::of("path", Kind::formed("a path", 256, &PATH_FORM))
    .or_text("/dns-query")
    .says("The path that answers. It starts with `/` and has no query.");
static RESOLVER: Field<Host> =
    Field::choice("resolver").says("Envoy's own resolver. It knows addresses only, no SRV records.");
static TIMEOUT_MS: Field<u32> = Field::duration("timeout_ms", 100, 60_000).or_number(2_000).says(
    "How long each answer may take. With `resolver` Envoy's own settings count, and nothing is waited \
     for after 30 s.",
);
/// A registry.
pub(in crate::discovery::registry) static REGISTRY: Table = Table::new(
    "discovery.dns",
    &[CLUSTER.def(), server::AUTHORITY.def(), PATH.def(), RESOLVER.def(), TIMEOUT_MS.def()],
)
.groups(&[Group::some_of(&["cluster", "resolver"], "has no server to ask")]);

static NAME: Field<str> = Field::of("name", Kind::formed("a domain name", 254, &DOMAIN))
    .or_says("`name` of the service")
    .says("The domain name, such as `_http._tcp.checkout.example`.");
static RECORD: Field<Record> =
    Field::choice("record").or_says("`srv`; with `\"resolver\": \"host\"` `any`").says(
        "What is asked for: services with port, priority and weight (RFC 2782), or addresses. Envoy's \
     resolver is asked for any, and of a name with both kinds it gives those of IPv6 only.",
    );
static PORT: Field<u16> = Field::integer("port", 1, 65_535, "")
    .says("The port of addresses: required with `a`, `aaaa` and `any`, an error with `srv`.");
/// What is asked for.
pub(in crate::discovery::registry) static QUERY: Table =
    Table::new("discovery.service.dns", &[NAME.def(), RECORD.def(), PORT.def()]);

// === impl Dns ===

impl Dns {
    /// Reads the field `dns` of a registry.
    #[inline(never)]
    pub(in crate::discovery::registry) fn read(object: &Object<'_>) -> Option<Self> {
        let timeout_ms = object.get(&TIMEOUT_MS)?;
        if object.has(&RESOLVER) {
            let right = "only one of them";
            let beside = [
                (CLUSTER.def(), true, right),
                (server::AUTHORITY.def(), true, right),
                (PATH.def(), true, right),
            ];
            rules::absent(object, &beside, "does not go with `resolver`").then_some(())?;
            return Some(Self { resolver: Resolver::Host, timeout_ms });
        }
        let (cluster, authority) = server::read(object, &CLUSTER)?;
        let resolver = Resolver::Https { cluster, authority, path: object.get(&PATH)? };
        Some(Self { resolver, timeout_ms })
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
    pub(in crate::discovery::registry) fn read(
        object: &Object<'_>,
        name: &str,
        records: Records,
    ) -> Option<Self> {
        let usual = if records == Records::All { Record::Srv } else { Record::Any };
        let record = object.maybe(&RECORD)?.unwrap_or(usual);
        if record == Record::Srv && records == Records::Addresses {
            let found = "the host's resolver has no SRV records".to_owned();
            object.report_at(&RECORD, found, "`a`, `aaaa` or `any`");
            return None;
        }
        let port = match (record, object.maybe(&PORT)?) {
            (Record::Srv, None) => 0,
            (Record::Srv, Some(_)) => {
                object.report_at(&PORT, "an SRV record has a port".to_owned(), "none");
                return None;
            }
            (_, Some(port)) => port,
            (_, None) => {
                object.report_at(&PORT, "missing".to_owned(), "an integer, 1 to 65535");
                return None;
            }
        };
        let domain = object.maybe(&NAME)?.unwrap_or(name);
        Some(Self { name: domain.strip_suffix('.').unwrap_or(domain).to_owned(), record, port })
    }
}

// === impl Records ===

impl Records {
    /// What the field `dns` of a registry can be asked for, whether or not it can be read.
    pub(crate) fn of(object: &Object<'_>) -> Self {
        if object.has(&RESOLVER) {
            Self::Addresses
        } else {
            Self::All
        }
    }
}
