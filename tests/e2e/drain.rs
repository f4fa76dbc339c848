//! An old configuration that serves beside the new one, on the connections that it had.
//!
//! While it drains, each of these gets one more answer from it. So a test opens many before
//! the update, and every answer says which of the two has given it.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::{eventually, Bootstrap, Client, FileLds, Options, Update};

use crate::setup::{assert_unhurt, by_key, filter, with};

/// Connections that are kept for the old configuration.
const KEPT: usize = 100;

/// From one round of requests to the next.
const ROUND: Duration = Duration::from_millis(10);

/// The period of a limit that does not refill while a test runs.
const DAY: u64 = 86_400_000;

/// Longer than a test.
const DRAIN: Duration = Duration::from_secs(120);

/// The limit `per-key` with a burst of two, and an answer that tells the version.
fn version(name: &str, per_ms: u64) -> Bootstrap {
    let limit = with(by_key("per-key", 2), &json!({"per_ms": per_ms}));
    let config: Value = json!({"limits": [limit], "reply": {"body": name}});
    Bootstrap::new().balanced().wasm(&filter(&config)).direct_response("/", 200, name)
}

/// Whether a request of client `over` is admitted by this version.
fn admits(client: &mut Client, version: &str) -> bool {
    let response = client.get("/", &[("x-key", "over")]);
    assert_eq!(response.text(), version);
    response.status == 200
}

fn update(envoy: &mut FileLds, version: &Bootstrap) {
    assert_eq!(envoy.update(&version.listener()), Update::Accepted);
}

/// What client `over`, whose burst is spent, gets out of both versions by going back and
/// forth: admissions by the old, by the new, and how long it took.
fn alternate(workers: u32, old_per_ms: u64, new_per_ms: u64) -> (u64, u64, Duration) {
    let options = Options { drain: DRAIN, ..Options::workers(workers) };
    let mut envoy = FileLds::start(&version("old", old_per_ms), &options).unwrap();
    let mut kept: Vec<_> = (0..KEPT).map(|_| Client::connect(envoy.addr())).collect();
    let spent = kept.iter_mut().filter_map(|client| admits(client, "old").then_some(())).count();
    assert!(spent >= 2, "{spent}");
    update(&mut envoy, &version("new", new_per_ms));

    let mut new: Vec<_> = (0..workers).map(|_| Client::connect(envoy.addr())).collect();
    let start = Instant::now();
    let (mut by_old, mut by_new) = (0, 0);
    for (round, old) in (1..).zip(&mut kept) {
        for new in &mut new {
            by_new += u64::from(admits(new, "new"));
        }
        by_old += u64::from(admits(old, "old"));
        assert_eq!(old.opened(), 1);
        eventually("the next round", DRAIN, || start.elapsed() >= ROUND * round);
    }
    assert_unhurt(&envoy);
    (by_old, by_new, start.elapsed())
}

#[test]
fn a_faster_limit_does_not_refill_a_slower_old_one() {
    for workers in [1, 2] {
        let (by_old, by_new, elapsed) = alternate(workers, DAY, 100);
        println!("{workers} workers: {by_old} by the old, {by_new} by the new in {elapsed:?}");
        let bound = elapsed.as_millis() / 50 + 1;
        assert!(u128::from(by_old + by_new) <= bound, "{by_old} + {by_new} of {bound} in {elapsed:?}");
        assert!(by_new >= 5, "{by_new} in {elapsed:?}");
    }
}

#[test]
fn a_faster_old_limit_does_not_refill_a_slower_one() {
    for workers in [1, 2] {
        let (by_old, by_new, elapsed) = alternate(workers, 100, DAY);
        println!("{workers} workers: {by_old} by the old, {by_new} by the new in {elapsed:?}");
        assert!((1..=2).contains(&(by_old + by_new)), "{by_old} + {by_new}");
    }
}

/// Loosening a limit must not end service for those who keep their connections.
#[test]
fn strangers_pass_on_old_connections_too() {
    for (old, new) in [(DAY, 100), (100, DAY)] {
        let options = Options { drain: DRAIN, ..Options::workers(1) };
        let mut envoy = FileLds::start(&version("old", old), &options).unwrap();
        let mut kept: Vec<_> = (0..KEPT).map(|_| Client::connect(envoy.addr())).collect();
        for client in &mut kept {
            let _ = admits(client, "old");
        }
        update(&mut envoy, &version("new", new));
        let mut client = Client::connect(envoy.addr());
        let mut fresh = |client: &mut Client, name: &str| client.get("/", &[("x-key", name)]).status;
        let of_new: Vec<_> =
            (0..2000).map(|n| fresh(&mut client, &format!("n{n}"))).filter(|s| *s != 200).collect();
        let of_old: Vec<_> = kept
            .iter_mut()
            .enumerate()
            .map(|(n, c)| fresh(c, &format!("o{n}")))
            .filter(|s| *s != 200)
            .collect();
        println!("old {old}, new {new}: refused new {}, refused old {}", of_new.len(), of_old.len());
    }
}

/// A -> B -> A while the first A drains.
#[test]
fn a_configuration_that_returns_is_in_force_again() {
    for (a, b) in [(DAY, 100), (100, DAY)] {
        let options = Options { drain: DRAIN, ..Options::workers(1) };
        let mut envoy = FileLds::start(&version("a", a), &options).unwrap();
        let mut first = Client::connect(envoy.addr());
        let _ = admits(&mut first, "a");
        update(&mut envoy, &version("b", b));
        let fresh = |client: &mut Client, name: &str| client.get("/", &[("x-key", name)]).status;
        let mut client = Client::connect(envoy.addr());
        let of_b: Vec<_> =
            (0..20_000).map(|n| fresh(&mut client, &format!("n{n}"))).filter(|s| *s != 200).collect();
        update(&mut envoy, &version("a", a));
        let mut client = Client::connect(envoy.addr());
        let of_a: Vec<_> =
            (0..2_000).map(|n| fresh(&mut client, &format!("o{n}"))).filter(|s| *s != 200).collect();
        println!("a {a}, b {b}: refused by b {}, refused by a {}", of_b.len(), of_a.len());
    }
}

#[test]
fn zz_explore() {
    use tidegate_tests::{paths::probe, WasmFilter};
    let fresh = |client: &mut Client, name: &str| client.get("/", &[("x-key", name)]).status;
    for (drain, wait) in [(1, true), (1, false)] {
        let options = Options { drain: Duration::from_secs(drain), ..Options::workers(1) };
        let mut envoy = FileLds::start(&version("a", DAY), &options).unwrap();
        let drained = |envoy: &FileLds| {
            eventually("drained", DRAIN, || {
                envoy.stat("listener_manager.total_filter_chains_draining")
                    + envoy.stat("listener_manager.total_listeners_draining")
                    == 0
            })
        };
        let mut first = Client::connect(envoy.addr());
        let _ = admits(&mut first, "a");
        update(&mut envoy, &version("b", 100));
        let mut client = Client::connect(envoy.addr());
        for n in 0..20_000 {
            let _ = fresh(&mut client, &format!("n{n}"));
        }
        if wait {
            drained(&envoy);
        }
        println!(
            "draining before rollback: {}",
            envoy.stat("listener_manager.total_filter_chains_draining")
                + envoy.stat("listener_manager.total_listeners_draining")
        );
        update(&mut envoy, &version("a", DAY));
        let mut client = Client::connect(envoy.addr());
        let of_a = (0..1_000).filter(|n| fresh(&mut client, &format!("o{n}")) != 200).count();
        drained(&envoy);
        let later = (0..1_000).filter(|n| fresh(&mut client, &format!("p{n}")) != 200).count();
        println!("rollback, drained before it {wait}: refused {of_a}, after the drain {later}");
    }
    // the old VM traps while it drains
    let trap = |name: &str, per_ms: u64| {
        let limit = with(by_key("per-key", 2), &json!({"per_ms": per_ms}));
        let config: Value = json!({"limits": [limit], "reply": {"body": name}});
        Bootstrap::new()
            .balanced()
            .wasm(&WasmFilter::new(probe("trap-ratelimit")).config(&config))
            .direct_response("/", 200, name)
    };
    for (old, new) in [(DAY, 100), (100, DAY)] {
        for neu_traps in [false, true] {
            let options = Options { drain: DRAIN, ..Options::workers(1) };
            let mut envoy = FileLds::start(&trap("old", old), &options).unwrap();
            let mut kept: Vec<_> = (0..3).map(|_| Client::connect(envoy.addr())).collect();
            for client in &mut kept {
                let _ = admits(client, "old");
            }
            update(&mut envoy, &trap("new", new));
            let mut client = Client::connect(envoy.addr());
            for n in 0..2_000 {
                let _ = fresh(&mut client, &format!("n{n}"));
            }
            let trapping = if neu_traps { &mut client } else { &mut kept[0] };
            println!("trap {}", trapping.get("/", &[("x-trap", "request")]).status);
            eventually("the reload of the new one", DRAIN, || fresh(&mut client, "w") != 503);
            println!("old {:?}", kept[1].get("/", &[("x-key", "old1")]));
            let of_new = (0..1_000).filter(|n| fresh(&mut client, &format!("o{n}")) != 200).count();
            println!(
                "trap, old {old} new {new}, the new one trapped {neu_traps}: refused by new {of_new}; {:?}",
                envoy.stats("vm_reload_success")
            );
        }
    }
}
