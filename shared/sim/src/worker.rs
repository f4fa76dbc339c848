//! A stage on a host, driven by the driver that drives it in a proxy.

use std::fmt;
use std::rc::Rc;

use tidegate_driver::{cells, Cells, Claims, Exchange};
use tidegate_policy::config::ConfigError;
use tidegate_policy::host::{Answer, Host, StoreError};
use tidegate_policy::http::{steering, Edit, Placement, Request, Response, Stage, Verdict};

use crate::SimResponse;

/// One worker: a configured stage, its host and what it remembers.
pub struct Worker<S: Stage, H> {
    stage: S,
    memory: Rc<S::Memory>,
    /// What it means by its names, of a worker that has a plugin's name.
    claims: Option<Claims>,
    /// The host, so that tests can move its clock and read its counters.
    pub host: H,
}

/// Why a worker could not be made.
#[derive(Debug)]
pub enum StartError {
    /// The configuration is wrong.
    Config(ConfigError),
    /// The cells could not be made or read.
    Store(StoreError),
}

impl<S: Stage, H: Host + Cells> Worker<S, H> {
    /// Configures a stage, creates its missing cells and starts it. Cells that a proxy
    /// fills with random bytes get the bytes 0, 1, 2, …, so that runs repeat.
    ///
    /// # Errors
    /// What a proxy's log would say of the configuration.
    pub fn new(json: &str, host: H) -> Result<Self, StartError> {
        Self::with(Rc::default(), json, Placement::default(), host)
    }

    /// The same, where the filter runs for each attempt.
    ///
    /// # Errors
    /// As [`Worker::new`].
    pub fn attempt(json: &str, host: H) -> Result<Self, StartError> {
        Self::with(Rc::default(), json, Placement::Attempt, host)
    }

    /// Another configuration in the VM of `other`, or the same in another placement: it shares
    /// what that one remembers.
    ///
    /// # Errors
    /// As [`Worker::new`].
    pub fn beside(other: &Self, json: &str, placement: Placement, host: H) -> Result<Self, StartError> {
        Self::with(other.memory.clone(), json, placement, host)
    }

    fn with(memory: Rc<S::Memory>, json: &str, placement: Placement, host: H) -> Result<Self, StartError> {
        let stage = start(&memory, json, placement, &host)?;
        Ok(Self { stage, memory, claims: None, host })
    }

    /// As [`Worker::new`], of a plugin with a name, which other plugins are told of.
    ///
    /// # Errors
    /// As [`Worker::new`].
    pub fn named(plugin: &str, json: &str, host: H) -> Result<Self, StartError> {
        let mut worker = Self::new(json, host)?;
        worker.claims = Claims::of(&worker.stage, (plugin, ""), json.as_bytes());
        if let Some(claims) = &worker.claims {
            let lines = claims.configured(&worker.host, worker.host.now());
            lines.iter().for_each(|line| worker.host.note(line));
        }
        Ok(worker)
    }
}

impl<S: Stage, H: Host> Worker<S, H> {
    /// As [`Worker::new`], but started on the bare cells, so that the host sees only requests.
    ///
    /// # Errors
    /// As [`Worker::new`].
    pub fn started_on(store: &impl Cells, json: &str, host: H) -> Result<Self, StartError> {
        let memory = Rc::default();
        let stage = start(&memory, json, Placement::default(), store)?;
        Ok(Self { stage, memory, claims: None, host })
    }

    /// The same, where the filter runs for each attempt.
    ///
    /// # Errors
    /// As [`Worker::new`].
    pub fn attempt_started_on(store: &impl Cells, json: &str, host: H) -> Result<Self, StartError> {
        let memory = Rc::default();
        let stage = start(&memory, json, Placement::Attempt, store)?;
        Ok(Self { stage, memory, claims: None, host })
    }

    /// A request, from its headers to what becomes of it.
    pub fn request(&self, request: &impl Request) -> Verdict {
        self.begin(request).0
    }

    /// A whole exchange: the verdict, the edits to its response if there is one, and the
    /// word for access logs.
    pub fn exchange(&self, request: &impl Request) -> (Verdict, Vec<Edit>, Option<String>) {
        let (verdict, mut exchange) = self.begin(request);
        let outcome = self.outcome(&exchange);
        let edits = match verdict {
            Verdict::Continue(_) => exchange.response(&self.stage, &SimResponse::upstream(200), &self.host),
            Verdict::Await(_) | Verdict::Reply(_) => Vec::new(),
        };
        (verdict, edits, outcome)
    }

    /// The text of the first fact that the stage tells of an exchange, for access logs: what it tells
    /// later filters of the route is not meant for them.
    pub fn outcome(&self, exchange: &Exchange<S>) -> Option<String> {
        let mut first = None;
        exchange.facts(&self.stage, &mut |name, text| {
            if name != steering::FACT {
                first.get_or_insert_with(|| text.to_owned());
            }
        });
        first
    }

    /// Begins an exchange, to be ended by [`Worker::end`].
    pub fn begin(&self, request: &impl Request) -> (Verdict, Exchange<S>) {
        let mut exchange = Exchange::default();
        (exchange.request(&self.stage, request, &self.host), exchange)
    }

    /// Asks again for an exchange that waits.
    pub fn wait(&self, exchange: &mut Exchange<S>) -> Verdict {
        exchange.wait(&self.stage, &self.host)
    }

    /// An answer to a question of this worker's host. Exchanges that wait are not asked for, as
    /// in a proxy: that is for [`Worker::wait`].
    pub fn answer(&self, answer: &impl Answer) {
        self.stage.on_callout(answer, &self.host);
    }

    /// All of the request arrived, after its headers.
    pub fn complete(&self, exchange: &mut Exchange<S>) {
        exchange.request_complete(&self.stage, &self.host);
    }

    /// The response of an exchange that went on, without trailers, and its end.
    pub fn end(&self, mut exchange: Exchange<S>, response: &SimResponse) -> Vec<Edit> {
        let edits = exchange.response(&self.stage, response, &self.host);
        if !response.end_of_stream() {
            exchange.response_complete();
        }
        exchange.end(&self.stage, response, &self.host);
        edits
    }

    /// The headers of the response of an exchange that went on.
    pub fn respond(&self, exchange: &mut Exchange<S>, response: &SimResponse) -> Vec<Edit> {
        exchange.response(&self.stage, response, &self.host)
    }

    /// The trailers of its response, and its end.
    pub fn finish(&self, mut exchange: Exchange<S>, trailers: &SimResponse) {
        exchange.trailers(&self.stage, trailers, &self.host);
        exchange.end(&self.stage, trailers, &self.host);
    }

    /// The response of an exchange that went on, then `meanwhile`, then its trailers and its end.
    pub fn end_later(
        &self,
        mut exchange: Exchange<S>,
        response: &SimResponse,
        meanwhile: impl FnOnce(),
        trailers: &SimResponse,
    ) {
        self.respond(&mut exchange, response);
        meanwhile();
        self.finish(exchange, trailers);
    }

    /// The response of an exchange that went on, with trailers, and its end.
    pub fn end_with_trailers(&self, exchange: Exchange<S>, response: &SimResponse, trailers: &SimResponse) {
        self.end_later(exchange, response, || (), trailers);
    }

    /// The response of an exchange that went on, and how it broke off before its end.
    pub fn break_off(&self, mut exchange: Exchange<S>, response: &SimResponse, end: &SimResponse) {
        exchange.response(&self.stage, response, &self.host);
        exchange.end(&self.stage, end, &self.host);
    }

    /// The end of an exchange that never had a response, whether it went on or waits.
    pub fn abort(&self, exchange: Exchange<S>, end: &SimResponse) {
        exchange.end(&self.stage, end, &self.host);
    }

    /// The timer.
    pub fn tick(&self) {
        self.stage.on_tick(&self.host);
        if let Some(claims) = &self.claims {
            let lines = claims.tick(&self.host, self.host.now());
            lines.iter().for_each(|line| self.host.note(line));
        }
    }

    /// The configuration goes.
    pub fn stop(&self) {
        self.stage.stop(&self.host);
        if let Some(claims) = &self.claims {
            claims.stop(&self.host, self.host.now());
        }
    }

    /// The stage itself.
    pub fn stage(&self) -> &S {
        &self.stage
    }

    /// What it remembers, together with its other placements and configurations in the same VM.
    pub fn memory(&self) -> &S::Memory {
        &self.memory
    }

    /// Where the metric with this name stands in the stage's list; see `SimHost::count`.
    ///
    /// # Panics
    /// When the stage declares no such metric.
    #[must_use]
    pub fn counter(&self, name: &str) -> usize {
        let metrics = self.stage.metrics();
        metrics.iter().position(|c| c.name == name).unwrap_or_else(|| panic!("no counter {name}"))
    }
}

impl<S: Stage, H> fmt::Debug for Worker<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("stage", &S::NAME).finish_non_exhaustive()
    }
}

fn start<S: Stage>(
    memory: &Rc<S::Memory>,
    json: &str,
    placement: Placement,
    store: &impl Cells,
) -> Result<S, StartError> {
    let mut stage = S::configure(json.as_bytes(), placement).map_err(StartError::Config)?;
    let counted = |bytes: &mut [u8]| {
        bytes.iter_mut().zip((0..=u8::MAX).cycle()).for_each(|(byte, n)| *byte = n);
        true
    };
    cells::start(&mut stage, memory, store, counted).map_err(StartError::Store)?;
    Ok(stage)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tidegate_policy::config::Reader;
    use tidegate_policy::host::{Answer, CalloutError, Question, Store};
    use tidegate_policy::http::{Callback, CellSpec, Metric};

    use super::*;
    use crate::{Asked, SimHost, SimRequest};

    /// Waits until it knows an address, which all share.
    struct Asker(Rc<RefCell<Vec<u8>>>);

    impl Stage for Asker {
        const NAME: &'static str = "asker";
        const CALLBACKS: &'static [Callback] = &[Callback::CalloutResponse];

        type Exchange = ();
        type Memory = RefCell<Vec<u8>>;

        fn read(_reader: &Reader<'_>, _placement: Placement) -> Option<Self> {
            Some(Self(Rc::default()))
        }

        fn cells(&self) -> impl Iterator<Item = CellSpec> {
            std::iter::empty()
        }

        fn start(&mut self, memory: &Rc<Self::Memory>, _store: &impl Store) -> Result<(), StoreError> {
            self.0 = memory.clone();
            Ok(())
        }

        fn metrics(&self) -> Vec<Metric> {
            Vec::new()
        }

        fn on_request(&self, (): &mut (), _request: &impl Request, host: &impl Host) -> Verdict {
            let headers = [(":path", "/where")];
            let question =
                Question::Http { cluster: "registry", headers: &headers, body: b"", timeout_ms: 5 };
            match host.ask(&question).and_then(|_| host.ask(&Question::Name("web"))) {
                Ok(_) => Verdict::Await(Vec::new()),
                Err(_) => Verdict::Continue(Vec::new()),
            }
        }

        fn on_wait(&self, (): &mut (), _host: &impl Host) -> Verdict {
            if self.0.borrow().is_empty() {
                return Verdict::Await(Vec::new());
            }
            Verdict::Continue(Vec::new())
        }

        fn on_callout(&self, answer: &impl Answer, _host: &impl Host) {
            if answer.header(":status").as_deref() == Some(b"200") {
                *self.0.borrow_mut() = answer.body(9);
            }
        }
    }

    #[test]
    fn a_question_is_answered_when_the_test_says_so() {
        let host = || SimHost::new(std::sync::Arc::default());
        let worker = Worker::<Asker, _>::new("{}", host()).unwrap();
        let beside = Worker::beside(&worker, "{}", Placement::Attempt, host()).unwrap();
        let alone = Worker::<Asker, _>::new("{}", host()).unwrap();
        let (held, on) = (Verdict::Await(Vec::new()), Verdict::Continue(Vec::new()));

        let (verdict, mut exchange) = worker.begin(&SimRequest::get("/"));
        assert_eq!(verdict, held);
        let questions = worker.host.take_questions();
        assert_eq!(questions.iter().map(crate::SimQuestion::subject).collect::<Vec<_>>(), ["/where", "web"]);
        assert!(matches!(&questions[0].asked, Asked::Http { timeout_ms: 5, .. }));
        worker.answer(&questions[0].failure());
        assert_eq!(worker.wait(&mut exchange), held);
        worker.answer(&questions[0].answer(200).body(b"10.0.0.1:80"));
        assert_eq!(worker.wait(&mut exchange), on);
        assert_eq!(
            (beside.wait(&mut Exchange::default()), alone.wait(&mut Exchange::default())),
            (on.clone(), held)
        );
        assert_eq!(*worker.memory.borrow(), b"10.0.0.1:");

        worker.host.refuse_questions(Some(CalloutError::NotSent));
        assert_eq!(worker.begin(&SimRequest::get("/")).0, on);
        assert_eq!(worker.host.take_questions(), []);
    }
}
