//! Requests and their attempts, through discovery in both places, in one VM or in two.
//!
//! Each line is a step: two bytes of what happens and how, then text for a header, for filter state or for a
//! name. No bytes lead a request to an endpoint that the document does not allow, or let a client choose one;
//! when all is over nothing is in flight, and an honest request passes.

use std::sync::Arc;

use tidegate_policy::discovery::Discovery;
use tidegate_policy::http::{Attribute, Edit, Placement, Verdict};

use super::registry::{at, workers, Says, Sim, ALL};
use crate::{Exchange, SimHost, SimQuestion, SimRequest, SimResponse, Worker};

const CONFIG: &str = r#"{"registries": {"r": {"consul": {"cluster": "c"}}}, "allow": ["10.0.0.0/8:80"], "services": [
    {"name": "a", "registry": "r", "attempts": 3, "match": {"path": {"prefix": "/a"}}},
    {"name": "h", "registry": "r", "attempts": 2, "balance": {"maglev": {"table_size": 101, "hash_key": [{"header": "x-user"}]}},
     "outlier_detection": {"consecutive_5xx": 2}, "match": {"path": {"prefix": "/h"}}},
    {"name": "e", "registry": "r", "balance": "peak_ewma", "match": {"path": {"prefix": "/e"}}}]}"#;
const PATHS: [&str; 4] = ["/a", "/h", "/e", "/other"];
/// Requests at the same time, and attempts of each.
const MOST: usize = 8;
const STATUSES: [u32; 4] = [200, 404, 500, 503];
/// What Envoy flags: upstream reset, timeout, no connection, client gone, idle.
const FLAGS: [u64; 6] = [0, 1 << 4, 1 << 6, 1 << 1, 1 << 5, 1 << 17];
/// Headers by which Envoy would be led to an endpoint.
const STEER: [&str; 2] = ["x-envoy-original-dst-host", "x-tidegate-endpoints"];

/// The body: a line is a step.
pub fn exchange(bytes: &[u8]) {
    for apart in [false, true] {
        let mut run = Run::new(apart);
        bytes.split(|byte| *byte == b'\n').for_each(|line| run.step(line));
        run.recovers();
    }
}

struct Run {
    edge: Sim,
    around: Sim,
    calls: Vec<Call>,
    questions: Vec<SimQuestion>,
    says: Says,
    now_ms: u64,
}

/// A request in flight.
struct Call {
    exchange: Exchange<Discovery>,
    waits: bool,
    /// What the filter left for the one around attempts.
    state: String,
    next: String,
    begun: u64,
    attempts: Vec<Exchange<Discovery>>,
    /// What the one around attempts left.
    report: String,
}

// === impl Run ===

impl Run {
    fn new(apart: bool) -> Self {
        let store = Arc::default();
        let edge = workers(1, CONFIG, &store).remove(0);
        let around = if apart {
            Worker::attempt(CONFIG, SimHost::new(Arc::default()))
        } else {
            Worker::beside(&edge, CONFIG, Placement::Attempt, SimHost::new(store))
        };
        let around = around.unwrap_or_else(|error| panic!("the configuration is wrong: {error:?}"));
        let mut run =
            Self { edge, around, calls: Vec::new(), questions: Vec::new(), says: Says::all(1), now_ms: 0 };
        run.tick();
        run
    }

    fn step(&mut self, line: &[u8]) {
        let [what, how, text @ ..] = line else { return };
        let at = usize::from(*how);
        match what % 10 {
            0 | 1 if self.calls.len() < MOST => self.begin(at, text),
            2 | 3 => self.attempt(at, text),
            4 => self.answered(at, text),
            5 => self.end(at, text),
            6 => self.says = Says { named: *how, check: at, index: self.says.index + 1 },
            7 => self.registry(at, text),
            8 => self.pass(u64::from(*how)),
            _ => self.tick(),
        }
        assert!(self.edge.memory().count() <= self.calls.len(), "more is in flight than began");
    }

    fn begin(&mut self, how: usize, text: &[u8]) {
        let split = text.iter().skip(1).position(|byte| *byte == b':').map_or(text.len(), |at| at + 1);
        let (name, value) = text.split_at(split);
        let (name, value) = (String::from_utf8_lossy(name), value.get(1..).unwrap_or_default());
        let method = if how & 4 == 0 { "GET" } else { "POST" };
        let path = PATHS.get(how & 3).copied().unwrap_or("/a");
        let request = SimRequest::request(method, path).header("x-user", value).header(&name, value);
        let request = if how & 8 == 0 { request } else { request.with_body() };
        let request = if how & 16 == 0 { request } else { request.attribute(Attribute::Chosen, value) };
        let request = if how & 32 == 0 { request } else { request.attribute(Attribute::Guarded, value) };
        let (verdict, exchange) = self.edge.begin(&request);
        let next = match &verdict {
            Verdict::Continue(edits) => {
                assert!(removed(edits, &name), "a client may choose by {name:?}: {edits:?}");
                steered(edits)
            }
            Verdict::Await(_) => String::new(),
            Verdict::Reply(_) => return self.edge.abort(exchange, &SimResponse::none()),
        };
        let waits = matches!(verdict, Verdict::Await(_));
        let state = self.edge.outcome(&exchange).unwrap_or_default();
        let (attempts, report) = (Vec::new(), String::new());
        self.calls.push(Call { exchange, waits, state, next, begun: 0, attempts, report });
    }

    /// Envoy begins an attempt. Its filter state is the filter's, or any text.
    fn attempt(&mut self, how: usize, text: &[u8]) {
        let at = how % self.calls.len().max(1);
        let Some(call) = self.calls.get_mut(at).filter(|call| !call.waits) else { return };
        if call.attempts.len() >= MOST {
            return;
        }
        call.begun += 1;
        let (went, count) = (call.next.clone(), call.begun.to_le_bytes());
        let (state, endpoint) = match how / 64 {
            1 => (text, went.as_bytes()),
            2 => (call.state.as_bytes(), text),
            _ => (call.state.as_bytes(), went.as_bytes()),
        };
        let request = SimRequest::get("/a").attribute(Attribute::Discovered, state);
        let request = request.attribute(Attribute::Endpoint, endpoint);
        let (verdict, exchange) = self.around.begin(&request.attribute(Attribute::AttemptCount, &count));
        call.report = self.around.outcome(&exchange).unwrap_or_else(|| call.report.clone());
        match &verdict {
            Verdict::Continue(edits) => {
                let next = steered(edits);
                call.next = if next.is_empty() { went } else { next };
                call.attempts.push(exchange);
            }
            Verdict::Await(_) | Verdict::Reply(_) => self.around.abort(exchange, &SimResponse::none()),
        }
    }

    fn answered(&mut self, how: usize, text: &[u8]) {
        let at = how % self.calls.len().max(1);
        let Some(attempt) = self.calls.get_mut(at).and_then(|call| call.attempts.pop()) else { return };
        let response = response(how / MOST, text);
        match how / 64 {
            0 => drop(self.around.end(attempt, &response)),
            1 => self.around.abort(attempt, &response.unconnected()),
            2 => self.around.end_with_trailers(attempt, &response, &response),
            _ => self.around.abort(attempt, &response),
        }
    }

    fn end(&mut self, how: usize, text: &[u8]) {
        let at = how % self.calls.len().max(1);
        if at >= self.calls.len() {
            return;
        }
        let call = self.calls.swap_remove(at);
        let response = response(how / MOST, text).attribute(Attribute::Endpoint, call.next.as_bytes());
        let report = if how & 64 == 0 { call.report.as_bytes() } else { text };
        let response = response.attribute(Attribute::Attempted, report);
        call.attempts.into_iter().for_each(|attempt| self.around.abort(attempt, &SimResponse::none()));
        match how / 128 {
            0 if !call.waits => drop(self.edge.end(call.exchange, &response)),
            _ => self.edge.abort(call.exchange, &response),
        }
    }

    /// The registry says what it has, or any text; requests that wait ask again.
    fn registry(&mut self, how: usize, text: &[u8]) {
        let at = how % self.questions.len().max(1);
        if at < self.questions.len() {
            let question = self.questions.swap_remove(at);
            let good = self.says.to(&question);
            self.edge.answer(&if how < 128 { good } else { question.answer(200).body(text) });
        }
        for call in self.calls.iter_mut().filter(|call| call.waits) {
            if let Verdict::Continue(edits) = self.edge.wait(&mut call.exchange) {
                call.next = steered(&edits);
                call.waits = false;
            }
        }
        self.questions.extend(self.edge.host.take_questions());
    }

    fn pass(&mut self, how: u64) {
        self.now_ms += how * how;
        at([&self.edge, &self.around], self.now_ms);
    }

    fn tick(&mut self) {
        self.edge.tick();
        self.around.tick();
        self.questions.extend(self.edge.host.take_questions());
    }

    /// When all requests are over nothing is in flight, and when the registry answers, one passes.
    fn recovers(mut self) {
        while !self.calls.is_empty() {
            self.end(128, b"");
        }
        assert_eq!(self.edge.memory().count(), 0, "something is in flight for ever");
        self.says = Says::all(self.says.index + 1);
        let good = (0..200).any(|_| {
            self.pass(32);
            self.tick();
            for question in std::mem::take(&mut self.questions) {
                self.edge.answer(&self.says.to(&question));
            }
            self.tick();
            let (verdict, exchange) = self.edge.begin(&SimRequest::get("/a"));
            let passed = matches!(&verdict, Verdict::Continue(edits) if ALL.contains(&&*steered(edits)));
            self.edge.end(exchange, &SimResponse::upstream(200));
            passed
        });
        assert!(good, "no honest request passes any more");
    }
}

/// Where the edits lead the request, which is allowed.
fn steered(edits: &[Edit]) -> String {
    let value = edits.iter().find_map(|edit| match edit {
        Edit::SetRequestHeader(name, value) if STEER.contains(&&**name) => Some(value.to_string()),
        _ => None,
    });
    let value = value.unwrap_or_default();
    assert!(value.is_empty() || value.starts_with("10.") && value.ends_with(":80"), "{value} is not allowed");
    value
}

/// Whether a header that a client sent, if it names endpoints, is gone or ours.
fn removed(edits: &[Edit], name: &str) -> bool {
    let folded = name.to_ascii_lowercase().replace('_', "-");
    let gone = |edit: &Edit| match edit {
        Edit::RemoveRequestHeader(known) | Edit::DropRequestHeader(known) => known == name,
        Edit::SetRequestHeader(known, _) => **known == *name,
        _ => false,
    };
    !STEER.contains(&&*folded) || edits.iter().any(gone)
}

fn response(how: usize, text: &[u8]) -> SimResponse {
    let status = STATUSES.get(how % STATUSES.len()).copied().unwrap_or(200);
    let flags = FLAGS.get(how % FLAGS.len()).copied().unwrap_or(0);
    let response = SimResponse::local(status, "via_upstream", flags);
    if how % 2 == 0 {
        response
    } else {
        response.attribute(Attribute::Details, text).attribute(Attribute::TransportFailure, text)
    }
}
