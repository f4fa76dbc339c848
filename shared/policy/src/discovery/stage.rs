//! The filter, in one of its two places: around the exchange with the client, where it chooses
//! endpoints and keeps up with registries, or around each attempt, where it counts and steers.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::metrics::{self, Places, ServiceMetric};
use crate::claims::Claim;
use crate::config::Reader;
use crate::discovery::catalog::ejections::Ejections;
use crate::discovery::catalog::service_view::ServiceView;
use crate::discovery::cells::question;
use crate::discovery::config::policy::Policy;
use crate::discovery::refresh::poller::Poller;
use crate::discovery::request::attempt::Attempts;
use crate::discovery::request::downstream::Downstream;
use crate::discovery::request::exchange::Exchange;
use crate::discovery::request::memory::Memory;
use crate::discovery::request::unused;
use crate::host::{Answer, Host, Store, StoreError};
use crate::http::{
    Attribute, Callback, CellSpec, Edit, Ending, Metric, Parsed, Placement, Request, Response, Seed, Stage,
    Verdict,
};
use crate::secret;

/// The discovery filter.
#[derive(Debug)]
pub enum Discovery {
    /// Around each attempt.
    Attempts(Attempts),
    /// Around the exchange with the client.
    Downstream {
        /// Chooses the endpoints of requests.
        requests: Box<Downstream>,
        /// Asks the registries.
        poller: RefCell<Poller>,
        /// Where its metrics are.
        places: Places,
    },
}

// === impl Discovery ===

impl Stage for Discovery {
    const NAME: &'static str = "discovery";
    const CLAIMS: bool = true;
    const CALLBACKS: &'static [Callback] = &[
        Callback::CalloutResponse,
        Callback::NameResolved,
        Callback::RequestBody,
        Callback::RequestHeaders,
        Callback::RequestTrailers,
        Callback::ResponseBody,
        Callback::ResponseHeaders,
        Callback::ResponseTrailers,
        Callback::Tick,
    ];
    const TICK_MS: u32 = 100;

    type Exchange = Exchange;
    type Memory = Memory;

    fn read(reader: &Reader<'_>, placement: Placement) -> Option<Self> {
        let policy = Rc::new(Policy::read(reader)?);
        if placement == Placement::Attempt {
            return Some(Self::Attempts(Attempts::new(policy)));
        }
        let (questions, asked) = question::all(&policy);
        let view =
            |(at, asked): (usize, &Vec<Option<usize>>)| ServiceView::new(&policy, at, &questions, asked);
        let views = asked.iter().enumerate().filter_map(view).map(Rc::new).collect();
        // 0 stands for any configuration.
        let config = reader.fingerprint().max(1);
        Some(Self::Downstream {
            places: Places::new(&policy),
            poller: RefCell::new(Poller::new(&policy, questions, &asked, config)),
            requests: Box::new(Downstream::new(policy, views)),
        })
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        let cell = |name: &str, seed| CellSpec { name: name.to_string(), seed };
        let mut all = Vec::new();
        if let Self::Downstream { requests, poller, .. } = self {
            all.extend(poller.borrow().cells().map(|(name, size)| cell(name, Seed::Zeros(size))));
            let ejections = requests.views().iter().map(|view| view.ejections());
            all.extend(ejections.map(Ejections::cell).map(|name| cell(name, Seed::Zeros(4))));
            all.push(requests.usage().spec());
        }
        all.into_iter()
    }

    fn start(&mut self, memory: &Rc<Memory>, store: &impl Store) -> Result<(), StoreError> {
        match self {
            Self::Attempts(attempts) => {
                attempts.share(memory);
                Ok(())
            }
            Self::Downstream { requests, poller, .. } => {
                requests.share(memory);
                poller.borrow_mut().start(&secret::load(store)?, store)
            }
        }
    }

    fn stop(&self, host: &impl Host) {
        let Self::Downstream { requests, poller, places } = self else { return };
        if let Ok(mut poller) = poller.try_borrow_mut() {
            poller.stop(host);
        }
        requests.usage().stop(host, &|at| places.service(at, ServiceMetric::Unused));
        requests.views().iter().for_each(|view| view.forget());
    }

    fn metrics(&self) -> Vec<Metric> {
        metrics::metrics(match self {
            Self::Attempts(attempts) => attempts.policy(),
            Self::Downstream { requests, .. } => requests.policy(),
        })
    }

    fn claims(&self) -> Vec<Claim> {
        match self {
            Self::Attempts(attempts) => attempts.policy(),
            Self::Downstream { requests, .. } => requests.policy(),
        }
        .claims()
    }

    fn reads_headers(&self) -> bool {
        matches!(self, Self::Downstream { .. })
    }

    fn on_request(&self, exchange: &mut Exchange, request: &impl Request, host: &impl Host) -> Verdict {
        let request = &Parsed::new(request);
        match self {
            Self::Attempts(attempts) => attempts.begin(exchange, request, host),
            Self::Downstream { requests, .. } => requests.route(exchange, request, host),
        }
    }

    fn on_forged(&self, host: &impl Host) {
        host.add(metrics::ROUTE_FORGED, 1);
    }

    fn on_request_complete(&self, exchange: &mut Exchange, host: &impl Host) {
        match self {
            Self::Attempts(attempts) => attempts.completed(exchange, host),
            Self::Downstream { requests, .. } => requests.completed(exchange, host),
        }
    }

    fn on_wait(&self, exchange: &mut Exchange, host: &impl Host) -> Verdict {
        match self {
            Self::Attempts(_) => Verdict::Continue(Vec::new()),
            Self::Downstream { requests, .. } => requests.resume(exchange, host),
        }
    }

    fn on_callout(&self, answer: &impl Answer, host: &impl Host) {
        let Self::Downstream { poller, places, .. } = self else { return };
        if let Ok(mut poller) = poller.try_borrow_mut() {
            poller.answered(answer, places, host);
        }
    }

    fn on_response(&self, exchange: &mut Exchange, response: &impl Response, host: &impl Host) -> Vec<Edit> {
        match self {
            Self::Attempts(attempts) => attempts.answered(exchange, response, host),
            Self::Downstream { requests, .. } => requests.answered(exchange, response, host),
        }
        Vec::new()
    }

    fn on_end(&self, exchange: &mut Exchange, ending: Ending, end: &impl Response, host: &impl Host) {
        match self {
            Self::Attempts(attempts) if ending == Ending::NeverSent => attempts.never_sent(exchange),
            Self::Downstream { requests, .. } if ending == Ending::NeverSent => requests.never_sent(exchange),
            Self::Attempts(attempts) => attempts.ended(exchange, ending, end, host),
            Self::Downstream { requests, .. } => requests.ended(exchange, ending, end, host),
        }
    }

    fn facts(&self, exchange: &Exchange, tell: &mut dyn FnMut(&'static str, &str)) {
        if let Some(label) = exchange.label() {
            let which = match self {
                Self::Attempts(_) => Attribute::Attempted,
                Self::Downstream { .. } => Attribute::Discovered,
            };
            tell(which.fact().unwrap_or_default(), label);
        }
    }

    fn foretell(&self, which: Attribute, request: &impl Request) -> Option<Vec<u8>> {
        let Self::Downstream { requests, .. } = self else { return None };
        let asked = which == Attribute::Discovered;
        asked
            .then(|| requests.service_of(&Parsed::new(request)))
            .flatten()
            .map(|name| name.as_bytes().to_vec())
    }

    fn on_tick(&self, host: &impl Host) {
        let (requests, poller, places) = match self {
            Self::Attempts(attempts) => return attempts.publish(host),
            Self::Downstream { requests, poller, places } => (requests, poller, places),
        };
        if let Ok(mut poller) = poller.try_borrow_mut() {
            poller.tick(places, host);
        }
        let now = host.now();
        for view in requests.views() {
            view.follow(now, host);
        }
        unused::publish(requests, *places, host);
    }
}
