//! The files in `envoy-config/`, which users copy: each boots, and does what its comments say.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tidegate_tests::{eventually, paths, stats, Client, Envoy, FuncE, Load, Options, Request};

/// Ports in the files, for the listener and the admin endpoint.
const PORTS: [u16; 2] = [10_000, 9_901];

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

/// An example as it is, but for its ports: the kernel chooses, so that tests run side by side.
fn on_free_ports(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    PORTS.iter().fold(text, |text, port| {
        let fixed = format!("port_value: {port} ");
        assert_eq!(text.matches(&fixed).count(), 1, "{fixed}in {}", file.display());
        text.replace(&fixed, "port_value: 0 ")
    })
}
