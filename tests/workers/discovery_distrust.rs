//! Answers that do not serve at once: sets that shrink, endpoints that flap.

use crate::discovery::{answer, config, instances, polled, reached, sent, Workers};
use crate::registry::Registry;

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
    let asked = workers.asked("queries");
    say(&workers, 721_100, 770_000, &FOUR[..1]);
    assert_eq!(reached(&workers.all[1]), "1");
    assert!(asked >= 1 && workers.asked("queries") >= 4, "{asked}, then {}", workers.asked("queries"));
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

/// What is held back has to be confirmed, so its queries are held for a part of the time that takes. They were not held
/// at all: what a registry that is right said next was known 8 to 12 s later.
#[test]
fn changes_are_followed_at_once_while_an_answer_is_held_back() {
    let workers = Workers::new(2, &config("", ""));
    let mut registry = Registry::new();
    let ten: Vec<String> = (1..=10).map(|n| format!("10.0.0.{n}:80")).collect();
    let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
    registry.register("orders", &ten);
    registry.run(&workers, 0, 5_000);
    assert_eq!(reached(&workers.all[1]), "10 1 2 3 4 5 6 7 8 9");
    registry.register("orders", &ten[..2]);
    registry.run(&workers, 5_100, 8_000);
    assert_eq!((reached(&workers.all[1]).as_str(), workers.count("hold_active")), ("1 2", 1));
    assert_eq!(registry.waits, [55_000, 10_000]);
    // Another job of the same service takes over.
    for n in 11..=20 {
        let last = format!("10.0.0.{n}:80");
        registry.register("orders", &["10.0.0.2:80", &last]);
        let now = 8_000 + 1_000 * (n - 11);
        registry.run(&workers, now + 100, now + 200);
        assert_eq!(reached(&workers.all[1]), format!("{n} 2"));
        registry.run(&workers, now + 300, now + 1_000);
    }
    // The last change was at 17.1 s.
    registry.run(&workers, 18_100, 46_900);
    assert_eq!(workers.count("hold_active"), 1);
    registry.run(&workers, 47_000, 51_000);
    assert_eq!((reached(&workers.all[1]).as_str(), workers.count("hold_active")), ("20 2", 0), "confirmed");
    assert_eq!(registry.waits.last(), Some(&55_000));
    assert!(registry.asked["orders"].len() < 20, "{:?}", registry.asked);
}

/// A registry that does not hold them, or counts what is no change of the service.
#[test]
fn a_held_back_answer_is_confirmed_in_time_whatever_the_registry_does_with_the_wait() {
    let workers = Workers::knowing(1, &config("", ""), &FOUR);
    let (mut asked, mut index) = (0, 11);
    workers.run(100, 40_000, &mut |_, question| {
        asked += 1;
        index += 1;
        Some(answer(question, index, &FOUR[..1]))
    });
    assert_eq!((reached(&workers.all[0]).as_str(), workers.count("hold_active")), ("1", 0), "confirmed");
    assert!((5..=12).contains(&asked), "{asked}");
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
