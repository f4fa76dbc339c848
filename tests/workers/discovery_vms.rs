//! The two placements of the filter in two VMs, which share neither memory nor cells: what they tell each other
//! in filter state is all that they know.

use tidegate_policy::http::{Attribute, Verdict};
use tidegate_policy::time::Span;
use tidegate_sim::{SimHost, SimRequest, SimResponse};

use crate::discovery::{answer, config, fixed, outcome, question, reached, word, Sim, Workers};
use crate::discovery_both::{flags, Both, Call, Try, FOUR};
use crate::discovery_retries::rounds;
use crate::discovery_trust::refused;

const PLENTY: &str = r#""retry": {"budget": {"min_retry_concurrency": 1000}}"#;

fn unmatched(both: &Both) -> u64 {
    both.around.host.count(both.around.counter("tidegate.discovery.attempts_unmatched"))
}

/// 11 of 20 requests failed: each attempt went to the first endpoint again.
#[test]
fn a_second_vm_leads_each_attempt_to_another_endpoint() {
    for (endpoints, attempts, expected) in [(4, 4, 4), (4, 3, 3), (4, 2, 2), (2, 4, 2), (1, 3, 1)] {
        let fields = format!(r#""attempts": {attempts}, "outlier_detection": false, {PLENTY}"#);
        let both = Both::apart(&fixed(&FOUR[..endpoints], &fields));
        for _ in 0..10 {
            let mut call = both.begin();
            let mut went = Vec::new();
            for _ in 0..attempts {
                let one = both.attempt(&mut call);
                went.push(one.went.clone());
                both.answered(one, 503);
            }
            both.end(call, 503);
            let distinct: std::collections::BTreeSet<&String> = went.iter().collect();
            assert_eq!(distinct.len(), expected, "{went:?}");
            assert!(went[expected..].iter().all(|one| *one == went[expected - 1]), "{went:?}");
        }
        assert_eq!(
            (both.count("attempts"), both.in_flight(), unmatched(&both)),
            (10 * attempts as u64, 0, 0)
        );
        assert_eq!(
            (both.count("retries"), both.count("failures"), both.count("requests")),
            (10 * (attempts as u64 - 1), 10 * attempts as u64, 10)
        );
    }
}

/// The word of filter state that names further endpoints.
fn next(both: &Both) -> Option<String> {
    let state = both.begin().state;
    let words: Vec<&str> = state.split(' ').collect();
    assert!(words.len() == 3 || words.len() == 4, "{state}");
    (words.len() == 4).then(|| words[2].to_owned())
}

#[test]
fn further_endpoints_are_told_where_another_vm_may_need_them() {
    let json =
        |endpoints: usize, attempts: u32| fixed(&FOUR[..endpoints], &format!(r#""attempts": {attempts}"#));
    assert_eq!(next(&Both::new(&json(4, 3))), None, "there is a filter around attempts in this VM");
    assert_eq!(next(&Both::apart(&json(4, 1))), None, "there is one attempt");
    let told = |endpoints, attempts| next(&Both::apart(&json(endpoints, attempts))).expect("a list");
    assert_eq!(told(1, 3), "next=", "no other endpoint, and yet it is a request of ours");
    assert_eq!(told(2, 4).matches("10.0.0.").count(), 1);
    assert_eq!(told(4, 3).matches("10.0.0.").count(), 2);
    // The list is bounded by the most attempts that there may be.
    let long: Vec<String> =
        (0x1000..0x1014).map(|n| format!("fd00:1111:2222:3333:4444:5555:6666:{n:x}:65535")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let json = fixed(&long, r#""attempts": 10"#).replace("10.0.0.0/8:1-65535", "[fd00::/8]:1-65535");
    let state = Both::apart(&json).begin().state;
    assert_eq!(state.matches("fd00:").count(), 10);
    assert!((450..550).contains(&state.len()), "{} bytes", state.len());
}

#[test]
fn a_request_that_was_held_tells_further_endpoints_when_it_goes_on() {
    let workers = Workers::new(1, &config("", r#""attempts": 2"#));
    let worker = &workers.all[0];
    let (verdict, mut exchange) = worker.begin(&SimRequest::get("/"));
    assert_eq!((word(&verdict), outcome(worker, &exchange)), ("waits".to_owned(), String::new()));
    worker.tick();
    worker.answer(&answer(&question(worker), 10, &FOUR[..2]));
    let first = word(&worker.wait(&mut exchange));
    let other = FOUR[..2].iter().find(|one| **one != first).unwrap();
    let state = outcome(worker, &exchange);
    assert!(state.starts_with(&format!("orders {first} next={other} ")), "{state}");
}

/// One failure is enough, so that a blamed endpoint is ejected.
fn strict(more: &str) -> String {
    fixed(&FOUR, &format!(r#""attempts": 3, "outlier_detection": {{"consecutive_5xx": 1}}{more}"#))
}

#[test]
fn endpoints_are_judged_by_what_the_other_vm_saw() {
    #[rustfmt::skip]
    let cases = [
        // the first attempt                             report                  failures, ejections
        ("says 503",      Some(503), SimResponse::none(),  "10.0.0.X:80 503",     1, 1),
        ("refuses",       None,      refused(),            "10.0.0.X:80 refused", 1, 0),
        ("takes too long", None,     SimResponse::none(),  "10.0.0.X:80 broken",  1, 1),
    ];
    for (name, status, end, report, failures, ejections) in cases {
        let both = Both::apart(&strict(""));
        let mut call = both.begin();
        let first = both.attempt(&mut call);
        let bad = first.went.clone();
        match status {
            Some(status) => both.answered(first, status),
            None => both.broken(first, &end),
        }
        let second = both.attempt(&mut call);
        assert_eq!(call.report, report.replace("10.0.0.X:80", &bad), "{name}");
        both.answered(second, 200);
        both.end(call, 200);
        assert_eq!((both.count("failures"), both.count("ejections")), (failures, ejections), "{name}");
        let short = bad.trim_start_matches("10.0.0.").trim_end_matches(":80").to_owned();
        assert!(!reached(&both.edge.all[0]).contains(&short), "{name}: {bad} is avoided");
    }
}

/// The one that answered is not the one that the request was sent to.
#[test]
fn an_answer_counts_for_the_endpoint_that_gave_it() {
    let both = Both::apart(&strict(""));
    let mut call = both.begin();
    let first = both.attempt(&mut call);
    let bad = first.went.clone();
    both.broken(first, &refused());
    let second = both.attempt(&mut call);
    let other = second.went.clone();
    both.answered(second, 500);
    both.end(call, 500);
    let notes = both.edge.notes().join("\n");
    assert!(notes.contains(&format!("endpoint {bad} refused a connection")), "{notes}");
    assert!(notes.contains(&format!("endpoint {other} ejected")), "{notes}");
    assert_eq!(notes.lines().count(), 2, "{notes}");
}

/// A client that leaves, and an upload that its client cuts, are nobody's fault here either.
#[test]
fn what_the_other_vm_does_not_know_blames_nobody() {
    let both = Both::apart(&strict(""));
    let mut call = both.begin();
    let one = both.attempt(&mut call);
    both.broken(one, &SimResponse::none());
    both.gone(call, &flags(1 << 14));
    // An upload: the server gave up on it.
    let mut call = both.begin_as(&SimRequest::get("/").with_body());
    let one = both.attempt_as(&mut call, SimRequest::get("/").with_body());
    both.broken(one, &SimResponse::none());
    let again = both.attempt_as(&mut call, SimRequest::get("/").with_body());
    assert!(call.report.ends_with(" left"), "{}", call.report);
    both.answered(again, 200);
    both.end(call, 200);
    assert_eq!((both.count("failures"), both.count("ejections"), both.count("attempts")), (0, 0, 3));
}

/// Envoy may begin an attempt while the one before is in flight, and more may fail at once than are kept.
#[test]
fn attempts_are_led_though_nothing_is_known_of_those_before() {
    let both = Both::apart(&fixed(&FOUR, &format!(r#""attempts": 3, "outlier_detection": false, {PLENTY}"#)));
    let mut call = both.begin();
    let (first, second) = (both.attempt(&mut call), both.attempt(&mut call));
    assert_ne!(first.went, second.went);
    assert_eq!(call.report, format!("{} left", first.went));
    both.answered(second, 200);
    both.broken(first, &SimResponse::none());
    both.end(call, 200);
    let mut calls: Vec<Call> = (0..1_400).map(|_| both.begin()).collect();
    let firsts: Vec<Try> = calls.iter_mut().map(|call| both.attempt(call)).collect();
    let went: Vec<String> = firsts.iter().map(|one| one.went.clone()).collect();
    firsts.into_iter().for_each(|one| both.broken(one, &refused()));
    for (mut call, first) in calls.into_iter().zip(went) {
        let again = both.attempt(&mut call);
        assert!(matches!(again.verdict, Verdict::Continue(_)) && again.went != first, "{first} again");
        both.answered(again, 200);
        both.end(call, 200);
    }
    assert_eq!((both.count("attempts"), both.count("retries")), (2_802, 1_401));
}

/// What each attempt after the first costs the service is bounded by the budget of the VM that sees it.
#[test]
fn a_service_that_fails_gets_a_fifth_more_than_its_load_in_two_vms() {
    for at_a_time in [1, 4, 16, 256] {
        let both = Both::apart(&fixed(&FOUR[..3], r#""attempts": 2, "outlier_detection": false"#));
        let requests = at_a_time * 5_000_usize.div_ceil(at_a_time);
        assert_eq!(rounds(&both, at_a_time, requests, &|_| 200), (requests, 0));
        let (attempts, errors) = rounds(&both, at_a_time, requests, &|_| 503);
        assert_eq!(errors, requests);
        let most = requests + requests / 5 + at_a_time.max(5);
        assert!(
            (requests + requests / 6..=most).contains(&attempts),
            "{at_a_time}: {attempts} of {requests}"
        );
    }
}

#[test]
fn a_retry_that_the_budget_of_the_second_vm_refuses_is_answered_there() {
    let fields = r#""attempts": 2, "outlier_detection": false,
        "retry": {"budget": {"budget_percent": 0, "min_retry_concurrency": 0}}"#;
    let both = Both::apart(&fixed(&FOUR, fields));
    let mut call = both.begin();
    let one = both.attempt(&mut call);
    both.answered(one, 503);
    let again = both.attempt(&mut call);
    assert_eq!(word(&again.verdict), "503 retry_budget");
    assert_eq!((both.count("retries"), both.count("retries_refused")), (0, 1));
    // After a refused connection the next one is free, here too.
    let mut call = both.begin();
    let one = both.attempt(&mut call);
    both.broken(one, &refused());
    assert!(matches!(both.attempt(&mut call).verdict, Verdict::Continue(_)));
}

/// Each VM has requests of its own, and attempts of the other's: none is taken for another.
#[test]
fn requests_of_two_vms_are_not_mixed_up() {
    let json = fixed(&FOUR, &format!(r#""attempts": 3, "outlier_detection": false, {PLENTY}"#));
    let (here, there) = (Both::new(&json), Both::apart(&json));
    there.edge.at(7);
    let around = |call: &mut Call| {
        let went = call.next.clone();
        let state = call.state.clone();
        let request = SimRequest::get("/").attribute(Attribute::Discovered, state.as_bytes());
        let (verdict, exchange) = here.around.begin(&request);
        if let Verdict::Continue(edits) = &verdict {
            call.next = crate::discovery::header(edits, crate::discovery::STEER).unwrap_or(&went).to_owned();
        }
        exchange
    };
    for _ in 0..100 {
        let (mut own, mut other) = (here.begin(), there.begin());
        let first = around(&mut other);
        here.around.end(first, &SimResponse::upstream(503));
        let one = here.attempt(&mut own);
        here.answered(one, 200);
        let second = around(&mut other);
        here.around.end(second, &SimResponse::upstream(200));
        here.end(own, 200);
        there.end(other, 200);
    }
    let own = here.count("attempts");
    assert_eq!(
        (own, here.count("retries"), here.count("failures")),
        (200, 100, 0),
        "and 100 first ones there"
    );
}

/// Another listener of the same VM may have its attempts elsewhere.
#[test]
fn a_vm_that_sees_no_attempts_of_a_request_tells_further_endpoints_from_then_on() {
    let both = Both::new(&fixed(&FOUR, r#""attempts": 2"#));
    assert_eq!(next(&both), None);
    // A request that had no attempt at all, because its client left say, tells nothing.
    both.end(both.begin(), 503);
    assert_eq!(next(&both), None);
    let once = SimResponse::upstream(200).attribute(Attribute::AttemptCount, &1_u64.to_le_bytes());
    both.edge.all[0].end(both.begin().exchange, &once);
    assert!(next(&both).is_some());
    // Not for ever.
    for _ in 0..1_000 {
        let mut call = both.begin();
        let one = both.attempt(&mut call);
        both.answered(one, 200);
        both.end(call, 200);
    }
    assert_eq!(next(&both), None);
}

#[test]
fn a_placement_that_meets_only_unknown_attempts_says_so_once() {
    let attempts =
        || Sim::attempt(&fixed(&FOUR, r#""attempts": 2"#), SimHost::new(std::sync::Arc::default())).unwrap();
    let lonely = attempts();
    let mut notes = Vec::new();
    for _ in 0..200 {
        let (verdict, exchange) = lonely.begin(&SimRequest::get("/"));
        assert_eq!(verdict, Verdict::Continue(Vec::new()));
        lonely.end(exchange, &SimResponse::upstream(200));
        notes.extend(lonely.host.take_notes());
    }
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("the listener's http_filters"), "{notes:?}");
    assert_eq!(lonely.host.count(lonely.counter("tidegate.discovery.attempts_unmatched")), 200);
    // One that knows some of them says nothing of the others.
    let both = Both::apart(&fixed(&FOUR, r#""attempts": 2"#));
    let mut call = both.begin();
    let one = both.attempt(&mut call);
    both.answered(one, 200);
    both.end(call, 200);
    for _ in 0..200 {
        let _ = both.around.request(&SimRequest::get("/"));
    }
    assert_eq!((both.around.host.take_notes(), unmatched(&both)), (Vec::new(), 200));
}

/// The document of the second VM decides what it does: one that lacks the service, or may not send there, does
/// nothing.
#[test]
fn a_second_vm_with_another_document_leaves_attempts_alone() {
    let json = fixed(&FOUR, r#""attempts": 2"#);
    let others = [
        json.replace("orders", "carts"),
        json.replace("10.0.0.0/8", "10.9.0.0/16").replace("10.0.0.", "10.9.0."),
    ];
    for other in others {
        let edge = Workers::new(1, &json);
        let around = Sim::attempt(&other, SimHost::new(std::sync::Arc::default())).unwrap();
        let both = Both { edge, around };
        let mut call = both.begin();
        let one = both.attempt(&mut call);
        assert_eq!((one.verdict, unmatched(&both)), (Verdict::Continue(Vec::new()), 1), "{other}");
    }
}

/// A second VM queries no registry and reads no cell: it has no use for endpoints.
#[test]
fn a_placement_around_attempts_asks_and_stores_nothing() {
    let both = Both::apart(&config("", r#""attempts": 3"#));
    let store = both.around.host.store().clone();
    both.edge.tick();
    both.edge.all[0].answer(&answer(&question(&both.edge.all[0]), 10, &FOUR));
    let before = store.calls();
    for second in 0..100 {
        both.around.host.set(Span::from_secs(second));
        both.around.tick();
        let mut call = both.begin();
        for status in [503, 503, 200] {
            let one = both.attempt(&mut call);
            both.answered(one, status);
        }
        both.end(call, 200);
    }
    assert_eq!((store.calls() - before, both.around.host.take_questions().len()), (0, 0));
}
