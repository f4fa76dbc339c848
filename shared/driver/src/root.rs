//! One plugin configuration on one worker: from JSON to a stage, and its housekeeping; and what a
//! stage wants done for one of its exchanges, carried out.

use std::cell::Cell;
use std::rc::Rc;

use tidegate_policy::http::{Edit, Reply, Stage, Verdict};
use tidegate_policy::time::Timestamp;

use crate::cells;
use crate::claims::Claims;
use crate::exchange::Exchange;
use crate::host::PluginHost;
use crate::message::{ProxyRequest, ProxyResponse, Spare};
use crate::meter::Metrics;
use crate::proxy::{Action, HeaderMap, Level, Proxy};

/// A configured stage with its metrics; exchanges in flight keep theirs alive.
pub(crate) struct Plugin<S, P: Proxy> {
    pub(crate) stage: S,
    pub(crate) proxy: P,
    metrics: Metrics<P>,
    /// What it means by its names, if it shares any.
    claims: Option<Claims>,
    /// What the stage said of headers, once for all requests.
    reads_headers: bool,
    /// The last request's list of headers, for the next.
    spare: Cell<Spare>,
    /// Names asked for and not answered yet.
    pub(crate) names: Cell<u32>,
}

impl<S: Stage, P: Proxy> Plugin<S, P> {
    /// The plugin of the configuration that the proxy offers now; `None` when it cannot be used,
    /// which the log then explains.
    pub(crate) fn configured(proxy: P, memory: &Rc<S::Memory>) -> Option<Self> {
        let document = proxy.configuration();
        let mut stage = match S::configure(&document, proxy.placement()) {
            Ok(stage) => stage,
            Err(error) => {
                let who = who::<S>(&proxy);
                for problem in error.lines() {
                    proxy.log(Level::Error, &format!("{who}: configuration: {problem}"));
                }
                return None;
            }
        };
        if let Err(error) = cells::start(&mut stage, memory, &proxy, |bytes| proxy.random(bytes)) {
            proxy.log(Level::Error, &format!("{}: shared cells: {error}", who::<S>(&proxy)));
            return None;
        }
        if let Err(status) = proxy.set_timer(S::TICK_MS) {
            let who = who::<S>(&proxy);
            let line = format!("{who}: timer: host status {}, metrics will not move", status.0);
            proxy.log(Level::Warn, &line);
        }
        let metrics = Metrics::declare(proxy.clone(), stage.metrics());
        let reads_headers = stage.reads_headers();
        let claims = Claims::of(&stage, (&proxy.plugin_name(), &proxy.root_id()), &document);
        let (spare, names) = (Cell::default(), Cell::default());
        let plugin = Self { stage, proxy, metrics, claims, reads_headers, spare, names };
        plugin.claim(Claims::configured);
        Some(plugin)
    }

    /// What the stage may ask.
    pub(crate) fn host(&self) -> PluginHost<'_, P> {
        PluginHost { proxy: &self.proxy, name: S::NAME, metrics: &self.metrics, names: &self.names }
    }

    pub(crate) fn tick(&self) {
        self.stage.on_tick(&self.host());
        self.metrics.flush();
        self.claim(Claims::tick);
    }

    /// The configuration goes: what was announced would outlive it.
    pub(crate) fn retire(&self) {
        self.stage.stop(&self.host());
        if let Some(claims) = self.claims.as_ref().filter(|_| S::CLAIMS) {
            claims.stop(&self.proxy, self.proxy.now());
        }
    }

    /// Does something about the claims, and logs what there is to say of it.
    fn claim(&self, how: impl FnOnce(&Claims, &P, Timestamp) -> Vec<String>) {
        let Some(claims) = self.claims.as_ref().filter(|_| S::CLAIMS) else { return };
        let lines = how(claims, &self.proxy, self.proxy.now());
        if lines.is_empty() {
            return;
        }
        let who = who::<S>(&self.proxy);
        for line in lines {
            self.proxy.log(Level::Warn, &format!("{who}: {line}"));
        }
    }
}

/// What a line about a configuration begins with. A proxy may run one filter several times, and its log
/// tells plugins apart only for requests.
fn who<S: Stage>(proxy: &impl Proxy) -> String {
    match proxy.plugin_name() {
        plugin if plugin.is_empty() => S::NAME.to_owned(),
        plugin => format!("plugin {plugin}: {}", S::NAME),
    }
}

/// The callbacks of an exchange.
impl<S: Stage, P: Proxy> Plugin<S, P> {
    pub(crate) fn request(&self, exchange: &mut Exchange<S>, end_of_stream: bool) -> Action {
        let headers = if self.reads_headers { self.proxy.request_headers() } else { P::Headers::default() };
        let request = ProxyRequest::new(&self.proxy, &headers, end_of_stream, self.spare.take());
        let verdict = exchange.request(&self.stage, &request, &self.host());
        self.spare.set(request.into_spare());
        self.tell_facts(exchange);
        match verdict {
            Verdict::Await(edits) => {
                self.apply(&edits);
                Action::Pause
            }
            Verdict::Continue(edits) => {
                self.apply(&edits);
                Action::Continue
            }
            Verdict::Reply(reply) => {
                self.send(&reply);
                Action::Pause
            }
        }
    }

    /// Asks the stage again and does as it says. The proxy must have been told that calls are about
    /// this exchange.
    pub(crate) fn ask_again(&self, exchange: &mut Exchange<S>) {
        let verdict = exchange.wait(&self.stage, &self.host());
        if !exchange.is_held() {
            self.tell_facts(exchange);
        }
        match verdict {
            Verdict::Await(edits) => self.apply(&edits),
            Verdict::Continue(edits) => {
                self.apply(&edits);
                if let Err(status) = self.proxy.continue_request() {
                    self.proxy.log(Level::Error, &format!("{}: go on: host status {}", S::NAME, status.0));
                }
            }
            Verdict::Reply(reply) => self.send(&reply),
        }
    }

    /// Part of the body of a request arrived, or its trailers.
    pub(crate) fn request_continues(&self, exchange: &mut Exchange<S>, end_of_stream: bool) -> Action {
        if end_of_stream {
            exchange.request_complete(&self.stage, &self.host());
        }
        if exchange.may_go_on() {
            Action::Continue
        } else {
            Action::Pause
        }
    }

    pub(crate) fn response(&self, exchange: &mut Exchange<S>, end_of_stream: bool) {
        let response = ProxyResponse::headers(&self.proxy, end_of_stream);
        self.apply(&exchange.response(&self.stage, &response, &self.host()));
    }

    pub(crate) fn trailers(&self, exchange: &mut Exchange<S>) {
        exchange.trailers(&self.stage, &ProxyResponse::trailers(&self.proxy), &self.host());
    }

    pub(crate) fn end(&self, exchange: Exchange<S>) {
        exchange.end(&self.stage, &ProxyResponse::end(&self.proxy), &self.host());
    }

    fn tell_facts(&self, exchange: &Exchange<S>) {
        exchange.facts(&self.stage, &mut |name, text| self.proxy.set_fact(name, text));
    }

    fn apply(&self, edits: &[Edit]) {
        for edit in edits {
            match edit {
                Edit::AddRequestHeader(name, value) => {
                    self.proxy.add_header(HeaderMap::Request, name, value);
                }
                Edit::AddResponseHeader(name, value) => {
                    self.proxy.add_header(HeaderMap::Response, name, value);
                }
                Edit::SetResponseHeader(name, value) => {
                    self.proxy.set_header(HeaderMap::Response, name, value);
                }
                Edit::DropRequestHeader(name) | Edit::RemoveRequestHeader(name) => {
                    self.proxy.remove_header(HeaderMap::Request, name);
                }
                Edit::SetRequestHeader(name, value) => {
                    self.proxy.set_header(HeaderMap::Request, name, value);
                }
                _ => {}
            }
        }
    }

    fn send(&self, reply: &Reply) {
        if let Err(status) = self.proxy.reply(reply) {
            self.proxy.log(Level::Error, &format!("{}: reply: host status {}", S::NAME, status.0));
        }
    }
}
