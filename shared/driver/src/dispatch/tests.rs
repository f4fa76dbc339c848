use std::cell::Cell;
use std::hash::BuildHasher;

use tidegate_policy::config::{ConfigError, Reader};
use tidegate_policy::host::{Host, Store, StoreError};
use tidegate_policy::http::{
    Callback, CellSpec, Edit, Ending, Metric, Placement, Reply, Request, Response, Verdict,
};

use super::*;
use crate::fake::Fake;

thread_local! {
    static CONTEXTS: Dispatcher<Tester, Fake> = const { Dispatcher::new(Fake) };
    static CALLS: RefCell<String> = const { RefCell::new(String::new()) };
    static CONFIGURED: Cell<u32> = const { Cell::new(0) };
    static NEXT: Cell<Next> = const { Cell::new(Next::GoOn) };
}

/// What the stage does with the next request.
#[derive(Clone, Copy)]
enum Next {
    GoOn,
    /// Has the host call back for everything before the stage returns.
    Reenter,
    Reply,
}

/// Writes down what it is asked. Its name is the number of its configuration.
struct Tester(u32);

impl Tester {
    fn note(&self, call: &str) {
        CALLS.with_borrow_mut(|calls| calls.push_str(&format!("{call}{} ", self.0)));
    }
}

impl Stage for Tester {
    const NAME: &'static str = "tester";
    const CALLBACKS: &'static [Callback] = &[];

    type Exchange = u32;
    type Memory = ();

    fn read(_reader: &Reader<'_>, _placement: Placement) -> Option<Self> {
        None
    }

    fn configure(_json: &[u8], _placement: Placement) -> Result<Self, ConfigError> {
        CONFIGURED.set(CONFIGURED.get() + 1);
        Ok(Self(CONFIGURED.get()))
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        std::iter::empty()
    }

    fn start(&mut self, _memory: &Rc<()>, _store: &impl Store) -> Result<(), StoreError> {
        if CONFIGURED.get() == 3 {
            return Err(StoreError::Unavailable);
        }
        self.note("start");
        Ok(())
    }

    fn stop(&self, _host: &impl Host) {
        self.note("stop");
    }

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    fn on_request(&self, asked: &mut u32, _request: &impl Request, _host: &impl Host) -> Verdict {
        *asked += 1;
        self.note("request");
        match NEXT.replace(Next::GoOn) {
            Next::GoOn => {}
            Next::Reenter => CONTEXTS.with(|contexts| {
                contexts.context_created(77, 1);
                assert_eq!(contexts.request_headers(10, false), Action::Continue);
                assert_eq!(contexts.response_headers(10, false), Action::Continue);
                assert_eq!(contexts.response_trailers(10), Action::Continue);
                contexts.deleted(10);
            }),
            Next::Reply => {
                let text = String::new;
                let (headers, body, details) = (Vec::new(), text(), text());
                return Verdict::Reply(Reply { status: 429, grpc_status: 8, headers, body, details });
            }
        }
        Verdict::Continue(Vec::new())
    }

    fn on_response(&self, asked: &mut u32, _: &impl Response, _: &impl Host) -> Vec<Edit> {
        assert_eq!(*asked, 1);
        self.note("response");
        Vec::new()
    }

    fn on_trailers(&self, asked: &mut u32, _: &impl Response, _: &impl Host) {
        assert_eq!(*asked, 1);
        self.note("trailers");
    }

    fn on_end(&self, asked: &mut u32, _: Ending, _: &impl Response, _: &impl Host) {
        assert_eq!(*asked, 1);
        self.note("end");
    }

    fn on_tick(&self, _host: &impl Host) {
        self.note("tick");
    }
}

/// Runs callbacks: `root 1`, `configure 1`, `tick 1`, `create 10 1`, `request 10`, `reply 10`,
/// `reenter 10`, `response 10`, `trailers 10`, `delete 10`. Says what the stage was asked.
fn run(script: &str) -> String {
    CONTEXTS.with(|contexts| {
        for line in script.split(',') {
            let mut words = line.split_whitespace();
            let call = words.next().unwrap();
            let mut number = || words.next().map_or(0, |word| word.parse().unwrap());
            let (context, parent) = (number(), number());
            NEXT.set(match call {
                "reenter" => Next::Reenter,
                "reply" => Next::Reply,
                _ => Next::GoOn,
            });
            let held = Action::Pause;
            match call {
                "root" | "create" => contexts.context_created(context, parent),
                "configure" => assert_eq!(contexts.configured(context), CONFIGURED.get() != 3),
                "tick" => contexts.ticked(context),
                "request" | "reenter" => assert_ne!(contexts.request_headers(context, false), held),
                "reply" => assert_eq!(contexts.request_headers(context, false), held),
                "response" => assert_ne!(contexts.response_headers(context, false), held),
                "trailers" => assert_ne!(contexts.response_trailers(context), held),
                "delete" => contexts.deleted(context),
                _ => panic!("{call}?"),
            }
        }
    });
    CALLS.take().trim_end().to_owned()
}

const ONE: &str = "root 1, configure 1, create 10 1";

#[test]
fn an_exchange_goes_through_its_stage() {
    let all = "request 10, response 10, trailers 10, delete 10, delete 1";
    assert_eq!(run(&format!("{ONE}, {all}")), "start1 request1 response1 trailers1 end1 stop1");
}

#[test]
fn a_reply_of_ours_ends_an_exchange_for_the_stage() {
    let rest = "reply 10, response 10, trailers 10, delete 10";
    assert_eq!(run(&format!("{ONE}, {rest}")), "start1 request1");
}

/// Envoy makes a context only to log a request that an earlier filter answered.
#[test]
fn an_exchange_without_a_request_is_none() {
    assert_eq!(run(&format!("{ONE}, response 10, trailers 10, delete 10")), "start1");
}

#[test]
fn what_is_not_known_passes() {
    let known = "request 9, response 9, trailers 9, delete 9, tick 9, create 11 9, request 11";
    assert_eq!(run(known), "");
    let early = "root 1, create 10 1, request 10, delete 10, tick 1, delete 1";
    assert_eq!(run(early), "", "not configured yet");
    let late = "delete 10, request 10, response 10, delete 10, delete 1, tick 1, delete 1";
    assert_eq!(run(&format!("{ONE}, {late}")), "start1 stop1");
    assert!(!CONTEXTS.with(|contexts| contexts.configured(9)));
}

#[test]
fn roots_stand_side_by_side() {
    let two = "root 1, configure 1, root 2, configure 2, create 10 2, create 11 1, tick 2, tick 1";
    assert_eq!(run(two), "start1 start2 tick2 tick1");
    assert_eq!(run("request 10, request 11, root 1, delete 2, tick 2"), "request2 request1 stop2");
    // What is under way keeps its configuration.
    assert_eq!(run("response 10, response 11, delete 10, tick 1"), "response2 response1 end2 tick1");
}

#[test]
fn another_configuration_takes_the_place_of_the_first_if_it_is_good() {
    assert_eq!(run(&format!("{ONE}, request 10, configure 1")), "start1 request1 start2 stop1");
    assert_eq!(run("configure 1, create 11 1, request 11, response 10"), "request2 response1");
    assert_eq!(run("delete 10, delete 11, tick 1, delete 1"), "end1 end2 tick2 stop2");
}

#[test]
fn a_callback_within_a_callback_does_nothing() {
    assert_eq!(run(&format!("{ONE}, reenter 10, request 77")), "start1 request1");
    assert_eq!(run("response 10, delete 10"), "response1 end1");
}

#[test]
fn the_memory_of_ended_exchanges_is_used_again() {
    let capacity = || CONTEXTS.with(|contexts| contexts.exchanges.borrow().capacity());
    let rounds = |from: u32, to: u32| {
        CONTEXTS.with(|contexts| {
            for id in from..to {
                contexts.context_created(id, 1);
                // A hundred are under way at any time.
                contexts.deleted(id.saturating_sub(100));
            }
        });
    };
    run("root 1, configure 1");
    rounds(200, 1_000);
    let settled = capacity();
    rounds(1_000, 100_000);
    assert_eq!(capacity(), settled);
    assert!(settled < 1_000, "{settled}");
}

#[test]
fn numbers_in_a_row_take_places_of_their_own() {
    let places: std::collections::BTreeSet<_> =
        (5..1_029_u32).map(|n| Spread(0).hash_one(n) % 1_024).collect();
    assert_eq!(places.len(), 1_024);
}
