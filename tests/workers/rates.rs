//! Several workers over time: what they admit together, against one exact limiter.

use std::sync::Arc;

use serde_json::json;
use tidegate_policy::gcra::{Bucket, Decision, Rate};
use tidegate_policy::http::Verdict;
use tidegate_policy::ratelimit::RateLimit;
use tidegate_policy::time::{Span, Timestamp};
use tidegate_sim::{SimHost, SimRequest, SimStore, Worker};

/// What a run came to.
#[derive(Debug)]
struct Run {
    admitted: Vec<u64>,
    exact: usize,
    sent: usize,
    store_calls: u64,
    leased: u64,
}

/// `requests` a second with a burst of `burst`.
#[derive(Clone, Copy, Debug)]
struct Limit {
    requests: u32,
    burst: u32,
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

/// Sends requests of one key to random workers, `gap_ns` apart on average, for `millis`.
fn run(workers: usize, limit: Limit, gap_ns: u64, millis: u64, pauses: bool) -> Run {
    let Limit { requests, burst } = limit;
    let limit =
        json!({"name": "k", "key": [{"header": "k"}], "requests": requests, "per_ms": 1000, "burst": burst});
    let json = json!({"limits": [limit], "table": {"keys": 16}}).to_string();
    let store = Arc::new(SimStore::default());
    let worker = |_| Worker::<RateLimit, _>::new(&json, SimHost::new(store.clone())).unwrap();
    let workers: Vec<_> = (0..workers).map(worker).collect();
    let rate =
        Rate::new(requests.try_into().unwrap(), Span::from_secs(1), burst.try_into().unwrap()).unwrap();
    let started = store.calls();
    let (mut numbers, mut bucket, mut now) = (Numbers(7), Bucket::FULL, 0);
    let mut run = Run { admitted: Vec::new(), exact: 0, sent: 0, store_calls: 0, leased: 0 };
    while now < millis * 1_000_000 {
        // Every fifth of a second everybody pauses, so that leases end unspent.
        let pause = if pauses && run.sent % 2_000 == 1_999 { 150_000_000 } else { 0 };
        now += pause + numbers.below(gap_ns * 2) + 1;
        let worker = &workers[usize::try_from(numbers.below(workers.len() as u64)).unwrap()];
        worker.host.set(Span::from_nanos(now));
        if run.sent % 10_000 == 0 {
            worker.tick();
        }
        run.sent += 1;
        if matches!(worker.request(&SimRequest::get("/").header("k", b"hot")), Verdict::Continue(_)) {
            run.admitted.push(now);
        }
        let at = Timestamp::from_nanos(3_600_000_000_000 + now);
        if let Decision::Admit { next } = rate.decide(bucket, at, 1) {
            bucket = next;
            run.exact += 1;
        }
    }
    run.store_calls = store.calls() - started;
    run.leased = workers.iter().map(|w| w.host.count(w.counter("tidegate.ratelimit.limit.k.leased"))).sum();
    run
}

/// The most requests beyond `burst + window / T` in any window: of all windows that start
/// and end at an admission.
fn worst_excess(admitted: &[u64], limit: Limit) -> i128 {
    let requests = limit.requests.try_into().unwrap();
    worst_excess_ns(
        admitted,
        Rate::new(requests, Span::from_secs(1), limit.burst.try_into().unwrap()).unwrap(),
    )
}

fn worst_excess_ns(admitted: &[u64], rate: Rate) -> i128 {
    let interval = i128::from(rate.interval().as_nanos());
    let burst = i128::from(rate.burst().get());
    // n(i..=j) − (burst + (t_j − t_i) / T) > 0  ⇔  (n − burst)·T > t_j − t_i
    let (mut worst, mut least) = (i128::MIN, i128::MAX);
    for (index, at) in (0..).zip(admitted) {
        least = least.min(index * interval - i128::from(*at));
        worst = worst.max((index + 1 - burst) * interval - i128::from(*at) - least);
    }
    worst
}

#[test]
fn leases_stay_within_the_envelope_and_within_a_hundredth_of_exact() {
    #[rustfmt::skip]
    let cases = [
        // name                              workers  per s    burst   gap ns   ms     pauses
        ("far below the limit",               4,      100_000, 100_000, 25_000, 2_000, false),
        ("just below the limit",              4,       40_000,  40_000, 26_000, 2_000, false),
        ("just above the limit",              4,       40_000,  40_000, 24_000, 4_000, false),
        ("twice the limit",                   4,       20_000,  20_000, 25_000, 4_000, false),
        ("ten times the limit",               2,        4_000,   4_000, 25_000, 4_000, false),
        ("hardly any burst",                  4,       20_000,     100, 25_000, 4_000, false),
        ("one worker",                        1,       20_000,  20_000, 25_000, 4_000, false),
        ("with pauses, below the limit",      4,       60_000,  60_000, 25_000, 4_000, true),
        ("with pauses, above the limit",      4,       10_000,  20_000, 25_000, 4_000, true),
        ("eight workers, slow limit",         8,          500,   5_000, 25_000, 4_000, false),
    ];
    for (name, workers, requests, burst, gap, millis, pauses) in cases {
        let limit = Limit { requests, burst };
        let run = run(workers, limit, gap, millis, pauses);
        let share = run.admitted.len() as f64 / run.exact as f64;
        println!(
            "{name}: sent {}, admitted {}, exact {}, {:.4}; {} store calls, {} leased",
            run.sent,
            run.admitted.len(),
            run.exact,
            share,
            run.store_calls,
            run.leased
        );
        assert!(worst_excess(&run.admitted, limit) <= 0, "{name}: above the envelope");
        assert!(share >= 0.99, "{name}: {share:.4} of what an exact limiter admits");
    }
}

/// A limit that refills slowly and traffic that comes in blips: what a blip leaves of its
/// leases must not be missing from the burst at the end.
#[test]
fn blips_do_not_use_up_a_burst_that_they_do_not_spend() {
    let shapes = [1, 2, 4, 8].into_iter().flat_map(|workers| [(workers, 200_000), (workers, 3_000_000)]);
    for (workers, gap) in shapes {
        let json = r#"{"limits": [{"name": "k", "key": [{"header": "k"}], "requests": 100, "per_ms": 60000,
            "burst": 1000}], "table": {"keys": 16}}"#;
        let store = Arc::new(SimStore::default());
        let worker = |_| Worker::<RateLimit, _>::new(json, SimHost::new(store.clone())).unwrap();
        let workers: Vec<_> = (0..workers).map(worker).collect();
        let rate = Rate::new(100.try_into().unwrap(), Span::from_secs(60), 1000.try_into().unwrap()).unwrap();
        let (mut numbers, mut bucket, mut exact, mut admitted) = (Numbers(7), Bucket::FULL, 0, Vec::new());
        for minute in 0..61_u64 {
            let requests = if minute == 60 { 3_000 } else { 100 };
            for number in 0..requests {
                let now = minute * 60_000_000_000 + number * gap;
                let worker = &workers[usize::try_from(numbers.below(workers.len() as u64)).unwrap()];
                worker.host.set(Span::from_nanos(now));
                if matches!(worker.request(&SimRequest::get("/").header("k", b"x")), Verdict::Continue(_)) {
                    admitted.push(now);
                }
                let at = Timestamp::from_nanos(3_600_000_000_000 + now);
                if let Decision::Admit { next } = rate.decide(bucket, at, 1) {
                    (bucket, exact) = (next, exact + 1);
                }
            }
            for worker in &workers {
                worker.host.set(Span::from_nanos(minute * 60_000_000_000 + requests * gap + 250_000_000));
                worker.tick();
            }
        }
        let share = admitted.len() as f64 / f64::from(exact);
        let shape = format!("{} workers, {gap} ns apart", workers.len());
        println!("{shape}: {share:.4}");
        assert!(worst_excess_ns(&admitted, rate) <= 0, "{shape}: above the envelope");
        assert!(share >= 0.99, "{shape}: {share:.4} of exact");
    }
}

#[test]
fn a_hot_key_touches_the_store_once_a_lease() {
    let run = run(4, Limit { requests: 100_000, burst: 100_000 }, 25_000, 2_000, false);
    assert_eq!(run.admitted.len(), run.sent);
    assert!(run.leased * 10 > run.sent as u64 * 9, "{run:?}", run = (run.leased, run.sent));
    assert!(run.store_calls * 8 < run.sent as u64, "{} calls for {} requests", run.store_calls, run.sent);
}

#[test]
fn a_refused_hot_key_hardly_touches_the_store() {
    let run = run(4, Limit { requests: 10, burst: 10 }, 25_000, 2_000, false);
    assert!(run.store_calls * 50 < run.sent as u64, "{} calls for {} requests", run.store_calls, run.sent);
}
