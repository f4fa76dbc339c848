//! The configuration of the routing filter, as users write it.

mod condition;
pub mod fields;
mod mode;
mod route;
mod route_fields;
mod shared;
mod upstream;
mod variant;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::{document, identity, ConfigError, Field, Object, Reader, Scope};
use crate::http::matcher::{ClientMatch, HeaderName};
use crate::http::steering::Lengths;
use crate::http::{steering, Request};
use crate::routing::cookie::Generated;
use crate::routing::force::Force;
use crate::routing::precedence::Rules;
use crate::routing::route::{Mode, Route};
use crate::routing::rules::{Condition, Facts};

pub use mode::{NoMatch, OnFailure};
use shared::each;

/// Everything that the filter was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where the names of ramps belong, and of the breakers that they watch.
    pub scope: Scope,
    /// What decides which requests take the routes, as a hash.
    pub identity: u64,
    /// The routes in the order of the document.
    pub routes: Vec<Route>,
    /// Which requests take which.
    rules: Rules,
    /// Who may name a variant.
    pub force: Option<Force>,
    /// The headers that carry what was chosen.
    pub headers: Headers,
    /// How long the names are of all that is taken off a request.
    lengths: Lengths,
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

// === impl Policy ===

impl Policy {
    /// Makes a policy of a JSON document.
    ///
    /// # Errors
    /// Every problem of the document.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        document(json, Self::read)
    }

    /// Makes a policy of a document, or of the part of one that stands here.
    #[must_use]
    pub fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.checked(&fields::DOCUMENT)?;
        let mode = object.get(&fields::MODE).unwrap_or(Mode::Enforce);
        let items = object.items(&fields::ROUTES);
        let routes = each(&items, |object, earlier| route::read(object, earlier, mode));
        let force = match object.maybe_inner(&fields::FORCE)? {
            Some(force) => read_force(&force).map(Some),
            None => Some(None),
        };
        let headers = object.inner(&fields::HEADERS).and_then(|headers| Headers::read(&headers));
        let scope = Scope::read(&object)?;
        let routes = routes.filter(|routes| numbered(&object, routes, &scope) & agreed(&object, routes))?;
        let named: Vec<(&str, &[Condition])> =
            routes.iter().map(|route| (route.name.as_str(), route.matches.as_slice())).collect();
        let rules = Rules::new(&named, object.get(&fields::ORDER)?);
        let (force, headers): (Option<Force>, Headers) = (force?, headers?);
        let lengths = Lengths::of(trusted(force.as_ref()).chain(headers.request()));
        let decides = [route_fields::NAME.def(), route_fields::MATCH.def()];
        Some(Self {
            identity: scope.hash(identity(&items, &decides)),
            scope,
            routes,
            rules,
            force,
            headers,
            lengths,
            no_match: object.get(&fields::NO_MATCH)?,
            on_failure: object.get(&fields::ON_FAILURE)?,
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
        self.lengths.has(header)
            && (self.forces(header) || self.headers.request().any(|name| steering::is_like(header, name)))
    }

    /// Whether a request header is one by which trusted callers choose a variant. No route of Envoy's
    /// is chosen by it.
    #[must_use]
    pub fn forces(&self, header: &[u8]) -> bool {
        trusted(self.force.as_ref()).any(|name| steering::is_like(header, name))
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
fn numbered(object: &Object<'_>, routes: &[Route], scope: &Scope) -> bool {
    let mut known: Vec<(u32, String)> = Vec::new();
    for route in routes {
        for name in route.ramps() {
            let number = scope.number(&name);
            if let Some((_, other)) = known.iter().find(|(of, _)| *of == number) {
                let found = format!("the ramp {name:?} has the number of {other:?}");
                object.report_at(&fields::ROUTES, found, "another name");
                return false;
            }
            known.push((number, name));
        }
    }
    true
}

/// Whether cookies of one name are one cookie: a route that made it live shorter would take it from the
/// others' clients.
fn agreed(object: &Object<'_>, routes: &[Route]) -> bool {
    let mut cookies: Vec<(&str, &Generated)> = Vec::new();
    for route in routes {
        let Some(cookie) = route.sticky.as_ref().and_then(|sticky| sticky.generated.as_ref()) else {
            continue;
        };
        if let Some((first, _)) = cookies.iter().find(|(_, other)| cookie.disagrees(other)) {
            let found = format!("{:?} has the cookie of {first:?} with other attributes", route.name);
            object.report_at(
                &fields::ROUTES,
                found,
                "the same `max_age_ms`, `path`, `domain` and flags, or another `name`",
            );
            return false;
        }
        cookies.push((&route.name, cookie));
    }
    true
}

#[inline(never)]
fn read_force(object: &Object<'_>) -> Option<Force> {
    let (header, secret_header) = (object.get(&fields::FORCE_HEADER)?, object.get(&fields::SECRET_HEADER)?);
    if header == secret_header {
        object.report("`header` and `secret_header` are the same".to_owned(), "two");
        return None;
    }
    let from = match object.reader(&fields::FROM) {
        Some(from) => Some(ClientMatch::read(&from)?),
        None => None,
    };
    Some(Force::new(header, secret_header, object.maybe(&fields::SECRET)?.map(ToOwned::to_owned), from))
}

/// The headers that only trusted callers may send.
fn trusted(force: Option<&Force>) -> impl Iterator<Item = &str> {
    force.into_iter().flat_map(|force| [&*force.header, &*force.secret_header])
}

// === impl Headers ===

impl Headers {
    fn read(object: &Object<'_>) -> Option<Self> {
        let optional =
            |field: &Field<HeaderName>| Some(object.maybe(field)?.map(|name| Rc::<str>::from(name.as_str())));
        let headers = Self {
            cluster: object.get(&fields::CLUSTER_HEADER)?.into(),
            mirror: object.get(&fields::MIRROR_HEADER)?.into(),
            random: optional(&fields::RANDOM_HEADER)?,
            variant: optional(&fields::VARIANT_HEADER)?,
            bucket: optional(&fields::BUCKET_HEADER)?,
            response: object.maybe(&fields::RESPONSE_HEADER)?,
        };
        headers.differ(object).then_some(headers)
    }

    /// The request headers that we set, which must not be set by clients: what is removed
    /// from every request, besides `x-tidegate-*`.
    pub fn request(&self) -> impl Iterator<Item = &str> {
        let optional = [&self.random, &self.variant, &self.bucket].into_iter().flatten();
        [&self.cluster, &self.mirror].into_iter().chain(optional).map(|name| &**name)
    }

    fn differ(&self, object: &Object<'_>) -> bool {
        let names = [
            (&fields::CLUSTER_HEADER, Some(&self.cluster)),
            (&fields::MIRROR_HEADER, Some(&self.mirror)),
            (&fields::RANDOM_HEADER, self.random.as_ref()),
            (&fields::VARIANT_HEADER, self.variant.as_ref()),
            (&fields::BUCKET_HEADER, self.bucket.as_ref()),
        ];
        let taken = |at: usize, name: &Rc<str>| names.iter().take(at).any(|(_, other)| *other == Some(name));
        let mut all = names.iter().enumerate();
        let twice = all.find_map(|(at, (field, name))| name.filter(|name| taken(at, name)).zip(Some(*field)));
        if let Some((name, field)) = twice {
            object.report_at(field, format!("`{name}` would carry two things"), "a header for each");
        }
        twice.is_none()
    }
}
