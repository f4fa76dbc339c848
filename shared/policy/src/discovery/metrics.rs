//! The metrics of the filter: a closed list for each registry and each service.
//!
//! `tidegate.discovery.registry.<registry>.<metric>`, `tidegate.discovery.service.<service>.<metric>`; in a
//! scope, `tidegate.discovery.scope.<scope>.` and so on.
//! The names are the configuration's; nothing that a client or a registry sends ever becomes part of one.

use alloc::format;
use alloc::vec::Vec;
use core::cell::Cell;

use crate::discovery::config::policy::Policy;
use crate::http::{steering, Metric};

/// A metric of one registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryMetric {
    /// Answers that changed something.
    Changes,
    /// Questions without a usable answer.
    Failures,
    /// Questions.
    Queries,
}

/// A metric of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceMetric {
    /// Attempts that an endpoint got.
    Attempts,
    /// Attempts for which there was no connection.
    ConnectFailures,
    /// Times that an endpoint was ejected.
    Ejections,
    /// Endpoints that are known and allowed.
    Endpoints,
    /// Attempts that failed.
    Failures,
    /// Endpoints that are healthy and not ejected.
    Healthy,
    /// Requests that were held for a first snapshot.
    Held,
    /// Whether an answer of the registry is held back.
    HoldActive,
    /// Requests that got no endpoint.
    Refused,
    /// Requests.
    Requests,
    /// Attempts after the first one of a request.
    Retries,
    /// Retries that the retry budget refused.
    RetriesRefused,
    /// Whether no request was for it, though many have passed.
    Unused,
}

/// The positions of the metrics in [`metrics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    registries: usize,
}

/// What one worker counted of one service since it last published: a request adds to these and makes
/// no call to the host.
#[derive(Debug)]
pub struct ServiceCounters {
    places: Places,
    service: usize,
    counts: [Cell<u64>; COUNTED.len()],
}

/// The position of the counter by which workers notify each other that endpoints changed.
pub const CHANGES: usize = 0;
/// The position of the counter of requests for no service.
pub const UNMATCHED: usize = 1;
/// The position of the counter of attempts whose request this worker does not know.
pub const ATTEMPTS_UNMATCHED: usize = 2;

/// The position of the counter of requests that were refused for a header that the filter removed.
pub const ROUTE_FORGED: usize = 3;

const FIRST: usize = 4;
const REGISTRY: [(RegistryMetric, &str); 3] = [
    (RegistryMetric::Changes, "changes"),
    (RegistryMetric::Failures, "failures"),
    (RegistryMetric::Queries, "queries"),
];
const SERVICE: [(ServiceMetric, &str); 13] = [
    (ServiceMetric::Attempts, "attempts"),
    (ServiceMetric::ConnectFailures, "connect_failures"),
    (ServiceMetric::Ejections, "ejections"),
    (ServiceMetric::Endpoints, "endpoints"),
    (ServiceMetric::Failures, "failures"),
    (ServiceMetric::Healthy, "healthy"),
    (ServiceMetric::Held, "held"),
    (ServiceMetric::HoldActive, "hold_active"),
    (ServiceMetric::Refused, "refused"),
    (ServiceMetric::Requests, "requests"),
    (ServiceMetric::Retries, "retries"),
    (ServiceMetric::RetriesRefused, "retries_refused"),
    (ServiceMetric::Unused, "unused"),
];
/// The metrics of a service that are counters of requests, and so wait for the next tick.
const COUNTED: [ServiceMetric; 9] = [
    ServiceMetric::Attempts,
    ServiceMetric::ConnectFailures,
    ServiceMetric::Ejections,
    ServiceMetric::Failures,
    ServiceMetric::Held,
    ServiceMetric::Refused,
    ServiceMetric::Requests,
    ServiceMetric::Retries,
    ServiceMetric::RetriesRefused,
];

/// The metrics of a policy, in order.
#[must_use]
pub fn metrics(policy: &Policy) -> Vec<Metric> {
    let first = policy.scope.metrics("discovery");
    let own = ["changes", "unmatched", "attempts_unmatched", steering::ROUTE_FORGED];
    let mut list: Vec<Metric> = own.iter().map(|word| Metric::counter(format!("{first}.{word}"))).collect();
    for registry in &policy.registries {
        let name = format!("{first}.registry.{}", registry.name);
        list.extend(REGISTRY.iter().map(|(_, word)| Metric::counter(format!("{name}.{word}"))));
    }
    for service in &policy.services {
        let name = format!("{first}.service.{}", service.name);
        list.extend(SERVICE.iter().map(|(of, word)| {
            let name = format!("{name}.{word}");
            if COUNTED.contains(of) {
                Metric::counter(name)
            } else {
                Metric::gauge(name)
            }
        }));
    }
    list
}

// === impl Places ===

impl Places {
    /// The positions of a policy's metrics.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        Self { registries: policy.registries.len() }
    }

    /// The position of a metric of a registry.
    #[must_use]
    pub fn registry(self, registry: usize, metric: RegistryMetric) -> usize {
        registry.saturating_mul(REGISTRY.len()).saturating_add(FIRST).saturating_add(metric as usize)
    }

    /// The position of a metric of a service.
    #[must_use]
    pub fn service(self, service: usize, metric: ServiceMetric) -> usize {
        let first = self.registry(self.registries, RegistryMetric::Changes);
        service.saturating_mul(SERVICE.len()).saturating_add(first).saturating_add(metric as usize)
    }
}

// === impl ServiceCounters ===

impl ServiceCounters {
    /// Counters at 0 of the service at `service` of the policy.
    #[must_use]
    pub fn new(policy: &Policy, service: usize) -> Self {
        Self { places: Places::new(policy), service, counts: Default::default() }
    }

    /// Counts one.
    pub fn add(&self, metric: ServiceMetric) {
        let at = COUNTED.iter().position(|one| *one == metric);
        if let Some(count) = at.and_then(|at| self.counts.get(at)) {
            count.set(count.get().saturating_add(1));
        }
    }

    /// Takes what was counted: the position of each counter that moved, and by how much.
    pub fn take(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let counted = COUNTED.iter().zip(&self.counts).map(|(metric, count)| (*metric, count.take()));
        counted.filter(|(_, n)| *n > 0).map(|(metric, n)| (self.place(metric), n))
    }

    /// The position of a metric of the service.
    #[must_use]
    pub fn place(&self, metric: ServiceMetric) -> usize {
        self.places.service(self.service, metric)
    }
}
