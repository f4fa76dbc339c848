//! Two stages in one: what a module of several stages does, for tests of it.
//!
//! Requests pass the first stage and then the second, responses the other way. Each stage has its
//! own object in the document, under its name.

use std::rc::Rc;

use tidegate_policy::config::{rules, Reader};
use tidegate_policy::host::{Answer, Host, Store, StoreError};
use tidegate_policy::http::{
    Callback, CellSpec, Edit, Ending, Foretold, Memo, Metric, NoResponse, Overlay, Placement, Request,
    Response, Stage, Verdict,
};
use tidegate_policy::scoped::Scoped;

/// A stage, then another. Only the second may hold back requests: one that waits can only be asked
/// again, and the stages after it need its headers.
#[derive(Debug)]
pub struct Pair<A, B> {
    /// The first.
    pub first: A,
    /// The second.
    pub second: B,
    /// How many metrics the first has.
    base: usize,
}

/// What both remember of an exchange.
#[derive(Debug, Default)]
pub struct Exchanges<A, B> {
    first: A,
    second: B,
}

impl<A: Stage, B: Stage> Pair<A, B> {
    const ALL: ([Callback; Callback::COUNT], usize) = Callback::union(A::CALLBACKS, B::CALLBACKS);

    fn hosts<'a, H: Host>(&self, host: &'a H) -> (Scoped<'a, H>, Scoped<'a, H>) {
        (Scoped::new(host, 0, A::NAME), Scoped::new(host, self.base, B::NAME))
    }
}

impl<A: Stage, B: Stage> Stage for Pair<A, B> {
    const NAME: &'static str = "pair";
    const CALLBACKS: &'static [Callback] = Self::ALL.0.split_at(Self::ALL.1).0;
    const TICK_MS: u32 = if A::TICK_MS < B::TICK_MS { A::TICK_MS } else { B::TICK_MS };
    const WAIT_MS: u32 = B::WAIT_MS;

    type Exchange = Exchanges<A::Exchange, B::Exchange>;
    type Memory = (Rc<A::Memory>, Rc<B::Memory>);

    fn read(reader: &Reader<'_>, placement: Placement) -> Option<Self> {
        const { assert!(!A::ASKS, "the first stage cannot hold back requests") }
        let [first, second] = rules::parts(reader, [A::NAME, B::NAME])?;
        let (first, second) = (A::read(&first, placement), B::read(&second, placement));
        let (first, second) = first.zip(second)?;
        Some(Self { base: first.metrics().len(), first, second })
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        self.first.cells().chain(self.second.cells())
    }

    fn start(&mut self, memory: &Rc<Self::Memory>, store: &impl Store) -> Result<(), StoreError> {
        self.first.start(&memory.0, store)?;
        self.second.start(&memory.1, store)
    }

    fn stop(&self, host: &impl Host) {
        let (first, second) = self.hosts(host);
        self.first.stop(&first);
        self.second.stop(&second);
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut list = self.first.metrics();
        list.extend(self.second.metrics());
        list
    }

    fn reads_headers(&self) -> bool {
        self.first.reads_headers() || self.second.reads_headers()
    }

    fn on_request(&self, exchange: &mut Self::Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        let (first, second) = self.hosts(host);
        let later = |which| self.second.foretell(which, request);
        let asked = Foretold::new(request, &later);
        let edits = match self.first.on_request(&mut exchange.first, &asked, &first) {
            Verdict::Await(edits) | Verdict::Continue(edits) => edits,
            reply @ Verdict::Reply(_) => return reply,
        };
        let facts = |tell: &mut dyn FnMut(&'static str, &str)| self.first.facts(&exchange.first, tell);
        let seen = Overlay::new(request, &edits, &facts);
        let verdict = self.second.on_request(&mut exchange.second, &seen, &second);
        match verdict {
            Verdict::Await(later) => Verdict::Await(joined(edits, later)),
            Verdict::Continue(later) => Verdict::Continue(joined(edits, later)),
            Verdict::Reply(reply) => {
                self.first.on_end(&mut exchange.first, Ending::NeverSent, &NoResponse, &first);
                Verdict::Reply(reply)
            }
        }
    }

    fn on_request_complete(&self, exchange: &mut Self::Exchange, host: &impl Host) {
        let (first, second) = self.hosts(host);
        self.first.on_request_complete(&mut exchange.first, &first);
        self.second.on_request_complete(&mut exchange.second, &second);
    }

    fn on_wait(&self, exchange: &mut Self::Exchange, host: &impl Host) -> Verdict {
        let (first, second) = self.hosts(host);
        let verdict = self.second.on_wait(&mut exchange.second, &second);
        if let Verdict::Reply(_) = verdict {
            self.first.on_end(&mut exchange.first, Ending::NeverSent, &NoResponse, &first);
        }
        verdict
    }

    fn on_callout(&self, answer: &impl Answer, host: &impl Host) {
        self.second.on_callout(answer, &self.hosts(host).1);
    }

    fn on_response(
        &self,
        exchange: &mut Self::Exchange,
        response: &impl Response,
        host: &impl Host,
    ) -> Vec<Edit> {
        let ((first, second), response) = (self.hosts(host), Memo::new(response));
        let edits = self.second.on_response(&mut exchange.second, &response, &second);
        joined(edits, self.first.on_response(&mut exchange.first, &response, &first))
    }

    fn on_trailers(&self, exchange: &mut Self::Exchange, trailers: &impl Response, host: &impl Host) {
        let ((first, second), trailers) = (self.hosts(host), Memo::new(trailers));
        self.second.on_trailers(&mut exchange.second, &trailers, &second);
        self.first.on_trailers(&mut exchange.first, &trailers, &first);
    }

    fn on_end(&self, exchange: &mut Self::Exchange, ending: Ending, end: &impl Response, host: &impl Host) {
        let ((first, second), end) = (self.hosts(host), Memo::new(end));
        self.second.on_end(&mut exchange.second, ending, &end, &second);
        self.first.on_end(&mut exchange.first, ending, &end, &first);
    }

    fn facts(&self, exchange: &Self::Exchange, tell: &mut dyn FnMut(&'static str, &str)) {
        self.first.facts(&exchange.first, tell);
        self.second.facts(&exchange.second, tell);
    }

    fn on_tick(&self, host: &impl Host) {
        let (first, second) = self.hosts(host);
        self.first.on_tick(&first);
        self.second.on_tick(&second);
    }
}

fn joined(mut edits: Vec<Edit>, later: Vec<Edit>) -> Vec<Edit> {
    if edits.is_empty() {
        return later;
    }
    edits.extend(later);
    edits
}
