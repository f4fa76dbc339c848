//! What the discovery filter was told, once it is known to be right.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::balance;
use crate::config::Scope;
use crate::discovery::config::allow::Allow;
use crate::discovery::distrust::{flap, shrink};
use crate::discovery::registry::{Query, RegistryKind};
use crate::http::retry::RetryHeaders;
use crate::http::{Matcher, ReplyPolicy};
use crate::key::Key;
use crate::time::Span;

/// The header that an `ORIGINAL_DST` cluster obeys, unless it has another `http_header_name`.
pub const ORIGINAL_DST_HEADER: &str = "x-envoy-original-dst-host";
/// The header with the candidates, unless another is named.
pub const OVERRIDE_HEADER: &str = "x-tidegate-endpoints";

/// Everything that the filter was told.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Where the names of services, and the questions, belong.
    pub scope: Scope,
    /// What decides which requests are for the services, as a hash.
    pub identity: u64,
    /// The registries by name, in alphabetical order.
    pub registries: Vec<Registry>,
    /// The services in the order of the document.
    pub services: Vec<Service>,
    /// The addresses to which requests may ever be sent.
    pub allow: Allow,
    /// How Envoy is told the endpoint.
    pub steer: Steer,
    /// The zone that the proxy is in; `None` to ask the host for its locality.
    pub zone: Option<Rc<str>>,
    /// What becomes of a request that no service takes.
    pub no_match: NoMatch,
    /// What becomes of a request whose service has no endpoint.
    pub on_failure: OnFailure,
    /// What is added to every answer of the filter's own.
    pub reply: ReplyPolicy,
}

/// Where services are registered.
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    /// Its name in metrics and logs.
    pub name: Rc<str>,
    /// What it is.
    pub kind: RegistryKind,
    /// How long its answers count.
    pub cache: Cache,
}

/// How long answers of a registry count, in milliseconds, and how they are distrusted.
#[derive(Clone, Debug, PartialEq)]
pub struct Cache {
    /// As long as this an answer is as good as new; the period of plain polling.
    pub ttl_ms: u64,
    /// As much longer it is used while it is asked for anew.
    pub stale_while_revalidate_ms: u64,
    /// As much longer than `ttl_ms` it is used while the registry fails.
    pub stale_if_error_ms: u64,
    /// Whether the last answer is used for ever when the registry fails.
    pub serve_forever: bool,
    /// How soon a service that the registry does not know is asked for again, at first; it doubles.
    pub negative_ttl_ms: u64,
    /// The longest pause after a failure.
    pub max_backoff_ms: u64,
    /// Most bytes of an answer.
    pub max_bytes: u32,
    /// Sets that shrink too fast to be true.
    pub shrink: shrink::ShrinkParams,
    /// Endpoints that come and go.
    pub flap: Option<flap::FlapParams>,
}

/// A service that requests can be for.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name in metrics, logs and problem documents, and for the routing filter.
    pub name: Rc<str>,
    /// The requests that are for it; none are when there are no matchers, unless the routing
    /// filter says so.
    pub matches: Vec<Matcher>,
    /// Where its endpoints are registered, and where else: each stands in for those before it as
    /// far as they lack healthy endpoints.
    pub sources: Vec<Source>,
    /// How one of them is chosen.
    pub balance: Rc<balance::Policy>,
    /// How soon latencies are forgotten, for the choice by latency.
    pub decay: Span,
    /// What requests are told apart by, when the choice is by hash.
    pub hash_key: Option<Key>,
    /// Only endpoints that have these take requests.
    pub subset: Subset,
    /// How many endpoints a request may try, the first one included.
    pub attempts: u32,
    /// When a further one is tried.
    pub retry: Retry,
    /// The headers by which Envoy is told to retry.
    pub retry_headers: RetryHeaders,
    /// When an endpoint is ejected.
    pub ejection: Option<EjectionParams>,
    /// How long a request may be held that comes before the first snapshot.
    pub hold_ms: u64,
}

/// Where a service is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The registry, as its place in [`Policy::registries`].
    pub registry: usize,
    /// What is asked there.
    pub query: Query,
}

/// A part of a service's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subset {
    /// Tags that they have, all of them.
    pub tags: Vec<String>,
    /// Metadata that they have, all of it.
    pub metadata: Vec<(String, String)>,
    /// What takes requests when there is no such endpoint.
    pub fallback: SubsetFallback,
}

/// What takes requests when a subset is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubsetFallback {
    /// Any endpoint of the service.
    AnyEndpoint,
    /// The subset of the service's own that the configuration names.
    DefaultSubset,
    /// Nothing.
    #[default]
    NoFallback,
}

/// When a further endpoint is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Methods that may be tried again after bytes were sent.
    pub methods: Vec<String>,
    /// Requests that may, whatever their method.
    pub safe: Vec<Matcher>,
    /// What such requests are tried again for, as Envoy's `x-envoy-retry-on` has it.
    pub on: Rc<str>,
    /// How long an attempt may take; 0 for no limit.
    pub per_try_timeout_ms: u64,
    /// How many further attempts there may be, in percent of the requests.
    pub budget_percent: u32,
    /// As many may be saved up however few requests are in flight.
    pub min_concurrency: u32,
}

/// When an endpoint is ejected, by the rules of Envoy's outlier detection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EjectionParams {
    /// Consecutive failures of any kind; 0 for never.
    pub consecutive_5xx: u32,
    /// Consecutive failures that no application gives: 502, 503, 504, no connection; 0 for never.
    pub consecutive_gateway_failure: u32,
    /// How long the first ejection lasts; each further one is longer by as much.
    pub base_ejection_time_ms: u64,
    /// The longest.
    pub max_ejection_time_ms: u64,
    /// Most endpoints that are ejected at one time, in percent.
    pub max_ejection_percent: u32,
    /// Whether one may always be ejected, however few there are.
    pub always_eject_one: bool,
    /// A client that leaves after so long without a response's headers proves a failure; `None` for
    /// never.
    pub patience: Option<Span>,
}

/// How Envoy is told the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steer {
    /// One address in a header that an `ORIGINAL_DST` cluster obeys.
    OriginalDst {
        /// Its name: the cluster's `http_header_name`.
        header: Rc<str>,
    },
    /// All candidates in a header that the `override_host` load-balancing policy obeys.
    OverrideHost {
        /// Its name: the one of `override_host_sources`.
        header: Rc<str>,
    },
}

/// What becomes of a request that no service takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMatch {
    /// It is answered with 404.
    NotFound,
    /// It goes on, without the headers that steer.
    Pass,
}

/// What becomes of a request whose service has no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It goes on, without the headers that steer.
    Allow,
    /// It is answered with 503.
    Refuse,
}

// === impl Steer ===

impl Steer {
    /// The header that carries the endpoint.
    #[must_use]
    pub fn header(&self) -> &Rc<str> {
        match self {
            Self::OriginalDst { header } | Self::OverrideHost { header } => header,
        }
    }
}
