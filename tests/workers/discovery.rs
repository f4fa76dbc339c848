//! What tests of discovery have in common: workers with one clock, and a Consul made up by the test.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{json, Value};
use tidegate_policy::discovery::stage::Discovery;
use tidegate_policy::http::{Edit, Placement, Verdict};
use tidegate_policy::time::Span;
use tidegate_sim::{SimAnswer, SimHost, SimQuestion, SimRequest, SimResponse, SimStore, Worker};

pub(crate) type Sim = Worker<Discovery, SimHost>;
pub(crate) type Exchange = tidegate_sim::Exchange<Discovery>;

/// The workers of one Envoy.
pub(crate) struct Workers {
    pub(crate) store: Arc<SimStore>,
    pub(crate) all: Vec<Sim>,
}

/// The header that an `ORIGINAL_DST` cluster obeys.
pub(crate) const STEER: &str = "x-envoy-original-dst-host";

/// The service `orders` of a Consul that answers when something changes, for all requests; with
/// these fields in the registry's `cache` and in the service.
pub(crate) fn config(cache: &str, service: &str) -> String {
    of(r#""consul": {"cluster": "consul"}"#, cache, service)
}

/// The same, of a Consul that is polled.
pub(crate) fn polled(cache: &str, service: &str) -> String {
    of(r#""consul": {"cluster": "consul", "wait_ms": 0}"#, cache, service)
}

/// The service `orders` of any registry.
pub(crate) fn of(registry: &str, cache: &str, service: &str) -> String {
    let comma = if service.is_empty() { "" } else { ", " };
    format!(
        r#"{{"registries": {{"main": {{{registry}, "cache": {{{cache}}}}}}}, "allow": ["10.0.0.0/8:1-65535"],
            "services": [{{"name": "orders", "registry": "main", "match": {{"path": {{"prefix": "/"}}}}{comma}{service}}}]}}"#
    )
}

/// The service `orders` with these endpoints in the configuration.
pub(crate) fn fixed(endpoints: &[&str], service: &str) -> String {
    let endpoint = |text: &&str| {
        let (address, port) = text.rsplit_once(':').expect("a port");
        json!({"address": address, "port": port.parse::<u16>().expect("a port")})
    };
    let endpoints: Vec<Value> = endpoints.iter().map(endpoint).collect();
    let comma = if service.is_empty() { "" } else { ", " };
    format!(
        r#"{{"registries": {{"main": {{"static": {{"services": {{"orders": {}}}}}}}}}, "allow": ["10.0.0.0/8:1-65535"],
            "services": [{{"name": "orders", "registry": "main", "match": {{"path": {{"prefix": "/"}}}}{comma}{service}}}]}}"#,
        Value::from(endpoints)
    )
}

/// What Consul says of instances, each as `10.0.0.1:80`, then maybe the status of its check, then tags.
pub(crate) fn instances(list: &[&str]) -> Vec<u8> {
    let instance = |text: &&str| {
        let mut words = text.split(' ');
        let address = words.next().unwrap_or_default();
        let (host, port) = address.rsplit_once(':').expect("a port");
        let status = words.next().unwrap_or("passing");
        let tags: Vec<&str> = words.collect();
        json!({
            "Node": {"Node": "n", "Address": host},
            "Service": {"ID": address, "Address": host, "Port": port.parse::<u16>().expect("a port"),
                        "Tags": tags},
            "Checks": [{"CheckID": "service:x", "Status": status}],
        })
    };
    Value::from(list.iter().map(instance).collect::<Vec<_>>()).to_string().into_bytes()
}

/// Consul's answer with an index.
pub(crate) fn answer(question: &SimQuestion, index: u64, list: &[&str]) -> SimAnswer {
    let answer = question.answer(200).header("x-consul-index", &index.to_string());
    answer.body(&instances(list))
}

/// Consul's answer without one, as some proxies leave it.
pub(crate) fn bare(question: &SimQuestion, list: &[&str]) -> SimAnswer {
    question.answer(200).body(&instances(list))
}

/// The only question of a worker since the last time.
pub(crate) fn question(worker: &Sim) -> SimQuestion {
    let mut all = worker.host.take_questions();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// What became of a request: the endpoint, `passes`, `waits`, or why it was refused.
pub(crate) fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Await(_) => "waits".to_owned(),
        Verdict::Continue(edits) => header(edits, STEER).unwrap_or("passes").to_owned(),
        Verdict::Reply(reply) => {
            let why = reply.details.strip_prefix("tidegate_discovery_").unwrap_or(&reply.details);
            format!("{} {}", reply.status, why.trim_end_matches(":orders"))
        }
    }
}

/// What a request header is set to.
pub(crate) fn header<'e>(edits: &'e [Edit], name: &str) -> Option<&'e str> {
    edits.iter().find_map(|edit| match edit {
        Edit::SetRequestHeader(known, value) if **known == *name => Some(&**value),
        _ => None,
    })
}

/// The text that access logs and the attempt placement read.
pub(crate) fn outcome(worker: &Sim, exchange: &Exchange) -> String {
    worker.outcome(exchange).unwrap_or_default()
}

/// Where a `GET` goes, which is answered with 200.
pub(crate) fn sent(worker: &Sim) -> String {
    sent_as(worker, &SimRequest::get("/"))
}

/// Where a request goes, which is answered with 200.
pub(crate) fn sent_as(worker: &Sim, request: &SimRequest<'_>) -> String {
    let (verdict, exchange) = worker.begin(request);
    worker.end(exchange, &SimResponse::upstream(200));
    word(&verdict)
}

/// Where twenty requests go, each place once, without the `10.0.0.` and the port that all have.
pub(crate) fn reached(worker: &Sim) -> String {
    reached_as(worker, &SimRequest::get("/"))
}

/// The same of other requests.
pub(crate) fn reached_as(worker: &Sim, request: &SimRequest<'_>) -> String {
    let all: BTreeSet<String> = (0..20).map(|_| sent_as(worker, request)).collect();
    let short = |text: &String| match text.strip_prefix("10.0.0.") {
        Some(rest) => rest.trim_end_matches(":80").to_owned(),
        None => text.clone(),
    };
    all.iter().map(short).collect::<Vec<_>>().join(" ")
}

/// The worker's part around attempts.
pub(crate) fn attempts(worker: &Sim, json: &str) -> Sim {
    let host = SimHost::new(worker.host.store().clone());
    Worker::beside(worker, json, Placement::Attempt, host).expect("a right configuration")
}

/// Numbers that are the same in each run (splitmix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % n.max(1) as u64) as usize
    }
}

// === impl Workers ===

impl Workers {
    pub(crate) fn new(count: usize, json: &str) -> Self {
        Self::on(&Arc::default(), count, json)
    }

    pub(crate) fn on(store: &Arc<SimStore>, count: usize, json: &str) -> Self {
        let worker = |_| Worker::new(json, SimHost::new(store.clone())).expect("a right configuration");
        Self { store: store.clone(), all: (0..count).map(worker).collect() }
    }

    /// Workers whose registry said this at 0.
    pub(crate) fn knowing(count: usize, json: &str, list: &[&str]) -> Self {
        let workers = Self::new(count, json);
        workers.tick();
        let asked = question(&workers.all[0]);
        workers.all[0].answer(&answer(&asked, 10, list));
        workers
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

    /// Lets time pass from one millisecond to another, in ticks. The registry says to each question
    /// what `says` has, at once; `None` is for an answer that does not come. The times of questions.
    pub(crate) fn run(
        &self,
        from: u64,
        to: u64,
        says: &mut dyn FnMut(u64, &SimQuestion) -> Option<SimAnswer>,
    ) -> Vec<u64> {
        let mut asked = Vec::new();
        for ms in (from..=to).step_by(100) {
            self.at(ms);
            for worker in &self.all {
                worker.tick();
                let mut rounds = 0;
                loop {
                    let questions = worker.host.take_questions();
                    if questions.is_empty() {
                        break;
                    }
                    rounds += 1;
                    assert!(rounds < 50, "questions without end at {ms}");
                    asked.extend(questions.iter().map(|_| ms));
                    let answers: Vec<SimAnswer> = questions.iter().filter_map(|q| says(ms, q)).collect();
                    answers.iter().for_each(|answer| worker.answer(answer));
                }
            }
        }
        asked
    }

    /// Requests in flight.
    pub(crate) fn memory(&self) -> usize {
        self.all.iter().map(|worker| worker.memory().count()).sum()
    }

    /// What a metric of the service came to on all workers together.
    pub(crate) fn count(&self, what: &str) -> u64 {
        self.metric(&format!("tidegate.discovery.service.orders.{what}"))
    }

    /// What a metric of the registry came to on all workers together.
    pub(crate) fn asked(&self, what: &str) -> u64 {
        self.metric(&format!("tidegate.discovery.registry.main.{what}"))
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.all.iter().map(|worker| worker.host.count(worker.counter(name))).sum()
    }

    /// How often workers were notified of a change.
    pub(crate) fn changes(&self) -> u64 {
        self.store.raised(self.all[0].counter("tidegate.discovery.changes"))
    }

    /// The lines for the log of all workers since the last time.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.all.iter().flat_map(|worker| worker.host.take_notes()).collect()
    }
}
