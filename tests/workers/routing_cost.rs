//! What the store is asked.

use std::cell::RefCell;

use tidegate_policy::http::{Attribute, Response, Verdict};
use tidegate_sim::SimRequest;

use crate::routing::{exchange, split, Workers};
use crate::routing_ramp::{crowd, ramping, run, WELL};

/// Store calls of `exchanges` exchanges.
fn store_calls(workers: &Workers, exchanges: u32) -> u64 {
    let before = workers.store.calls();
    for n in 0..exchanges {
        let user = n.to_string();
        let request = SimRequest::get("/").header("x-user", user.as_bytes());
        let _ = exchange(&workers.all[0], &request, 200);
    }
    workers.store.calls() - before
}

#[test]
fn a_route_without_a_ramp_asks_the_store_nothing() {
    for fields in
        ["", r#""sticky": {"experiment": "e", "by": [{"header": "x-user"}], "cookie": {"name": "c"}}"#]
    {
        let workers = Workers::new(1, &split(fields));
        assert_eq!(store_calls(&workers, 5_000), 0, "{fields}");
        let before = workers.store.calls();
        workers.at(100).tick();
        assert_eq!(workers.store.calls(), before, "{fields}: a tick neither");
        workers.store.set_broken(true);
        assert!(matches!(workers.all[0].request(&SimRequest::get("/")), Verdict::Continue(_)));
        assert_eq!(workers.count("undecided"), 0, "{fields}");
    }
}

#[test]
fn a_ramp_is_read_when_it_moved_and_not_for_each_request() {
    let workers = Workers::new(2, &ramping("", ""));
    assert_eq!(store_calls(&workers, 1), 1, "the first request reads where it is");
    assert_eq!(store_calls(&workers, 5_000), 0);
    workers.at(1_000).tick();
    assert_eq!(store_calls(&workers, 5_000), 0, "the tick read where it went");
    run(&workers, 1, "++");
    // The other worker moves it.
    workers.at(3_250).all[1].tick();
    assert_eq!(store_calls(&workers, 5_000), 1);
}

#[test]
fn a_tick_asks_a_handful_of_times() {
    let workers = Workers::new(1, &ramping("", ""));
    run(&workers, 1, "+");
    let before = workers.store.calls();
    for tenth in 0..100 {
        crowd(&workers.all[0], 2_000 + tenth * 100, WELL, WELL);
        workers.at(2_000 + tenth * 100).tick();
    }
    let asked = workers.store.calls() - before;
    // A tick reads the state twice and adds to the tally (a read, a write), or to two of them;
    // ten times there was an interval to judge, by reading the tally and writing the state.
    assert!(asked <= 100 * 4 + 10 * (2 + 2), "{asked} calls in ten seconds");
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
    for (json, expected) in [(ramping("", ""), vec![":status"]), (split(""), Vec::new())] {
        let workers = Workers::new(1, &json);
        let worker = &workers.all[0];
        workers.at(1_300).tick();
        let asked = || {
            let good = Good::default();
            let (_, mut exchange) = worker.begin(&SimRequest::request("PUT", "/").with_body());
            worker.complete(&mut exchange);
            let _ = exchange.response(worker.stage(), &good, &worker.host);
            exchange.response_complete();
            exchange.end(worker.stage(), &good, &worker.host);
            good.asked.into_inner()
        };
        // One response between two ticks is asked where it is from.
        assert_eq!(asked(), [expected.as_slice(), &["Cluster"]].concat());
        for _ in 0..10 {
            assert_eq!(asked(), expected);
        }
    }
}
