//! One exchange: sent to an endpoint of its service; or one attempt of it: counted for its endpoint.

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{OnceCell, RefCell};

use super::metrics::{self, Places};
use crate::config::ConfigError;
use crate::discovery::catalog::service_view::ServiceView;
use crate::discovery::catalog::table::Locality;
use crate::discovery::cells::question;
use crate::discovery::config::policy::Policy;
use crate::discovery::refresh::poll::Poller;
use crate::discovery::request::attempt::Attempt;
use crate::discovery::request::downstream::PendingRequest;
use crate::discovery::request::flight::{Memory, Ticket};
use crate::discovery::request::outcome::Outcome;
use crate::discovery::request::service_index::ServiceIndex;
use crate::draws::Draws;
use crate::hash::sip::{SipHash13, SipKey};
use crate::host::{Answer, Host, Store, StoreError};
use crate::http::{
    Attribute, Callback, CellSpec, Edit, Metric, Placement, Request, Response, Seed, Stage, Verdict,
};
use crate::time::{Span, Timestamp};

/// The discovery filter.
pub struct Discovery {
    pub(super) policy: Rc<Policy>,
    pub(super) placement: Placement,
    pub(super) index: ServiceIndex,
    pub(super) views: Vec<Rc<ServiceView>>,
    pub(super) places: Places,
    pub(super) memory: Rc<Memory>,
    /// Whether the routing filter may choose a service.
    pub(super) hears_routing: bool,
    pub(super) zone: OnceCell<Rc<str>>,
    pub(super) draws: Draws,
    poller: RefCell<Poller>,
}

/// What to remember until the response.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The request is under way to an endpoint that we chose.
    pub(super) ticket: Option<Ticket>,
    /// It waits for a first snapshot.
    pub(super) waiting: Option<PendingRequest>,
    /// It is one attempt of such a request.
    pub(super) attempt: Option<Attempt>,
    pub(super) started: Timestamp,
    /// Which endpoint answered, what, and after how long, when nobody sees attempts.
    pub(super) answered: Option<(Option<u32>, Outcome, Span)>,
    /// Whether the request was counted for its endpoint when it was sent.
    pub(super) counted: bool,
    pub(super) grpc: bool,
    pub(super) label: String,
}

/// Random bytes, the same for all workers and configurations.
const SECRET_CELL: &str = "tidegate/d1secret";

impl Stage for Discovery {
    const NAME: &'static str = "discovery";
    const PROPERTY: &'static str = "tidegate.discovery";
    const CALLBACKS: &'static [Callback] = &[
        Callback::CalloutResponse,
        Callback::NameResolved,
        Callback::RequestHeaders,
        Callback::ResponseHeaders,
        Callback::Tick,
    ];
    const TICK_MS: u32 = 100;

    type Exchange = Exchange;
    type Memory = Memory;

    fn configure(json: &[u8], placement: Placement) -> Result<Self, ConfigError> {
        let policy = Rc::new(Policy::parse(json)?);
        let (questions, places) = question::all(&policy);
        let view =
            |(at, places): (usize, &Vec<Option<usize>>)| ServiceView::new(&policy, at, &questions, places);
        let views = places.iter().enumerate().filter_map(view).map(Rc::new).collect();
        Ok(Self {
            placement,
            index: ServiceIndex::new(&policy.services),
            views,
            places: Places::new(&policy),
            memory: Rc::default(),
            hears_routing: policy.services.iter().any(|service| service.matches.is_empty()),
            zone: policy.zone.clone().map_or_else(OnceCell::new, OnceCell::from),
            draws: Draws::default(),
            poller: RefCell::new(Poller::new(&policy, questions, &places, config_tag(json))),
            policy,
        })
    }

    fn share(&mut self, memory: &Rc<Memory>) {
        self.memory = Rc::clone(memory);
        if self.placement == Placement::Attempt {
            memory.see_attempts();
        }
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        let cell = |name: &str, seed| CellSpec { name: name.to_string(), seed };
        let mut all = Vec::new();
        if self.placement == Placement::Downstream {
            all.push(cell(SECRET_CELL, Seed::Random(16)));
            all.extend(self.poller.borrow().cells().map(|(name, size)| cell(name, Seed::Zeros(size))));
            let ejections = self.views.iter().filter_map(|view| view.ejection_cell());
            all.extend(ejections.map(|name| cell(name, Seed::Zeros(4))));
        }
        all.into_iter()
    }

    fn start(&mut self, store: &impl Store) -> Result<(), StoreError> {
        if self.placement == Placement::Attempt {
            return Ok(());
        }
        let (bytes, _) = store.load(SECRET_CELL)?.ok_or(StoreError::Unavailable)?;
        self.poller.borrow_mut().start(&bytes, store)
    }

    fn stop(&self, store: &impl Store) {
        if let (Placement::Downstream, Ok(mut poller)) = (self.placement, self.poller.try_borrow_mut()) {
            poller.stop(store);
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        metrics::metrics(&self.policy)
    }

    fn reads_headers(&self) -> bool {
        self.placement == Placement::Downstream
    }

    fn on_request(&self, exchange: &mut Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        match self.placement {
            Placement::Attempt => self.attempt(exchange, request, host),
            Placement::Downstream => self.route(exchange, request, host),
        }
    }

    fn on_wait(&self, exchange: &mut Exchange, host: &impl Host) -> Verdict {
        match exchange.waiting.take() {
            Some(wanted) => self.choose(exchange, wanted, Vec::new(), host.now(), host),
            None => Verdict::Continue(Vec::new()),
        }
    }

    fn on_callout(&self, answer: &impl Answer, host: &impl Host) {
        if let Ok(mut poller) = self.poller.try_borrow_mut() {
            poller.answered(answer, &self.places, host);
        }
    }

    fn on_response(&self, exchange: &mut Exchange, response: &impl Response, host: &impl Host) -> Vec<Edit> {
        match self.placement {
            Placement::Attempt => self.attempt_answered(exchange, response, host),
            Placement::Downstream => self.answered(exchange, response, host),
        }
        Vec::new()
    }

    fn on_end(&self, exchange: &mut Exchange, end: &impl Response, host: &impl Host) {
        match self.placement {
            Placement::Attempt => self.attempt_ended(exchange, end, host),
            Placement::Downstream => self.ended(exchange, end, host),
        }
    }

    fn outcome<'a>(&'a self, exchange: &'a Exchange) -> Option<&'a str> {
        (!exchange.label.is_empty()).then_some(exchange.label.as_str())
    }

    fn on_tick(&self, host: &impl Host) {
        if self.placement == Placement::Attempt {
            return;
        }
        if let Ok(mut poller) = self.poller.try_borrow_mut() {
            poller.tick(&self.places, host);
        }
        let now = host.now();
        for view in &self.views {
            view.follow(now, host);
            view.tell(host);
        }
    }
}

// === impl Discovery ===

impl Discovery {
    /// Where the worker is. Asked of the host once, unless the configuration says it.
    pub(super) fn locality(&self, request: &impl Request, now: Timestamp) -> Locality {
        let zone = self.zone.get_or_init(|| {
            let bytes = request.attribute(Attribute::LocalZone).unwrap_or_default();
            core::str::from_utf8(&bytes).unwrap_or_default().into()
        });
        Locality { zone: Rc::clone(zone), seed: self.draws.next(now) }
    }
}

/// By what a document is told from others.
fn config_tag(json: &[u8]) -> u64 {
    let mut sip = SipHash13::new(SipKey::from_bytes(*b"tidegate/d1 conf"));
    sip.write(json);
    // 0 is nobody's.
    sip.finish().max(1)
}
