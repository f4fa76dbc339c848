//! The cases that need no passing of time, in Envoy.

use tidegate_tests::cases::{self, Case, Expect, Step};
use tidegate_tests::{paths, Bootstrap, Client, Envoy, Options, Request, Upstream, WasmFilter};

/// Request headers that Envoy's router obeys and keeps.
const ROUTERS: [&str; 4] = [
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-max-retries",
    "x-envoy-retry-on",
    "x-envoy-upstream-rq-per-try-timeout-ms",
];

#[test]
fn envoy_does_as_the_cases_say() {
    let cases: Vec<Case> = cases::all().into_iter().filter(Case::is_timeless).collect();
    assert!(cases.len() >= 40, "only {} cases", cases.len());
    for case in &cases {
        run(case);
    }
}

fn run(case: &Case) {
    let told = case.config.contains("headers_on_admitted");
    let module = paths::module(if told { "ratelimit-headers" } else { &case.filter });
    let upstream = Upstream::fixed(200, "ok");
    let filter = WasmFilter::new(module).raw_config(&case.config);
    let bootstrap = Bootstrap::new().wasm(&filter).cluster("up", &[upstream.addr()]).forward("/", "up");
    let envoy = Envoy::start(&bootstrap.json(), &Options::default())
        .unwrap_or_else(|failure| panic!("{}: {}", case.name, failure.log));
    let mut client = Client::connect(envoy.addr());
    for (index, step) in case.steps.iter().enumerate() {
        for time in 0..step.times {
            one(&mut client, &upstream, step, &format!("{}, step {index}, time {time}", case.name));
        }
    }
    assert_eq!(envoy.log(), "", "{}", case.name);
}

fn one(client: &mut Client, upstream: &Upstream, step: &Step, place: &str) {
    let mut request = Request::new(&step.method, &step.path);
    for (name, value) in step.header_pairs() {
        request = request.header(name, value);
    }
    let response = client.send(&request);
    let got = if response.status == 200 { Expect::Admit } else { Expect::Refuse };
    assert_eq!(got, step.expect, "{place}: {}", response.status);
    let seen = upstream.take_seen();
    for (name, expected) in step.sends.iter().filter(|(name, _)| !ROUTERS.contains(&name.as_str())) {
        assert_eq!(&seen[0].header(name).unwrap_or_default(), expected, "{place}: {name} goes on");
    }
    for (name, expected) in &step.gives {
        assert_eq!(&response.header(name).unwrap_or_default(), expected, "{place}: {name}");
    }
}
