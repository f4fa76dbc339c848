//! A new configuration while requests come in: the table stays, no request is lost.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::load::Report;
use tidegate_tests::{eventually, Client, Envoy, FileLds, Load, Options, Request, Update};

use crate::setup::{ask, assert_unhurt, by_key, in_both, with, Layout};

const PATIENCE: Duration = Duration::from_secs(10);

fn start_file(layout: Layout, config: &Value) -> FileLds {
    FileLds::start(&layout.limited(config), &Options::workers(2)).unwrap()
}

fn update(layout: Layout, envoy: &mut FileLds, config: &Value) {
    assert_eq!(envoy.update(&layout.limited(config).listener()), Update::Accepted, "{config}");
}

/// The statuses of `count` requests on a new connection, which has the new configuration.
fn ask_anew(envoy: &FileLds, key: &str, count: usize) -> Vec<u16> {
    ask(&mut Client::connect(envoy.addr()), key, count)
}

/// Ends the load also when an assertion fails; nobody would, otherwise.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Load until it is `done`: the first connection is over its limit, each request of the others is a client's
/// first.
fn keep_asking(addr: SocketAddr, done: &AtomicBool) -> Vec<Report> {
    let mut reports = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let run = reports.len();
        let load = Load::new(addr).connections(8).threads(2).requests(2_000);
        reports.push(load.run(|connection, number, out| {
            let key = if connection == 0 { "over".to_owned() } else { format!("{run}-{number}") };
            out.extend_from_slice(&Request::get("/").header("x-key", key).bytes());
        }));
    }
    reports
}

#[test]
fn reloads_under_load_lose_neither_a_request_nor_what_clients_owe() {
    in_both(|layout| {
        let limits = json!([by_key("per-key", 50)]);
        let mut envoy = start_file(layout, &json!({"limits": limits}));
        assert_eq!(ask_anew(&envoy, "over", 51), [&[200; 50][..], &[429]].concat());

        let changes = [
            // headers only
            json!({"limits": limits, "headers": "draft03_envoy"}),
            json!({"limits": limits, "headers_on_admitted": true}),
            json!({"limits": limits, "reply": {"body": "no", "headers": {"x-a": "b"}}}),
            // limits added and reordered
            json!({"limits": [by_key("new", 50_000), by_key("per-key", 50)]}),
            json!({"limits": [by_key("per-key", 50), with(by_key("other", 1), &json!({"mode": "observe"}))]}),
            // another rate: twice as fast, then with a smaller burst as well
            json!({"limits": [with(by_key("per-key", 50), &json!({"requests": 2}))]}),
            json!({"limits": [with(by_key("per-key", 40), &json!({"requests": 2}))]}),
        ];
        let (addr, done) = (envoy.addr(), AtomicBool::new(false));
        let reports = thread::scope(|scope| {
            let load = scope.spawn(|| keep_asking(addr, &done));
            let stop = Stop(&done);
            for config in &changes {
                update(layout, &mut envoy, config);
                assert_eq!(ask_anew(&envoy, "over", 5), [429; 5], "{config}");
            }
            drop(stop);
            load.join().unwrap()
        });

        let lost: u64 = reports.iter().map(|report| report.lost).sum();
        let answers = |of: fn(&Report) -> &[BTreeMap<u16, u64>]| {
            let statuses = reports.iter().flat_map(of).flatten();
            statuses.fold(BTreeMap::<u16, u64>::new(), |mut all, (status, count)| {
                *all.entry(*status).or_default() += count;
                all
            })
        };
        let over = answers(|report| &report.per_connection[..1]);
        let others = answers(|report| &report.per_connection[1..]);
        println!("{} runs, over the limit {over:?}, others {others:?}", reports.len());
        assert_eq!(lost, 0);
        assert_eq!(
            (over.keys().collect::<Vec<_>>(), others.keys().collect::<Vec<_>>()),
            (vec![&429], vec![&200])
        );
        assert_unhurt(&envoy);
    });
}

/// A client that owes days to a slow limit used to be told to wait again and again after
/// the limit was made faster: what it owed was cut to the new capacity from the instant of
/// each request, but never written, because refusals write nothing.
#[test]
fn a_faster_rate_admits_whoever_waits_as_it_says() {
    in_both(|layout| {
        let slow = by_key("per-key", 2);
        let fast = with(slow.clone(), &json!({"per_ms": 500}));
        let mut envoy = start_file(layout, &json!({"limits": [slow]}));
        assert_eq!(ask_anew(&envoy, "a", 3), [200, 200, 429]);

        update(layout, &mut envoy, &json!({"limits": [fast]}));
        let mut client = Client::connect(envoy.addr());
        let refused = client.get("/", &[("x-key", "a")]);
        assert_eq!((refused.status, refused.header("retry-after").as_deref()), (429, Some("1")));
        let start = Instant::now();
        eventually("an admission", PATIENCE, || client.get("/", &[("x-key", "a")]).status == 200);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    });
}

#[test]
fn a_larger_burst_gives_the_difference_and_a_smaller_one_takes_it() {
    in_both(|layout| {
        let mut envoy = start_file(layout, &json!({"limits": [by_key("per-key", 5)]}));
        assert_eq!(ask_anew(&envoy, "a", 6), [200, 200, 200, 200, 200, 429]);
        update(layout, &mut envoy, &json!({"limits": [by_key("per-key", 7)]}));
        assert_eq!(ask_anew(&envoy, "a", 3), [200, 200, 429]);
        assert_eq!(ask_anew(&envoy, "b", 4), [200; 4]);
        update(layout, &mut envoy, &json!({"limits": [by_key("per-key", 3)]}));
        assert_eq!((ask_anew(&envoy, "a", 1), ask_anew(&envoy, "b", 1)), (vec![429], vec![429]));
    });
}

/// Debts are kept in units (ADR 0008): whoever owes 3 of 5 at the old rate owes 3 of 5 at the new one.
#[test]
fn at_another_rate_as_many_requests_are_owed() {
    in_both(|layout| {
        let slow = by_key("per-key", 5);
        let fast = with(slow.clone(), &json!({"requests": 2}));
        for (before, after) in [(&slow, &fast), (&fast, &slow)] {
            let mut envoy = start_file(layout, &json!({"limits": [before]}));
            assert_eq!(ask_anew(&envoy, "a", 3), [200; 3]);
            assert_eq!(ask_anew(&envoy, "b", 6), [200, 200, 200, 200, 200, 429]);
            update(layout, &mut envoy, &json!({"limits": [after]}));
            assert_eq!(ask_anew(&envoy, "a", 3), [200, 200, 429], "{after}");
            assert_eq!(ask_anew(&envoy, "b", 1), [429], "{after}");
        }
    });
}

#[test]
fn another_name_or_table_size_starts_afresh() {
    in_both(|layout| {
        let mut envoy = start_file(layout, &json!({"limits": [by_key("old", 1)]}));
        assert_eq!(ask_anew(&envoy, "a", 2), [200, 429]);
        update(layout, &mut envoy, &json!({"limits": [by_key("new", 1)]}));
        assert_eq!(ask_anew(&envoy, "a", 2), [200, 429]);
        update(layout, &mut envoy, &json!({"limits": [by_key("new", 1)], "table": {"keys": 1024}}));
        assert_eq!(ask_anew(&envoy, "a", 2), [200, 429]);
        // The cells of the first are still there.
        update(layout, &mut envoy, &json!({"limits": [by_key("old", 1)]}));
        assert_eq!(ask_anew(&envoy, "a", 1), [429]);
    });
}

#[test]
fn a_bad_configuration_is_rejected_and_the_old_one_keeps_serving() {
    in_both(|layout| {
        let good = json!({"limits": [by_key("per-key", 2)]});
        let mut envoy = start_file(layout, &good);
        let mut client = Client::connect(envoy.addr());
        assert_eq!(ask(&mut client, "a", 3), [200, 200, 429]);
        let bad =
            json!({"limits": [with(by_key("per-key", 2), &json!({"per_ms": 0})), by_key("per key", 1)]});
        for round in 0..2 {
            let Update::Rejected(log) = envoy.update(&layout.limited(&bad).listener()) else {
                panic!("accepted {bad}")
            };
            // Envoy remembers what it has refused and does not ask the filter a second time.
            let told = |problem| log.contains(problem) == (round == 0);
            assert!(told("limits[0].per_ms: 0 ms is out of range"), "round {round}: {log}");
            assert!(told("limits[1].name: \"per key\" is not a name"), "round {round}: {log}");
            assert_eq!((ask(&mut client, "a", 1), client.opened()), (vec![429], 1), "nothing was drained");
            assert_eq!(ask_anew(&envoy, "a", 1), [429]);
        }
        update(layout, &mut envoy, &json!({"limits": [by_key("per-key", 3)]}));
        assert_eq!(ask_anew(&envoy, "a", 2), [200, 429]);
    });
}

/// How often the workers wake up in two idle seconds: once for each timer that fires.
fn wakes(envoy: &Envoy) -> u64 {
    let count = || -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", envoy.pid())).unwrap().flatten();
        let read =
            |path: &std::path::Path, file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        let workers =
            tasks.map(|task| task.path()).filter(|path| read(path, "comm").starts_with("wrk:worker"));
        let switches = workers.map(|path| {
            let status = read(&path, "status");
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.unwrap().trim().parse::<u64>().unwrap()
        });
        switches.sum()
    };
    let (start, before) = (Instant::now(), count());
    eventually("two idle seconds", PATIENCE, || start.elapsed() >= Duration::from_secs(2));
    count() - before
}

#[test]
fn reloads_leave_neither_timers_nor_memory_behind() {
    in_both(|layout| {
        let reply = |n: u32| json!({"headers": {"x-version": n.to_string()}});
        let version = |n: u32| json!({"limits": [by_key("per-key", 5)], "reply": reply(n)});
        let mut envoy = start_file(layout, &version(0));
        let mut reload = |versions: std::ops::Range<u32>| {
            for n in versions {
                update(layout, &mut envoy, &version(n));
                ask_anew(&envoy, "a", 1);
            }
            eventually("old listeners to be gone", PATIENCE, || {
                envoy.stat("listener_manager.total_listeners_draining") == 0
                    && envoy.stat("listener_manager.total_filter_chains_draining") == 0
            });
            (wakes(&envoy), envoy.rss_bytes())
        };
        let (wakes_before, memory_before) = reload(1..11);
        let (wakes_after, memory_after) = reload(11..71);
        let growth = memory_after.saturating_sub(memory_before) >> 10;
        println!("wakes in 2 s {wakes_before} -> {wakes_after}, {growth} KiB more after 60 reloads");
        // Sixty timers would fire 240 times on two workers.
        assert!(wakes_after < wakes_before + 60, "{wakes_before} -> {wakes_after}");
        assert!(growth < 8 << 10, "{growth} KiB");
        assert_eq!(ask_anew(&envoy, "a", 1), [429]);
        assert_unhurt(&envoy);
    });
}
