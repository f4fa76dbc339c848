//! How often the store is called, and what requests get when it does not answer.

use tidegate_policy::breaker::stage::CircuitBreaker;
use tidegate_policy::http::{Stage, Verdict};
use tidegate_sim::SimRequest;

use crate::breaker::{ask, calls, config, end, of, reply, up, Workers};

const BY_KEY: &str = r#"{"key": [{"header": "k"}]}"#;

/// Store calls of this many good exchanges between two ticks.
fn store_calls(workers: &Workers, exchanges: usize) -> u64 {
    let before = workers.store.calls();
    assert_eq!(workers.calls(&"S".repeat(exchanges)), "+".repeat(exchanges));
    workers.store.calls() - before
}

#[test]
fn a_closed_breaker_asks_the_store_nothing() {
    for fields in ["", r#""minimum_calls": 1"#, r#""admission": {}"#] {
        let workers = Workers::new(1, &config(fields));
        // The first exchange reads the record, and merges its success at once.
        store_calls(&workers, 1);
        assert_eq!(store_calls(workers.at(99), 10_000), 0, "{fields}");
    }
}

#[test]
fn successes_are_merged_ten_times_a_second() {
    let workers = Workers::new(1, &config(""));
    store_calls(&workers, 1);
    let before = workers.store.calls();
    for ms in 0..1_000 {
        workers.at(ms);
        assert_eq!(workers.calls("SSS"), "+++");
        if ms % 100 == 0 {
            workers.tick();
        }
    }
    // A tick reads the record, and a flush reads and writes it.
    let asked = workers.store.calls() - before;
    assert!(asked <= 10 * (2 + 2 * 2), "{asked} calls a second");
}

#[test]
fn healthy_keys_get_no_record() {
    let workers = Workers::new(1, &of(BY_KEY, ""));
    let names: Vec<String> = (0..3_000).map(|n| n.to_string()).collect();
    calls(&workers.all[0], &SimRequest::get("/").header("k", b"first"), "S");
    let before = workers.store.calls();
    for name in &names {
        let request = SimRequest::get("/").header("k", name.as_bytes());
        assert_eq!(calls(&workers.all[0], &request, "SSS"), "+++");
    }
    assert_eq!(workers.store.calls(), before);
    workers.tick();
    assert_eq!(workers.store.calls(), before + 1, "a tick reads the index");
}

/// More keys than a worker keeps counts of.
#[test]
fn keys_beyond_a_workers_entries_still_open() {
    let workers = Workers::new(1, &of(BY_KEY, r#""consecutive_failures": 2"#));
    let names: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
    for name in &names {
        assert_eq!(calls(&workers.all[0], &SimRequest::get("/").header("k", name.as_bytes()), "S"), "+");
    }
    assert_eq!(workers.count("untracked"), 5_000 - 4_096);
    let last = SimRequest::get("/").header("k", b"last");
    assert_eq!(calls(&workers.all[0], &last, "FFSS"), "++--");
    assert_eq!(calls(workers.at(5_000).all.first().unwrap(), &last, "SSSSSS"), "ppppp+");
}

#[test]
fn an_open_breaker_asks_the_store_nothing() {
    let workers = Workers::new(1, &config(r#""consecutive_failures": 1"#));
    assert_eq!(workers.calls("FS"), "+-");
    let before = workers.store.calls();
    assert_eq!(workers.at(4_999).calls(&"S".repeat(1_000)), "-".repeat(1_000));
    assert_eq!(workers.store.calls(), before);
}

#[test]
fn a_broken_store_admits_unless_on_failure_refuses() {
    for (on_failure, passes) in [("allow", true), ("refuse", false)] {
        let json = format!(
            r#"{{"on_failure": "{on_failure}", "breakers": [{{"name": "a", "target": {{"cluster": "up"}}}}]}}"#
        );
        let workers = Workers::new(1, &json);
        workers.store.set_broken(true);
        let (verdict, exchange) = workers.all[0].begin(&up());
        assert_eq!(workers.count("undecided"), 1, "{on_failure}");
        if passes {
            assert_eq!(verdict, Verdict::Continue(Vec::new()));
            end(&workers.all[0], exchange, 'F');
        } else {
            let refused = reply(verdict);
            assert_eq!((refused.status, refused.grpc_status), (503, 14));
            assert_eq!(refused.details, "tidegate_breaker_undecided");
            assert!(refused.headers.contains(&("retry-after".to_owned(), "1".to_owned())));
        }
        workers.store.set_broken(false);
        assert_eq!(workers.calls("FFFFFS"), "+++++-", "{on_failure}: and works again");
    }
}

#[test]
fn a_closed_breaker_does_not_notice_a_broken_store() {
    let workers = Workers::new(1, &config(r#""consecutive_failures": 2"#));
    workers.calls("S");
    workers.store.set_broken(true);
    assert_eq!(workers.calls("SSSSS"), "+++++");
    assert_eq!(workers.count("undecided"), 0);
    // Failures cannot be merged now; they are when the store is back.
    assert_eq!(workers.calls("FF"), "++");
    assert!(workers.count("undecided") > 0);
    workers.tick();
    workers.store.set_broken(false);
    workers.at(100).tick();
    assert_eq!(workers.calls("S"), "-");
}

#[test]
fn an_undecided_request_gives_back_the_permits_of_others() {
    let json = r#"{"on_failure": "refuse", "breakers": [
        {"name": "a", "target": {"cluster": "up"}, "consecutive_failures": 1, "base_open_ms": 1000, "jitter_percent": 0,
         "half_open_permits": 1},
        {"name": "k", "target": {"key": [{"header": "k"}]}}]}"#;
    let workers = Workers::new(1, json);
    let worker = &workers.all[0];
    assert_eq!(workers.calls("F"), "+");
    workers.at(1_000);
    // The table's index is not a cell any more, so that the second breaker cannot decide.
    let index = worker.stage().cells().map(|cell| cell.name).nth(1).unwrap();
    let (bytes, _) = tidegate_policy::host::Store::load(&*workers.store, &index).unwrap().unwrap();
    workers.store.take(&index);
    let (verdict, exchange) = worker.begin(&up().header("k", b"x"));
    assert_eq!(reply(verdict).details, "tidegate_breaker_undecided");
    assert_eq!(worker.outcome(&exchange).as_deref(), Some("undecided:k"), "it was no probe in the end");
    workers.store.put(&index, &bytes);
    assert_eq!((workers.count("probes"), workers.calls("SS")), (1, "p+".to_owned()));
}

#[test]
fn rubbish_in_a_cell_is_a_closed_breaker() {
    for json in [config(r#""consecutive_failures": 1"#), of(BY_KEY, r#""consecutive_failures": 1"#)] {
        let workers = Workers::new(1, &json);
        let request = up().header("k", b"x");
        assert_eq!(calls(&workers.all[0], &request, "FS"), "+-");
        for name in workers.store.names().iter().filter(|name| !name.ends_with("secret")) {
            workers.store.put(name, b"rubbish");
        }
        workers.at(100).tick();
        let (word, exchange) = ask(&workers.all[0], &request);
        assert_eq!(word, '+', "{json}");
        end(&workers.all[0], exchange, 'S');
    }
}

#[test]
fn the_filter_asks_for_all_headers_only_when_it_must() {
    #[rustfmt::skip]
    let cases = [
        (r#"{"cluster": "up"}"#,                      "",                                 false),
        (r#"{"route": "up"}"#,                        "",                                 false),
        (r#"{"key": [{"constant": "x"}]}"#,           "",                                 false),
        (r#"{"key": [{"header": "k"}]}"#,             "",                                 true),
        (r#"{"cluster": "up"}"#,                      r#""match": {"method": "GET"}"#,    true),
    ];
    for (target, fields, expected) in cases {
        let workers = Workers::new(1, &of(target, fields));
        let reads = <CircuitBreaker as Stage>::reads_headers(workers.all[0].stage());
        assert_eq!(reads, expected, "{target} {fields}");
    }
}
