//! A stage: one policy around one exchange.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::message::{Attribute, Request, Response};
use super::verdict::{Edit, Verdict};
use crate::claims::Claim;
use crate::config::{document, ConfigError, Reader};
use crate::host::{Answer, Host, Store, StoreError};

/// One policy around one exchange. Glue and the simulator drive it; it never blocks. When a
/// placement is [`Placement::Attempt`], an exchange is one attempt.
pub trait Stage: Sized {
    /// One word, as in metrics and log lines.
    const NAME: &'static str;

    /// What the host should call. A module exports these and no others, because the host
    /// enters the module for every callback that it finds. The stage is asked of every request and
    /// told of the end of each that it let go on, whatever stands here.
    const CALLBACKS: &'static [Callback];

    /// Whether the stage asks others, as its [`Stage::CALLBACKS`] say. One that does may hold back
    /// requests; in the module of one that does not there is nothing to do so.
    const ASKS: bool = Callback::any_answers(Self::CALLBACKS);

    /// Whether it is several stages in one, which says itself what to think of a route by which a
    /// client steered: see [`super::steering`]. Of any other stage the driver says it.
    const SEVERAL: bool = false;

    /// Whether the stage has [`Stage::claims`]. In the module of one that does not nothing compares them.
    const CLAIMS: bool = false;

    /// How often [`Stage::on_tick`] runs, and metrics are told to the host.
    const TICK_MS: u32 = 250;

    /// How often, in milliseconds, exchanges that wait are asked for, while there are any.
    const WAIT_MS: u32 = 20;

    /// What to remember between the callbacks of one exchange.
    type Exchange: Default;

    /// What all configurations and both placements of the stage share on one worker, as long as
    /// the worker's VM lives. `()` for most.
    type Memory: Default;

    /// Makes the policy of the value at `reader`, for where the host put the filter. `None` after
    /// reporting what is wrong with it.
    fn read(reader: &Reader<'_>, placement: Placement) -> Option<Self>;

    /// Makes the policy of a JSON document that is the stage's alone.
    ///
    /// # Errors
    /// Every problem of the document.
    fn configure(json: &[u8], placement: Placement) -> Result<Self, ConfigError> {
        document(json, |reader| Self::read(reader, placement))
    }

    /// Every cell that the policy uses besides [`crate::secret::CELL`], one at a time. The driver
    /// creates the missing ones before traffic.
    fn cells(&self) -> impl Iterator<Item = CellSpec>;

    /// Takes hold of what the worker's configurations share, and reads what it needs from the
    /// cells: once, after they were created.
    ///
    /// # Errors
    /// When the store does not have what it should.
    fn start(&mut self, memory: &Rc<Self::Memory>, store: &impl Store) -> Result<(), StoreError>;

    /// The configuration goes, though exchanges of it may still be in flight: withdraws what
    /// [`Stage::start`] announced to others, and what metrics show that nobody sets any more.
    fn stop(&self, host: &impl Host) {
        let _ = host;
    }

    /// The metrics, in the order in which [`crate::host::Meter`] numbers them.
    fn metrics(&self) -> Vec<Metric>;

    /// What the policy means by the names under which it shares cells. The driver compares it with what
    /// other plugins mean by them.
    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    /// Whether [`Stage::on_request`] wants all headers of a request. They are read in one call, or
    /// not at all: then [`Request::headers`] is empty and [`Request::lone_header`] still answers.
    fn reads_headers(&self) -> bool {
        true
    }

    /// Decides a request.
    fn on_request(&self, exchange: &mut Self::Exchange, request: &impl Request, host: &impl Host) -> Verdict;

    /// A request was answered in place of the stage, which took away a header by which the request had passed a
    /// breaker: see [`crate::http::steering`].
    fn on_forged(&self, host: &impl Host) {
        let _ = host;
    }

    /// All of a request arrived whose headers were not the end of it ([`Request::end_of_stream`]).
    /// Only for a stage whose callbacks are [`Callback::RequestBody`] and
    /// [`Callback::RequestTrailers`]: either can bring the end.
    fn on_request_complete(&self, exchange: &mut Self::Exchange, host: &impl Host) {
        let _ = (exchange, host);
    }

    /// An exchange whose verdict was [`Verdict::Await`] is asked for again, every
    /// [`Stage::WAIT_MS`] and after each answer. Request headers can be changed and not read.
    ///
    /// It has been seen from then on: [`Stage::on_end`] is called for it also when it ends while it
    /// waits, because the client left or the host answered. After a reply of the stage it is not.
    fn on_wait(&self, exchange: &mut Self::Exchange, host: &impl Host) -> Verdict {
        let _ = (exchange, host);
        Verdict::Continue(Vec::new())
    }

    /// There is an answer to a question of this configuration on this worker; in a module of several
    /// stages, to a question of any of them.
    fn on_callout(&self, answer: &impl Answer, host: &impl Host) {
        let _ = (answer, host);
    }

    /// Edits to the response of an exchange that went on.
    fn on_response(
        &self,
        exchange: &mut Self::Exchange,
        response: &impl Response,
        host: &impl Host,
    ) -> Vec<Edit> {
        let _ = (exchange, response, host);
        Vec::new()
    }

    /// The response has trailers, and here they are.
    fn on_trailers(&self, exchange: &mut Self::Exchange, trailers: &impl Response, host: &impl Host) {
        let _ = (exchange, trailers, host);
    }

    /// An exchange that went on, or waited when it ended, is over, and `ending` says how: there may
    /// have been no response at all. Headers cannot be read any more, attributes can.
    fn on_end(&self, exchange: &mut Self::Exchange, ending: Ending, end: &impl Response, host: &impl Host) {
        let _ = (exchange, ending, end, host);
    }

    /// What was decided, for access logs and for other filters: to each fact the name of the filter
    /// state that carries it (Envoy puts `wasm.` before it) and its text, which is a word or two and
    /// no user input. Nothing when there is nothing to say.
    fn facts(&self, exchange: &Self::Exchange, tell: &mut dyn FnMut(&'static str, &str)) {
        let _ = (exchange, tell);
    }

    /// What a fact of this stage will say of a request that stages of the same module before it have seen
    /// and that it has not: as much of the text as is known by then, from its beginning. A module of
    /// several stages asks when one of them wants to know, see [`super::Foretold`].
    fn foretell(&self, which: Attribute, request: &impl Request) -> Option<Vec<u8>> {
        let _ = (which, request);
        None
    }

    /// Housekeeping, a few times a second on every worker.
    fn on_tick(&self, host: &impl Host) {
        let _ = host;
    }
}

/// What a host can call besides the callbacks that every module needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Callback {
    /// An HTTP question was answered.
    CalloutResponse,
    /// The host's resolver answered.
    NameResolved,
    /// Part of a request's body arrived.
    RequestBody,
    /// Request headers arrived.
    RequestHeaders,
    /// Request trailers arrived. Of a request without trailers the host asks nothing.
    RequestTrailers,
    /// Part of a response's body is about to leave.
    ResponseBody,
    /// Response headers are about to leave.
    ResponseHeaders,
    /// Response trailers are about to leave. Of a response without trailers the host asks nothing.
    ResponseTrailers,
    /// The timer fired.
    Tick,
}

/// How an exchange ended, as far as its stage can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The end of the response passed by.
    Complete,
    /// There was no response, or it broke off.
    Incomplete,
    /// The request was not sent: a later stage of the module answered it, or the exchange ended
    /// while it was held back. What was taken for it can be given back, and nothing be learned.
    NeverSent,
    /// A response began, and its stage is not called for all of what follows.
    Unknown,
}

/// A cell to create before traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellSpec {
    /// Its name; never made of anything that a client sent.
    pub name: String,
    /// What it holds at first.
    pub seed: Seed,
}

/// The first bytes of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// So many random bytes.
    Random(usize),
    /// So many zero bytes.
    Zeros(usize),
}

/// A metric of the closed list that a stage declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its full name.
    pub name: String,
    /// Whether it only grows.
    pub kind: MetricKind,
}

/// What a metric can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Where in the host a filter stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Around the exchange with the client.
    #[default]
    Downstream,
    /// Around each attempt to have the request answered by one endpoint.
    Attempt,
}

// === impl Metric ===

impl Metric {
    /// One that only grows.
    #[must_use]
    pub const fn counter(name: String) -> Self {
        Self { name, kind: MetricKind::Counter }
    }

    /// One that goes up and down.
    #[must_use]
    pub const fn gauge(name: String) -> Self {
        Self { name, kind: MetricKind::Gauge }
    }
}

// === impl Placement ===

impl Placement {
    /// The placement that a plugin's root id names: `attempt`, or any other.
    #[must_use]
    pub fn of_root_id(root_id: &[u8]) -> Self {
        if root_id == b"attempt" {
            Self::Attempt
        } else {
            Self::Downstream
        }
    }
}

// === impl Callback ===

impl Callback {
    /// Whether an answer is among what the host should call.
    #[must_use]
    pub const fn any_answers(list: &[Self]) -> bool {
        Self::CalloutResponse.is_in(list) || Self::NameResolved.is_in(list)
    }

    /// Whether it is in a list.
    #[must_use]
    pub const fn is_in(self, list: &[Self]) -> bool {
        let mut rest = list;
        while let [first, after @ ..] = rest {
            if *first as u8 == self as u8 {
                return true;
            }
            rest = after;
        }
        false
    }

    /// How many there are.
    pub const COUNT: usize = 9;

    /// All that are in one of these lists, once each, at the beginning of an array, and how many: for
    /// a module of several stages.
    #[must_use]
    #[expect(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "evaluated at compile time: what would panic does not compile"
    )]
    pub const fn union(lists: &[&[Self]]) -> ([Self; Self::COUNT], usize) {
        let (mut list, mut count) = (Self::ALL, 0);
        let mut rest: &[Self] = &Self::ALL;
        while let [first, after @ ..] = rest {
            let mut others = lists;
            while let [other, behind @ ..] = others {
                others = if first.is_in(other) {
                    list[count] = *first;
                    count += 1;
                    &[]
                } else {
                    behind
                };
            }
            rest = after;
        }
        (list, count)
    }

    const ALL: [Self; Self::COUNT] = [
        Self::CalloutResponse,
        Self::NameResolved,
        Self::RequestBody,
        Self::RequestHeaders,
        Self::RequestTrailers,
        Self::ResponseBody,
        Self::ResponseHeaders,
        Self::ResponseTrailers,
        Self::Tick,
    ];

    /// The name under which a module exports it; what it needs besides on lines of their own.
    #[must_use]
    pub const fn export(self) -> &'static str {
        match self {
            Self::CalloutResponse => "proxy_on_http_call_response",
            // Envoy keeps no hold of a configuration that has asked for a name: see the glue.
            Self::NameResolved => "envoy_on_resolve_dns\nproxy_on_done",
            Self::RequestBody => "proxy_on_request_body",
            Self::RequestHeaders => "proxy_on_request_headers",
            Self::RequestTrailers => "proxy_on_request_trailers",
            Self::ResponseBody => "proxy_on_response_body",
            Self::ResponseHeaders => "proxy_on_response_headers",
            Self::ResponseTrailers => "proxy_on_response_trailers",
            Self::Tick => "proxy_on_tick",
        }
    }
}
