//! How many calls to the store and the registry requests, ticks and answers cost.

use std::cell::RefCell;
use std::net::IpAddr;

use tidegate_policy::http::{Attribute, Header, Request, Response};
use tidegate_sim::{SimRequest, SimResponse};

use crate::discovery::{answer, config, fixed, polled, sent, sent_as, Exchange, Sim, Workers};
use crate::discovery_both::{Both, FOUR};

/// Store calls of `count` exchanges of each worker.
fn requests(workers: &Workers, count: usize) -> u64 {
    let before = workers.store.calls();
    for worker in &workers.all {
        (0..count).for_each(|_| assert!(sent(worker).starts_with("10.0.0.")));
    }
    workers.store.calls() - before
}

/// Workers that know their endpoints, of whom the first asks.
fn settled(count: usize, json: &str) -> Workers {
    let workers = Workers::knowing(count, json, &FOUR);
    requests(&workers, 1);
    let _ = workers.all[0].host.take_questions();
    workers
}

#[test]
fn a_request_makes_no_call_to_store_or_registry() {
    let everything = r#""attempts": 3, "subset": {"fallback": "any_endpoint"}, "balance": "least_request"#;
    for fields in ["", everything, r#""balance": "maglev"#] {
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\"") };
        let workers = settled(2, &config("", &fields));
        assert_eq!(requests(&workers, 2_000), 0, "{fields}");
        assert!(workers.all.iter().all(|worker| worker.host.take_questions().is_empty()), "{fields}");
        // Nor much later: only the timer notices time.
        workers.at(50_000);
        assert_eq!(requests(&workers, 100), 0, "{fields}");
    }
    let workers = Workers::new(2, &fixed(&FOUR, r#""outlier_detection": false"#));
    assert_eq!(requests(&workers, 1), 2, "the ejections, once");
    assert_eq!(requests(&workers, 1_000), 0, "endpoints of the configuration");
}

#[test]
fn attempts_make_no_store_call() {
    let both = Both::new(&fixed(&FOUR, r#""attempts": 3"#));
    let exchange = || {
        let mut call = both.begin();
        for status in [503, 200] {
            let one = both.attempt(&mut call);
            both.answered(one, status);
        }
        both.end(call, 200);
    };
    exchange();
    let before = both.edge.store.calls();
    // Failures among successes, so that no endpoint is ejected.
    for _ in 0..3 {
        exchange();
    }
    assert_eq!(both.edge.store.calls(), before);
}

#[test]
fn a_request_for_no_service_makes_no_store_call() {
    let workers = Workers::new(1, &config("", "").replace(r#""prefix": "/""#, r#""prefix": "/orders""#));
    let before = workers.store.calls();
    for _ in 0..100 {
        assert_eq!(sent_as(&workers.all[0], &SimRequest::get("/x")), "passes");
    }
    assert_eq!(workers.store.calls(), before);
}

/// A counter announces changes of all services; a service that did not change reads its small cell.
#[test]
fn a_change_of_another_service_costs_one_small_read_per_cell() {
    for fields in [r#""outlier_detection": false"#, ""] {
        let workers = settled(2, &config("", fields));
        workers.store.raise(workers.all[0].counter("tidegate.discovery.changes"));
        // Its status, and its ejections.
        assert_eq!(requests(&workers, 1), 2 * 2, "{fields}");
        assert_eq!(requests(&workers, 1_000), 0, "{fields}");
    }
}

#[test]
fn a_change_of_the_service_costs_three_reads() {
    let workers = settled(2, &polled("", r#""outlier_detection": false"#));
    workers.at(13_000).tick();
    let asked = crate::discovery::question(&workers.all[0]);
    workers.all[0].answer(&answer(&asked, 11, &FOUR[..3]));
    assert_eq!(requests(&workers, 1), 2 * 3, "the status, the snapshot and the ejections");
    assert_eq!(requests(&workers, 1_000), 0);
    // Unless the timer was faster.
    workers.at(30_000).tick();
    let asked = crate::discovery::question(&workers.all[0]);
    workers.all[0].answer(&answer(&asked, 12, &FOUR));
    workers.at(30_100).tick();
    assert_eq!(requests(&workers, 1_000), 0);
}

/// While a request waits for the first snapshot it is asked about only when there is an answer.
#[test]
fn a_waiting_request_makes_no_store_call() {
    let workers = Workers::new(1, &config("", ""));
    let worker = &workers.all[0];
    let (_, mut exchange) = worker.begin(&SimRequest::get("/"));
    let before = workers.store.calls();
    for _ in 0..100 {
        let _ = worker.wait(&mut exchange);
    }
    assert_eq!(workers.store.calls(), before);
}

#[test]
fn a_tick_makes_no_store_call_between_lease_checks() {
    let workers = settled(3, &config("", ""));
    let calls = |from: u64, to: u64, at: usize| {
        let before = workers.store.calls();
        for ms in (from..to).step_by(100) {
            workers.at(ms);
            workers.all[at].tick();
        }
        workers.store.calls() - before
    };
    // A second of ticks: the leader renews its lease (a read, a write), others check it once (a read).
    workers.run(0, 10_000, &mut |_, _| None);
    let mut renewals = 0;
    for second in 11..60 {
        let of = [0, 1, 2].map(|at| calls(second * 1_000, second * 1_000 + 1_000, at));
        assert!(of[0] <= 2 && of[1] <= 1 && of[2] <= 1, "second {second}: {of:?}");
        renewals += of[0] / 2;
    }
    assert!(renewals >= 40, "{renewals} in 49 seconds");
    let fixed = Workers::new(1, &fixed(&FOUR, ""));
    let before = fixed.store.calls();
    for tenth in 0..100 {
        fixed.at(tenth * 100).tick();
    }
    assert_eq!(fixed.store.calls(), before, "no registry to query");
}

#[test]
fn a_new_answer_costs_five_store_calls() {
    let workers = Workers::new(1, &polled("", ""));
    let worker = &workers.all[0];
    worker.tick();
    let asked = crate::discovery::question(worker);
    let before = workers.store.calls();
    worker.answer(&answer(&asked, 10, &FOUR));
    // The lease, the snapshot (a read, a write), the status (a read, a write).
    assert_eq!(workers.store.calls() - before, 5);
}

/// A request, of which it is noted what was asked for in bytes.
struct Asked<'a> {
    request: SimRequest<'a>,
    asked: RefCell<Vec<Attribute>>,
    /// Headers that were asked for by themselves, all of them absent.
    headers: RefCell<Vec<String>>,
}

impl Request for Asked<'_> {
    fn headers(&self) -> &[Header<'_>] {
        self.request.headers()
    }

    fn peer(&self) -> Option<IpAddr> {
        self.request.peer()
    }

    fn lone_header(&self, name: &str) -> Option<Vec<u8>> {
        self.headers.borrow_mut().push(name.to_owned());
        None
    }

    fn end_of_stream(&self) -> bool {
        true
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        self.asked.borrow_mut().push(which);
        Request::attribute(&self.request, which)
    }
}

/// That the two placements may be in two VMs costs nothing where they are in one: no call of the host, and no
/// byte of filter state.
#[test]
fn attempts_in_one_vm_read_one_attribute_and_write_no_filter_state() {
    let asked_by = |both: &Both| {
        let mut call = both.begin();
        let state = call.state.clone();
        let mut all = Vec::new();
        for count in 1..=2_u64 {
            let count = count.to_le_bytes();
            let request = SimRequest::get("/").attribute(Attribute::Discovered, state.as_bytes());
            let request = request.attribute(Attribute::AttemptCount, &count);
            let one = Asked { request, asked: RefCell::default(), headers: RefCell::default() };
            let (_, exchange) = both.around.begin(&one);
            let wrote = both.around.outcome(&exchange);
            both.around.end(exchange, &SimResponse::upstream(503));
            all.push((one.asked.take(), one.headers.take().join(" "), wrote.is_some()));
        }
        call.begun = 2;
        (state.split(' ').count(), all)
    };
    let json = fixed(&FOUR, r#""attempts": 3"#);
    let (first, second) = (vec![Attribute::Discovered, Attribute::Guarded], vec![Attribute::Discovered]);
    // Whether it is gRPC: absent nearly always, which is the cheapest question there is.
    let te = || "te".to_owned();
    assert_eq!(asked_by(&Both::new(&json)), (3, vec![(first.clone(), te(), false), (second, te(), false)]));
    // In two the number of the first attempt is asked for, and whether it is gRPC, and a retry tells how that one ended.
    let count = [first.clone(), vec![Attribute::AttemptCount]].concat();
    assert_eq!(asked_by(&Both::apart(&json)), (4, vec![(count, te(), false), (first, String::new(), true)]));
}

/// A good response, of whose host it is noted what was asked for in bytes.
#[derive(Default)]
struct Good {
    asked: RefCell<Vec<String>>,
}

impl Response for Good {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.asked.borrow_mut().push(name.to_owned());
        (name == ":status").then(|| b"200".to_vec())
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        self.asked.borrow_mut().push(format!("{which:?}"));
        None
    }
}

/// Bodies and ends are seen by entries of the filter, which fetch nothing.
#[test]
fn a_good_response_is_asked_for_its_status_and_nothing_at_its_end() {
    fn well(worker: &Sim, mut exchange: Exchange) -> Vec<String> {
        let good = Good::default();
        worker.complete(&mut exchange);
        let _ = exchange.response(worker.stage(), &good, &worker.host);
        exchange.response_complete();
        exchange.end(worker.stage(), &good, &worker.host);
        good.asked.into_inner()
    }
    let workers = Workers::new(1, &fixed(&FOUR, r#""outlier_detection": {"patience_ms": 100}"#));
    let worker = &workers.all[0];
    assert_eq!(well(worker, worker.begin(&SimRequest::get("/")).1), [":status"]);
    let json = fixed(&FOUR, r#""attempts": 2, "outlier_detection": {"patience_ms": 100}"#);
    let worker = &Workers::new(1, &json).all[0];
    let asked = well(worker, worker.begin(&SimRequest::get("/")).1);
    assert_eq!(asked, ["Attempted", ":status"], "another VM may have seen attempts");
    let both = Both::new(&json);
    let mut call = both.begin();
    let one = both.attempt(&mut call);
    assert_eq!(well(&both.around, one.exchange), [":status"]);
    assert!(well(&both.edge.all[0], call.exchange).is_empty());
}
