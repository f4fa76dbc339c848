//! The configuration of the routing filter, as users write it.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::force::Force;
use super::precedence::{Order, Rules};
use super::read::list;
use super::route::{Mode, Route};
use super::rules::{Condition, Facts};
use crate::config::{document, number, ConfigError, Object, Reader};
use crate::http::matcher::header_name;
use crate::http::{steering, Request};

/// Everything that the filter was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The routes in the order of the document.
    pub routes: Vec<Route>,
    /// Which requests take which.
    rules: Rules,
    /// Who may name a variant.
    pub force: Option<Force>,
    /// The headers that carry what was chosen.
    pub headers: Headers,
    /// What becomes of a request that no route takes.
    pub no_match: NoMatch,
    /// What becomes of a request that the filter cannot decide.
    pub on_failure: OnFailure,
}

/// The headers that carry what was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// For Envoy's `cluster_header`: the cluster.
    pub cluster: Rc<str>,
    /// For `cluster_header` of `request_mirror_policies`: the cluster that gets a copy.
    pub mirror: Rc<str>,
    /// For `header_name` of `weighted_clusters`: the bucket, 0 to 9999.
    pub random: Option<Rc<str>>,
    /// Tells the upstream its variant.
    pub variant: Option<Rc<str>>,
    /// Tells the upstream the bucket.
    pub bucket: Option<Rc<str>>,
    /// Tells the client the variant.
    pub response: Option<String>,
}

/// What becomes of a request that no route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMatch {
    /// It is answered with 404, as the Gateway API has it.
    NotFound,
    /// It goes on as it is.
    Pass,
}

/// What becomes of a request when the filter itself fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It goes on as it is.
    Allow,
    /// It is answered with 503.
    Refuse,
}

const FIELDS: [&str; 7] = ["routes", "order", "force", "headers", "no_match", "mode", "on_failure"];
const HEADERS: [&str; 6] = ["cluster", "mirror", "random", "variant", "bucket", "response"];
const ORDERS: [(&str, Order); 2] = [("gateway_api", Order::GatewayApi), ("first_match", Order::FirstMatch)];

// === impl Policy ===

impl Policy {
    /// Makes a policy of a JSON document.
    ///
    /// # Errors
    /// Every problem of the document.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        document(json, Self::read)
    }

    /// Reads a policy; [`Policy::parse`] for one that is part of a document.
    #[must_use]
    pub fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&FIELDS)?;
        let mode = object.or("mode", Mode::Enforce, |r| r.choice(&Mode::WORDS));
        let for_routes = mode.unwrap_or(Mode::Enforce);
        let routes = object.required("routes", "a list of routes").and_then(|r| {
            let items = r.items(1..=64, "routes")?;
            list(&items, |item, earlier| Route::read(item, earlier, for_routes))
        });
        let order = object.or("order", Order::GatewayApi, |r| r.choice(&ORDERS));
        let force = object.or("force", None, |r| Force::read(r).map(Some));
        let headers = object.or("headers", Some(Headers::default()), |r| Headers::read(r).map(Some));
        let no_match = [("pass", NoMatch::Pass), ("not_found", NoMatch::NotFound)];
        let no_match = object.or("no_match", NoMatch::Pass, |r| r.choice(&no_match));
        let failure = [("allow", OnFailure::Allow), ("refuse", OnFailure::Refuse)];
        let on_failure = object.or("on_failure", OnFailure::Allow, |r| r.choice(&failure));
        let (routes, order) = (routes.filter(|routes| numbered(&object, routes))?, order?);
        let _ = mode?;
        let named: Vec<(&str, &[Condition])> =
            routes.iter().map(|route| (route.name.as_str(), route.matches.as_slice())).collect();
        let rules = Rules::new(&named, order);
        Some(Self {
            routes,
            rules,
            force: force?,
            headers: headers??,
            no_match: no_match?,
            on_failure: on_failure?,
        })
    }

    /// The route that a request takes, as its place in `routes`.
    #[must_use]
    pub fn find(&self, request: &impl Request, facts: Facts<'_>) -> Option<usize> {
        self.rules.find(request, facts)
    }

    /// Whether a request header is one that we set or that only trusted callers may send: what
    /// is taken off every request. Many servers fold `_` to `-`, so look-alikes are, too.
    #[must_use]
    pub fn owns(&self, header: &[u8]) -> bool {
        let force = self.force.iter().flat_map(|force| [force.header.as_str(), force.secret_header.as_str()]);
        self.headers.request().chain(force).any(|name| steering::is_like(header, name))
    }

    /// Which metadata any route asks for, each once: what [`Facts`] must have.
    #[must_use]
    pub fn metadata(&self) -> Vec<Vec<String>> {
        let mut all: Vec<Vec<String>> = Vec::new();
        let conditions = self.routes.iter().flat_map(|route| &route.matches);
        for path in conditions.flat_map(Condition::metadata) {
            if !all.iter().any(|known| known == path) {
                all.push(path.to_vec());
            }
        }
        all
    }
}

/// Whether the ramps have cells of their own: their names' numbers differ.
fn numbered(object: &Object<'_>, routes: &[Route]) -> bool {
    let mut known: Vec<(u32, String)> = Vec::new();
    for route in routes {
        for name in route.ramps() {
            let number = number(&name);
            if let (Some((_, other)), Some(reader)) =
                (known.iter().find(|(of, _)| *of == number), object.optional("routes"))
            {
                reader
                    .report(format!("the ramp {name:?} has the number of {other:?}, expected another name"));
                return false;
            }
            known.push((number, name));
        }
    }
    true
}

// === impl Headers ===

impl Default for Headers {
    fn default() -> Self {
        Self {
            cluster: "x-tidegate-cluster".into(),
            mirror: "x-tidegate-mirror".into(),
            random: None,
            variant: None,
            bucket: None,
            response: None,
        }
    }
}

impl Headers {
    fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&HEADERS)?;
        let usual = Self::default();
        let shared = |r: &Reader<'_>| header_name(r).map(Rc::<str>::from);
        let optional = |field: &str| object.or(field, None, |r| shared(r).map(Some));
        let (cluster, mirror) =
            (object.or("cluster", usual.cluster, shared), object.or("mirror", usual.mirror, shared));
        let (random, variant, bucket, response) = (
            optional("random"),
            optional("variant"),
            optional("bucket"),
            object.or("response", None, |r| header_name(r).map(Some)),
        );
        let headers = Self {
            cluster: cluster?,
            mirror: mirror?,
            random: random?,
            variant: variant?,
            bucket: bucket?,
            response: response?,
        };
        headers.differ(&object).then_some(headers)
    }

    /// The request headers that we set, which must not be set by clients: what is removed
    /// from every request, besides `x-tidegate-*`.
    pub fn request(&self) -> impl Iterator<Item = &str> {
        let optional = [&self.random, &self.variant, &self.bucket].into_iter().flatten();
        [&self.cluster, &self.mirror].into_iter().chain(optional).map(|name| &**name)
    }

    fn differ(&self, object: &Object<'_>) -> bool {
        let names: Vec<&str> = self.request().collect();
        let twice =
            names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|other| other == *name));
        if let Some((_, name)) = twice {
            let mut fields = HEADERS.iter().filter_map(|field| object.optional(field));
            if let Some(reader) = fields.next_back() {
                reader.report(format!("`{name}` would carry two things, expected a header for each"));
            }
        }
        twice.is_none()
    }
}
