//! Questions, answers, and the exchanges that wait for them.

use std::cell::Cell;

use tidegate_policy::config::{ConfigError, Reader};
use tidegate_policy::host::{Answer, Host, Question, Store, StoreError};
use tidegate_policy::http::{
    Callback, CellSpec, Edit, Ending, Metric, Placement, Reply, Request, Response, Verdict,
};

use super::*;
use crate::fake::{self, Fake};

thread_local! {
    static CONTEXTS: Dispatcher<Patient<true>, Fake> = const { Dispatcher::new(Fake) };
    static MUTE: Dispatcher<Patient<false>, Fake> = const { Dispatcher::new(Fake) };
    static NEXT: Cell<Next> = const { Cell::new(Next::Hold) };
}

/// What the stage says when it is asked.
#[derive(Clone, Copy)]
enum Next {
    /// Asks for a name first.
    AskAndHold,
    GoOn,
    Hold,
    Reply,
}

/// Writes down what it is asked, in one line with what the host is told.
struct Patient<const ASKS: bool>(Rc<Cell<u32>>);

impl<const ASKS: bool> Patient<ASKS> {
    fn verdict(host: &impl Host) -> Verdict {
        match NEXT.get() {
            Next::AskAndHold => {
                assert!(host.ask(&Question::Name("name")).is_ok());
                Verdict::Await(Vec::new())
            }
            Next::GoOn => Verdict::Continue(Vec::new()),
            Next::Hold => Verdict::Await(Vec::new()),
            Next::Reply => {
                let (headers, body, details) = (Vec::new(), String::new(), String::new());
                Verdict::Reply(Reply { status: 503, grpc_status: 14, headers, body, details })
            }
        }
    }
}

impl<const ASKS: bool> Stage for Patient<ASKS> {
    const NAME: &'static str = "patient";
    const CALLBACKS: &'static [Callback] = if ASKS { &[Callback::NameResolved] } else { &[Callback::Tick] };

    type Exchange = ();
    type Memory = Cell<u32>;

    fn read(_reader: &Reader<'_>, _placement: Placement) -> Option<Self> {
        None
    }

    fn configure(_json: &[u8], _placement: Placement) -> Result<Self, ConfigError> {
        Ok(Self(Rc::default()))
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        std::iter::empty()
    }

    fn start(&mut self, memory: &Rc<Cell<u32>>, _store: &impl Store) -> Result<(), StoreError> {
        memory.set(memory.get() + 1);
        self.0 = memory.clone();
        fake::tell(&format!("start{}", self.0.get()));
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    fn on_request(&self, (): &mut (), _request: &impl Request, host: &impl Host) -> Verdict {
        fake::tell("request");
        Self::verdict(host)
    }

    fn on_wait(&self, (): &mut (), host: &impl Host) -> Verdict {
        fake::tell("wait");
        Self::verdict(host)
    }

    fn on_callout(&self, answer: &impl Answer, _host: &impl Host) {
        fake::tell(&format!("callout:{:?}", answer.token()));
    }

    fn on_response(&self, (): &mut (), _: &impl Response, _: &impl Host) -> Vec<Edit> {
        fake::tell("response");
        Vec::new()
    }

    fn on_end(&self, (): &mut (), _: Ending, _: &impl Response, _: &impl Host) {
        fake::tell("end");
    }

    fn on_tick(&self, _host: &impl Host) {
        fake::tell("tick");
    }
}

/// Runs callbacks: `root 1`, `configure 1`, `tick 1`, `answer 1`, `create 10 1`, `request 10`,
/// `response 10`, `delete 10`, and sets what the stage says from then on: `ask`, `go`, `hold`,
/// `reply`; how many milliseconds it is: `at 250`; and the one context that is gone: `gone 10`.
fn run(script: &str) -> String {
    CONTEXTS.with(|contexts| {
        for line in script.split(',') {
            let mut words = line.split_whitespace();
            let call = words.next().unwrap();
            let mut number = || words.next().map_or(0, |word| word.parse().unwrap());
            let (context, parent) = (number(), number());
            match call {
                "root" | "create" => contexts.context_created(context, parent),
                "configure" => assert!(contexts.configured(context)),
                "tick" => contexts.ticked(context),
                "answer" => contexts.answered(context, Arrival::http(5, 1, 0)),
                "request" => {
                    let goes_on = matches!(NEXT.get(), Next::GoOn);
                    assert_eq!(contexts.request_headers(context, false) == Action::Continue, goes_on);
                }
                "response" => assert_eq!(contexts.response_headers(context, false), Action::Continue),
                "delete" => contexts.deleted(context),
                "ask" => NEXT.set(Next::AskAndHold),
                "go" => NEXT.set(Next::GoOn),
                "hold" => NEXT.set(Next::Hold),
                "reply" => NEXT.set(Next::Reply),
                "at" => fake::set_now(u64::from(context) * 1_000_000),
                "gone" => fake::set_gone(context),
                _ => panic!("{call}?"),
            }
        }
    });
    fake::told()
}

/// A root, an exchange that waits.
fn held() {
    let told = run("root 1, configure 1, create 10 1, at 1000, tick 1, hold, request 10");
    assert_eq!(told, "start1 timer/250 tick request timer/20");
}

#[test]
fn an_answer_lets_an_exchange_go_on_once() {
    held();
    assert_eq!(run("answer 1, tick 1"), "callout:Http(5) as/10 wait as/1 as/10 wait as/1");
    assert_eq!(run("go, answer 1"), "callout:Http(5) as/10 wait continue as/1");
    assert_eq!(run("answer 1, tick 1, tick 1"), "callout:Http(5) timer/250 tick");
    assert_eq!(run("response 10, delete 10"), "response end");
}

#[test]
fn a_tick_refuses_an_exchange_that_waits() {
    held();
    assert_eq!(run("reply, tick 1"), "as/10 wait send/503 as/1 timer/250");
    // The reply goes through us, and is the stage's own.
    assert_eq!(run("response 10, delete 10"), "");
}

#[test]
fn an_exchange_that_ends_while_it_waits_has_been_seen() {
    held();
    assert_eq!(run("delete 10, go, answer 1, tick 1"), "end callout:Http(5) as/1 timer/250");
}

/// Envoy answers for itself when the time is up.
#[test]
fn an_exchange_that_the_host_answers_does_not_go_on() {
    held();
    assert_eq!(
        run("go, response 10, answer 1, tick 1, response 10, delete 10"),
        "callout:Http(5) as/1 timer/250 end"
    );
}

#[test]
fn a_context_that_the_host_does_not_know_is_left_alone() {
    held();
    assert_eq!(
        run("create 11 1, request 11, gone 10, go, tick 1"),
        "request as/11 wait continue as/1 timer/250"
    );
    assert_eq!(run("tick 1, delete 10"), "tick end");
}

#[test]
fn the_timer_hurries_while_anything_waits() {
    held();
    assert_eq!(run("create 11 1, create 12 1, request 11, go, request 12"), "request request");
    assert_eq!(run("hold, delete 11, tick 1"), "end as/10 wait as/1");
    assert_eq!(run("delete 10, tick 1, create 13 1, request 13"), "end as/1 timer/250 request timer/20");
    // A new configuration of the same root sets the timer anew.
    assert_eq!(run("configure 1"), "start2 timer/250 timer/20");
    assert_eq!(run("go, tick 1, delete 13"), "as/13 wait continue as/1 timer/250 end");
}

#[test]
fn housekeeping_goes_by_the_clock_while_the_timer_hurries() {
    held();
    assert_eq!(run("at 1020, tick 1, at 1249, tick 1"), "as/10 wait as/1 as/10 wait as/1");
    assert_eq!(run("at 1250, tick 1, at 1499, tick 1"), "tick as/10 wait as/1 as/10 wait as/1");
    // At the old pace no tick is early, whatever the clock says.
    assert_eq!(run("go, tick 1, at 1300, tick 1"), "as/10 wait continue as/1 timer/250 tick");
}

/// Waits that come and go set the timer again and again, and it never gets to fire at its own pace.
#[test]
fn short_waits_in_a_row_do_not_put_housekeeping_off() {
    held();
    run("go, tick 1, delete 10");
    let mut ticks = 0;
    for wait in 1..=20_u32 {
        let (id, at) = (10 + wait, 1_000 + 100 * wait);
        let told = run(&format!("hold, create {id} 1, request {id}, at {at}, go, tick 1, delete {id}"));
        ticks += told.split(' ').filter(|word| *word == "tick").count();
    }
    assert_eq!(ticks, 6, "every 300 of 2,000 ms");
}

#[test]
fn the_answer_to_one_configuration_serves_the_exchanges_of_all() {
    held();
    assert_eq!(run("root 2, configure 2"), "start2 timer/250 timer/20");
    assert_eq!(run("go, answer 2, answer 9"), "callout:Http(5) as/10 wait continue as/2");
}

#[test]
fn exchanges_outlive_their_root() {
    held();
    run("root 2, configure 2, tick 2");
    assert_eq!(run("delete 1"), "timer/0 as/10 wait as/1");
    assert_eq!(run("answer 1, tick 1"), "", "nobody asks any more");
    assert_eq!(run("go, tick 2, delete 10"), "as/10 wait continue as/2 timer/250 end");
    // Nothing sets the timer of a root that is gone.
    assert_eq!(run("create 11 2, delete 2, hold, request 11, delete 11"), "timer/0 request end");
}

/// A name in the file of hosts is answered before the question is out.
#[test]
fn an_answer_that_comes_at_once_is_delivered_after_the_question() {
    fake::set_at_once(|token| CONTEXTS.with(|contexts| contexts.answered(1, Arrival::name(token, 0))));
    let told = run("root 1, configure 1, ask, create 10 1, request 10");
    assert_eq!(told, "start1 timer/250 request resolve/7 timer/20 callout:Name(7)");
    let told = run("at 20, tick 1");
    assert_eq!(told, "as/10 wait resolve/7 as/1 callout:Name(7)");
    assert_eq!(run("go, at 40, tick 1, delete 10"), "as/10 wait continue as/1 timer/250 end");
}

#[test]
fn a_stage_that_asks_nobody_holds_nothing() {
    NEXT.set(Next::Hold);
    MUTE.with(|contexts| {
        contexts.context_created(1, 0);
        assert!(contexts.configured(1));
        contexts.context_created(10, 1);
        assert_eq!(contexts.request_headers(10, false), Action::Continue);
        contexts.answered(1, Arrival::http(5, 1, 0));
        contexts.ticked(1);
        contexts.deleted(10);
    });
    assert_eq!(fake::told(), "start1 timer/250 request tick end");
}

/// Envoy crashed: it gave the answer to a root that a new configuration had replaced.
#[test]
fn a_root_stays_until_the_names_it_asked_for_have_come() {
    let done = |context| CONTEXTS.with(|contexts| contexts.is_done(context));
    let name = || CONTEXTS.with(|contexts| contexts.answered(1, Arrival::name(7, 0)));
    let told = run("root 1, configure 1, ask, create 10 1, request 10, create 11 1, request 11");
    assert_eq!(told, "start1 timer/250 request resolve/7 timer/20 request resolve/7");
    assert!(done(10) && done(99));
    run("delete 10, delete 11");
    assert!(!done(1));
    assert_eq!(run("tick 1, answer 1"), "timer/0", "it is silent");
    name();
    assert_eq!(fake::told(), "");
    name();
    assert_eq!(fake::told(), "done/0");
    assert_eq!(run("delete 1"), "timer/0 as/1");

    assert_eq!(run("root 2, configure 2, hold"), "start2 timer/250");
    assert!(done(2), "it has asked for nothing");
}
