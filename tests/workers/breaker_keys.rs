//! Targets that show at run time: keys, in a table with bounds.

use tidegate_policy::breaker::cells::index::Index;
use tidegate_policy::host::Store;
use tidegate_policy::http::Stage;
use tidegate_sim::SimRequest;

use crate::breaker::{ask, calls, end, of, Sim, Workers};

const ONE: &str = r#""consecutive_failures": 1, "half_open_permits": 1, "base_open_ms": 1000"#;
const BY_KEY: &str = r#"{"key": [{"header": "k"}]}"#;

fn keyed(fields: &str) -> Workers {
    Workers::new(1, &of(BY_KEY, &format!("{ONE}{fields}")))
}

fn key(name: &str) -> SimRequest<'_> {
    SimRequest::get("/").header("k", name.as_bytes())
}

/// The index of the only table.
fn index(workers: &Workers) -> Index {
    let cells = workers.all[0].stage().cells();
    let name = cells.map(|cell| cell.name).find(|name| !name.ends_with("secret")).unwrap();
    Index::decode(&workers.store.load(&name).unwrap().unwrap().0)
}

#[test]
fn each_key_has_a_breaker_of_its_own() {
    let workers = keyed("");
    let worker = &workers.all[0];
    assert_eq!(calls(worker, &key("x"), "FS"), "+-");
    assert_eq!(calls(worker, &key("y"), "SSS"), "+++");
    workers.tick();
    assert_eq!((workers.count("open"), index(&workers).len()), (1, 1));
    assert_eq!(calls(workers.at(1_000).all.first().unwrap(), &key("x"), "SS"), "p+");
    workers.tick();
    assert_eq!((workers.count("open"), index(&workers).len()), (0, 0));
    assert_eq!(workers.count("transitions"), 3);
}

#[test]
fn a_request_without_the_key_meets_no_breaker() {
    let workers = keyed("");
    assert_eq!(calls(&workers.all[0], &SimRequest::get("/"), "FFF"), "+++");
    assert_eq!(workers.count("admitted"), 0);
}

/// Which value the upstream reads is not known. Behind junk in front of it, an open key passed, and by the
/// other order its failures counted for another tenant.
#[test]
fn a_request_with_several_keys_passes_none_that_is_open_and_counts_for_none() {
    let workers = keyed("");
    let worker = &workers.all[0];
    let both = |a, b| key(a).header("k", b);
    assert_eq!(calls(worker, &both("x", b"y"), "FFF"), "+++");
    assert_eq!((workers.count("failed"), workers.count("admitted")), (0, 3));
    assert_eq!(calls(worker, &key("x"), "F"), "+");
    let (many, equal) =
        (both("1", b"2").header("k", b"3").header("k", b"4").header("k", b"5"), both("x", b"x"));
    let all = [both("x", b"y"), both("y", b"x"), both("y", b"z"), many, equal];
    let each = |worker: &Sim| all.each_ref().map(|request| ask(worker, request).0);
    assert_eq!(each(worker), ['-', '-', '+', '-', '-']);
    // Not as a probe either: nobody would know whose it was. The same value twice is one key.
    assert_eq!(each(workers.at(1_000).all.first().unwrap()), ['-', '-', '+', '-', 'p']);
    let fresh = keyed("");
    assert_eq!(each(&fresh.all[0]), ['+'; 5], "all are closed");
    for (state, expected) in [("forced_open", '-'), ("disabled", '+'), ("metrics_only", '+')] {
        let held = keyed(&format!(r#", "state": "{state}""#));
        assert_eq!(each(&held.all[0]), [expected; 5], "{state}");
    }
}

#[test]
fn rates_and_back_off_hold_for_keys() {
    let fields =
        r#""consecutive_failures": 0, "half_open_permits": 1, "base_open_ms": 1000, "minimum_calls": 4"#;
    let workers = Workers::new(1, &of(BY_KEY, fields));
    let worker = &workers.all[0];
    assert_eq!(calls(worker, &key("x"), "SSFFS"), "++++-");
    assert_eq!(calls(workers.at(1_000).all.first().unwrap(), &key("x"), "FS"), "p-");
    assert_eq!(calls(workers.at(2_999).all.first().unwrap(), &key("x"), "S"), "-");
    assert_eq!(calls(workers.at(3_000).all.first().unwrap(), &key("x"), "SS"), "p+");
}

#[test]
fn late_outcomes_of_a_key_change_nothing() {
    let workers = keyed("");
    let worker = &workers.all[0];
    let (_, before) = ask(worker, &key("x"));
    assert_eq!(calls(worker, &key("x"), "F"), "+");
    assert_eq!(calls(workers.at(1_000).all.first().unwrap(), &key("x"), "S"), "p");
    end(workers.at(1_001).all.first().unwrap(), before, 'F');
    assert_eq!((calls(worker, &key("x"), "S").as_str(), workers.count("stale")), ("+", 1));
}

/// Sixteen keys have room. Whoever finds none counts nowhere and passes.
#[test]
fn keys_beyond_the_table_pass_and_are_counted() {
    let workers = keyed(r#", "table": {"keys": 16}"#);
    let worker = &workers.all[0];
    let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    names.iter().for_each(|name| assert_eq!(calls(worker, &key(name), "F"), "+", "{name}"));
    let opened = workers.count("transitions.consecutive");
    assert!((8..=16).contains(&opened), "{opened} of 16");
    assert_eq!(workers.count("untracked"), 100 - opened);
    let refused = names.iter().filter(|name| ask(worker, &key(name)).0 == '-').count();
    assert_eq!(refused as u64, opened);
}

/// A table of 16 whose ways are all taken by closed keys with calls in their window.
#[test]
fn a_key_that_fails_takes_the_way_of_one_that_failed_less() {
    let workers = Workers::new(1, &of(BY_KEY, r#""consecutive_failures": 3, "table": {"keys": 16}"#));
    let worker = &workers.all[0];
    let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    names.iter().for_each(|name| assert_eq!(calls(worker, &key(name), "F"), "+"));
    assert_eq!(workers.count("untracked"), 0);
    assert_eq!(calls(worker, &key("new"), "FFFS"), "+++-");
}

/// 165 made-up keys a second, each of which fails once, filled the table of 1,024, and the breaker of
/// a key that failed all the time never opened.
#[test]
fn made_up_keys_do_not_keep_a_failing_key_from_opening() {
    for (count, most) in [(1, 5), (2, 9)] {
        let workers = Workers::new(count, &of(BY_KEY, ""));
        let flood = |at: u64, calls_each: &str| {
            for n in 0..165 {
                let name = format!("made-up-{at}-{n}");
                calls(&workers.at(at).all[n % count], &key(&name), calls_each);
            }
        };
        (0..20).for_each(|second| flood(second * 1_000, "F"));
        let mut failures = 0;
        for second in 20..40 {
            if calls(&workers.at(second * 1_000).all[failures % count], &key("victim"), "F") == "-" {
                break;
            }
            failures += 1;
            flood(second * 1_000, "F");
        }
        assert!((5..=most).contains(&failures), "{failures} failures with {count} workers");
        assert_eq!(workers.count("transitions.consecutive"), 1, "{count} workers");
    }
}

/// A generator of the same numbers on every run (xorshift64*, Vigna 2016).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
    }
}

/// In any history of made-up keys that fail less often than opens them, on one to three workers: a key
/// that fails all the time opens at the latest with failure W·(K − 1) + 1, stays open for its time, and a
/// key with fewer failures of its own than open it is never refused.
#[test]
fn whatever_keys_are_made_up_each_key_has_what_its_own_failures_give_it() {
    for seed in 1..=60 {
        let mut numbers = Numbers(seed * 0x9e37_79b9);
        let count = numbers.below(3) + 1;
        let workers = Workers::new(usize::try_from(count).unwrap(), &of(BY_KEY, r#""table": {"keys": 16}"#));
        let (mut now, mut failures, mut failed_ms, mut open_until, mut made_up) = (0, 0, 0, None, 0);
        for _ in 0..1_000 {
            now += numbers.below(60);
            workers.at(now);
            let worker = &workers.all[usize::try_from(numbers.below(count)).unwrap()];
            match numbers.below(12) {
                0 => {
                    let word = calls(worker, &key("victim"), "F");
                    let refused = word == "-";
                    if word == "p" {
                        open_until = Some(now);
                        break;
                    }
                    assert!(
                        refused || open_until.is_none_or(|until| now >= until),
                        "seed {seed}: open at {now}"
                    );
                    if !refused {
                        (failures, failed_ms) = (failures + 1, now);
                        assert!(failures <= count * 4 + 1, "seed {seed}: {failures} failures");
                    }
                    if refused && open_until.is_none() {
                        open_until = Some(failed_ms + 5_000);
                    }
                }
                1 => {
                    // Every third second it fails once: four times in a window at most.
                    let one = if now % 3_000 < 60 && now > 60 { "F" } else { "S" };
                    assert_eq!(calls(worker, &key("healthy"), one), "+", "seed {seed} at {now}");
                }
                _ => {
                    made_up += 1;
                    let times = usize::try_from(numbers.below(4) + 1).unwrap();
                    calls(worker, &key(&format!("made-up-{made_up}")), &"FFFF"[..times]);
                }
            }
            if numbers.below(10) == 0 {
                workers.tick();
            }
            if open_until.is_some_and(|until| now >= until) {
                break;
            }
        }
        assert!(open_until.is_some(), "seed {seed}: {failures} failures and never open");
    }
}

/// Made-up keys whose probes fail again and again had long open times, and a full table was theirs for ten
/// requests a second.
#[test]
fn keys_that_were_open_for_long_keep_a_failing_key_out_no_longer_than_at_first() {
    let workers = Workers::new(1, &of(BY_KEY, r#""table": {"keys": 16}"#));
    let made_up: Vec<String> = (0..64).map(|n| n.to_string()).collect();
    // Each time is over when it comes back: 5 s, 10 s, 20 s and so on.
    for ms in [0, 5_000, 15_000, 35_000, 75_000, 155_000] {
        let worker = workers.at(ms).all.first().unwrap();
        made_up.iter().for_each(|name| drop(calls(worker, &key(name), "FFFFF")));
    }
    let mut failures = 0;
    for second in 156.. {
        workers.at(second * 1_000).tick();
        if calls(&workers.all[0], &key("victim"), "F") == "-" {
            break;
        }
        failures += 1;
        assert!(failures <= 5 + 11, "{failures} failures and not open");
    }
}

/// In any history of made-up keys, open ones too, on one to three workers: a key that is open and asked for at
/// least once in each first open time stays open while its probes fail, and one that fails all the time
/// opens soon after nobody asks for the others any more.
#[test]
fn an_open_key_stays_open_while_it_is_asked_for() {
    for seed in 1..=20 {
        let mut numbers = Numbers(seed * 0x9e37_79b9);
        let count = numbers.below(3) + 1;
        let workers = Workers::new(usize::try_from(count).unwrap(), &of(BY_KEY, r#""table": {"keys": 16}"#));
        assert_eq!(calls(&workers.all[0], &key("victim"), "FFFFF"), "+++++");
        let (mut now, mut asked_ms) = (0, 0);
        for _ in 0..1_500 {
            now += numbers.below(100);
            let worker = &workers.at(now).all[usize::try_from(numbers.below(count)).unwrap()];
            let name = format!("made-up-{}", numbers.below(40));
            let times = usize::try_from(numbers.below(8) + 1).unwrap();
            calls(worker, &key(&name), &"FFFFFFFF"[..times]);
            if numbers.below(3) == 0 {
                workers.tick();
            }
            if now - asked_ms > numbers.below(4_800) {
                asked_ms = now;
                assert_ne!(calls(worker, &key("victim"), "F"), "+", "seed {seed} at {now}");
            }
        }
        assert!(workers.count("untracked") > 100, "seed {seed}: the table was full");
        let opened = (0..32).position(|_| {
            now += 1_000;
            calls(&workers.at(now).tick().all[0], &key("other"), "F") == "-"
        });
        assert!(opened.is_some(), "seed {seed}: it never opened");
    }
}

/// A worker that heard nothing of an opening does not count what it saw before it.
#[test]
fn failures_from_before_an_opening_do_not_open_it_again() {
    let workers = Workers::new(2, &of(BY_KEY, ""));
    let [a, b] = [&workers.all[0], &workers.all[1]];
    assert_eq!([calls(b, &key("x"), "FFFF"), calls(a, &key("x"), "F")], ["++++", "+"]);
    assert_eq!(calls(workers.at(5_000).all.first().unwrap(), &key("x"), "SSSSS"), "ppppp");
    assert_eq!(calls(b, &key("x"), "FFFFF"), "+++++");
    assert_eq!((calls(b, &key("x"), "S").as_str(), workers.count("transitions.consecutive")), ("-", 2));
}

/// Those that fail more often than once do not either, as long as the table has a way that is not open.
#[test]
fn keys_that_nearly_open_do_not_keep_a_failing_key_from_opening() {
    let workers = Workers::new(1, &of(BY_KEY, r#""table": {"keys": 16}"#));
    let worker = &workers.all[0];
    let made_up = |round: u64| {
        (0..64).for_each(|n| drop(calls(worker, &key(&format!("{round}-{n}")), "FFFF")));
    };
    (0..5).for_each(|round| {
        assert_eq!(calls(worker, &key("victim"), "F"), "+", "{round}");
        made_up(round);
    });
    assert_eq!((calls(worker, &key("victim"), "S").as_str(), workers.count("transitions")), ("-", 1));
}

#[test]
fn an_open_key_stays_open_whatever_keys_are_made_up() {
    let workers = Workers::new(1, &of(BY_KEY, r#""consecutive_failures": 2, "table": {"keys": 16}"#));
    let worker = &workers.all[0];
    assert_eq!(calls(worker, &key("victim"), "FF"), "++");
    for at in (0..5_000).step_by(100) {
        assert_eq!(calls(workers.at(at).all.first().unwrap(), &key("victim"), "S"), "-", "at {at}");
        (0..50).for_each(|n| drop(calls(worker, &key(&format!("{at}-{n}")), "F")));
    }
    // Its time is over. While any way of its block is closed, it keeps its own and probes.
    (0..50).for_each(|n| drop(calls(workers.at(6_000).all.first().unwrap(), &key(&format!("x-{n}")), "F")));
    assert_eq!(calls(worker, &key("victim"), "S"), "p");
}

#[test]
fn a_healthy_key_is_not_opened_by_the_failures_of_others() {
    let workers = Workers::new(1, &of(BY_KEY, r#""table": {"keys": 16}"#));
    let worker = &workers.all[0];
    for at in (0..20_000).step_by(100) {
        workers.at(at);
        (0..20).for_each(|n| drop(calls(worker, &key(&format!("{at}-{n}")), "FFFF")));
        let one = if at % 1_000 == 0 { "F" } else { "S" };
        assert_eq!(calls(worker, &key("healthy"), one), "+", "at {at}");
    }
}

/// Successes of a key are merged only by workers that saw it fail, so its run ends with its window.
#[test]
fn a_run_of_a_key_is_forgotten_with_its_window() {
    let workers = Workers::new(2, &of(BY_KEY, r#""consecutive_failures": 2"#));
    assert_eq!(calls(&workers.all[0], &key("x"), "F"), "+");
    assert_eq!(calls(&workers.at(11_000).all[1], &key("x"), "FFS"), "++-");
}

/// 256 are listed. Beyond that only records say which key is open: each worker reads those of
/// healthy keys, too, and must not forget the open ones.
#[test]
fn a_full_index_forgets_no_open_key() {
    let workers = keyed("");
    let worker = &workers.all[0];
    let names: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    names.iter().for_each(|name| assert_eq!(calls(worker, &key(name), "F"), "+", "{name}"));
    let opened = workers.count("transitions.consecutive");
    assert!(opened > 260, "{opened} opened");
    assert_eq!(index(&workers).len(), opened);
    let healthy: Vec<String> = (0..400).map(|n| format!("healthy-{n}")).collect();
    healthy.iter().for_each(|name| assert_eq!(calls(worker, &key(name), "S"), "+", "{name}"));
    let refused = names.iter().filter(|name| ask(worker, &key(name)).0 == '-').count();
    assert_eq!(refused as u64, opened);
}

#[test]
fn an_index_that_was_full_is_empty_when_all_are_closed() {
    let workers = keyed("");
    let worker = &workers.all[0];
    let names: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    names.iter().for_each(|name| assert_eq!(calls(worker, &key(name), "F"), "+", "{name}"));
    // Probes fail once, so that each target is opened more than once.
    workers.at(1_000);
    names.iter().for_each(|name| drop(calls(worker, &key(name), "F")));
    workers.at(5_000);
    // Those that found no entry are forgotten with the last entry, and listed at their next call.
    names.iter().for_each(|name| drop(calls(worker, &key(name), "SS")));
    workers.tick();
    assert_eq!((index(&workers).len(), workers.count("open")), (0, 0));
    let calls_before = workers.store.calls();
    names.iter().for_each(|name| assert_eq!(ask(worker, &key(name)).0, '+', "{name}"));
    assert_eq!(workers.store.calls(), calls_before, "no worker reads records any more");
}
