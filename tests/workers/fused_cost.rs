//! What a request through all stages in one module asks of the host: each thing once.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use tidegate_policy::fused::Fused;
use tidegate_policy::host::{
    Callout, CalloutError, Clock, Journal, Meter, Question, Store, StoreError, Token, Version,
};
use tidegate_policy::http::{Attribute, Header, Request, RequestExt, Response, Verdict};
use tidegate_policy::time::{Span, Timestamp};
use tidegate_sim::{Exchange, SimHost, SimResponse, Worker};

use crate::discovery::fixed;

/// A host, a request and a response that write down what they are asked.
struct Asked<'a> {
    host: &'a SimHost,
    headers: Vec<Header<'a>>,
    response: SimResponse,
    calls: RefCell<Vec<String>>,
}

impl Asked<'_> {
    fn called(&self, call: &str) {
        self.calls.borrow_mut().push(call.to_owned());
    }
}

impl Clock for Asked<'_> {
    fn now(&self) -> Timestamp {
        self.called("clock");
        self.host.now()
    }

    fn wall(&self) -> Timestamp {
        self.called("wall clock");
        self.host.wall()
    }
}

impl Store for Asked<'_> {
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.called("cell read");
        self.host.load(cell)
    }

    fn replace(&self, cell: &str, bytes: &[u8], version: Version) -> Result<(), StoreError> {
        self.called("cell write");
        self.host.replace(cell, bytes, version)
    }
}

impl Callout for Asked<'_> {
    fn ask(&self, question: &Question<'_>) -> Result<Token, CalloutError> {
        self.called("question");
        self.host.ask(question)
    }
}

impl Meter for Asked<'_> {
    /// In memory: the host is told with the tick.
    fn add(&self, index: usize, n: u64) {
        self.host.add(index, n);
    }

    fn raise(&self, index: usize) {
        self.called("metric raised");
        self.host.raise(index);
    }

    fn read(&self, index: usize) -> u64 {
        self.called("metric read");
        self.host.read(index)
    }

    fn set(&self, index: usize, value: u64) {
        self.called("metric set");
        Meter::set(self.host, index, value);
    }
}

impl Journal for Asked<'_> {
    fn note(&self, line: &str) {
        panic!("no line for this: {line}");
    }
}

impl Request for Asked<'_> {
    fn headers(&self) -> &[Header<'_>] {
        &self.headers
    }

    fn peer(&self) -> Option<IpAddr> {
        self.called("peer");
        Some(IpAddr::from([192, 0, 2, 1]))
    }

    fn lone_header(&self, name: &str) -> Option<Vec<u8>> {
        self.called(&format!("header {name}"));
        RequestExt::header(self, name).map(<[u8]>::to_vec)
    }

    fn end_of_stream(&self) -> bool {
        true
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        self.called(&format!("{which:?}"));
        (which == Attribute::Cluster).then(|| b"main".to_vec())
    }
}

impl Response for Asked<'_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.called(name);
        Response::header(&self.response, name)
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        self.called(&format!("{which:?}"));
        Response::attribute(&self.response, which)
    }
}

/// A hot key, one variant of a cluster or a service, a closed breaker, one known endpoint.
fn document(variant: &str, target: &str) -> String {
    let discovery = fixed(&["10.0.0.1:80"], "");
    format!(
        r#"{{"ratelimit": {{"limits": [{{"name": "l", "key": [{{"header": "x-key"}}], "requests": 1000000, "per_ms": 60000}}]}},
        "routing": {{"routes": [{{"name": "r", "variants": [{{"name": "v", {variant}}}]}}]}},
        "breaker": {{"breakers": [{{"name": "b", "target": {target}}}]}}, "discovery": {discovery}}}"#
    )
}

/// The calls of the cheapest of many exchanges: from headers to verdict with the facts told and the edits
/// made, for the response, and at the end.
fn calls(json: &str) -> [Vec<String>; 3] {
    let worker = Worker::<Fused, _>::new(json, SimHost::new(Arc::default())).unwrap();
    let headers: Vec<Header<'_>> =
        vec![(b":method", b"GET"), (b":path", b"/"), (b":authority", b"a"), (b"x-key", b"k")];
    let response = SimResponse::upstream(200);
    let asked = Asked { host: &worker.host, headers, response, calls: RefCell::default() };
    let mut cheapest: Option<[Vec<String>; 3]> = None;
    // So many in so short a time that the key has a lease.
    for n in 0..200 {
        worker.host.set(Span::from_millis(n / 4));
        let mut exchange = Exchange::<Fused>::default();
        let verdict = exchange.request(worker.stage(), &asked, &asked);
        let Verdict::Continue(edits) = verdict else { panic!("{verdict:?}") };
        asked.calls.borrow_mut().push("all headers".to_owned());
        exchange.facts(worker.stage(), &mut |name, _| asked.called(&format!("fact {name}")));
        edits.iter().for_each(|edit| asked.called(&format!("{edit:?}")));
        let request = asked.calls.take();
        exchange.response(worker.stage(), &asked, &asked);
        let response = asked.calls.take();
        exchange.response_complete();
        exchange.end(worker.stage(), &asked, &asked);
        let calls = [request, response, asked.calls.take()];
        let count = |calls: &[Vec<String>; 3]| calls.iter().map(Vec::len).sum::<usize>();
        if cheapest.as_ref().is_none_or(|known| count(&calls) < count(known)) {
            cheapest = Some(calls);
        }
    }
    cheapest.unwrap().map(|mut calls: Vec<String>| {
        calls.sort();
        calls
    })
}

#[test]
fn a_request_for_a_service_asks_each_thing_once() {
    let [request, response, end] =
        calls(&document(r#""service": {"name": "orders"}"#, r#"{"key": [{"header": "x-key"}]}"#));
    let expected = [
        "SetRequestHeader(\"x-envoy-original-dst-host\", \"10.0.0.1:80\")",
        "all headers",
        "clock",
        "fact tidegate.discovery",
        "fact tidegate.routing",
        // Whether a breaker, or endpoints, changed.
        "metric read",
        "metric read",
    ];
    assert_eq!(request, expected);
    assert_eq!(response, [":status", "clock"]);
    assert!(end.is_empty(), "{end:?}");
}

/// Discovery has a service for all that routing leaves to it, and so for this one.
#[test]
fn a_request_for_a_cluster_asks_each_thing_once() {
    let [request, response, end] = calls(&document(r#""cluster": "up""#, r#"{"cluster": "up"}"#));
    let expected = [
        "SetRequestHeader(\"x-envoy-original-dst-host\", \"10.0.0.1:80\")",
        "SetRequestHeader(\"x-tidegate-cluster\", \"up\")",
        "all headers",
        "clock",
        "fact tidegate.discovery",
        "fact tidegate.routing",
        "metric read",
        "metric read",
    ];
    assert_eq!(request, expected);
    assert_eq!(response, [":status", "clock"]);
    assert!(end.is_empty(), "{end:?}");
}
