//! `tidegate simulate`.

use serde_json::Value;

use super::{fed, tidegate};

fn json(args: &[&str], input: &str) -> Value {
    let ran = fed(&[&["simulate", "--json"], args].concat(), input);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    serde_json::from_str(&ran.out).unwrap()
}

const LIMITS: &str = "tools/tidegate/tests/files/limits.yaml";

/// Lines of a log in which one client sends as often as that, and another one once.
fn log(count: u64, each_ms: u64) -> String {
    let line = |ms: u64, from: &str| {
        let (minute, second) = (ms / 60_000, ms / 1_000 % 60);
        format!(
            r#"{{"start_time":"2026-11-30T08:{minute:02}:{second:02}.{:03}Z","method":"GET","path":"/","response_code":200,"duration":3,"downstream_remote_address":"{from}:9"}}"#,
            ms % 1_000
        ) + "\n"
    };
    let lines = (0..count).map(|n| line(n * each_ms, "203.0.113.7"));
    lines.chain([line(count * each_ms, "198.51.100.1")]).collect()
}

#[test]
fn a_limit_admits_its_burst_and_its_rate_of_a_log() {
    // 20 a second for 30 s: 5 at once, and 2 a second.
    let told = json(&[LIMITS, "--log", "-"], &log(600, 50));
    assert_eq!(told["requests"], 601);
    assert_eq!(told["outcomes"]["passed"], 5 + 2 * 30 - 1 + 1);
    assert_eq!(told["limited"][0]["who"], "203.0.113.7");
    assert_eq!(told["limited"].as_array().map(Vec::len), Some(1));
    let counts = told["series"]["counts"].as_array().unwrap().iter();
    let sum = |kind: &str| counts.clone().map(|part| part[kind].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("passed") + sum("limited") + sum("answered"), 601);
    assert_eq!(told["metrics"]["tidegate.ratelimit.limit.per-address.admitted"], 65);
}

#[test]
fn lines_that_are_no_request_are_told() {
    let text = format!("nonsense\n{}[half", log(3, 10));
    assert_eq!(json(&[LIMITS, "--log", "-"], &text)["skipped_lines"], 2);
    let ran = fed(&["simulate", LIMITS, "--log", "-"], "nonsense\n");
    assert!(ran.code == 2 && ran.err.contains("nonsense"), "{}", ran.err);
    assert_eq!(fed(&["simulate", LIMITS, "--log", "no-such-file"], "").code, 2);
}

#[test]
fn a_breaker_opens_in_an_outage_and_closes_after_it() {
    let args = ["envoy-config/breaker.yaml", "--rate", "50", "--duration", "60s", "--outage", "10s..20s"];
    let told = json(&args, "");
    let log: Vec<&str> = told["log"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(log.iter().any(|line| line.starts_with("checkout: closed -> open")), "{log:?}");
    assert!(log.iter().any(|line| line.starts_with("checkout: half_open -> closed")), "{log:?}");
    assert!(
        told["clusters"]["checkout-backup"].as_u64().unwrap() > 0
            || told["outcomes"].as_object().unwrap().len() > 1
    );
    // The same seed, the same load; another one, another.
    assert_eq!(json(&args, "")["outcomes"], told["outcomes"]);
    assert_ne!(json(&[&args[..], &["--seed", "2"]].concat(), "")["requests"], told["requests"]);
}

#[test]
fn a_split_is_as_its_weights_say() {
    let args = [
        "envoy-config/chain.yaml",
        "--rate",
        "40",
        "--duration",
        "50s",
        "-r",
        "GET /checkout",
        "-H",
        "x-user: {count}",
    ];
    let told = json(&args, "");
    let of = |variant: &str| told["variants"][variant].as_f64().unwrap();
    let share = of("checkout/canary") / (of("checkout/canary") + of("checkout/stable"));
    // The ramp goes to its first step, 20 %, at once.
    assert!((0.15..0.25).contains(&share), "{share}");
}

#[test]
fn an_endpoint_that_is_down_is_ejected() {
    let orders = "tools/tidegate/tests/files/orders.yaml";
    let args = [orders, "--rate", "50", "--duration", "30s", "-r", "GET /orders"];
    let well = json(&args, "");
    let broken = json(&[&args[..], &["--down", "10.0.0.2:80"]].concat(), "");
    let of = |told: &Value, n: u8| told["endpoints"][format!("orders 10.0.0.{n}:80")].as_u64().unwrap_or(0);
    assert!(of(&well, 2) > 400 && of(&broken, 2) < 100, "{} and {}", well["endpoints"], broken["endpoints"]);
    assert!(broken["metrics"]["tidegate.discovery.service.orders.ejections"].as_u64() > Some(0));
    let text = tidegate(&[&["simulate"], &args[..], &["--down", "10.0.0.2:80"]].concat()).out;
    assert!(text.contains("ejections: "), "{text}");
}

#[test]
fn a_picture_is_written() {
    let path = std::env::temp_dir().join(format!("tidegate-simulate-{}.svg", std::process::id()));
    let ran = tidegate(&["simulate", LIMITS, "--duration", "10s", "--svg", &path.display().to_string()]);
    let picture = std::fs::read_to_string(&path);
    _ = std::fs::remove_file(&path);
    assert!(ran.code == 0 && picture.unwrap().contains("refused by a limit"));
}

#[test]
fn what_cannot_be_simulated_is_said() {
    for args in [
        ["--rate", "-1"],
        ["--rate", "0"],
        ["--duration", "soon"],
        ["--outage", "5s"],
        ["--outage", "30s..20s"],
        ["--error-percent", "101"],
        ["--error-percent", "NaN"],
        ["--down", "10.9.9.9:80"],
        ["--latency", "x"],
    ] {
        let [name, value] = args;
        let ran = tidegate(&["simulate", LIMITS, &format!("{name}={value}")]);
        assert!(ran.code == 2 && !ran.err.is_empty(), "{name}");
    }
}

#[test]
fn an_endpoint_that_nobody_has_is_no_endpoint() {
    let ran = tidegate(&["simulate", "tools/tidegate/tests/files/orders.yaml", "--down", "10.0.0.2:81"]);
    assert!(ran.code == 2 && ran.err.contains("10.0.0.2:80"), "{}", ran.err);
}

#[test]
fn help_has_whole_sentences() {
    let help = tidegate(&["simulate", "--help"]).out;
    let words: Vec<&str> = help.split_whitespace().collect();
    assert!(words.join(" ").contains("{client} and {count} are numbers"), "{help}");
}
