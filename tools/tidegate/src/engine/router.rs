//! Which route and cluster Envoy chooses, as far as the files say.

use super::Passing;
use crate::find::{Chain, Paths, Route, To};

/// Envoy's routes in front of a request.
pub struct Router<'c> {
    hosts: &'c [Vec<Route>],
    /// The cluster of requests for which the files know no route.
    pub usual: String,
}

const STEERS: &str = "x-tidegate-cluster";

// === impl Router ===

impl<'c> Router<'c> {
    /// The routes of a chain.
    #[must_use]
    pub fn new(chain: &'c Chain, usual: &str) -> Self {
        Self { hosts: chain.hosts.as_deref().unwrap_or_default(), usual: usual.to_owned() }
    }

    /// Chooses the route by the headers as they are. Where the files have none, a header of ours names the
    /// cluster, or else it is the usual one.
    pub fn choose(&self, passing: &mut Passing) {
        let host = passing.text(":authority").unwrap_or_default();
        let host = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name).to_ascii_lowercase();
        let of_host = self.hosts.iter().max_by_key(|routes| closeness(routes, &host));
        let found = of_host.and_then(|routes| routes.iter().find(|route| takes(route, passing)));
        // An endpoint is found behind a cluster that the file does not have.
        let discovered = passing.bytes("x-envoy-original-dst-host").map(|_| String::new());
        let steered = passing.text(STEERS).or(discovered);
        (passing.route, passing.cluster) = match found {
            Some(route) => (route.name.clone(), self.cluster(route, passing)),
            None => (String::new(), steered.unwrap_or_else(|| self.usual.clone())),
        };
    }

    fn cluster(&self, route: &Route, passing: &Passing) -> String {
        match &route.to {
            To::Clusters(clusters) => clusters.first().map_or(String::new(), |(name, _)| name.clone()),
            To::Header(name) => passing.text(name).unwrap_or_default(),
            // A route for a value leads where only the control plane knows: the value is its name.
            To::Other if route.needs.iter().any(|need| need.name == STEERS) => {
                passing.text(STEERS).unwrap_or_default()
            }
            To::Random(_) | To::Other => String::new(),
        }
    }
}

/// How well a virtual host's domains fit; 0 for not at all.
fn closeness(routes: &[Route], host: &str) -> usize {
    let fits = |domain: &String| match domain.strip_prefix('*') {
        Some("") => 1,
        Some(end) if host.ends_with(end) => 1 + end.len(),
        None if domain.eq_ignore_ascii_case(host) => 1_000,
        _ => 0,
    };
    let domains = routes.first().map_or(&[][..], |route| &route.domains);
    if domains.is_empty() {
        1
    } else {
        domains.iter().map(fits).max().unwrap_or(0)
    }
}

fn takes(route: &Route, passing: &Passing) -> bool {
    let path = passing.bytes(":path").unwrap_or_default();
    let path = path.split(|b| [b'?', b'#'].contains(b)).next().unwrap_or_default();
    let by_path = match &route.path {
        Paths::Exact(exact) => path == exact.as_bytes(),
        Paths::Prefix(prefix) => path.starts_with(prefix.as_bytes()),
        Paths::Unknown => !route.needs.is_empty(),
    };
    by_path
        && route.needs.iter().all(|need| {
            let value = passing.bytes(&need.name);
            value.is_some_and(|value| need.value.as_ref().is_none_or(|wanted| wanted.as_bytes() == value))
        })
}
