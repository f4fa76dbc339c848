//! Exchanges with bodies, cuts and departures, interleaved as the bytes say.
//!
//! Two bytes are one step: what happens, and to which exchange or how. The requests come with and
//! without a body, the answers whole, cut, with trailers, late or never, to clients that wait or leave, and
//! the clock moves on between them. When all is over, an honest request must pass again.

use tidegate_driver::Exchange;
use tidegate_policy::http::{Attribute, Stage, Verdict};
use tidegate_policy::time::Span;

use crate::{SimHost, SimRequest, SimResponse, Worker};

/// Exchanges at the same time.
const MOST: usize = 12;
/// Statuses that answers have.
const STATUSES: [u32; 8] = [200, 204, 302, 404, 408, 429, 500, 503];
/// What Envoy flags: upstream reset, termination, timeout, no endpoint, no connection, client gone, idle.
const FLAGS: [u64; 8] = [0, 1 << 4, 1 << 6, 1 << 2, 1 << 1, 1 << 5, 1 << 13, 1 << 17];
const DETAILS: [&str; 4] =
    ["via_upstream", "upstream_reset_before_response_started", "downstream_remote_disconnect", ""];

/// Drives one worker by steps.
pub(super) struct History<'w, S: Stage> {
    worker: &'w Worker<S, SimHost>,
    open: Vec<Exchange<S>>,
    now_ms: u64,
}

// === impl History ===

impl<'w, S: Stage> History<'w, S> {
    pub(super) fn new(worker: &'w Worker<S, SimHost>) -> Self {
        Self { worker, open: Vec::new(), now_ms: 0 }
    }

    /// Takes each step.
    pub(super) fn run(&mut self, bytes: &[u8]) {
        for step in bytes.chunks_exact(2) {
            let &[what, how] = step else { continue };
            self.step(what, usize::from(how));
        }
    }

    /// Ends what is still open, and sends honest requests for as long as a patient client would: whether one
    /// passed.
    pub(super) fn recovers(mut self) -> bool {
        while let Some(exchange) = self.open.pop() {
            self.worker.abort(exchange, &SimResponse::none());
        }
        (0..100).any(|_| {
            self.pass(30_000);
            self.worker.tick();
            let (verdict, exchange) = self.worker.begin(&request(0));
            let passed = matches!(verdict, Verdict::Continue(_));
            if passed {
                let _ = self.worker.end(exchange, &SimResponse::upstream(200));
            }
            passed
        })
    }

    fn step(&mut self, what: u8, how: usize) {
        match what % 8 {
            0 if self.open.len() < MOST => self.begin(how),
            1 => self.complete(how),
            2 => self.respond(how),
            3 => self.finish(how),
            4 => self.cut(how),
            5 => self.worker.tick(),
            6 => self.pass(u64::try_from(how * how).unwrap_or(0)),
            _ => self.pass(1),
        }
    }

    fn begin(&mut self, how: usize) {
        let (verdict, exchange) = self.worker.begin(&request(how));
        let _ = self.worker.outcome(&exchange);
        if !matches!(verdict, Verdict::Reply(_)) {
            self.open.push(exchange);
        }
    }

    fn complete(&mut self, how: usize) {
        let at = how % self.open.len().max(1);
        if let Some(exchange) = self.open.get_mut(at) {
            self.worker.complete(exchange);
        }
    }

    fn respond(&mut self, how: usize) {
        let at = how % self.open.len().max(1);
        if let Some(exchange) = self.open.get_mut(at) {
            let _ = self.worker.respond(exchange, &response(how / MOST));
        }
    }

    /// A response, or trailers, and the end.
    fn finish(&mut self, how: usize) {
        if let Some(exchange) = self.taken(how) {
            let last = response(how / MOST).header("grpc-status", if how % 2 == 0 { "0" } else { "14" });
            match how % 3 {
                0 => self.worker.finish(exchange, &last),
                _ => drop(self.worker.end(exchange, &last)),
            }
        }
    }

    /// The end of an exchange with no more than it had.
    fn cut(&mut self, how: usize) {
        if let Some(exchange) = self.taken(how) {
            self.worker.abort(exchange, &response(how / MOST));
        }
    }

    fn taken(&mut self, how: usize) -> Option<Exchange<S>> {
        let at = how % self.open.len().max(1);
        (at < self.open.len()).then(|| self.open.swap_remove(at))
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms = self.now_ms.saturating_add(ms);
        self.worker.host.set(Span::from_millis(self.now_ms));
    }
}

fn request(how: usize) -> SimRequest<'static> {
    const USERS: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
    let method = if how & 1 == 0 { "GET" } else { "POST" };
    let request = SimRequest::request(method, "/x").header("x-user", USERS[how >> 4 & 3]);
    let request = request.attribute(Attribute::Cluster, b"up").attribute(Attribute::Route, b"r");
    let request = request.attribute(Attribute::Endpoint, b"10.0.0.1:80");
    let request = if how & 4 == 0 {
        request
    } else {
        request.header("te", b"trailers").header("content-type", b"application/grpc")
    };
    if how & 2 == 0 {
        request
    } else {
        request.with_body()
    }
}

fn response(how: usize) -> SimResponse {
    let pick = how % 8;
    let response = SimResponse::local(STATUSES[pick], DETAILS[how % 4], FLAGS[how / 2 % 8]);
    let response =
        response.attribute(Attribute::Cluster, b"up").attribute(Attribute::Endpoint, b"10.0.0.1:80");
    if pick == 1 {
        response.without_body()
    } else {
        response
    }
}
