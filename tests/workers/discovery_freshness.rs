//! How long an answer of a registry serves, and what happens when the registry fails.

use std::sync::Arc;

use crate::discovery::{answer, config, of, polled, question, reached, sent, Workers};

const ONE: [&str; 1] = ["10.0.0.1:80"];

/// Fresh for 10 s, stale for 60 s more or, while the registry fails, for as long as this.
fn failing(stale_if_error_ms: u64, more: &str) -> String {
    polled(&format!(r#""stale_if_error_ms": {stale_if_error_ms}{more}"#), "")
}

/// When requests are refused for the first time, in a registry's outage that begins after 0.
fn outage(json: &str, to: u64) -> (Option<u64>, Workers) {
    let workers = Workers::knowing(2, json, &ONE);
    for ms in (100..=to).step_by(100) {
        workers.run(ms, ms, &mut |_, question| Some(question.answer(500)));
        let words = [0, 1].map(|at: usize| sent(&workers.all[at]));
        if words != ["10.0.0.1:80", "10.0.0.1:80"] {
            assert_eq!(words, ["503 expired", "503 expired"], "at {ms}");
            return (Some(ms), workers);
        }
    }
    (None, workers)
}

#[test]
fn the_last_answer_serves_an_outage_until_it_expires() {
    #[rustfmt::skip]
    let cases = [
        // stale if error  gone at (ms)
        (100_000,          110_000),
        (0,                70_000),     // stale while revalidating is longer
        (60_000,           70_000),
    ];
    for (stale, expected) in cases {
        let (gone, workers) = outage(&failing(stale, ""), 200_000);
        let gone = gone.expect("it serves for ever");
        // The lease may have to change hands first.
        assert!((expected..=expected + 1_200).contains(&gone), "stale for {stale}: gone at {gone}");
        let said: Vec<_> =
            workers.notes().into_iter().filter(|line| line.contains("counts no longer")).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(workers.count("endpoints"), 0);
    }
}

#[test]
fn the_last_answer_serves_any_outage_when_configured() {
    let (gone, workers) = outage(&failing(0, r#", "serve_forever": true"#), 300_000);
    assert_eq!(gone, None);
    workers.at(30 * 86_400_000);
    assert_eq!(sent(&workers.all[1]), "10.0.0.1:80");
}

#[test]
fn a_slow_registry_is_no_outage() {
    let cache = r#""stale_if_error_ms": 0, "stale_while_revalidate_ms": 0"#;
    let workers = Workers::knowing(1, &config(cache, ""), &ONE);
    // The wait for a change takes longer than an answer is fresh.
    workers.run(100, 58_000, &mut |_, _| None);
    assert_eq!((sent(&workers.all[0]).as_str(), workers.asked("failures")), ("10.0.0.1:80", 0));
}

#[test]
fn the_first_answer_after_an_outage_serves() {
    let (gone, workers) = outage(&failing(0, ""), 100_000);
    let from = gone.unwrap() + 100;
    let asked =
        workers.run(from, from + 61_000, &mut |_, question| Some(answer(question, 12, &["10.0.0.2:80"])));
    assert!(!asked.is_empty());
    assert_eq!((reached(&workers.all[0]).as_str(), reached(&workers.all[1]).as_str()), ("2", "2"));
    let lines = workers.notes();
    assert!(lines.iter().any(|line| line.contains("answers again, with 1 endpoints")), "{lines:?}");
}

/// What was given up is nothing to compare with.
#[test]
fn a_smaller_set_serves_at_once_after_an_outage() {
    let four = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"];
    let workers = Workers::knowing(1, &failing(0, ""), &four);
    workers.run(100, 100_000, &mut |_, question| Some(question.answer(500)));
    assert_eq!(sent(&workers.all[0]), "503 expired");
    workers.run(100_100, 165_000, &mut |_, question| Some(answer(question, 12, &ONE)));
    assert_eq!(reached(&workers.all[0]), "1");
}

/// It was followed up to a minute later.
#[test]
fn a_registry_that_is_back_is_followed_within_seconds() {
    for down in [10_000, 60_000, 600_000] {
        let workers = Workers::knowing(2, &crate::discovery::config("", ""), &ONE);
        workers.run(100, down, &mut |_, question| Some(question.failure()));
        let back =
            &mut |_, question: &tidegate_sim::SimQuestion| Some(answer(question, 12, &["10.0.0.2:80"]));
        workers.run(down + 100, down + 6_200, back);
        assert_eq!(reached(&workers.all[0]), "2", "after {down} ms");
    }
}

#[test]
fn failed_queries_back_off_exponentially_with_jitter() {
    let workers = Workers::knowing(1, &polled(r#""ttl_ms": 1000, "max_backoff_ms": 60000"#, ""), &ONE);
    let asked = workers.run(100, 600_000, &mut |_, question| Some(question.failure()));
    // Parts of 1, 2, 4 … 60 seconds: 30 s on average in the end.
    assert!((12..60).contains(&asked.len()), "{} questions in ten minutes", asked.len());
    let longest = asked.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!((20_000..=62_000).contains(&longest), "{longest}");
    assert_eq!(workers.asked("failures"), asked.len() as u64);
    let said = workers.notes();
    let once = "registry main: orders: no answer; its last good answer is served on, with 1 endpoints";
    assert_eq!(said, [once], "one cause, one line");
    workers.run(600_100, 670_000, &mut |_, question| Some(answer(question, 11, &ONE)));
    assert_eq!(workers.notes(), ["registry main: orders: answers again, with 1 endpoints"]);
    workers.run(670_100, 690_000, &mut |_, question| Some(question.failure()));
    assert_eq!(workers.notes(), [once], "it is news again");
}

#[test]
fn queries_for_an_unknown_service_become_rarer() {
    let workers = Workers::new(2, &polled("", ""));
    let asked = workers.run(0, 250_000, &mut |_, question| Some(question.answer(404)));
    assert_eq!(sent(&workers.all[1]), "503 unknown_service");
    assert_eq!(
        (workers.asked("failures"), workers.changes()),
        (0, 1),
        "it is no failure, and announced once"
    );
    let gaps: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (gap, expected) in gaps.iter().zip([5_000, 10_000, 20_000, 40_000, 60_000, 60_000]) {
        assert!((expected * 8 / 10..=expected * 12 / 10 + 100).contains(gap), "{gaps:?}");
    }
    assert!(gaps.len() >= 5, "{gaps:?}");
    // It is registered.
    workers.run(250_100, 330_000, &mut |_, question| Some(answer(question, 10, &ONE)));
    assert_eq!(sent(&workers.all[1]), "10.0.0.1:80");
}

#[test]
fn an_unusable_answer_is_a_failure_and_never_an_empty_service() {
    let token = ("x-consul-results-filtered-by-acls", "true");
    #[rustfmt::skip]
    let cases = [
        // name                        header                              body
        ("malformed",                  None,                               "[{".to_owned()),
        ("the token may not see",      Some(token),                        "[]".to_owned()),
        ("no leader",                  Some(("x-consul-knownleader", "false")), "[]".to_owned()),
        ("no instance has an address",     None, r#"[{"Service": {"Address": "db.shop", "Port": 80}}]"#.to_owned()),
        ("too large",                  None,                               format!("[{}]", " ".repeat(5_000))),
    ];
    for (name, header, body) in cases {
        let json = polled(r#""max_bytes": 4000, "ttl_ms": 1000"#, "");
        let workers = Workers::knowing(1, &json, &ONE);
        workers.at(1_500).tick();
        let bad = question(&workers.all[0]).answer(200).body(body.as_bytes());
        workers.all[0].answer(&header.map_or(bad.clone(), |(name, value)| bad.header(name, value)));
        assert_eq!((workers.asked("failures"), sent(&workers.all[0]).as_str()), (1, "10.0.0.1:80"), "{name}");
    }
}

#[test]
fn a_snapshot_outlives_a_configuration_and_a_crash() {
    let json = config("", "");
    let crashed = Workers::knowing(1, &json, &ONE);
    let store = Arc::clone(&crashed.store);
    drop(crashed);
    let other = config(r#""ttl_ms": 5000"#, r#""attempts": 2"#);
    for (name, json, now) in [("the same", json, 600_000), ("another", other, 700_000)] {
        let workers = Workers::on(&store, 2, &json);
        workers.at(now);
        assert_eq!(sent(&workers.all[1]), "10.0.0.1:80", "{name}");
        assert!(workers.all.iter().all(|worker| worker.host.take_questions().is_empty()), "{name}");
        // And is queried again as soon as the timer runs.
        workers.tick();
        assert_eq!(question(&workers.all[0]).subject(), "/v1/health/service/orders", "{name}");
    }
}

#[test]
fn another_question_does_not_inherit_the_answer() {
    let first = Workers::knowing(1, &config("", ""), &ONE);
    let others = [
        ("another cluster", of(r#""consul": {"cluster": "other"}"#, "", "")),
        ("another datacenter", of(r#""consul": {"cluster": "consul", "datacenter": "b"}"#, "", "")),
        ("another service", config("", r#""consul": {"service": "billing"}"#)),
        ("other tags", config("", r#""consul": {"tags": ["v2"]}"#)),
        ("a filter", config("", r#""consul": {"filter": "Service.Port == 80"}"#)),
    ];
    for (name, json) in others {
        let workers = Workers::on(&first.store, 1, &json);
        assert_eq!(sent(&workers.all[0]), "waits", "{name}");
    }
    let same = of(r#""consul": {"cluster": "consul", "token": "t", "timeout_ms": 900}"#, "", "");
    assert_eq!(sent(&Workers::on(&first.store, 1, &same).all[0]), "10.0.0.1:80", "with another token");
}
