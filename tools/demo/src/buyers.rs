//! The clients of the service `orders`, and which endpoint answered them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidegate_tests::{Client, Request, Response};

use crate::cast::{lock, End};
use crate::orders::{name, PATH};
use crate::plot::{Act, Turn, ENDPOINTS};
use crate::ring::Ring;
use crate::service::SERVED_BY;
use crate::shop::{mean, tick};

/// The count of each endpoint.
pub(crate) type Split = [u64; ENDPOINTS];

/// What became of all requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) total: Split,
    /// Requests that no endpoint answered.
    pub(crate) failed: u64,
    /// What happened to the endpoints, in order, and what requests showed of it.
    pub(crate) effects: Vec<Effect>,
    ticks: Ring<Split, 128>,
    /// The latest [`MOMENT`]s.
    moments: Ring<Split, 32>,
}

/// An act, and what requests showed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) act: Act,
    /// When it happened.
    pub(crate) at: Duration,
    /// How much later the endpoint answered first, where it comes; answered last, where it goes.
    pub(crate) after: Option<Duration>,
    /// Nothing more is to be shown: the endpoint's next act has come.
    over: bool,
}

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Buyers {
    ledger: Arc<Mutex<Ledger>>,
    threads: Vec<JoinHandle<()>>,
}

/// Clients, each at an address of its own: so many that none reaches the limit of an address.
const CLIENTS: u8 = 10;
/// Time between two requests of anyone: a hundred a second.
const PACE: Duration = Duration::from_millis(10);
/// A part of the second over which shares are counted.
const MOMENT: Duration = Duration::from_millis(100);
const MOMENTS: u64 = 10;

// === impl Buyers ===

impl Buyers {
    /// Lets the clients send to `server`.
    pub(crate) fn come(server: SocketAddr, start: Instant, end: &End) -> Self {
        let (ledger, next) = (Arc::new(Mutex::new(Ledger::default())), Arc::new(AtomicU64::new(0)));
        let client = |number| {
            let (ledger, next, end) = (Arc::clone(&ledger), Arc::clone(&next), end.clone());
            thread::spawn(move || {
                let mut client = Client::from_source(server, Ipv4Addr::new(127, 0, 0, 140 + number));
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let due = PACE.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
                    if end.comes_before(start + due) {
                        return;
                    }
                    let answer = client.try_send(&Request::get(PATH)).ok();
                    lock(&ledger).record(start.elapsed(), answer.as_ref().and_then(endpoint));
                }
            })
        };
        let threads = (0..CLIENTS).map(client).collect();
        Self { ledger, threads }
    }

    /// `act` is about to happen.
    pub(crate) fn expect(&self, act: Act, at: Duration) {
        lock(&self.ledger).expect(act, at);
    }

    /// What became of them so far.
    pub(crate) fn ledger(&self) -> Ledger {
        lock(&self.ledger).clone()
    }

    /// Waits until the last answer is counted.
    pub(crate) fn leave(self) -> Ledger {
        for thread in self.threads {
            let _ = thread.join();
        }
        let ledger = lock(&self.ledger).clone();
        ledger
    }
}

/// Who answered, if it is an answer of an endpoint.
fn endpoint(response: &Response) -> Option<usize> {
    let served_by = response.header(SERVED_BY).filter(|_| response.status == 200)?;
    (0..ENDPOINTS).find(|at| name(*at) == served_by)
}

// === impl Ledger ===

impl Ledger {
    /// Counts an answer that came `at` after the start: an endpoint's, or none that counts.
    pub(crate) fn record(&mut self, at: Duration, endpoint: Option<usize>) {
        let Some(endpoint) = endpoint else {
            self.failed += 1;
            return;
        };
        for split in [&mut self.total, self.ticks.entry(tick(at)), self.moments.entry(moment(at))] {
            split[endpoint] += 1;
        }
        for effect in self.effects.iter_mut().filter(|effect| effect.is_open(endpoint)) {
            effect.after = Some(at.saturating_sub(effect.at));
            effect.over = effect.act.turn() == Turn::Comes;
        }
    }

    /// `act` is about to happen.
    pub(crate) fn expect(&mut self, act: Act, at: Duration) {
        let earlier = self.effects.iter_mut().filter(|effect| effect.act.endpoint() == act.endpoint());
        earlier.for_each(|effect| effect.over = true);
        self.effects.push(Effect { act, at, after: None, over: act.turn() == Turn::Shifts });
    }

    /// Requests so far.
    pub(crate) fn sum(&self) -> u64 {
        self.total.iter().sum::<u64>() + self.failed
    }

    /// What each endpoint answered in the second that ends with the last whole moment.
    pub(crate) fn last_second(&self, now: Duration) -> Split {
        let now = moment(now);
        let moments = (now.saturating_sub(MOMENTS)..now).map(|number| self.moments.at(number));
        moments.fold(Split::default(), |sum, split| std::array::from_fn(|at| sum[at] + split[at]))
    }

    /// The latest `count` ticks, the present one last; `None` before the start.
    pub(crate) fn latest(&self, now: Duration, count: usize) -> Vec<Option<Split>> {
        self.ticks.latest(tick(now), count)
    }

    /// Answers in a second, in the mean of the latest whole ticks.
    pub(crate) fn per_second(&self, now: Duration) -> f64 {
        mean(now, 0, |number| self.ticks.at(number).iter().sum())
    }
}

fn moment(at: Duration) -> u64 {
    u64::try_from(at.as_millis() / MOMENT.as_millis()).unwrap_or(u64::MAX)
}

// === impl Effect ===

impl Effect {
    /// Whether an answer of this endpoint shows something of it.
    fn is_open(&self, endpoint: usize) -> bool {
        self.act.endpoint() == endpoint && !self.over
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Endpoint 3 joins at 2 s and 40 ms later answers; endpoint 2 dies at 3 s.
    pub(crate) fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for ms in [100, 600, 1_100, 1_600] {
            ledger.record(MS(ms), Some(0));
            ledger.record(MS(ms), Some(1));
        }
        ledger.expect(Act::Joins(2), MS(2_000));
        for (ms, endpoint) in [(2_040, 2), (2_500, 1), (2_900, 2)] {
            ledger.record(MS(ms), Some(endpoint));
        }
        ledger.expect(Act::Dies(1), MS(3_000));
        for (ms, endpoint) in [(3_002, 1), (3_100, 2), (3_200, 0), (3_300, 0)] {
            ledger.record(MS(ms), Some(endpoint));
        }
        ledger
    }

    #[test]
    fn a_ledger_counts_by_endpoint_and_over_time() {
        let mut ledger = ledger();
        assert_eq!((ledger.total, ledger.sum()), ([6, 6, 3], 15));
        assert_eq!(ledger.last_second(MS(3_499)), [2, 2, 2]);
        assert_eq!(ledger.last_second(MS(4_200)), [2, 0, 0]);
        assert_eq!(ledger.latest(MS(3_400), 1), [Some([2, 1, 1])]);
        assert_eq!(ledger.per_second(MS(1_000)), 4.0);
        ledger.record(MS(3_400), None);
        assert_eq!((ledger.failed, ledger.sum()), (1, 16));
    }

    #[test]
    fn an_effect_is_the_first_answer_or_the_last() {
        let mut ledger = ledger();
        let after = |ledger: &Ledger| ledger.effects.iter().map(|effect| effect.after).collect::<Vec<_>>();
        assert_eq!(after(&ledger), [Some(MS(40)), Some(MS(2))]);
        ledger.expect(Act::Weighs(0, 3), MS(3_500));
        ledger.expect(Act::Back(1), MS(4_000));
        ledger.record(MS(4_400), Some(0));
        assert_eq!(after(&ledger)[2..], [None, None]);
        ledger.record(MS(5_100), Some(1));
        ledger.record(MS(5_200), Some(1));
        assert_eq!(after(&ledger), [Some(MS(40)), Some(MS(2)), None, Some(MS(1_100))]);
    }

    #[test]
    fn an_answer_says_which_endpoint_gave_it() {
        let response = |status, who: &str| Response {
            status,
            headers: vec![(SERVED_BY.into(), who.into())],
            body: vec![],
        };
        let cases = [(200, "orders-2", Some(1)), (503, "orders-2", None), (200, "checkout", None)];
        for (status, who, expected) in cases {
            assert_eq!(endpoint(&response(status, who)), expected, "{status} {who}");
        }
    }
}
