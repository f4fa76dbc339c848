//! Breakers that no request has, though many have passed: what is said of each of them, once.
//!
//! Which these are is counted for all workers together ([`crate::usage`]). The line names what requests had
//! instead. One worker knows some of it, of a sample: one response between two ticks, as long as it may be
//! needed. Only names that someone configured are kept: of clusters that exist, because they were reached, of
//! routes, and of what filters of ours chose.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::config::{Breaker, Policy};
use super::live::Live;
use crate::breaker::config::target::{Fallback, Target};
use crate::hash::xxh64::xxh64;
use crate::http::choice::{Choice, Discovered};
use crate::http::{Attribute, Placement, Response, ResponseExt};
use crate::time::Timestamp;
use crate::usage::Usage;

/// What is counted of requests, and what they had instead.
#[derive(Debug)]
pub(super) struct Unused {
    pub(super) usage: Usage,
    placement: Placement,
    /// Whether the next response is asked.
    due: Cell<bool>,
    sample: RefCell<Sample>,
    /// When the filter is looked at that stands where nothing of its document is for, in milliseconds; 0 before
    /// the first tick, `None` when that is done.
    misplaced_ms: Cell<Option<u64>>,
}

/// What requests had, as far as one worker noticed.
#[derive(Debug, Default)]
struct Sample {
    /// Clusters that requests reached.
    clusters: Names,
    /// Clusters as the routing filter names them.
    steered: Names,
    routes: Names,
    services: Names,
    variants: Names,
}

#[derive(Debug, Default)]
struct Names(Vec<String>);

/// Most names of a kind that are kept, and bytes of each.
const MOST: usize = 4;
const LONGEST: usize = 128;
/// How long the filter in the other placement may take to be configured.
const BOTH_MS: u64 = 1_000;

// === impl Unused ===

impl Unused {
    pub(super) fn new(policy: &Policy, placement: Placement) -> Self {
        let breakers = &policy.breakers;
        let names = breakers.iter().fold(0, |hash, breaker| {
            xxh64(&breaker.params.salt.to_le_bytes(), xxh64(breaker.name.as_bytes(), hash))
        });
        // Those of fallbacks have requests only when others fail.
        let leads = |at: usize, fallback: &Fallback| matches!(fallback, Fallback::Cluster { breaker, .. } if *breaker == at);
        let falls_back = |at: usize| breakers.iter().any(|own| own.fallback.iter().any(|to| leads(at, to)));
        let wanted = (0..breakers.len()).map(|at| !falls_back(at)).collect();
        let nothing = !breakers.iter().any(|breaker| breaker.target.placement() == placement);
        Self {
            usage: Usage::new(format!("tidegate/b1{:016x}used", policy.scope.hash(names)), wanted),
            placement,
            due: Cell::new(false),
            sample: RefCell::default(),
            misplaced_ms: Cell::new(nothing.then_some(0)),
        }
    }

    /// Asks a response what its request had, if that is due.
    pub(super) fn sample(&self, response: &impl Response) {
        let unsent = || response.attempts().is_none_or(|attempts| attempts == 0);
        if !self.due.replace(false) || self.placement == Placement::Downstream && unsent() {
            return;
        }
        let mut sample = self.sample.borrow_mut();
        let Sample { clusters, steered, routes, services, variants } = &mut *sample;
        let reached = response.attribute(Attribute::Cluster).unwrap_or_default();
        clusters.add(&reached);
        routes.add(&response.attribute(Attribute::Route).unwrap_or_default());
        let discovered = response.attribute(Attribute::Discovered);
        let service = discovered.as_deref().and_then(|text| Discovered::read(text).service());
        services.add(service.unwrap_or_default());
        let chosen = response.attribute(Attribute::Chosen);
        let Some(choice) = chosen.as_deref().and_then(Choice::read) else { return };
        if let Some((route, variant)) = choice.variant() {
            variants.add(&[route, variant].join(&b'/'));
        }
        if service.is_none() {
            steered.add(choice.goal);
        }
    }

    /// Has the next response asked, as long as it may be needed.
    pub(super) fn tick(&self) {
        self.due.set(self.usage.is_open());
    }

    /// Whether it shows now that nothing of the document is for this placement: the first time only, when the
    /// filter in the other placement, for which something is, can have come.
    pub(super) fn is_misplaced(&self, live: &Live, now: Timestamp) -> bool {
        let Some(at_ms) = self.misplaced_ms.get() else { return false };
        let now_ms = now.as_millis();
        if at_ms == 0 {
            self.misplaced_ms.set(Some(now_ms.saturating_add(BOTH_MS)));
            return false;
        }
        if now_ms < at_ms {
            return false;
        }
        self.misplaced_ms.set(None);
        !live.has_both()
    }

    /// The line for the log of a filter that stands where nothing of its document is for.
    pub(super) fn misplaced(&self) -> &'static str {
        match self.placement {
            Placement::Attempt => {
                "nothing of the document is for a filter around attempts, as the root id `attempt` says of this \
                 one: only breakers with the target `endpoint` are; at a listener, give it another root id (Istio: \
                 pluginName)"
            }
            Placement::Downstream => {
                "nothing of the document refuses requests at a listener: breakers with the target `endpoint` need \
                 the filter among the router's upstream_http_filters, with the root id `attempt` and the same vm_id"
            }
        }
    }

    /// The line for the log of a breaker that none of the first requests had.
    pub(super) fn line(&self, breaker: &Breaker, requests: u64) -> String {
        let name = &breaker.name;
        let passed = match self.placement {
            Placement::Attempt => "attempts",
            Placement::Downstream => "requests",
        };
        let target = target(&breaker.target);
        let why = if breaker.target.placement() == self.placement {
            self.sample.borrow().advice(&breaker.target, breaker.matches.is_empty())
        } else {
            let elsewhere = match self.placement {
                Placement::Attempt => "it is for the filter at the listener, whose root id is not `attempt`",
                Placement::Downstream => {
                    "it needs the filter among the router's upstream_http_filters, with the root id `attempt` and \
                     the same vm_id"
                }
            };
            elsewhere.to_string()
        };
        format!("{name}: no request yet among {requests} {passed} {target}: {why}")
    }
}

fn target(target: &Target) -> String {
    match target {
        Target::Cluster(name) => format!("was for cluster {name}"),
        Target::Endpoint(name) => format!("was for an endpoint of cluster {name}"),
        Target::Key(_) => "had all parts of its key".to_string(),
        Target::Route(name) => format!("was on route {name}"),
        Target::Service(name) => format!("was for service {name}"),
        Target::Variant(name) => format!("was for variant {name}"),
    }
}

// === impl Sample ===

impl Sample {
    /// What requests had instead, and what to write.
    fn advice(&self, target: &Target, for_all: bool) -> String {
        match target {
            Target::Cluster(name) if self.clusters.has(name) && for_all => format!(
                "requests reach it by a route that Envoy chooses behind the last filter; use the target {}",
                self.choices()
            ),
            Target::Service(name) if self.services.has(name) && for_all => {
                "discovery chooses it behind this filter; put the breaker last, right before the router"
                    .to_string()
            }
            Target::Cluster(name) if !self.clusters.has(name) && !self.steered.is_empty() => {
                let (steered, choices) = (self.steered.list(), self.choices());
                format!(
                    "the routing filter names clusters {steered}; use one of these, or the target {choices}"
                )
            }
            Target::Cluster(_) | Target::Endpoint(_) => {
                self.clusters.or("requests reached clusters", "none reached a cluster")
            }
            Target::Key(_) => "no request has them".to_string(),
            Target::Route(_) => self.routes.or("Envoy's routes were", "Envoy's routes need a `name`"),
            Target::Service(_) => self.services.or("discovery chose", "discovery chose none"),
            Target::Variant(_) => {
                self.variants.or("the routing filter chose", "the routing filter chose none")
            }
        }
    }

    /// A target by what filters of ours chose.
    fn choices(&self) -> String {
        match (self.services.0.first(), self.variants.0.first()) {
            (Some(service), _) => format!("{{\"service\": \"{service}\"}}, behind discovery"),
            (None, Some(variant)) => format!("{{\"variant\": \"{variant}\"}}"),
            (None, None) => "`service` or `variant`".to_string(),
        }
    }
}

// === impl Names ===

impl Names {
    fn add(&mut self, name: &[u8]) {
        let name: String =
            String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        if !name.is_empty() && self.0.len() < MOST && !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|own| own == name)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn list(&self) -> String {
        self.0.join(", ")
    }

    /// What they are; what is said when there are none.
    fn or(&self, what: &str, none: &str) -> String {
        if self.is_empty() {
            none.to_string()
        } else {
            format!("{what} {}", self.list())
        }
    }
}
