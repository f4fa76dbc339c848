//! What a snapshot says of its endpoints, and how a new one affects requests in flight.

use tidegate_policy::discovery::cells::snapshot::{decode, Snapshot};
use tidegate_policy::discovery::endpoint::Health;
use tidegate_policy::host::Store;
use tidegate_sim::{SimRequest, SimResponse, SimStore};

use crate::discovery::{
    answer, attempts, config, header, outcome, polled, question, reached, word, Workers, STEER,
};
use tidegate_policy::http::{Attribute, Verdict};

/// An hour: when the simulation starts.
const START: u64 = 3_600_000;

fn snapshot(store: &SimStore) -> Snapshot {
    let name = store.names().into_iter().find(|name| name.starts_with("tidegate/d1s") && name.len() > 20);
    let name = name.expect("a cell");
    let (bytes, _) = store.load(&name).unwrap().unwrap();
    decode(&bytes, u64::from_str_radix(&name["tidegate/d1s".len()..], 16).unwrap()).expect("a snapshot")
}

/// Last byte of the address, and since when it is in good health, in seconds of the simulation; `-`
/// for longer than anybody remembers.
fn ages(store: &SimStore) -> String {
    let age = |ms: u64| if ms == 0 { "-".to_owned() } else { ((ms - START) / 1_000).to_string() };
    let entries = snapshot(store).entries;
    let one = |e: &tidegate_policy::discovery::cells::snapshot::Entry| {
        let address = e.endpoint.address.to_string();
        format!("{}:{}", address.rsplit('.').next().unwrap_or_default(), age(e.since_ms))
    };
    entries.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Slow starts are for endpoints that are new, not for those of a proxy that is.
#[test]
fn an_endpoint_keeps_its_age_until_it_is_new_to_the_registry() {
    let json = polled(r#""ttl_ms": 1000, "flap_damping": false"#, "");
    let workers = Workers::knowing(1, &json, &["10.0.0.1:80", "10.0.0.2:80"]);
    assert_eq!(ages(&workers.store), "1:- 2:-", "there before us");
    let says = |workers: &Workers, at: u64, list: &[&str]| {
        workers.run(at * 1_000, at * 1_000 + 4_900, &mut |_, question| Some(answer(question, 10, list)));
        ages(&workers.store).split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let three = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
    let now = says(&workers, 10, &three);
    assert_eq!(
        (now[0].as_str(), now[1].as_str(), now[2].starts_with("3:1")),
        ("1:-", "2:-", true),
        "{now:?}"
    );
    // It falls ill, and is well again: it starts anew.
    let ill = says(&workers, 20, &["10.0.0.1:80", "10.0.0.2:80 critical", "10.0.0.3:80"]);
    assert_eq!((ill[0].as_str(), &ill[2]), ("1:-", &now[2]));
    let well = says(&workers, 30, &three);
    assert!(well[1].starts_with("2:3"), "{well:?}");
    assert_eq!((&well[0], &well[2]), (&now[0], &now[2]));
    // Another worker queries, and remembers the same.
    let others = Workers::on(&workers.store, 1, &json);
    assert_eq!(says(&others, 60, &three), well);
}

#[test]
fn an_endpoint_in_maintenance_gets_no_requests_unless_all_are() {
    let drains = r#"{"CheckID": "_service_maintenance:x", "Status": "critical"}"#;
    let instance = |n: u8, check: &str| {
        format!(r#"{{"Service": {{"ID": "{n}", "Address": "10.0.0.{n}", "Port": 80}}, "Checks": [{check}]}}"#)
    };
    let workers = Workers::new(1, &polled(r#""ttl_ms": 1000"#, ""));
    let worker = &workers.all[0];
    for (at, checks, expected) in [(0, ["", drains], "1"), (5_000, [drains, drains], "1 2")] {
        workers.at(at).tick();
        let asked = question(worker);
        let body = format!("[{}, {}]", instance(1, checks[0]), instance(2, checks[1]));
        worker.answer(&asked.answer(200).body(body.as_bytes()));
        assert_eq!(reached(worker), expected);
        assert!(snapshot(&workers.store).entries.iter().any(|e| e.endpoint.health == Health::Draining));
    }
}

/// A request in flight goes on among the endpoints that there are by then, and what became of its earlier
/// attempts is put down to their own endpoints.
#[test]
fn a_request_in_flight_goes_on_among_the_endpoints_of_the_newest_answer() {
    let json = config("", r#""attempts": 3, "outlier_detection": {"consecutive_5xx": 1}"#);
    let workers = Workers::knowing(1, &json, &["10.0.0.1:80", "10.0.0.2:80"]);
    let edge = &workers.all[0];
    let around = attempts(edge, &json);
    let (verdict, exchange) = edge.begin(&SimRequest::get("/"));
    let (first, state) = (word(&verdict), outcome(edge, &exchange));
    edge.answer(&answer(&question(edge), 11, &["10.0.0.3:80", "10.0.0.4:80"]));
    assert_eq!(reached(edge), "3 4");
    let request = SimRequest::get("/").attribute(Attribute::Discovered, state.as_bytes());
    let (verdict, attempt) = around.begin(&request);
    let Verdict::Continue(edits) = verdict else { panic!("refused") };
    let second = header(&edits, STEER).expect("another endpoint");
    assert!(["10.0.0.3:80", "10.0.0.4:80"].contains(&second), "{first}, then {second}");
    around.end(attempt, &SimResponse::upstream(503));
    let (_, attempt) = around.begin(&request);
    around.end(attempt, &SimResponse::upstream(200));
    edge.end(exchange, &SimResponse::upstream(200));
    // The endpoint that failed is not mistaken for another.
    assert_eq!((reached(edge).as_str(), workers.memory()), ("3 4", 0));
    // What changes all the time is not followed all the time.
    workers.at(100).tick();
    edge.answer(&answer(&question(edge), 12, &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]));
    let left = if first == "10.0.0.1:80" { "2 3" } else { "1 3" };
    assert_eq!(reached(edge), left, "{first} failed and is ejected");
}

/// What a worker remembers of an endpoint is the endpoint's, wherever it stands in the next snapshot.
#[test]
fn consecutive_failures_outlive_a_snapshot() {
    let workers = Workers::knowing(1, &config("", ""), &["10.0.0.5:80"]);
    let worker = &workers.all[0];
    let fail = |times: usize| {
        for _ in 0..times {
            let (verdict, exchange) = worker.begin(&SimRequest::get("/"));
            let status = if word(&verdict) == "10.0.0.5:80" { 503 } else { 200 };
            worker.end(exchange, &SimResponse::upstream(status));
        }
    };
    fail(4);
    let before = workers.changes();
    let four = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.5:80", "10.0.0.9:80"];
    worker.answer(&answer(&question(worker), 11, &four));
    fail(8);
    assert_eq!((reached(worker).as_str(), workers.changes()), ("1 2 9", before + 2), "the fifth failure");
}
