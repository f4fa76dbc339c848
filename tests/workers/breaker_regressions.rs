//! Bugs that were found in review, each with its story and as a claim.

use crate::breaker::{ask, calls, config, end, of, up, Workers};
use std::sync::Arc;
use tidegate_policy::host::Store;
use tidegate_policy::http::{Attribute, Stage};
use tidegate_sim::{SimRequest, SimResponse, SimStore};

fn grpc<'a>() -> SimRequest<'a> {
    up().header("te", b"trailers").header("content-type", b"application/grpc")
}
const BY_KEY: &str = r#"{"key": [{"header": "k"}]}"#;
fn key(name: &str) -> SimRequest<'_> {
    SimRequest::get("/").header("k", name.as_bytes())
}

#[test]
fn a_service_of_long_streams_recovers() {
    let workers = Workers::new(1, &config(""));
    let worker = &workers.all[0];
    assert_eq!(workers.calls("FFFFF"), "+++++");
    let mut now = 0;
    let mut open: Vec<(u64, _)> = Vec::new();
    let mut closed = false;
    for _ in 0..6_000 {
        now += 100;
        workers.at(now);
        // streams end well after 60 s
        let (done, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(|(at, _)| now - at >= 60_000);
        open = rest;
        for (_, exchange) in done {
            let ok =
                SimResponse::none().attribute(Attribute::Details, b"via_upstream").header("grpc-status", "0");
            worker.finish(exchange, &ok);
        }
        let (word, mut exchange) = ask(worker, &grpc());
        if word != '-' {
            worker.respond(&mut exchange, &SimResponse::upstream(200));
            open.push((now, exchange));
        }
        worker.tick();
        closed |= workers.state() == 0;
    }
    assert!(closed, "ten minutes of a well service, and never closed");
}

#[test]
fn made_up_keys_open_no_other_clients_breaker() {
    for flood in [0, 4_096] {
        let workers = Workers::new(1, &of(BY_KEY, ""));
        let worker = &workers.all[0];
        for n in 0..flood {
            calls(worker, &key(&format!("made-up-{n}")), "S");
        }
        // 1 % of the innocent's calls fail.
        let mut said = String::new();
        for round in 0..6 {
            workers.at(round * 1_000);
            for n in 0..flood {
                calls(worker, &key(&format!("made-up-{n}")), "S");
            }
            said += &calls(worker, &key("innocent"), &format!("F{}", "S".repeat(99)));
            worker.tick();
        }
        assert!(!said.contains('-'), "flood {flood}: refused {} of 600", said.matches('-').count());
    }
}

#[test]
fn a_draining_forced_open_does_not_reset_its_successor() {
    let store = Arc::new(SimStore::default());
    let fields = r#""base_open_ms": 60000"#;
    let old = Workers::on(&store, 1, &config(&format!("{fields}, \"state\": \"forced_open\"")));
    old.at(0).tick();
    let new = Workers::on(&store, 1, &config(fields));
    let mut passed = 0;
    for ms in (0..5_000).step_by(10) {
        old.at(ms);
        new.at(ms);
        old.calls("S");
        passed += new.calls("F").matches('+').count();
        if ms % 100 == 0 {
            old.tick();
            new.tick();
        }
    }
    assert!(
        passed <= 10,
        "{passed} of 500 reached a dead upstream through an auto breaker of 5 failures / 60 s open"
    );
}
#[test]
fn another_target_starts_closed() {
    let store = Arc::new(SimStore::default());
    let old = Workers::on(&store, 1, &of(r#"{"cluster": "blue"}"#, ""));
    assert_eq!(calls(&old.all[0], &crate::breaker::to("blue"), "FFFFFS"), "+++++-");
    let new = Workers::on(&store, 1, &of(r#"{"cluster": "green"}"#, ""));
    assert_eq!(calls(&new.all[0], &crate::breaker::to("green"), "S"), "+");
}

#[test]
fn a_breaker_that_becomes_soft_never_stays_open() {
    let store = Arc::new(SimStore::default());
    let old = Workers::on(&store, 1, &config(""));
    assert_eq!(old.calls("FFFFFS"), "+++++-");
    let new = Workers::on(&store, 1, &config(r#""admission": {}"#));
    let (mut passed, mut asked) = (0, 0);
    for second in 1..600 {
        new.at(second * 1_000).tick();
        asked += 10;
        passed += new.calls("FFFFFFFFFF").chars().filter(|c| *c != '-').count();
    }
    assert!(passed * 100 >= asked * 15, "admission refuses at most 80 %, but {passed} of {asked} passed");
}

#[test]
fn the_closed_path_asks_the_store_nothing_between_ticks() {
    let workers = Workers::new(1, &config(""));
    workers.calls("S");
    let mut asked = 0;
    for ms in 1..1_020 {
        workers.at(ms);
        let before = workers.store.calls();
        workers.calls("S");
        asked += workers.store.calls() - before;
        // Envoy re-arms after the callback: a tick each 102 ms.
        if ms % 102 == 0 {
            workers.tick();
        }
    }
    assert_eq!(asked, 0, "store calls in requests of a well upstream in one second");
}

#[test]
fn replies_of_others_do_not_dilute_failures() {
    let workers = Workers::new(1, &config(r#""consecutive_failures": 0, "minimum_calls": 10"#));
    let worker = &workers.all[0];
    workers.calls("FFFFFFFFS");
    workers.at(150).tick();
    assert_eq!(workers.state(), 0);
    for _ in 0..20 {
        let (_, exchange) = ask(worker, &up());
        worker.end(exchange, &SimResponse::local(200, "direct_response", 0));
    }
    assert_eq!((workers.count("succeeded"), workers.count("transitions.failure_rate")), (1, 0));
}

#[test]
fn a_target_without_requests_is_not_listed_for_ever() {
    let workers = Workers::new(1, &of(BY_KEY, r#""consecutive_failures": 1"#));
    for n in 0..300 {
        calls(&workers.all[0], &key(&format!("gone-{n}")), "F");
    }
    workers.at(24 * 3_600_000).tick();
    assert_eq!(workers.count("open"), 0, "a day after the last request for any of them");
}

#[test]
fn a_probe_whose_transition_cannot_be_announced_keeps_its_ticket() {
    let workers = Workers::new(
        1,
        &of(
            BY_KEY,
            r#""consecutive_failures": 1, "half_open_permits": 1, "max_half_open_ms": 0, "base_open_ms": 1000"#,
        ),
    );
    let worker = &workers.all[0];
    assert_eq!(calls(worker, &key("x"), "F"), "+");
    calls(worker, &key("x"), "S");
    workers.at(1_000);
    let cells = worker.stage().cells();
    let name = cells.map(|cell| cell.name).find(|name| !name.ends_with("secret")).unwrap();
    let (bytes, _) = workers.store.load(&name).unwrap().unwrap();
    workers.store.take(&name);
    let (_, exchange) = ask(worker, &key("x"));
    end(worker, exchange, 'S');
    workers.store.put(&name, &bytes);
    workers.at(2_000).tick();
    assert_eq!(calls(worker, &key("x"), "SS"), "++", "its outcome closed the breaker");
}

#[test]
fn capped_counts_only_what_the_cap_prevented() {
    let workers = Workers::attempts(
        1,
        &of(r#"{"endpoint": "up"}"#, r#""consecutive_failures": 0, "minimum_calls": 4"#),
    );
    let worker = &workers.all[0];
    let ten = 10_u64.to_le_bytes();
    let at = up().attribute(Attribute::Endpoint, b"a:1");
    let one = |status| {
        let (w, e) = ask(worker, &at);
        worker.end(e, &SimResponse::upstream(status).attribute(Attribute::Endpoints, &ten));
        w
    };
    for status in [503, 503, 200, 200] {
        one(status);
    }
    workers.at(50).tick();
    assert_eq!(workers.count("capped"), 0);
}

#[test]
fn grpc_without_te_is_the_same_for_all() {
    let said =
        [r#""consecutive_failures": 1"#, r#""consecutive_failures": 1, "match": {"path": {"prefix": "/"}}"#]
            .map(|fields| {
                let workers = Workers::new(1, &config(fields));
                let (_, exchange) = ask(&workers.all[0], &up().header("content-type", b"application/grpc"));
                workers.all[0].end(exchange, &SimResponse::upstream(200).header("grpc-status", "14"));
                workers.calls("S")
            });
    assert_eq!(said[0], said[1]);
}
#[test]
fn a_broken_off_exchange_counts_for_the_state_that_admitted_it() {
    let json = of(
        r#"{"endpoint": "up"}"#,
        r#""consecutive_failures": 3, "base_open_ms": 1000, "half_open_permits": 5"#,
    );
    let store = Arc::new(SimStore::default());
    let attempts = Workers::attempts_on(&store, 1, &json);
    let edge = Workers::on(&store, 1, &json);
    let ten = 10_u64.to_le_bytes();
    let at = || up().attribute(Attribute::Endpoint, b"a:1");
    let answer = |status| SimResponse::upstream(status).attribute(Attribute::Endpoints, &ten);
    let both = |ms| {
        attempts.at(ms);
        edge.at(ms);
    };
    // Four requests in flight that hang.
    let old: Vec<_> = (0..4).map(|_| (ask(&edge.all[0], &up()), ask(&attempts.all[0], &at()))).collect();
    for _ in 0..3 {
        let (_, e) = ask(&attempts.all[0], &at());
        attempts.all[0].end(e, &answer(503));
    }
    both(1_000);
    let (word, probe) = ask(&attempts.all[0], &at());
    assert_eq!(word, 'p');
    attempts.all[0].end(probe, &answer(200));
    // Now the connections of the old ones go.
    both(1_100);
    for ((_, edge_exchange), (_, attempt)) in old {
        let broken =
            SimResponse::local(503, "upstream_reset_before_response_started{connection_termination}", 1 << 6)
                .attribute(Attribute::Cluster, b"up")
                .attribute(Attribute::Endpoint, b"a:1")
                .attribute(Attribute::Endpoints, &ten);
        attempts.all[0].abort(attempt, &SimResponse::none());
        edge.all[0].end(edge_exchange, &broken);
    }
    assert_eq!(edge.count("transitions.probes_failed"), 0, "outcomes of requests admitted before it opened");
}

/// The filter around the attempt gives the permit back; the one at the listener only says that it was slow.
#[test]
fn a_probe_whose_client_leaves_gives_its_permit_back_once() {
    // No permit is renewed in the first 20 s.
    let fields = r#""consecutive_failures": 1, "base_open_ms": 1000, "half_open_permits": 2, "max_half_open_ms": 600000"#;
    let json = of(r#"{"endpoint": "up"}"#, fields);
    let store = Arc::<SimStore>::default();
    let (edge, attempts) = (Workers::on(&store, 1, &json), Workers::attempts_on(&store, 1, &json));
    let ask_attempt = || ask(&attempts.all[0], &up().attribute(Attribute::Endpoint, b"a:1"));
    let (_, first) = ask_attempt();
    let ten = 10_u64.to_le_bytes();
    attempts.all[0].end(first, &SimResponse::upstream(503).attribute(Attribute::Endpoints, &ten));
    edge.at(1_000);
    attempts.at(1_000);
    let (_, call) = ask(&edge.all[0], &up());
    let (one, attempt) = ask_attempt();
    let (two, _in_flight) = ask_attempt();
    edge.at(3_001);
    attempts.at(3_001);
    attempts.all[0].abort(attempt, &SimResponse::none());
    let (three, _also) = ask_attempt();
    let gone = SimResponse::none()
        .attribute(Attribute::Flags, &(1_u64 << 14).to_le_bytes())
        .attribute(Attribute::Cluster, b"up")
        .attribute(Attribute::Endpoint, b"a:1")
        .attribute(Attribute::Endpoints, &ten);
    edge.all[0].abort(call, &gone);
    assert_eq!((edge.count("slow"), attempts.count("ignored")), (1, 1));
    assert_eq!([one, two, three, ask_attempt().0], ['p', 'p', 'p', '-']);
}
