//! Registries: what is asked of each, and what its answers say. Nothing is sent here.
//!
//! One folder a registry, with its fields in a document, what of them makes an answer another
//! ([`identity`]), and its [`protocol`]: the calls to make, and the endpoints in their answers. **This file
//! alone tells one kind from another**, so that one more registry is one more folder and an arm in each
//! `match` below.
//!
//! | | |
//! |---|---|
//! | [`consul`], [`dns`], [`static_list`] | can be configured |
//! | [`etcd`], [`eureka`], [`kubernetes`], [`nacos`] | read answers, held to the published ones by `tests/vectors`; no document can name them yet |

pub mod answer;
pub mod consul;
pub mod dns;
pub mod etcd;
pub mod eureka;
pub mod identity;
pub mod kubernetes;
pub mod nacos;
mod path;
pub mod protocol;
mod server;
pub mod static_list;

use alloc::boxed::Box;
use alloc::string::String;

use crate::config::{Def, Field, Inner, Object, Reader};
use crate::discovery::endpoint::Endpoint;
use crate::discovery::registry::consul::protocol::ConsulProtocol;
use crate::discovery::registry::consul::{Consul, ServiceQuery};
use crate::discovery::registry::dns::config::{Dns, NameQuery, Records};
use crate::discovery::registry::identity::Identity;
use crate::discovery::registry::protocol::Protocol;
use crate::discovery::registry::static_list::{Allowed, StaticList};

pub use answer::{AnswerError, Found, Reply, MAX_BODY};

/// What a registry is.
#[derive(Clone, Debug, PartialEq)]
pub enum RegistryKind {
    /// Consul, by its HTTP API.
    Consul(Consul),
    /// DNS, over HTTPS or by the host's own resolver.
    Dns(Dns),
    /// The endpoints are in the configuration.
    Static(StaticList),
}

/// What a service asks of its registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// A service of a Consul.
    Consul(ServiceQuery),
    /// A name in DNS.
    Dns(NameQuery),
    /// A service of the configuration, by its name.
    Static(String),
}

/// What a document says a registry is, whether or not the rest of it can be read. The fields of a
/// service that ask it depend on this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Consul,
    Dns(Records),
    Static,
}

static CONSUL: Field<Inner> =
    Field::object("consul", &consul::config::REGISTRY).says("A Consul datacenter, by its HTTP API.");
static DNS: Field<Inner> =
    Field::object("dns", &dns::config::REGISTRY).says("DNS over HTTPS, or Envoy's own resolver.");
static STATIC: Field<Inner> =
    Field::object("static", &static_list::REGISTRY).says("The endpoints stand in the document.");
static OF_CONSUL: Field<Inner> = Field::object("consul", &consul::config::QUERY)
    .or_says("`{}`")
    .says("What is asked of a Consul registry.");
static OF_DNS: Field<Inner> =
    Field::object("dns", &dns::config::QUERY).or_says("`{}`").says("What is asked of DNS.");
static OF_STATIC: Field<Inner> =
    Field::object("static", &static_list::QUERY).or_says("`{}`").says("What is asked of a static registry.");
/// The fields that say what a registry is: exactly one.
pub(crate) static KINDS: [&Def; 3] = [CONSUL.def(), DNS.def(), STATIC.def()];
/// Their names.
pub(crate) const WORDS: [&str; 3] = ["consul", "dns", "static"];
/// The fields that say what a service asks of a registry.
pub(crate) static QUERIES: [&Def; 3] = [OF_CONSUL.def(), OF_DNS.def(), OF_STATIC.def()];

// === impl RegistryKind ===

impl RegistryKind {
    /// Reads what a registry is from its object; `None` when that is not said.
    pub(crate) fn read(object: &Object<'_>, allowed: Allowed<'_>) -> Option<(Shape, Option<Self>)> {
        let given = |field| object.maybe_inner(field).flatten();
        Some(if let Some(consul) = given(&CONSUL) {
            (Shape::Consul, Consul::read(&consul).map(Self::Consul))
        } else if let Some(dns) = given(&DNS) {
            (Shape::Dns(Records::of(&dns)), Dns::read(&dns).map(Self::Dns))
        } else {
            (Shape::Static, StaticList::read(&given(&STATIC)?, allowed).map(Self::Static))
        })
    }

    /// What the answer to `query` depends on, as a hash; `None` when nothing is asked.
    #[must_use]
    pub fn identity(&self, name: &str, query: &Query) -> Option<u64> {
        let mut identity = Identity::new();
        match (self, query) {
            (Self::Consul(consul), Query::Consul(query)) => consul.identify(name, query, &mut identity),
            (Self::Dns(dns), Query::Dns(query)) => dns.identify(name, query, &mut identity),
            _ => return None,
        }
        Some(identity.finish())
    }

    /// How the registry is asked; `None` when nothing is asked.
    #[must_use]
    pub fn protocol(&self, query: &Query) -> Option<Box<dyn Protocol>> {
        Some(match (self, query) {
            (Self::Consul(consul), Query::Consul(query)) => Box::new(ConsulProtocol::new(consul, query)),
            (Self::Dns(dns), Query::Dns(query)) => dns::protocol::of(dns, query),
            _ => return None,
        })
    }

    /// How many queries may be held until something changes; `None` when none ever is.
    #[must_use]
    pub fn max_blocking_queries(&self) -> Option<usize> {
        match self {
            Self::Consul(consul) if consul.wait_ms > 0 => usize::try_from(consul.max_blocking_queries).ok(),
            _ => None,
        }
    }

    /// How many queries that are not held one worker may have in flight, and as many more of those that
    /// failed last time. Consul counts connections ([`consul::MAX_IN_FLIGHT`]).
    #[must_use]
    pub fn max_in_flight(&self) -> usize {
        match self {
            Self::Consul(_) => consul::MAX_IN_FLIGHT,
            _ => usize::MAX,
        }
    }

    /// What to do about an answer of this status, for the log.
    #[must_use]
    pub fn advice(&self, status: u16) -> Option<&'static str> {
        match self {
            Self::Consul(_) if status == consul::TOO_MANY => Some(consul::ADVICE),
            _ => None,
        }
    }

    /// The endpoints that are known without asking.
    #[must_use]
    pub fn endpoints(&self, query: &Query) -> &[Endpoint] {
        match (self, query) {
            (Self::Static(list), Query::Static(service)) => list.endpoints(service).unwrap_or_default(),
            _ => &[],
        }
    }
}

// === impl Query ===

impl Query {
    /// The service's name at the registry.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Consul(query) => &query.service,
            Self::Dns(query) => &query.name,
            Self::Static(service) => service,
        }
    }

    /// The same service in another datacenter; `None` where there are none.
    #[must_use]
    pub fn in_datacenter(&self, datacenter: String) -> Option<Self> {
        match self {
            Self::Consul(query) => {
                Some(Self::Consul(ServiceQuery { datacenter: Some(datacenter), ..query.clone() }))
            }
            Self::Dns(_) | Self::Static(_) => None,
        }
    }
}

// === impl Shape ===

impl Shape {
    /// The field of a service that asks it, one of [`WORDS`].
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Consul => "consul",
            Self::Dns(_) => "dns",
            Self::Static => "static",
        }
    }

    /// The same, as messages have it.
    pub(crate) fn quoted(self) -> &'static str {
        match self {
            Self::Consul => "`consul`",
            Self::Dns(_) => "`dns`",
            Self::Static => "`static`",
        }
    }

    /// Whether it may have several datacenters.
    pub(crate) fn has_datacenters(self) -> bool {
        self == Self::Consul
    }

    /// Whether anything is asked, so that answers are cached.
    pub(crate) fn is_asked(self) -> bool {
        self != Self::Static
    }

    /// Whether an answer names all endpoints, so that one that it lacks is gone. A name server may give
    /// some of many, others each time.
    pub(crate) fn names_all(self) -> bool {
        !matches!(self, Self::Dns(_))
    }

    /// Reads what a service that is called `service` asks, from its object. `named` is where it names the
    /// registry; the registry's `kind` is `None` when it could not be read.
    pub(crate) fn read_query(
        self,
        object: &Object<'_>,
        service: &str,
        named: (&Reader<'_>, &str),
        kind: Option<&RegistryKind>,
    ) -> Option<Query> {
        match self {
            Self::Consul => ServiceQuery::read(&object.inner(&OF_CONSUL)?, service).map(Query::Consul),
            Self::Dns(records) => NameQuery::read(&object.inner(&OF_DNS)?, service, records).map(Query::Dns),
            Self::Static => {
                let list = kind.and_then(|kind| match kind {
                    RegistryKind::Static(list) => Some(list),
                    _ => None,
                });
                let (reader, name) = named;
                let query = object.inner(&OF_STATIC)?;
                StaticList::read_query(&query, service, list, name, reader).map(Query::Static)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::consul::Consistency;
    use super::dns::config::{Record, Resolver};
    use super::*;

    fn consul(token: &str) -> RegistryKind {
        RegistryKind::Consul(Consul {
            cluster: "c".into(),
            authority: "a".into(),
            datacenter: Some("dc1".into()),
            namespace: Some("ns".into()),
            partition: None,
            token: Some(token.into()),
            wait_ms: 0,
            max_blocking_queries: 64,
            consistency: Consistency::Stale,
            near: Some("_agent".into()),
            zone_key: "zone".into(),
            timeout_ms: 1,
        })
    }

    /// They are in the names of cells, which workers of two configurations share.
    #[test]
    fn identities_are_these() {
        let service = Query::Consul(ServiceQuery {
            service: "orders".into(),
            tags: alloc::vec!["v1".into(), "v2".into()],
            filter: Some("Service.Port != 0".into()),
            datacenter: Some("dc2".into()),
        });
        assert_eq!(consul("x").identity("main", &service), Some(0xdc03_118e_60a9_89c4));
        assert_eq!(consul("y").identity("main", &service), Some(0xdc03_118e_60a9_89c4), "a new token");

        let dns = |resolver| RegistryKind::Dns(Dns { resolver, timeout_ms: 1 });
        let (cluster, authority, path) = ("c".into(), "a".into(), "/q".into());
        let https = dns(Resolver::Https { cluster, authority, path });
        let srv = Query::Dns(NameQuery { name: "_orders._tcp.x".into(), ..NameQuery::default() });
        assert_eq!(https.identity("main", &srv), Some(0xbe24_a90e_6a89_7806));
        let any = NameQuery { name: "orders.x".into(), record: Record::Any, port: 443 };
        assert_eq!(dns(Resolver::Host).identity("main", &Query::Dns(any)), Some(0x62d4_6953_9d94_8762));

        let list = RegistryKind::Static(StaticList::default());
        assert_eq!(list.identity("main", &Query::Static("orders".into())), None, "nothing is asked");
    }
}
