//! What the clients of the demo talk to: upstreams, and Envoy with all policies in one filter before them.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_policy::ratelimit::{Limit, Policy};
use tidegate_tests::paths::{module, root};
use tidegate_tests::{stats, Answer, Bootstrap, Envoy, Options, StartFailure, Upstream, WasmFilter};

use crate::catalog::{self, Catalog, Reached};
use crate::checkout::{self, Checkout};
use crate::crowd::Variant;
use crate::history::History;
use crate::orders::{self, Orders};
use crate::plot::{Act, Registry};
use crate::ramp::Ramp;
use crate::script::Mood;

/// Envoy's workers.
pub(crate) const WORKERS: u32 = 2;
/// The port to take if it is free: the example's.
const PORT: u16 = 10_000;

/// All of it, running.
#[derive(Debug)]
pub(crate) struct World {
    envoy: Envoy,
    addr: SocketAddr,
    upstream: Upstream,
    answered: usize,
    policy: Policy,
    counts: BTreeMap<String, u64>,
    checkout: Checkout,
    history: History,
    catalog: Catalog,
    ramp: Ramp,
    orders: Orders,
    /// Bytes of the log that were read.
    read: usize,
}

// === impl World ===

impl World {
    /// Starts it with the limits of the example and with this registry.
    pub(crate) fn start(registry: Registry) -> Result<Self, String> {
        let example = root().join("envoy-config/ratelimit.yaml");
        let text = fs::read_to_string(&example).map_err(|error| format!("{}: {error}", example.display()))?;
        let limits = plugin_configuration(&text).ok_or("the example has no plugin configuration")?;
        let mut policy = Policy::parse(limits.as_bytes(), true).map_err(|error| error.to_string())?;
        // Not those of wider IPv6 networks, which the document does not name: all clients have IPv4.
        policy.limits.retain(|limit| limits.contains(&format!("\"name\": \"{}\"", limit.name)));
        let upstream = Upstream::new(|seen| match seen.path.as_str() {
            "/login" => Answer::new(401, "wrong password\n"),
            _ => Answer::new(200, "hello from the upstream\n"),
        });
        let limits: Value = serde_json::from_str(&limits).map_err(|error| error.to_string())?;
        let (catalog, checkout, orders) = (Catalog::start(), Checkout::start(), Orders::start(registry));
        let filter = WasmFilter::new(module("fused")).config(&json!({
            "ratelimit": limits,
            "routing": Catalog::routing(),
            "breaker": Checkout::breaker(),
            "discovery": orders.discovery(),
        }));
        let attempt = filter.clone().root_id("attempt").name("attempt");
        let config = Bootstrap::new().wasm(&filter).around_attempts(&attempt);
        let config = orders.add(checkout.add(catalog.add(config)));
        let config = config.cluster("upstream", &[upstream.addr()]);
        let config = config.forward("/", "upstream").balanced();
        let envoy = start(&config, PORT).or_else(|_| start(&config, 0)).map_err(|e| e.to_string())?;
        Ok(Self {
            addr: envoy.addr(),
            envoy,
            upstream,
            answered: 0,
            policy,
            counts: BTreeMap::new(),
            checkout,
            history: History::default(),
            catalog,
            ramp: Ramp::default(),
            orders,
            read: 0,
        })
    }

    /// The scripts of the services start.
    pub(crate) fn begin(&self, start: Instant) {
        self.catalog.begin(start);
        self.checkout.begin(start);
    }

    /// Does what is due for the endpoints so long after the start; tells of each act before it does it.
    pub(crate) fn act(&mut self, elapsed: Duration, tell: impl Fn(Act)) {
        self.orders.act(elapsed, tell);
    }

    /// Where Envoy listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The limits in force.
    pub(crate) fn limits(&self) -> &[Limit] {
        &self.policy.limits
    }

    /// Looks at Envoy and the upstreams anew, so long after the start.
    pub(crate) fn look(&mut self, elapsed: Duration) -> Result<(), String> {
        if !self.envoy.is_running() {
            return Err(format!("Envoy has ended; its log:\n{}", self.envoy.log()));
        }
        self.answered += self.upstream.take_seen().len();
        self.catalog.forget();
        self.checkout.forget();
        self.orders.forget();
        // A look later than the news: what was under way by then has arrived.
        if self.ramp.aborted().is_some() {
            self.catalog.end();
        }
        let log = self.envoy.log();
        let news = log.get(self.read..).unwrap_or("");
        let whole = news.rfind('\n').map_or(0, |end| end + 1);
        self.history.read(elapsed, &news[..whole], checkout::NAME);
        self.ramp.read(elapsed, &news[..whole], catalog::NAME);
        self.orders.read(elapsed, &news[..whole]);
        self.read += whole;
        // A busy machine may be late to answer; then the last numbers stand.
        if let Ok((200, page)) = self.envoy.admin().try_get("/stats?filter=wasmcustom.tidegate") {
            self.counts = stats::numbers(&page);
        }
        Ok(())
    }

    /// Requests that reached the upstream.
    pub(crate) fn answered(&self) -> usize {
        self.answered
    }

    /// What the filter counted of a limit; at most a second old.
    pub(crate) fn count(&self, limit: &str, what: &str) -> u64 {
        self.counted(&format!("ratelimit.limit.{limit}.{what}"))
    }

    /// Requests that passed as probes; at most a second old.
    pub(crate) fn probes(&self) -> u64 {
        self.counted(&format!("breaker.breaker.{}.probes", checkout::NAME))
    }

    /// What the breaker did.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Requests that reached the service in this mood.
    pub(crate) fn reached(&self, mood: Mood) -> u64 {
        self.checkout.reached(mood)
    }

    /// How the ramp of the canary went.
    pub(crate) fn ramp(&self) -> &Ramp {
        &self.ramp
    }

    /// What a variant weighs, as the filter says.
    pub(crate) fn weight(&self, variant: Variant) -> u64 {
        self.counted(&format!("routing.route.{}.variant.{}.weight", catalog::NAME, variant.name()))
    }

    /// What reached the variants after the canary was given up.
    pub(crate) fn since(&self) -> Option<Reached> {
        self.catalog.since()
    }

    /// The endpoints of the service behind the discovery.
    pub(crate) fn orders(&self) -> &Orders {
        &self.orders
    }

    /// What the filter says of them; at most a second old.
    pub(crate) fn discovered(&self, what: &str) -> u64 {
        self.counted(&format!("discovery.service.{}.{what}", orders::NAME))
    }

    /// Questions to their registry; at most a second old.
    pub(crate) fn fetches(&self) -> u64 {
        self.counted(&format!("discovery.registry.{}.queries", self.orders.registry().name()))
    }

    fn counted(&self, metric: &str) -> u64 {
        self.counts.get(&format!("wasmcustom.tidegate.{metric}")).copied().unwrap_or(0)
    }
}

/// Starts Envoy on this port, which must be its alone: by default, Envoys share one.
fn start(config: &Bootstrap, port: u16) -> Result<Envoy, StartFailure> {
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let config = config.clone().listener_field("address", address);
    Envoy::start(&config.listener_field("enable_reuse_port", false.into()).json(), &Options::workers(WORKERS))
}

/// The text of the plugin's configuration in an example: the only block scalar that is a `value`.
fn plugin_configuration(yaml: &str) -> Option<String> {
    let mut lines = yaml.lines().skip_while(|line| line.trim() != "value: |");
    let indent = indent(lines.next()?);
    let block = lines.take_while(|line| line.trim().is_empty() || self::indent(line) > indent);
    Some(block.map(|line| line.trim().to_owned() + "\n").collect())
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugin_configuration_is_the_block_after_value() {
        let yaml = "a:\n  value: |\n    {\n\n      \"b\": 1\n    }\n  c: d\n";
        assert_eq!(plugin_configuration(yaml).as_deref(), Some("{\n\n\"b\": 1\n}\n"));
        assert_eq!(plugin_configuration("a:\n  value: b\n"), None);
    }

    #[test]
    fn every_client_is_held_by_a_limit_of_the_example() {
        let text = fs::read_to_string(root().join("envoy-config/ratelimit.yaml")).unwrap();
        let policy = Policy::parse(plugin_configuration(&text).unwrap().as_bytes(), true).unwrap();
        for role in crate::cast::CAST {
            assert!(policy.limits.iter().any(|limit| limit.name == role.limit), "{}", role.name);
        }
    }
}
