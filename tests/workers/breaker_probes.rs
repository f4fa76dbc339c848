//! Probes of clients that take their time: nobody's body decides for the others.

use tidegate_policy::breaker::{BreakerParams, Record, State};
use tidegate_policy::host::Store;
use tidegate_policy::http::{Attribute, Stage};
use tidegate_sim::{SimRequest, SimResponse};

use crate::breaker::{ask, config, end, of, up, Exchange, Workers};
use crate::breaker_permits::Attack;
use crate::breaker_workers::Numbers;

/// Opens at the first failure, for a second, and is half-open for five at most.
const FIVE: &str = r#""consecutive_failures": 1, "base_open_ms": 1000, "max_half_open_ms": 5000"#;

pub(crate) fn upload<'a>() -> SimRequest<'a> {
    SimRequest::request("PUT", "/").attribute(Attribute::Cluster, b"up").with_body()
}

fn flags(flags: u64) -> SimResponse {
    SimResponse::none().attribute(Attribute::Flags, &flags.to_le_bytes())
}

pub(crate) fn gone() -> SimResponse {
    flags(1 << 14)
}

/// Opened at 0; its time is over at 1,000.
fn opened(target: &str) -> Workers {
    let workers = Workers::new(1, &of(target, FIVE));
    assert_eq!(workers.calls("F"), "+");
    workers.at(1_000);
    workers
}

pub(crate) const TARGETS: [&str; 2] = [r#"{"cluster": "up"}"#, r#"{"key": [{"constant": "x"}]}"#];

#[test]
fn bodies_that_never_end_leave_the_permits_to_others() {
    for target in TARGETS {
        for endless in 0..=5 {
            let workers = opened(target);
            let worker = &workers.all[0];
            let held: Vec<_> = (0..endless).map(|_| ask(worker, &upload())).collect();
            assert!(held.iter().all(|(word, _)| *word == 'p'), "{target} {endless}");
            assert_eq!(workers.calls("SSSSSS"), "ppppp+", "{target} {endless}");
            // Whatever becomes of them is late.
            for (_, exchange) in held {
                worker.end(exchange, &SimResponse::upstream(503));
            }
            assert_eq!(workers.calls("S"), "+", "{target} {endless}");
        }
    }
}

#[test]
fn an_upload_takes_no_permit_from_others() {
    let workers = opened(TARGETS[0]);
    let worker = &workers.all[0];
    let others: Vec<_> = (0..5).map(|_| ask(worker, &up())).collect();
    assert!(others.iter().all(|(word, _)| *word == 'p'));
    assert_eq!((ask(worker, &upload()).0, ask(worker, &up()).0), ('-', '-'));
}

#[test]
fn a_service_of_uploads_is_probed_by_uploads() {
    let workers = opened(TARGETS[0]);
    let worker = &workers.all[0];
    let mut said = String::new();
    for n in 0..6 {
        let (word, mut exchange) = ask(worker, &upload());
        said.push(word);
        workers.at(1_000 + n * 100);
        worker.complete(&mut exchange);
        worker.end(exchange, &SimResponse::upstream(200));
    }
    assert_eq!(said, "ppppp+");
}

#[test]
fn uploads_that_end_early_decide_nothing() {
    let endings: [fn(&Workers, Exchange); 4] = [
        |w, e| w.all[0].abort(e, &gone()),
        |w, e| drop(w.all[0].end(e, &SimResponse::upstream(408))),
        |w, e| {
            drop(w.all[0].end(e, &SimResponse::local(503, "upstream_reset_before_response_started", 1 << 4)));
        },
        |w, e| w.all[0].break_off(e, &SimResponse::upstream(200), &flags(1 << 6)),
    ];
    for (n, ending) in endings.into_iter().enumerate() {
        let workers = opened(TARGETS[0]);
        for _ in 0..20 {
            let (word, exchange) = ask(&workers.all[0], &upload());
            assert_eq!(word, 'p', "{n}");
            ending(&workers, exchange);
        }
        assert_eq!((workers.state(), workers.calls("SSSSSS")), (2, "ppppp+".to_owned()), "{n}");
    }
}

#[test]
fn probes_that_never_come_back_are_given_up_on_a_tick() {
    // Not longer than before: nothing was learnt.
    for letters in ["", "C"] {
        let workers = opened(TARGETS[0]);
        assert_eq!(workers.calls(letters), "p".repeat(letters.len()));
        let (word, late) = ask(&workers.all[0], &up());
        assert_eq!(word, 'p');
        workers.at(5_999).tick();
        assert_eq!(workers.state(), 2);
        workers.at(6_000).tick();
        assert_eq!((workers.state(), workers.count("transitions.expired")), (1, 1));
        assert_eq!(workers.at(6_999).calls("S"), "-", "after {letters:?}");
        end(&workers.all[0], late, 'S');
        assert_eq!((workers.count("stale"), workers.state()), (1, 1), "the late one changes nothing");
        assert_eq!(workers.at(7_000).calls("S"), "p", "after {letters:?}");
    }
}

#[test]
fn those_that_came_back_decide_when_the_half_open_time_is_over() {
    #[rustfmt::skip]
    let cases = [
        // came back  endless  state  open for  reason
        ("SSSS",      1,       0,     0,        "probes_passed"),
        ("S",         4,       0,     0,        "probes_passed"),
        ("SSF",       2,       0,     0,        "probes_passed"),
        ("SF",        3,       1,     2_000,    "probes_failed"),
        ("",          5,       1,     1_000,    "expired"),
        ("CC",        3,       1,     1_000,    "expired"),
    ];
    for target in TARGETS {
        for (came, endless, state, open_ms, reason) in cases {
            let workers = opened(target);
            let held: Vec<_> = (0..endless).map(|_| ask(&workers.all[0], &upload())).collect();
            assert_eq!(workers.calls(came), "p".repeat(came.len()));
            workers.at(5_900).tick();
            assert_eq!(workers.count(&format!("transitions.{reason}")), 0, "{came}: not before its time");
            workers.at(6_000).tick();
            let said = if state == 0 { '+' } else { '-' };
            assert_eq!(ask(&workers.all[0], &up()).0, said, "{target} {came}");
            assert_eq!(workers.count(&format!("transitions.{reason}")), 1, "{target} {came}");
            if open_ms > 0 {
                assert_eq!(ask(&workers.at(6_000 + open_ms - 1).all[0], &up()).0, '-', "{target} {came}");
                assert_eq!(ask(&workers.at(6_000 + open_ms).all[0], &up()).0, 'p', "{target} {came}");
            }
            drop(held);
        }
    }
}

/// Somebody sends bodies that never end, ten a second, each for a minute; the upstream is well again.
#[test]
fn endless_bodies_keep_honest_requests_out_for_one_open_time() {
    for (fields, fewest) in [("", 354), (r#""half_open_permits": 1"#, 354)] {
        let workers = Workers::new(2, &config(fields));
        let mut endless: Vec<(u64, usize, Exchange)> = Vec::new();
        assert_eq!(workers.calls("FFFFF"), "+++++");
        let mut passed = 0;
        for ms in (0..360_000).step_by(100) {
            workers.at(ms);
            let worker = (ms / 100 % 2) as usize;
            endless.push((ms, worker, ask(&workers.all[worker], &upload()).1));
            let (cut, rest): (Vec<_>, _) = endless.into_iter().partition(|(at, ..)| at + 60_000 <= ms);
            endless = rest;
            cut.into_iter().for_each(|(_, worker, exchange)| workers.all[worker].abort(exchange, &gone()));
            if ms % 1_000 == 500 {
                let (word, exchange) = ask(&workers.all[worker], &up());
                if word != '-' {
                    passed += 1;
                    workers.all[worker].end(exchange, &SimResponse::upstream(200));
                }
            }
            workers.tick();
        }
        assert!(passed >= fewest, "{passed} of 360 honest requests passed");
    }
}

/// Four probes were well. One client leaves late, again and again.
#[test]
fn one_client_that_leaves_late_opens_nothing() {
    let workers = Workers::new(1, &config(&format!(r#"{FIVE}, "slow_call_ms": 100"#)));
    assert_eq!(workers.calls("F"), "+");
    assert_eq!(workers.at(1_000).calls("SSSS"), "pppp");
    for n in 1..=10 {
        let (word, exchange) = ask(&workers.all[0], &up());
        assert_eq!(word, 'p', "{n}");
        workers.at(1_000 + n * 150);
        workers.all[0].abort(exchange, &gone());
        assert_eq!(workers.state(), 2, "{n}");
    }
    assert_eq!((workers.calls("S"), workers.state()), ("p".to_owned(), 0));
}

/// The record of the only breaker.
fn record(workers: &Workers) -> Record {
    let name = workers.all[0].stage().cells().next().unwrap().name;
    let (bytes, _) = workers.store.load(&name).unwrap().unwrap();
    Record::decode(&bytes, &BreakerParams::default())
}

/// One of the things that clients and upstreams do to an exchange.
fn finish(workers: &Workers, numbers: &mut Numbers, well: bool, worker: usize, mut exchange: Exchange) {
    let worker = &workers.all[worker];
    let status = if well { 200 } else { 503 };
    if numbers.below(3) > 0 {
        worker.complete(&mut exchange);
    }
    match numbers.below(6) {
        0 => worker.abort(exchange, &gone()),
        1 => worker.break_off(exchange, &SimResponse::upstream(200), &gone()),
        2 if !well => worker.break_off(exchange, &SimResponse::upstream(200), &flags(1 << 6)),
        3 if !well => worker.abort(exchange, &flags(1 << 2)),
        _ => drop(worker.end(exchange, &SimResponse::upstream(status))),
    }
}

/// However uploads, cuts, leaving clients and lost exchanges follow on each other: no half-open time
/// lasts longer than it may, and when the upstream is well, honest requests close the breaker, with bodies or
/// without, whatever permits were given before and while bodies go on that never end.
#[test]
fn no_history_loses_a_permit_or_stays_half_open() {
    let fields = format!(r#"{FIVE}, "max_open_ms": 4000, "half_open_permits": 3, "slow_call_ms": 200"#);
    for seed in 1..=60 {
        let workers = Workers::new(1 + seed as usize % 3, &config(&fields));
        let mut numbers = Numbers(seed);
        let mut under_way: Vec<(usize, Exchange)> = Vec::new();
        let (mut half_open, mut now) = (None, 0);
        for _ in 0..600 {
            now += numbers.below(60) as u64;
            workers.at(now);
            let worker = numbers.below(workers.all.len());
            match numbers.below(5) {
                0 | 1 => {
                    let request = if numbers.below(2) == 0 { up() } else { upload() };
                    let (word, exchange) = ask(&workers.all[worker], &request);
                    if word != '-' {
                        under_way.push((worker, exchange));
                    }
                }
                2 | 3 if !under_way.is_empty() => {
                    let (worker, exchange) = under_way.swap_remove(numbers.below(under_way.len()));
                    let well = numbers.below(3) == 0;
                    finish(&workers, &mut numbers, well, worker, exchange);
                }
                // Its worker died, or nobody ever hears of it again.
                4 if numbers.below(20) == 0 => drop(under_way.pop()),
                _ => drop(workers.tick()),
            }
            workers.tick();
            let record = record(&workers);
            half_open = match half_open {
                _ if record.state != State::HalfOpen => None,
                Some((generation, at)) if generation == record.generation => Some((generation, at)),
                _ => Some((record.generation, now)),
            };
            if let Some((_, since)) = half_open {
                assert!(now - since < 5_000, "seed {seed}: half-open from {since} to {now}");
            }
        }
        // From now on all is well, but for bodies that never end. Of odd seeds all requests have bodies,
        // and those that never end are reset and asked for again, or not.
        let (all_upload, mut held, mut closed) = (seed % 2 == 1, Vec::new(), None);
        let attack = if seed % 4 == 1 { Attack::ResetUploads } else { Attack::Endless };
        for ms in (now..now + 20_000).step_by(100) {
            workers.at(ms).tick();
            attack.step(&workers.all[0], ms, &mut held);
            let request = if all_upload { upload() } else { up() };
            let (word, mut exchange) = ask(workers.all.last().unwrap(), &request);
            workers.all.last().unwrap().complete(&mut exchange);
            if word != '-' {
                workers.all.last().unwrap().end(exchange, &SimResponse::upstream(200));
            }
            let is_closed = record(&workers).state == State::Closed;
            closed = closed.filter(|_| is_closed).or(is_closed.then_some(ms));
        }
        // The longest open time, and half a second of honest requests.
        let closed = closed.unwrap_or_else(|| panic!("seed {seed}: never closed"));
        assert!(closed <= now + 4_500 + 5_000, "seed {seed}: closed only after {} ms", closed - now);
    }
}
