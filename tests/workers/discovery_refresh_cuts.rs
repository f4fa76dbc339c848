//! Something between us and Consul ends queries before their time: endpoints stay fresh, and that is no outage.

use crate::discovery::{config, reached, Numbers, Workers};
use crate::registry::{Registry, State};

const ONE: &str = "10.0.0.1:80";

/// A Consul behind a proxy that ends queries like this, asked by as many workers.
fn world(workers: usize, cut: Option<(u64, u32)>) -> (Workers, Registry) {
    let workers = Workers::new(workers, &config("", ""));
    let mut registry = Registry::new();
    registry.cut = cut;
    registry.register("orders", &[ONE]);
    (workers, registry)
}

#[test]
fn a_proxy_that_ends_queries_is_asked_for_less_and_told_of_once() {
    #[rustfmt::skip]
    let cases = [
        // status  after   waits of the first queries          what is asked from now on
        (504,      2_000,  &[55_000, 1_000, 1_000][..],         "they ask for 1000 ms at a time"),
        (408,      30_000, &[55_000, 15_000, 15_000],           "they ask for 15000 ms at a time"),
        (502,      10_000, &[55_000, 55_000, 5_000],            "they ask for 5000 ms at a time"),
        (0,        50_000, &[55_000, 55_000, 25_000],           "they ask for 25000 ms at a time"),
        (504,      900,    &[55_000],                           "they are sent every `ttl_ms`"),
    ];
    for (status, after, waits, now) in cases {
        let (workers, mut registry) = world(2, Some((after, status)));
        registry.run(&workers, 0, 400_000);
        assert_eq!(registry.waits[..waits.len()], *waits, "{status} after {after}");
        let error = if status == 0 {
            "no answer".to_owned()
        } else {
            format!("the registry answered with status {status}")
        };
        let line = format!(
            "registry main: something in between ends queries after {after} ms ({error}), before their wait of \
             55000 ms: {now}; raise its timeout above 58437 ms, or lower `wait_ms`"
        );
        assert_eq!((workers.notes(), workers.asked("failures")), (vec![line], 0));
        assert_eq!(reached(&workers.all[1]), "1");
    }
}

#[test]
fn endpoints_stay_fresh_behind_a_proxy_that_ends_queries() {
    // A period and its fifth, where queries are not held.
    for (after, within) in [(700, 12_200), (2_000, 0), (40_000, 0)] {
        let (workers, mut registry) = world(2, Some((after, 504)));
        registry.run(&workers, 0, 1_000);
        for n in 2..60_u64 {
            // At another place of the wait each time, over the end of what is remembered.
            let from = n * 20_300;
            registry.run(&workers, from - 19_200, from);
            registry.register("orders", &[&format!("10.0.0.{n}:80")]);
            registry.run(&workers, from, from + within);
            assert_eq!(reached(&workers.all[1]), n.to_string(), "cut after {after}");
        }
        assert_eq!((workers.asked("failures"), workers.notes().len()), (0, 1), "cut after {after}");
    }
}

/// The proxy says 504 for a Consul that hangs, too.
#[test]
fn a_proxy_in_front_of_a_dead_consul_is_an_outage() {
    for (state, status) in [(State::Hung, 504), (State::Down, 502)] {
        let (workers, mut registry) = world(1, Some((2_000, 504)));
        registry.run(&workers, 0, 60_000);
        assert_eq!((workers.asked("failures"), workers.notes().len()), (0, 1));
        registry.state = state;
        // The query that is held, and the next one.
        registry.run(&workers, 60_100, 64_600);
        assert!(workers.asked("failures") > 0, "{state:?}");
        let line = format!(
            "registry main: orders: the registry answered with status {status}; its last good answer is served on, \
             with 1 endpoints"
        );
        assert_eq!(workers.notes(), [line]);
        registry.state = State::Up;
        registry.register("orders", &["10.0.0.2:80"]);
        registry.run(&workers, 64_700, 72_000);
        assert_eq!(reached(&workers.all[0]), "2");
        assert_eq!(workers.notes(), ["registry main: orders: answers again, with 1 endpoints"]);
    }
}

/// Also when it was never seen to be cut: the first cut is the outage.
#[test]
fn an_outage_is_no_reason_to_ask_for_less() {
    for state in [State::Hung, State::Down] {
        let (workers, mut registry) = world(1, Some((20_000, 504)));
        registry.run(&workers, 0, 1_000);
        registry.state = state;
        registry.run(&workers, 1_100, 60_000);
        assert!(workers.asked("failures") > 0);
        (registry.state, registry.cut) = (State::Up, None);
        registry.run(&workers, 60_100, 200_000);
        assert!(registry.waits.iter().all(|wait| *wait == 55_000), "{state:?}: {:?}", registry.waits);
    }
}

/// A proxy that is taken away, or mended.
#[test]
fn the_full_wait_is_tried_again() {
    let (workers, mut registry) = world(1, Some((2_000, 504)));
    registry.run(&workers, 0, 60_000);
    registry.cut = None;
    registry.run(&workers, 60_100, 700_000);
    assert_eq!(registry.waits.last(), Some(&55_000));
}

/// What happened, and when it is to be known by.
struct History {
    workers: Workers,
    registry: Registry,
    now: u64,
    /// Since when the registry is well, and the proxy as it is.
    calm: u64,
    /// The failures by then.
    failures: u64,
    list: usize,
}

// === impl History ===

impl History {
    fn step(&mut self, numbers: &mut Numbers) -> &'static str {
        const CUTS: [u64; 7] = [300, 800, 1_500, 2_000, 9_000, 31_000, 57_000];
        const CODES: [u32; 5] = [504, 504, 408, 502, 0];
        match numbers.below(6) {
            0 => {
                let cut = (CUTS[numbers.below(CUTS.len())], CODES[numbers.below(CODES.len())]);
                self.registry.cut = Some(cut).filter(|_| numbers.below(4) > 0);
                self.calm = self.now;
                "proxy"
            }
            1 => {
                self.registry.state = [State::Up, State::Hung, State::Down][numbers.below(3)];
                self.calm = self.now;
                "state"
            }
            2 if self.registry.state != State::Up => {
                self.registry.state = State::Up;
                self.calm = self.now;
                "up"
            }
            3 => {
                // The new ones overlap with the old, so that no answer is held back.
                self.list += 1;
                let names: Vec<String> =
                    (0..4).map(|n| format!("10.0.0.{}:80", self.list * 3 % 200 + n)).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                self.registry.register("orders", &names);
                "change"
            }
            _ => "time",
        }
    }

    /// The last endpoint of the newest list: it is known as soon as the list is.
    fn newest(&self) -> String {
        (self.list * 3 % 200 + 3).to_string()
    }
}

#[test]
fn no_history_of_cuts_outages_and_changes_leaves_endpoints_stale_or_hides_an_outage() {
    let (mut fresh, mut outages) = (0, 0);
    for seed in 0..60 {
        let numbers = &mut Numbers(seed);
        let (workers, registry) = world(1 + numbers.below(2), None);
        let mut history = History { workers, registry, now: 0, calm: 0, failures: 0, list: 0 };
        history.registry.run(&history.workers, 0, 0);
        let mut steps = Vec::new();
        for _ in 0..40 {
            steps.push((history.now, history.step(numbers)));
            let (began, failures) = (history.now, history.workers.asked("failures"));
            let until = history.now + 100 * numbers.below(400) as u64 + 100;
            history.registry.run(&history.workers, history.now + 100, until);
            history.now = until;
            if history.calm == began {
                history.failures = failures;
            }
            let (calm, failed) = (until - history.calm, history.workers.asked("failures"));
            match history.registry.state {
                // A pause after failures, and a period.
                State::Up if began - history.calm.min(began) > 17_500 && failed > failures => {
                    panic!("seed {seed}: {failed} failures of a registry that is well: {steps:?}")
                }
                State::Up if calm > 17_500 && history.list > 0 => {
                    let known = reached(&history.workers.all[0]);
                    let newest = history.newest();
                    let changed = steps.iter().rev().find(|(_, what)| *what == "change");
                    if changed.is_none_or(|(at, _)| until - at > 12_300) {
                        assert!(
                            known.split(' ').any(|one| one == newest),
                            "seed {seed}: {newest} in {known}: {steps:?}"
                        );
                        fresh += 1;
                    }
                }
                State::Hung | State::Down if calm > 70_000 => {
                    assert!(failed > history.failures, "seed {seed}: {steps:?}");
                    outages += 1;
                }
                _ => {}
            }
        }
    }
    assert!(fresh > 300 && outages > 20, "{fresh} and {outages} checks only");
}
