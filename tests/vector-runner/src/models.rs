//! Small models of what the vectors compare us with, and published formulas.

use std::collections::VecDeque;

/// Something that admits or refuses, in ticks that never go back.
pub trait Limiter {
    /// Whether a request at `now` passes.
    fn admit(&mut self, now: u64) -> bool;
}

/// Counts in windows that follow each other; Envoy's reference rate-limit service.
#[derive(Debug)]
pub struct FixedWindow {
    limit: u64,
    period: u64,
    window: u64,
    count: u64,
}

/// Remembers each request for a period.
#[derive(Debug)]
pub struct SlidingLog {
    limit: u64,
    period: u64,
    log: VecDeque<u64>,
}

/// Estimates from the counts of two windows, in integers (Cloudflare,
/// "Counting things, a lot of different things").
#[derive(Debug)]
pub struct SlidingWindow {
    limit: u64,
    period: u64,
    window: u64,
    count: u64,
    previous: u64,
}

/// Resilience4j's exponential waits.
#[derive(Clone, Copy, Debug)]
pub struct Resilience4jWait {
    /// The first, in milliseconds.
    pub initial_ms: u64,
    /// Each is so many times the one before, cut to a millisecond.
    pub multiplier: f64,
}

/// Linkerd's waits before a probe.
#[derive(Clone, Copy, Debug)]
pub struct LinkerdWait {
    /// The first, without jitter, in milliseconds.
    pub min_ms: f64,
    /// The longest, with jitter.
    pub max_ms: f64,
    /// Up to so much of a wait is added.
    pub jitter_ratio: f64,
}

/// The size of a count-min sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountMin {
    /// Counters of a row.
    pub width: u64,
    /// Rows.
    pub depth: u64,
}

/// A run of Argo Rollouts' analysis of one metric.
#[derive(Clone, Debug)]
pub struct Analysis {
    count: Option<f64>,
    failure_limit: f64,
    success_limit: Option<f64>,
    failed: f64,
    measured: f64,
    errors_in_a_row: u32,
    successes_in_a_row: f64,
    phase: &'static str,
}

/// Doorman's `PROPORTIONAL_SHARE`: who wants no more than an equal share gets it; what they
/// leave tops up the others in proportion to what they lack.
#[must_use]
pub fn proportional_share(capacity: f64, wants: &[f64]) -> Vec<f64> {
    if wants.iter().sum::<f64>() <= capacity {
        return wants.to_vec();
    }
    let equal = capacity / wants.len() as f64;
    let left: f64 = wants.iter().map(|want| (equal - want).max(0.0)).sum();
    let lacking: f64 = wants.iter().map(|want| (want - equal).max(0.0)).sum();
    let share = |want: &f64| if *want <= equal { *want } else { equal + (want - equal) * left / lacking };
    wants.iter().map(share).collect()
}

/// Doorman's `FAIR_SHARE`: as equal as can be, nobody getting more than he wants.
#[must_use]
pub fn fair_share(capacity: f64, wants: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wants.len()).collect();
    order.sort_by(|a, b| wants[*a].total_cmp(&wants[*b]));
    let mut shares = vec![0.0; wants.len()];
    let mut left = capacity;
    for (served, index) in order.into_iter().enumerate() {
        shares[index] = wants[index].min(left / (wants.len() - served) as f64);
        left -= shares[index];
    }
    shares
}

/// What is refused for nothing when each of `proxies` has its part of `limit` and all
/// traffic goes to one.
#[must_use]
pub fn unused_shares(limit: f64, proxies: f64) -> f64 {
    limit - limit / proxies
}

/// What the other `proxies` admit at `rate` in the `delay` until they hear of each other.
#[must_use]
pub fn unseen(proxies: f64, rate: f64, delay: f64) -> f64 {
    rate * delay * proxies - rate * delay
}

/// The probability that a lookup meets another key's fingerprint.
#[must_use]
pub fn false_share(bits: u32, ways: u32) -> f64 {
    f64::from(ways) / 2_f64.powf(f64::from(bits))
}

/// Pairs of keys with equal fingerprints to expect in a table without a free way.
#[must_use]
pub fn colliding_pairs(blocks: u32, ways: u32, bits: u32) -> f64 {
    let ways = f64::from(ways);
    f64::from(blocks) * ways * (ways - 1.0) / 2.0 / 2_f64.powf(f64::from(bits))
}

/// The probability that a Poisson variable of this mean is above `most`.
#[must_use]
pub fn poisson_above(mean: f64, most: u32) -> f64 {
    let mut term = (1..=most).fold((-mean).exp(), |term, k| term * mean / f64::from(k));
    let mut sum = 0.0;
    // From the mean on each term is smaller than the one before.
    for k in most.saturating_add(1).. {
        term *= mean / f64::from(k);
        sum += term;
        if f64::from(k) > mean && term <= sum * 1e-17 {
            break;
        }
    }
    sum
}

/// The sketch whose estimates are off by more than `eps` of all counts with probability `delta`.
#[must_use]
pub fn count_min(eps: f64, delta: f64) -> CountMin {
    CountMin { width: (std::f64::consts::E / eps).ceil() as u64, depth: (1.0 / delta).ln().ceil() as u64 }
}

/// Seconds of a unit of Envoy's rate-limit service.
#[must_use]
pub fn unit_seconds(unit: &str) -> Option<u64> {
    const DAY: u64 = 24 * 60 * 60;
    Some(match unit {
        "SECOND" => 1,
        "MINUTE" => 60,
        "HOUR" => 60 * 60,
        "DAY" => DAY,
        "WEEK" => 7 * DAY,
        "MONTH" => 30 * DAY,
        "YEAR" => 365 * DAY,
        _ => return None,
    })
}

/// The name of a gRPC status.
#[must_use]
pub fn grpc_name(status: u32) -> Option<&'static str> {
    let names = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    names.get(usize::try_from(status).ok()?).copied()
}

// === impl Resilience4jWait ===

impl Resilience4jWait {
    /// The wait after so many others.
    #[must_use]
    pub fn after(&self, times: u32) -> u64 {
        (0..times).fold(self.initial_ms, |wait, _| (wait as f64 * self.multiplier) as u64)
    }

    /// Some wait around `wait`, at most `factor` of it away, for a draw below 1.
    #[must_use]
    pub fn randomized(wait: f64, factor: f64, draw: f64) -> u64 {
        let (min, max) = (wait - wait * factor, wait + wait * factor);
        ((min + draw * (max - min + 1.0)) as u64).max(1)
    }
}

// === impl LinkerdWait ===

impl LinkerdWait {
    /// The wait after so many others, for a draw below 1.
    #[must_use]
    pub fn after(&self, times: u32, draw: f64) -> f64 {
        let base = (self.min_ms * 2_f64.powf(f64::from(times))).min(self.max_ms);
        base + (base * self.jitter_ratio * draw).min(self.max_ms - base)
    }
}

// === impl Analysis ===

impl Analysis {
    /// Ends after `count` measurements, or `success_limit` successes in a row, or more failures
    /// than `failure_limit`, which -1 switches off.
    #[must_use]
    pub fn new(count: Option<f64>, failure_limit: f64, success_limit: Option<f64>) -> Self {
        Self {
            count,
            failure_limit,
            success_limit,
            failed: 0.0,
            measured: 0.0,
            errors_in_a_row: 0,
            successes_in_a_row: 0.0,
            phase: "Running",
        }
    }

    /// Takes a measurement: success, failure, inconclusive or error. Errors are not counted,
    /// but more than four in a row end it.
    pub fn take(&mut self, measurement: char) {
        if self.phase != "Running" {
            return;
        }
        let success = measurement == 'S';
        self.errors_in_a_row = if measurement == 'E' { self.errors_in_a_row + 1 } else { 0 };
        self.successes_in_a_row = if success { self.successes_in_a_row + 1.0 } else { 0.0 };
        self.failed += f64::from(u8::from(measurement == 'F'));
        self.measured += f64::from(u8::from(measurement != 'E'));
        let unlimited = self.failure_limit < 0.0;
        let enough = self.success_limit.is_some_and(|limit| self.successes_in_a_row >= limit);
        let over = self.count.is_some_and(|count| self.measured >= count);
        self.phase = match measurement {
            'F' if !unlimited && self.failed > self.failure_limit => "Failed",
            'I' => "Inconclusive",
            'E' if self.errors_in_a_row > 4 => "Error",
            _ if enough => "Successful",
            _ if over && self.success_limit.is_none() => "Successful",
            _ if over && unlimited => "Failed",
            _ if over => "Inconclusive",
            _ => "Running",
        };
    }

    /// How it stands.
    #[must_use]
    pub fn phase(&self) -> &'static str {
        self.phase
    }
}

// === impl FixedWindow ===

impl FixedWindow {
    /// `limit` requests in each window of `period`.
    #[must_use]
    pub fn new(limit: u64, period: u64) -> Self {
        Self { limit, period, window: 0, count: 0 }
    }
}

impl Limiter for FixedWindow {
    fn admit(&mut self, now: u64) -> bool {
        if now / self.period != self.window {
            (self.window, self.count) = (now / self.period, 0);
        }
        let admit = self.count < self.limit;
        self.count += u64::from(admit);
        admit
    }
}

// === impl SlidingLog ===

impl SlidingLog {
    /// `limit` requests in any `period`.
    #[must_use]
    pub fn new(limit: u64, period: u64) -> Self {
        Self { limit, period, log: VecDeque::new() }
    }
}

impl Limiter for SlidingLog {
    fn admit(&mut self, now: u64) -> bool {
        while self.log.front().is_some_and(|first| first + self.period < now) {
            self.log.pop_front();
        }
        let admit = (self.log.len() as u64) < self.limit;
        if admit {
            self.log.push_back(now);
        }
        admit
    }
}

// === impl SlidingWindow ===

impl SlidingWindow {
    /// About `limit` requests in any `period`.
    #[must_use]
    pub fn new(limit: u64, period: u64) -> Self {
        Self { limit, period, window: 0, count: 0, previous: 0 }
    }
}

impl Limiter for SlidingWindow {
    fn admit(&mut self, now: u64) -> bool {
        let window = now / self.period;
        if window != self.window {
            self.previous = if window == self.window + 1 { self.count } else { 0 };
            (self.window, self.count) = (window, 0);
        }
        let before = self.previous * (self.period - now % self.period);
        let admit = before + self.count * self.period + self.period <= self.limit * self.period;
        self.count += u64::from(admit);
        admit
    }
}

/// The bucket of `key` by jump consistent hashing (Lamping and Veach, 2014); 0 when there are none.
#[must_use]
pub fn jump(key: u64, buckets: u32) -> u32 {
    let (mut state, mut bucket, mut next) = (key, 0_u32, 0_u64);
    while next < u64::from(buckets) {
        bucket = u32::try_from(next).unwrap_or(0);
        state = state.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let step = 2_147_483_648.0 / ((state >> 33).wrapping_add(1) as f64);
        // A float too large for an integer becomes the largest, which ends the loop.
        next = ((f64::from(bucket) + 1.0) * step) as u64;
    }
    bucket
}

/// Envoy's success-rate rule over several hosts.
#[derive(Clone, Debug)]
pub struct SuccessRates {
    /// Mean of the rates, in percent.
    pub mean: f64,
    /// Their standard deviation, of the population.
    pub stdev: f64,
    /// Below this a host is ejected.
    pub threshold: f64,
    /// The hosts below it, by index.
    pub ejected: Vec<usize>,
}

/// Judges hosts by their success rates, in percent: those below mean − `stdev_factor` · σ are
/// ejected.
#[must_use]
pub fn success_rates(rates: &[f64], stdev_factor: f64) -> SuccessRates {
    let count = rates.iter().fold(0.0, |n, _| n + 1.0_f64).max(1.0);
    let mean = rates.iter().sum::<f64>() / count;
    let variance = rates.iter().map(|rate| (rate - mean) * (rate - mean)).sum::<f64>() / count;
    let stdev = variance.sqrt();
    let threshold = mean - stdev_factor * stdev;
    let below = rates.iter().enumerate().filter(|(_, rate)| **rate < threshold);
    SuccessRates { mean, stdev, threshold, ejected: below.map(|(index, _)| index).collect() }
}

/// Whether a host of this success rate fails as often as `threshold`, in percent.
#[must_use]
pub fn failure_percentage(success_rate: f64, threshold: f64) -> bool {
    100.0 - success_rate >= threshold
}
