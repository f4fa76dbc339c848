//! The users of the service `catalog`, and which variant each of them got.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidegate_tests::{Client, Request, Response};

use crate::cast::{lock, End};
use crate::catalog::{PATH, USER, VARIANT};
use crate::ring::Ring;
use crate::shop::{mean, tick};

/// A variant of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Canary,
    Stable,
}

/// Requests that a variant answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) all: u64,
    pub(crate) failed: u64,
}

/// The counts of both variants.
pub(crate) type Both = [Counts; 2];

/// What became of all users and their requests.
#[derive(Clone, Debug)]
pub(crate) struct Census {
    pub(crate) total: Both,
    /// Requests that no variant answered.
    pub(crate) lost: u64,
    users: Vec<User>,
    ticks: Ring<Both, 128>,
}

/// One user.
#[derive(Clone, Copy, Debug, Default)]
struct User {
    now: Option<Variant>,
    /// Changes of the variant.
    moves: u64,
    /// Whether the canary ever had it.
    ventured: bool,
    failed: u64,
}

/// Users at work.
#[derive(Debug)]
pub(crate) struct Crowd {
    census: Arc<Mutex<Census>>,
    threads: Vec<JoinHandle<()>>,
}

/// How many users there are.
pub(crate) const USERS: usize = 200;
/// Addresses that they share: so many that none reaches the limit of an address.
const ADDRESSES: u8 = 10;
/// Time between two requests of anyone, so that it is each user's turn every two seconds.
const PACE: Duration = Duration::from_millis(10);

// === impl Crowd ===

impl Crowd {
    /// Lets the users send to `server`.
    pub(crate) fn gather(server: SocketAddr, start: Instant, end: &End) -> Self {
        let (census, next) = (Arc::new(Mutex::new(Census::default())), Arc::new(AtomicU64::new(0)));
        let address = |number| {
            let (census, next, end) = (Arc::clone(&census), Arc::clone(&next), end.clone());
            thread::spawn(move || {
                let mut client = Client::from_source(server, Ipv4Addr::new(127, 0, 0, 120 + number));
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let due = PACE.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
                    if end.comes_before(start + due) {
                        return;
                    }
                    let user = usize::try_from(number).unwrap_or(0) % USERS;
                    let request = Request::get(PATH).header(USER, format!("user-{user}"));
                    let answer = client.try_send(&request).ok();
                    let got = answer.and_then(|response| Some((Variant::of(&response)?, response.status)));
                    lock(&census).record(start.elapsed(), user, got);
                }
            })
        };
        let threads = (0..ADDRESSES).map(address).collect();
        Self { census, threads }
    }

    /// What became of them so far.
    pub(crate) fn census(&self) -> Census {
        lock(&self.census).clone()
    }

    /// Waits until the last answer is counted.
    pub(crate) fn scatter(self) -> Census {
        for thread in self.threads {
            let _ = thread.join();
        }
        let census = lock(&self.census).clone();
        census
    }
}

// === impl Variant ===

impl Variant {
    /// Its name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Stable => "stable",
        }
    }

    fn of(response: &Response) -> Option<Self> {
        let name = response.header(VARIANT)?;
        [Self::Canary, Self::Stable].into_iter().find(|variant| variant.name() == name)
    }
}

// === impl Census ===

impl Census {
    /// Counts what `user` got `at` after the start: a variant's answer with a status, or nothing.
    pub(crate) fn record(&mut self, at: Duration, user: usize, got: Option<(Variant, u16)>) {
        let Some((variant, status)) = got else {
            self.lost += 1;
            return;
        };
        let failed = u64::from(status >= 500);
        for counts in [&mut self.total, self.ticks.entry(tick(at))] {
            let counts = &mut counts[variant as usize];
            *counts = Counts { all: counts.all + 1, failed: counts.failed + failed };
        }
        let user = &mut self.users[user];
        user.moves += u64::from(user.now.is_some_and(|before| before != variant));
        user.now = Some(variant);
        user.ventured |= variant == Variant::Canary;
        user.failed += failed;
    }

    /// Requests so far.
    pub(crate) fn sum(&self) -> u64 {
        self.total[0].all + self.total[1].all + self.lost
    }

    /// Users that the canary ever had.
    pub(crate) fn ventured(&self) -> usize {
        self.users.iter().filter(|user| user.ventured).count()
    }

    /// Those of them that have the stable variant now.
    pub(crate) fn returned(&self) -> usize {
        self.users.iter().filter(|user| user.ventured && user.now == Some(Variant::Stable)).count()
    }

    /// Users that changed sides more often than once there and once back.
    pub(crate) fn strayed(&self) -> usize {
        self.users.iter().filter(|user| user.moves > 2).count()
    }

    /// Users that the canary never had, and those of them who met a failure.
    pub(crate) fn stayed(&self) -> (usize, usize) {
        let stayed = || self.users.iter().filter(|user| user.now.is_some() && !user.ventured);
        (stayed().count(), stayed().filter(|user| user.failed > 0).count())
    }

    /// The latest `count` ticks, the present one last; `None` before the start.
    pub(crate) fn latest(&self, now: Duration, count: usize) -> Vec<Option<Both>> {
        self.ticks.latest(tick(now), count)
    }

    /// Requests of a variant in a second, in the mean of the latest whole ticks after `moved`.
    pub(crate) fn per_second(&self, now: Duration, moved: Duration, variant: Variant) -> f64 {
        mean(now, tick(moved) + 1, |number| self.ticks.at(number)[variant as usize].all)
    }

    /// Failed requests in a second, in the mean of the latest whole ticks.
    pub(crate) fn failures(&self, now: Duration) -> f64 {
        mean(now, 0, |number| self.ticks.at(number).iter().map(|counts| counts.failed).sum())
    }

    /// The counts of the whole second before this one.
    pub(crate) fn last_second(&self, now: Duration) -> Both {
        let second = now.as_secs().saturating_sub(1) * 2;
        let [one, two] = [self.ticks.at(second), self.ticks.at(second + 1)];
        [0, 1].map(|at| one[at].plus(two[at]))
    }
}

impl Default for Census {
    fn default() -> Self {
        let (total, ticks) = (Both::default(), Ring::default());
        Self { total, lost: 0, users: vec![User::default(); USERS], ticks }
    }
}

// === impl Counts ===

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self { all: self.all + other.all, failed: self.failed + other.failed }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Four users, two of whom the canary had; it failed one of them, and they returned.
    pub(crate) fn census() -> Census {
        use Variant::{Canary, Stable};
        let mut census = Census::default();
        #[rustfmt::skip]
        let answers = [
            // at (ms)  user  variant  status
            (0,         0,    Stable,  200),
            (200,       1,    Canary,  200),
            (600,       2,    Stable,  200),
            (1_100,     3,    Stable,  200),
            (1_200,     0,    Canary,  503),
            (1_700,     1,    Canary,  200),
            (2_100,     0,    Stable,  200),
            (2_200,     1,    Stable,  200),
        ];
        for (ms, user, variant, status) in answers {
            census.record(Duration::from_millis(ms), user, Some((variant, status)));
        }
        census
    }

    #[test]
    fn a_census_knows_who_went_where() {
        let mut census = census();
        let counts = |all, failed| Counts { all, failed };
        assert_eq!((census.total, census.sum()), ([counts(3, 1), counts(5, 0)], 8));
        assert_eq!((census.ventured(), census.returned()), (2, 2));
        assert_eq!((census.stayed(), census.strayed()), ((2, 0), 0));
        census.record(Duration::from_millis(2_300), 0, Some((Variant::Canary, 200)));
        census.record(Duration::from_millis(2_300), 2, Some((Variant::Stable, 503)));
        census.record(Duration::from_millis(2_300), 2, None);
        assert_eq!((census.stayed(), census.strayed(), census.lost), ((2, 1), 1, 1));
    }

    #[test]
    fn a_census_counts_over_time() {
        let census = census();
        let (at, counts) = (Duration::from_millis, |all, failed| Counts { all, failed });
        assert_eq!(census.latest(at(1_700), 1), [Some([counts(1, 0), counts(0, 0)])]);
        assert_eq!(census.last_second(at(2_900)), [counts(2, 1), counts(1, 0)]);
        let stable = |moved| census.per_second(at(2_000), at(moved), Variant::Stable);
        assert_eq!([0, 600, 1_900].map(stable), [4.0 / 3.0, 1.0, 0.0]);
        assert_eq!(census.failures(at(2_000)), 0.5);
    }

    #[test]
    fn an_answer_says_which_variant_was_chosen() {
        let response =
            |name: &str| Response { status: 200, headers: vec![(VARIANT.into(), name.into())], body: vec![] };
        assert_eq!(Variant::of(&response("canary")), Some(Variant::Canary));
        assert_eq!(Variant::of(&response("other")), None);
        assert_eq!(Variant::of(&Response { status: 429, headers: vec![], body: vec![] }), None);
    }
}
