//! *No rule ever prefers an endpoint that the registry dropped or called critical, or that refuses connections,
//! while one exists that neither did*: over random histories of answers, health, failures, refused connections,
//! attempts and time.

use tidegate_policy::http::Verdict;
use tidegate_sim::SimResponse;

use crate::discovery::{answer, polled, Numbers};
use crate::discovery_trust::{names, refused, texts, World};

/// What the world knows of an endpoint, to judge a choice by.
#[derive(Clone, Default)]
struct Known {
    /// In the newest answer, and in which health.
    named: Option<&'static str>,
    /// When it last refused a connection.
    refused_ms: Option<u64>,
    /// Whether it answers with 503.
    fails: bool,
}

/// A world of eight endpoints, and what became of all choices.
struct History {
    world: World,
    all: Vec<String>,
    known: Vec<Known>,
    /// What the registry will say next.
    says: Vec<(usize, &'static str)>,
    now: u64,
    name: String,
    picks: usize,
    good: usize,
    bad: usize,
}

// === impl Known ===

impl Known {
    /// Neither dropped nor critical, and never refused a connection for as long as anybody may remember.
    fn is_good(&self, now: u64) -> bool {
        let quiet = self.refused_ms.is_none_or(|at| now - at > 60_000);
        matches!(self.named, Some("passing" | "warning")) && quiet
    }

    /// Dropped, critical, or it refused a connection within the last second.
    fn is_bad(&self, now: u64) -> bool {
        let refused = self.refused_ms.is_some_and(|at| now - at < 1_000);
        !matches!(self.named, Some("passing" | "warning")) || refused
    }
}

// === impl History ===

impl History {
    /// One with a configuration that is drawn, too.
    fn new(numbers: &mut Numbers, seed: u64) -> (Self, u32) {
        const BALANCE: [&str; 5] = ["round_robin", "least_request", "maglev", "peak_ewma", "weighted_random"];
        let balance = BALANCE[numbers.below(BALANCE.len())];
        let most = 1 + u32::try_from(numbers.below(3)).unwrap();
        let detection = ["true", "false", r#"{"consecutive_5xx": 2}"#][numbers.below(3)];
        let fields =
            format!(r#""attempts": {most}, "balance": "{balance}", "outlier_detection": {detection}"#);
        let cache =
            [r#""ttl_ms": 1000"#, r#""ttl_ms": 1000, "empty_protection": {"hold_ms": 5000, "min_size": 2}"#];
        let history = Self {
            world: World::new(&polled(cache[numbers.below(2)], &fields), most),
            all: names(1..=8),
            known: vec![Known::default(); 8],
            says: (0..8).map(|n| (n, "passing")).collect(),
            now: 0,
            name: format!("seed {seed} ({fields})"),
            picks: 0,
            good: 0,
            bad: 0,
        };
        (history, most)
    }

    /// Something happens, and time passes.
    fn step(&mut self, numbers: &mut Numbers) {
        self.now += [10, 100, 1_000, 7_000][numbers.below(4)];
        match numbers.below(6) {
            0 => {
                let size = numbers.below(9);
                self.says = (0..8).filter(|_| numbers.below(8) < size).map(|n| (n, "passing")).collect();
                let healths = ["passing", "passing", "warning", "critical"];
                self.says.iter_mut().for_each(|one| one.1 = healths[numbers.below(4)]);
            }
            1 => drop(self.world.dead.insert(self.all[numbers.below(8)].clone())),
            2 => drop(self.world.dead.remove(&self.all[numbers.below(8)])),
            3 => self.known[numbers.below(8)].fails ^= true,
            _ => {}
        }
        let Self { world, all, known, says, now, .. } = self;
        world.at(*now);
        world.tick(&mut |question| {
            for (n, one) in known.iter_mut().enumerate() {
                one.named = says.iter().find(|(at, _)| *at == n).map(|(_, health)| *health);
            }
            let list: Vec<String> = says.iter().map(|(n, health)| format!("{} {health}", all[*n])).collect();
            Some(answer(question, 10, &texts(&list)))
        });
    }

    fn place(&self, text: &str) -> Option<usize> {
        self.all.iter().position(|one| one == text)
    }

    /// A choice, which is right by what is known now.
    fn judge(&mut self, text: &str) {
        let Some(at) = self.place(text) else { return };
        let (known, now) = (&self.known, self.now);
        self.picks += 1;
        self.good += usize::from(known[at].is_good(now));
        self.bad += usize::from(known[at].is_bad(now));
        let better: Vec<&String> =
            self.all.iter().zip(known).filter(|(_, one)| one.is_good(now)).map(|(name, _)| name).collect();
        let right = better.is_empty() || !known[at].is_bad(now);
        assert!(right, "{} at {now} ms: {text} and not {better:?}", self.name);
    }

    /// A request with all of its attempts, each of which fails.
    fn request(&mut self, most: u32) {
        let mut call = self.world.both.begin();
        self.judge(&call.next.clone());
        for _ in 0..most {
            if !call.next.starts_with("10.") {
                break;
            }
            let before = call.next.clone();
            let one = self.world.both.attempt(&mut call);
            if call.next != before {
                self.judge(&call.next.clone());
            }
            let at = self.place(&one.went).unwrap();
            if matches!(one.verdict, Verdict::Reply(_)) {
                self.world.both.around.abort(one.exchange, &SimResponse::none());
            } else if self.world.dead.contains(&one.went) {
                self.known[at].refused_ms = Some(self.now);
                self.world.both.broken(one, &refused());
            } else {
                self.world.both.answered(one, if self.known[at].fails { 503 } else { 200 });
            }
        }
        self.world.both.end(call, 200);
    }
}

#[test]
fn no_history_has_a_bad_endpoint_preferred_to_a_good_one() {
    let (mut picks, mut bad, mut good) = (0, 0, 0);
    for seed in 1..=300 {
        let mut numbers = Numbers(seed);
        let (mut history, most) = History::new(&mut numbers, seed);
        for _ in 0..60 {
            history.step(&mut numbers);
            (0..3).for_each(|_| history.request(most));
        }
        assert_eq!(history.world.both.in_flight(), 0);
        (picks, bad, good) = (picks + history.picks, bad + history.bad, good + history.good);
    }
    assert!(picks > 30_000 && bad > 1_000 && good > 10_000, "{picks}: {bad} bad, {good} good");
}
