//! The service `orders`: its endpoints, the registry that knows them, and the discovery before them.

use std::array;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{json, Value};
use tidegate_tests::consul::Service;
use tidegate_tests::{Answer, Bootstrap, Consul, Port, Upstream};

use crate::plot::{Act, Registry, ENDPOINTS};
use crate::service::SERVED_BY;

/// The servers, and the registry where it is one of its own.
#[derive(Debug)]
pub(crate) struct Orders {
    registry: Registry,
    consul: Option<Consul>,
    endpoints: [Endpoint; ENDPOINTS],
    /// Acts that are over.
    acted: usize,
}

/// One endpoint.
#[derive(Debug)]
struct Endpoint {
    number: usize,
    port: Port,
    server: Option<Upstream>,
    weight: u32,
    passes: bool,
    listed: Listed,
    /// Why the filter avoids it, and until when.
    avoided: (State, Duration),
}

/// Whether the registry knows an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed {
    Ever,
    No,
    NoMore,
    Since(Duration),
}

/// How an endpoint is, of all that is true the most telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not registered yet.
    Absent,
    /// Its health check fails.
    Critical,
    /// Its server is gone.
    Dead,
    /// It failed, and the filter leaves it alone.
    Ejected,
    /// Not registered any more.
    Gone,
    New,
    /// It refused a connection, and the filter leaves it alone.
    Refusing,
    Well,
}

/// An endpoint as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) addr: SocketAddr,
    pub(crate) zone: &'static str,
    pub(crate) weight: u32,
    pub(crate) state: State,
}

/// The path of the service.
pub(crate) const PATH: &str = "/orders";
/// The name of the service and of the cluster that goes where the filter says.
pub(crate) const NAME: &str = "orders";
const CONSUL: &str = "consul";
const ZONES: [&str; ENDPOINTS] = ["a", "a", "b"];
/// How long a registered endpoint is called new.
const NEW: Duration = Duration::from_secs(2);
/// Health checks fail when they are told to, not for silence.
const TTL: Duration = Duration::from_secs(86_400);

/// The name of an endpoint, by which it answers.
pub(crate) fn name(at: usize) -> String {
    format!("{NAME}-{}", at + 1)
}

// === impl Orders ===

impl Orders {
    /// Starts the servers, and a Consul if that is the registry.
    pub(crate) fn start(registry: Registry) -> Self {
        let consul = (registry == Registry::Consul).then(Consul::start);
        let endpoints = array::from_fn(|at| Endpoint::start(at, at < registry.first()));
        let orders = Self { registry, consul, endpoints, acted: 0 };
        orders.endpoints.iter().filter(|endpoint| endpoint.is_listed()).for_each(|it| orders.register(it));
        orders
    }

    /// The service of the filter's document, and where its endpoints are found. Rests are short, so that
    /// their end is to be seen, too.
    pub(crate) fn discovery(&self) -> Value {
        let endpoints: Vec<Value> = self.endpoints.iter().map(Endpoint::json).collect();
        let registry = match self.registry {
            // Endpoints go each time that the script begins anew. That is no flapping.
            Registry::Consul => json!({"consul": {"cluster": CONSUL}, "cache": {"flap_damping": false}}),
            Registry::Static => json!({"static": {"services": {NAME: endpoints}}}),
        };
        let service = json!({
            "name": NAME,
            "registry": self.registry.name(),
            "match": {"path": {"exact": PATH}},
            "attempts": 3,
            "outlier_detection": {
                "consecutive_5xx": 3, "consecutive_gateway_failure": 3,
                "base_ejection_time_ms": 1000, "max_ejection_time_ms": 2000,
            },
        });
        json!({
            "registries": {self.registry.name(): registry},
            "services": [service],
            "allow": ["127.0.0.0/8:1-65535"],
        })
    }

    /// Puts the cluster of its endpoints into Envoy, and that of their registry.
    pub(crate) fn add(&self, config: Bootstrap) -> Bootstrap {
        let config = config
            .original_dst_cluster(NAME)
            .route(json!({"match": {"path": PATH}, "route": {"cluster": NAME, "timeout": "2s"}}));
        match &self.consul {
            Some(consul) => config.cluster(CONSUL, &[consul.addr()]),
            None => config,
        }
    }

    /// Where the endpoints are from.
    pub(crate) fn registry(&self) -> Registry {
        self.registry
    }

    /// Does what is due `at` after the start; tells of each act before it does it.
    pub(crate) fn act(&mut self, at: Duration, tell: impl Fn(Act)) {
        for act in self.registry.due(at, self.acted).collect::<Vec<_>>() {
            tell(act);
            self.perform(act, at);
            self.acted += 1;
        }
    }

    fn perform(&mut self, act: Act, at: Duration) {
        let endpoint = &mut self.endpoints[act.endpoint()];
        match act {
            Act::Back(_) => endpoint.serve(),
            Act::Dies(_) => endpoint.server = None,
            Act::Fails(_) => endpoint.passes = false,
            Act::Joins(_) => endpoint.listed = Listed::Since(at),
            Act::Leaves(_) => endpoint.listed = Listed::NoMore,
            Act::Passes(_) => endpoint.passes = true,
            Act::Weighs(_, weight) => endpoint.weight = weight,
        }
        let endpoint = &self.endpoints[act.endpoint()];
        let (Some(consul), service) = (&self.consul, endpoint.service()) else { return };
        match act {
            Act::Back(_) | Act::Dies(_) => {}
            Act::Fails(_) => consul.fail(service.id()),
            Act::Leaves(_) => consul.deregister(service.id()),
            Act::Passes(_) => consul.pass(service.id()),
            Act::Joins(_) | Act::Weighs(..) => self.register(endpoint),
        }
    }

    fn register(&self, endpoint: &Endpoint) {
        self.consul.iter().for_each(|consul| consul.register(&endpoint.service()));
    }

    /// Reads lines of the log that were new `at` after the start.
    pub(crate) fn read(&mut self, at: Duration, log: &str) {
        for (addr, avoided, time) in log.lines().filter_map(avoided) {
            let mut endpoints = self.endpoints.iter_mut();
            if let Some(endpoint) = endpoints.find(|endpoint| endpoint.port.addr() == addr) {
                endpoint.avoided = (avoided, at + time);
            }
        }
    }

    /// The endpoints as they are `at` after the start.
    pub(crate) fn seats(&self, at: Duration) -> [Seat; ENDPOINTS] {
        array::from_fn(|number| self.endpoints[number].seat(at))
    }

    /// Drops what the servers remember of requests.
    pub(crate) fn forget(&self) {
        self.endpoints.iter().flat_map(|endpoint| &endpoint.server).for_each(|server| {
            let _ = server.take_seen();
        });
    }
}

/// What the filter says when it avoids an endpoint for a while, and what that is.
const AVOIDED: [(&str, State); 2] =
    [(" ejected for ", State::Ejected), (" refused a connection and is a last resort for ", State::Refusing)];

/// Whom the filter avoids, why and for how long, from a line such as `… service orders: endpoint
/// 127.0.0.1:40001 ejected for 1000 ms`.
fn avoided(line: &str) -> Option<(SocketAddr, State, Duration)> {
    let (_, line) = line.split_once(&format!("service {NAME}: endpoint "))?;
    let (state, (addr, rest)) =
        AVOIDED.iter().find_map(|(words, state)| Some((*state, line.split_once(words)?)))?;
    let (ms, _) = rest.split_once(" ms")?;
    Some((addr.parse().ok()?, state, Duration::from_millis(ms.parse().ok()?)))
}

// === impl Endpoint ===

impl Endpoint {
    fn start(number: usize, listed: bool) -> Self {
        let listed = if listed { Listed::Ever } else { Listed::No };
        let mut endpoint = Self {
            number,
            port: Port::reserve(),
            server: None,
            weight: 1,
            passes: true,
            listed,
            avoided: (State::Ejected, Duration::ZERO),
        };
        endpoint.serve();
        endpoint
    }

    fn serve(&mut self) {
        let name = name(self.number);
        let answer = Answer::new(200, format!("{name}\n")).header(SERVED_BY, &name);
        self.server = Some(Upstream::at(&self.port, answer));
    }

    fn is_listed(&self) -> bool {
        matches!(self.listed, Listed::Ever | Listed::Since(_))
    }

    /// It in a static registry.
    fn json(&self) -> Value {
        let addr = self.port.addr();
        let (address, zone) = (addr.ip().to_string(), ZONES[self.number]);
        json!({"address": address, "port": addr.port(), "weight": self.weight, "zone": zone})
    }

    /// It in Consul.
    fn service(&self) -> Service {
        let service = Service::new(NAME, self.port.addr()).with_id(&name(self.number)).ttl(TTL);
        service.meta("zone", ZONES[self.number]).weights(self.weight, 1)
    }

    fn seat(&self, at: Duration) -> Seat {
        let state = match self.listed {
            Listed::No => State::Absent,
            Listed::NoMore => State::Gone,
            _ if !self.passes => State::Critical,
            _ if self.avoided.1 > at => self.avoided.0,
            _ if self.server.is_none() => State::Dead,
            Listed::Since(since) if at < since + NEW => State::New,
            _ => State::Well,
        };
        Seat { addr: self.port.addr(), zone: ZONES[self.number], weight: self.weight, state }
    }
}

// === impl State ===

impl State {
    /// It in a word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Absent => "-",
            Self::Critical => "critical",
            Self::Dead => "dead",
            Self::Ejected => "ejected",
            Self::Gone => "gone",
            Self::New => "new",
            Self::Refusing => "refusing",
            Self::Well => "healthy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_avoided_is_read_from_its_line() {
        let addr = ([127, 0, 0, 1], 40_001).into();
        let line = "[9][info][wasm] wasm log: discovery: service orders: endpoint 127.0.0.1:40001 ejected for 1000 ms";
        assert_eq!(avoided(line), Some((addr, State::Ejected, Duration::from_secs(1))));
        assert_eq!(avoided(&line.replace("orders", "other")), None);
        let refused = line.replace("ejected for 1000", "refused a connection and is a last resort for 2000");
        assert_eq!(avoided(&refused), Some((addr, State::Refusing, Duration::from_secs(2))));
    }

    #[test]
    fn endpoints_come_and_go_with_the_script() {
        let at = Duration::from_millis;
        let mut orders =
            Orders { registry: Registry::Consul, consul: None, ..Orders::start(Registry::Static) };
        orders.endpoints[2].listed = Listed::No;
        let states = |orders: &Orders, ms| orders.seats(at(ms)).map(|seat| seat.state);
        assert_eq!(states(&orders, 0), [State::Well, State::Well, State::Absent]);
        orders.act(at(7_000), |_| {});
        let log =
            format!("service orders: endpoint {} ejected for 1000 ms\n", orders.endpoints[1].port.addr());
        orders.read(at(7_500), &log);
        assert_eq!(states(&orders, 8_000), [State::Well, State::Ejected, State::New]);
        assert_eq!(states(&orders, 9_000), [State::Well, State::Dead, State::Well]);
        assert_eq!(orders.seats(at(7_000)).map(|seat| seat.weight), [3, 1, 1]);
        orders.act(at(13_000), |_| {});
        assert_eq!(states(&orders, 13_000), [State::Well, State::Well, State::Critical]);
        orders.act(at(19_000), |_| {});
        assert_eq!(states(&orders, 19_000), [State::Well, State::Well, State::Gone]);
    }
}
