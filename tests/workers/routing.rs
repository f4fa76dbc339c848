//! What tests of routing have in common: a few workers with one clock, and what goes on to the
//! upstream of a request.

use std::sync::Arc;

use tidegate_policy::http::{Edit, Reply, Request, Verdict};
use tidegate_policy::routing::Routing;
use tidegate_policy::time::Span;
use tidegate_sim::{SimHost, SimRequest, SimResponse, SimStore, Worker};

pub(crate) type Sim = Worker<Routing, SimHost>;

/// The workers of one Envoy.
pub(crate) struct Workers {
    pub(crate) store: Arc<SimStore>,
    pub(crate) all: Vec<Sim>,
}

/// The headers of a request as they leave for the upstream.
pub(crate) struct Onward(Vec<(String, String)>);

/// A policy with these routes.
pub(crate) fn routes(routes: &str) -> String {
    format!(r#"{{"routes": [{routes}]}}"#)
}

/// One route `r` with `stable` at 90 and `canary` at 10, and with these fields besides.
pub(crate) fn split(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { ", " };
    routes(&format!(
        r#"{{"name": "r"{comma}{fields}, "variants": [
            {{"name": "stable", "cluster": "one", "weight": 90}}, {{"name": "canary", "cluster": "two", "weight": 10}}]}}"#
    ))
}

/// The headers with which a request goes on.
pub(crate) fn onward(request: &SimRequest<'_>, verdict: Verdict) -> Onward {
    let Verdict::Continue(edits) = verdict else { panic!("{verdict:?}") };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut headers: Vec<_> = request.headers().iter().map(|(n, v)| (text(n), text(v))).collect();
    for edit in edits {
        match edit {
            Edit::DropRequestHeader(name) | Edit::RemoveRequestHeader(name) => {
                headers.retain(|(n, _)| *n != name);
            }
            Edit::SetRequestHeader(name, value) => {
                headers.retain(|(n, _)| **n != *name);
                headers.push((name.to_string(), value.to_string()));
            }
            Edit::AddRequestHeader(name, value) => headers.push((name.to_string(), value.to_string())),
            other => panic!("{other:?} for a request"),
        }
    }
    Onward(headers)
}

/// The reply, which there must be.
pub(crate) fn reply(verdict: Verdict) -> Reply {
    match verdict {
        Verdict::Reply(reply) => reply,
        Verdict::Await(edits) | Verdict::Continue(edits) => panic!("no reply but {edits:?}"),
    }
}

/// The cluster that a request goes to; `-` for none.
pub(crate) fn cluster(worker: &Sim, request: &SimRequest<'_>) -> String {
    match onward(request, worker.request(request)).get("x-tidegate-cluster") {
        "" => "-".to_owned(),
        cluster => cluster.to_owned(),
    }
}

/// A whole exchange with this status: what access logs get, and the headers that the
/// response gets.
pub(crate) fn exchange(
    worker: &Sim,
    request: &SimRequest<'_>,
    status: u32,
) -> (String, Vec<(String, String)>) {
    let (verdict, exchange) = worker.begin(request);
    let label = worker.outcome(&exchange).unwrap_or_default();
    if matches!(verdict, Verdict::Reply(_)) {
        return (label, Vec::new());
    }
    let edits = worker.end(exchange, &SimResponse::upstream(status)).into_iter();
    let headers = edits.map(|edit| match edit {
        Edit::AddResponseHeader(name, value) | Edit::SetResponseHeader(name, value) => (name, value),
        other => panic!("{other:?} for a response"),
    });
    (label, headers.collect())
}

/// The name of the variant in what access logs get.
pub(crate) fn variant(label: &str) -> &str {
    label.split(' ').nth(2).unwrap_or_default()
}

// === impl Onward ===

impl Onward {
    /// The only value of a header; empty when it is absent.
    pub(crate) fn get(&self, name: &str) -> &str {
        let mut values = self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = values.next().unwrap_or_default();
        assert_eq!(values.next(), None, "{name} twice");
        value
    }

    /// Names and values.
    pub(crate) fn all(&self) -> &[(String, String)] {
        &self.0
    }
}

// === impl Workers ===

impl Workers {
    pub(crate) fn new(count: usize, json: &str) -> Self {
        Self::on(&Arc::default(), count, json)
    }

    pub(crate) fn on(store: &Arc<SimStore>, count: usize, json: &str) -> Self {
        let worker = |_| match Worker::new(json, SimHost::new(store.clone())) {
            Ok(worker) => worker,
            Err(error) => panic!("{json}: {error:?}"),
        };
        Self { store: store.clone(), all: (0..count).map(worker).collect() }
    }

    /// Moves all clocks.
    pub(crate) fn at(&self, ms: u64) -> &Self {
        self.all.iter().for_each(|worker| worker.host.set(Span::from_millis(ms)));
        self
    }

    pub(crate) fn tick(&self) -> &Self {
        self.all.iter().for_each(Worker::tick);
        self
    }

    /// What a metric of the route `r` came to on all workers together.
    pub(crate) fn count(&self, what: &str) -> u64 {
        self.metric(&format!("tidegate.routing.route.r.{what}"))
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.all.iter().map(|worker| worker.host.count(worker.counter(name))).sum()
    }

    /// The lines for the log of all workers since the last time.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.all.iter().flat_map(|worker| worker.host.take_notes()).collect()
    }
}
