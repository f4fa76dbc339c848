//! What the filter counts and shows: a closed list for each registry and each service.
//!
//! `tidegate.discovery.registry.<registry>.<what>`, `tidegate.discovery.service.<service>.<what>`.
//! The names are the configuration's; nothing that a client or a registry sends ever becomes part of one.

use alloc::format;
use alloc::vec::Vec;

use crate::discovery::config::policy::Policy;
use crate::http::{Metric, MetricKind};

/// What is told of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryMetric {
    /// Answers that changed something.
    Changes,
    /// Questions without a good answer.
    Failures,
    /// Questions.
    Fetches,
}

/// What is told of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceMetric {
    /// Attempts that were counted.
    Attempts,
    /// Times that an endpoint was ejected.
    Ejections,
    /// Endpoints that are known.
    Endpoints,
    /// Attempts that failed.
    Failures,
    /// Of the endpoints, those in good health.
    Healthy,
    /// Requests that were held until there was a snapshot.
    Held,
    /// Whether an answer of the registry is held back.
    HoldActive,
    /// Requests that went nowhere.
    Refused,
    /// Requests.
    Requests,
    /// Attempts after a first one.
    Retries,
    /// Of these, those that the budget did not let happen.
    RetriesRefused,
}

/// Where the metrics stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    registries: usize,
}

/// Where the counter stands by which workers are told that endpoints changed.
pub const CHANGES: usize = 0;
/// Where the counter of requests for no service stands.
pub const UNMATCHED: usize = 1;
/// Where the counter of attempts stands whose request this worker does not know.
pub const ATTEMPTS_UNMATCHED: usize = 2;

const FIRST: usize = 3;
const REGISTRY: [(RegistryMetric, &str, &str); 3] = [
    (RegistryMetric::Changes, "changes", "Answers that changed the endpoints of a service."),
    (RegistryMetric::Failures, "failures", "Questions without an answer, or without one that can be used."),
    (RegistryMetric::Fetches, "fetches", "Questions asked."),
];
const SERVICE: [(ServiceMetric, &str, &str); 11] = [
    (ServiceMetric::Attempts, "attempts", "Attempts that were counted, for an endpoint each."),
    (ServiceMetric::Ejections, "ejections", "Times that an endpoint was ejected."),
    (ServiceMetric::Endpoints, "endpoints", "Endpoints that are known and allowed."),
    (ServiceMetric::Failures, "failures", "Attempts that failed: a 5xx, no connection, no response."),
    (ServiceMetric::Healthy, "healthy", "Of the endpoints, those in good health and not ejected."),
    (ServiceMetric::Held, "held", "Requests held until there was a snapshot."),
    (
        ServiceMetric::HoldActive,
        "hold_active",
        "1 while an answer is held back that would take away too much.",
    ),
    (ServiceMetric::Refused, "refused", "Requests that went nowhere."),
    (ServiceMetric::Requests, "requests", "Requests for the service."),
    (ServiceMetric::Retries, "retries", "Attempts after the first one of a request."),
    (
        ServiceMetric::RetriesRefused,
        "retries_refused",
        "Attempts after the first one that the retry budget refused.",
    ),
];

/// The metrics of a policy, in order.
#[must_use]
pub fn metrics(policy: &Policy) -> Vec<Metric> {
    let metric = |name, help, gauge: bool| {
        let kind = if gauge { MetricKind::Gauge } else { MetricKind::Counter };
        Metric { name, help, kind }
    };
    let counter = |name: &str, help| metric(format!("tidegate.discovery.{name}"), help, false);
    let mut list = alloc::vec![
        counter("changes", "Changes of endpoints that workers were told of: snapshots, ejections."),
        counter("unmatched", "Requests that are for no service."),
        counter("strangers", "Attempts of requests that the filter around the exchange did not see."),
    ];
    for registry in &policy.registries {
        let name = format!("tidegate.discovery.registry.{}", registry.name);
        list.extend(REGISTRY.iter().map(|(_, word, help)| metric(format!("{name}.{word}"), help, false)));
    }
    for service in &policy.services {
        let name = format!("tidegate.discovery.service.{}", service.name);
        let gauge = |of: ServiceMetric| {
            matches!(of, ServiceMetric::Endpoints | ServiceMetric::Healthy | ServiceMetric::HoldActive)
        };
        list.extend(
            SERVICE.iter().map(|(of, word, help)| metric(format!("{name}.{word}"), help, gauge(*of))),
        );
    }
    list
}

// === impl Places ===

impl Places {
    /// The places of a policy's metrics.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        Self { registries: policy.registries.len() }
    }

    /// Where `what` of a registry stands.
    #[must_use]
    pub fn registry(self, registry: usize, what: RegistryMetric) -> usize {
        registry.saturating_mul(REGISTRY.len()).saturating_add(FIRST).saturating_add(what as usize)
    }

    /// Where `of` of a service stands.
    #[must_use]
    pub fn service(self, service: usize, of: ServiceMetric) -> usize {
        let first = self.registry(self.registries, RegistryMetric::Changes);
        service.saturating_mul(SERVICE.len()).saturating_add(first).saturating_add(of as usize)
    }
}
