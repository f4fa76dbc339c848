//! What a request costs with few endpoints and with many.
//!
//! Envoy's processor time, divided by the requests: rounds over several Envoys, each of which answers by
//! itself, so that nothing but the filter differs. Requests take all services in turn, as hot ones
//! alone would flatter a large catalog.

use std::time::Duration;

use serde_json::{json, Value};
use tidegate_tests::terminal::Progress;
use tidegate_tests::{options, paths, Bootstrap, Envoy, Load, Request, WasmFilter};

use crate::options::Options;

/// A catalog.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) endpoints: usize,
    pub(crate) services: usize,
}

/// What was measured of one.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) size: Size,
    /// Processor time a request in microseconds, one a round.
    pub(crate) samples: Vec<f64>,
}

/// The small catalog first, the large one last. Those between say what it is that costs.
pub(crate) const SIZES: [Size; 4] = [
    Size { endpoints: 3, services: 1 },
    Size { endpoints: 1_000, services: 1 },
    Size { endpoints: 3, services: 200 },
    Size { endpoints: 1_000, services: 200 },
];
const CONNECTIONS: usize = 8;
/// Requests before those that count, so that both begin alike.
const LEAD: u64 = 1_000;

struct Subject {
    envoy: Envoy,
    size: Size,
}

/// Measures all, in turn.
pub(crate) fn all(options: &Options) -> [Cost; SIZES.len()] {
    let subjects = SIZES.map(Subject::start);
    let progress = Progress::new("round", options.rounds);
    let mut costs = SIZES.map(|size| Cost { size, samples: Vec::new() });
    for round in 0..options.rounds {
        progress.show(round, "");
        for step in 0..SIZES.len() {
            // Who begins changes with each round, and every other one goes backwards.
            let step = if round % 2 == 0 { step } else { SIZES.len() - 1 - step };
            let at = (step + round) % SIZES.len();
            costs[at].samples.push(subjects[at].ask(options.requests));
        }
    }
    progress.end();
    costs
}

// === impl Subject ===

impl Subject {
    fn start(size: Size) -> Self {
        let filter = WasmFilter::new(paths::module("discovery")).config(&size.config());
        let config = Bootstrap::new().wasm(&filter).direct_response("/", 200, "ok").json();
        let envoy = Envoy::start(&config, &options::Options::workers(1));
        let subject = Self { envoy: envoy.unwrap_or_else(|failure| panic!("{failure}")), size };
        // The first request of each service makes its table.
        subject.send(4 * u64::try_from(size.services).unwrap_or(u64::MAX));
        subject
    }

    /// Processor time a request in microseconds, of so many.
    fn ask(&self, requests: u64) -> f64 {
        self.send(LEAD);
        let before = self.envoy.cpu();
        self.send(requests);
        micros(self.envoy.cpu() - before) / requests as f64
    }

    fn send(&self, requests: u64) {
        let services = u64::try_from(self.size.services).unwrap_or(u64::MAX);
        let paths: Vec<_> = (0..services).map(|n| Request::get(&path(n)).bytes()).collect();
        let load = Load::new(self.envoy.addr()).connections(CONNECTIONS).requests(requests);
        let report = load.run(|_, number, out| {
            let at = usize::try_from(number % services).unwrap_or(0);
            out.extend_from_slice(&paths[at]);
        });
        assert_eq!(report.count(200), requests, "{:?}; {}", report.by_status(), self.envoy.log());
    }
}

/// Paths of all services are equally long.
fn path(service: u64) -> String {
    format!("/s{service:03}/orders")
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

// === impl Size ===

impl Size {
    /// So many services, each of so many endpoints.
    fn config(self) -> Value {
        let address = |n: usize| format!("10.0.{}.{}", n / 250, 1 + n % 250);
        let endpoints: Vec<_> =
            (0..self.endpoints).map(|n| json!({"address": address(n), "port": 8_080})).collect();
        let service = |n: u64| {
            json!({
                "name": format!("s{n:03}"),
                "registry": "local",
                "static": {"service": "all"},
                "match": {"path": {"prefix": format!("/s{n:03}/")}},
            })
        };
        let services: Vec<_> = (0..u64::try_from(self.services).unwrap_or(0)).map(service).collect();
        json!({
            "registries": {"local": {"static": {"services": {"all": endpoints}}}},
            "services": services,
            "allow": ["10.0.0.0/8:8080"],
        })
    }
}
