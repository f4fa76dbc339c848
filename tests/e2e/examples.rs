//! The files in `envoy-config/`, which users copy: each boots, and does what its comments say.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tidegate_tests::{eventually, paths, stats, Client, Envoy, FuncE, Load, Options, Port, Request};

/// Ports in the files, for the listener and the admin endpoint.
const PORTS: [u16; 2] = [10_000, 9_901];
/// Ports of servers that some of them bring along.
const SERVERS: std::ops::RangeInclusive<u16> = 10_001..=10_009;

#[test]
fn every_example_boots_without_a_warning() {
    let files = examples();
    assert!(!files.is_empty());
    for file in files {
        let envoy = Envoy::start(&on_free_ports(&file), &Options::workers(2)).unwrap();
        // A ramp begins at once, and says so.
        let log = envoy.log();
        let warnings: Vec<_> = log.lines().filter(|line| !line.contains(": ramp advanced: ")).collect();
        assert_eq!(warnings, [""; 0], "{}", file.display());
    }
}

// === ratelimit.yaml ===

#[test]
fn ratelimit_admits_a_burst_and_refuses_with_the_reason() {
    let envoy = ratelimit();
    let mut client = Client::connect(envoy.addr());
    let statuses: Vec<u16> = (0..15).map(|_| client.get("/api?secret", &[]).status).collect();
    assert_eq!(statuses[..10], [200; 10]);
    assert!(statuses.contains(&429), "{statuses:?}");

    let refused = eventually("a refusal", Duration::from_secs(5), || {
        let response = client.get("/api", &[]);
        (response.status == 429).then_some(response)
    });
    assert_eq!(refused.header("retry-after").as_deref(), Some("1"));
    assert_eq!(refused.header("content-type").as_deref(), Some("application/problem+json"));
    let limits = refused.header("ratelimit").unwrap();
    assert!(limits.contains(r#""per-client";r=0;t=1"#), "{limits}");
    assert!(refused.text().contains(r#""violated-policies":["per-client"]"#), "{}", refused.text());
    assert_eq!(client.get("/api", &[("x-api-key", "me")]).status, 200);

    eventually("the access log", Duration::from_secs(5), || {
        let log = envoy.access_log();
        log.contains(" 127.0.0.1 GET /api 200 direct_response -\n")
            && log.contains(
                " 127.0.0.1 GET /api 429 tidegate_ratelimit_refused:per-client refused:per-client\n",
            )
    });
    assert!(!envoy.access_log().contains("secret"));
}

#[test]
fn ratelimit_never_limits_healthz() {
    let envoy = ratelimit();
    let report = Load::new(envoy.addr()).requests(500).repeat(&Request::get("/healthz"));
    assert_eq!(report.count(200), 500);
    eventually("the access log", Duration::from_secs(5), || {
        envoy.access_log().matches("GET /healthz 200 direct_response -\n").count() == 500
    });
}

#[test]
fn ratelimit_holds_one_address_whatever_its_keys() {
    let envoy = ratelimit();
    let report = Load::new(envoy.addr()).requests(200).run(|_, number, out| {
        out.extend_from_slice(&Request::get("/api").header("x-api-key", number.to_string()).bytes());
    });
    let most = 41 + 20 * (report.elapsed.as_secs() + 1);
    let admitted = report.count(200);
    assert!((40..=most).contains(&admitted), "{admitted} admitted in {:?}", report.elapsed);
    assert_eq!(report.count(429), 200 - admitted);
}

#[test]
fn ratelimit_slows_guessing_down_to_one_in_twelve_seconds() {
    let envoy = ratelimit();
    let mut client = Client::connect(envoy.addr());
    let mut guess = || client.send(&Request::new("POST", "/login").body("password"));
    assert_eq!([(); 5].map(|()| guess().status), [401; 5]);
    let refused = guess();
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((9..=12).contains(&wait), "{wait}");
    assert_eq!(client.get("/login", &[]).status, 401, "GET is no guess");
}

#[test]
fn ratelimit_labels_its_counters_and_only_observes_the_total() {
    let envoy = ratelimit();
    for last in 2..7 {
        let source = Ipv4Addr::new(127, 0, 0, last);
        let report = Load::new(envoy.addr()).sources([source]).requests(36).repeat(&Request::get("/"));
        assert_eq!(report.count(200), 36);
    }
    let labelled = |family: &str, limit: &str| {
        let samples = stats::family(&envoy.prometheus(), family);
        let sample = samples.into_iter().find(|s| s.labels.len() == 1 && s.labels["limit"] == limit);
        sample.map(|sample| sample.value)
    };
    eventually("the counters", Duration::from_secs(5), || {
        labelled("tidegate_ratelimit_admitted", "per-address") == Some(180.0)
            && labelled("tidegate_ratelimit_refused", "total") == Some(0.0)
            && labelled("tidegate_ratelimit_observed", "total") > Some(0.0)
    });
}

#[test]
fn ratelimit_knows_one_spelling_of_a_path() {
    let envoy = ratelimit();
    let mut client = Client::connect(envoy.addr());
    let api = "hello from the API\n";
    #[rustfmt::skip]
    let cases = [
        // path            status  body
        ("/api",            200,    api),
        ("/api/v1",         200,    api),
        ("//api",           200,    api),
        ("/x/../api",       200,    api),
        ("/x/..%2fapi",     307,    ""),
        ("/apis",           200,    "hello\n"),
    ];
    for (path, status, body) in cases {
        let response = client.get(path, &[]);
        assert_eq!((response.status, response.text().as_str()), (status, body), "{path}");
    }
    assert_eq!(client.get("/api", &[("x_api_key", "me")]).status, 400);
}

#[test]
fn func_e_runs_the_ratelimit_example() {
    let file = PathBuf::from("envoy-config/ratelimit.yaml");
    let dir = TempDir::with_prefix("tidegate-").unwrap();
    let copy = dir.path().join("ratelimit.yaml");
    fs::write(&copy, on_free_ports(&paths::root().join(&file))).unwrap();
    let free = PORTS.iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());

    let func_e = FuncE::run(if free { &file } else { &copy });
    let pids = func_e.pids();
    let addr = func_e.admin().listeners()[0].1;
    assert!(!free || addr.port() == PORTS[0]);
    let report = Load::new(addr).requests(200).repeat(&Request::get("/api"));
    assert!(report.count(200) >= 10 && report.count(429) > 0, "{:?}", report.by_status());

    drop(func_e);
    assert_eq!(pids.len(), 2, "func-e and Envoy");
    eventually("the end of func-e and Envoy", Duration::from_secs(5), || {
        !pids.iter().any(|pid| Path::new("/proc").join(pid.to_string()).exists())
    });
}

fn ratelimit() -> Envoy {
    let file = paths::root().join("envoy-config/ratelimit.yaml");
    Envoy::start(&on_free_ports(&file), &Options::workers(2)).unwrap()
}

/// The examples, in the order of their names.
fn examples() -> Vec<PathBuf> {
    let dir = fs::read_dir(paths::root().join("envoy-config")).unwrap();
    let files = dir.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}

// === discovery.yaml ===

#[test]
fn discovery_finds_endpoints_in_the_file_and_in_consul() {
    let envoy = discovery();
    let mut client = Client::connect(envoy.addr());
    assert_eq!(client.get("/checkout", &[]).text(), "one\n");
    // Until Consul has answered, what stands in the file stands in for it.
    eventually("what Consul says", Duration::from_secs(5), || client.get("/orders/7", &[]).text() == "two\n");
    let none = client.get("/cart", &[]);
    assert_eq!((none.status, none.text().as_str()), (404, "no such service\n"));
    eventually("the counters", Duration::from_secs(5), || {
        labelled(&envoy, "tidegate_discovery_requests", "service", "checkout") == Some(1.0)
            && labelled(&envoy, "tidegate_discovery_requests", "service", "orders") >= Some(1.0)
            && labelled(&envoy, "tidegate_discovery_queries", "registry", "main") >= Some(1.0)
    });
    eventually("the access log", Duration::from_secs(5), || {
        let log = envoy.access_log();
        let line = |start: &str| log.lines().any(|line| line.contains(start));
        line(" GET /checkout 200 127.0.0.1:")
            && line(" via_upstream checkout 127.0.0.1:")
            && line(" GET /cart 404 - direct_response -")
    });
}

#[test]
fn discovery_avoids_a_dead_endpoint_and_no_client_sees_an_error() {
    let envoy = discovery();
    for _ in 0..4 {
        let report = Load::new(envoy.addr()).requests(20).repeat(&Request::get("/checkout"));
        assert_eq!(report.count(200), 20, "{:?}", report.by_status());
    }
    eventually("the counters", Duration::from_secs(5), || {
        let value = |family: &str| labelled(&envoy, family, "service", "checkout");
        value("tidegate_discovery_ejections") == Some(0.0)
            && value("tidegate_discovery_requests") == Some(80.0)
            && value("tidegate_discovery_failures").is_some_and(|n| (1.0..=9.0).contains(&n))
    });
    // The test has other ports than the file.
    let line = " refused a connection and is a last resort for 1000 ms";
    assert!(envoy.log().contains(line), "{}", envoy.log());
}

#[test]
fn discovery_lets_no_client_name_an_endpoint() {
    let envoy = discovery();
    let mut client = Client::connect(envoy.addr());
    let admin = envoy.admin().addr().to_string();
    for path in ["/checkout", "/orders"] {
        let answer = client.get(path, &[("x-envoy-original-dst-host", &admin)]).text();
        assert!(answer == "one\n" || answer == "two\n", "{path}: {answer}");
    }
    assert_eq!(client.get("/stats", &[("x-envoy-original-dst-host", &admin)]).status, 404);
    assert_eq!(client.get("/checkout", &[("x_envoy_original_dst_host", &admin)]).status, 400);
}

fn discovery() -> Envoy {
    let file = paths::root().join("envoy-config/discovery.yaml");
    Envoy::start(&on_free_ports(&file), &Options::workers(2)).unwrap()
}

/// The sample of a family whose only label this is.
fn labelled(envoy: &Envoy, family: &str, label: &str, value: &str) -> Option<f64> {
    let samples = stats::family(&envoy.prometheus(), family);
    let of = |sample: &stats::Sample| {
        sample.labels.len() == 1 && sample.labels.get(label).is_some_and(|v| v == value)
    };
    samples.into_iter().find(of).map(|sample| sample.value)
}

// === chain.yaml and fused.yaml ===

/// What the comments of both say, one after the other.
#[test]
fn one_module_and_a_chain_of_four_do_the_same() {
    for name in ["chain.yaml", "fused.yaml"] {
        let file = paths::root().join("envoy-config").join(name);
        let envoy = Envoy::start(&on_free_ports(&file), &Options::workers(2)).unwrap();
        let mut client = Client::connect(envoy.addr());
        let canary = [("x-force-variant", "canary")];
        let failing = [("x-fail", "yes"), ("x-force-variant", "canary")];
        assert_eq!(client.get("/checkout", &canary).text(), "checkout-v2\n", "{name}");
        for _ in 0..5 {
            assert_eq!(client.get("/checkout", &failing).text(), "checkout-v2 failed\n", "{name}");
        }
        assert_eq!(client.get("/checkout", &canary).text(), "checkout-v1\n", "{name}: it fell back");
        for _ in 0..8 {
            let response = client.get("/orders/7", &[]);
            assert_eq!((response.status, response.text().as_str()), (200, "orders\n"), "{name}");
        }
        eventually("the counters", Duration::from_secs(5), || {
            labelled(&envoy, "tidegate_breaker_fell_back", "breaker", "checkout-v2") == Some(1.0)
                && labelled(&envoy, "tidegate_ratelimit_admitted", "limit", "per-address") == Some(15.0)
                && labelled(&envoy, "tidegate_discovery_requests", "service", "orders") == Some(8.0)
                && labelled(&envoy, "tidegate_discovery_attempts_unmatched", "service", "orders").is_none()
        });
        eventually("the access log", Duration::from_secs(5), || {
            let log = envoy.access_log();
            log.contains(" /checkout 200 checkout-v1 ")
                && log.contains(" fallback:checkout-v2 -\n")
                && log.contains(" /orders/7 200 discovered ")
                && log.contains(" orders 127.0.0.1:")
        });
        let log = envoy.log();
        for line in
            ["ramp aborted", "refused a connection and is a last resort", "checkout-v2: closed -> open"]
        {
            eventually(line, Duration::from_secs(10), || envoy.log().contains(line));
        }
        assert!(!log.contains("panicked"), "{name}: {log}");
    }
}

/// An example as it is, but for its ports: the kernel chooses, so that tests run side by side.
fn on_free_ports(file: &Path) -> String {
    // Ports of the kernel's choice are not in a row.
    let text = fs::read_to_string(file).unwrap().replace("10001-10003", "1-65535");
    // Nobody else gets these while tests run.
    let free = || Box::leak(Box::new(Port::reserve())).addr().port().to_string();
    let text = SERVERS.map(|port| port.to_string()).fold(text, |text, port| match text.contains(&port) {
        true => text.replace(&port, &free()),
        false => text,
    });
    PORTS.iter().fold(text, |text, port| {
        let fixed = format!("port_value: {port} ");
        assert_eq!(text.matches(&fixed).count(), 1, "{fixed}in {}", file.display());
        text.replace(&fixed, "port_value: 0 ")
    })
}
