//! Answers that do not serve at once: sets that shrink, endpoints that flap.

use crate::discovery::{answer, instances, polled, reached, sent, Workers};

const FOUR: [&str; 4] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"];

/// A registry that says the same for a while.
fn say(workers: &Workers, from: u64, to: u64, list: &[&str]) {
    workers.run(from, to, &mut |ms, question| Some(answer(question, 10 + ms, list)));
}

/// Polled each second.
fn each_second(cache: &str) -> String {
    let comma = if cache.is_empty() { "" } else { ", " };
    polled(&format!(r#""ttl_ms": 1000{comma}{cache}"#), "")
}

#[test]
fn an_empty_answer_removes_no_endpoint() {
    for list in [&FOUR[..], &FOUR[..1]] {
        let workers = Workers::knowing(2, &each_second(""), list);
        let all = reached(&workers.all[1]);
        say(&workers, 100, 900_000, &[]);
        assert_eq!(reached(&workers.all[1]), all);
        assert_eq!((workers.count("hold_active"), workers.asked("failures")), (1, 0));
        let lines = workers.notes();
        let held = format!(
            "registry main: orders: answer shrank from {0} endpoints to 0: keeping the missing {0} until it is confirmed",
            list.len()
        );
        assert_eq!(lines, [held], "said once");
        // It was a mistake.
        say(&workers, 900_100, 903_000, list);
        assert_eq!((reached(&workers.all[1]), workers.count("hold_active")), (all, 0));
    }
}

#[test]
fn an_empty_answer_serves_once_confirmed_if_allowed() {
    let json = each_second(r#""empty_protection": {"allow_empty": true, "empty_hold_ms": 20000}"#);
    let workers = Workers::knowing(2, &json, &FOUR);
    say(&workers, 100, 19_000, &[]);
    assert_eq!(reached(&workers.all[1]), "1 2 3 4");
    say(&workers, 19_100, 25_000, &[]);
    assert_eq!(sent(&workers.all[1]), "503 no_endpoints");
    say(&workers, 25_100, 27_000, &FOUR);
    assert_eq!(reached(&workers.all[1]), "1 2 3 4");
}

#[test]
fn a_shrunken_set_waits_for_confirmation_and_new_endpoints_do_not() {
    let workers = Workers::knowing(2, &each_second(""), &FOUR);
    say(&workers, 100, 25_000, &["10.0.0.1:80", "10.0.0.9:80"][..1]);
    // What it keeps are last resorts.
    assert_eq!((reached(&workers.all[1]).as_str(), workers.count("hold_active")), ("1", 1));
    assert_eq!((workers.count("endpoints"), workers.count("healthy")), (4, 1), "by those that had a request");
    say(&workers, 25_100, 35_000, &FOUR[..1]);
    assert_eq!((reached(&workers.all[1]).as_str(), workers.count("hold_active")), ("1", 0));
    let workers = Workers::knowing(2, &each_second(""), &FOUR);
    say(&workers, 100, 3_000, &["10.0.0.9:80"]);
    assert_eq!(reached(&workers.all[1]), "9");
    // Half is not too fast.
    let workers = Workers::knowing(2, &each_second(""), &FOUR);
    say(&workers, 100, 3_000, &FOUR[..2]);
    assert_eq!(reached(&workers.all[1]), "1 2");
}

/// However rarely the registry is asked otherwise.
#[test]
fn a_held_back_answer_is_confirmed_soon() {
    let workers = Workers::knowing(2, &polled(r#""ttl_ms": 600000"#, ""), &FOUR);
    say(&workers, 100, 721_000, &FOUR[..1]);
    // Asked after 480 to 720 s, and from then on each 10 s or so.
    let asked = workers.asked("fetches");
    say(&workers, 721_100, 770_000, &FOUR[..1]);
    assert_eq!(reached(&workers.all[1]), "1");
    assert!(asked >= 1 && workers.asked("fetches") >= 4, "{asked}, then {}", workers.asked("fetches"));
}

/// The registry loses the service altogether, which is as an empty answer.
#[test]
fn a_service_gone_from_the_registry_keeps_its_endpoints() {
    let workers = Workers::knowing(2, &each_second(""), &FOUR);
    workers.run(100, 300_000, &mut |_, question| Some(question.answer(404)));
    assert_eq!((reached(&workers.all[1]).as_str(), workers.count("hold_active")), ("1 2 3 4", 1));
    say(&workers, 300_100, 370_000, &FOUR);
    assert_eq!((reached(&workers.all[1]).as_str(), workers.count("hold_active")), ("1 2 3 4", 0));
}

/// What is held back wants to be confirmed, which a query that waits for a change would not.
#[test]
fn a_held_back_answer_is_queried_again_at_once() {
    let workers = Workers::knowing(1, &crate::discovery::config("", ""), &FOUR);
    let mut subjects = Vec::new();
    workers.run(100, 40_000, &mut |_, question| {
        subjects.push(question.subject().to_owned());
        (!subjects.is_empty())
            .then(|| question.answer(200).header("x-consul-index", "11").body(&instances(&FOUR[..1])))
    });
    // The one in flight at 0 is taken with the first tick.
    let at_once = subjects.iter().filter(|path| *path == "/v1/health/service/orders").count();
    assert!(at_once >= 3, "{subjects:?}");
    assert_eq!(reached(&workers.all[0]), "1", "confirmed");
}

/// That everything is gone is not believed however often it is said: then it is waited for a change.
#[test]
fn an_answer_that_will_never_serve_is_not_queried_again_at_once() {
    let workers = Workers::knowing(1, &crate::discovery::config("", ""), &FOUR);
    let mut subjects = Vec::new();
    workers.run(100, 200_000, &mut |_, question| {
        subjects.push(question.subject().to_owned());
        Some(question.answer(200).header("x-consul-index", "11").body(&instances(&[])))
    });
    assert!(subjects.len() >= 4 && subjects.iter().all(|path| path.contains("index=")), "{subjects:?}");
    assert_eq!(reached(&workers.all[0]), "1 2 3 4");
}

#[test]
fn a_flapping_endpoint_gets_no_requests_until_it_is_stable() {
    let workers = Workers::knowing(2, &each_second(r#""flap_damping": {"half_life_ms": 10000}"#), &FOUR);
    let ill = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80 critical"];
    let mut now = 100;
    for _ in 0..3 {
        say(&workers, now, now + 2_000, &ill);
        assert_eq!(reached(&workers.all[1]), "1 2 3");
        say(&workers, now + 2_100, now + 4_000, &FOUR);
        now += 4_100;
    }
    assert_eq!(reached(&workers.all[1]), "1 2 3", "it is back, for the third time");
    // A worker shows what it knew with its last request.
    assert_eq!((workers.count("endpoints"), workers.count("healthy")), (4, 3));
    say(&workers, now, now + 10_000, &FOUR);
    assert_eq!(reached(&workers.all[1]), "1 2 3");
    say(&workers, now + 10_100, now + 25_000, &FOUR);
    assert_eq!(reached(&workers.all[1]), "1 2 3 4", "two half-lives later");
    assert_eq!(workers.count("healthy"), 4);
}

#[test]
fn without_damping_a_flapping_endpoint_serves_whenever_healthy() {
    let workers = Workers::knowing(2, &each_second(r#""flap_damping": false"#), &FOUR);
    for round in 0..5 {
        let now = 100 + round * 4_100;
        say(&workers, now, now + 2_000, &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
        assert_eq!(reached(&workers.all[1]), "1 2 3");
        say(&workers, now + 2_100, now + 4_000, &FOUR);
        assert_eq!(reached(&workers.all[1]), "1 2 3 4");
    }
}
