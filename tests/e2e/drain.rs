//! An old configuration that serves beside the new one, on the connections that it had.
//!
//! While it drains, each of these gets one more answer from it. So a test opens many before
//! the update, and every answer says which of the two has given it.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::{eventually, Bootstrap, Client, FileLds, Options, Update, WasmFilter};

use crate::setup::{assert_unhurt, by_key, in_both, with, Layout};

/// Periods of a limit: one refills while a test runs, one does not.
const FAST: u64 = 100;
const SLOW: u64 = 86_400_000;

/// Connections that are kept for the old configuration.
const KEPT: usize = 100;

/// From one round of requests to the next.
const ROUND: Duration = Duration::from_millis(10);

/// Longer than a test.
const DRAIN: Duration = Duration::from_secs(120);

/// Two requests at once and then one every `per_ms`, in a table so small that any hundred
/// clients meet every other hundred; answers tell the version.
fn version_of(filter: impl Fn(&Value) -> WasmFilter, name: &str, per_ms: u64) -> Bootstrap {
    let limit = with(by_key("per-key", 2), &json!({"per_ms": per_ms}));
    let config = json!({"limits": [limit], "table": {"keys": 1024}, "reply": {"body": name}});
    Bootstrap::new().balanced().wasm(&filter(&config)).direct_response("/", 200, name)
}

fn version(layout: Layout, name: &str, per_ms: u64) -> Bootstrap {
    version_of(|config| layout.filter(config), name, per_ms)
}

/// Whether a request is admitted, which this version must decide.
fn admits(client: &mut Client, version: &str, key: &str) -> bool {
    let response = client.get("/", &[("x-key", key)]);
    assert_eq!(response.text(), version);
    response.status == 200
}

/// How many of a hundred clients that were never seen before are refused.
fn refused(client: &mut Client, version: &str, clients: &str) -> usize {
    (0..100).filter(|number| !admits(client, version, &format!("{clients}-{number}"))).count()
}

/// An Envoy with this version, and connections to it. Client `over` has spent its burst, but
/// no worker remembers that it would be refused.
fn start(old: &Bootstrap, workers: u32) -> (FileLds, Vec<Client>) {
    let options = Options { drain: DRAIN, ..Options::workers(workers) };
    let envoy = FileLds::start(old, &options).unwrap();
    let mut kept: Vec<_> = (0..KEPT).map(|_| Client::connect(envoy.addr())).collect();
    for (number, client) in kept.iter_mut().enumerate() {
        let key = if number < 2 { "over".to_owned() } else { format!("warm-{number}") };
        assert!(admits(client, "old", &key));
    }
    (envoy, kept)
}

fn update(envoy: &mut FileLds, version: &Bootstrap) -> Client {
    assert_eq!(envoy.update(&version.listener()), Update::Accepted);
    Client::connect(envoy.addr())
}

/// How often client `over` is admitted when it goes back and forth between an old and a new
/// configuration, and for how long it did so.
fn back_and_forth(layout: Layout, workers: u32, old_per_ms: u64, new_per_ms: u64) -> (u64, Duration) {
    let (mut envoy, mut kept) = start(&version(layout, "old", old_per_ms), workers);
    let mut new = [update(&mut envoy, &version(layout, "new", new_per_ms)), Client::connect(envoy.addr())];
    let start = Instant::now();
    let (mut by_old, mut by_new) = (0, 0);
    for (round, old) in (1..).zip(&mut kept) {
        by_new += new.iter_mut().map(|client| u64::from(admits(client, "new", "over"))).sum::<u64>();
        by_old += u64::from(admits(old, "old", "over"));
        eventually("the next round", DRAIN, || start.elapsed() >= ROUND * round);
    }
    assert!(kept.iter().chain(&new).all(|client| client.opened() == 1));
    assert_unhurt(&envoy);
    println!("{old_per_ms} -> {new_per_ms} ms, {workers} workers: {by_old} by the old, {by_new} by the new");
    (by_old + by_new, start.elapsed())
}

/// One request to whichever was the faster used to cut what the client owed to the slower.
#[test]
fn going_back_and_forth_gains_nothing_over_a_faster_limit() {
    in_both(|layout| {
        for workers in [1, 2] {
            let (admitted, elapsed) = back_and_forth(layout, workers, SLOW, FAST);
            let most = 2 + elapsed.as_millis() / u128::from(FAST);
            assert!((3..=most).contains(&u128::from(admitted)), "{admitted} of {most}, {workers} workers");
        }
    });
}

#[test]
fn going_back_and_forth_gains_nothing_over_a_slower_limit() {
    in_both(|layout| {
        for workers in [1, 2] {
            // None, unless a unit comes back at the old rate before the new configuration is in force.
            let (admitted, _) = back_and_forth(layout, workers, FAST, SLOW);
            assert!(admitted <= 2, "{admitted}, {workers} workers");
        }
    });
}

#[test]
fn both_configurations_admit_whoever_owes_nothing() {
    in_both(|layout| {
        for (old, new) in [(SLOW, FAST), (FAST, SLOW)] {
            let (mut envoy, kept) = start(&version(layout, "old", old), 1);
            let mut client = update(&mut envoy, &version(layout, "new", new));
            assert_eq!(refused(&mut client, "new", "first"), 0, "{old} -> {new}");
            let by_old = (0..).zip(kept).filter_map(|(number, mut client)| {
                let key = format!("second-{number}");
                (!admits(&mut client, "old", &key)).then_some(key)
            });
            assert_eq!(by_old.collect::<Vec<_>>(), [""; 0], "{old} -> {new}");
            assert_eq!(refused(&mut client, "new", "third"), 0, "{old} -> {new}");
        }
    });
}

/// Envoy keeps the contexts of a configuration that drains, and takes them again when it
/// returns: the filter is told nothing.
#[test]
fn a_configuration_that_returns_while_it_drains_serves_as_before() {
    in_both(|layout| {
        for (old, new) in [(SLOW, FAST), (FAST, SLOW)] {
            let (mut envoy, _kept) = start(&version(layout, "old", old), 1);
            let mut client = update(&mut envoy, &version(layout, "new", new));
            assert_eq!(refused(&mut client, "new", "first"), 0, "{old} -> {new}");
            let mut client = update(&mut envoy, &version(layout, "old", old));
            assert_eq!(refused(&mut client, "old", "second"), 0, "{old} -> {new} -> {old}");
            assert_unhurt(&envoy);
        }
    });
}

/// The old and the new configuration share a VM. After a trap each is configured anew with
/// its next request, the old one perhaps last.
#[test]
fn a_trap_does_not_leave_an_old_configuration_in_force() {
    in_both(|layout| {
        let version = |name, per_ms| version_of(|config| layout.trap(config).0, name, per_ms);
        for (old, new) in [(SLOW, FAST), (FAST, SLOW)] {
            let (mut envoy, mut kept) = start(&version("old", old), 1);
            let mut client = update(&mut envoy, &version("new", new));
            assert_eq!(refused(&mut client, "new", "first"), 0, "{old} -> {new}");
            assert_eq!(client.get("/", &[("x-trap", "request")]).status, 503);
            eventually("the reload", DRAIN, || client.get("/", &[("x-key", "a")]).status == 200);
            for (number, client) in kept.iter_mut().enumerate() {
                assert!(admits(client, "old", &format!("second-{number}")), "{old} -> {new}");
            }
            assert_eq!(refused(&mut client, "new", "third"), 0, "{old} -> {new}");
            let reloads = format!("wasm.{}.vm_reload_success", layout.trap(&json!({})).1);
            assert_eq!(envoy.stat(&reloads), 2, "{old} -> {new}");
        }
    });
}
