//! What a stage is told of the end of an exchange, by what its module is called for.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tidegate_policy::config::Reader;
use tidegate_policy::host::{Host, Store, StoreError};
use tidegate_policy::http::{
    Callback, CellSpec, Edit, Ending, Metric, Placement, Request, Response, Stage, Verdict,
};
use tidegate_sim::{Exchange, SimHost, SimRequest, SimResponse, Worker};

thread_local! {
    static CALLS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    static ENDING: Cell<Option<Ending>> = const { Cell::new(None) };
}

/// Writes down what it is asked. Its module is not called for the bodies of responses, nor for trailers.
struct Noting;

impl Stage for Noting {
    const NAME: &'static str = "noting";
    const CALLBACKS: &'static [Callback] = &[Callback::RequestBody, Callback::ResponseHeaders];

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
        Vec::new()
    }

    fn on_request(&self, (): &mut (), request: &impl Request, _host: &impl Host) -> Verdict {
        CALLS.with_borrow_mut(|calls| {
            calls.push(if request.end_of_stream() { "whole request" } else { "request" });
        });
        Verdict::Continue(Vec::new())
    }

    fn on_request_complete(&self, (): &mut (), _host: &impl Host) {
        CALLS.with_borrow_mut(|calls| calls.push("complete"));
    }

    fn on_response(&self, (): &mut (), _response: &impl Response, _host: &impl Host) -> Vec<Edit> {
        CALLS.with_borrow_mut(|calls| calls.push("response"));
        Vec::new()
    }

    fn on_trailers(&self, (): &mut (), _trailers: &impl Response, _host: &impl Host) {
        CALLS.with_borrow_mut(|calls| calls.push("trailers"));
    }

    fn on_end(&self, (): &mut (), ending: Ending, _end: &impl Response, _host: &impl Host) {
        CALLS.with_borrow_mut(|calls| calls.push("end"));
        ENDING.set(Some(ending));
    }
}

fn worker() -> Worker<Noting, SimHost> {
    Worker::new("{}", SimHost::new(std::sync::Arc::default())).expect("a right configuration")
}

#[test]
fn a_stage_is_asked_in_the_order_in_which_things_happen() {
    let worker = worker();
    let (_, mut exchange) = worker.begin(&SimRequest::get("/").with_body());
    worker.complete(&mut exchange);
    worker.end_with_trailers(exchange, &SimResponse::upstream(200), &SimResponse::none());
    assert_eq!(CALLS.take(), ["request", "complete", "response", "trailers", "end"]);
    assert_eq!(ENDING.take(), Some(Ending::Complete));
}

#[test]
fn an_exchange_ends_as_far_as_the_module_is_called() {
    let worker = worker();
    let ends = |finish: &dyn Fn(Exchange<Noting>)| {
        let (_, exchange) = worker.begin(&SimRequest::get("/"));
        finish(exchange);
        ENDING.take()
    };
    let ok = SimResponse::upstream(200);
    assert_eq!(ends(&|exchange| worker.abort(exchange, &SimResponse::none())), Some(Ending::Incomplete));
    let cut = ends(&|exchange| worker.break_off(exchange, &ok, &SimResponse::none()));
    assert_eq!(cut, Some(Ending::Unknown));
    let whole = ok.clone().without_body();
    let ended = ends(&|exchange| worker.break_off(exchange, &whole, &SimResponse::none()));
    assert_eq!(ended, Some(Ending::Complete));
}
