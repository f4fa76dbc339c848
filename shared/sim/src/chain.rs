//! A chain of filters in front of a router, as a proxy has them: each filter sees what the earlier
//! ones left, and the route as it was chosen last.
//!
//! Envoy chooses a route when the headers have arrived, and again behind the last filter if one of
//! them changed a header. In between it tells the first one. [`crate::contract`] says so of Envoy
//! and of this.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use tidegate_driver::Exchange;
use tidegate_policy::host::Host;
use tidegate_policy::http::{Attribute, Edit, Header, Reply, Request, RequestExt, Stage, Verdict};

use crate::{SimResponse, Worker};

/// A route: which requests are on it, and where it leads.
#[derive(Clone, Debug)]
pub struct SimRoute {
    /// Its name.
    pub name: &'static str,
    /// Which requests are on it.
    pub of: Of,
    /// Where it leads.
    pub to: To,
}

/// Which requests are on a route.
#[derive(Clone, Debug)]
pub enum Of {
    /// All.
    All,
    /// Those with this header.
    Having(&'static str),
    /// Those with a header of this value.
    Saying(&'static str, &'static str),
}

/// Where a route leads.
#[derive(Clone, Debug)]
pub enum To {
    /// To a cluster.
    Cluster(&'static str),
    /// To the cluster that a header names.
    Named(&'static str),
    /// To one of two clusters: to the second if the number in a header is at least 50. Without the
    /// header, to the first.
    Drawn(&'static str, [&'static str; 2]),
}

/// Filters and routes, in order.
pub struct SimChain<'a> {
    links: Vec<&'a dyn Link>,
    routes: Vec<SimRoute>,
    /// What the filters told of the last request.
    told: RefCell<BTreeMap<String, String>>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passage {
    /// A filter answered it.
    Answered(Reply),
    /// It was held back by a filter.
    Held,
    /// It went to a cluster, with these headers.
    Went {
        /// The cluster; empty when no route or header named one.
        cluster: String,
        /// The headers.
        headers: Vec<(String, String)>,
    },
}

/// A filter of a chain.
pub trait Link {
    /// Sees a request, and stays with it.
    fn begin<'a>(&'a self, stream: &mut Stream<'_>) -> (Option<Passage>, Box<dyn Attending + 'a>);
}

/// A filter that waits for the end of a request.
pub trait Attending {
    /// The response passes by, and with it the end.
    fn end(self: Box<Self>, response: &SimResponse) -> Vec<Edit>;

    /// The client leaves before there is a response.
    fn leave(self: Box<Self>, end: &SimResponse);
}

/// A request on its way, as the proxy holds it.
#[derive(Debug)]
pub struct Stream<'a> {
    routes: &'a [SimRoute],
    headers: Vec<(String, String)>,
    /// The name of the route that was chosen last, and its cluster.
    route: (String, String),
    facts: BTreeMap<String, String>,
}

struct Attendant<'a, S: Stage, H> {
    worker: &'a Worker<S, H>,
    exchange: Exchange<S>,
}

/// What a filter sees of a stream.
struct Seen<'a> {
    headers: Vec<Header<'a>>,
    stream: &'a Stream<'a>,
}

// === impl SimChain ===

impl<'a> SimChain<'a> {
    /// Filters in front of routes.
    #[must_use]
    pub fn new(links: Vec<&'a dyn Link>, routes: &[SimRoute]) -> Self {
        Self { links, routes: routes.to_vec(), told: RefCell::default() }
    }

    /// What the filters told of the last request, for access logs: the name of each fact and its text.
    #[must_use]
    pub fn told(&self) -> BTreeMap<String, String> {
        self.told.borrow().clone()
    }

    /// Sends a request through it. If it arrives at a cluster, `respond` says what that answers. The
    /// edits to the response are appended to `edits`.
    pub fn send(
        &self,
        headers: &[(&str, &str)],
        respond: &dyn Fn(&str) -> SimResponse,
        edits: &RefCell<Vec<Edit>>,
    ) -> Passage {
        let usual = [(":method", "GET"), (":path", "/"), (":authority", "shop.example.com")];
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let usual = usual.into_iter().filter(|(name, _)| headers.iter().all(|(own, _)| own != name));
        let headers = usual.chain(headers.iter().copied()).map(text).collect();
        let facts = BTreeMap::new();
        let mut stream = Stream { routes: &self.routes, headers, route: Default::default(), facts };
        stream.choose();
        let mut attending = Vec::new();
        let mut stopped = None;
        for link in &self.links {
            let (passage, attendant) = link.begin(&mut stream);
            attending.push(attendant);
            stopped = passage;
            if stopped.is_some() {
                break;
            }
        }
        if stopped.is_none() {
            stream.choose();
        }
        let response = match &stopped {
            Some(Passage::Answered(reply)) => SimResponse::local(reply.status, &reply.details, 0),
            Some(_) => SimResponse::none(),
            None => respond(&stream.route.1),
        };
        let attempts = u64::from(stopped.is_none());
        let response = stream.told(response).attribute(Attribute::AttemptCount, &attempts.to_le_bytes());
        for attendant in attending.into_iter().rev() {
            match stopped {
                Some(Passage::Held) => attendant.leave(&response),
                _ => edits.borrow_mut().extend(attendant.end(&response)),
            }
        }
        self.told.replace(stream.facts);
        stopped.unwrap_or(Passage::Went { cluster: stream.route.1, headers: stream.headers })
    }
}

// === impl Stream ===

impl Stream<'_> {
    /// Chooses the route by the headers as they are.
    fn choose(&mut self) {
        let value = |name: &str| self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| &**value);
        let found = self.routes.iter().find(|route| match route.of {
            Of::All => true,
            Of::Having(name) => value(name).is_some(),
            Of::Saying(name, text) => value(name) == Some(text),
        });
        let cluster = |route: &SimRoute| match route.to {
            To::Cluster(name) => name.to_owned(),
            To::Named(header) => value(header).unwrap_or_default().to_owned(),
            To::Drawn(header, [low, high]) => {
                let number = value(header).and_then(|text| text.parse().ok()).unwrap_or(0);
                (if number < 50 { low } else { high }).to_owned()
            }
        };
        self.route = found.map(|route| (route.name.to_owned(), cluster(route))).unwrap_or_default();
    }

    fn apply(&mut self, edits: &[Edit]) {
        for edit in edits {
            match edit {
                Edit::DropRequestHeader(name) | Edit::RemoveRequestHeader(name) => {
                    self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
                }
                Edit::SetRequestHeader(name, value) => {
                    self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
                    self.headers.push((name.to_ascii_lowercase(), value.to_string()));
                }
                Edit::AddRequestHeader(name, value) => {
                    self.headers.push((name.to_ascii_lowercase(), value.to_string()));
                }
                _ => {}
            }
        }
    }

    /// What filters can ask of the host when the response passes by.
    fn told(&self, mut response: SimResponse) -> SimResponse {
        let told = [Attribute::Chosen, Attribute::Discovered, Attribute::Guarded, Attribute::Steering];
        for which in [Attribute::Cluster, Attribute::Route].into_iter().chain(told) {
            if let Some(value) = self.attribute(which) {
                response = response.attribute(which, &value);
            }
        }
        response
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        let text = match which {
            Attribute::Cluster => &self.route.1,
            Attribute::Route => &self.route.0,
            _ => self.facts.get(which.fact()?)?,
        };
        Some(text.as_bytes().to_vec())
    }
}

// === impl Seen ===

impl Request for Seen<'_> {
    fn headers(&self) -> &[Header<'_>] {
        &self.headers
    }

    fn peer(&self) -> Option<IpAddr> {
        Some(IpAddr::from([127, 0, 0, 1]))
    }

    fn lone_header(&self, name: &str) -> Option<Vec<u8>> {
        RequestExt::header(self, name).map(<[u8]>::to_vec)
    }

    fn end_of_stream(&self) -> bool {
        true
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        self.stream.attribute(which)
    }
}

// === impl Worker ===

impl<S: Stage, H: Host> Link for Worker<S, H> {
    fn begin<'a>(&'a self, stream: &mut Stream<'_>) -> (Option<Passage>, Box<dyn Attending + 'a>) {
        let list = stream.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let seen = Seen { headers: list.collect(), stream };
        let (verdict, exchange) = Worker::begin(self, &seen);
        exchange.facts(self.stage(), &mut |name, text| {
            stream.facts.insert(name.to_owned(), text.to_owned());
        });
        let passage = match verdict {
            Verdict::Continue(edits) => {
                stream.apply(&edits);
                None
            }
            Verdict::Await(edits) => {
                stream.apply(&edits);
                Some(Passage::Held)
            }
            Verdict::Reply(reply) => Some(Passage::Answered(reply)),
        };
        (passage, Box::new(Attendant { worker: self, exchange }))
    }
}

// === impl Attendant ===

impl<S: Stage, H: Host> Attending for Attendant<'_, S, H> {
    fn end(self: Box<Self>, response: &SimResponse) -> Vec<Edit> {
        self.worker.end(self.exchange, response)
    }

    fn leave(self: Box<Self>, end: &SimResponse) {
        self.worker.abort(self.exchange, end);
    }
}
