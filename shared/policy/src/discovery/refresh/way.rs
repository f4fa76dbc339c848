//! Where one question is asked, and how: what of the configuration the asking needs.

use alloc::rc::Rc;
use alloc::string::String;

use crate::discovery::cells::question::Question;
use crate::discovery::config::policy::{Kind, Policy, Record, Resolver};
use crate::discovery::registry::consul;
use crate::time::Span;

/// Where a question is asked.
#[derive(Clone, Debug)]
pub enum Way {
    /// Of Consul.
    Consul {
        /// The cluster that leads there, and the `:authority` to ask for.
        to: (String, String),
        /// What is asked.
        query: consul::Query,
        /// Whether queries may wait for a change.
        blocking: bool,
        /// How long an answer may take that need not wait.
        timeout: Span,
    },
    /// Of DNS over HTTPS.
    Dns {
        /// The cluster that leads there, and the `:authority` to ask for.
        to: (String, String),
        /// The path to post to.
        path: String,
        /// The name.
        name: Rc<str>,
        /// What of it.
        record: Record,
        /// The port of addresses without one.
        port: u16,
        /// How long an answer may take.
        timeout: Span,
    },
    /// Of the host's resolver.
    Names {
        /// The name.
        name: String,
        /// Which of its addresses.
        record: Record,
        /// Their port.
        port: u16,
    },
}

// === impl Way ===

impl Way {
    /// The way to ask a question; `None` for one that nobody need be asked.
    #[must_use]
    pub fn new(policy: &Policy, question: &Question) -> Option<Self> {
        let (registry, query) = (policy.registries.get(question.registry)?, &question.query);
        Some(match &registry.kind {
            Kind::Static(_) => return None,
            Kind::Consul(consul) => Self::Consul {
                to: (consul.cluster.clone(), consul.authority.clone()),
                query: consul::Query {
                    datacenter: query.datacenter.clone().or_else(|| consul.datacenter.clone()),
                    namespace: consul.namespace.clone(),
                    partition: consul.partition.clone(),
                    filter: query.filter.clone(),
                    near: consul.near.clone(),
                    tags: query.tags.clone(),
                    consistency: consul.consistency,
                    zone: consul.zone_key.clone(),
                    wait: Span::from_millis(consul.wait_ms.into()),
                    token: consul.token.clone(),
                    ..consul::Query::new(&query.name)
                },
                blocking: consul.wait_ms > 0,
                timeout: Span::from_millis(consul.timeout_ms.into()),
            },
            Kind::Dns(dns) => match &dns.resolver {
                Resolver::Host => {
                    Self::Names { name: query.name.clone(), record: query.record, port: query.port }
                }
                Resolver::Https { cluster, authority, path } => Self::Dns {
                    to: (cluster.clone(), authority.clone()),
                    path: path.clone(),
                    name: query.name.as_str().into(),
                    record: query.record,
                    port: query.port,
                    timeout: Span::from_millis(dns.timeout_ms.into()),
                },
            },
        })
    }

    /// After how long there must have been an answer, if the host keeps its word.
    #[must_use]
    pub fn patience(&self) -> Span {
        match self {
            Self::Consul { query, timeout, .. } => consul::timeout(query.wait).plus(*timeout),
            Self::Dns { timeout, .. } => timeout.times(3),
            Self::Names { .. } => Span::from_secs(30),
        }
    }

    /// Whether the registry answers when something changes.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self, Self::Consul { blocking: true, .. })
    }
}
