//! The clients of the service `checkout`, and what became of their requests.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidegate_tests::{Client, Request, Response};

use crate::cast::{lock, End};
use crate::checkout::{NAME, PATH};
use crate::ring::Ring;
use crate::script::{Mood, CHECKOUT};
use crate::service::SERVED_BY;

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    Backup,
    /// The service, and not well; or nobody.
    Failed,
    /// The breaker: the service and its backup were both out.
    Refused,
    Service,
}

/// The count of one who answered.
pub(crate) type Counts = [u64; 4];

/// What became of all requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Till {
    pub(crate) total: Counts,
    /// Requests sent while the service was in each mood.
    sent: [u64; Mood::COUNT],
    /// The latest [`TICK`]s.
    ticks: Ring<Counts, 128>,
}

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Shop {
    till: Arc<Mutex<Till>>,
    threads: Vec<JoinHandle<()>>,
}

/// One column of a strip.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// Clients. While the service is slow, each of them waits.
const CLIENTS: u8 = 12;
/// Time between two requests: twenty a second, too few for the rate limits to matter.
const PACE: Duration = Duration::from_millis(50);
/// Ticks that a rate is the mean of.
const MEAN: u64 = 4;

/// The number of the tick at this time.
pub(crate) fn tick(at: Duration) -> u64 {
    u64::try_from(at.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX)
}

/// How many in a second, in the mean of the latest whole ticks, when a tick has `count` of its
/// number. Those before the tick `from` do not count, except that one always does.
pub(crate) fn mean(now: Duration, from: u64, count: impl Fn(u64) -> u64) -> f64 {
    let now = tick(now).max(1);
    let whole = now.saturating_sub(MEAN).max(from).min(now - 1)..now;
    let sum: u64 = whole.clone().map(count).sum();
    let ticks = (whole.end - whole.start) as f64;
    sum as f64 / ticks / TICK.as_secs_f64()
}

// === impl Shop ===

impl Shop {
    /// Lets the clients send to `server`.
    pub(crate) fn open(server: SocketAddr, start: Instant, end: &End) -> Self {
        let (till, next) = (Arc::new(Mutex::new(Till::default())), Arc::new(AtomicU64::new(0)));
        let client = |number| {
            let (till, next, end) = (Arc::clone(&till), Arc::clone(&next), end.clone());
            thread::spawn(move || {
                let source = Ipv4Addr::new(127, 0, 0, 100 + number);
                let mut client = Client::from_source(server, source);
                loop {
                    let due = PACE.saturating_mul(
                        u32::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(u32::MAX),
                    );
                    if end.comes_before(start + due) {
                        return;
                    }
                    let mood = CHECKOUT.at(start.elapsed());
                    let served =
                        client.try_send(&Request::get(PATH)).map_or(Served::Failed, |r| Served::of(&r));
                    lock(&till).record(start.elapsed(), mood, served);
                }
            })
        };
        let threads = (0..CLIENTS).map(client).collect();
        Self { till, threads }
    }

    /// What became of them so far.
    pub(crate) fn till(&self) -> Till {
        lock(&self.till).clone()
    }

    /// Waits until the last answer is counted.
    pub(crate) fn close(self) -> Till {
        for thread in self.threads {
            let _ = thread.join();
        }
        let till = lock(&self.till).clone();
        till
    }
}

// === impl Served ===

impl Served {
    fn of(response: &Response) -> Self {
        match (response.status, response.header(SERVED_BY).as_deref()) {
            (200, Some(NAME)) => Self::Service,
            (200, _) => Self::Backup,
            _ if response.header("x-tidegate-breaker").is_some() => Self::Refused,
            _ => Self::Failed,
        }
    }
}

// === impl Till ===

impl Till {
    /// Counts an answer that came `at` after the start to a request sent in `mood`.
    pub(crate) fn record(&mut self, at: Duration, mood: Mood, served: Served) {
        self.total[served as usize] += 1;
        self.sent[mood as usize] += 1;
        self.ticks.entry(tick(at))[served as usize] += 1;
    }

    /// Requests sent while the service was in this mood.
    pub(crate) fn sent(&self, mood: Mood) -> u64 {
        self.sent[mood as usize]
    }

    /// Requests so far.
    pub(crate) fn sum(&self) -> u64 {
        self.total.iter().sum()
    }

    /// The latest `count` ticks, the present one last; `None` before the start.
    pub(crate) fn latest(&self, now: Duration, count: usize) -> Vec<Option<Counts>> {
        self.ticks.latest(tick(now), count)
    }

    /// In a second, in the mean of the latest whole ticks.
    pub(crate) fn per_second(&self, now: Duration, served: Served) -> f64 {
        mean(now, 0, |number| self.ticks.at(number)[served as usize])
    }

    /// In the whole second before this one.
    pub(crate) fn last_second(&self, now: Duration, served: Served) -> u64 {
        let second = now.as_secs().saturating_sub(1) * 2;
        (second..second + 2).map(|number| self.ticks.at(number)[served as usize]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, header: Option<(&str, &str)>) -> Response {
        let headers =
            header.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Response { status, headers, body: Vec::new() }
    }

    #[test]
    fn an_answer_says_whose_it_is() {
        #[rustfmt::skip]
        let cases = [
            (200, Some(("x-served-by", "checkout")),    Served::Service),
            (200, Some(("x-served-by", "backup")),      Served::Backup),
            (503, Some(("x-tidegate-breaker", "open")), Served::Refused),
            (503, None,                                 Served::Failed),
            (504, None,                                 Served::Failed),
        ];
        for (status, header, served) in cases {
            assert_eq!(Served::of(&response(status, header)), served, "{status} {header:?}");
        }
    }

    #[test]
    fn a_till_counts_in_total_by_mood_and_over_time() {
        let mut till = Till::default();
        let at = Duration::from_millis;
        till.record(at(0), Mood::Well, Served::Service);
        till.record(at(400), Mood::Well, Served::Service);
        till.record(at(600), Mood::Fails, Served::Failed);
        till.record(at(1_200), Mood::Fails, Served::Backup);
        assert_eq!((till.sum(), till.total), (4, [1, 1, 0, 2]));
        assert_eq!([Mood::Well, Mood::Fails, Mood::Slow].map(|mood| till.sent(mood)), [2, 2, 0]);
        assert_eq!(till.latest(at(1_200), 2), [Some([0, 1, 0, 0]), Some([1, 0, 0, 0])]);
        assert_eq!(till.per_second(at(1_000), Served::Service), 2.0);
        assert_eq!(till.last_second(at(2_100), Served::Backup), 1);
        assert_eq!(till.last_second(at(1_100), Served::Failed), 1);
    }
}
