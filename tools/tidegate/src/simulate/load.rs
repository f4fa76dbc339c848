//! A load that is made up: clients of different sizes, arrivals at random, repeatable by a seed.

use tidegate_policy::time::Span;

use super::Arrival;
use crate::engine::Passing;
use crate::options::Simulate;

/// Requests, one after the other.
pub(super) struct Load {
    rate: f64,
    duration: Span,
    /// The part of all requests that the clients up to each have.
    parts: Vec<f64>,
    method: String,
    paths: Vec<String>,
    headers: Vec<(String, String)>,
    error_percent: f64,
    outage: Option<(Span, Span)>,
    latency: Span,
    at: f64,
    count: u64,
    random: u64,
}

// === impl Load ===

impl Load {
    pub(super) fn new(options: &Simulate) -> Result<Self, String> {
        if !(options.rate > 0.0 && options.rate.is_finite()) {
            return Err(format!("{} is no rate: more than 0 a second", options.rate));
        }
        let mut sum = 0.0;
        // The n-th client sends a part of 1/n, as Zipf's law says.
        let sums = (1..=options.clients).map(|client| {
            sum += 1.0 / f64::from(client);
            sum
        });
        let sums: Vec<f64> = sums.collect();
        let parts = sums.iter().map(|part| part / sum).collect();
        let header = |header: &String| {
            let (name, value) =
                header.split_once(':').ok_or(format!("{header:?} is no header: name: value"))?;
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        if !(0.0..=100.0).contains(&options.error_percent) {
            return Err(format!("{} is no percentage: 0 to 100", options.error_percent));
        }
        let outage = options.outage.as_deref().map(outage);
        let (method, paths) = options.request.split_once(' ').unwrap_or(("GET", &options.request));
        Ok(Self {
            rate: options.rate,
            duration: span(&options.duration)?,
            parts,
            method: method.to_owned(),
            paths: paths.split(',').map(|path| path.trim().to_owned()).collect(),
            headers: options.headers.iter().map(header).collect::<Result<_, String>>()?,
            error_percent: options.error_percent,
            outage: outage.transpose()?,
            latency: span(&options.latency)?,
            at: 0.0,
            count: 0,
            random: options.seed,
        })
    }

    /// About how many requests there are.
    pub(super) fn expected(&self) -> u64 {
        (self.rate * self.duration.as_millis_f64() / 1_000.0) as u64
    }

    /// The next number between 0 and 1 (`SplitMix64`).
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A time as long as that on average, at random as waiting is.
    fn waiting(&mut self, mean: f64) -> f64 {
        -(1.0 - self.draw()).ln() * mean
    }
}

impl Iterator for Load {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.at += self.waiting(1.0e9 / self.rate);
        let at = Span::from_nanos(self.at as u64);
        if at >= self.duration {
            return None;
        }
        self.count += 1;
        let drawn = self.draw();
        let client = self.parts.partition_point(|part| *part < drawn) + 1;
        let filled = |text: &str, count: u64| {
            let text = text.replace("{client}", &client.to_string()).replace("{n}", &count.to_string());
            text.replace("{count}", &count.to_string())
        };
        let which = (self.draw() * self.paths.len() as f64) as usize;
        let path = filled(self.paths.get(which).map_or("/", String::as_str), self.count);
        let number = u32::try_from(client).unwrap_or(u32::MAX);
        let peer =
            std::net::Ipv4Addr::from(u32::from(std::net::Ipv4Addr::new(10, 0, 0, 0)).wrapping_add(number));
        let mut request = Passing::new(&self.method, &path, "example.com", Some(peer.into()));
        for (name, value) in &self.headers {
            request.headers.push((name.clone(), filled(value, self.count).into_bytes()));
        }
        let down = self.outage.is_some_and(|(from, to)| from <= at && at < to);
        let fails = self.draw() * 100.0 < self.error_percent;
        let took = Span::from_nanos(self.waiting(self.latency.as_nanos() as f64) as u64);
        Some(Arrival { at, request, status: if down || fails { 503 } else { 200 }, took })
    }
}

/// When all requests fail.
fn outage(text: &str) -> Result<(Span, Span), String> {
    let (from, to) = text.split_once("..").ok_or(format!("{text:?} is no time: 20s..30s"))?;
    let (from, to) = (span(from)?, span(to)?);
    if from >= to {
        return Err(format!("the outage {text:?} ends before it begins: 20s..30s"));
    }
    Ok((from, to))
}

/// A time such as `10s`, `1.5m` or `250ms`.
fn span(text: &str) -> Result<Span, String> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let millis = match unit {
        "ms" => 1.0,
        "s" | "" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        _ => 0.0,
    };
    match number.parse::<f64>() {
        Ok(number) if millis > 0.0 && number >= 0.0 && number.is_finite() => {
            Ok(Span::from_nanos((number * millis * 1.0e6) as u64))
        }
        _ => Err(format!("{text:?} is no time, such as 10s, 5m or 250ms")),
    }
}
