//! The numbers of one moment, all that a frame shows.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_policy::ratelimit::config::Mode;
use tidegate_policy::ratelimit::Limit;
use tidegate_policy::time::Span;

use crate::buyers::Ledger;
use crate::cast::Role;
use crate::catalog::Reached;
use crate::crowd::{Census, Variant};
use crate::history::History;
use crate::orders::Seat;
use crate::plot::{Registry, ENDPOINTS};
use crate::ramp::Ramp;
use crate::script::Mood;
use crate::shop::Till;
use crate::tally::Tally;
use crate::world::{World, WORKERS};

/// One moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) elapsed: Duration,
    /// How long the demo lasts, unless until Ctrl-C.
    pub(crate) length: Option<u64>,
    pub(crate) addr: SocketAddr,
    pub(crate) workers: u32,
    /// Requests that reached the upstream.
    pub(crate) answered: u64,
    pub(crate) clients: Vec<ClientView>,
    pub(crate) limits: Vec<LimitView>,
    pub(crate) checkout: CheckoutView,
    pub(crate) catalog: CatalogView,
    pub(crate) discovery: DiscoveryView,
}

/// One client.
#[derive(Clone, Debug)]
pub(crate) struct ClientView {
    pub(crate) name: String,
    pub(crate) habit: String,
    /// The limit that holds it.
    pub(crate) limit: String,
    pub(crate) tally: Tally,
}

/// One limit and what the filter counted of it.
#[derive(Clone, Debug)]
pub(crate) struct LimitView {
    pub(crate) name: String,
    pub(crate) rule: String,
    /// Requests that one key may have passed until now.
    pub(crate) most: u64,
    /// In the order of [`COUNTS`].
    pub(crate) counts: [u64; COUNTS.len()],
}

/// The service behind the breaker.
#[derive(Clone, Debug)]
pub(crate) struct CheckoutView {
    pub(crate) till: Till,
    pub(crate) history: History,
    pub(crate) probes: u64,
    /// Requests that reached the service, by its mood.
    pub(crate) reached: [u64; Mood::COUNT],
}

/// The service behind the routing.
#[derive(Clone, Debug)]
pub(crate) struct CatalogView {
    pub(crate) census: Census,
    pub(crate) ramp: Ramp,
    /// What each [`Variant`] weighs.
    pub(crate) weights: [u64; 2],
    /// What reached the variants after the canary was given up.
    pub(crate) since: Option<Reached>,
}

/// The service behind the discovery.
#[derive(Clone, Debug)]
pub(crate) struct DiscoveryView {
    pub(crate) registry: Registry,
    pub(crate) seats: [Seat; ENDPOINTS],
    pub(crate) ledger: Ledger,
    /// Endpoints that the filter knows, and those of them that it takes for healthy.
    pub(crate) known: u64,
    pub(crate) healthy: u64,
    /// Questions to the registry.
    pub(crate) fetches: u64,
    pub(crate) ejections: u64,
    /// Attempts after the first one of a request.
    pub(crate) retries: u64,
}

/// The filter's counters that are shown.
pub(crate) const COUNTS: [&str; 5] = ["admitted", "refused", "observed", "leases", "evicted"];

// === impl View ===

impl View {
    /// What is to be seen `elapsed` after the start.
    pub(crate) fn new(
        world: &World,
        clients: impl Iterator<Item = (Role, Tally)>,
        (till, census, ledger): (Till, Census, Ledger),
        elapsed: Duration,
        length: Option<u64>,
    ) -> Self {
        let client = |(role, tally): (Role, Tally)| ClientView {
            name: role.name.to_owned(),
            habit: role.habit.to_owned(),
            limit: role.limit.to_owned(),
            tally,
        };
        let limit = |limit: &Limit| LimitView {
            name: limit.name.clone(),
            rule: rule(limit),
            most: most(limit, elapsed),
            counts: COUNTS.map(|what| world.count(&limit.name, what)),
        };
        Self {
            elapsed,
            length,
            addr: world.addr(),
            workers: WORKERS,
            answered: world.answered() as u64,
            clients: clients.map(client).collect(),
            limits: world.limits().iter().map(limit).collect(),
            checkout: CheckoutView {
                till,
                history: world.history().clone(),
                probes: world.probes(),
                reached: Mood::ALL.map(|mood| world.reached(mood)),
            },
            catalog: CatalogView {
                census,
                ramp: world.ramp().clone(),
                weights: [Variant::Canary, Variant::Stable].map(|variant| world.weight(variant)),
                since: world.since(),
            },
            discovery: DiscoveryView {
                registry: world.orders().registry(),
                seats: world.orders().seats(elapsed),
                ledger,
                known: world.discovered("endpoints"),
                healthy: world.discovered("healthy"),
                fetches: world.fetches(),
                ejections: world.discovered("ejections"),
                retries: world.discovered("retries"),
            },
        }
    }

    /// Whether every client stayed within its limit.
    pub(crate) fn holds(&self) -> bool {
        self.clients.iter().all(|client| client.tally.total.admitted <= self.most(client))
    }

    /// Requests that this client's limit may have admitted until now.
    pub(crate) fn most(&self, client: &ClientView) -> u64 {
        self.limits.iter().find(|limit| limit.name == client.limit).map_or(0, |limit| limit.most)
    }

    /// Requests of everyone that the rate limits let through.
    pub(crate) fn passed(&self) -> u64 {
        self.admitted() + self.checkout.till.sum() + self.catalog.census.sum() + self.discovery.ledger.sum()
    }

    /// Admitted requests of all clients.
    pub(crate) fn admitted(&self) -> u64 {
        self.clients.iter().map(|client| client.tally.total.admitted).sum()
    }
}

/// A limit in words: `5 a second, 10 at once`, or `5 a second, observed`.
fn rule(limit: &Limit) -> String {
    let period = match limit.period.as_millis() {
        1_000 => "a second".to_owned(),
        60_000 => "a minute".to_owned(),
        ms => format!("in {ms} ms"),
    };
    match limit.mode {
        Mode::Enforce => format!("{} {period}, {} at once", limit.requests, limit.rate.burst()),
        Mode::Observe => format!("{} {period}, observed", limit.requests),
    }
}

/// No window of this length has more: the burst, and one for each interval.
fn most(limit: &Limit, window: Duration) -> u64 {
    let window = Span::from_nanos(u64::try_from(window.as_nanos()).unwrap_or(u64::MAX));
    let units = u64::from(limit.rate.burst().get()) + window.count_of(limit.rate.interval());
    units / limit.cost
}
