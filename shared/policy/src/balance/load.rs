//! One worker's memory of one endpoint.
//!
//! It lives in cells behind an `Rc`: the requests in flight, every subset that has the
//! endpoint and the next snapshot share it, so that a request that ends after a snapshot was
//! replaced is still counted where it began. Nothing here is shared between workers: each of W
//! workers sees about a Wth of the load, which is what Envoy's own balancers see, too.

use alloc::rc::Rc;
use core::cell::Cell;

use crate::balance::ewma::{PeakEwma, Recent};
use crate::balance::last_resort::LastResort;
use crate::balance::score::{score, Logistic};
use crate::time::{Span, Timestamp};

/// What the loads of one service have in common.
#[derive(Debug)]
pub struct ServiceLoad {
    active: Cell<u32>,
    decay: Span,
}

/// One worker's memory of one endpoint.
#[derive(Debug)]
pub struct Load {
    service: Rc<ServiceLoad>,
    active: Cell<u32>,
    last_resort: Cell<Option<LastResort>>,
    readmitted: Cell<Timestamp>,
    refused_lately: Cell<bool>,
    latency: Cell<PeakEwma>,
    recent: Cell<Recent>,
    score: Cell<Option<(u32, Timestamp)>>,
}

/// A score is worked out anew at most this often.
const SCORE_EVERY: Span = Span::from_secs(1);

/// In 10,000ths: the least score, so that an endpoint that recovered is noticed.
const LEAST_SCORE: u32 = 100;

// === impl ServiceLoad ===

impl ServiceLoad {
    /// A service without requests, whose averages forget in `decay` all but 1/e; Finagle's and
    /// Envoy's default is 10 s.
    #[must_use]
    pub fn new(decay: Span) -> Rc<Self> {
        Rc::new(Self { active: Cell::new(0), decay })
    }

    /// Requests in flight to all its endpoints.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.active.get()
    }
}

// === impl Load ===

impl Load {
    /// An endpoint of which nothing is known yet.
    #[must_use]
    pub fn new(service: &Rc<ServiceLoad>) -> Rc<Self> {
        Rc::new(Self {
            service: Rc::clone(service),
            active: Cell::default(),
            last_resort: Cell::default(),
            readmitted: Cell::default(),
            refused_lately: Cell::default(),
            latency: Cell::default(),
            recent: Cell::default(),
            score: Cell::default(),
        })
    }

    /// A request was sent to it.
    pub fn began(&self) {
        self.active.set(self.active.get().saturating_add(1));
        self.service.active.set(self.service.active.get().saturating_add(1));
    }

    /// A request that began is over. `rtt` is the time to the response's headers, when there was
    /// a response. What failed counts as no faster than the average: an endpoint that answers
    /// errors at once must not look like the fastest one.
    pub fn ended(&self, now: Timestamp, rtt: Option<Span>, ok: bool) {
        self.left();
        self.learned(now, rtt, ok);
    }

    /// A request that began is over, and there is nothing to learn of it.
    pub fn left(&self) {
        self.active.set(self.active.get().saturating_sub(1));
        self.service.active.set(self.service.active.get().saturating_sub(1));
    }

    /// Takes in how a request went that is over, as [`Load::ended`] does.
    pub fn learned(&self, now: Timestamp, rtt: Option<Span>, ok: bool) {
        let mut recent = self.recent.get();
        recent.take(now, rtt, ok, self.service.decay);
        self.recent.set(recent);
        if let Some(rtt) = rtt {
            let mut latency = self.latency.get();
            let ms = rtt.as_millis_f64();
            let ms = if ok { ms } else { ms.max(latency.millis()) };
            latency.take(now, ms, self.service.decay);
            self.latency.set(latency);
        }
    }

    /// Requests in flight to it.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.active.get()
    }

    /// Requests in flight to all endpoints of its service.
    #[must_use]
    pub fn service_active(&self) -> u32 {
        self.service.active()
    }

    /// Why it is a last resort; `None` when it is not.
    #[must_use]
    pub fn last_resort(&self) -> Option<LastResort> {
        self.last_resort.get()
    }

    /// Whether it is ejected.
    #[must_use]
    pub fn ejected(&self) -> bool {
        self.last_resort() == Some(LastResort::Ejected)
    }

    /// Takes it out for its failures.
    pub fn eject(&self) {
        self.set_aside(LastResort::Ejected);
    }

    /// Makes it a last resort. The pools that have it want a [`super::Pool::refresh`] then.
    pub fn set_aside(&self, why: LastResort) {
        self.last_resort.set(Some(why));
    }

    /// Takes it back: after failures or refused connections as new as one that was just found, with a slow
    /// start; what its registry alone held against it made it no colder. The pools that have it want a
    /// [`super::Pool::refresh`] then.
    pub fn readmit(&self, now: Timestamp) {
        if matches!(self.last_resort.take(), Some(LastResort::Ejected | LastResort::Refusing)) {
            self.readmitted.set(now);
        }
    }

    /// Notes whether it refused a connection not long ago.
    pub fn doubt(&self, refused_lately: bool) {
        self.refused_lately.set(refused_lately);
    }

    /// Whether it refused a connection not long ago, though it may get requests again.
    #[must_use]
    pub fn refused_lately(&self) -> bool {
        self.refused_lately.get()
    }

    /// When it was last taken back.
    #[must_use]
    pub fn readmitted(&self) -> Timestamp {
        self.readmitted.get()
    }

    /// Its peak-EWMA cost, less being better. Asking counts as observing that nothing was slow.
    #[must_use]
    pub fn cost(&self, now: Timestamp) -> f64 {
        let mut latency = self.latency.get();
        let cost = latency.cost(now, self.active.get(), self.service.decay);
        self.latency.set(latency);
        cost
    }

    /// Its logistic score in 10,000ths, 100 to 10,000. It follows what the endpoint does at most
    /// once a second, by a factor of at most two for each second that passed and not at all for less
    /// than a twentieth, so that many proxies do not swing from one endpoint to another and back.
    #[must_use]
    pub fn score(&self, now: Timestamp, logistic: &Logistic) -> u32 {
        let last = self.score.get();
        if let Some((known, _)) = last.filter(|(_, at)| now.since(*at) < SCORE_EVERY) {
            return known;
        }
        let (success, latency) = self.recent.get().rates(now, self.service.decay);
        let aim = score(logistic, success, latency).max(LEAST_SCORE);
        let next = match last {
            Some((known, _)) if aim.abs_diff(known).saturating_mul(20) < known => known,
            Some((known, at)) => {
                let times = 1 << now.since(at).floor_secs().min(7);
                aim.clamp(known.div_ceil(times), known.saturating_mul(times))
            }
            None => aim,
        };
        self.score.set(Some((next, now)));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Span = Span::from_secs(1);

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000_000).plus(Span::from_millis(ms))
    }

    /// A registry that forgot most endpoints for five seconds had each of them begin anew.
    #[test]
    fn only_what_failed_starts_slowly() {
        use LastResort::{Draining, Dropped, Ejected, Held, Refusing, Unhealthy};
        for why in [Ejected, Refusing, Draining, Held, Unhealthy, Dropped] {
            let load = Load::new(&ServiceLoad::new(SECOND));
            load.set_aside(why);
            load.readmit(at(7));
            let is_cold = load.readmitted() == at(7);
            assert_eq!(is_cold, matches!(why, Ejected | Refusing), "{why:?}");
        }
    }

    #[test]
    fn a_fast_failure_does_not_make_an_endpoint_cheap() {
        let load = Load::new(&ServiceLoad::new(SECOND));
        let mut costs = std::vec::Vec::new();
        for (ms, rtt, ok) in [(0, 100, true), (500, 1, false), (1000, 1, true)] {
            load.began();
            load.ended(at(ms), Some(Span::from_millis(rtt)), ok);
            costs.push(load.cost(at(ms)));
        }
        assert!((costs[0] - 100.0).abs() < 1e-9 && (costs[1] - 100.0).abs() < 1e-9, "{costs:?}");
        assert!(costs[2] < 70.0, "{costs:?}");
    }

    #[test]
    fn ends_without_a_beginning_count_nothing() {
        let service = ServiceLoad::new(SECOND);
        let (a, b) = (Load::new(&service), Load::new(&service));
        a.began();
        b.ended(at(0), None, false);
        assert_eq!((a.active(), b.active(), service.active()), (1, 0, 0));
        a.ended(at(0), None, true);
        assert_eq!((a.active(), service.active()), (0, 0));
    }

    #[test]
    fn a_score_moves_by_at_most_half_a_second_and_comes_back() {
        let logistic = Logistic { midpoint: 50.0, steepness: 0.2, target: SECOND };
        let load = Load::new(&ServiceLoad::new(SECOND));
        let mut scores = std::vec![load.score(at(0), &logistic)];
        for ms in (500..8_500).step_by(500) {
            (0..20).for_each(|_| load.ended(at(ms), None, false));
            scores.push(load.score(at(ms), &logistic));
        }
        assert_eq!(scores[..6], [10_000, 10_000, 5_000, 5_000, 2_500, 2_500]);
        assert_eq!(scores.last(), Some(&100));
        assert_eq!(load.score(at(13_999), &logistic), 3_200, "five seconds, doubled five times");
        assert_eq!(load.score(at(60_000), &logistic), 10_000, "and all is forgotten");
    }
}
