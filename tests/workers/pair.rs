//! Two stages in one module: in order, each seeing what the one before it did, and told when the one
//! after it ended an exchange.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tidegate_policy::breaker::CircuitBreaker;
use tidegate_policy::config::Reader;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::host::{Host, Store, StoreError};
use tidegate_policy::http::{
    Attribute, Callback, CellSpec, Edit, Ending, Metric, MetricKind, NoResponse, Placement, Request,
    Response, Stage, Verdict,
};
use tidegate_policy::ratelimit::RateLimit;
use tidegate_policy::routing::Routing;
use tidegate_policy::time::Span;
use tidegate_sim::{Exchange, Pair, SimHost, SimRequest, SimResponse, Worker};

fn worker<S: Stage>(json: &str) -> Worker<S, SimHost> {
    Worker::new(json, SimHost::new(std::sync::Arc::default())).expect("a right configuration")
}

fn count<S: Stage>(worker: &Worker<S, SimHost>, name: &str) -> u64 {
    worker.host.count(worker.counter(name))
}

fn details(verdict: Verdict) -> String {
    match verdict {
        Verdict::Reply(reply) => reply.details,
        other => panic!("no reply but {other:?}"),
    }
}

thread_local! {
    static CALLS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Writes down what it is asked.
struct Noting<const NAME: char>;

impl<const NAME: char> Noting<NAME> {
    fn note(call: &str) {
        CALLS.with_borrow_mut(|calls| calls.push(format!("{NAME}:{call}")));
    }
}

impl<const NAME: char> Stage for Noting<NAME> {
    const NAME: &'static str = if NAME == 'a' { "a" } else { "b" };
    const CALLBACKS: &'static [Callback] =
        if NAME == 'a' { &[Callback::ResponseHeaders] } else { &[Callback::Tick, Callback::RequestBody] };

    type Exchange = ();
    type Memory = ();

    fn read(_reader: &Reader<'_>, _placement: Placement) -> Option<Self> {
        Some(Self)
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        std::iter::empty()
    }

    fn start(&mut self, _memory: &Rc<()>, _store: &impl Store) -> Result<(), StoreError> {
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric { name: NAME.to_string(), help: "", kind: MetricKind::Counter }]
    }

    fn on_request(&self, (): &mut (), request: &impl Request, host: &impl Host) -> Verdict {
        let end = request.end_of_stream();
        Self::note(&format!("request {end} {:?}", request.lone_header("x-a").map(|v| v.len())));
        host.add(0, if NAME == 'a' { 1 } else { 10 });
        host.note("request");
        Verdict::Continue(vec![Edit::SetRequestHeader("x-a".into(), "four".into())])
    }

    fn on_request_complete(&self, (): &mut (), _host: &impl Host) {
        Self::note("complete");
    }

    fn on_response(&self, (): &mut (), response: &impl Response, _host: &impl Host) -> Vec<Edit> {
        let status = response.header(":status").unwrap_or_default();
        Self::note(&format!("response {}", String::from_utf8_lossy(&status)));
        Vec::new()
    }

    fn on_trailers(&self, (): &mut (), _trailers: &impl Response, _host: &impl Host) {
        Self::note("trailers");
    }

    fn on_end(&self, (): &mut (), ending: Ending, _end: &impl Response, _host: &impl Host) {
        Self::note(&format!("{ending:?}"));
    }

    fn facts(&self, (): &(), tell: &mut dyn FnMut(&'static str, &str)) {
        tell(Self::NAME, "seen");
    }
}

type Both = Pair<Noting<'a'>, Noting<'b'>>;

#[test]
fn requests_pass_in_order_and_responses_in_reverse() {
    let worker = worker::<Both>(r#"{"a": {}, "b": {}}"#);
    let (verdict, mut exchange) = worker.begin(&SimRequest::get("/").with_body());
    let Verdict::Continue(edits) = verdict else { panic!("{verdict:?}") };
    assert_eq!(edits.len(), 2);
    worker.complete(&mut exchange);
    let mut facts = Vec::new();
    exchange.facts(worker.stage(), &mut |name, text| facts.push(format!("{name}={text}")));
    worker.end_with_trailers(exchange, &SimResponse::upstream(200), &SimResponse::none());
    let expected = [
        "a:request false None",
        "b:request false Some(4)",
        "a:complete",
        "b:complete",
        "b:response 200",
        "a:response 200",
        "b:trailers",
        "a:trailers",
        "b:Complete",
        "a:Complete",
    ];
    assert_eq!(CALLS.take(), expected);
    assert_eq!(facts, ["a=seen", "b=seen"]);
    assert_eq!((count(&worker, "a"), count(&worker, "b")), (1, 10));
    assert_eq!(worker.host.take_notes(), ["a: request", "b: request"]);
    let callbacks = [Callback::RequestBody, Callback::ResponseHeaders, Callback::Tick];
    assert_eq!(Both::CALLBACKS, callbacks);
}

#[test]
fn an_exchange_ends_as_far_as_the_module_is_called() {
    let worker = worker::<Both>(r#"{"a": {}, "b": {}}"#);
    let ends = |finish: &dyn Fn(Exchange<Both>)| {
        let (_, exchange) = worker.begin(&SimRequest::get("/"));
        CALLS.take();
        finish(exchange);
        CALLS.take().pop().unwrap()
    };
    let ok = SimResponse::upstream(200);
    assert_eq!(ends(&|exchange| worker.abort(exchange, &SimResponse::none())), "a:Incomplete");
    assert_eq!(ends(&|exchange| worker.break_off(exchange, &ok, &SimResponse::none())), "a:Unknown");
    let whole = ok.clone().without_body();
    assert_eq!(ends(&|exchange| worker.break_off(exchange, &whole, &SimResponse::none())), "a:Complete");
}

#[test]
fn one_document_is_read_with_whole_paths() {
    let json = r#"{"routing": {"routes": [{"name": "r", "variants": [{"name": "v"}]}]},
        "breaker": {"breakers": [{"name": "b", "target": {"cluster": 7}}], "other": 1}, "more": {}}"#;
    let error = Pair::<Routing, CircuitBreaker>::configure(json.as_bytes(), Placement::Downstream);
    let problems = error.err().unwrap().problems;
    let paths: Vec<String> =
        problems.iter().map(|problem| problem.to_string().split(": ").next().unwrap().to_owned()).collect();
    for path in
        ["more", "routing.routes[0].variants[0]", "breaker.other", "breaker.breakers[0].target.cluster"]
    {
        assert!(paths.iter().any(|own| own == path), "{path}: {paths:?}");
    }
}

const ROUTED: &str = r#"{
    "routing": {"routes": [{"name": "r", "variants": [{"name": "v", "cluster": "up", "weight": 100}]}]},
    "breaker": {"breakers": [{"name": "b", "target": {"cluster": "up"}, "consecutive_failures": 1}]}}"#;

#[test]
fn a_breaker_guards_the_cluster_that_routing_chose_and_no_client_can() {
    let worker = worker::<Pair<Routing, CircuitBreaker>>(ROUTED);
    let (verdict, exchange) = worker.begin(&SimRequest::get("/"));
    assert!(matches!(verdict, Verdict::Continue(_)));
    worker.end(exchange, &SimResponse::upstream(503));
    let forged = SimRequest::get("/").header("x-tidegate-cluster", b"elsewhere");
    for request in [SimRequest::get("/"), forged] {
        assert_eq!(details(worker.begin(&request).0), "tidegate_breaker_open:b", "{request:?}");
    }
    assert_eq!(count(&worker, "tidegate.breaker.breaker.b.refused"), 2);
    assert_eq!(count(&worker, "tidegate.routing.route.r.variant.v.requests"), 3);
}

/// A response that counts what it is asked.
struct Counted(SimResponse, Cell<u32>);

impl Response for Counted {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.1.set(self.1.get() + u32::from(name == ":status"));
        Response::header(&self.0, name)
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        Response::attribute(&self.0, which)
    }
}

#[test]
fn the_status_is_asked_once_for_both() {
    let ramp = r#""weight": 50, "ramp": {"steps": [{"weight": 50, "hold_ms": 500}], "interval_ms": 500, "abort": {}}"#;
    let json = ROUTED.replace(
        r#"[{"name": "v", "cluster": "up", "weight": 100}]"#,
        &format!(
            r#"[{{"name": "v", "cluster": "up", "weight": 50}}, {{"name": "w", "cluster": "up", {ramp}}}]"#
        ),
    );
    let worker = worker::<Pair<Routing, CircuitBreaker>>(&json);
    let (_, mut exchange) = worker.begin(&SimRequest::get("/"));
    let response = Counted(SimResponse::upstream(200), Cell::new(0));
    exchange.response(worker.stage(), &response, &worker.host);
    assert_eq!(response.1.get(), 1);
}

#[test]
fn a_permit_comes_back_when_a_later_stage_answers() {
    let json = r#"{
        "breaker": {"breakers": [{"name": "b", "target": {"cluster": "up"}, "consecutive_failures": 1,
            "base_open_ms": 1000, "jitter_percent": 0, "half_open_permits": 1}]},
        "ratelimit": {"limits": [{"name": "l", "requests": 1, "per_ms": 60000, "key": [{"constant": "x"}], "match": {"path": {"exact": "/limited"}}}]}}"#;
    let worker = worker::<Pair<CircuitBreaker, RateLimit>>(json);
    let to = |path| SimRequest::get(path).attribute(Attribute::Cluster, b"up");
    let pass = |path, status| {
        let (verdict, exchange) = worker.begin(&to(path));
        assert!(matches!(verdict, Verdict::Continue(_)), "{verdict:?}");
        let outcome = worker.outcome(&exchange);
        worker.end(exchange, &SimResponse::upstream(status));
        outcome.unwrap_or_default()
    };
    pass("/limited", 503);
    worker.host.set(Span::from_millis(1_000));
    let (verdict, exchange) = worker.begin(&to("/limited"));
    assert_eq!(details(verdict), "tidegate_ratelimit_refused:l");
    assert_eq!(worker.outcome(&exchange).as_deref(), Some("refused:l"), "it was no probe in the end");
    assert_eq!(pass("/", 200), "probe:b", "the only permit is there again");
}

#[test]
fn a_flight_ends_without_a_judgement_when_its_request_was_not_sent() {
    let json = crate::discovery::fixed(&["10.0.0.1:80"], "");
    let worker = worker::<Discovery>(&json);
    let mut state = <Discovery as Stage>::Exchange::default();
    let verdict = worker.stage().on_request(&mut state, &SimRequest::get("/"), &worker.host);
    assert!(matches!(verdict, Verdict::Continue(_)), "{verdict:?}");
    assert_eq!(worker.memory().count(), 1);
    worker.stage().on_end(&mut state, Ending::NeverSent, &NoResponse, &worker.host);
    assert_eq!(worker.memory().count(), 0);
    worker.tick();
    assert_eq!(count(&worker, "tidegate.discovery.service.orders.failures"), 0);
}
